"""The demo call is one that real programs could have sent."""

import json
import re

import pytest

from hepsw import demo
from hepsw.demo import call
from hepsw.hep import PROTO_TYPES, decode

START_US = 1_763_900_000_000_000


def sip(number=1):
    steps = call(number, START_US)
    return [step.packet for step in steps if step.packet.proto_type == PROTO_TYPES["SIP"]]


def first_line(packet):
    return packet.payload.split(b"\r\n")[0].decode()


def header(packet, name):
    return re.findall(rf"^{name}: (.*?)\r$", packet.payload.decode(), re.MULTILINE)


@pytest.mark.parametrize("number", range(20))
def test_flawless(number):
    """Every packet decodes without a warning and says who reports it."""
    for _offset_s, packet in call(number, START_US):
        assert decode(packet.data) == packet
        assert packet.warnings == ()
        assert (packet.capture_id, packet.node_name) == (demo.CAPTURE_ID, b"demo")


def test_deterministic():
    """The same arguments give the same octets; another number, or time, gives another call."""
    octets = {
        arguments: tuple(step.packet.data for step in call(*arguments))
        for arguments in ((1, START_US), (2, START_US), (1, START_US + 1))
    }
    assert octets[1, START_US] == tuple(step.packet.data for step in call(1, START_US))
    assert len(set(octets.values())) == 3
    assert len({header(sip(number)[0], "Call-ID")[0] for number in range(100)}) == 100


@pytest.mark.parametrize("number", range(20))
def test_times(number):
    """Packets come in order, carry the time of their offset, and fit the promised duration."""
    steps = call(number, START_US)
    offsets = [step.offset_s for step in steps]
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    assert offsets[-1] < demo.DURATION_S
    for step in steps:
        assert step.packet.time_us == START_US + round(step.offset_s * 1_000_000)


def test_story():
    """A call is set up, talked through, and ended, on both sides of the proxy."""
    kinds = [step.packet.proto_type for step in call(1, START_US)]
    assert kinds == [1] * 7 + [100] + [1] * 2 + [5] * 6 + [1] * 4
    lines = [first_line(packet).removesuffix(" SIP/2.0") for packet in sip()]
    words = [line.split()[0 if not line.startswith("SIP/2.0") else 1] for line in lines]
    assert words == [
        *("INVITE", "100", "INVITE", "180", "180", "200", "200", "ACK", "ACK"),
        *("BYE", "BYE", "200", "200"),
    ]


@pytest.mark.parametrize("number", range(20))
def test_messages_are_sip(number):
    """What RFC 3261 asks of every message holds, lengths and tags included."""
    packets = sip(number)
    call_id = header(packets[0], "Call-ID")
    tags = set()
    for packet in packets:
        head, _, body = packet.payload.partition(b"\r\n\r\n")
        assert b"\n" not in head.replace(b"\r\n", b"")
        assert header(packet, "Content-Length") == [str(len(body))]
        assert bool(body) == bool(header(packet, "Content-Type"))
        assert header(packet, "Call-ID") == call_id
        assert len(header(packet, "CSeq")) == 1
        line = first_line(packet)
        is_first = line.startswith(("INVITE", "SIP/2.0 100"))
        assert ("tag=" in header(packet, "To")[0]) is not is_first
        tags |= {*re.findall(r";tag=(\w+)", packet.payload.decode())}
        vias = header(packet, "Via")
        behind = str(packet.dst_ip) != demo.PROXY and not line.startswith("SIP/2.0")
        behind |= str(packet.src_ip) != demo.PROXY and line.startswith("SIP/2.0")
        assert len(vias) == 1 + behind
        assert all(";branch=z9hG4bK" in via for via in vias)
        if not line.startswith("SIP/2.0"):
            assert header(packet, "Max-Forwards") == ["69" if behind else "70"]
    assert len(tags) == 2


def test_correlated():
    """RTCP and the log line name the Call-ID, as no parser can find it in them."""
    call_id = header(sip()[0], "Call-ID")[0].encode()
    for _offset_s, packet in call(1, START_US):
        assert packet.correlation_id == (None if packet.proto_type == 1 else call_id)


def test_mute():
    """The called phone expects no more media once the caller reports as a receiver only."""
    packets = [step.packet for step in call(1, START_US) if step.packet.proto_type == 5]
    heard = [
        json.loads(packet.payload) for packet in packets if str(packet.src_ip) == "203.0.113.17"
    ]
    highest = [report["report_blocks"][0]["highest_seq_no"] for report in heard]
    assert highest[0] < highest[1] == highest[2]


def test_quality():
    """Reports come from both ends, as sender and receiver, and differ from call to call."""
    losses, jitters = set(), set()
    for number in range(20):
        packets = [step.packet for step in call(number, START_US)]
        reports = [json.loads(packet.payload) for packet in packets if packet.proto_type == 5]
        assert len({report["ssrc"] for report in reports}) == 2
        assert [report["type"] for report in reports].count(201) == 1
        for report in reports:
            assert ("sender_information" in report) == (report["type"] == 200)
            [block] = report["report_blocks"]
            assert 0 <= block["fraction_lost"] < 256
            losses.add(block["packets_lost"])
            jitters.add(block["ia_jitter"])
    assert 0 in losses
    assert len(losses) > 5
    assert len(jitters) > 20
