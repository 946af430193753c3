"""A row as the octets of a COPY in binary.

Source: PostgreSQL's documentation of COPY, "Binary Format".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hepsw.sinks.stores.postgres.layout import Row

BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What stands before the first row."""
END: Final = b"\xff\xff"
"""And behind the last."""

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
