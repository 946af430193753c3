"""What is wrong with a SIP message, in one word that rules can match.

Only `SipMessage.verdict` calls it. The verdict is a label: a message with a bad one is read,
relayed and stored like any other. Of several faults the one that says most about how far the fields
can be trusted counts, in this order:

start: the start line breaks the grammar, or there is none.

frame: where the message ends is unknown. There is no empty line, the header section is beyond the
bounds, or Content-Length is no number, contradicts itself or asks for more than came.

header: a line is no header, or one of those in the tables below breaks its grammar or its range.

semantic: well formed, but it means nothing. Another version than 2.0, another method in CSeq, a
status outside of 100 to 699, a header missing that every message has or repeated that may not be,
headers inside the URI of a request.

Headers that a receiver may skip are not judged.

Source: RFC 3261 sections 7, 8.1.1, 20 and 25.1; RFC 4475; RFC 5118.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from hepsw.payload.sip_syntax import (
    MAX_PARTS,
    WHITESPACE,
    are_parameters,
    has_headers,
    is_address,
    is_place,
    is_token,
    is_uri,
    split_outside,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.payload.sip import SipMessage

Verdict = Literal["ok", "header", "semantic", "start", "frame"]

_REQUIRED: Final = (b"via", b"from", b"to", b"call-id", b"cseq")
"""What every message has had since RFC 2543; Max-Forwards is younger."""
_SINGLE: Final = (
    *_REQUIRED[1:],
    b"max-forwards",
    b"content-length",
    b"content-type",
    b"date",
    b"expires",
    b"event",
)
"""Headers of which a message has one at most."""
_DAYS: Final = frozenset({b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"})
_MONTHS: Final = frozenset(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
_CONTROLS: Final = bytes(range(0x20)) + b"\x7f"


def verdict_of(message: SipMessage) -> Verdict:
    """Look at everything once and name the worst fault."""
    if not _is_start_line(message):
        return "start"
    headers = message.headers  # first: what follows takes its answers from there
    if not _is_framed(message):
        return "frame"
    if not all(map(is_token, headers)):
        return "header"
    for key, check in _CHECKS:
        if not all(map(check, headers.get(key, ()))):
            return "header"
    for key, check in _LIST_CHECKS:
        if key in headers and not _are_elements(headers[key], check):
            return "header"
    return "ok" if _makes_sense(message) else "semantic"


def _is_start_line(message: SipMessage) -> bool:
    line = message.start_line.rstrip(b"\r")
    if message.kind == "reply":
        parts = line.split(b" ", 2)
        return len(parts) == 3 and _is_version(parts[0]) and _are_digits(parts[1], 3)
    if message.kind != "request":
        return False
    parts = line.split(b" ")
    return len(parts) == 3 and is_token(parts[0]) and is_uri(parts[1]) and _is_version(parts[2])


def _is_version(text: bytes) -> bool:
    major, dot, minor = text[4:].partition(b".")
    return text[:4].upper() == b"SIP/" and bool(dot) and major.isdigit() and minor.isdigit()


def _is_framed(message: SipMessage) -> bool:
    if not message.is_complete:
        return False
    if b"content-length" not in message.headers:
        return True
    length = message.content_length
    return length is not None and length <= message.available


def _makes_sense(message: SipMessage) -> bool:
    headers = message.headers
    if not all(key in headers for key in _REQUIRED):
        return False
    if any(len(headers.get(key, ())) > 1 for key in _SINGLE):
        return False
    if (message.version or b"").upper() != b"SIP/2.0":
        return False
    if message.kind == "reply":
        return message.status is not None and 100 <= message.status <= 699
    return message.method == message.cseq_method and not has_headers(message.ruri or b"")


# --- single headers ------------------------------------------------------------------------------


def _are_elements(values: list[bytes], check: Callable[[bytes], bool]) -> bool:
    """Check every element of a list that is spread over lines; an empty one is a fault too."""
    judged = 0
    for value in values:
        for element in split_outside(value, b","):
            judged += 1
            if judged > MAX_PARTS or not check(element.strip(WHITESPACE)):
                return False
    return True


def _is_via(element: bytes) -> bool:
    parts = element.split(b"/", 2)
    if len(parts) != 3 or not all(is_token(part.strip(WHITESPACE)) for part in parts[:2]):
        return False
    rest = parts[2].split(None, 1)
    if len(rest) != 2 or not is_token(rest[0]):
        return False
    place, semicolon, parameters = rest[1].partition(b";")
    return is_place(place) and are_parameters(semicolon + parameters)


def _is_contact(value: bytes) -> bool:
    return value == b"*" or is_address(value)


def _is_call_id(value: bytes) -> bool:
    return bool(value) and b" " not in value and len(value.translate(None, _CONTROLS)) == len(value)


def _is_cseq(value: bytes) -> bool:
    parts = value.split()
    return len(parts) == 2 and _is_below(parts[0], 1 << 31) and is_token(parts[1])


def _is_max_forwards(value: bytes) -> bool:
    return _is_below(value, 256)


def _is_below(digits: bytes, limit: int) -> bool:
    # Long runs of digits never reach `int`: it raises on 4,301 of them.
    digits = digits.lstrip(b"0") or digits[:1]
    return digits.isdigit() and len(digits) <= 10 and int(digits) < limit


def _is_date(value: bytes) -> bool:
    """Tell whether a date has the form `Sat, 13 Nov 2010 23:29:00 GMT`, the only one allowed."""
    parts = value.split()
    if len(parts) != 6:
        return False
    day, number, month, year, time, zone = parts
    clock = time.split(b":")
    return (
        day[:3] in _DAYS
        and day[3:] == b","
        and month in _MONTHS
        and zone == b"GMT"
        and _are_digits(number, 2)
        and _are_digits(year, 4)
        and len(clock) == 3
        and all(_are_digits(part, 2) for part in clock)
    )


def _are_digits(text: bytes, size: int) -> bool:
    return len(text) == size and text.isdigit()


_CHECKS: Final[tuple[tuple[bytes, Callable[[bytes], bool]], ...]] = (
    (b"from", is_address),
    (b"to", is_address),
    (b"call-id", _is_call_id),
    (b"cseq", _is_cseq),
    (b"max-forwards", _is_max_forwards),
    (b"date", _is_date),
)
"""The headers that are judged line by line."""
_LIST_CHECKS: Final[tuple[tuple[bytes, Callable[[bytes], bool]], ...]] = (
    (b"via", _is_via),
    (b"contact", _is_contact),
    (b"route", is_address),
    (b"record-route", is_address),
)
"""The headers that are judged element by element; `MAX_PARTS` elements are the most."""
