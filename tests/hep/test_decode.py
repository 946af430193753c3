from __future__ import annotations

import pytest
from hep.strategies import IPV4, IPV6, bodies, odd_chunks
from hep.vectors import BY_NAME
from hypothesis import given
from hypothesis import strategies as st

from hepsw.hep import (
    COMPILED,
    GENERIC,
    Chunk,
    ChunkKey,
    DecodeError,
    Packet,
    build,
    decode,
    decode_datagram,
    encode,
    strip_nuls,
)
from hepsw.hep.chunks import namespace_ids

SIP = BY_NAME["captagent-sip-udp"].data
RTCP = BY_NAME["captagent-rtcp-json"].data
BROKEN = BY_NAME["chunk-length-zero"].data

known_chunks = st.sampled_from(GENERIC).flatmap(
    lambda spec: st.builds(
        Chunk,
        st.sampled_from([0, 1, 1, 9, 9]),
        st.just(spec.type_id),
        bodies(spec),
    ),
)


def namespace_of(chunks):
    """Say whose chunks are the generic ones, the obvious way."""
    vendors = {chunk.vendor_id for chunk in chunks}
    has_payload = any(chunk.type_id in {0x0F, 0x10} for chunk in chunks)
    return vendors.pop() if len(vendors) == 1 and has_payload else 0


@given(st.lists(known_chunks | odd_chunks, max_size=8) | st.lists(known_chunks, max_size=3))
def test_table_agrees_with_the_chunks(chunks):
    """The table of known chunks says what a plain walk over all chunks says: the last one wins."""
    packet = decode(encode(chunks))
    assert list(packet.chunks()) == chunks
    assert packet.namespace == namespace_of(chunks)
    for spec in GENERIC:
        is_read = not packet.namespace or spec.type_id in namespace_ids(packet.namespace)
        found = [
            chunk.body
            for chunk in chunks
            if is_read and chunk.key == (packet.namespace, spec.type_id)
        ]
        assert packet.body(spec.type_id) == (found[-1] if found else None)
        assert packet.is_repeated(spec.type_id) == (len(found) > 1)
        assert (f"dup:{spec.type_id:04x}" in packet.warnings) == (len(found) > 1)
    for chunk in chunks:
        last = [other.body for other in chunks if other.key == chunk.key][-1]
        assert packet.chunk(chunk.key) == last
    assert packet.chunk(ChunkKey(77, 1)) is None


@given(st.permutations([(0, 3), (0, 4), (0, 5), (0, 6), (0, 1)]), st.sampled_from([2, 10, 23, 7]))
def test_address_choice(order, family):
    """Where both kinds of address are, the declared family chooses, else IPv4 is read."""
    by_id = {3: IPV4[0], 4: IPV4[1], 5: IPV6[0], 6: IPV6[1], 1: bytes((family,))}
    packet = decode(encode([Chunk(0, type_id, by_id[type_id]) for _, type_id in order]))
    chosen = IPV6 if family in {10, 23} else IPV4
    assert (packet.src_address, packet.dst_address) == tuple(chosen)
    assert "both-families" in packet.warnings
    assert "family-mismatch" not in packet.warnings


def test_datagram_of_frames():
    """Every frame of a datagram is judged on its own, a broken one between good ones included."""
    first, broken, last = decode_datagram(SIP + BROKEN + RTCP)
    assert first.data == SIP
    assert first.warnings == ("multi-frame",)
    assert isinstance(broken, DecodeError)
    assert broken.reason == "chunk-too-short"
    assert len(SIP) < broken.offset < len(SIP + BROKEN)
    assert last == decode(RTCP)
    assert last.warnings == ()
    error, packet = decode_datagram(BROKEN + SIP)
    assert isinstance(error, DecodeError)
    assert packet.data == SIP


@pytest.mark.parametrize(
    "tail", [b"x", bytes(8), b"HEP3\0", SIP[:-1], SIP + b"x", b"\x01" + bytes(40)]
)
def test_datagram_with_a_tail(tail):
    """Octets behind a frame that are no whole frames are left out, with a warning."""
    (packet,) = decode_datagram(SIP + tail)
    assert packet == decode(SIP)
    assert packet.warnings == ("trailing-bytes",)


def test_datagram_of_one():
    """One datagram is one packet or one error in nearly every case."""
    assert decode_datagram(SIP) == [decode(SIP)]
    for name in ("v1-ipv4-udp-sip", "v2-ipv4-captagent"):
        assert decode_datagram(BY_NAME[name].data) == [decode(BY_NAME[name].data)]
    for data, reason in (
        (b"", "too-short"),
        (b"OPTIONS", "bad-magic"),
        (SIP[:-1], "total-exceeds-datagram"),
    ):
        (error,) = decode_datagram(data)
        assert isinstance(error, DecodeError)
        assert error.reason == reason


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"HEP3\0\5", "total-too-small", 4),
        (b"HEP3\0\7", "total-exceeds-datagram", 4),
        (b"HEP3\0\7x", "chunk-header-truncated", 6),
        (b"HEP3\0\x0c\0\0\0\1\0\5", "chunk-too-short", 6),
        (b"HEP3\0\x12\0\0\0\1\0\6\0\0\0\1\0\7", "chunk-overrun", 12),
        (b"\1\x10\1" + bytes(20), "v12-family", 2),
        (b"\2\x10\2" + bytes(24), "v12-truncated", 27),
    ],
)
def test_offsets(data, reason, offset):
    """An error says where in the datagram the trouble starts."""
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


def legacy(version, header_length, family=2, time=None, payload=b"SIP/2.0"):
    time = time if time is not None else b"\0\xf1\x53\x65" + bytes(8)
    addresses = bytes(range(8 if family == 2 else 32))
    return decode(
        bytes((version, header_length, family, 17, 0, 1, 0, 2))
        + addresses
        + (time if version == 2 else b"")
        + payload,
    )


@pytest.mark.parametrize(
    ("version", "family", "header_length", "known"),
    [
        (1, 2, 16, True),
        (1, 2, 28, False),
        (1, 2, 40, False),
        (1, 10, 40, True),
        (1, 23, 40, True),
        (2, 2, 16, True),
        (2, 2, 28, True),
        (2, 10, 52, True),
        (2, 10, 28, False),
        (2, 2, 0, False),
        (2, 2, 255, False),
    ],
)
def test_header_length(version, family, header_length, known):
    """The header length of HEP1 and HEP2 is compared, and never used."""
    packet = legacy(version, header_length, family)
    assert packet.payload == b"SIP/2.0"
    assert (f"hdr-len:{header_length}" in packet.warnings) is not known


@pytest.mark.parametrize(
    ("time", "byte_order", "seconds"),
    [
        ("00f15365 40e20100 0100 0000", "little", 1_700_000_000),
        ("6553f100 0001e240 0001 0000", "big", 1_700_000_000),
        ("6553f100 ffffffff 0001 0000", "little", 0x00F15365),
        ("00000000 00000000 0000 0000", "little", 0),
        ("00ca9a3b 3f420f00 0000 0000", "little", 1_000_000_000),
        ("3b9aca00 000f423f 0000 0000", "big", 1_000_000_000),
        ("3b9aca00 000f4240 0000 0000", "little", 0x00CA9A3B),
    ],
)
def test_time_byte_order(time, byte_order, seconds):
    """HEP2 times are little-endian unless only big-endian makes sense of all of them."""
    packet = legacy(2, 16, time=bytes.fromhex(time))
    assert packet.time_byte_order == byte_order
    assert packet.seconds == seconds
    assert ("be-timestamp" in packet.warnings) == (byte_order == "big")


def test_legacy_payload_of_nuls():
    """A payload that is only NULs is empty; NULs inside of one stay."""
    packet = legacy(1, 16, payload=bytes(5))
    assert packet.payload == b""
    assert packet.warnings == ("empty-payload", "trailing-nul")
    assert packet.payload_span == (16, 16)
    assert legacy(1, 16, payload=b"a\0b\0").payload == b"a\0b"
    zeros = decode(b"\1\x10\2\x11" + bytes(12))
    assert zeros.payload_span == (16, 16)


def test_legacy_has_no_chunks():
    """HEP1 and HEP2 have fields, not chunks."""
    packet = legacy(1, 16)
    assert list(packet.chunks()) == []
    assert packet.chunk(ChunkKey(0, 1)) is None
    assert packet.auth_key is None
    assert packet.capture_id is None
    assert packet.time_us is None
    assert (packet.magic, packet.proto_type) == (b"\1", 1)


def test_legacy_longer_than_a_frame():
    """A datagram of HEP1 beyond 16 bits of length is still read whole."""
    assert len(legacy(1, 16, payload=b"x" * 70000).payload) == 70000


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"src_ip": "0.0.0.0", "dst_ip": "0.0.0.0"}, "zero-address"),  # noqa: S104 - a chunk - no socket
        ({"src_ip": "::", "dst_ip": "::"}, "zero-address"),
        ({"ip_family": 30, "src_ip": "192.0.2.1"}, "family-mismatch"),
        ({"ip_family": 2, "src_ip": "::1"}, "family-mismatch"),
        ({"ip_family": 30}, "family-os:30"),
        ({"ip_family": 1}, "unknown-family:1"),
        ({"auth_key": b"k\0"}, "nul-in-text"),
        ({"microseconds": 1_000_000}, "usec-range"),
        ({"capture_id": 65536}, "capture-id-shifted"),
    ],
)
def test_warning(values, warning):
    """Oddities that no recorded frame shows are told as well."""
    assert warning in build(**values).warnings


def test_no_warning():
    """One address of zeros, an id of zero, text of no octets: nothing odd."""
    packet = build(src_ip="0.0.0.0", dst_ip="192.0.2.1", capture_id=0, auth_key=b"")  # noqa: S104 - a chunk
    assert packet.warnings == ("missing:payload", "missing:proto-type", "missing:time")


def test_last_of_two_wins_in_size_too():
    """Of two chunks the last one counts, even if its size is wrong and the first one's is not."""
    packet = decode(encode([Chunk(0, 7, b"\0\1"), Chunk(0, 7, b"\0")]))
    assert packet.src_port is None
    assert {"bad-size:0007", "dup:0007"} <= set(packet.warnings)


def test_read_only():
    """A packet cannot be changed from outside; plain, `data` and `version` are bare slots."""
    packet = decode(SIP)
    compiled = ("data", "version", "steps") if COMPILED else ()
    for name in (*compiled, "payload", "warnings", "colour"):
        with pytest.raises(AttributeError):
            setattr(packet, name, b"")
    assert isinstance(Packet.vlan.__doc__, str)


def test_strip_nuls():
    """Texts compare without the NULs that C agents leave behind."""
    assert strip_nuls(b"myHep\0\0") == b"myHep"
    assert strip_nuls(b"a\0b") == b"a\0b"
