"""A vq-rtcpxr report that names nobody: the measurements stay, who measured what does not.

Source: RFC 6035 section 4.6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hepsw.privacy.hiding import address_of
from hepsw.privacy.uris import OF_CALL, address, parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.privacy.hiding import Hiding

MAX_LINES: Final = 256

_REPORT: Final = re.compile(rb"\s*VQ(Session|Interval|Alert)Report\b", re.IGNORECASE)
_TIME: Final = re.compile(
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9:]{4,5})?"
)
_VALUE: Final = re.compile(rb"-?[0-9]{1,5}(\.[0-9]{1,3})?")
_KEYS: Final = frozenset(
    b"PT SR FD FO FPP PPS PLC SSUP JBA JBR JBN JBM JBX NLR JDR BLD BD GLD GD GMIN RTD ESD OWD "
    b"SOWD IAJ MAJ SL NL RERL RLQ RCQ EXTRI EXTRO MOSLQ MOSCQ".split()
)
_METRICS: Final = frozenset(
    b"sessiondesc jitterbuffer packetloss burstgaploss delay signal qualityest".split()
)
_FLAGS: Final = re.compile(
    rb"(Type|Severity|Dir)=(NLR|JDR|IAJ|RLQ|RCQ|MOSLQ|MOSCQ|RTD|Critical|Warning|Clear|local|remote)",
    re.IGNORECASE,
)


def report_without_people(hiding: Hiding, body: bytes) -> bytes | None:
    """Return what leaves of a report; None where it is none."""
    lines = body.replace(b"\r\n", b"\n").split(b"\n", MAX_LINES)
    if not _REPORT.match(lines[0]) or len(lines) > MAX_LINES:
        return None
    if not hiding.hides_anything:
        return body
    kept: list[bytes] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        name, value = name.strip(), value.strip()
        if not colon and not _REPORT.fullmatch(name):
            continue
        rewrite = _LINES.get(name.lower())
        made = rewrite(hiding, value) if rewrite is not None else None
        if made is not None:
            kept.append(b"%b%b%b%b\r\n" % (name, colon, b" " if made else b"", made))
    return b"".join(kept)


def _kind(_: Hiding, value: bytes) -> bytes | None:
    if value.lower() == b"callterm":
        return value
    return b" ".join(found[0] for found in _FLAGS.finditer(value))


def _nothing(_: Hiding, value: bytes) -> bytes | None:
    return None if value else b""


def _call(hiding: Hiding, value: bytes) -> bytes | None:
    return hiding.call(value)


def _dialog(hiding: Hiding, value: bytes) -> bytes | None:
    call, _, rest = value.partition(b";")
    return hiding.call(call.strip()) + parameters(hiding, rest, OF_CALL)


def _who(hiding: Hiding, value: bytes) -> bytes | None:
    return address(hiding, value)


def _group(hiding: Hiding, value: bytes) -> bytes | None:
    return hiding.name(value)


def _where(hiding: Hiding, value: bytes) -> bytes | None:
    """Return `IP=… PORT=… SSRC=…` with the address cut."""
    made = []
    for part in value.split():
        key, _, text = part.partition(b"=")
        key = key.upper()
        found = address_of(text.strip(b"[]")) if key == b"IP" else None
        if found is not None:
            made.append(b"IP=" + hiding.address(found))
        elif key == b"PORT" and re.fullmatch(rb"[0-9]{1,5}", text):
            made.append(b"PORT=" + text)
        elif key == b"SSRC" and re.fullmatch(rb"(0x)?[0-9a-fA-F]{1,8}", text):
            made.append(b"SSRC=" + hiding.identifier(b"ssrc", text))
    return b" ".join(made) or None


def _times(_hiding: Hiding, value: bytes) -> bytes | None:
    made = []
    for part in value.split():
        key, _, text = part.partition(b"=")
        if key.upper() in {b"START", b"STOP"} and _TIME.fullmatch(text):
            made.append(b"%b=%b" % (key, text))
    return b" ".join(made) or None


def _measured(_hiding: Hiding, value: bytes) -> bytes | None:
    made = []
    for part in value.split():
        key, _, text = part.partition(b"=")
        if key.upper() in _KEYS and _VALUE.fullmatch(text):
            made.append(part)
    return b" ".join(made) or None


_LINES: Final[dict[bytes, Callable[[Hiding, bytes], bytes | None]]] = {
    **dict.fromkeys((b"vqsessionreport", b"vqintervalreport", b"vqalertreport"), _kind),
    b"callid": _call,
    b"dialogid": _dialog,
    **dict.fromkeys((b"localid", b"remoteid", b"origid"), _who),
    **dict.fromkeys((b"localgroup", b"remotegroup"), _group),
    **dict.fromkeys((b"localaddr", b"remoteaddr"), _where),
    **dict.fromkeys((b"localmetrics", b"remotemetrics"), _nothing),
    b"timestamps": _times,
    **dict.fromkeys(_METRICS, _measured),
}
