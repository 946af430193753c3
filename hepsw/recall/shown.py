r"""Text of packets, fit to be shown: bounded, on one line, and nothing that commands a terminal.

Whatever is drawn of a packet comes through `shown`: a caller chooses the octets of a Call-ID or a
reason phrase, and must not get to move a cursor, turn the direction of writing or end a line.
What cannot be printed is written as Python writes it, `\x1b`, so that it is still seen.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final

LONGEST: Final = 200
"""Characters of one piece of a packet; what is longer ends with `…`."""

_WIDE: Final = ("W", "F")
_UPON: Final = ("Mn", "Me")
"""Categories of what is drawn upon the character before it."""
_MOST_UPON: Final = 4
"""Such marks in a row: more of them climb out of their line."""


_WRITTEN: Final = re.compile(
    r"\\(?:[nrt]|x[0-9a-f]{2}|u(?!d[89a-f])[0-9a-f]{4}|U000[0-9a-f]{5}|U0010[0-9a-f]{4})"
)
"""What `printable` writes for what cannot be printed."""
_OCTET: Final = re.compile(r"\\x([89a-f][0-9a-f])")
"""What `shown` writes for an octet that is not UTF-8; or `printable`, for a character."""


def shown(octets: bytes | None, longest: int = LONGEST) -> str:
    """Return octets as text that may be printed anywhere; nothing for None.

    Args:
        octets: as a packet carries them.
        longest: how many characters to show.
    """
    if not octets:
        return ""
    # Each character takes four octets at most: what lies behind is not looked at.
    text = octets[: 4 * longest + 4].decode("utf-8", "backslashreplace")
    return cut(printable(text), longest)


def printable(text: str) -> str:
    """Return a text with everything that cannot be printed written out."""
    if text.isascii() and text.isprintable():
        return text
    written: list[str] = []
    upon = 0
    for char in text:
        upon = upon + 1 if unicodedata.category(char) in _UPON else 0
        if char.isprintable() and upon <= _MOST_UPON:
            written.append(char)
        else:
            written.append(char.encode("unicode_escape").decode("ascii"))
    return "".join(written)


def meant(text: str) -> tuple[bytes, ...]:
    """Return the octets that a text out of `shown` may stand for; what it says literally first.

    So whatever is listed can be asked for, even what no command line can hold.
    """
    as_octets = _OCTET.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)
    texts = [text, *(_WRITTEN.sub(_character, each) for each in (as_octets, text))]
    return tuple(dict.fromkeys(each.encode("utf-8", "surrogateescape") for each in texts))


def _character(found: re.Match[str]) -> str:
    return found[0].encode("ascii").decode("unicode_escape")


def width(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def cut(text: str, columns: int) -> str:
    """Return as much of a printable text as fits; `…` stands for the rest."""
    if width(text) <= columns:
        return text
    if columns <= 0:
        return ""
    taken = 0
    for at, char in enumerate(text):
        taken += _columns(char)
        if taken > columns - 1:
            return text[:at] + "…"
    return text


def cells(text: str) -> list[str]:
    """Cut a printable text into what stands in each column; nothing behind a wide character."""
    found: list[str] = []
    for char in text:
        columns = _columns(char)
        if columns == 0 and found:
            found[-1] += char
        else:
            found += [char] if columns == 1 else [char, ""]
    return found


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in _UPON:
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1


def address(packed: bytes) -> str:
    """Write a packed address."""
    return str(ipaddress.ip_address(packed))


def end(ip: bytes | None, port: int | None) -> str:
    """Write one end of a packet: `192.0.2.7:5060`, `[2001:db8::1]:5060`."""
    if ip is None:
        return "unknown" if port is None else f"unknown:{port}"
    host = address(ip)
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def milliseconds(us: int) -> str:
    """Write a difference of clocks: `+0.4 ms`, `-3.0 s`."""
    if abs(us) < 10_000_000:
        return f"{us / 1000:+.1f} ms"
    return f"{us / 1_000_000:+.1f} s"


def number(value: float) -> str:
    """Write a measured number with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
