"""One telephone call as a capture agent reports it: SIP, RTCP and a log line.

`hepsw send` shows it to who has no traffic of his own yet. Two phones call each other through a
proxy that also relays the media; the agent sits beside the proxy and sees both sides of it. Pure:
the time is an argument, and the same arguments give the same octets.

Source: RFC 3261 (SIP; 16.6 what a proxy changes), RFC 3264 (offer, answer), RFC 3550 (RTCP); the
JSON is that of captagent and rtpengine. All addresses are for documentation (RFC 5737), all names
too (RFC 2606), and the telephone numbers belong to nobody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.hep import PROTO_TYPES, build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.hep import Packet

DURATION_S: Final = 30.0
"""No call lasts longer."""
CAPTURE_ID: Final = 2001
NODE_NAME: Final = "demo"
PROXY: Final = "198.51.100.10"
DOMAIN: Final = "example.org"

_SIP_PORT: Final = 5060
_UDP: Final = 17
_CALLERS: Final = ("alice", "carol", "erin", "grace", "judy")
_AGENTS: Final = ("Example Phone 2.1", "Example Softphone 5.0", "Example Gateway 1.8")
_REASONS: Final = {100: "Trying", 180: "Ringing", 200: "OK"}

_CLOCK_HZ: Final = 8000
"""Of the payload format below, PCMU."""
_PACKETS_PER_S: Final = 50
_OCTETS_PER_PACKET: Final = 160
_REPORT_INTERVAL_S: Final = 5
_REPORTS: Final = 3
"""Of each phone."""
_NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900, where NTP starts to count, to 1970."""
_SENDER_REPORT: Final = 200
_RECEIVER_REPORT: Final = 201


class Step(NamedTuple):
    """One packet of a call."""

    offset_s: float
    """When the agent sees it, from the start of the call."""
    packet: Packet


def call(number: int, start_us: int) -> list[Step]:
    """Return one answered call, in the order of its times.

    Args:
        number: which call: who calls, how long it rings and lasts, and how good the line is.
        start_us: when it starts, microseconds since the epoch; also makes its Call-ID its own.
    """
    random = Random(number)  # noqa: S311 - wanted: the same call every time
    line = _Call(number, start_us, random)
    return sorted([*_signalling(line, random), *_reports(line)], key=lambda step: step.offset_s)


@dataclass(frozen=True, slots=True)
class _Phone:
    """One end of a call."""

    user: str
    ip: str
    agent: str
    tag: str
    media_port: int
    relay_port: int
    """Of the proxy, where this phone sends its media."""
    ssrc: int
    first_sequence: int
    lost: float
    """Which part of the packets sent to this phone never arrives."""
    jitter_ms: float

    @property
    def uri(self) -> str:
        return f"sip:{self.user}@{DOMAIN}"

    @property
    def contact(self) -> str:
        return f"sip:{self.user}@{self.ip}:{_SIP_PORT}"


class _Call:
    """What the messages of one call have in common."""

    def __init__(self, number: int, start_us: int, random: Random) -> None:
        self.start_us = start_us
        # Two runs of the demo are two calls: what has to be unique holds the time.
        self.unique = f"{start_us:x}{number:04x}"
        self.caller = self._phone(random, f"192.0.2.{10 + number % 200}", _CALLERS[number % 5])
        callee = f"+1202555{100 + number % 100:04d}"
        self.callee = self._phone(random, f"203.0.113.{10 + number * 7 % 200}", callee)
        self.call_id = f"{self.unique}@{self.caller.ip}"
        self.answered_s = random.uniform(2.0, 6.0)
        self.ended_s = self.answered_s + random.uniform(16.5, 19.5)
        self.caller_hangs_up = random.random() < 0.5

    def _phone(self, random: Random, ip: str, user: str) -> _Phone:
        return _Phone(
            user=user,
            ip=ip,
            agent=random.choice(_AGENTS),
            tag=f"{random.getrandbits(32):08x}",
            media_port=random.randrange(16384, 32768, 2),
            relay_port=random.randrange(35000, 55000, 2),
            ssrc=random.getrandbits(32),
            first_sequence=random.randrange(1, 20000),
            lost=random.choice((0.0, 0.002, 0.01, 0.04)),
            jitter_ms=random.uniform(0.5, 25.0),
        )

    def step(
        self, offset_s: float, source: tuple[str, int], destination: tuple[str, int], **values: str
    ) -> Step:
        """Return a packet of this call.

        Args:
            offset_s: from the start of the call.
            source: address and port of the captured packet.
            destination: the same of its other end.
            values: `kind`, a name of a protocol type; `payload`.
        """
        kind = values["kind"]
        packet = build(
            ip_protocol=_UDP,
            src_ip=source[0],
            src_port=source[1],
            dst_ip=destination[0],
            dst_port=destination[1],
            time=self.start_us + round(offset_s * 1_000_000),
            proto_type=PROTO_TYPES[kind],
            capture_id=CAPTURE_ID,
            # Agents leave it out of SIP, which carries its Call-ID itself.
            correlation_id=None if kind == "SIP" else self.call_id,
            node_name=NODE_NAME,
            payload=values["payload"],
        )
        return Step(offset_s, packet)


# Signalling


def _signalling(line: _Call, random: Random) -> Iterator[Step]:
    """Yield the SIP messages, each on both sides of the proxy, and the proxy's log line."""
    caller, callee = line.caller, line.callee
    through_s = 0.0006  # what the proxy needs for a message
    wire_s = {phone.ip: random.uniform(0.008, 0.03) for phone in (caller, callee)}

    invite = _Transaction(line, "INVITE", caller, callee, cseq=1)
    yield from invite.request(0.0, through_s * 3)
    yield _sip(line, 0.0009, PROXY, caller.ip, invite.response(100, behind_proxy=False))
    yield from invite.answer(180, 2 * wire_s[callee.ip] + 0.05, through_s)
    yield from invite.answer(200, line.answered_s, through_s)
    yield line.step(
        line.answered_s + through_s + 0.0002,
        (PROXY, _SIP_PORT),
        (PROXY, _SIP_PORT),
        kind="LOG",
        payload=f"INFO: call {line.call_id} from {caller.uri} to {callee.uri} answered after "
        f"{line.answered_s:.1f} s, media through {PROXY}",
    )
    ack = _Transaction(line, "ACK", caller, callee, cseq=1)
    yield from ack.request(line.answered_s + through_s + 2 * wire_s[caller.ip], through_s)

    ends = (caller, callee) if line.caller_hangs_up else (callee, caller)
    # Each side counts its own requests: the BYE of the called party is its first.
    bye = _Transaction(line, "BYE", *ends, cseq=2 if line.caller_hangs_up else 1)
    yield from bye.request(line.ended_s, through_s)
    yield from bye.answer(200, line.ended_s + through_s + 2 * wire_s[ends[1].ip], through_s)


class _Transaction:
    """A request and the responses to it, as they look on either side of the proxy."""

    def __init__(
        self, line: _Call, method: str, sender: _Phone, receiver: _Phone, *, cseq: int
    ) -> None:
        self._line = line
        self._method = method
        self._sender = sender
        self._receiver = receiver
        self._cseq = f"CSeq: {cseq} {method}"
        branch = f"z9hG4bK{line.unique}{method.lower()}"
        sent_by = f"SIP/2.0/UDP {sender.ip}:{_SIP_PORT}"
        self._via_sent = f"Via: {sent_by};rport;branch={branch}"
        self._via_received = (
            f"Via: {sent_by};rport={_SIP_PORT};received={sender.ip};branch={branch}"
        )
        self._via_proxy = f"Via: SIP/2.0/UDP {PROXY}:{_SIP_PORT};branch={branch}.1"
        self._opens = method == "INVITE"

    def request(self, at_s: float, through_s: float) -> Iterator[Step]:
        """Yield the request before the proxy and behind it."""
        for behind_proxy in (False, True):
            text = self._request(behind_proxy=behind_proxy)
            if behind_proxy:
                yield _sip(self._line, at_s + through_s, PROXY, self._receiver.ip, text)
            else:
                yield _sip(self._line, at_s, self._sender.ip, PROXY, text)

    def answer(self, status: int, at_s: float, through_s: float) -> Iterator[Step]:
        """Yield a response of the receiver behind the proxy, then before it."""
        behind = self.response(status, behind_proxy=True)
        before = self.response(status, behind_proxy=False)
        yield _sip(self._line, at_s, self._receiver.ip, PROXY, behind)
        yield _sip(self._line, at_s + through_s, PROXY, self._sender.ip, before)

    def _request(self, *, behind_proxy: bool) -> str:
        sender, receiver = self._sender, self._receiver
        # Until the called phone has said where it is, only its name is known before the proxy.
        target = receiver.uri if self._opens and not behind_proxy else receiver.contact
        headers = [f"{self._method} {target} SIP/2.0"]
        if behind_proxy:
            headers += [self._via_proxy, self._via_received]
        else:
            headers.append(self._via_sent)
        if self._opens and behind_proxy:
            headers.append(_RECORD_ROUTE)
        if not self._opens and not behind_proxy:
            headers.append(f"Route: <sip:{PROXY};lr>")
        headers.append(f"Max-Forwards: {69 if behind_proxy else 70}")
        headers += self._dialog(to_tag=not self._opens)
        if self._opens:
            headers.append(f"Contact: <{sender.contact}>")
        headers.append(f"User-Agent: {sender.agent}")
        body = self._sdp(sender, relayed=behind_proxy) if self._opens else ""
        return _message(headers, body)

    def response(self, status: int, *, behind_proxy: bool) -> str:
        """Return a response; 100 is the proxy's own, all others the receiver's."""
        receiver = self._receiver
        headers = [f"SIP/2.0 {status} {_REASONS[status]}"]
        if behind_proxy:
            headers.append(self._via_proxy)
        headers.append(self._via_received)
        if self._opens and status > 100:
            headers.append(_RECORD_ROUTE)
        headers += self._dialog(to_tag=status > 100)
        if self._opens and status > 100:
            headers.append(f"Contact: <{receiver.contact}>")
        headers.append(f"User-Agent: {receiver.agent}" if status > 100 else "Server: Example Proxy")
        answers = self._opens and status == 200
        return _message(headers, self._sdp(receiver, relayed=not behind_proxy) if answers else "")

    def _dialog(self, *, to_tag: bool) -> list[str]:
        """Return the headers that say which dialog this is."""
        tag = f";tag={self._receiver.tag}" if to_tag else ""
        return [
            f"From: <{self._sender.uri}>;tag={self._sender.tag}",
            f"To: <{self._receiver.uri}>{tag}",
            f"Call-ID: {self._line.call_id}",
            self._cseq,
        ]

    def _sdp(self, phone: _Phone, *, relayed: bool) -> str:
        """Return where a phone wants its media; the proxy puts itself in its place."""
        other = self._receiver if phone is self._sender else self._sender
        ip, port = (PROXY, other.relay_port) if relayed else (phone.ip, phone.media_port)
        lines = (
            "v=0",
            f"o=- {phone.ssrc} 1 IN IP4 {phone.ip}",
            "s=-",
            f"c=IN IP4 {ip}",
            "t=0 0",
            f"m=audio {port} RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
            "a=ptime:20",
            "a=sendrecv",
        )
        return "".join(f"{line}\r\n" for line in lines)


_RECORD_ROUTE: Final = f"Record-Route: <sip:{PROXY};lr>"


def _message(headers: list[str], body: str) -> str:
    if body:
        headers = [*headers, "Content-Type: application/sdp"]
    return "\r\n".join([*headers, f"Content-Length: {len(body.encode())}", "", body])


def _sip(line: _Call, at_s: float, source: str, destination: str, text: str) -> Step:
    return line.step(at_s, (source, _SIP_PORT), (destination, _SIP_PORT), kind="SIP", payload=text)


# Media


@dataclass(slots=True)
class _Reception:
    """What a phone knows of the stream it receives."""

    expected: int = 0
    lost: int = 0
    last_report_s: float | None = None
    """When the last sender report of the other side was sent."""


def _reports(line: _Call) -> Iterator[Step]:
    """Yield what the phones tell each other; the caller is on mute from the second report on."""
    caller, callee = line.caller, line.callee
    received = {caller.ip: _Reception(), callee.ip: _Reception()}
    for turn in range(1, _REPORTS + 1):
        for phone, other, later_s in ((caller, callee, 0.0), (callee, caller, 0.37)):
            at_s = line.answered_s + turn * _REPORT_INTERVAL_S + later_s
            # A phone that has sent no media since its last report sends a receiver report.
            sends = phone is callee or turn < _REPORTS
            report = _report(line, phone, other, received[phone.ip], at_s, sends=sends)
            if sends:
                received[other.ip].last_report_s = at_s
            yield line.step(
                at_s,
                (phone.ip, phone.media_port + 1),
                (PROXY, phone.relay_port + 1),
                kind="RTCP",
                payload=json.dumps(report, separators=(",", ":")),
            )


def _report(
    line: _Call, phone: _Phone, other: _Phone, received: _Reception, at_s: float, *, sends: bool
) -> dict[str, object]:
    """Return an RTCP packet as captagent writes it, and note what has been lost until then."""
    media_s = at_s - line.answered_s
    mute_s = (_REPORTS - 1) * _REPORT_INTERVAL_S if other is line.caller else DURATION_S
    expected = int(min(media_s, mute_s) * _PACKETS_PER_S) - received.expected
    # Worse and better by turns: no line is the same for a whole call.
    swing = 1.5 if received.expected // (_REPORT_INTERVAL_S * _PACKETS_PER_S) % 2 else 0.5
    lost = round(expected * phone.lost * swing)
    received.expected += expected
    received.lost += lost
    lsr = dlsr = 0
    if received.last_report_s is not None:
        seconds, fraction = _ntp(line, received.last_report_s)
        lsr = (seconds & 0xFFFF) << 16 | fraction >> 16
        dlsr = int((at_s - received.last_report_s - 0.03) * 65536)  # 30 ms on the way
    block = {
        "source_ssrc": other.ssrc,
        "highest_seq_no": other.first_sequence + received.expected,
        "fraction_lost": lost * 256 // expected if expected else 0,
        "ia_jitter": round(phone.jitter_ms * swing * _CLOCK_HZ / 1000),
        "packets_lost": received.lost,
        "lsr": lsr,
        "dlsr": dlsr,
    }
    report: dict[str, object] = {}
    if sends:
        seconds, fraction = _ntp(line, at_s)
        packets = int(media_s * _PACKETS_PER_S)
        report["sender_information"] = {
            "ntp_timestamp_sec": seconds,
            "ntp_timestamp_usec": fraction,  # so named, yet the fraction as it travels
            "rtp_timestamp": int(media_s * _CLOCK_HZ) & 0xFFFFFFFF,
            "packets": packets,
            "octets": packets * _OCTETS_PER_PACKET,
        }
    report |= {
        "ssrc": phone.ssrc,
        "type": _SENDER_REPORT if sends else _RECEIVER_REPORT,
        "report_count": 1,
        "report_blocks": [block],
    }
    return report


def _ntp(line: _Call, at_s: float) -> tuple[int, int]:
    """Return a time as NTP writes it: seconds since 1900 and 32 bits of fraction."""
    seconds, microseconds = divmod(line.start_us + round(at_s * 1_000_000), 1_000_000)
    return (seconds + _NTP_EPOCH) & 0xFFFFFFFF, (microseconds << 32) // 1_000_000
