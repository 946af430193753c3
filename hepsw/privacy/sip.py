"""A SIP message that names nobody.

The message is written anew, from a list of headers that are known, each by its own grammar. What
stands in no list does not leave, so a header that nobody has heard of gives nothing away.

Read are messages that are well formed, whatever they mean (verdict `ok` or `semantic`): where a
grammar is broken, nobody can tell what is a user.

Source: RFC 3261 and the documents that define the headers; RFC 3323 for anonymous URIs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hepsw.payload import SipMessage
from hepsw.payload.sip_headers import canonical, section_end, unfold
from hepsw.payload.sip_syntax import closing_quote, split_outside
from hepsw.privacy.sdp import session_without_people
from hepsw.privacy.uris import OF_CALL, OF_WORDS, address, parameters, uri, via
from hepsw.privacy.vq import report_without_people
from hepsw.privacy.words import METHODS, PHRASES, PRODUCTS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.privacy.hiding import Hiding
    from hepsw.privacy.profile import PrivacyProfile

    Rewrite = Callable[[Hiding, bytes], bytes | None]

READ: Final = frozenset({"ok", "semantic"})
"""Verdicts of messages that are taken apart."""
_FILLER: Final = b"\r\n \t\0"
_MONTHS: Final = b"Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DATE: Final = re.compile(
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (%b) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
    % _MONTHS
)
_OF_BODY: Final = frozenset({b"content-length", b"content-type", b"content-encoding"})
_OF_BODY_TOO: Final = b"content-"
_PERSONAL: Final = frozenset(
    b"subject organization call-info alert-info error-info identity identity-info warning "
    b"authentication-info geolocation p-charging-vector p-charging-function-addresses "
    b"p-access-network-info p-visited-network-id p-early-media in-reply-to".split()
)
"""Headers that are known to tell of people, places or secrets, in words of their own."""


# --- values, by their shape ----------------------------------------------------------------------


def _addresses(hiding: Hiding, value: bytes) -> bytes | None:
    return b", ".join(address(hiding, part) for part in split_outside(value, b",")) or None


def _one_address(hiding: Hiding, value: bytes) -> bytes | None:
    return address(hiding, value)


def _vias(hiding: Hiding, value: bytes) -> bytes | None:
    made = [via(hiding, part) for part in split_outside(value, b",")]
    return b", ".join(part for part in made if part) or None


def _call(hiding: Hiding, value: bytes) -> bytes | None:
    return hiding.call(value) or None


def _calls(hiding: Hiding, value: bytes) -> bytes | None:
    call, _, rest = value.partition(b";")
    if not call.strip():
        return None
    return hiding.call(call.strip()) + parameters(hiding, rest, OF_CALL)


def _session(hiding: Hiding, value: bytes) -> bytes | None:
    session, _, rest = value.partition(b";")
    name, _, remote = rest.partition(b"=")
    made = hiding.identifier(b"session", session.strip())
    if name.strip().lower() == b"remote" and remote.strip():
        made += b";remote=" + hiding.identifier(b"session", remote.strip())
    return made or None


def _number(hiding: Hiding, value: bytes) -> bytes | None:
    found = re.match(rb"[0-9]{1,10}", value)
    if found is None or int(found[0]) >= 1 << 32:
        return None
    return found[0] + parameters(hiding, value[found.end() :], OF_WORDS)


def _cseq(_: Hiding, value: bytes) -> bytes | None:
    parts = value.split()
    is_known = len(parts) == 2 and parts[1] in METHODS
    return b" ".join(parts) if is_known and re.fullmatch(rb"[0-9]{1,10}", parts[0]) else None


def _rack(_: Hiding, value: bytes) -> bytes | None:
    parts = value.split()
    is_known = len(parts) == 3 and parts[2] in METHODS
    is_short = all(re.fullmatch(rb"[0-9]{1,10}", part) for part in parts[:2])
    return b" ".join(parts) if is_known and is_short else None


def _words(hiding: Hiding, value: bytes) -> bytes | None:
    made = []
    for part in split_outside(value, b","):
        word, _, rest = part.partition(b";")
        word = word.strip()
        if word.lower() in TOKENS or word in METHODS:
            made.append(word + parameters(hiding, rest, OF_WORDS))
    return b", ".join(made) or None


def _privacy(_: Hiding, value: bytes) -> bytes | None:
    return b";".join(word for word in value.lower().split(b";") if word.strip() in TOKENS) or None


def _product(_: Hiding, value: bytes) -> bytes | None:
    low = value.lower()
    return next((product for product in PRODUCTS if product in low), None)


def _date(_: Hiding, value: bytes) -> bytes | None:
    return value if _DATE.fullmatch(value) else None


def _timestamp(_: Hiding, value: bytes) -> bytes | None:
    return (
        value
        if re.fullmatch(rb"[0-9]{1,10}(\.[0-9]{0,6})?( [0-9]{0,4}(\.[0-9]{0,6})?)?", value)
        else None
    )


def _digest(hiding: Hiding, value: bytes) -> bytes | None:
    """Return a challenge or its answer without what a password can be guessed from."""
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"digest":
        return None
    made = []
    for part in split_outside(rest, b","):
        name, _, text = part.partition(b"=")
        name, text = name.strip().lower(), text.strip()
        if text[:1] == b'"' and closing_quote(text, 1) == len(text) - 1:
            text = text[1:-1]
        if name == b"username":
            made.append(b'username="%b"' % hiding.user(text.partition(b"@")[0]))
        elif name == b"uri":
            made.append(b'uri="%b"' % uri(hiding, text))
        elif name == b"realm":
            made.append(b'realm="%b"' % hiding.host(text))
        elif (name == b"algorithm" and text.upper() in _ALGORITHMS) or (
            name == b"stale" and text.lower() in {b"true", b"false"}
        ):
            made.append(b"%b=%b" % (name, text))
        elif name == b"qop" and text.lower() in {b"auth", b"auth-int", b"auth,auth-int"}:
            made.append(b'qop="%b"' % text)
        elif name == b"nc" and re.fullmatch(rb"0000[0-9a-fA-F]{4}", text):
            made.append(b"nc=" + text)
    return b"%b %b" % (scheme, b", ".join(made)) if made else None


_ALGORITHMS: Final = frozenset({b"MD5", b"MD5-SESS", b"SHA-256", b"SHA-512-256"})

_REWRITES: Final[dict[bytes, Rewrite]] = {
    **dict.fromkeys((b"from", b"to", b"refer-to", b"referred-by", b"reply-to"), _one_address),
    **dict.fromkeys(
        b"contact route record-route path service-route p-asserted-identity p-associated-uri "
        b"p-preferred-identity p-called-party-id remote-party-id diversion history-info "
        b"request-uri p-served-user".split(),
        _addresses,
    ),
    b"via": _vias,
    b"call-id": _call,
    **dict.fromkeys((b"replaces", b"join", b"target-dialog"), _calls),
    b"session-id": _session,
    b"cseq": _cseq,
    b"rack": _rack,
    **dict.fromkeys(
        b"max-forwards expires min-expires min-se session-expires rseq retry-after "
        b"max-breadth content-length".split(),
        _number,
    ),
    **dict.fromkeys(
        b"accept accept-encoding accept-language allow allow-events supported require "
        b"proxy-require unsupported event subscription-state priority mime-version reason "
        b"content-type content-language content-disposition refer-sub norefersub".split(),
        _words,
    ),
    b"privacy": _privacy,
    b"user-agent": _product,
    b"server": _product,
    b"date": _date,
    b"timestamp": _timestamp,
    **dict.fromkeys(
        (b"authorization", b"proxy-authorization", b"www-authenticate", b"proxy-authenticate"),
        _digest,
    ),
}


# --- the message ---------------------------------------------------------------------------------


def message_without_people(hiding: Hiding, profile: PrivacyProfile, payload: bytes) -> bytes | None:
    """Return what leaves of a SIP message; None where it cannot be read."""
    if not payload.strip(_FILLER):
        return payload  # keeps a way through a NAT open, and says nothing
    message = SipMessage(payload)
    if message.verdict not in READ:
        return None
    start_line = _start_line(hiding, message)
    if start_line is None:
        return None
    body, type_ = _body(hiding, profile, message)
    lines = [start_line]
    dropped = frozenset(canonical(name.encode()) for name in profile.drop_headers)
    for name, value in _headers(message):
        key = canonical(name)
        if key in _OF_BODY or (not body and key.startswith(_OF_BODY_TOO)):
            continue
        made = _header(hiding, profile, dropped, key, value)
        if made is not None:
            lines.append(b"%b: %b" % (name, made))
    if body:
        lines.append(b"Content-Type: " + type_)
        encoding = message.headers.get(b"content-encoding")
        if encoding:  # only where the body goes as it came
            lines.append(b"Content-Encoding: " + encoding[0])
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


def _start_line(hiding: Hiding, message: SipMessage) -> bytes | None:
    if message.kind == "reply":
        status = message.status
        if status is None or not 100 <= status <= 699:
            return None
        said = message.reason or b""
        # The phrase is the sender's own; most say what the standard does.
        phrase = said if not hiding.hides_anything else PHRASES.get(status, b"")
        return b"SIP/2.0 %d %b" % (status, phrase)
    method = message.method
    if method not in METHODS or message.ruri is None:
        return None
    return b"%b %b SIP/2.0" % (method, uri(hiding, message.ruri))


def _headers(message: SipMessage) -> list[tuple[bytes, bytes]]:
    """Return the names, as they are spelled, and unfolded values of all headers, in order."""
    text = message.message or b""
    start = text.find(b"\n") + 1
    end, _ = section_end(text, start, len(text))
    lines: list[list[bytes]] = []
    for line in text[start:end].split(b"\n"):
        if line[:1] in {b" ", b"\t"} and lines:
            lines[-1].append(line)
        elif line.strip(b"\r"):
            lines.append([line])
    found = []
    for first, *more in lines:
        name, _, value = first.partition(b":")
        found.append((name.strip(), unfold(b"\n".join((value, *more)))))
    return found


def _header(
    hiding: Hiding, profile: PrivacyProfile, dropped: frozenset[bytes], key: bytes, value: bytes
) -> bytes | None:
    """Return what leaves of a header; None: nothing."""
    if key in dropped:
        return None
    if not hiding.hides_anything:
        return value
    rewrite = _REWRITES.get(key)
    if rewrite is not None:
        return rewrite(hiding, value)
    return value if profile.other == "keep" and key not in _PERSONAL else None


def _body(hiding: Hiding, profile: PrivacyProfile, message: SipMessage) -> tuple[bytes, bytes]:
    """Return what leaves of the body, and its type."""
    body = message.body or b""
    if not body:
        return b"", b""
    written = message.content_type or b""
    type_ = written.partition(b";")[0].strip().lower()
    made: bytes | None = None
    if b"content-encoding" not in message.headers:
        if type_ == b"application/sdp" or (not type_ and body.startswith(b"v=0")):
            if profile.sdp == "drop":
                return b"", b""
            type_ = b"application/sdp"
            made = session_without_people(hiding, body)
        elif type_ == b"application/vq-rtcpxr":
            made = report_without_people(hiding, body)
    if made is not None:
        return made, type_
    is_kept = profile.other == "keep" and type_ != b"application/sdp"
    return (body, written) if is_kept else (b"", b"")
