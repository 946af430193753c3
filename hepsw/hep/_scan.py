"""One pass over the chunks of a HEP3 frame: the hot loop of the decoder.

Fills a table of fixed size with where the last chunk of each known type starts and ends, and makes
no object per chunk: the smallest chunk is six octets, so a frame may hold 10,921 of them. `Packet`
is such a table with a meaning.

The text is compiled with the types in `_scan.pxd`, where the table is an array of C, and runs as it
stands without.

Source: HEP3 rev. 37; who tolerates what is in the comments.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from hepsw.errors import DecodeError

# Whole modules, not names: compiled, their functions are those of `_octets.pxd`.
from hepsw.hep import _octets
from hepsw.hep.chunks import namespace_ids

HEADER: Final = Struct("!HHH")  # vendor id, type id, chunk length
HEADER_SIZE: Final = 6
"""Octets of a chunk header, and of the frame header as well."""
KNOWN_IDS: Final = 0x002A
"""One more than the highest generic id of revision 37."""

ABSENT: Final = -1
SEVERAL: Final = -2
"""What `ChunkTable.find` returns instead of an offset."""

# The same as the loops meet them: compiled, they are ints of C.
_HEADER = HEADER_SIZE
_IDS = KNOWN_IDS
_ABSENT = ABSENT
_SEVERAL = SEVERAL


class ChunkTable:
    """A frame, and where its known chunks are."""

    __slots__ = ("_ends", "_repeats", "_starts", "data", "namespace", "steps")

    data: bytes
    """The octets of the frame, as they arrived; HEP3 without anything behind its total."""
    namespace: int
    """The vendor id whose chunks are read as the generic ones, 0 in all ordinary frames."""
    steps: int
    """Chunks of the frame; 0 in HEP1 and HEP2."""
    _starts: list[int]
    """By generic id, where the body of the last chunk starts."""
    _ends: list[int]
    """Where it ends; 0 for a type that the frame has not."""
    _repeats: int
    """A bit for each type id that occurs more than once."""

    def clear(self, data: bytes) -> None:
        """Begin with a frame of which nothing is known."""
        self.data = data
        self.namespace = 0
        self.steps = 0
        self._repeats = 0
        # A list of so many zeros is how Python says it; compiled, it is an array set to zero.
        self._starts = [0] * 42
        self._ends = [0] * 42

    def place(self, type_id: int, start: int, end: int) -> None:
        """Note where something is that HEP1 or HEP2 has in its fixed header."""
        _check(type_id)
        self._starts[type_id] = start
        self._ends[type_id] = end

    def scan(self) -> None:
        """Check every chunk of the frame and note where the known ones are.

        The frame fills `data`, which is at most 65535 octets and has its header.

        Raises:
            DecodeError: chunk-too-short, chunk-overrun, chunk-header-truncated.
        """
        octets = data = self.data
        total = len(data)
        starts = self._starts
        ends = self._ends
        offset = _HEADER
        last = total - _HEADER
        # A frame without any generic chunk may use the generic ids under one vendor id (Kazoo,
        # eep-um). Whose they are is known from the first chunk, so the table is filled for that
        # vendor until another one speaks: no second pass.
        space = _octets.uint16(octets, _HEADER) if offset <= last else 0
        repeats = 0
        one = 1  # compiled, as wide as what it is shifted in
        steps = 0
        while offset <= last:
            steps += 1
            vendor_id, type_id, length = _octets.header(octets, offset)
            if length < _HEADER:
                # A length of 0 would never advance: this check also ends the loop.
                raise DecodeError("chunk-too-short", offset)
            end = offset + length
            if end > total:
                raise DecodeError("chunk-overrun", offset)
            if space and vendor_id != space:
                space = repeats = 0
                self._forget()
            if vendor_id == space and type_id < _IDS:
                if ends[type_id]:
                    repeats |= one << type_id
                starts[type_id] = offset + _HEADER
                ends[type_id] = end
            offset = end
        if offset != total:
            # Stray octets are an error, as in heplify-server, Kamailio 6 and OpenSIPS.
            raise DecodeError("chunk-header-truncated", offset)
        self.steps = steps
        self._repeats = repeats
        if space:
            self._settle(space)

    def _settle(self, space: int) -> None:
        """Decide on a frame that is all of one vendor's chunks: its namespace and repeated ids."""
        if not (self._ends[0x000F] or self._ends[0x0010]):
            self._forget()
            self._repeats = 0
            return
        self.namespace = space
        generic = namespace_ids(space)
        one = 1
        for type_id in range(_IDS):
            if type_id not in generic:
                self._starts[type_id] = self._ends[type_id] = 0
                self._repeats &= ~(one << type_id)

    def _forget(self) -> None:
        """Empty the table in place."""
        for type_id in range(_IDS):
            self._starts[type_id] = self._ends[type_id] = 0

    def body(self, type_id: int) -> bytes | None:
        """Return the octets of a known chunk, whatever their number; None if it is absent.

        Args:
            type_id: a generic id below `KNOWN_IDS`, looked up in the namespace of the frame.

        Raises:
            IndexError: it is not below.
        """
        _check(type_id)
        end = self._ends[type_id]
        return _octets.cut(self.data, self._starts[type_id], end) if end else None

    def body_size(self, type_id: int) -> int | None:
        """Return how many octets a known chunk has, None if it is absent."""
        _check(type_id)
        end = self._ends[type_id]
        return end - self._starts[type_id] if end else None

    def number(self, type_id: int, size: int) -> int | None:
        """Return the number in a known chunk, None if it is absent or has not `size` octets.

        Who calls has made sure of `type_id`: compiled, this is out of Python's reach.
        """
        start = self._starts[type_id]
        end = self._ends[type_id]
        if end - start != size:  # absent: 0 - 0, and no number has size 0
            return None
        if size == 1:
            return self.data[start]
        return _octets.number(self.data, start, size)

    def value(self, type_id: int, size: int) -> int | None:
        """Return what `number` does, for any `type_id`.

        Raises:
            IndexError: it is none of a known chunk.
        """
        _check(type_id)
        return self.number(type_id, size)

    def octets(self, type_id: int) -> bytes | None:
        """Return what `body` does; on `type_id` see `number`."""
        end = self._ends[type_id]
        return _octets.cut(self.data, self._starts[type_id], end) if end else None

    def find(self, vendor_id: int, type_id: int) -> int:
        """Return where the one chunk with these numbers starts; for HEP3 without a namespace.

        Returns:
            `ABSENT` if there is none, `SEVERAL` if there is more than one.
        """
        one = 1  # as in `scan`
        if vendor_id == 0 and 0 <= type_id < _IDS:
            if self._repeats & one << type_id:
                return _SEVERAL
            return self._starts[type_id] - _HEADER if self._ends[type_id] else _ABSENT
        octets = data = self.data
        total = len(data)
        found = _ABSENT
        offset = _HEADER
        while offset < total:  # `scan` has seen to it that chunks follow each other to the end
            vendor, type_, length = _octets.header(octets, offset)
            if vendor == vendor_id and type_ == type_id:
                if found != _ABSENT:
                    return _SEVERAL
                found = offset
            offset += length
        return found


def _check(type_id: int) -> None:
    # An array of C does not look itself whether it reaches so far.
    if not 0 <= type_id < _IDS:
        raise IndexError(type_id)
