"""What a reader costs on payloads made to be expensive: linear in their size."""

from __future__ import annotations

import pytest
from payload.fields import FIELDS, HEADERS
from steps import steps

from hepsw.payload import JsonPayload, RtcpReport, SipMessage, VqReport

START = b"OPTIONS sip:a@b SIP/2.0\r\n"
SIZE = 24_000
HOSTILE = {
    "blanks": (b"", b" "),
    "nuls": (b"", b"\0"),
    "empty-lines": (b"x", b"\r\n"),
    "blanks-in-start-line": (b"INVITE", b" "),
    "at-signs": (b"OPTIONS sip:", b"@"),
    "blanks-in-header": (START + b"To: ", b" "),
    "folds": (START + b"To: a", b"\r\n b"),
    "empty-folds": (START + b"Via: a", b"\n "),
    "long-folds": (START + b"Via: a", b"\n " + b"x" * 250),
    "vias": (START, b"Via: SIP/2.0/UDP h\r\n"),
    "via-list": (START + b"Via: ", b"SIP/2.0/UDP h,"),
    "commas": (START + b"Via: ", b","),
    "semicolons": (START + b"To: <sip:a@b>", b";"),
    "no-colon": (START, b"x\r\n"),
    "colons": (START, b":"),
    "open-quotes": (START + b"Contact: ", b'"'),
    "closed-quotes": (START + b"Contact: ", b'"",'),
    "backslashes": (START + b'Contact: "', b"\\"),
    "escaped-quotes": (START + b'To: "', b'\\"'),
    "open-angles": (START + b"Contact: ", b"<"),
    "closed-angles": (START + b"Contact: ", b"<>"),
    "angles-and-quotes": (START + b"Contact: ", b'<">",'),
    "lists-on-lines": (START, b"m: " + b"<tel:1>;a," * 24 + b"\r\n"),
    "digits": (START + b"Content-Length: ", b"9"),
    "zeros": (START + b"CSeq: ", b"0"),
    "words": (START + b"CSeq: ", b"1 "),
    "lengths": (START, b"l:1\n"),
    "braces": (b"", b"{"),
    "brackets": (b"", b"["),
    "objects": (b"", b"{}"),
    "open-objects": (b"", b"} "),
    "object-blanks": (b"", b"}                {"),
    "not-utf-8": (b'{"a":"', b"\xff"),
    "metrics": (b"", b"NLR=x "),
    "metric-lines": (b"CallID", b"\nMOSLQ="),
}


def payload(head, unit, size):
    """Fill a payload up, and end its headers so that all of it is looked at."""
    return head + unit * ((size - len(head)) // len(unit)) + b"\r\n\r\n"


def read(data):
    message = SipMessage(data)
    for name in FIELDS:
        getattr(message, name)
    for name in HEADERS:
        message.header(name)
    rtcp = RtcpReport(data).loss_pct
    return rtcp, VqReport(data).mos_lq, JsonPayload(data).value("a.b")


@pytest.mark.parametrize("name", HOSTILE)
def test_linear(name):
    """Four times the octets are at the most four times the steps; squared it were sixteen."""
    head, unit = HOSTILE[name]
    small, large = (payload(head, unit, size) for size in (SIZE // 4, SIZE))
    assert steps(lambda: read(large)) <= 5 * steps(lambda: read(small)) + 500
