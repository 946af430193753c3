"""Rows as the octets of a COPY in binary, a little at a time.

asyncpg would do the same, but hands on half a mebibyte at once, and until then the server has
nothing to do. In pieces it works on the first rows while the others are made, each on a processor
of its own.

Source: PostgreSQL's documentation of COPY, "Binary Format".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from hepsw.sinks.stores.postgres.layout import Row

PIECE_OCTETS: Final = 32 << 10
"""Octets that are handed on at once: some thirty rows."""

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_COUNT: Final = struct.Struct("!H").pack
_LENGTH: Final = struct.Struct("!I").pack
_NUMBER: Final = struct.Struct("!Iq").pack


def encode(row: Row) -> bytes:
    """Return one row.

    Args:
        row: numbers are of 64 bits, and times tuples of one; texts are UTF-8, and everything else
            stands there as it travels.

    Raises:
        UnicodeEncodeError: a text has no octets.
        struct.error: a number has more bits.
        TypeError: a value of another type.
    """
    parts = [_COUNT(len(row))]
    for value in row:
        if value is None:
            parts.append(_NULL)
            continue
        kind = type(value)
        if kind is int:
            parts.append(_NUMBER(8, value))
        elif kind is tuple:
            parts.append(_NUMBER(8, value[0]))
        else:
            octets = value.encode() if kind is str else value
            parts += (_LENGTH(len(octets)), octets)
    return b"".join(parts)


async def stream(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield all that COPY reads; each row is asked for when it is needed."""
    piece = [_BEGIN]
    octets = 0
    for row in rows:
        piece.append(row)
        octets += len(row)
        if octets >= PIECE_OCTETS:
            yield b"".join(piece)
            piece.clear()
            octets = 0
    piece.append(_END)
    yield b"".join(piece)
