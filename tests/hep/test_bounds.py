from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hep.vectors import BY_NAME, DATAGRAMS

from hepsw.hep import (
    INFLATE_LIMIT,
    Chunk,
    ChunkKey,
    DecodeError,
    Packet,
    build,
    decode,
    decode_datagram,
    encode,
)
from hepsw.hep.decoding import MAGICS

FULL = b"HEP3\xff\xfc" + b"".join(
    (index % 0x60).to_bytes(4, "big") + b"\0\x06" for index in range(10921)
)
"""As many chunks as a frame can hold."""


def steps(data):
    return decode(data).steps


def test_steps():
    """The scan walks once: one step a chunk, so at most one for every six octets."""
    assert steps(FULL) == 10921
    for vector in DATAGRAMS:
        if vector.expect == "ok" and vector.data[:4] in MAGICS:
            packet = decode(vector.data)
            count = len(list(packet.chunks()))
            assert steps(packet.data) == count
            assert count <= len(packet.data) // 6


def test_steps_in_a_namespace():
    """Finding out that a frame is all one vendor's costs no second walk."""
    vendors = [Chunk(7, 1, b""), Chunk(8, 1, b""), Chunk(0, 1, b"")]
    for count in (1, 2, 3):
        assert steps(encode(vendors[:count] * 5)) == 5 * count


@pytest.mark.parametrize("vendor_id", [0, 7])
def test_memory(vendor_id):
    """Decoding and reading the smallest chunks needs no more than twice the frame."""
    chunk = vendor_id.to_bytes(2, "big") + b"\0\x0f\0\x06"
    frames = [FULL, b"HEP3\xff\xfc" + chunk * 10921]
    for frame in frames:
        decode(frame)  # what is only allocated the first time
        # Other tests may have threads at work: theirs is measured as well, now and then.
        assert any(_peak(frame) < 2 * len(frame) for _ in range(20))


def _peak(frame):
    """Return how many octets reading a frame takes at most."""
    tracemalloc.start()
    try:
        packet = decode(frame)
        assert packet.warnings
        assert packet.src_port is None
        packet.chunk(ChunkKey(0, 0x5F))
        sum(1 for _ in packet.chunks())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_warnings_are_few():
    """A frame of repeated, mis-sized chunks has a bounded list of warnings."""
    assert len(decode(FULL).warnings) < 80


@pytest.mark.parametrize(
    "pack",
    [zlib.compress, gzip.compress, lambda octets: zlib.compress(octets, wbits=-15)],
    ids=["zlib", "gzip", "deflate"],
)
def test_inflate(pack):
    """zlib, gzip and bare deflate inflate up to the cap exactly, and one layer deep."""
    packet = build(compressed_payload=pack(b"INVITE"))
    assert packet.payload == b"INVITE"
    assert packet.payload_span == (
        len(packet.data) - len(packet.compressed_payload),
        len(packet.data),
    )
    assert build(compressed_payload=pack(pack(b"INVITE"))).payload == pack(b"INVITE")
    packet = build(compressed_payload=pack(bytes(INFLATE_LIMIT)))
    assert packet.payload == bytes(INFLATE_LIMIT)
    packet = build(compressed_payload=pack(bytes(INFLATE_LIMIT + 1)))
    assert packet.payload == b""
    assert "inflate-limit" in packet.warnings
    packet = build(compressed_payload=pack(b"OPTIONS" * 30)[:-4])
    assert packet.payload == b""
    assert "inflate-failed" in packet.warnings
    packet = build(compressed_payload=pack(b""))
    assert packet.payload == b""
    assert "empty-payload" in packet.warnings


def test_inflate_memory():
    """A bomb is held to a few times the cap while it is looked at, and to nothing afterwards."""
    packet = decode(BY_NAME["inflate-bomb-4mib"].data)
    tracemalloc.start()
    try:
        assert packet.payload == b""
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * INFLATE_LIMIT
    assert now < 10_000


SIP = BY_NAME["captagent-sip-udp"].data


def test_gzip_frames():
    """A gzip member is refused, or, where the listener says so, read as the frame inside it."""
    data = BY_NAME["heplify2-gzip-whole-frame"].data
    assert [str(error.reason) for error in decode_datagram(data)] == ["gzip-frame"]
    (packet,) = decode_datagram(data, gzip_frames=True)
    assert isinstance(packet, Packet)
    assert packet.data == gzip.decompress(data)
    assert packet.version == 3
    two = decode_datagram(gzip.compress(SIP) * 2, gzip_frames=True)
    assert [packet.data for packet in two] == [SIP, SIP]
    assert decode_datagram(SIP, gzip_frames=True) == [decode(SIP)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(gzip.compress(SIP)), "gzip-frame"),
        (gzip.compress(bytes(1 << 24)), "gzip-frame"),
        (gzip.compress(SIP + bytes(65536)), "gzip-frame"),
        (gzip.compress(SIP)[:-1], "gzip-frame"),
        (gzip.compress(SIP) + b"x", "gzip-frame"),
        (gzip.compress(SIP) * 65, "gzip-frame"),
        (b"\x1f\x8b" + bytes(20), "gzip-frame"),
        (b"\x1f\x8b", "too-short"),
        (gzip.compress(b"HEP"), "too-short"),
        (gzip.compress(b"OPTIONS sip:"), "bad-magic"),
    ],
)
def test_gzip_refused(data, reason):
    """What is not one layer of at most 65535 octets of HEP is one error."""
    (error,) = decode_datagram(data, gzip_frames=True)
    assert isinstance(error, DecodeError)
    assert error.reason == reason
