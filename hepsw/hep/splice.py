"""Writing chunks that are ready into a frame: what most edits come down to.

`edit` can do everything, and works it out for each packet. What a rule writes is mostly known long
before there is one: `pieces_of` encodes it once, when tables are compiled, and `spliced` only looks
up where the packet has those chunks and copies the runs between them. It answers None wherever
that is not the whole story (other versions, a vendor's namespace, chunks that repeat, a frame that
would be too big), and then `edit` has the say. Where it does answer, `edit` would have made the
same octets.

The text is compiled with the types in `splice.pxd`.
"""

from __future__ import annotations

from typing import Final

from hepsw.hep import _octets
from hepsw.hep._scan import HEADER_SIZE, SEVERAL
from hepsw.hep.chunks import MAX_TOTAL_LENGTH, SPEC_BY_ID, SPECS_BY_NAME, ChunkKey
from hepsw.hep.encode import body_of, split_time
from hepsw.hep.packet import Packet

_ENTANGLED: Final = frozenset({"ip_family", "src_ip", "dst_ip"})
"""Fields whose edits change each other's chunks, depending on what the packet has."""

# As the loops meet them: compiled, they are ints of C.
_HEADER = HEADER_SIZE
_SEVERAL = SEVERAL
_MOST = MAX_TOTAL_LENGTH


class Piece:
    """A chunk that takes the place of the one with the same numbers, or is appended."""

    __slots__ = ("body", "end", "start", "type_id", "vendor_id")

    vendor_id: int
    type_id: int
    body: bytes | None
    """None: the chunk goes and nothing takes its place."""
    start: int
    """Where the packet at hand has the chunk, negative where it has none: `spliced` notes it."""
    end: int


def piece(vendor_id: int, type_id: int, body: bytes | None) -> Piece:
    """Return a piece; both numbers have 16 bits."""
    made = Piece.__new__(Piece)
    made.vendor_id = vendor_id
    made.type_id = type_id
    made.body = body
    made.start = made.end = 0
    return made


def pieces_of(name: str | ChunkKey, value: int | bytes | None) -> list[Piece] | None:
    """Return what `edit` would write for one change, into a packet that `spliced` takes.

    Args:
        name: as `edit` wants it, like the value.
        value: None removes.

    Returns:
        None if that depends on the packet.

    Raises:
        EditError: as `edit`.
        KeyError: a name that is not in the registry.
    """
    if isinstance(name, ChunkKey):
        vendor_id, type_id = name
        if max(name) > _MOST or min(name) < 0:
            return None
        is_known = vendor_id == 0 and type_id in SPEC_BY_ID
        body = None if value is None else body_of(type_id if is_known else None, value)
        return [piece(vendor_id, type_id, body)]
    if name in _ENTANGLED:
        return None
    if name == "time":
        parts = (None, None) if value is None else split_time(value)
        return [_known(0x0009, parts[0]), _known(0x000A, parts[1])]
    made = [_known(SPECS_BY_NAME[name][0].type_id, value)]
    if name == "payload":
        made.append(_known(0x0010, None))
    return made


def _known(type_id: int, value: int | bytes | None) -> Piece:
    return piece(0, type_id, None if value is None else body_of(type_id, value))


def spliced(packet: Packet, pieces: list[Piece]) -> Packet | None:
    """Return the packet with pieces written into it; the given one stays as it was.

    Args:
        packet: of any version.
        pieces: no two with the same numbers.

    Returns:
        The same packet if all that was to be removed is absent; None where `edit` has to look.
    """
    if packet.version != 3 or packet.namespace:
        return None
    data = packet.data
    total = len(data)
    placed: list[Piece] = []
    for one in pieces:
        start = packet.find(one.vendor_id, one.type_id)
        if start == _SEVERAL:
            return None
        if one.body is not None:
            total += _HEADER + len(one.body)
        one.start = start
        if start < 0:
            continue
        one.end = start + _octets.uint16(data, start + 4)
        total -= one.end - start
        if not _sort_in(placed, one):
            return None
    if total > _MOST:
        return None
    if not placed and total == len(data) and not packet.notes:
        return packet
    frame = _octets.room(total)
    _octets.put(frame, 0, data, 0, 4)
    at = _octets.put_uint16(frame, 4, total)
    kept = at
    for one in placed:
        at = _octets.put(frame, at, data, kept, one.start)
        at = _write(frame, at, one)
        kept = one.end
    at = _octets.put(frame, at, data, kept, len(data))
    for one in pieces:
        if one.start < 0:
            at = _write(frame, at, one)
    edited = Packet.__new__(Packet)
    edited.read(_octets.written(frame))
    # Without its last generic chunk, a frame may be read as a vendor's.
    return None if edited.namespace else edited


def _sort_in(placed: list[Piece], one: Piece) -> bool:
    """Put a piece among the others in the order of the frame, unless its place is taken."""
    at = len(placed)
    while at:
        before = placed[at - 1]
        if before.start <= one.start:
            if before.start == one.start:
                return False
            break
        at -= 1
    placed.insert(at, one)
    return True


def _write(frame: bytearray, at: int, one: Piece) -> int:
    """Write the chunk of a piece, if there is one; return where it ends."""
    body = one.body
    if body is None:
        return at
    size = len(body)
    at = _octets.put_uint16(frame, at, one.vendor_id)
    at = _octets.put_uint16(frame, at, one.type_id)
    at = _octets.put_uint16(frame, at, _HEADER + size)
    return _octets.put(frame, at, body, 0, size)
