"""Messages that have the properties of the RFC 4475 and RFC 5118 torture tests, in our own words.

One per case named there, with the verdict that hepsw gives it. The texts, names and numbers are
ours; only what makes each case hard is theirs.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One hard message."""

    name: str
    verdict: str
    data: bytes
    fields: dict[str, object]
    """What must be readable in spite of everything."""


def sip(text, body=b""):
    """Make a message of a text: CRLF line ends, `{length}` replaced, an empty line, the body."""
    head = text.strip("\n").replace("{length}", str(len(body)))
    return head.encode().replace(b"\n", b"\r\n") + b"\r\n\r\n" + body


def request(line="OPTIONS sip:desk@pbx7.example SIP/2.0", cseq="7 OPTIONS", **changes):
    """Make a plain request; a header is changed by its name with underscores, left out by None."""
    return sip("\n".join([line, *_headers(cseq, changes)]))


def reply(line="SIP/2.0 200 OK", cseq="7 OPTIONS", **changes):
    """Make a plain reply, likewise."""
    return sip("\n".join([line, *_headers(cseq, changes)]))


def _headers(cseq, changes):
    headers = {
        "Via": "SIP/2.0/UDP 192.0.2.77:5062;branch=z9hG4bKrosa77",
        "Max-Forwards": "65",
        "From": "<sip:rosa@harbour.example>;tag=f-771",
        "To": "<sip:desk@pbx7.example>",
        "Call-ID": "c0ffee-77@192.0.2.77",
        "CSeq": cseq,
        "Content-Length": "0",
    }
    for name, value in changes.items():
        headers[name.replace("_", "-")] = value
    return [f"{name}: {value}" for name, value in headers.items() if value is not None]


SDP = b"v=0\r\no=rosa 11 22 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\n"

WSINV = sip(
    r"""
INVITE sip:desk@pbx7.example;odd-parameter SIP/2.0
TO :
 sip:desk@pbx7.example ;   tag    = 55aa
from   : "R. \"Harbour\" \\"       <sip:rosa@harbour.example>
  ;
  tag = f-771
MaX-fOrWaRdS: 0065
Call-ID: blanks.771@192.0.2.77
Content-Length   : {length}
cseq: 0007
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390rosa
s :
Strange-Header:   one value
 that goes on
Header-Of-Commas: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:edge.harbour.example;lr;some=thing;nothing>
v:  SIP  / 2.0  / TCP     core.harbour.example   ;
  branch  =   z9hG4bK771a  ,
 SIP  /    2.0   / UDP  192.168.77.1   ; branch=
 z9hG4bK771b
m:"Quoted \"text\"" <sip:rosa@192.0.2.77> ; fresh =
      parameter ;
  another ; q = 0.5
""",
    SDP,
)
INTMETH = (
    sip(
        r"""
!Odd-Method0123_*+`.%plain'~ sip:9_odd.USER~(not!sure)&is't+it$/or?,/;;*:&pw+x=1,q!*s$d~_.(hm)@pbx7.example SIP/2.0
Via: SIP/2.0/TCP core.harbour.example;branch=z9hG4bK-.!%77*_+`'~
To: "BELL:\^G NOTHING:\^@ RUBOUT:\^?" <sip:9_odd.USER~(not!sure)@pbx7.example>
From: rosa~harbour~%!.'-+ <sip:rosa@harbour.example>;what''~+*_!.-%="\"quoted\\;,\"";tag=_rosa~7'+`*%!-.
Call-ID: odd.%"<>*?{}[]()'`~!+_@harbour
CSeq: 77777777 !Odd-Method0123_*+`.%plain'~
Max-Forwards: 255
odd-Header!.%*_+`'~: ñandú Ω
Content-Length: {length}
"""  # noqa: E501 - a request line cannot be broken
    )
    .replace(b"^G", b"\x07")
    .replace(b"^@", b"\x00")
    .replace(b"^?", b"\x7f")
)
LONG = "x" * 180
LONGREQ = sip(
    f"""
INVITE sip:desk@pbx7.example SIP/2.0
To: "{LONG}" <sip:desk@pbx7.example:5060;parameter-{LONG}=value-{LONG};lr>
F: sip:rosa-{LONG}@harbour.example;tag=f-{LONG};header-{LONG}=value-{LONG}
Call-ID: c-{LONG}{LONG}
CSeq: 7 INVITE
"""
    + "".join(f"Via: SIP/2.0/TCP hop{n}.harbour.example\n" for n in range(30))
    + f"""v: SIP/2.0/TCP last.harbour.example;branch=z9hG4bK{LONG}
Max-Forwards: 65
Contact: <sip:rosa@192.0.2.77>;parameter-{LONG}={LONG}
Unknown-{LONG}: {LONG} {LONG}
Content-Type: application/sdp
l: {{length}}
""",
    SDP,
)
PART = b"--edge\r\nContent-Type: text/plain\r\n\r\nhello\r\n--edge\r\n"
MPART = PART + b"Content-Type: application/x-bits\r\n\r\n\0\1\xff\xfe\r\n\r\n\0\r\n--edge--\r\n"
SECOND = request("INVITE sip:second@pbx7.example SIP/2.0", "8 INVITE")
V6_SDP = b"v=0\r\no=rosa 1 2 IN IP6 2001:db8:77::1\r\ns=-\r\nc=IN IP6 2001:db8:77::1\r\nt=0 0\r\n"
DUAL_SDP = V6_SDP + b"m=audio 6000 RTP/AVP 0\r\nc=IN IP4 192.0.2.77\r\nm=video 6002 RTP/AVP 31\r\n"
V6_VIA = "SIP/2.0/UDP [2001:db8:77::9]:5062;branch=z9hG4bKsix"

RFC_4475 = [
    # 3.1.1: valid
    Case(
        "wsinv",
        "ok",
        WSINV,
        {
            "method": b"INVITE",
            "ruri": b"sip:desk@pbx7.example;odd-parameter",
            "from_user": b"rosa",
            "from_tag": b"f-771",
            "to_user": b"desk",
            "to_tag": b"55aa",
            "cseq": 7,
            "via_branch": b"390rosa",
            "contact_user": b"rosa",
            "body": SDP,
        },
    ),
    Case(
        "intmeth",
        "ok",
        INTMETH,
        {
            "method": b"!Odd-Method0123_*+`.%plain'~",
            "ruri_user": b"9_odd.USER~(not!sure)&is't+it$/or?,/;;*",
            "ruri_domain": b"pbx7.example",
            "from_tag": b"_rosa~7'+`*%!-.",
            "to_domain": b"pbx7.example",
            "call_id": b"odd.%\"<>*?{}[]()'`~!+_@harbour",
        },
    ),
    Case(
        "esc01",
        "ok",
        request("OPTIONS sip:sips%3Adesk%40pbx7.example@edge.example SIP/2.0"),
        {"ruri_user": b"sips%3Adesk%40pbx7.example", "ruri_domain": b"edge.example"},
    ),
    Case(
        "escnull",
        "ok",
        request(
            "REGISTER sip:pbx7.example SIP/2.0",
            "7 REGISTER",
            From="<sip:zero-%00-zero@pbx7.example>;tag=f-771",
            Contact="<sip:%00@192.0.2.77>, <sip:%00%00@192.0.2.77>",
        ),
        {"from_user": b"zero-%00-zero", "contact_user": b"%00", "ruri_user": None},
    ),
    Case(
        "esc02",
        "ok",
        request("RE%47IST%45R sip:pbx7.example SIP/2.0", "7 RE%47IST%45R"),
        {"method": b"RE%47IST%45R"},
    ),
    Case(
        "lwsdisp",
        "ok",
        request(From="rosa<sip:rosa@harbour.example>;tag=f-771"),
        {"from_user": b"rosa", "from_tag": b"f-771"},
    ),
    Case(
        "longreq",
        "ok",
        LONGREQ,
        {"from_tag": b"f-" + LONG.encode(), "to_domain": b"pbx7.example", "body": SDP},
    ),
    Case(
        "dblreq",
        "ok",
        request("REGISTER sip:pbx7.example SIP/2.0", "7 REGISTER") + SECOND,
        {"method": b"REGISTER", "cseq": 7, "body": None},
    ),
    Case(
        "semiuri",
        "ok",
        request("OPTIONS sip:desk;ext=7%40pbx7.example@edge.example SIP/2.0"),
        {"ruri_user": b"desk;ext=7%40pbx7.example", "ruri_domain": b"edge.example"},
    ),
    Case(
        "transports",
        "ok",
        request(
            Via=", ".join(
                f"SIP/2.0/{transport} {transport.lower()}.harbour.example;branch=z9hG4bK{transport}"
                for transport in ("UDP", "SCTP", "TLS", "PIGEON", "TCP")
            )
        ),
        {"via_branch": b"z9hG4bKUDP"},
    ),
    Case(
        "mpart01",
        "ok",
        sip(
            "MESSAGE sip:desk@pbx7.example SIP/2.0\n"
            "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKmany\n"
            "From: sip:rosa@harbour.example;tag=f-771\nTo: sip:desk@pbx7.example\n"
            "Call-ID: many-771\nCSeq: 7 MESSAGE\nMax-Forwards: 65\n"
            "Content-Type: multipart/mixed;boundary=edge\nContent-Length: {length}",
            MPART,
        ),
        {"body": MPART, "content_type": b"multipart/mixed;boundary=edge"},
    ),
    Case(
        "unreason",
        "ok",
        reply("SIP/2.0 200 = 10**2 * 2 \u0434\u0432\u0435\u0441\u0442\u0438"),
        {"status": 200, "reason": "= 10**2 * 2 \u0434\u0432\u0435\u0441\u0442\u0438".encode()},
    ),
    Case(
        "noreason",
        "ok",
        reply("SIP/2.0 180 "),
        {"kind": "reply", "status": 180, "reason": b""},
    ),
    # 3.1.2: invalid
    Case(
        "badinv01",
        "header",
        request(
            "INVITE sip:desk@pbx7.example SIP/2.0",
            "7 INVITE",
            Via="SIP/2.0/UDP 192.0.2.77;;,;,,",
            Contact='"Rosa" <sip:rosa@192.0.2.77>;;;;',
        ),
        {"contact_user": b"rosa", "call_id": b"c0ffee-77@192.0.2.77"},
    ),
    Case(
        "clerr",
        "frame",
        request(Content_Length="7777") + SDP,
        {"body": SDP, "call_id": b"c0ffee-77@192.0.2.77"},
    ),
    Case("ncl", "frame", request(Content_Length="-77") + SDP, {"body": SDP}),
    Case(
        "scalar02",
        "header",
        request(
            "REGISTER sip:pbx7.example SIP/2.0",
            "77777777777777777777 REGISTER",
            Max_Forwards="777",
            Expires="1" + "0" * 90,
            Contact="<sip:rosa@192.0.2.77>;expires=777777777777777",
        ),
        {"cseq": None, "method": b"REGISTER"},
    ),
    Case(
        "scalarlg",
        "header",
        reply(
            "SIP/2.0 503 Busy",
            "7777777777777777777777 OPTIONS",
            Retry_After="77777777777777777777777777",
            Warning='7777 harbour "full"',
        ),
        {"status": 503, "cseq": None, "method": b"OPTIONS"},
    ),
    Case(
        "quotbal",
        "header",
        request(To='"Desk, first floor <sip:desk@pbx7.example>'),
        {"to_user": b"desk", "to_domain": b"pbx7.example"},
    ),
    Case(
        "ltgtruri",
        "start",
        request("OPTIONS <sip:desk@pbx7.example> SIP/2.0"),
        {"kind": "request", "ruri_user": b"desk", "ruri_domain": b"pbx7.example"},
    ),
    Case(
        "lwsruri",
        "start",
        request("OPTIONS sip:desk@pbx7.example; lr SIP/2.0"),
        {"ruri": b"sip:desk@pbx7.example; lr", "ruri_domain": b"pbx7.example"},
    ),
    Case(
        "lwsstart",
        "start",
        request("OPTIONS  sip:desk@pbx7.example  SIP/2.0"),
        {"kind": "request", "method": b"OPTIONS", "ruri": b"sip:desk@pbx7.example"},
    ),
    Case(
        "trws",
        "start",
        request("OPTIONS sip:desk@pbx7.example SIP/2.0  "),
        {"kind": "request", "ruri_user": b"desk"},
    ),
    Case(
        "escruri",
        "semantic",
        request("OPTIONS sip:desk@pbx7.example?Route=%3Csip:edge.example%3E SIP/2.0"),
        {"ruri_user": b"desk", "ruri_domain": b"pbx7.example"},
    ),
    Case("baddate", "header", request(Date="Sat, 07 Nov 2026 07:07:07 CET"), {}),
    Case(
        "regbadct",
        "header",
        request(
            "REGISTER sip:pbx7.example SIP/2.0",
            "7 REGISTER",
            Contact="sip:rosa@192.0.2.77?Route=%3Csip:edge.example%3E",
        ),
        {"contact_user": b"rosa"},
    ),
    Case(
        "badaspec",
        "header",
        request(To='"Desk, first floor" < sip:desk@pbx7.example >'),
        {"to_user": b"desk", "to_domain": b"pbx7.example"},
    ),
    Case(
        "baddn",
        "frame",
        request(From="Harbour, Rosa <sip:rosa@harbour.example>;tag=f-771")[:-2],
        {"from_user": b"rosa", "from_tag": b"f-771", "body": None},
    ),
    Case("badvers", "semantic", request("OPTIONS sip:desk@pbx7.example SIP/7.0"), {}),
    Case("mismatch01", "semantic", request(cseq="7 INVITE"), {"method": b"OPTIONS"}),
    Case(
        "mismatch02",
        "semantic",
        request("FROBNICATE sip:desk@pbx7.example SIP/2.0", "7 INVITE"),
        {"method": b"FROBNICATE"},
    ),
    Case(
        "bigcode",
        "start",
        reply("SIP/2.0 4294967496 too much for a word"),
        {"kind": "reply", "status": None, "method": b"OPTIONS"},
    ),
    # 3.2: the transaction layer
    Case(
        "badbranch",
        "ok",
        request(Via="SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK"),
        {"via_branch": b"z9hG4bK"},
    ),
    # 3.3: the application layer
    Case(
        "insuf",
        "semantic",
        request(From=None, To=None, Call_ID=None, Max_Forwards=None),
        {"call_id": None, "from_user": None},
    ),
    Case(
        "unkscm",
        "ok",
        request("OPTIONS harbourscheme:whatever-that-is SIP/2.0"),
        {"ruri": b"harbourscheme:whatever-that-is", "ruri_user": None, "ruri_domain": None},
    ),
    Case(
        "novelsc",
        "ok",
        request("OPTIONS soup.bowl://192.0.2.77:3007 SIP/2.0"),
        {"ruri": b"soup.bowl://192.0.2.77:3007", "ruri_domain": None},
    ),
    Case(
        "unksm2",
        "ok",
        request(
            "REGISTER sip:pbx7.example SIP/2.0",
            "7 REGISTER",
            To="isbn:97877",
            From="<http://harbour.example>;tag=f-771",
            Contact="<name:Rosa_Harbour>",
        ),
        {"to_user": None, "from_tag": b"f-771", "contact_user": None},
    ),
    Case(
        "bext01",
        "ok",
        request(Require="never-heard-of-it, nor-of-this", Proxy_Require="nothing"),
        {},
    ),
    Case(
        "invut",
        "ok",
        request(Content_Type="application/x-harbour-log", Content_Length="5") + b"<log>",
        {"body": b"<log>", "content_type": b"application/x-harbour-log"},
    ),
    Case(
        "regaut01",
        "ok",
        request(
            "REGISTER sip:pbx7.example SIP/2.0", "7 REGISTER", Authorization="Handshake firm=yes"
        ),
        {},
    ),
    Case(
        "multi01",
        "semantic",
        sip(
            "INVITE sip:desk@pbx7.example SIP/2.0\nContact: <sip:rosa@192.0.2.77>\n"
            "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKtwice\nMax-Forwards: 65\nCSeq: 7 INVITE\n"
            "Call-ID: first-771\nCSeq: 77 INVITE\nCall-ID: second-771\n"
            "From: sip:rosa@harbour.example;tag=1\nTo: sip:desk@pbx7.example\n"
            "To: sip:bell@pbx7.example\nFrom: sip:rita@harbour.example;tag=2\n"
            "Content-Length: {length}\nContact: <sip:rita@192.0.2.78>\nMax-Forwards: 6"
        ),
        {"cseq": 7, "call_id": b"first-771", "from_user": b"rosa", "to_user": b"desk"},
    ),
    Case(
        "mcl01",
        "frame",
        request().replace(b"Content-Length: 0", b"Content-Length: 9\r\nContent-Length: 12"),
        {"method": b"OPTIONS"},
    ),
    Case(
        "bcast",
        "ok",
        reply(Via="SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKall, SIP/2.0/UDP 192.0.2.77"),
        {"status": 200, "via_branch": b"z9hG4bKall"},
    ),
    Case("zeromf", "ok", request(Max_Forwards="0"), {}),
    Case(
        "cparam01",
        "ok",
        request(
            "REGISTER sip:pbx7.example SIP/2.0",
            "7 REGISTER",
            Contact="sip:+34600111@edge.example;nobody-knows-me",
        ),
        {"contact_user": b"+34600111"},
    ),
    Case(
        "cparam02",
        "ok",
        request(
            "REGISTER sip:pbx7.example SIP/2.0",
            "7 REGISTER",
            Contact="<sip:+34600111@edge.example;nobody-knows-me>",
        ),
        {"contact_user": b"+34600111"},
    ),
    Case(
        "regescrt",
        "ok",
        request(
            "REGISTER sip:pbx7.example SIP/2.0",
            "7 REGISTER",
            Contact="<sip:rosa@edge.example?Route=%3Csip:core.example%3E>",
        ),
        {"contact_user": b"rosa"},
    ),
    Case(
        "sdp01",
        "ok",
        request(Accept="text/nobody-reads-this", Content_Type="application/sdp"),
        {},
    ),
    # 3.4: RFC 2543
    Case(
        "inv2543",
        "ok",
        sip(
            "INVITE sip:desk@pbx7.example SIP/2.0\nVia: SIP/2.0/UDP old.harbour.example\n"
            "From: <sip:+34600111@harbour.example;user=phone>\n"
            "Record-Route: <sip:desk@pbx7.example;maddr=edge.example>\n"
            "To: sip:+34600222@edge.example;user=phone\nCall-ID: old-771@harbour.example\n"
            "CSeq: 77 INVITE\nContent-Type: application/sdp",
            SDP,
        ),
        {"body": SDP, "from_tag": None, "via_branch": None, "to_user": b"+34600222"},
    ),
]

OUTSIDE = [
    Case("test.dat", "start", b"this is a test of the harbour\r\n", {"kind": "malformed"}),
    Case(
        "baddn.terminated",
        "header",
        request(From="Harbour, Rosa <sip:rosa@harbour.example>;tag=f-771"),
        {"from_user": b"rosa"},
    ),
]
"""In the archive of RFC 4475 but in no section of it."""

RFC_5118 = [
    Case(
        "ipv6-good",
        "ok",
        request("REGISTER sip:[2001:db8:77::1] SIP/2.0", "7 REGISTER", Via=V6_VIA),
        {"ruri_domain": b"[2001:db8:77::1]", "ruri_user": None},
    ),
    Case(
        "ipv6-bad",
        "start",
        request("REGISTER sip:2001:db8:77::1 SIP/2.0", "7 REGISTER", Via=V6_VIA),
        {"kind": "request", "ruri": b"sip:2001:db8:77::1"},
    ),
    Case(
        "port-ambiguous",
        "ok",
        request("REGISTER sip:[2001:db8:77::1:5070] SIP/2.0", "7 REGISTER", Via=V6_VIA),
        {"ruri_domain": b"[2001:db8:77::1:5070]"},
    ),
    Case(
        "port-unambiguous",
        "ok",
        request("REGISTER sip:[2001:db8:77::1]:5070 SIP/2.0", "7 REGISTER", Via=V6_VIA),
        {"ruri_domain": b"[2001:db8:77::1]"},
    ),
    Case(
        "via-received-param-with-delim",
        "ok",
        request(Via="SIP/2.0/UDP [2001:db8:77::9];received=[2001:db8:77::ff];branch=z9hG4bKsix"),
        {"via_branch": b"z9hG4bKsix"},
    ),
    Case(
        "via-received-param-no-delim",
        "ok",
        request(Via="SIP/2.0/UDP [2001:db8:77::9];received=2001:db8:77::ff;branch=z9hG4bKsix"),
        {"via_branch": b"z9hG4bKsix"},
    ),
    Case(
        "ipv6-in-sdp",
        "ok",
        request(
            "INVITE sip:desk@[2001:db8:77::1] SIP/2.0",
            "7 INVITE",
            Via=V6_VIA,
            Contact="<sip:rosa@[2001:db8:77::9]>",
            Content_Type="application/sdp",
            Content_Length=len(V6_SDP),
        )
        + V6_SDP,
        {"ruri_user": b"desk", "ruri_domain": b"[2001:db8:77::1]", "body": V6_SDP},
    ),
    Case(
        "mult-ip-in-header",
        "ok",
        request(
            "BYE sip:desk@core.example SIP/2.0",
            "7 BYE",
            Via=f"SIP/2.0/UDP [2001:db8:77::9]:6050;branch=z9hG4bKboth,\r\n {V6_VIA},\r\n"
            " SIP/2.0/TCP 192.0.2.77:5062;branch=z9hG4bKfour;received=192.0.2.255",
        ).replace(b"\r\r\n", b"\r\n"),
        {"via_branch": b"z9hG4bKboth"},
    ),
    Case(
        "mult-ip-in-sdp",
        "ok",
        request(
            "INVITE sip:desk@[2001:db8:77::1] SIP/2.0",
            "7 INVITE",
            Via=V6_VIA,
            Content_Length=len(DUAL_SDP),
        )
        + DUAL_SDP,
        {"body": DUAL_SDP},
    ),
    Case(
        "ipv4-mapped-ipv6",
        "ok",
        request(
            "INVITE sip:desk@core.example SIP/2.0",
            "7 INVITE",
            Via="SIP/2.0/UDP [::ffff:192.0.2.77]:19823;branch=z9hG4bKmap",
            Contact='"Rosa" <sip:rosa@[::ffff:192.0.2.77]:19823>',
        ),
        {"contact_user": b"rosa", "via_branch": b"z9hG4bKmap"},
    ),
    Case(
        "ipv6-bug-abnf-3-colons",
        "ok",
        request("OPTIONS sip:desk@[2001:db8:::192.0.2.77] SIP/2.0", Via=V6_VIA),
        {"ruri_domain": b"[2001:db8:::192.0.2.77]"},
    ),
    Case(
        "ipv6-correct-abnf-2-colons",
        "ok",
        request("OPTIONS sip:desk@[2001:db8::192.0.2.77] SIP/2.0", Via=V6_VIA),
        {"ruri_domain": b"[2001:db8::192.0.2.77]"},
    ),
]

CASES = [*RFC_4475, *OUTSIDE, *RFC_5118]
