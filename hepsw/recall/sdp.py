"""What a session description offers, in one short line: where the media go, and in which codecs.

The ladder marks messages with it. Tolerant and bounded, as every reader of payloads; what cannot be
read is left out.

Source: RFC 8866; RFC 3551 table 4 for the static payload types.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hepsw.recall.shown import shown

MOST_LINES: Final = 1000
MOST_MEDIA: Final = 8
MOST_CODECS: Final = 4
"""Shown of one stream; `+n` stands for the others."""

_STATIC: Final = {
    b"0": "PCMU",
    b"3": "GSM",
    b"4": "G723",
    b"8": "PCMA",
    b"9": "G722",
    b"13": "CN",
    b"18": "G729",
    b"26": "JPEG",
    b"31": "H261",
    b"34": "H263",
}
_SHORT: Final = {"telephone-event": "tel-event"}
_HELD: Final = {b"a=sendonly": "sendonly", b"a=recvonly": "recvonly", b"a=inactive": "inactive"}


class Media(NamedTuple):
    """One stream."""

    kind: str
    """`audio`, `video` …"""
    address: str
    """`192.0.2.7:16384`, or `off` where the port is 0."""
    codecs: tuple[str, ...]
    direction: str
    """Empty where it goes both ways."""

    def __str__(self) -> str:
        kind = "" if self.kind == "audio" else f"{self.kind} "
        codecs = " ".join(self.codecs[:MOST_CODECS])
        more = len(self.codecs) - MOST_CODECS
        words = [f"{kind}{self.address}", codecs, f"+{more}" if more > 0 else "", self.direction]
        return " ".join(word for word in words if word)


def media_of(body: bytes | None) -> tuple[Media, ...]:
    """Return the streams that a body describes; none where it is no session description."""
    if body is None or not body.startswith(b"v="):
        return ()
    found: list[Media] = []
    session = b""
    lines = [line.strip() for line in body.split(b"\n", MOST_LINES)[:MOST_LINES]]
    starts = [at for at, line in enumerate(lines) if line.startswith(b"m=")]
    if not starts:
        return ()
    for line in lines[: starts[0]]:
        session = _connection(line) or session
    for start, following in zip(starts, [*starts[1:], len(lines)], strict=True):
        if len(found) < MOST_MEDIA:
            found.append(_media(lines[start:following], session))
    return tuple(found)


def _connection(line: bytes) -> bytes:
    words = line.split()
    return words[2].partition(b"/")[0] if line.startswith(b"c=") and len(words) >= 3 else b""


def _media(lines: list[bytes], host: bytes) -> Media:
    kind, port, _, *formats = [*lines[0].removeprefix(b"m=").split(), b"", b"", b""]
    names: dict[bytes, str] = {}
    direction = ""
    for line in lines[1:]:
        host = _connection(line) or host
        direction = _HELD.get(line, direction)
        if line.startswith(b"a=rtpmap:"):
            format_, _, encoding = line.removeprefix(b"a=rtpmap:").partition(b" ")
            name = shown(encoding.partition(b"/")[0], 24)
            names[format_] = _SHORT.get(name, name)
    formats = [format_ for format_ in formats if format_]
    codecs = tuple(names.get(name) or _STATIC.get(name) or shown(name, 12) for name in formats)
    where = "off"
    if port.partition(b"/")[0] != b"0":
        written = shown(host, 46) or "?"
        where = f"[{written}]" if ":" in written else written
        where += f":{shown(port, 12)}"
    return Media(shown(kind, 16), where, codecs, direction)
