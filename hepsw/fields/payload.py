"""The fields that are read out of the payload: SIP, RTCP, voice quality, JSON.

Which payloads are read how is decided by the `View`; here only names lead to what its readers say.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from hepsw.fields.field import Field, Kind
from hepsw.fields.readers import SipPart
from hepsw.payload import canonical, parse_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.fields.field import Reading
    from hepsw.view import View

HEADER: Final = "sip.header."
JSON: Final = "json."

_FROM_PAYLOAD: Final = frozenset({"payload", "compressed_payload", "proto_type"})

_SIP_TEXTS: Final = {
    "method": "The method; of a reply, the one in its CSeq.",
    "reason": "A reply's reason phrase.",
    "ruri": "A request's URI.",
    "ruri_user": "The user of the request's URI; the number of a `tel:` one.",
    "ruri_domain": "The host of the request's URI, without port.",
    "from_user": "The user of From.",
    "from_domain": "The host of From, without port.",
    "from_tag": "The tag of From.",
    "to_user": "The user of To.",
    "to_domain": "The host of To, without port.",
    "to_tag": "The tag of To; there once the other side has answered.",
    "call_id": "The Call-ID.",
    "via_branch": "The branch of the topmost Via.",
    "contact_user": "The user of the first Contact.",
    "user_agent": "User-Agent.",
    "content_type": "Content-Type with its parameters.",
}

KINDS: Final = ("request", "reply", "malformed", "none")
VERDICTS: Final = ("ok", "header", "semantic", "start", "frame")


_field = partial(Field, derived_from=_FROM_PAYLOAD, parses=True)


def _word_of_sip(attribute: str) -> Callable[[View], Reading]:
    def read(view: View) -> Reading:
        sip = view.sip
        if sip is None:
            return None
        word: str = getattr(sip, attribute)
        return word.encode()

    return read


def _of_report(reader: str, attribute: str) -> Callable[[View], Reading]:
    def read(view: View) -> Reading:
        report = getattr(view, reader)
        if report is None:
            return None
        number: float | None = getattr(report, attribute)
        return None if number is None else float(number)

    return read


def _vq_call_id(view: View) -> Reading:
    return None if view.vq is None else view.vq.call_id


def call(view: View) -> bytes | None:
    """Return what holds a call together: the Call-ID of SIP, else the correlation id."""
    sip = view.sip
    if sip is not None and sip.call_id:
        return sip.call_id
    correlation_id = view.packet.correlation_id
    return None if correlation_id is None else correlation_id.rstrip(b"\0")


def payload_fields() -> list[Field]:
    """Return the fields with a name of their own; `header_field` and `json_field` make others."""
    texts = [
        _field(f"sip.{name}", Kind.TEXT, doc, SipPart(name).read)
        for name, doc in _SIP_TEXTS.items()
    ]
    return [
        _field(
            "sip.kind",
            Kind.TEXT,
            "`request`, `reply`, `malformed` for what is neither, or `none` where there is nothing "
            "but blanks and line ends.",
            _word_of_sip("kind"),
            words=KINDS,
        ),
        _field(
            "sip.verdict",
            Kind.TEXT,
            "What is wrong with the message, the worst first: `start`, the first line breaks the "
            "grammar; `frame`, where the message ends is unknown; `header`, a header breaks its "
            "grammar; `semantic`, well formed, and it means nothing; or `ok`.",
            _word_of_sip("verdict"),
            words=VERDICTS,
        ),
        texts[0],
        _field(
            "sip.status",
            Kind.NUMBER,
            "A reply's status.",
            SipPart("status").read,
            bits=16,
            most=999,
        ),
        *texts[1:12],
        _field("sip.cseq", Kind.NUMBER, "The number of CSeq.", SipPart("cseq").read, bits=32),
        *texts[12:],
        _field(
            "sip.body",
            Kind.OCTETS,
            "The body, as far as Content-Length reaches.",
            SipPart("body").read,
        ),
        _field(
            "sip.message",
            Kind.OCTETS,
            "The message by its Content-Length, without what stands around it.",
            SipPart("message").read,
        ),
        _field(
            "rtcp.loss_pct",
            Kind.DECIMAL,
            "Packets lost since the last report, in percent: the worst block of the report.",
            _of_report("rtcp", "loss_pct"),
        ),
        _field(
            "rtcp.jitter_ms",
            Kind.DECIMAL,
            "Jitter in milliseconds at a clock of 8 kHz: the worst block.",
            _of_report("rtcp", "jitter_ms"),
        ),
        _field(
            "rtcp.rtt_ms",
            Kind.DECIMAL,
            "Round trip in milliseconds: the worst block.",
            _of_report("rtcp", "rtt_ms"),
        ),
        _field(
            "vq.mos_lq",
            Kind.DECIMAL,
            "MOS, listening quality, of a vq-rtcpxr report: 1 to 5.",
            _of_report("vq", "mos_lq"),
        ),
        _field(
            "vq.mos_cq",
            Kind.DECIMAL,
            "MOS, conversational quality: 1 to 5.",
            _of_report("vq", "mos_cq"),
        ),
        _field(
            "vq.loss_pct",
            Kind.DECIMAL,
            "Packets lost in the network, in percent.",
            _of_report("vq", "loss_pct"),
        ),
        _field(
            "vq.jitter_ms",
            Kind.DECIMAL,
            "Interarrival jitter in milliseconds.",
            _of_report("vq", "jitter_ms"),
        ),
        _field("vq.call_id", Kind.TEXT, "The call that the report is about.", _vq_call_id),
        Field(
            "call",
            Kind.TEXT,
            "What holds a call together: the Call-ID of SIP, the correlation id of all else.",
            call,
            derived_from=_FROM_PAYLOAD | {"correlation_id"},
            parses=True,
        ),
    ]


def header_field(name: str) -> Field | None:
    """Make the field of `sip.header.<Name>`; None where the name is none of a header."""
    key = canonical(name.removeprefix(HEADER).encode("utf-8", "replace"))
    if not key:
        return None

    def read(view: View) -> Reading:
        sip = view.sip
        return (sip.header(key) or None) if sip is not None else None

    return _field(
        name,
        Kind.TEXT,
        "Every value of a header, by its name in any case: matches if one of them does.",
        read,
        several=True,
    )


def json_field(name: str) -> Field:
    """Make the field of `json."dotted.path"`; in a template the quotes are part of the name."""
    text = name.removeprefix(JSON)
    if len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    path = parse_path(text)

    def read(view: View) -> Reading:
        payload = view.json
        return None if payload is None else payload.value(path)

    return _field(f"{JSON}{text}", Kind.JSON, "What a JSON payload has at a path.", read)
