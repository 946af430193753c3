"""Looking at everything a packet can say, for tests that only want it not to raise."""

from __future__ import annotations

from hepsw.hep import GENERIC, ChunkKey, DecodeError, Packet, decode, decode_datagram


def look_at_everything(packet):
    """Read every property and method of a packet that takes no say in anything."""
    for name in (
        *dict.fromkeys(spec.name for spec in GENERIC),
        *("data", "version", "magic", "namespace", "header_length", "time_byte_order", "notes"),
        *("warnings", "transport", "src_address", "dst_address", "time_us", "payload_span"),
        *("payload", "inflated", "warnings"),
    ):
        getattr(packet, name)
    hash(packet)
    repr(packet)
    packet.chunk(ChunkKey(0, 0x000F))
    packet.chunk(ChunkKey(1, 0x000F))
    packet.chunk(ChunkKey(0, 0x0065))
    assert len(packet.warnings) < 100
    assert packet == packet  # noqa: PLR0124 - is what is asked here
    if packet.version == 3:
        keys = 0
        for chunk in packet.chunks():
            keys += 6 + len(chunk.body)
        assert keys + 6 == len(packet.data)


def survive(data):
    """Decode whatever it is; return the packet, or None if it is malformed."""
    for found in decode_datagram(data, gzip_frames=True):
        if isinstance(found, Packet):
            look_at_everything(found)
        else:
            assert 0 <= found.offset <= max(len(data), 0xFFFF)
    try:
        packet = decode(data)
    except DecodeError:
        return None
    look_at_everything(packet)
    return packet
