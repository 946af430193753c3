from __future__ import annotations

import ipaddress

import pytest
from hep.strategies import packets
from hep.vectors import BY_NAME, USABLE, named
from hypothesis import given

from hepsw.hep import (
    GENERIC,
    PROTO_TYPE_NAMES,
    PROTO_TYPES,
    Chunk,
    ChunkKey,
    ChunkType,
    DecodeError,
    EditError,
    build,
    decode,
    encode,
    encode_v1,
    encode_v2,
    to_v3,
)

RECEIVED = 1_700_000_009_000_007
FIELDS = [
    "ip_protocol",
    "src_address",
    "dst_address",
    "src_port",
    "dst_port",
    "payload",
]


@given(packets)
def test_round_trip(packet):
    """Whatever its version, a packet written again and read again is the same packet."""
    if packet.version == 3:
        again = encode(packet.chunks(), packet.magic)
    else:
        values = {
            "src_ip": packet.src_address,
            "dst_ip": packet.dst_address,
            "src_port": packet.src_port,
            "dst_port": packet.dst_port,
            "ip_protocol": packet.ip_protocol,
            "payload": packet.payload,
        }
        if packet.version == 1:
            again = encode_v1(**values)
        else:
            again = encode_v2(**values, time=packet.time_us, capture_id=packet.capture_id)
        again += bytes(len(packet.data) - packet.payload_span[1])
    assert decode(again) == packet


def test_registry():
    """Every row is a property of the packet; every name has one meaning both ways."""
    for spec in GENERIC:
        body = spec.type.pack(1 if spec.type.is_number else bytes(spec.type.size or 3))
        packet = decode(encode([Chunk(0, spec.type_id, body)]))
        value = getattr(packet, spec.name)
        if "ip" in spec.name.split("_")[1:]:
            assert value is None or value.packed == body
        else:
            assert value == spec.type.unpack(body)
        assert packet.chunk(ChunkKey(0, spec.type_id)) == body
        with pytest.raises(DecodeError):
            ChunkType.UINT16.unpack(b"x")
    assert [spec.type_id for spec in GENERIC] == sorted({spec.type_id for spec in GENERIC})
    assert PROTO_TYPES["SIP"] == 1
    assert PROTO_TYPES["LOG"] == 100
    assert {PROTO_TYPE_NAMES[number]: number for number in PROTO_TYPE_NAMES} == PROTO_TYPES


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ChunkType.UINT8, 256),
        (ChunkType.UINT8, -1),
        (ChunkType.UINT8, b"\1"),
        (ChunkType.UINT16, 65536),
        (ChunkType.UINT32, 1 << 32),
        (ChunkType.UINT64, 1 << 64),
        (ChunkType.INET4, bytes(16)),
        (ChunkType.INET4, 1),
        (ChunkType.INET6, bytes(4)),
        (ChunkType.UTF8, 1),
        (ChunkType.OCTETS, 1),
    ],
)
def test_does_not_fit(kind, value):
    """A value that a type cannot hold is refused, never cut."""
    with pytest.raises(EditError) as caught:
        kind.pack(value)
    assert caught.value.reason == "does-not-fit"


def test_build():
    """A built packet has its chunks in captagent's order, its family from its addresses."""
    packet = build(
        payload=b"OPTIONS",
        node_name="edge-01",
        time=1_700_000_000_123_456,
        src_ip="192.0.2.10",
        dst_ip=ipaddress.ip_address("198.51.100.20"),
        src_port=5060,
        dst_port=5062,
        ip_protocol=17,
        proto_type=1,
        capture_id=2001,
        auth_key=b"myHep",
        correlation_id="münchen",
        vlan=None,
    )
    order = [chunk.type_id for chunk in packet.chunks()]
    assert order == [1, 2, 7, 8, 9, 0xA, 0xB, 0xC, 3, 4, 0xE, 0x11, 0x13, 0xF]
    assert packet.ip_family == 2
    assert packet.time_us == 1_700_000_000_123_456
    assert packet.correlation_id == "münchen".encode()
    assert packet.warnings == ()
    packet = build(magic=b"EEP3", src_ip=bytes(15) + b"\1", dst_ip="::2")
    assert [chunk.type_id for chunk in packet.chunks()] == [1, 5, 6]
    assert packet.ip_family == 10
    assert packet.magic == b"EEP3"
    assert [chunk.type_id for chunk in build(dst_ip="::2").chunks()] == [1, 6]
    assert build(ip_family=23, src_ip="::1").ip_family == 23
    assert build().data == b"HEP3\0\x06"


def test_build_captagent():
    """Built from the same values, the packet is captagent's octet for octet."""
    theirs = decode(BY_NAME["captagent-sip-udp"].data)
    names = [spec.name for spec in GENERIC if spec.name not in {"src_ip", "dst_ip"}]
    ours = build(
        src_ip=theirs.src_address,
        dst_ip=theirs.dst_ip,
        **{name: getattr(theirs, name) for name in names},
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"src_port": 65536}, "does-not-fit"),
        ({"src_port": "5060"}, "does-not-fit"),
        ({"time": -1}, "does-not-fit"),
        ({"time": b"now"}, "does-not-fit"),
        ({"time": 1 << 63}, "does-not-fit"),
        ({"src_ip": b"abc"}, "does-not-fit"),
        ({"src_ip": 1}, "does-not-fit"),
        ({"payload": ipaddress.ip_address("::1")}, "does-not-fit"),
        ({"payload": bytes(65524)}, "too-big"),
    ],
)
def test_build_refused(values, reason):
    """What cannot be carried is an error with its reason."""
    with pytest.raises(EditError) as caught:
        build(**values)
    assert caught.value.reason == reason


def test_operator_mistakes():
    """Wrong names, texts and magics are bugs of the caller, not the packet's."""
    with pytest.raises(KeyError, match="colour"):
        build(colour=1)
    with pytest.raises(ValueError, match="300"):
        build(src_ip="10.0.0.300")
    with pytest.raises(ValueError, match="HEP4"):
        encode([], b"HEP4")


def test_encode_limits():
    """65535 octets fit, one more is too big; numbers have 16 bits."""
    assert len(encode([Chunk(0, 15, bytes(65523))])) == 65535
    for chunks, reason in (
        ([Chunk(0, 15, bytes(65524))], "too-big"),
        ([Chunk(0, 15, b"")] * 10922, "too-big"),
        ([Chunk(65536, 15, b"")], "does-not-fit"),
        ([Chunk(0, -1, b"")], "does-not-fit"),
    ):
        with pytest.raises(EditError) as caught:
            encode(chunks)
        assert caught.value.reason == reason


LEGACY = {
    "src_ip": "192.0.2.10",
    "dst_ip": "198.51.100.20",
    "src_port": 5060,
    "dst_port": 5062,
    "ip_protocol": 17,
    "payload": b"OPTIONS",
}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"dst_ip": "::1"}, "family"),
        ({"src_port": 65536}, "does-not-fit"),
        ({"ip_protocol": 256}, "does-not-fit"),
        ({"capture_id": 65536}, "does-not-fit"),
        ({"capture_id": -1}, "does-not-fit"),
        ({"time": 1 << 63}, "does-not-fit"),
        ({"time": 0x6553F100}, "does-not-fit"),
        ({"payload": b"OPTIONS\0"}, "does-not-fit"),
        ({"payload": bytes(65508) + b"x"}, "too-big"),
    ],
)
def test_legacy_refused(values, reason):
    """HEP1 and HEP2 refuse what their header cannot say."""
    if values == {"time": 0x6553F100}:
        # 1970 in little-endian, a plausible time in big-endian: would be misread.
        values = {"time": int.from_bytes(bytes.fromhex("6553f100"), "little") * 1_000_000}
    with pytest.raises(EditError) as caught:
        encode_v2(**{**LEGACY, "time": 1_700_000_000_000_000, **values})
    assert caught.value.reason == reason


def test_legacy_like_captagent():
    """Our HEP1 and HEP2 are captagent's and Kamailio's octet for octet."""
    for name in ("v1-ipv4-udp-sip", "v1-ipv6-udp-sip", "v2-ipv4-captagent", "v2-ipv6-captagent"):
        packet = decode(BY_NAME[name].data)
        values = {
            **LEGACY,
            "src_ip": packet.src_ip,
            "dst_ip": packet.dst_ip,
            "payload": packet.payload,
        }
        if packet.version == 2:
            values |= {"time": packet.time_us, "capture_id": packet.capture_id}
        assert (encode_v1 if packet.version == 1 else encode_v2)(**values) == packet.data


@pytest.mark.parametrize("vector", USABLE, ids=named)
def test_to_v3(vector):
    """HEP1 and HEP2 say the same as HEP3; HEP3 stays the object it is."""
    packet = decode(vector.data)
    converted = to_v3(packet, RECEIVED)
    if packet.version == 3:
        assert converted is packet
        return
    ids = [chunk.type_id for chunk in converted.chunks()]
    addresses = [3, 4] if len(packet.src_address) == 4 else [5, 6]
    assert sorted(ids) == sorted([1, 2, *addresses, 7, 8, 9, 0xA, 0xB, 0xC, 0xF])
    assert ids[-1] == 0xF
    for name in FIELDS:
        assert getattr(converted, name) == getattr(packet, name)
    assert converted.ip_family == (2 if len(packet.src_address) == 4 else 10)
    assert converted.time_us == (packet.time_us if packet.version == 2 else RECEIVED)
    assert converted.capture_id == (packet.capture_id or 0)
    is_rtcp = "json-in-v12" in packet.warnings and b"sender_information" in packet.payload
    assert converted.proto_type == (5 if is_rtcp else 1)


def test_to_v3_too_big():
    """A HEP1 frame that HEP3 cannot hold is refused, not cut."""
    packet = decode(BY_NAME["v1-ipv4-udp-sip"].data + b"x" * 65200)
    with pytest.raises(EditError) as caught:
        to_v3(packet, RECEIVED)
    assert caught.value.reason == "too-big"
