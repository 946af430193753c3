"""The small grammar of SIP that several readers share: quotes, lists, parameters, addresses, URIs.

`sip` reads fields with it, `sip_verdict` asks it whether they are well formed. Everything works on
octets, by jumps from one delimiter to the next and never by backtracking, so the cost grows with
the length of the value; the number of jumps is capped as well.

Readers here are tolerant and return the best they can; functions named `is_...` are strict.

Source: RFC 3261 section 25.1; RFC 5118 section 4.10 for the third colon.
"""

from __future__ import annotations

from typing import Final

from hepsw.payload import octets

WHITESPACE: Final = b" \t"
MAX_PARTS: Final = 256
"""Parts that a list or a run of parameters is cut into; what follows stays in the last one."""
MAX_JUMPS: Final = 1024
"""Quotes and angle brackets looked at in one value; behind them nothing is cut any more."""

_QUOTE: Final = b'"'
_QUOTE_OCTET: Final = 0x22
_COLON: Final = 0x3A
_SEMICOLON: Final = 0x3B
_ANGLE: Final = 0x3C
_EQUALS: Final = 0x3D
_CLOSING_ANGLE: Final = 0x3E
_QUESTION: Final = 0x3F
_AT: Final = 0x40
_BACKSLASH: Final = b"\\"
_ALPHANUMERIC: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = _ALPHANUMERIC + b"-.!%*_+`'~"
_PRINTABLE: Final = bytes(range(0x21, 0x7F))
_URI: Final = _PRINTABLE.translate(None, b'<>"')
_SCHEME: Final = _ALPHANUMERIC + b"+-."
_HOST: Final = _ALPHANUMERIC + b"-._"  # no underscore in the RFC, but in many a private zone
_IPV6: Final = b"0123456789ABCDEFabcdef:."
_VALUE: Final = bytes(range(0x21, 0x100)).translate(None, b'<>",;\\\x7f')
_DISPLAY: Final = _TOKEN + WHITESPACE + bytes(range(0x80, 0x100))
"""An unquoted display name; letters outside ASCII should be quoted, but phones leave that out."""

_AT_SCHEMES: Final = frozenset({b"sip", b"sips", b"im", b"pres"})
"""Schemes whose URI is `user@domain`."""


# --- quotes, lists, parameters -------------------------------------------------------------------


def closing_quote(value: bytes, start: int) -> int:
    """Return where the string whose opening quote is before `start` ends; -1 if it does not."""
    position = start
    for _ in range(MAX_JUMPS):
        quote = value.find(_QUOTE, position)
        if quote < 0:
            return -1
        before = value[position:quote]
        if (len(before) - len(before.rstrip(_BACKSLASH))) % 2 == 0:
            return quote
        position = quote + 1
    return -1


def split_outside(value: bytes, separator: bytes) -> list[bytes]:
    """Cut at each separator that is neither in a quoted string nor between angle brackets.

    A quote or bracket that is never closed holds all of the rest. The parts are not trimmed, and
    empty ones stay.
    """
    if _QUOTE not in value and b"<" not in value:
        return value.split(separator, MAX_PARTS - 1)
    size = len(value)
    parts: list[bytes] = []
    start = position = 0
    cut = quote = angle = -1
    for _ in range(MAX_JUMPS):
        # Each of the three is looked for again only when it was passed, so all is read once.
        if cut < position:
            cut = value.find(separator, position)
            if cut < 0:
                break
        if quote < position:
            quote = value.find(_QUOTE, position)
            quote = size if quote < 0 else quote
        if angle < position:
            angle = value.find(b"<", position)
            angle = size if angle < 0 else angle
        if cut < quote and cut < angle:
            parts.append(value[start:cut])
            start = position = cut + 1
            if len(parts) == MAX_PARTS - 1:
                break
            continue
        end = closing_quote(value, quote + 1) if quote < angle else value.find(b">", angle)
        if end < 0:
            break
        position = end + 1
    parts.append(value[start:])
    return parts


def parameter(parameters: bytes, name: bytes) -> bytes | None:
    """Return the value of one parameter; None if it is absent or empty.

    Args:
        parameters: `;name=value;name`, with or without the first semicolon.
        name: in lower case.
    """
    size = len(parameters)
    if (
        octets.find(parameters, _SEMICOLON, MAX_PARTS - 1, size) < 0
        and octets.find(parameters, _QUOTE_OCTET, 0, size) < 0
        and octets.find(parameters, _ANGLE, 0, size) < 0
    ):
        # Nothing hides a semicolon, and there are not too many.
        return _plain_parameter(parameters, name)
    for part in split_outside(parameters, b";"):
        found, _, value = part.partition(b"=")
        if found.strip(WHITESPACE).lower() == name:
            return value.strip(WHITESPACE) or None
    return None


def _plain_parameter(parameters: bytes, name: bytes) -> bytes | None:
    size = len(parameters)
    start = 1 if size > 0 and parameters[0] == _SEMICOLON else 0
    while True:
        end = octets.find(parameters, _SEMICOLON, start, size)
        if end < 0:
            end = size
        start = octets.skip_blanks(parameters, start, end)
        if octets.begins(parameters, start, name):
            after = octets.skip_blanks(parameters, start + len(name), end)
            if after == end:
                return None
            if parameters[after] == _EQUALS:
                return octets.trimmed(parameters, after + 1, end) or None
        if end == size:
            return None
        start = end + 1


def is_token(text: bytes) -> bool:
    """Tell whether a text is a token: a method, a header's or a parameter's name."""
    return bool(text) and not text.translate(None, _TOKEN)


def are_parameters(text: bytes) -> bool:
    """Tell whether a text is nothing, or well-formed parameters, each after its semicolon."""
    text = text.strip(WHITESPACE)
    if not text:
        return True
    if text[:1] != b";":
        return False
    for part in split_outside(text[1:], b";"):
        name, equals, value = part.partition(b"=")
        if not is_token(name.strip(WHITESPACE)):
            return False
        if equals and not _is_value(value.strip(WHITESPACE)):
            return False
    return True


def _is_value(value: bytes) -> bool:
    if value[:1] == _QUOTE:
        return closing_quote(value, 1) == len(value) - 1
    return bool(value) and not value.translate(None, _VALUE)


# --- addresses -----------------------------------------------------------------------------------


def _display_end(value: bytes) -> int:
    """Return where the angle bracket of an address opens; -1 if the address is a bare URI."""
    size = len(value)
    if size == 0:
        return -1
    if value[0] == _ANGLE:
        return 0
    start = closing_quote(value, 1) + 1 if value[0] == _QUOTE_OCTET else 0
    # In `sip:a@b;x="<"` the bracket belongs to a parameter.
    if (
        octets.begins(value, 0, b"sip:")
        or octets.begins(value, 0, b"sips:")
        or octets.begins(value, 0, b"tel:")
    ):
        return -1
    return octets.find(value, _ANGLE, start, size)


def uri_of(value: bytes) -> bytes:
    """Return the URI, perhaps empty, of `"Name" <uri>;parameters` or `uri;parameters`.

    From, To and Contact are such addresses. What follows a semicolon outside of the brackets
    belongs to the header, inside to the URI.
    """
    size = len(value)
    angle = _display_end(value)
    end = octets.find(value, _SEMICOLON if angle < 0 else _CLOSING_ANGLE, angle + 1, size)
    return octets.trimmed(value, angle + 1, size if end < 0 else end)


def parameters_of(value: bytes) -> bytes:
    """Return what follows the URI of an address, perhaps nothing."""
    size = len(value)
    angle = _display_end(value)
    end = octets.find(value, _SEMICOLON if angle < 0 else _CLOSING_ANGLE, angle + 1, size)
    return b"" if end < 0 else value[end + 1 :]


def is_address(value: bytes) -> bool:
    """Tell whether a text is a well-formed address with its parameters."""
    angle = _display_end(value)
    if angle < 0:
        uri, semicolon, parameters = value.partition(b";")
        uri = uri.rstrip(WHITESPACE)
        # RFC 3261 section 20: a URI with one of these must stand in angle brackets.
        return (
            b"?" not in uri
            and b"," not in uri
            and is_uri(uri)
            and are_parameters(semicolon + parameters)
        )
    if value[:1] == _QUOTE:
        end = closing_quote(value, 1)
        if end < 0 or value[end + 1 : angle].strip(WHITESPACE):
            return False
    elif value[:angle].translate(None, _DISPLAY):
        return False
    end = value.find(b">", angle)
    return end >= 0 and is_uri(value[angle + 1 : end]) and are_parameters(value[end + 1 :])


# --- URIs ----------------------------------------------------------------------------------------


def user_of(uri: bytes) -> bytes | None:
    """Read who a URI names, as carried: no change of case, no unescaping.

    Returns:
        For `sip:` and its like the user without password but with parameters of its own
        (`+1555;phone-context=x`); for `tel:` the number; for other schemes None.
    """
    start = _scheme_end(uri)
    if start > 0:
        at = _at(uri, start)
        if at < 0:
            return None
        colon = octets.find(uri, _COLON, start, at)
        return octets.trimmed(uri, start, at if colon < 0 else colon) or None
    if start == 0:
        return None
    end = octets.find(uri, _SEMICOLON, -start, len(uri))
    return octets.trimmed(uri, -start, len(uri) if end < 0 else end) or None


def domain_of(uri: bytes) -> bytes | None:
    """Read the host of a URI without port, an IPv6 address in its brackets.

    None for `tel:` and where the scheme is not known.
    """
    start = _scheme_end(uri)
    if start <= 0:
        return None
    at = _at(uri, start)
    host = _host(uri[start if at < 0 else at + 1 :])
    return octets.trimmed(host, 0, len(host)) or None


def _scheme_end(uri: bytes) -> int:
    """Return where the rest of a URI begins; negative for `tel:`, 0 if the scheme is not known."""
    if octets.begins(uri, 0, b"sip:"):
        return 4
    colon = octets.find(uri, _COLON, 0, len(uri))
    if colon < 0:
        return 0
    scheme = uri[:colon].strip(WHITESPACE).lower()
    if scheme == b"tel":
        return -1 - colon
    return colon + 1 if scheme in _AT_SCHEMES else 0


def _at(uri: bytes, start: int) -> int:
    """Return where the user ends in what follows the scheme; -1 if there is none.

    A user may hold `;` and `?`, so the first `@` is looked for before them. Providers with mail
    addresses as users send a second one (`me@mail.example@sip.example`): the last one before the
    URI's parameters ends the user.
    """
    end = len(uri)
    at = octets.find(uri, _AT, start, end)
    if at < 0:
        return at
    found = octets.find(uri, _SEMICOLON, at, end)
    if found >= 0:
        end = found
    found = octets.find(uri, _QUESTION, at, end)
    if found >= 0:
        end = found
    return octets.rfind(uri, _AT, at, end)


def _host(text: bytes) -> bytes:
    """Return the host that a text starts with."""
    if text[:1] == b"[":
        return text[: text.find(b"]") + 1] or text
    for delimiter in (b";", b"?", b":"):
        text = text.partition(delimiter)[0]
    return text


def has_headers(uri: bytes) -> bool:
    """Tell whether a SIP URI carries headers for the request: `sip:a@b?Route=x`."""
    scheme, _, rest = uri.partition(b":")
    return scheme.lower() in {b"sip", b"sips"} and b"?" in rest[_at(rest, 0) + 1 :]


def is_uri(uri: bytes) -> bool:
    """Tell whether a text is a URI; of a `sip:` one the host and port are looked at too."""
    scheme, _, rest = uri.partition(b":")
    if not rest or not scheme[:1].isalpha() or scheme.translate(None, _SCHEME):
        return False
    if uri.translate(None, _URI):
        return False
    if scheme.lower() not in {b"sip", b"sips"}:
        return True
    place = rest[_at(rest, 0) + 1 :]
    for delimiter in (b";", b"?"):
        place = place.partition(delimiter)[0]
    return is_place(place)


def is_place(text: bytes) -> bool:
    """Tell whether a text is `host` or `host:port`; blanks around the colon are allowed."""
    host = _host(text)
    port = text[len(host) :].strip(WHITESPACE)
    if port:
        digits = port[1:].strip(WHITESPACE)
        if port[:1] != b":" or not digits.isdigit() or len(digits) > 5:
            return False
    host = host.strip(WHITESPACE)
    if host[:1] == b"[":
        # A third colon before an embedded IPv4 address stood in the grammar for years.
        return len(host) > 4 and host[-1:] == b"]" and not host[1:-1].translate(None, _IPV6)
    return bool(host) and not host.translate(None, _HOST)
