"""Texts as PostgreSQL takes them: UTF-8 without NUL, and short enough for an index.

Both layouts write through here. What cannot be stored is replaced, never left out, and named, so
that it can be counted.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
KEY_OCTETS: Final = 2000
"""Octets of a text that is indexed. A B-tree takes 2,704, its own among them; what an honest agent
sends is a tenth of that."""

_NULS: Final = re.compile("\0+")


def text(octets: bytes | None, odd: set[str]) -> str:
    """Return octets as text; what is missing is empty.

    Args:
        octets: anything.
        odd: is added what had to be replaced: `nul`, `utf-8`. Each run of NULs and each sequence
            that is not UTF-8 becomes one U+FFFD.
    """
    if not octets:
        return ""
    if octets.isascii():
        written = octets.decode("ascii")
        if "\0" not in written:
            return written
    else:
        try:
            written = octets.decode()
        except UnicodeDecodeError:
            odd.add("utf-8")
            written = octets.decode("utf-8", "replace")
    if "\0" in written:
        odd.add("nul")
        written = _NULS.sub(REPLACEMENT, written)
    return written


def key(octets: bytes | None, odd: set[str]) -> str:
    """Return octets as a text that may be indexed: `text`, cut where it is too long (`long`)."""
    if not octets:
        return ""
    # Nearly every one; in line, since a row has a dozen of them.
    if len(octets) <= KEY_OCTETS and octets.isascii() and b"\0" not in octets:
        return octets.decode("ascii")
    return fitting(text(octets, odd), odd)


def fitting(written: str, odd: set[str]) -> str:
    """Return a text cut to `KEY_OCTETS`, between two characters."""
    if len(written) * 4 <= KEY_OCTETS:
        return written
    octets = written.encode()
    if len(octets) <= KEY_OCTETS:
        return written
    odd.add("long")
    return octets[:KEY_OCTETS].decode("utf-8", "ignore")


@lru_cache(maxsize=16384)
def address(packed: bytes) -> str:
    """Return a packed address as people write it."""
    return str(ipaddress.ip_address(packed))
