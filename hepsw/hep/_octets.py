"""Numbers out of octets and frames out of pieces; `_octets.pxd` is the compiled twin.

Whoever calls has made sure that the octets are there, and the room for them. Compiled, these are a
few instructions each, which Python's own ways (`struct`, `int.from_bytes`) could not become.
"""

from __future__ import annotations

from struct import Struct

header = Struct("!HHH").unpack_from
"""Vendor id, type id and length of the chunk that starts at an offset."""


def uint16(octets: bytes, offset: int) -> int:
    """Return the number in two octets, in network order."""
    return octets[offset] << 8 | octets[offset + 1]


def number(octets: bytes, offset: int, size: int) -> int:
    """Return the number in 1 to 8 octets, in network order."""
    return int.from_bytes(octets[offset : offset + size])


def cut(octets: bytes, start: int, end: int) -> bytes:
    """Return a piece."""
    return octets[start:end]


def is_hep3(octets: bytes) -> bool:
    """Tell whether a frame of the HEP3 layout begins here: HEP3, EEP3, or EEP1 of the draft."""
    return octets.startswith((b"HEP3", b"EEP3", b"EEP1"))


def is_frame(octets: bytes, size: int) -> bool:
    """Tell whether octets are a frame of the HEP3 layout to the last one, by its total."""
    return size >= 6 and octets[4] << 8 | octets[5] == size and is_hep3(octets)


def is_hep3_at(octets: bytes, offset: int) -> bool:
    """Tell whether a frame that begins with HEP3 itself begins at an offset."""
    return octets.startswith(b"HEP3", offset)


def room(size: int) -> bytearray:
    """Return a frame of so many octets that are still to be written, every one of them."""
    return bytearray(size)


def put(frame: bytearray, at: int, octets: bytes, start: int, end: int) -> int:
    """Write a run of other octets into a frame; return where it ends there."""
    stop = at + end - start
    frame[at:stop] = octets[start:end]
    return stop


def put_uint16(frame: bytearray, at: int, number: int) -> int:
    """Write a number as two octets in network order; return where they end."""
    frame[at] = number >> 8
    frame[at + 1] = number & 0xFF
    return at + 2


def written(frame: bytearray) -> bytes:
    """Return a frame that is written to its end, for everybody to read."""
    return bytes(frame)


_USUAL_ENDS = [13, 20, 30, 40, 0, 0, 48, 56, 66, 76, 83, 93]
"""Where the chunks 1 to 12 end that open a frame as nearly every agent writes it for IPv4."""


def opens_usually(octets: bytes, ends: list[int]) -> bool:
    """Tell whether a frame opens with the usual ten chunks, and nothing is odd about them.

    They are the family, which is IPv4, the protocol, both addresses, both ports, the time, the
    payload type and the capture id, in this order: see `Packet.is_ordinary`.

    Args:
        octets: the frame.
        ends: by generic id, where the chunks end.
    """
    return (
        ends[1:13] == _USUAL_ENDS
        and octets[12] == 2
        and (octets[26] or octets[36]) != 0
        and octets[62:66] != b"\0\0\0\0"
        and octets[72:76] < b"\x00\x0f\x42\x40"  # a million
        and octets[82] != 0
        and (octets[91] or octets[92]) != 0
    )
