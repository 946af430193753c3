"""The small grammar of SIP that several readers share: quotes, lists, parameters, addresses, URIs.

`sip` reads fields with it, `sip_verdict` asks it whether they are well formed. Everything works on
octets, by jumps from one delimiter to the next and never by backtracking, so the cost grows with
the length of the value; the number of jumps is capped as well.

Readers here are tolerant and return the best they can; functions named `is_...` are strict.

Source: RFC 3261 section 25.1; RFC 5118 section 4.10 for the third colon.
"""

from __future__ import annotations

from typing import Final

WHITESPACE: Final = b" \t"
MAX_PARTS: Final = 256
"""Parts that a list or a run of parameters is cut into; what follows stays in the last one."""
MAX_JUMPS: Final = 1024
"""Quotes and angle brackets looked at in one value; behind them nothing is cut any more."""

_QUOTE: Final = b'"'
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
_PLAIN_STARTS: Final = (b"sip:", b"sips:", b"tel:")


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
    for part in split_outside(parameters, b";"):
        found, _, value = part.partition(b"=")
        if found.strip(WHITESPACE).lower() == name:
            return value.strip(WHITESPACE) or None
    return None


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
    start = closing_quote(value, 1) + 1 if value[:1] == _QUOTE else 0
    angle = value.find(b"<", start)
    # In `sip:a@b;x="<"` the bracket belongs to a parameter.
    return -1 if value[:5].lower().startswith(_PLAIN_STARTS) else angle


def address(value: bytes) -> tuple[bytes, bytes]:
    """Read `"Name" <uri>;parameters` or `uri;parameters`, as in From, To and Contact.

    What follows a semicolon outside of the brackets belongs to the header, inside to the URI.

    Returns:
        The URI and the parameters, each perhaps empty.
    """
    angle = _display_end(value)
    if angle >= 0:
        end = value.find(b">", angle)
        if end < 0:
            return value[angle + 1 :].strip(WHITESPACE), b""
        return value[angle + 1 : end].strip(WHITESPACE), value[end + 1 :]
    uri, _, parameters = value.partition(b";")
    return uri.strip(WHITESPACE), parameters


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


def user_and_domain(uri: bytes) -> tuple[bytes | None, bytes | None]:
    """Read who and where of a URI, as carried: no change of case, no unescaping.

    Returns:
        For `sip:` and its like the user without password but with parameters of its own
        (`+1555;phone-context=x`), and the host without port, an IPv6 address in its brackets. For
        `tel:` the number and None. For other schemes nothing.
    """
    scheme, _, rest = uri.partition(b":")
    if scheme not in _AT_SCHEMES:
        scheme = scheme.strip(WHITESPACE).lower()
        if scheme == b"tel":
            return rest.partition(b";")[0].strip(WHITESPACE) or None, None
        if scheme not in _AT_SCHEMES:
            return None, None
    at = _at(rest)
    user = rest[:at].partition(b":")[0].strip(WHITESPACE) if at >= 0 else b""
    return user or None, _host(rest[at + 1 :]).strip(WHITESPACE) or None


def _at(rest: bytes) -> int:
    """Return where the user ends in what follows the scheme; -1 if there is none.

    A user may hold `;` and `?`, so the first `@` is looked for before them. Providers with mail
    addresses as users send a second one (`me@mail.example@sip.example`): the last one before the
    URI's parameters ends the user.
    """
    at = rest.find(b"@")
    if at < 0:
        return at
    end = len(rest)
    for delimiter in (b";", b"?"):
        found = rest.find(delimiter, at, end)
        end = found if found >= 0 else end
    return rest.rfind(b"@", at, end)


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
    return scheme.lower() in {b"sip", b"sips"} and b"?" in rest[_at(rest) + 1 :]


def is_uri(uri: bytes) -> bool:
    """Tell whether a text is a URI; of a `sip:` one the host and port are looked at too."""
    scheme, _, rest = uri.partition(b":")
    if not rest or not scheme[:1].isalpha() or scheme.translate(None, _SCHEME):
        return False
    if uri.translate(None, _URI):
        return False
    if scheme.lower() not in {b"sip", b"sips"}:
        return True
    place = rest[_at(rest) + 1 :]
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
