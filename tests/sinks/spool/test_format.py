"""The octets of a spool: what is written is read back, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.sinks.spool import format as wire

SEQS = st.integers(1, wire.HIGHEST)
NUMBERS = st.integers(0, 2**64 - 1)


def test_the_check_sum_is_crc32c():
    """Not the CRC32 of zlib: the standard's own example."""
    assert wire.value(b"123456789") == 0xE3069283


def test_sizes():
    """The sizes that the format states."""
    assert len(wire.encode_header(1, 1, 1)) == wire.HEADER == 40
    assert len(wire.encode_record(1, 1, b"")) == wire.HEAD == 32
    assert len(wire.encode_slot(1, wire.Slot(1, 1))) == wire.SLOT == 64


@given(NUMBERS, SEQS, NUMBERS)
def test_header(fingerprint, base, created):
    """A header says what was put into it."""
    octets = wire.encode_header(fingerprint, base, created)
    assert wire.decode_header(octets) == (wire.MAJOR, fingerprint, base, created)
    assert wire.decode_header(octets[:-1]) is None


@given(SEQS, NUMBERS, st.binary(max_size=300), st.binary(max_size=20))
def test_record(seq, received_us, frame, before):
    """A record says what was put into it, wherever it stands, with or without its padding."""
    record = wire.encode_record(seq, received_us, frame)
    assert len(record) == wire.record_octets(len(frame)) == wire.claimed_octets(record, 0)
    assert len(record) % 8 == 0
    for octets in (before + record, before + record + before):
        end = len(before) + len(record)
        assert wire.decode_record(octets, len(before)) == (seq, received_us, frame, end)
    unpadded = record[: wire.HEAD + len(frame)]
    assert wire.decode_record(unpadded, 0) == (seq, received_us, frame, len(record))
    assert wire.decode_record(unpadded[:-1], 0) is None


@given(st.data())
def test_one_damaged_octet_shows(data):
    """No single octet of a header, a record or a slot can change unseen, but for padding."""
    flip = data.draw(st.integers(1, 255))

    def damaged(octets, most):
        at = data.draw(st.integers(0, most - 1))
        return octets[:at] + bytes([octets[at] ^ flip]) + octets[at + 1 :]

    assert wire.decode_header(damaged(wire.encode_header(5, 6, 7), wire.HEADER)) is None
    record = wire.encode_record(5, 6, b"seven77")
    assert wire.decode_record(damaged(record, len(record) - 1), 0) is None
    slot = wire.encode_slot(9, wire.Slot(3, 4))
    assert wire.decode_state(9, damaged(slot, 20)) is None
    assert wire.decode_state(9, damaged(slot, 20) + slot) == (3, 4)


def test_the_higher_generation_counts():
    """Of two sound slots the newer one is believed, in whichever place."""
    old, new = wire.encode_slot(1, wire.Slot(8, 80)), wire.encode_slot(1, wire.Slot(9, 90))
    assert wire.decode_state(1, old + new) == wire.decode_state(1, new + old) == (9, 90)


@pytest.mark.parametrize("octets", [b"", bytes(128), b"\xff" * 128, b"state"])
def test_what_is_no_state(octets):
    """Zeros are no state, nor is the state of another destination."""
    assert wire.decode_state(1, octets) is None
    assert wire.decode_state(2, wire.encode_slot(1, wire.Slot(1, 1)) * 2) is None


def test_another_major_version_is_told_from_damage():
    """A header of a later format is known as one even where all behind the number is different."""
    later = wire.MAGIC + bytes([2]) + b"whatever comes in another year..."
    assert wire.decode_header(later).major == 2


@given(st.binary(max_size=200))
def test_anything_else_is_nothing(octets):
    """Octets that nobody wrote as one are no record."""
    assert wire.decode_record(octets, 0) is None
    assert wire.decode_record(wire.MARKER + octets, 0) is None
