"""sngrep -H delivers through hepsw: HEP 2 and 3, out of a capture file."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from types import SimpleNamespace

import dpkt
import pytest
import wire
from loopback import HOST, PATIENCE
from peers.programs import program

pytestmark = pytest.mark.peer

CAPTURE_ID = 2001
START = datetime(2026, 1, 31, 23, 59, 58, 250_000, UTC)
STEP = timedelta(milliseconds=500)

SWITCH = """
[[listen]]
name = "agents"
url  = "udp://127.0.0.1:{port}"

[destinations]
collector = "{sink}"

[[rules.main]]
name  = "look"
log   = "{{time}} {{hep_version}} {{capture_id}} {{ip_protocol}} {{proto_type}} \
{{src_ip}}:{{src_port}} {{dst_ip}}:{{dst_port}} {{payload}}"
relay = "collector"
"""

SETTINGS = """
set eep.send.version {version}
set eep.send.id {capture_id}
set eep.send.pass myHep
"""


def message(first, method, call_id):
    lines = [
        first,
        f"Via: SIP/2.0/UDP caller.example.org;branch=z9hG4bK{method}",
        "Max-Forwards: 70",
        "From: <sip:alice@example.org>;tag=1",
        "To: <sip:bob@example.org>;tag=2",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        "Content-Length: 0",
    ]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def exchange(caller, called, call_id, *steps):
    """Yield messages between two ends; a number is the called party's answer to the last method."""
    method = ""
    for step in steps:
        if isinstance(step, int):
            yield called, caller, message(f"SIP/2.0 {step} Fine", method, call_id)
        else:
            method = step
            text = message(f"{method} sip:bob@example.org SIP/2.0", method, call_id)
            yield caller, called, text


CALL = (
    *exchange(
        ("192.0.2.1", 5062),
        ("192.0.2.2", 5060),
        "call@peers",
        *("INVITE", 180, 200, "ACK", "BYE", 200),
    ),
    *exchange(("2001:db8::1", 5062), ("2001:db8::2", 5060), "ipv6@peers", *("INVITE", 486, "ACK")),
)
"""What the capture file holds: source, destination, SIP."""


def ethernet(source, destination, payload):
    """Return an Ethernet frame with a SIP message over UDP."""
    (src, sport), (dst, dport) = source, destination
    src, dst = ip_address(src), ip_address(dst)
    udp = dpkt.udp.UDP(sport=sport, dport=dport, data=payload, ulen=8 + len(payload))
    if src.version == 4:
        ip = dpkt.ip.IP(src=src.packed, dst=dst.packed, p=dpkt.ip.IP_PROTO_UDP, data=udp)
        ip.len = len(ip)
    else:
        ip = dpkt.ip6.IP6(
            src=src.packed, dst=dst.packed, nxt=dpkt.ip.IP_PROTO_UDP, hlim=64, data=udp
        )
        ip.plen = len(udp)
    kind = dpkt.ethernet.ETH_TYPE_IP if src.version == 4 else dpkt.ethernet.ETH_TYPE_IP6
    return dpkt.ethernet.Ethernet(src=b"\2" * 6, dst=b"\4" * 6, type=kind, data=ip)


@pytest.fixture
def sngrep(tmp_path):
    """Let sngrep send the call to a port; returns when it has ended."""
    where = program("sngrep")
    capture = tmp_path / "call.pcap"
    with capture.open("wb") as file:
        writer = dpkt.pcap.Writer(file)
        for number, packet in enumerate(CALL):
            writer.writepkt(ethernet(*packet), (START + number * STEP).timestamp())

    def run(version, port):
        settings = tmp_path / "sngreprc"
        settings.write_text(SETTINGS.format(version=version, capture_id=CAPTURE_ID))
        ended = subprocess.run(
            [where, "-F", "-f", settings, "-N", "-q", "-H", f"udp:{HOST}:{port}", "-I", capture],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            env={**os.environ, "TERM": "dumb"},
            check=False,
        )
        assert ended.returncode == 0, ended

    return run


@pytest.fixture
def delivered(sngrep, recorder, hepsw, udp_sink):
    """Let a call go from sngrep to the sink, and see that it went unchanged."""

    def run(version):
        switch = hepsw(SWITCH, sink=udp_sink.url)
        recording = recorder()
        sngrep(version, recording.port)
        recorded = recording.relay(len(CALL))
        assert recording.rest() == []
        assert udp_sink.take(len(CALL)) == recorded
        counters = switch.stop()
        assert udp_sink.rest() == []
        assert counters["sinks"]["collector"]["delivered"] == len(CALL)
        return SimpleNamespace(
            frames=recorded,
            told=switch.told("main/look"),
            listener=counters["listeners"]["agents"],
        )

    return run


def expected_lines(version, capture_id):
    return [
        f"{(START + number * STEP).strftime('%Y-%m-%dT%H:%M:%S.%fZ')} {version} {capture_id} "
        f"17 SIP {wire.end(source)} {wire.end(destination)} {text.decode()}"
        for number, (source, destination, text) in enumerate(CALL)
    ]


def test_hep3(delivered):
    """HEP 3 arrives octet for octet; that its capture id is shifted is counted, not mended."""
    result = delivered(3)
    assert [wire.payload(frame) for frame in result.frames] == [text for *_, text in CALL]
    for frame in result.frames:
        assert (0, 0x000C, b"\x07\xd1\x00\x00") in wire.chunks(frame)
    assert result.told == expected_lines(3, CAPTURE_ID << 16)
    assert (result.listener["seen"], result.listener["accepted"]) == (len(CALL), len(CALL))
    assert result.listener["warnings"] == {"capture-id-shifted": len(CALL)}


def test_hep2(delivered):
    """HEP 2 arrives octet for octet, its payload found in spite of the header length it claims."""
    result = delivered(2)
    assert [wire.payload(frame) for frame in result.frames] == [text for *_, text in CALL]
    assert {frame[1] for frame in result.frames}.isdisjoint({16, 28, 40, 52})
    assert result.told == expected_lines(2, CAPTURE_ID)
    assert (result.listener["seen"], result.listener["accepted"]) == (len(CALL), len(CALL))
    assert result.listener["warnings"] == {"hdr-len": len(CALL)}
