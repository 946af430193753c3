"""Small questions about octets, in two texts: these, and those in `octets.pxd` beside it.

Where the readers of SIP are compiled, `octets.find` and its like are a few instructions of C in the
midst of them, from the .pxd; where they are not, these functions are called, each a call or two
into the interpreter's own C. It is the one place where a function is written twice: no single text
is fast in both builds, a loop over octets in Python no more than a method's call in C. This file
is never compiled.

Offsets are within the octets: 0 <= start and end <= len(octets). An `end` at or before `start` is
an empty piece. Single octets are ints.
"""

from __future__ import annotations

find = bytes.find
"""find(octets, octet, start, end): where an octet stands first, -1 if nowhere."""

rfind = bytes.rfind
"""rfind(octets, octet, start, end): where it stands last, -1 if nowhere."""


def begins(octets: bytes, start: int, letters: bytes) -> bool:
    """Tell whether letters stand at an offset, in any case; they are given in lower case."""
    return octets[start : start + len(letters)].lower() == letters


def skip_blanks(octets: bytes, start: int, end: int) -> int:
    """Return where blanks and tabs that begin a piece end."""
    return max(start, end) - len(octets[start:end].lstrip(b" \t"))


def trimmed(octets: bytes, start: int, end: int) -> bytes:
    """Return a piece without the blanks and tabs around it."""
    return octets[start:end].strip(b" \t")


def trimmed_line(octets: bytes, start: int, end: int) -> bytes:
    """Return a piece without the blanks, tabs and carriage returns around it."""
    return octets[start:end].strip(b" \t\r")


def number(octets: bytes, start: int, end: int) -> int:
    """Read a decimal number below 10^10, leading zeros apart; -1 if a piece is not one.

    Long runs of digits never reach `int`: it raises on 4,301 of them.
    """
    text = octets[start:end]
    if not text.isdigit():
        return -1
    if len(text) > 10:
        text = text.lstrip(b"0") or b"0"
    return int(text) if len(text) <= 10 else -1
