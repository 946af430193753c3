"""The header section of a SIP message as a table: name to values, in the order of the lines.

`sip` builds it once a message, for the verdict and where many headers are asked for; one header
alone it finds by itself, in the same lines. One pass over at most `MAX_LINES` lines; names are made
lower case and long, so that `i`, `Call-ID` and `CALL-ID` are one.

Source: RFC 3261 sections 7.3 and 20; the IANA registry of SIP header fields for compact forms.
"""

from __future__ import annotations

from typing import Final

from hepsw.payload.sip_syntax import WHITESPACE

MAX_LINES: Final = 256
"""Lines read, continuations included. What follows is not read, and the verdict is `frame`."""
MAX_SECTION: Final = 1 << 16
"""Octets in which the header section must end."""

COMPACT: Final = {
    b"a": b"accept-contact",
    b"b": b"referred-by",
    b"c": b"content-type",
    b"d": b"request-disposition",
    b"e": b"content-encoding",
    b"f": b"from",
    b"i": b"call-id",
    b"j": b"reject-contact",
    b"k": b"supported",
    b"l": b"content-length",
    b"m": b"contact",
    b"n": b"identity-info",
    b"o": b"event",
    b"r": b"refer-to",
    b"s": b"subject",
    b"t": b"to",
    b"u": b"allow-events",
    b"v": b"via",
    b"x": b"session-expires",
    b"y": b"identity",
}
"""Compact forms, lower case."""
_LETTERS: Final = {name: letter for letter, name in COMPACT.items()}

LISTS: Final = frozenset(
    {
        b"accept",
        b"accept-contact",
        b"accept-encoding",
        b"accept-language",
        b"alert-info",
        b"allow",
        b"allow-events",
        b"call-info",
        b"contact",
        b"content-encoding",
        b"content-language",
        b"diversion",
        b"error-info",
        b"geolocation",
        b"history-info",
        b"in-reply-to",
        b"p-asserted-identity",
        b"p-associated-uri",
        b"p-preferred-identity",
        b"path",
        b"proxy-require",
        b"reason",
        b"record-route",
        b"reject-contact",
        b"request-disposition",
        b"require",
        b"resource-priority",
        b"route",
        b"security-client",
        b"security-server",
        b"security-verify",
        b"service-route",
        b"supported",
        b"unsupported",
        b"via",
        b"warning",
    }
)
"""Headers in which a comma begins another value. Elsewhere it is part of the value: Date, digests,
Subject, and whatever we do not know."""

_SPELLINGS: Final = (
    b"Via Max-Forwards From To Call-ID Call-Id CSeq Contact Content-Type Content-Length User-Agent "
    b"Server Allow Supported Require Route Record-Route Expires Date Event Authorization "
    b"Proxy-Authorization WWW-Authenticate Proxy-Authenticate Allow-Events Session-Expires Min-SE "
    b"Accept Subject P-Asserted-Identity Privacy Reason"
).split()
_KNOWN: Final = {
    **{name: name.lower() for name in _SPELLINGS},
    **COMPACT,
}
"""Spellings that need no work: a look-up instead of two copies for nearly every line."""

Headers = dict[bytes, list[bytes]]
"""Values by canonical name, unfolded and trimmed. Under the empty name: lines that are no header
at all."""


def canonical(name: bytes) -> bytes:
    """Return the one spelling of a header's name that the table is kept by."""
    known = _KNOWN.get(name)
    if known is not None:
        return known
    name = name.strip(WHITESPACE).lower()
    return COMPACT.get(name, name)


def initials_of(key: bytes) -> bytes:
    """Return what a line of a header can begin with: its canonical name, or the compact form."""
    letters = key[:1] + _LETTERS.get(key, b"")
    return letters + letters.upper()


def section_end(payload: bytes, start: int, limit: int) -> tuple[int, int]:
    """Find the empty line that ends the header section.

    Args:
        payload: the whole message.
        start: offset of a header line.
        limit: offset in front of which the section must end.

    Returns:
        Where the last header line ends and where the body starts; the latter is -1 if there is no
        empty line.
    """
    # The line break before `start` may be the first half of the end: a message without headers.
    first = start - 1 if start else 0
    crlf = payload.find(b"\n\r\n", first, limit)
    lf = payload.find(b"\n\n", first, limit if crlf < 0 else crlf + 1)
    if lf >= 0:
        return lf + 1, lf + 2
    if crlf >= 0:
        return crlf + 1, crlf + 3
    return min(len(payload), limit), -1


def unfold(lines: bytes) -> bytes:
    """Return the value of a header line and of those that continue it, joined by blanks."""
    parts = [part.strip(b" \t\r") for part in lines.split(b"\n")]
    return b" ".join([part for part in parts if part])


def read_headers(section: bytes) -> tuple[Headers, bool]:
    """Read the lines of a header section.

    Returns:
        The table, and whether all lines were read.
    """
    headers: Headers = {}
    lines = section.split(b"\n", MAX_LINES)
    complete = len(lines) <= MAX_LINES or not lines.pop()
    values: list[bytes] = []
    for line in lines:
        # The comparison keeps a slice and a look-up away from all lines that begin with a letter.
        if line < b"!" and line[:1] in {b" ", b"\t"}:
            more = line.strip(b" \t\r")
            if not values:
                headers[b""] = values = [more]
            elif more:
                values[-1] = values[-1] + b" " + more if values[-1] else more
            continue
        name, colon, value = line.partition(b":")
        if colon:
            key = _KNOWN.get(name)
            if key is None:
                key = canonical(name)
            value = value.strip(b" \t\r")
        else:
            value = line.rstrip(b"\r")
            if not value:
                continue
            key = b""
        known = headers.get(key)
        if known is None:
            headers[key] = values = [value]
        else:
            known.append(value)
            values = known
    return headers, complete
