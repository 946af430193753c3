"""URIs and addresses of SIP with other users and hosts in them.

Both are taken apart and put together again from pieces that are known; a piece that is not known
is left out. So whatever a misreading makes of a URI, nothing of it is passed on as it stood.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hepsw.payload.sip_syntax import (
    domain_of,
    parameters_of,
    split_outside,
    uri_of,
    user_of,
)
from hepsw.privacy.hiding import NOBODY, NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hepsw.privacy.hiding import Hiding

    Parameters = Mapping[bytes, Callable[[Hiding, bytes], bytes | None]]

_SCHEMES: Final = frozenset({b"sip", b"sips", b"im", b"pres"})
_SERVICE: Final = re.compile(
    rb"urn:service:(sos(\.(ambulance|animal-control|ecall(\.(automatic|manual))?|fire|gas|marine|"
    rb"mountain|physician|poison|police))?|counseling(\.(children|mental-health|suicide))?)",
    re.IGNORECASE,
)
"""RFC 5031 section 6.2; RFC 8147."""
_DISPLAY: Final = re.compile(rb'"[A-Za-z _-]*"|[A-Za-z _-]+')
_PORT: Final = re.compile(rb"\s*:\s*([0-9]{1,5})")
_COOKIE: Final = b"z9hG4bK"


# --- parameters ----------------------------------------------------------------------------------


def _flag(_: Hiding, value: bytes) -> bytes | None:
    return b"" if not value else None


def _small(_: Hiding, value: bytes) -> bytes | None:
    return value if re.fullmatch(rb"[0-9]{1,6}", value) else None


def _seconds(_: Hiding, value: bytes) -> bytes | None:
    return value if re.fullmatch(rb"[0-9]{1,10}", value) and int(value) < 1 << 32 else None


def _share(_: Hiding, value: bytes) -> bytes | None:
    return value if re.fullmatch(rb"[01](\.[0-9]{0,3})?", value) else None


def _index(_: Hiding, value: bytes) -> bytes | None:
    return value if re.fullmatch(rb"[0-9]{1,2}(\.[0-9]{1,2}){0,8}", value) else None


def _port(_: Hiding, value: bytes) -> bytes | None:
    return value if not value or re.fullmatch(rb"[0-9]{1,5}", value) else None


def _tag(hiding: Hiding, value: bytes) -> bytes | None:
    return hiding.tag(value) or None


def _branch(hiding: Hiding, value: bytes) -> bytes | None:
    if value[: len(_COOKIE)].lower() == _COOKIE.lower():
        return _COOKIE + hiding.tag(value[len(_COOKIE) :])
    return hiding.tag(value) or None


def _host(hiding: Hiding, value: bytes) -> bytes | None:
    return hiding.host(value) if value else None


def _words(text: bytes) -> Callable[[Hiding, bytes], bytes | None]:
    known = frozenset(text.split())

    def word(_: Hiding, value: bytes) -> bytes | None:
        return value if value.strip(b'"').lower() in known else None

    return word


_OF_URI: Final[Parameters] = {
    b"lr": lambda hiding, value: _flag(hiding, b"" if value in {b"on", b"true"} else value),
    b"ob": _flag,
    b"transport": _words(b"udp tcp tls ws wss sctp"),
    b"user": _words(b"phone ip dialstring"),
    b"ttl": _small,
    b"maddr": _host,
}
OF_ADDRESS: Final[Parameters] = {
    b"tag": _tag,
    b"expires": _seconds,
    b"q": _share,
    b"index": _index,
    b"counter": _small,
    b"limit": _small,
    b"reg-id": _small,
    b"ob": _flag,
    b"lr": _flag,
    b"privacy": _words(b"full off name uri id none header session user"),
    b"screen": _words(b"yes no"),
    b"party": _words(b"calling called redirecting"),
    b"reason": _words(
        b"unknown user-busy no-answer unavailable unconditional time-of-day do-not-disturb "
        b"deflection follow-me out-of-service away"
    ),
}
"""Parameters of From, To, Contact and their like."""
OF_VIA: Final[Parameters] = {
    b"branch": _branch,
    b"received": _host,
    b"maddr": _host,
    b"rport": _port,
    b"ttl": _small,
    b"alias": _flag,
    b"keep": _port,
}
OF_WORDS: Final[Parameters] = {
    b"cause": _small,
    b"refresher": _words(b"uac uas"),
    b"q": _share,
    b"expires": _seconds,
    b"retry-after": _seconds,
    b"reason": _words(b"deactivated probation rejected timeout giveup noresource"),
    b"handling": _words(b"optional required"),
}
"""Parameters of words and numbers."""
OF_CALL: Final[Parameters] = {
    b"to-tag": _tag,
    b"from-tag": _tag,
    b"local-tag": _tag,
    b"remote-tag": _tag,
    b"early-only": _flag,
}


def parameters(hiding: Hiding, text: bytes, known: Parameters) -> bytes:
    """Return those of `;name=value` that are known, each with a semicolon before it."""
    made: list[bytes] = []
    for part in split_outside(text, b";"):
        name, _, value = part.partition(b"=")
        name = name.strip()
        make = known.get(name.lower())
        if make is None:
            continue
        new = make(hiding, value.strip())
        if new is not None:
            made.append(b";%b=%b" % (name, new) if new else b";" + name)
    return b"".join(made)


# --- URIs ----------------------------------------------------------------------------------------


def uri(hiding: Hiding, text: bytes) -> bytes:
    """Return a URI that names nobody."""
    if not hiding.hides_anything:
        return text
    scheme, _, rest = text.partition(b":")
    scheme = scheme.strip().lower()
    if scheme == b"tel":
        return b"tel:" + hiding.user(user_of(text) or b"")
    if _SERVICE.fullmatch(text):
        return text  # emergency services: nobody's
    if scheme not in _SCHEMES:
        return b"sip:%b@%b" % (NOBODY, NOWHERE)
    user, host = user_of(text), domain_of(text)
    at = _at(rest)
    if host is None or (user is None and at >= 0):
        return b"%b:%b@%b" % (scheme, NOBODY, NOWHERE)
    place = rest[at + 1 :]
    port = _PORT.match(place, place.find(host) + len(host))
    # Behind `?` stand headers of a request to come, which may hold anything.
    of_uri = place.partition(b"?")[0].partition(b";")[2]
    return b"".join(
        (
            scheme + b":",
            b"" if user is None else hiding.user(user) + b"@",
            hiding.host(host),
            b":" + port[1] if port else b"",
            parameters(hiding, of_uri, _OF_URI),
        )
    )


def _at(rest: bytes) -> int:
    """Return where the user ends, as `sip_syntax` reads it; -1 if there is none."""
    at = rest.find(b"@")
    if at < 0:
        return at
    ends = [end for end in (rest.find(b";", at), rest.find(b"?", at)) if end >= 0]
    return rest.rfind(b"@", at, min(ends, default=len(rest)))


def address(hiding: Hiding, text: bytes) -> bytes:
    """Return `<uri>;parameters` for what From and its like hold; display names go."""
    text = text.strip()
    if not hiding.hides_anything or text == b"*":
        return text
    shown = b""
    if not hiding.hides_users:
        shown = _display(text)
    written = uri_of(text)
    if b"<" not in text and b"@" in text[len(written) :]:
        # `sip:user;phone-context=x@host` without brackets: what was read is not all of the URI.
        return b"<sip:%b@%b>" % (NOBODY, NOWHERE)
    made = uri(hiding, written)
    return b"%b<%b>%b" % (shown, made, parameters(hiding, parameters_of(text), OF_ADDRESS))


def _display(text: bytes) -> bytes:
    """Return the display name of an address, where it is a plain one; users are kept then."""
    # Cut first: one expression for all of it would try each of many blanks as the end of the name.
    name, angle, _ = text.partition(b"<")
    name = name.strip()
    return name + b" " if angle and _DISPLAY.fullmatch(name) else b""


def via(hiding: Hiding, text: bytes) -> bytes | None:
    """Return a Via with other hosts and branches; None where it is none."""
    if not hiding.hides_anything:
        return text
    found = re.match(
        rb"\s*(SIP)\s*/\s*(2\.0)\s*/\s*(UDP|TCP|TLS|SCTP|WS|WSS|TLS-SCTP)\s+", text, re.IGNORECASE
    )
    if found is None:
        return None
    place, _, of_via = text[found.end() :].partition(b";")
    place = place.strip()
    host, port = place, b""
    at = _PORT.search(place, place.find(b"]") + 1)
    if at is not None and not place[at.end() :].strip():
        host, port = place[: at.start()].strip(), b":" + at[1]
    return b"%b/%b/%b %b%b%b" % (
        *found.groups(),
        hiding.host(host),
        port,
        parameters(hiding, of_via, OF_VIA),
    )
