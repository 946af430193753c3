"""Names of what can be read, and everything of a payload read at once."""

from __future__ import annotations

from hepsw.payload import JsonPayload, RtcpReport, SipMessage, VqReport

TEXTS = [
    "method",
    "reason",
    "ruri",
    "ruri_user",
    "ruri_domain",
    "from_user",
    "from_domain",
    "from_tag",
    "to_user",
    "to_domain",
    "to_tag",
    "call_id",
    "via_branch",
    "contact_user",
    "user_agent",
    "content_type",
    "body",
    "message",
]
FIELDS = [*TEXTS, "kind", "verdict", "status", "cseq"]
HEADERS = [b"Via", b"v", b"to", b"CONTACT", b"i", b"Subject", b"x-none", b""]


def read(payload):
    """Return every SIP field of a payload, each from a message of its own."""
    return {name: getattr(SipMessage(payload), name) for name in FIELDS}


def read_all(payload):
    """Read whatever there is to read, as every kind of payload."""
    fields = read(payload)
    message = SipMessage(payload)
    together = {name: getattr(message, name) for name in reversed(FIELDS)}
    assert together == fields, "the order of questions changes no answer"
    for name in HEADERS:
        assert all(isinstance(value, bytes) for value in message.header(name))
    rtcp, vq, json = RtcpReport(payload), VqReport(payload), JsonPayload(payload)
    quality = [rtcp.loss_pct, rtcp.jitter_ms, rtcp.rtt_ms]
    quality += [vq.mos_lq, vq.mos_cq, vq.loss_pct, vq.jitter_ms]
    assert all(value is None or 0 <= value < 2**40 for value in quality)
    assert vq.call_id is None or vq.call_id in payload
    json.value("a.b.0")
    return fields
