from __future__ import annotations

import hashlib
import ipaddress

import pytest
from hep.vectors import BY_NAME, DATAGRAMS, USABLE, named

from hepsw.hep import (
    GENERIC,
    ChunkKey,
    DecodeError,
    Packet,
    decode,
    decode_datagram,
    edit,
    encode,
    strip_nuls,
)

PLAIN = {
    "version": "version",
    "hp_l": "header_length",
    "family": "ip_family",
    "ip_proto": "ip_protocol",
    "transport": "transport",
    "src_port": "src_port",
    "dst_port": "dst_port",
    "ts_sec": "seconds",
    "ts_usec": "microseconds",
    "proto_type": "proto_type",
    "capture_id": "capture_id",
    "keepalive": "keep_alive",
    "vlan": "vlan",
    "ethertype": "ether_type",
    "tcp_flags": "tcp_flags",
    "ip_tos": "tos",
    "mos": "mos",
    "r_factor": "r_factor",
    "jitter": "jitter",
    "tag_type": "tag_type",
    "event_type": "event_type",
}
"""Fields of a vector that are a property of the packet as they stand."""
TEXT = {
    "auth_key": "auth_key",
    "correlation_id": "correlation_id",
    "node_name": "node_name",
    "geo": "geo_location",
    "transaction_type": "transaction_type",
    "json_keys": "payload_keys",
    "tags": "tag_values",
    "group_id": "group_id",
}


def facts(packet):
    """Say of a packet what the vectors say of it, in their words."""
    found = {field: getattr(packet, name) for field, name in PLAIN.items()}
    for field, name in TEXT.items():
        octets = getattr(packet, name)
        if octets is not None:
            try:
                found[field] = strip_nuls(octets).decode()
            except UnicodeDecodeError:
                found[field] = {"hex": octets.hex()}
    for field in ("src_mac", "dst_mac"):
        number = getattr(packet, field)
        found[field] = None if number is None else f"{number:016x}"
    for field in ("src_ip", "dst_ip"):
        address = getattr(packet, field)
        found[field] = None if address is None else str(address)
    found["namespace"] = packet.namespace or None
    order = packet.time_byte_order
    found["byte_order"] = None if order is None else {"little": "le", "big": "be"}[order]
    if "trailing-nul" in packet.warnings:
        found["trailing_nul"] = len(packet.data) - packet.payload_span[1]
    payload = packet.payload
    inflated = packet.inflated
    if inflated is not None:
        found["compression"] = inflated.compression
    if inflated is not None and inflated.warning:
        assert payload == b""
        found["packed_len"] = len(packet.compressed_payload)
    elif payload is not None:
        found["payload_len"] = len(payload)
        found["payload_sha256"] = hashlib.sha256(payload).hexdigest()[:16]
        found["payload_head"] = "".join(
            chr(octet) if 32 <= octet < 127 else "." for octet in payload[:24]
        )
    known = {spec.type_id for spec in GENERIC}
    generic = [chunk for chunk in packet.chunks() if chunk.vendor_id == 0]
    unknown = [[chunk.type_id, chunk.body.hex()] for chunk in generic if chunk.type_id not in known]
    if len(unknown) > 100:
        found["unknown_count"] = len(unknown)
    else:
        found["unknown_chunks"] = unknown
    found["vendor_chunks"] = [
        [chunk.vendor_id, chunk.type_id, chunk.body.hex()]
        for chunk in packet.chunks()
        if chunk.vendor_id and chunk.key != packet.key_of(chunk.type_id)
    ]
    return {field: value for field, value in found.items() if value is not None and value != []}


@pytest.mark.parametrize("vector", DATAGRAMS, ids=named)
def test_verdict(vector):
    """Every recorded datagram gets the verdict and the warnings that the vectors state."""
    if vector.reason is not None:
        with pytest.raises(DecodeError) as caught:
            decode(vector.data)
        assert caught.value.reason == vector.reason
        return
    packet = decode(vector.data)
    assert packet.payload is None or isinstance(packet.payload, bytes)
    assert packet.warnings == vector.warn


@pytest.mark.parametrize("vector", USABLE, ids=named)
def test_fields(vector):
    """Every field reads as the vectors state, and what they do not state is absent."""
    expected = dict(vector.fields)
    frames = expected.pop("frames", 1)
    assert len(decode_datagram(vector.data)) == frames
    assert facts(decode(vector.data)) == expected


@pytest.mark.parametrize("vector", USABLE, ids=named)
def test_unedited(vector):
    """A packet keeps its octets, and its chunks written again are the same frame."""
    packet = decode(vector.data)
    assert vector.data.startswith(packet.data)
    assert edit(packet, {}, 0) is packet
    if packet.version == 3:
        assert encode(packet.chunks(), packet.magic) == packet.data
    else:
        assert packet.data == vector.data


@pytest.mark.parametrize("vector", USABLE, ids=named)
def test_packed_and_joined(vector):
    """Packed addresses are the addresses, the joined time is its two numbers."""
    packet = decode(vector.data)
    for packed, address in (
        (packet.src_address, packet.src_ip),
        (packet.dst_address, packet.dst_ip),
    ):
        assert (None if packed is None else ipaddress.ip_address(packed)) == address
    if packet.seconds is None:
        assert packet.time_us is None
    else:
        assert packet.time_us == packet.seconds * 1_000_000 + (packet.microseconds or 0)


@pytest.mark.parametrize("vector", USABLE, ids=named)
def test_payload_span(vector):
    """The span of the payload is where a store finds it, compressed or not."""
    packet = decode(vector.data)
    span = packet.payload_span
    if span is None:
        assert packet.payload is None
        return
    octets = packet.data[slice(*span)]
    only_compressed = packet.body(0x000F) is None and packet.body(0x0010) is not None
    assert octets == (packet.compressed_payload if only_compressed else packet.payload)


def test_inflation_waits():
    """Nobody pays for inflating who only asks for warnings."""
    packet = decode(BY_NAME["inflate-garbage"].data)
    assert packet.warnings == ()
    assert packet.inflated is None
    assert packet.payload == b""
    assert packet.warnings == ("inflate-failed",)


def test_no_chunk_is_lost_in_a_namespace():
    """Kazoo's chunks are found under their own key and not as generic ones."""
    packet = decode(BY_NAME["kazoo-all-chunks-vendor-1"].data)
    assert packet.chunk(ChunkKey(1, 0x000F)) == packet.payload
    assert packet.chunk(ChunkKey(0, 0x000F)) is None
    packet = decode(BY_NAME["eep3-interception-vendor-9"].data)
    assert packet.chunk(ChunkKey(9, 12)) == b"\0\0\0\x2a"
    assert packet.capture_id is None


def test_equal_by_octets():
    """Two packets of the same octets are one key of a set."""
    data = BY_NAME["captagent-sip-udp"].data
    assert decode(data) == decode(bytes(bytearray(data)))
    assert len({decode(data), decode(data)}) == 1
    assert decode(data) != data
    assert isinstance(decode(data), Packet)


def test_repr_hides_the_key():
    """A packet that ends up in a log does not show its authentication key."""
    assert "myhep" not in repr(decode(BY_NAME["captagent-sip-udp"].data))
