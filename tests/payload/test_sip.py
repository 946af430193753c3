from __future__ import annotations

import pytest
from payload.fields import FIELDS, TEXTS, read
from payload.torture import SDP, reply, request

from hepsw.payload import SipMessage, canonical
from hepsw.payload.sip_headers import MAX_LINES, MAX_SECTION
from hepsw.payload.sip_syntax import MAX_PARTS


def test_request():
    """Every field of a plain request."""
    data = (
        request(
            "INVITE sip:+34600:secret@pbx7.example:5070;user=phone SIP/2.0",
            "7 INVITE",
            Contact="<sip:rosa@192.0.2.77>",
            User_Agent="Harbour/7",
            Content_Type="application/sdp",
            Content_Length=len(SDP),
        )
        + SDP
    )
    message = SipMessage(data)
    assert {name: getattr(message, name) for name in FIELDS} == {
        "kind": "request",
        "verdict": "ok",
        "method": b"INVITE",
        "status": None,
        "reason": None,
        "ruri": b"sip:+34600:secret@pbx7.example:5070;user=phone",
        "ruri_user": b"+34600",
        "ruri_domain": b"pbx7.example",
        "from_user": b"rosa",
        "from_domain": b"harbour.example",
        "from_tag": b"f-771",
        "to_user": b"desk",
        "to_domain": b"pbx7.example",
        "to_tag": None,
        "call_id": b"c0ffee-77@192.0.2.77",
        "cseq": 7,
        "via_branch": b"z9hG4bKrosa77",
        "contact_user": b"rosa",
        "user_agent": b"Harbour/7",
        "content_type": b"application/sdp",
        "body": SDP,
        "message": data,
    }
    assert repr(message).startswith("SipMessage(b'INVITE")


def test_reply():
    """A reply has its CSeq's method, and no URI."""
    message = SipMessage(reply("SIP/2.0 486 Busy Here", "8 BYE"))
    assert (message.kind, message.verdict) == ("reply", "ok")
    assert (message.status, message.reason) == (486, b"Busy Here")
    assert (message.method, message.cseq) == (b"BYE", 8)
    assert (message.ruri, message.ruri_user, message.ruri_domain) == (None, None, None)


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0\0\0\0", b" \t\r\n\0"])
def test_keep_alive(data):
    """Fillers are no message at all: nothing can be read of them."""
    fields = read(data)
    assert (fields["kind"], fields["verdict"]) == ("none", "start")
    assert all(fields[name] is None for name in TEXTS)


@pytest.mark.parametrize(
    "line",
    [
        '{"a": 1}',
        "GET / HTTP/1.1",
        "INVITE sip:a@b",
        "INVITE SIP/2.0",
        "HEP3",
        "sip/2.0",
        "\u00e9",
    ],
)
def test_malformed(line):
    """What shows neither a request nor a reply is malformed; its headers are read all the same."""
    message = SipMessage(request(line))
    if line.lower().startswith("sip/"):
        assert message.kind == "reply"
    else:
        assert message.kind == "malformed"
        assert message.method == b"OPTIONS"  # the CSeq's
    assert message.verdict == "start"
    assert message.call_id == b"c0ffee-77@192.0.2.77"


def test_middle_of_a_message():
    """A payload that starts with a header, as FreeSWITCH sends over TCP, gives that header too."""
    message = SipMessage(request("Call-ID: first", Call_ID=None))
    assert (message.kind, message.call_id) == ("malformed", b"first")


def test_what_stands_before():
    """Empty lines before a message are no fault, blanks and NULs are; `message` has neither."""
    data = request()
    for before, verdict in ((b"\r\n\r\n", "ok"), (b"\n", "ok"), (b" ", "start"), (b"\0", "start")):
        message = SipMessage(before + data)
        assert (message.verdict, message.message) == (verdict, data)
        assert message.method == b"OPTIONS"


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("options sip:a@b SIP/2.0", "semantic"),
        ("OPTIONS sip:a@b sip/2.0", "ok"),
        ("OPTIONS sip:a@b SIP/2", "start"),
        ("OPTIONS sip:a@b SIP/2.x", "start"),
        ("OPT(ONS sip:a@b SIP/2.0", "start"),
        ("OPTIONS sip:a@b\u00e9 SIP/2.0", "start"),
        ("OPTIONS sip:a@b:port SIP/2.0", "start"),
        ("OPTIONS sip:a@b:123456 SIP/2.0", "start"),
        ("OPTIONS sip:a@ SIP/2.0", "start"),
        ("OPTIONS sip: SIP/2.0", "start"),
        ("OPTIONS desk SIP/2.0", "start"),
        ("OPTIONS 7:desk SIP/2.0", "start"),
        ("OPTIONS sip:[::1 SIP/2.0", "start"),
        ("OPTIONS sip:[v7.x] SIP/2.0", "start"),
        ("OPTIONS tel:+34600 SIP/2.0", "ok"),
        ("OPTIONS urn:service:sos SIP/2.0", "ok"),
        ("OPTIONS sip:my_host SIP/2.0", "ok"),
        ("OPTIONS\tsip:a@b\tSIP/2.0", "start"),
        ("SIP/2.0 200", "start"),
        ("SIP/2.0  200 OK", "start"),
        ("SIP/2.0 2000 OK", "start"),
        ("SIP/2.0 20 OK", "start"),
        ("SIP/2.0 099 Low", "semantic"),
        ("SIP/2.0 700 High", "semantic"),
        ("SIP/3.0 200 OK", "semantic"),
    ],
)
def test_start_line(line, verdict):
    """The start line is judged by the letter of the grammar, then by what it says."""
    assert SipMessage(request(line)).verdict == verdict


@pytest.mark.parametrize(
    ("uri", "user", "domain"),
    [
        (b"sip:pbx7.example", None, b"pbx7.example"),
        (b"SIPS:Rosa@PBX7.example", b"Rosa", b"PBX7.example"),
        (b"sip:rosa:secret@pbx7.example:5061", b"rosa", b"pbx7.example"),
        (b"sip:rosa@mail.example@pbx7.example;lr", b"rosa@mail.example", b"pbx7.example"),
        (b"sip:rosa@pbx7.example;note=a@b", b"rosa", b"pbx7.example"),
        (b"sip:rosa?x;y@pbx7.example?to=a@b", b"rosa?x;y", b"pbx7.example"),
        (b"sip:@pbx7.example", None, b"pbx7.example"),
        (b"sip:*72@[2001:db8::1]:5060", b"*72", b"[2001:db8::1]"),
        (b"sip:[2001:db8::1", None, b"[2001:db8::1"),
        (b"tel:+34-600;phone-context=pbx7.example", b"+34-600", None),
        (b"TEL:112", b"112", None),
        (b"tel:", None, None),
        (b"im:rosa@harbour.example", b"rosa", b"harbour.example"),
        (b"urn:service:sos", None, None),
        (b"rosa@harbour.example", None, None),
        (b"", None, None),
    ],
)
def test_uri(uri, user, domain):
    """User and domain as carried; a number has no domain, an opaque URI neither."""
    message = SipMessage(b"OPTIONS sip:x SIP/2.0\r\nTo: <" + uri + b">\r\n\r\n")
    assert (message.to_user, message.to_domain) == (user, domain)


@pytest.mark.parametrize(
    ("value", "user", "tag", "verdict"),
    [
        ('"Rosa <sip:no@no>; tag=no" <sip:rosa@x>;tag=1', b"rosa", b"1", "ok"),
        ('"a \\" <sip:no@no>" <sip:rosa@x>;tag=1', b"rosa", b"1", "ok"),
        ("<sip:rosa@x;tag=no>;tag=1", b"rosa", b"1", "ok"),
        ("<sip:rosa@x;tag=no>", b"rosa", None, "ok"),
        ("sip:rosa@x;TAG = 1;y", b"rosa", b"1", "ok"),
        ('sip:rosa@x;y="<sip:no@no>;tag=no";tag=1', b"rosa", b"1", "ok"),
        ("Rosa Harbour <sip:rosa@x>;tag=1", b"rosa", b"1", "ok"),
        ("Ros\u00e1 <sip:rosa@x>;tag=1", b"rosa", b"1", "ok"),
        ("<sip:rosa@x>;tag=", b"rosa", None, "header"),
        ("<sip:rosa@x>;tag=1;", b"rosa", b"1", "header"),
        ("<sip:rosa@x>,tag=1", b"rosa", None, "header"),
        ("<sip:rosa@x;tag=1", b"rosa", None, "header"),
        ("sip:rosa@x>;tag=1", b"rosa", b"1", "header"),
        ('"Rosa" sip:rosa@x', None, None, "header"),
        ('"Rosa" Harbour <sip:rosa@x>', b"rosa", None, "header"),
        ('<sip:rosa@x>;a="open;tag=1', b"rosa", None, "header"),
        ("<>", None, None, "header"),
        ("rosa", None, None, "header"),
        ("", None, None, "header"),
    ],
)
def test_address(value, user, tag, verdict):
    """Display names, brackets, parameters of the URI and of the header keep apart."""
    message = SipMessage(request(From=value))
    assert (message.from_user, message.from_tag, message.verdict) == (user, tag, verdict)


@pytest.mark.parametrize(
    ("value", "user"),
    [
        ("*", None),
        ("<sip:a@b>, <sip:c@d>", b"a"),
        ("sip:a@b, sip:c@d", b"a"),
        ("sip:a@b;q=0.1,<sip:c@d>", b"a"),
        ('"a, <b>" <sip:c,d@e>;q=1, <sip:f@g>', b"c,d"),
        ("<sip:a@b>\r\nm: <sip:c@d>", b"a"),
    ],
)
def test_contact(value, user):
    """The first contact counts, wherever the comma stands."""
    message = SipMessage(request(Contact=value))
    assert (message.contact_user, message.verdict) == (user, "ok")


def test_header():
    """Any spelling finds every line; commas cut only lists."""
    data = request(
        Via="SIP/2.0/UDP a;branch=1 ,SIP/2.0/UDP b",
        Supported="timer,, path,",
        Subject="one, two",
        X_CID=" id-1 ",
        Empty="",
    ).replace(b"Content-Length", b"v: SIP/2.0/UDP c\r\nK : 100rel\r\nContent-Length")
    message = SipMessage(data)
    vias = (b"SIP/2.0/UDP a;branch=1", b"SIP/2.0/UDP b", b"SIP/2.0/UDP c")
    assert message.header("via") == message.header(b"V") == message.header("VIA") == vias
    assert message.header("Supported") == (b"100rel", b"timer", b"path")
    assert message.header("subject") == message.header("s") == (b"one, two",)
    assert message.header("x-cid") == (b"id-1",)
    assert message.header("empty") == (b"",)
    assert message.header("absent") == message.header("") == message.header("\udcff") == ()
    assert message.verdict == "ok"
    assert canonical(b"I") == canonical(b" Call-ID\t") == b"call-id"


def test_folding():
    """A folded value is joined by one blank; lines of blanks only belong to it."""
    message = SipMessage(request(Subject="one  \r\n\t  two\r\n \r\n three").replace(b"\r\r", b"\r"))
    assert message.header("subject") == (b"one two three",)
    first = SipMessage(request("OPTIONS sip:a@b SIP/2.0\n To: nobody"))
    assert (first.verdict, first.to_user) == ("header", b"desk")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"Via": "SIP/2.0/UDP"}, "header"),
        ({"Via": "SIP/2.0 UDP host"}, "header"),
        ({"Via": "SIP/2.0/UDP \x01:::]"}, "header"),
        ({"Via": "SIP/2.0/UDP host:70;rport"}, "ok"),
        ({"Via": "SIP/2.0/UDP host : 70 ; rport"}, "ok"),
        ({"Via": "SIP/2.0/UDP host;branch="}, "header"),
        ({"Via": "SIP/2.0/UDP host,"}, "header"),
        ({"Via": ", ".join(["SIP/2.0/UDP host"] * MAX_PARTS)}, "ok"),
        ({"Via": ", ".join(["SIP/2.0/UDP host"] * (MAX_PARTS + 1))}, "header"),
        ({"Route": "<sip:a;lr>, <sip:b;lr>"}, "ok"),
        ({"Route": "<sip:a;lr>, nowhere"}, "header"),
        ({"Contact": "<sip:a@b>, *"}, "ok"),
        ({"Max-Forwards": "256"}, "header"),
        ({"Max-Forwards": "x"}, "header"),
        ({"CSeq": "2147483648 OPTIONS"}, "header"),
        ({"CSeq": "2147483647 OPTIONS"}, "ok"),
        ({"CSeq": "7"}, "header"),
        ({"CSeq": "7 " + "M" * 512}, "semantic"),
        ({"Call-ID": "two words"}, "header"),
        ({"Call-ID": "\x7f"}, "header"),
        ({"Call-ID": ""}, "header"),
        ({"Call-ID": "c" * 257, "X-Call-ID": "c" * 257}, "ok"),
        ({"From": f"<sip:a@b>;tag={'t' * 257}"}, "ok"),
        ({"Date": "Sat, 07 Nov 2026 07:07:07 GMT"}, "ok"),
        ({"Date": "Sat, 7 Nov 2026 07:07:07 GMT"}, "header"),
        ({"Date": "now"}, "header"),
        ({"Warning": "what even is this"}, "ok"),
        ({"Authorization": "Bare"}, "ok"),
        ({"Bad name": "x"}, "header"),
        ({"To": None}, "semantic"),
        ({"Max-Forwards": None, "Content-Length": None}, "ok"),
        ({"Content-Length": "00"}, "ok"),
        ({"Content-Length": ""}, "frame"),
        ({"Content-Length": "2147483648"}, "frame"),
        ({"Content-Length": str(2**32 + 7)}, "frame"),
        ({"Content-Length": "9" * 5000}, "frame"),
        ({"Content-Length": "+0"}, "frame"),
        ({"Content-Length": "0x0"}, "frame"),
    ],
)
def test_one_header_judged(changes, verdict):
    """Each header is judged by its grammar and range, and never costs more than its label."""
    message = SipMessage(request(**changes))
    assert message.verdict == verdict
    assert message.ruri_user == b"desk"


def test_line_without_a_colon():
    """A line that is no header is labelled and skipped."""
    message = SipMessage(request(Subject="x\r\nstray words\r\nX-After: yes"))
    assert (message.verdict, message.header("x-after")) == ("header", (b"yes",))


def test_repeated_headers():
    """Content-Length twice is a frame fault only where the two differ."""
    twice = request().replace(b"CSeq", b"l: 000\r\nCSeq")
    assert (SipMessage(twice).verdict, SipMessage(twice).body) == ("semantic", None)
    differ = request().replace(b"CSeq", b"l: 1\r\nCSeq") + b"ab"
    assert (SipMessage(differ).verdict, SipMessage(differ).body) == ("frame", b"ab")


def test_body():
    """The body ends with Content-Length; `message` ends with it, and what follows is in neither."""
    data = request(Content_Length="4")
    for rest in (b"", b"\0\0", b"OPTIONS sip:x SIP/2.0\r\n\r\n"):
        message = SipMessage(data + b"abcd" + rest)
        assert (message.body, message.message) == (b"abcd", data + b"abcd")
        assert message.verdict == "ok"
    cut = SipMessage(data + b"abc")
    assert (cut.body, cut.message, cut.verdict) == (b"abc", data + b"abc", "frame")
    unsaid = SipMessage(request(Content_Length=None) + b"abc\n")
    assert (unsaid.body, unsaid.verdict) == (b"abc\n", "ok")


def test_cut_in_the_headers():
    """A payload cut short by its agent is labelled, and what came is read."""
    data = request()
    for end in range(len(data)):
        assert SipMessage(data[:end]).verdict in {"start", "frame"}
    message = SipMessage(data[: data.index(b"CSeq")])
    assert (message.call_id, message.cseq, message.body) == (b"c0ffee-77@192.0.2.77", None, None)


def test_bounds():
    """Headers beyond the bounds are not read, the message says so, and all before them is."""
    many = request("OPTIONS sip:desk@pbx7.example SIP/2.0\n" + "X: y\n" * (MAX_LINES - 8) + "Z: z")
    assert SipMessage(many).verdict == "ok"
    assert SipMessage(many).header("content-length") == (b"0",)
    more = many.replace(b"Z: z", b"Z: z\r\nZ: z")
    assert SipMessage(more).verdict == "frame"
    assert SipMessage(more).call_id == b"c0ffee-77@192.0.2.77"
    long = request(X_Long="y" * MAX_SECTION)
    assert SipMessage(long).verdict == "frame"
    assert SipMessage(long).call_id == b"c0ffee-77@192.0.2.77"


def test_no_headers():
    """A start line and nothing else is framed, and lacks what every message has."""
    for data in (b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", b"OPTIONS sip:a@b SIP/2.0\n\nbody"):
        assert SipMessage(data).verdict == "semantic"
    assert SipMessage(b"OPTIONS sip:a@b SIP/2.0\n\nbody").body == b"body"
    assert SipMessage(b"OPTIONS sip:a@b SIP/2.0").verdict == "frame"


def test_asked_first():
    """Each question can be the first one."""
    data = request(cseq="4294967296 OPTIONS")
    assert SipMessage(data).cseq is None
    assert SipMessage(data).version == b"SIP/2.0"
    assert SipMessage(data).start_line == b"OPTIONS sip:desk@pbx7.example SIP/2.0\r"
    assert SipMessage(data + b"ab").available == 2
    assert SipMessage(data[:-2]).available == -1
    assert SipMessage(data).is_complete
