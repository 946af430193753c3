"""The field catalogue: what it holds, how values are written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.fields import CATALOGUE, Kind, chunk_field, raw_chunk_key, time_text
from hepsw.hep import GENERIC, ChunkKey, ChunkType, build
from hepsw.view import View


def test_every_generic_chunk_is_a_field():
    """The registry's names are the language's: only the two halves of the time are one field."""
    halves = {"seconds", "microseconds"}
    assert {spec.name for spec in GENERIC} - halves <= set(CATALOGUE)
    assert all(field.doc.endswith(".") for field in CATALOGUE.values())


def test_derived_fields_name_what_they_derive_from():
    """What a field is read from, and is no chunk of its own, is a field that can be set."""
    for field in CATALOGUE.values():
        for source in field.derived_from - {"*"}:
            assert CATALOGUE[source].edit is not None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src_ip", "10.0.0.300"),
        ("src_ip", "10.0.0.0/8"),
        ("capture_id", "-1"),
        ("capture_id", "4294967296"),
        ("capture_id", "0x7"),
        ("proto_type", "SIPP"),
        ("proto_type", "256"),
        ("vlan", "65536"),
        ("src_mac", "00:00:5e"),
        ("time", "yesterday"),
        ("time", "99999999999999999999"),
    ],
)
def test_values_that_do_not_fit(name, text):
    """A text that is no value of the field is refused with the reason."""
    with pytest.raises(ValueError, match=r"not a|outside"):
        CATALOGUE[name].parse(text)


@given(st.integers(0, 253402300799_999999))
def test_times_are_read_as_they_are_written(time_us):
    """RFC 3339 with microseconds, both ways."""
    field = CATALOGUE["time"]
    assert field.parse(time_text(time_us)) == time_us
    assert field.parse(str(time_us)) == time_us


def test_a_time_beyond_the_calendar_is_a_number():
    """Seconds are 32 bits on the wire, but a view may hold anything."""
    assert time_text(1 << 62) == str(1 << 62)


@given(st.sampled_from(sorted(CATALOGUE)), st.data())
def test_rendered_values_are_read_back(name, data):
    """What a template prints for a field is what `set` accepts for it."""
    field = CATALOGUE[name]
    values = {
        Kind.NUMBER: st.integers(0, field.largest),
        Kind.MAC: st.integers(0, (1 << 64) - 1),
        Kind.IP: st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
        Kind.TIME: st.integers(0, 253402300799_999999),
    }.get(field.kind)
    if values is None:
        return
    value = data.draw(values)
    assert field.parse(field.render(value).decode()) == value


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("0x0003:0x0065", (3, 0x65)),
        ("3:101", (3, 101)),
        ("0xffff:65535", (65535, 65535)),
        ("65536:1", None),
        ("0x12345:1", None),
        ("3", None),
        ("3:", None),
        ("a:b", None),
    ],
)
def test_raw_chunks(text, key):
    """Vendor and type, each in hexadecimal or decimal."""
    assert raw_chunk_key(text) == (key and ChunkKey(*key))


@pytest.mark.parametrize(
    ("chunk_type", "body", "value"),
    [
        ("uint8", b"\x07", 7),
        ("uint32", b"\x00\x00\x00\x07", 7),
        ("uint32", b"\x07", None),
        ("inet4", bytes([10, 0, 0, 1]), bytes([10, 0, 0, 1])),
        ("inet4", b"\x0a", None),
        ("inet6", bytes(16), bytes(16)),
        ("utf8", b"abc\0", b"abc"),
        ("octets", b"abc\0", b"abc\0"),
    ],
)
def test_named_chunks(chunk_type, body, value, peer):
    """A chunk of the operator's own is read by its type; one of the wrong size is missing."""
    from hepsw.hep import Chunk, decode, encode

    packet = decode(encode([Chunk(3, 0x31, body)]))
    field = chunk_field("mine", ChunkKey(3, 0x31), ChunkType(chunk_type))
    assert field.read(View(packet, peer, 0)) == value
    assert field.read(View(build(payload=b"x"), peer, 0)) is None
