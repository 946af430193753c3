"""What stands at one message of a ladder: a short line, and what is worth a second one.

One function, `said`, for every kind of payload that a call brings along. All texts are printable
(`shown`) and bounded; what is drawn of them, and how much fits, is for the drawings to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hepsw.hep import PROTO_TYPE_NAMES
from hepsw.recall.sdp import media_of
from hepsw.recall.shown import number, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.payload import SipMessage, VqReport
    from hepsw.view import View

LOG: Final = 100
_LONGEST_WORD: Final = 48
_LONGEST_TEXT: Final = 120
_REASONED: Final = frozenset({b"BYE", b"CANCEL"})
"""Requests whose Reason header says why a call ended."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says."""

    kind: str
    """`request`, `reply`, `malformed`, `keep-alive`, `rtcp`, `quality`, `log` or `other`."""
    text: str
    """One line."""
    details: tuple[str, ...] = ()
    """Further lines, the most telling first."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for programs; absent is what the message does not say."""
    brief: str = ""
    """What is left of the line where it does not fit; empty where nothing can be spared."""

    @property
    def is_sip(self) -> bool:
        """Whether it is signalling, which is sent again when no answer comes."""
        return self.kind in {"request", "reply", "malformed"}

    @property
    def is_note(self) -> bool:
        """Whether it is about one end rather than on its way between two."""
        return self.kind in {"log", "other"}


def said(view: View) -> Said:
    """Return what a packet says."""
    sip = view.sip
    if sip is not None:
        return _sip(view, sip)
    report = view.rtcp
    if report is not None:
        names = ("loss_pct", "jitter_ms", "rtt_ms")
        facts = {name: getattr(report, name) for name in names}
        measured = _measured(facts)
        return Said("rtcp", f"RTCP {measured or 'without report'}", (), _present(facts), measured)
    vq = view.vq
    if vq is not None and (facts := _quality(vq)):
        return Said("quality", f"VQ {_measured(facts)}", (), facts)
    text = shown((view.packet.payload or b"").strip(), _LONGEST_TEXT)
    if view.packet.proto_type == LOG:
        return Said("log", f"LOG {text}".rstrip(), (), {"text": text})
    type_ = view.packet.proto_type
    name = "untyped" if type_ is None else PROTO_TYPE_NAMES.get(type_, f"type {type_}")
    return Said("other", f"{name} {text}".rstrip(), (), {"proto_type": type_, "text": text})


def _sip(view: View, sip: SipMessage) -> Said:
    kind = sip.kind
    if kind == "none":
        return Said("keep-alive", "keep-alive")
    method = shown(sip.method, _LONGEST_WORD)
    facts = _present(
        {
            "method": method,
            "status": sip.status,
            "reason": shown(sip.reason, _LONGEST_WORD),
            "ruri_user": shown(sip.ruri_user, _LONGEST_WORD),
            "ruri_domain": shown(sip.ruri_domain, _LONGEST_WORD),
            "cseq": sip.cseq,
            "call_id": shown(sip.call_id),
            "verdict": sip.verdict,
        }
    )
    if kind == "malformed":
        start = shown(sip.start_line.strip(), _LONGEST_TEXT)
        return Said("malformed", f"malformed SIP: {start}", (), {**facts, "start_line": start})
    details: list[str] = []
    media = media_of(sip.body)
    if media:
        facts["media"] = [
            {
                "kind": one.kind,
                "address": one.address,
                "codecs": list(one.codecs),
                **({"direction": one.direction} if one.direction else {}),
            }
            for one in media
        ]
        details.append("SDP " + ", ".join(map(str, media)))
    vq = view.vq
    if vq is not None and (measured := _quality(vq)):
        facts["quality"] = measured
        details.append(f"VQ {_measured(measured)}")
    if sip.method in _REASONED and (why := sip.header(b"reason")):
        facts["why"] = shown(why[0], _LONGEST_TEXT)
        details.append(f"Reason: {facts['why']}")
    if sip.verdict != "ok":
        details.append(f"not well formed: {sip.verdict}")
    if kind == "request":
        target = facts.get("ruri_user") or facts.get("ruri_domain", "")
        return Said("request", f"{method} {target}".rstrip(), tuple(details), facts, method)
    status = "???" if sip.status is None else str(sip.status)
    brief = f"{status} {facts.get('reason', '')}".rstrip()
    return Said("reply", f"{brief} ({method})" if method else brief, tuple(details), facts, brief)


def _quality(vq: VqReport) -> dict[str, float]:
    facts = {name: getattr(vq, name) for name in ("mos_lq", "mos_cq", "loss_pct", "jitter_ms")}
    return _present(facts)


def _measured(facts: Mapping[str, float | None]) -> str:
    """Write measured numbers, the worst news first."""
    found = []
    for name, before, behind in (
        ("mos_lq", "MOS ", ""),
        ("mos_cq", "MOS-CQ ", ""),
        ("loss_pct", "loss ", " %"),
        ("jitter_ms", "jitter ", " ms"),
        ("rtt_ms", "rtt ", " ms"),
    ):
        value = facts.get(name)
        if value is not None:
            found.append(f"{before}{number(value)}{behind}")
    return " ".join(found)


def _present(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "")}
