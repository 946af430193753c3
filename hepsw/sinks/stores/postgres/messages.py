"""Where messages of PostgreSQL begin and end, and whether they can be messages at all.

`guard` shows every piece that arrives to a `Messages` before asyncpg sees it. Here is no socket,
and nothing is kept of what messages say.

Source: PostgreSQL, "Message Formats" of protocol 3: a letter, then the length in four octets, which
counts itself.
"""

from __future__ import annotations

import struct
from typing import Final

from hepsw.errors import StoreError

LETTERS: Final = frozenset(b"ACDEGHIKNRSTVWZcdnstv123")
"""What a server may begin a message with."""
LEAST: Final = 4
MOST: Final = 64 << 20
"""Octets of one message: far more than the largest row that is asked for."""

_HEAD: Final = struct.Struct("!BI")


class Messages:
    """Walks from message to message, however they are cut into pieces."""

    def __init__(self) -> None:
        self._left = 0
        """Octets to come of the message that has begun."""
        self._head = b""
        """What is there of a head that is cut."""

    def look(self, piece: bytes) -> None:
        """Look at what came next.

        Raises:
            StoreError: no message begins so.
        """
        if self._head:
            piece = self._head + piece
            self._head = b""
        at = self._left
        end = len(piece)
        last = end - _HEAD.size
        while at <= last:
            letter, length = _HEAD.unpack_from(piece, at)
            if letter not in LETTERS or not LEAST <= length <= MOST:
                _refuse(letter, length)
            at += 1 + length
        if at >= end:
            self._left = at - end
            return
        # The letter at once: asyncpg reads one before there is a length.
        if piece[at] not in LETTERS:
            _refuse(piece[at], None)
        self._left = 0
        self._head = piece[at:]


def _refuse(letter: int, length: int | None) -> None:
    if length is None or letter not in LETTERS:
        raise damaged(f"no message begins with octet 0x{letter:02x}")
    raise damaged(f"a message `{letter:c}` of {length} octets")


def damaged(why: str) -> StoreError:
    """Return what is raised of who speaks another language."""
    return StoreError(f"not PostgreSQL, or damaged: {why}", "connect")
