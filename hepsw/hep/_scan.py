"""One pass over the chunks of a HEP3 frame: the hot loop of the decoder.

Fills a table of fixed size with where the last chunk of each known type starts and ends, and makes
no object per chunk: the smallest chunk is six octets, so a frame may hold 10,921 of them. Only
`decode` and `edit` call it.

The text stays plain and typed so that the same file can be compiled.

Source: HEP3 rev. 37; who tolerates what is in the comments.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from hepsw.errors import DecodeError
from hepsw.hep.chunks import namespace_ids

HEADER: Final = Struct("!HHH")  # vendor id, type id, chunk length
HEADER_SIZE: Final = 6
"""Octets of a chunk header, and of the frame header as well."""
KNOWN_IDS: Final = 0x002A
"""One more than the highest generic id of revision 37."""

_header = HEADER.unpack_from  # bound once: the loop below runs a dozen times a packet


def scan(
    data: bytes,
    total: int,
    starts: list[int],
    ends: list[int],
) -> tuple[int, int, int]:
    """Check every chunk of one frame and note where the known ones are.

    Args:
        data: starts with the frame header; at least `total` octets.
        total: the frame's own total length; the walk never reads behind it.
        starts: `KNOWN_IDS` zeros; receives the offset of the body of the last chunk of each type.
        ends: likewise the offset behind that body; 0 stays for a type that the frame has not.

    Returns:
        The vendor id whose chunks fill the table, 0 unless the frame speaks in a vendor's
        namespace; a bit for each type id that occurs more than once; the chunks walked.

    Raises:
        DecodeError: chunk-too-short, chunk-overrun, chunk-header-truncated.
    """
    offset = HEADER_SIZE
    last = total - HEADER_SIZE
    # A frame without any generic chunk may use the generic ids under one vendor id (Kazoo, eep-um).
    # Whose they are is known from the first chunk, so the table is filled for that vendor until
    # another one speaks: no second pass.
    space = data[6] << 8 | data[7] if offset <= last else 0
    repeats = 0
    steps = 0
    while offset <= last:
        steps += 1
        vendor_id, type_id, length = _header(data, offset)
        if length < HEADER_SIZE:
            # A length of 0 would never advance: this check also ends the loop.
            raise DecodeError("chunk-too-short", offset)
        end = offset + length
        if end > total:
            raise DecodeError("chunk-overrun", offset)
        if vendor_id != space and space:
            space = repeats = 0
            _forget(starts, ends)
        if vendor_id == space and type_id < KNOWN_IDS:
            if ends[type_id]:
                repeats |= 1 << type_id
            starts[type_id] = offset + HEADER_SIZE
            ends[type_id] = end
        offset = end
    if offset != total:
        # Stray octets are an error, as in heplify-server, Kamailio 6 and OpenSIPS.
        raise DecodeError("chunk-header-truncated", offset)
    if space:
        return (*_settle(space, repeats, starts, ends), steps)
    return 0, repeats, steps


def _settle(
    space: int,
    repeats: int,
    starts: list[int],
    ends: list[int],
) -> tuple[int, int]:
    """Decide on a frame that is all of one vendor's chunks: its namespace and repeated ids."""
    if not (ends[0x000F] or ends[0x0010]):
        _forget(starts, ends)
        return 0, 0
    generic = namespace_ids(space)
    for type_id in range(KNOWN_IDS):
        if type_id not in generic:
            starts[type_id] = ends[type_id] = 0
            repeats &= ~(1 << type_id)
    return space, repeats


def _forget(starts: list[int], ends: list[int]) -> None:
    """Empty the table in place."""
    starts[:] = [0] * KNOWN_IDS
    ends[:] = [0] * KNOWN_IDS
