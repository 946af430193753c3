"""The octets of a spool: segment header, record, slot of the state.

Pure: nothing here opens a file or reads a clock. All numbers are in network order, as in HEP.

A segment is a header of 40 octets and records one after another, each with a head of 32 octets
before the frame and zeros behind it up to a multiple of 8. Sequence numbers go up by one. The check
sum is CRC32C, which finds damage; it is no signature, and keeps nobody out who can write files.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from google_crc32c import extend, value  # compiled; in plain Python where it cannot be

MAGIC: Final = b"HEPSPOOL"
MAJOR: Final = 1
"""Raised when an older hepsw could not read what a newer one writes; such files are refused. The
magic and this number are where they are in every version to come."""
MINOR: Final = 0

_HEADER: Final = struct.Struct("!8sBBHQQQ")
"""Magic, major, minor, flags (0), fingerprint of the destination, first sequence number, time."""
_HEAD: Final = struct.Struct("!IIQQI")
"""Marker, octets of the frame, sequence number, time of arrival, generation (0)."""
_SLOT: Final = struct.Struct("!QQ")
"""Generation and the last sequence number that is done with."""
_SUM: Final = struct.Struct("!I")
_WHOLE_HEAD: Final = struct.Struct("!IIQQII")

HEADER: Final = _HEADER.size + _SUM.size
HEAD: Final = _HEAD.size + _SUM.size
SLOT: Final = 64
STATE: Final = 2 * SLOT
MARKER: Final = b"\xa5HR\x01"
"""Begins a record; its first octet begins no character of UTF-8."""
_MARK: Final = int.from_bytes(MARKER)
LONGEST: Final = 128 << 10
"""Octets of a frame that a record may claim: HEP has 65,535, so more is damage."""
HIGHEST: Final = (1 << 63) - 1
"""No sequence number is above that in a life time: one that claims to be is damage."""
_PADDING: Final = tuple(bytes(octets) for octets in range(8))


class Header(NamedTuple):
    """What the first octets of a segment say."""

    major: int
    fingerprint: int
    base_seq: int
    """Sequence number of the first record."""
    created_us: int


class Record(NamedTuple):
    """One frame as it was kept."""

    seq: int
    received_us: int
    frame: bytes
    end: int
    """Where the next record begins, in the octets that were decoded."""


class Slot(NamedTuple):
    """One of the two places of the state; the higher generation counts."""

    generation: int
    ack_seq: int


def encode_header(fingerprint: int, base_seq: int, created_us: int) -> bytes:
    """Return the first octets of a segment."""
    header = _HEADER.pack(MAGIC, MAJOR, MINOR, 0, fingerprint, base_seq, created_us)
    return header + _SUM.pack(value(header))


def decode_header(octets: bytes) -> Header | None:
    """Return what the first octets of a segment say, None where they are damaged or not ours.

    A major version that is later than ours is returned, whatever the rest is like, unless the check
    sum tells that it is only one damaged octet of a header of ours.
    """
    if len(octets) < HEADER or not octets.startswith(MAGIC):
        return None
    _, major, _, _, fingerprint, base_seq, created_us = _HEADER.unpack_from(octets)
    header = Header(major, fingerprint, base_seq, created_us)
    (told,) = _SUM.unpack_from(octets, _HEADER.size)
    if major > MAJOR:
        at = len(MAGIC)
        mended = octets[:at] + bytes([MAJOR]) + octets[at + 1 : _HEADER.size]
        return None if value(mended) == told else header
    if major < MAJOR or value(octets[: _HEADER.size]) != told or not 0 < base_seq <= HIGHEST:
        return None
    return header


def encode_record(seq: int, received_us: int, frame: bytes) -> bytes:
    """Return one record, padded."""
    length = len(frame)
    head = _HEAD.pack(_MARK, length, seq, received_us, 0)
    total = extend(value(head), frame)
    return b"".join((head, _SUM.pack(total), frame, _PADDING[-length % 8]))


def record_octets(length: int) -> int:
    """Return the octets of a record whose frame has so many."""
    return HEAD + length + -length % 8


def decode_record(octets: bytes, at: int) -> Record | None:
    """Return the record that begins at an offset, None where there is no whole and sound one.

    The padding may be missing: it is not checked, and may have been cut off.
    """
    if len(octets) - at < HEAD:
        return None
    mark, length, seq, received_us, _, told = _WHOLE_HEAD.unpack_from(octets, at)
    if mark != _MARK or length > LONGEST:
        return None
    start = at + HEAD
    frame = octets[start : start + length]
    if len(frame) != length:
        return None
    if extend(value(octets[at : at + _HEAD.size]), frame) != told or not 0 < seq <= HIGHEST:
        return None
    return Record(seq, received_us, frame, start + length + -length % 8)


def claimed_octets(octets: bytes, at: int) -> int:
    """Return how long the record at an offset says it is; 0 where no record begins."""
    if len(octets) - at < HEAD:
        return 0
    mark, length = struct.unpack_from("!II", octets, at)
    return record_octets(length) if mark == _MARK and length <= LONGEST else 0


def encode_slot(fingerprint: int, slot: Slot) -> bytes:
    """Return one slot of the state, padded.

    The fingerprint is in the check sum alone: the state of another destination does not hold here.
    """
    told = _SLOT.pack(*slot)
    return (told + _SUM.pack(_slot_sum(fingerprint, told))).ljust(SLOT, b"\0")


def decode_state(fingerprint: int, octets: bytes) -> Slot | None:
    """Return the slot that counts, None where neither is sound."""
    sound = []
    for at in range(0, STATE, SLOT):
        told = octets[at : at + _SLOT.size]
        total = octets[at + _SLOT.size : at + _SLOT.size + _SUM.size]
        if total == _SUM.pack(_slot_sum(fingerprint, told)) and len(told) == _SLOT.size:
            slot = Slot(*_SLOT.unpack(told))
            if slot.ack_seq <= HIGHEST:
                sound.append(slot)
    return max(sound, default=None)


def _slot_sum(fingerprint: int, told: bytes) -> int:
    total: int = extend(value(fingerprint.to_bytes(8)), told)
    return total
