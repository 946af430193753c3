"""Inflating what others compressed, never further than a cap.

`Packet.payload` calls `inflate` for 0x0010, `decode_datagram` calls `gunzip_frames` for a frame
that arrived inside a gzip member. A few hundred octets can inflate to gigabytes, so both say how
much they will hold; neither looks into the result for another layer.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from hepsw.errors import DecodeError
from hepsw.hep.chunks import MAX_TOTAL_LENGTH

INFLATE_LIMIT: Final = 1 << 20
"""Octets of a payload that hepsw is willing to hold."""
GZIP_MAGIC: Final = b"\x1f\x8b"
MAX_MEMBERS: Final = 64
"""gzip members in one datagram; heplify sends one, and each costs a copy of what follows it."""

_WINDOW_ZLIB: Final = 15
_WINDOW_GZIP: Final = 31
_WINDOW_RAW: Final = -15


class Inflated(NamedTuple):
    """What became of a compressed payload."""

    payload: bytes
    """Empty unless all of it inflated."""
    compression: str
    """"zlib", "gzip", "deflate", or "error"."""
    warning: str | None
    """None, "inflate-failed" or "inflate-limit"."""


def inflate(body: bytes, limit: int = INFLATE_LIMIT) -> Inflated:
    """Inflate the body of a compressed payload chunk.

    The container tells itself: captagent and hep-c write zlib, OpenSIPS gzip, and the wording of
    the specification allows a bare deflate stream.

    Args:
        body: one compressed stream.
        limit: octets that the result may have; inflating stops there.
    """
    if body.startswith(GZIP_MAGIC):
        attempts = [("gzip", _WINDOW_GZIP)]
    elif len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0:
        # A bare stream can look like this too, so a zlib failure is not the last word.
        attempts = [("zlib", _WINDOW_ZLIB), ("deflate", _WINDOW_RAW)]
    else:
        attempts = [("deflate", _WINDOW_RAW)]
    for compression, window in attempts:
        stream = zlib.decompressobj(window)
        try:
            payload = stream.decompress(body, limit)
            if not stream.eof and stream.decompress(stream.unconsumed_tail, 1):
                return Inflated(b"", "error", "inflate-limit")
        except zlib.error:
            continue
        # Without a checksum almost any octets begin like a deflate stream: it must also end there.
        if stream.eof and not (window == _WINDOW_RAW and stream.unused_data):
            return Inflated(payload, compression, None)
    return Inflated(b"", "error", "inflate-failed")


def gunzip_frames(data: bytes) -> bytes:
    """Return the frame, or frames, inside a run of gzip members (heplify 2, `payload_zip`).

    Raises:
        DecodeError: gzip-frame; broken members, octets behind them, more than 65535 octets inside.
    """
    parts: list[bytes] = []
    room = MAX_TOTAL_LENGTH
    rest = data
    while rest:
        offset = len(data) - len(rest)
        if len(parts) == MAX_MEMBERS:
            raise DecodeError("gzip-frame", offset, f"more than {MAX_MEMBERS} members")
        stream = zlib.decompressobj(_WINDOW_GZIP)
        try:
            # One octet over the room tells a full frame from one that is too long.
            part = stream.decompress(rest, room + 1)
        except zlib.error as error:
            raise DecodeError("gzip-frame", offset, "not a gzip member") from error
        if len(part) > room:
            raise DecodeError("gzip-frame", offset, f"inflates beyond {MAX_TOTAL_LENGTH} octets")
        if not stream.eof:
            raise DecodeError("gzip-frame", offset, "cut short")
        parts.append(part)
        room -= len(part)
        rest = stream.unused_data
    return b"".join(parts)
