"""Packets as records of a capture file, read back by dpkt."""

import io
import struct
import zlib

import dpkt
import pytest
import wire
from hep.vectors import USABLE, named
from hypothesis import given
from hypothesis import strategies as st

from hepsw.errors import CannotLeaveError
from hepsw.hep import decode, decode_datagram
from hepsw.recall.pcap import write_capture
from hepsw.sinks.stores.files.datagram import LATEST_US, LONGEST, make_datagram, make_record
from hepsw.view import Peer, View

PEER = Peer(bytes([192, 0, 2, 1]), 9060, "udp", bytes([192, 0, 2, 2]), 9061, "main")
ARRIVAL_US = 1_700_000_000_123_456


def packet(payload=b"OPTIONS", **bodies):
    """Return a packet with a payload and the chunks named `x0011`, by their bodies."""
    found = [(0, int(name[1:], 16), body) for name, body in bodies.items()]
    return decode(wire.frame([*found, *([] if payload is None else [(0, 0x000F, payload)])]))


def view(given):
    return View(given, PEER, ARRIVAL_US)


def read_back(octets):
    """Return the IP packet, as dpkt reads it."""
    return (dpkt.ip.IP if octets[0] >> 4 == 4 else dpkt.ip6.IP6)(octets)


def words(octets):
    """Return the ones' complement sum, word by word, as RFC 1071 has it: 0xffff if it is right."""
    padded = octets + bytes(len(octets) % 2)
    total = sum(word for (word,) in struct.iter_unpack("!H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def check(octets, payload):
    """The lengths and checksums of an IP packet are right, and this is its payload."""
    ip = read_back(octets)
    udp = ip.data
    assert isinstance(udp, dpkt.udp.UDP)
    assert udp.data == payload
    assert udp.ulen == 8 + len(payload)
    if octets[0] >> 4 == 4:
        assert ip.len == len(octets)
        assert ip.hl == 5
        assert words(octets[:20]) == 0xFFFF
        assert ip.sum != 0xFFFF
        pseudo = ip.src + ip.dst + struct.pack("!BBH", 0, 17, udp.ulen)
        rest = octets[20:]
    else:
        assert ip.plen == udp.ulen == len(octets) - 40
        pseudo = ip.src + ip.dst + struct.pack("!II", udp.ulen, 17)
        rest = octets[40:]
    assert words(pseudo + rest) == 0xFFFF
    assert udp.sum != 0
    return ip


ADDRESSES = {
    "v4": (st.just(0x0003), st.just(0x0004), st.binary(min_size=4, max_size=4)),
    "v6": (st.just(0x0005), st.just(0x0006), st.binary(min_size=16, max_size=16)),
}


@st.composite
def packets(draw):
    """Packets with any addresses, of either family or none, ports, services and payloads."""
    chunks = []
    for side in (0, 1):
        kind = draw(st.sampled_from(["v4", "v6", None]))
        if kind is not None:
            chunks.append((0, draw(ADDRESSES[kind][side]), draw(ADDRESSES[kind][2])))
    for type_id, size in ((0x0007, 2), (0x0008, 2), (0x0018, 1), (0x0001, 1), (0x0002, 1)):
        if draw(st.booleans()):
            chunks.append((0, type_id, draw(st.binary(min_size=size, max_size=size))))
    chunks.append((0, 0x000F, draw(st.binary(min_size=1, max_size=300))))
    return decode(wire.frame(chunks))


@given(packets())
def test_any(given):
    """Whatever a packet says, its datagram has its payload, ports and service, and adds up."""
    ip = check(make_datagram(given), given.body(0x000F))
    assert ip.data.sport == (given.src_port or 0)
    assert ip.data.dport == (given.dst_port or 0)
    assert (ip.tos if ip.v == 4 else ip.fc) == (given.tos or 0)
    for written, told in ((ip.src, given.src_address), (ip.dst, given.dst_address)):
        if told is None:
            assert not any(written)
        else:
            assert written in {told, bytes(10) + b"\xff\xff" + told}


@pytest.mark.parametrize("kind", ["v4", "v6"])
def test_sum_of_zero(kind):
    """A sum that comes out as 0 is written as 0xffff: 0 would say that nobody counted."""
    address = {"x0003": b"\xc0\0\2\1"} if kind == "v4" else {"x0005": bytes(15) + b"\1"}
    first = read_back(make_datagram(packet(b"\0\0", **address))).data.sum
    octets = make_datagram(packet(first.to_bytes(2), **address))
    assert check(octets, first.to_bytes(2)).data.sum == 0xFFFF


def test_mixed():
    """A pair of two families stands as IPv6, the IPv4 address mapped."""
    octets = make_datagram(packet(x0003=bytes([192, 0, 2, 7]), x0006=bytes(15) + b"\1"))
    ip = check(octets, b"OPTIONS")
    assert ip.src == bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])
    assert ip.dst == bytes(15) + b"\1"


@pytest.mark.parametrize(("family", "size"), [(2, 4), (10, 16), (30, 16), (77, 4)])
def test_no_address(family, size):
    """Without addresses the declared family decides, and both are unspecified."""
    ip = check(make_datagram(packet(x0001=bytes([family]))), b"OPTIONS")
    assert (ip.src, ip.dst) == (bytes(size), bytes(size))


def test_no_payload():
    """A packet without a payload is an empty datagram."""
    check(make_datagram(packet(None, x0007=b"\x13\xc4")), b"")


def test_compressed():
    """A compressed payload is written as it was captured, and nothing is remembered of it."""
    given = packet(None, x0010=zlib.compress(b"INVITE " * 1000))
    check(make_datagram(given), b"INVITE " * 1000)
    assert given.inflated is None


def test_too_big():
    """What no datagram holds is refused, inflated or not, and the largest one is written."""
    largest = packet(None, x0010=zlib.compress(bytes(LONGEST)))
    check(make_datagram(largest), bytes(LONGEST))
    for larger in (
        packet(None, x0010=zlib.compress(bytes(LONGEST + 1))),
        packet(None, x0010=zlib.compress(bytes(50_000_000))),
        packet(bytes(LONGEST + 1)),
    ):
        with pytest.raises(CannotLeaveError) as told:
            make_datagram(larger)
        assert told.value.reason == "too-big"


def test_not_inflated():
    """A payload that does not inflate is refused: written, it would be none that was captured."""
    with pytest.raises(CannotLeaveError) as told:
        make_datagram(packet(None, x0010=b"\x78\x9cnot deflate"))
    assert told.value.reason == "inflate-failed"


def record_time(given):
    seconds, microseconds = struct.unpack_from("<II", make_record(view(given)))
    return seconds * 1_000_000 + microseconds


def test_time():
    """A record has the time of the capture; without one, that of the arrival; never a wrong one."""
    seconds = (1_800_000_000).to_bytes(4)
    assert record_time(packet(x0009=seconds, x000a=(999_999).to_bytes(4))) == 1_800_000_000_999_999
    # More than a million microseconds: some agents do.
    over = packet(x0009=seconds, x000a=(1_500_000).to_bytes(4))
    assert record_time(over) == 1_800_000_001_500_000
    assert record_time(packet()) == ARRIVAL_US
    assert record_time(packet(x0009=b"\xff" * 4, x000a=b"\xff" * 4)) == LATEST_US


@pytest.mark.parametrize("vector", USABLE, ids=named)
def test_vectors(vector):
    """Every packet of the vectors becomes a right datagram, or is refused for what it is."""
    for found in decode_datagram(vector.data, gzip_frames=True):
        if found.payload == b"" and found.inflated is not None and found.inflated.warning:
            with pytest.raises(CannotLeaveError) as told:
                make_datagram(found)
            assert told.value.reason in {"too-big", "inflate-failed"}
        else:
            check(make_datagram(found), found.payload or b"")


def test_capture():
    """A capture file has the packets in order, and counts those that it cannot have."""
    stream = io.BytesIO()
    views = [view(packet(b"INVITE %d" % number)) for number in range(3)]
    bomb = view(packet(None, x0010=zlib.compress(bytes(100_000))))
    told = write_capture(stream, iter([*views, bomb]))
    assert (told.written, told.left_out) == (3, {"too-big": 1})
    stream.seek(0)
    reader = dpkt.pcap.Reader(stream)
    assert reader.datalink() == 101  # LINKTYPE_RAW; dpkt's own number is that of some system
    read = list(reader)
    assert [read_back(octets).data.data for _, octets in read] == [
        b"INVITE 0",
        b"INVITE 1",
        b"INVITE 2",
    ]
    assert {round(time * 1_000_000) for time, _ in read} == {ARRIVAL_US}
