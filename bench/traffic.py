"""The traffic every benchmark here sends: one description, one file of ready packets.

70 % SIP, 20 % RTCP reports as JSON, 10 % log lines, about 530 octets a packet, the same octets for
the same seed. HEP3 is written with `struct` and nothing of hepsw is imported, so that any version
of it, and any other program, meets identical input.

    python bench/traffic.py OUT.hep [--count 1000] [--seed 1]

OUT.hep is packets back to back, as they travel on TCP; `hepsw send` takes such files.
"""

import argparse
import json
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CHUNK: Final = struct.Struct("!HHH")  # vendor id, type id, chunk length
PREFIX: Final = struct.Struct("!H")

SIP: Final = 1
RTCP: Final = 5
LOG: Final = 100
PATTERN: Final = (SIP,) * 7 + (RTCP,) * 2 + (LOG,)  # ten packets, shuffled ten at a time

START: Final = 1_700_000_000  # a fixed day: the file must not depend on when it was made
SIP_PORTS: Final = (5060, 5090)
SIP_KINDS: Final = {  # start line: how often a SIP packet opens with it
    "INVITE": 14,
    "100 Trying": 14,
    "180 Ringing": 12,
    "200 OK": 24,
    "ACK": 14,
    "BYE": 10,
    "OPTIONS": 7,
    "REGISTER": 5,
}
LOG_LINES: Final = (
    "INFO: {call} routed to carrier {carrier} in {number} us",
    "NOTICE: dialog {call} confirmed, timeout {number} s, media through relay {carrier}",
    "WARNING: {call}: reply 503 from carrier {carrier}, trying the next gateway of the group",
)


def hep3(
    payload: bytes,
    *,
    proto_type: int,
    time_us: int,
    ends: tuple[tuple[str, int], tuple[str, int]],
    correlation_id: str,
) -> bytes:
    """Return one HEP3 packet; `ends` are the captured source and destination."""
    (src_ip, src_port), (dst_ip, dst_port) = ends
    bodies = {
        0x0001: struct.pack("!B", 2),  # IPv4
        0x0002: struct.pack("!B", 17),  # UDP
        0x0003: socket.inet_aton(src_ip),
        0x0004: socket.inet_aton(dst_ip),
        0x0007: struct.pack("!H", src_port),
        0x0008: struct.pack("!H", dst_port),
        0x0009: struct.pack("!I", time_us // 1_000_000),
        0x000A: struct.pack("!I", time_us % 1_000_000),
        0x000B: struct.pack("!B", proto_type),
        0x000C: struct.pack("!I", 2001),
        0x000E: b"myHep",
        0x0011: correlation_id.encode(),
        0x000F: payload,
    }
    chunks = b"".join(
        CHUNK.pack(0, type_id, CHUNK.size + len(body)) + body for type_id, body in bodies.items()
    )
    return b"HEP3" + PREFIX.pack(6 + len(chunks)) + chunks


def sdp(rng: random.Random, media_ip: str) -> str:
    lines = (
        "v=0",
        f"o=- {rng.randrange(10**9)} 1 IN IP4 {media_ip}",
        "s=-",
        f"c=IN IP4 {media_ip}",
        "t=0 0",
        f"m=audio {rng.randrange(10_000, 60_000, 2)} RTP/AVP 8 0 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=ptime:20",
    )
    return "".join(f"{line}\r\n" for line in lines)


def sip(rng: random.Random, call_id: str, ends: tuple[tuple[str, int], tuple[str, int]]) -> bytes:
    """Return one SIP request or reply between `ends`; INVITE and half of the 200 carry SDP."""
    (src_ip, src_port), (dst_ip, dst_port) = ends
    kind = rng.choices(tuple(SIP_KINDS), tuple(SIP_KINDS.values()))[0]
    caller, callee = (f"+49{rng.randrange(10**9):09}" for _ in range(2))
    is_reply = kind[0].isdigit()
    method = "INVITE" if is_reply else kind
    body = sdp(rng, src_ip) if kind == "INVITE" or (kind == "200 OK" and rng.random() < 0.5) else ""
    start_line = (
        f"SIP/2.0 {kind}" if is_reply else f"{kind} sip:{callee}@{dst_ip}:{dst_port} SIP/2.0"
    )
    tag = ";tag=" + format(rng.getrandbits(32), "08x")
    lines = [
        start_line,
        f"Via: SIP/2.0/UDP {src_ip}:{src_port};branch=z9hG4bK{rng.getrandbits(48):012x};rport",
        f"From: <sip:{caller}@{src_ip}>;tag={rng.getrandbits(32):08x}",
        f"To: <sip:{callee}@{dst_ip}>" + (tag if is_reply or kind in {"ACK", "BYE"} else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {rng.randrange(1, 200)} {method}",
    ]
    if not is_reply:
        lines.append("Max-Forwards: 69")
    if kind != "ACK":
        lines.append(f"Contact: <sip:{caller}@{src_ip}:{src_port}>")
    if method in {"INVITE", "REGISTER"} and not is_reply:
        lines.append("Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO")
    lines.append("User-Agent: gateway 4.2.1 (x86_64/linux)")
    if kind in {"INVITE", "200 OK"}:
        lines.append("Supported: 100rel, timer, replaces")
    if body:
        lines.append("Content-Type: application/sdp")
    lines += [f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def rtcp(rng: random.Random) -> bytes:
    """Return a sender report with one report block, spelled as capture agents spell it."""
    report = {
        "sender_information": {
            "ntp_timestamp_sec": START + 2_208_988_800 + rng.randrange(86_400),
            "ntp_timestamp_usec": rng.getrandbits(32),
            "octets": rng.randrange(10**6),
            "rtp_timestamp": rng.getrandbits(32),
            "packets": rng.randrange(10**4),
        },
        "ssrc": rng.getrandbits(32),
        "type": 200,
        "report_count": 1,
        "report_blocks": [
            {
                "source_ssrc": rng.getrandbits(32),
                "fraction_lost": rng.randrange(8),
                "packets_lost": rng.randrange(200),
                "highest_seq_no": rng.getrandbits(16),
                "ia_jitter": rng.randrange(400),
                "lsr": rng.getrandbits(32),
                "dlsr": rng.getrandbits(18),
            }
        ],
        "sdes_ssrc": 0,
    }
    return json.dumps(report, separators=(",", ":")).encode()


def log(rng: random.Random, call_id: str) -> bytes:
    line = rng.choice(LOG_LINES)
    text = line.format(call=call_id, carrier=rng.randrange(40), number=rng.randrange(10**5))
    return text.encode()


def packets(count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield `count` packets, the same ones for the same seed."""
    rng = random.Random(seed)
    calls = [f"{rng.getrandbits(64):016x}@10.0.0.{i % 250 + 1}" for i in range(250)]
    kinds: list[int] = []
    for i in range(count):
        if not kinds:
            kinds = rng.sample(PATTERN, len(PATTERN))
        proto_type = kinds.pop()
        call_id = rng.choice(calls)
        low, high = SIP_PORTS if proto_type == SIP else (10_000, 60_000)
        src, dst = (
            (f"10.0.{net}.{rng.randrange(1, 250)}", rng.randint(low, high)) for net in (1, 2)
        )
        ends = (src, dst)
        if proto_type == SIP:
            payload = sip(rng, call_id, ends)
        elif proto_type == RTCP:
            payload = rtcp(rng)
        else:
            payload, ends = log(rng, call_id), ((src[0], 0), (dst[0], 0))  # a log has no socket
        yield hep3(
            payload,
            proto_type=proto_type,
            time_us=START * 1_000_000 + i * 17,
            ends=ends,
            correlation_id=call_id,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the benchmark traffic to a file.")
    parser.add_argument("path", type=Path, metavar="OUT.hep")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.count < 1:
        parser.error("--count must be at least 1")
    made = b"".join(packets(options.count, options.seed))
    options.path.write_bytes(made)
    print(f"{options.count} packets, {len(made) / options.count:.0f} octets on average")


if __name__ == "__main__":
    main()
