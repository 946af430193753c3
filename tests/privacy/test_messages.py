"""What leaves of each kind of payload, and what does not leave at all."""

import json
import zlib

import pytest

from hepsw.concealed import Concealed
from hepsw.hep import Chunk, build, decode, encode, encode_v1
from hepsw.payload import SipMessage
from hepsw.privacy import Anonymiser, PrivacyProfile

KEY = Concealed(b"a key of the operator's")
OUTSIDE = PrivacyProfile(
    users="hash", v4=24, v6=48, key=KEY, drop_headers=frozenset({"authorization"}), sdp="keep"
)
INVITE = (
    b"INVITE sip:+34911234567@pbx.example.com:5080;user=phone;transport=udp SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.1.2.3:5060;branch=z9hG4bK-10.1.2.3-1;rport;received=198.51.100.7\r\n"
    b"Record-Route: <sip:10.1.2.3;lr>, <sip:[2001:db8:1:2::3]:5070;lr=on>\r\n"
    b"Max-Forwards: 70\r\n"
    b'f: "Alice Liddell" <sip:alice@10.1.2.3>;tag=alice-1\r\n'
    b"To: <tel:+34-911-234-567>\r\n"
    b"Call-ID: 5b7e@10.1.2.3\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b'Contact: <sip:alice@10.1.2.3:5060;line=alice>;+sip.instance="<urn:uuid:1>";expires=60\r\n'
    b'Authorization: Digest username="alice",realm="example.com",response="deadbeef"\r\n'
    b'Proxy-Authorization: Digest username="alice", realm="example.com", nonce="x",\r\n'
    b' uri="sip:10.1.2.3", response="deadbeef", algorithm=MD5\r\n'
    b"User-Agent: Yealink SIP-T46G of Alice\r\n"
    b"Allow: INVITE, ACK, FOO\r\n"
    b"Supported: 100rel, alice\r\n"
    b"X-Customer: alice\r\n"
    b"Subject: about Alice\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 318\r\n"
    b"\r\n"
    b"v=0\r\n"
    b"o=alice 1700000000 2 IN IP4 10.1.2.3\r\n"
    b"s=a call of Alice\r\n"
    b"c=IN IP4 10.1.2.3\r\n"
    b"t=0 0\r\n"
    b"m=audio 10000 RTP/AVP 0 8 101\r\n"
    b"a=rtpmap:0 PCMU/8000\r\n"
    b"a=fmtp:101 0-16\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
    b"a=candidate:1 1 UDP 2130706431 10.1.2.3 10000 typ host\r\n"
    b"a=sendrecv\r\n"
)
GOLDEN = b"""INVITE sip:@NUMBER@@pbx.example.com:5080;user=phone;transport=udp SIP/2.0
Via: SIP/2.0/UDP 10.1.2.0:5060;branch=z9hG4bK@BRANCH@;rport;received=198.51.100.0
Record-Route: <sip:10.1.2.0;lr>, <sip:[2001:db8:1::]:5070;lr>
Max-Forwards: 70
f: <sip:@ALICE@@10.1.2.0>;tag=@TAG@
To: <tel:@NUMBER@>
Call-ID: @CALL@
CSeq: 314159 INVITE
Contact: <sip:@ALICE@@10.1.2.0:5060>;expires=60
Proxy-Authorization: Digest username="@ALICE@", realm="@REALM@", uri="sip:10.1.2.0", algorithm=MD5
User-Agent: yealink
Allow: INVITE, ACK
Supported: 100rel
Content-Type: application/sdp
Content-Length: @LENGTH@

v=0
o=- @SESSION@ 2 IN IP4 10.1.2.0
s=-
c=IN IP4 10.1.2.0
t=0 0
m=audio 10000 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=fmtp:101 0-16
a=candidate:@CANDIDATE@ 1 UDP 2130706431 10.1.2.0 10000 typ host
a=sendrecv
"""
TOKENS = {
    b"@REALM@": b"example.com",
    b"@NUMBER@": b"a9db961252882c6d",
    b"@ALICE@": b"db39fc6849934c63",
    b"@CALL@": b"00a8a189544f46b8",
    b"@TAG@": b"b261e0b13209a473",
    b"@BRANCH@": b"1e27f8805a56a04d",
    b"@SESSION@": b"357037258",
    b"@CANDIDATE@": b"9e395f9de3669eca",
    b"@LENGTH@": b"222",
}


def invite(body_changed=INVITE):
    head, _, body = body_changed.partition(b"\r\n\r\n")
    return (
        head.replace(b"Content-Length: 318", b"Content-Length: %d" % len(body)) + b"\r\n\r\n" + body
    )


def leaves(payload, profile=OUTSIDE, **fields):
    """Return the payload that leaves; None where the packet does not."""
    fields.setdefault("proto_type", 1)
    made = Anonymiser(profile).rewritten(build(payload=payload, **fields))
    return None if made is None else made.payload


def test_an_invite():
    """Line by line, what leaves of a call."""
    assert SipMessage(invite()).verdict == "ok"
    text = GOLDEN
    for name, token in TOKENS.items():
        text = text.replace(name, token)
    assert leaves(invite()) == text.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("users", "number", "alice"),
    [
        ("mask", b"sip:+34911xxxxxx@", b"<sip:axxxx@"),
        ("drop", b"sip:anonymous@", b"<sip:anonymous@"),
        ("keep", b"sip:+34911234567@", b'"Alice Liddell" <sip:alice@'),
    ],
)
def test_other_ways_to_hide_users(users, number, alice):
    """Without a key users are masked, dropped, or kept while addresses are cut all the same."""
    left = leaves(invite(), PrivacyProfile(users=users, v4=24, v6=48))
    assert left.startswith(b"INVITE " + number)
    assert b"\nf: " + alice in left
    assert b"10.1.2.3" not in left
    assert left.endswith(b"Content-Length: 0\r\n\r\n")


def test_users_alone():
    """Where addresses are whole, they stay; names and identifiers go."""
    left = leaves(invite(), PrivacyProfile(users="hash", key=KEY, sdp="keep"))
    assert b"c=IN IP4 10.1.2.3\r\n" in left
    assert b"<sip:[2001:db8:1:2::3]:5070;lr>" in left
    assert b"lice" not in left.replace(b"Alice", b"alice")


def test_a_profile_that_hides_nothing_but_headers():
    """With users and addresses kept, a message keeps its words, but for headers and keys."""
    profile = PrivacyProfile(users="keep", drop_headers=frozenset({"x-customer"}), sdp="keep")
    left = leaves(invite(), profile)
    assert b"X-Customer" not in left
    assert b"a=crypto" not in left
    head = [line for line in invite().partition(b"\r\n\r\n")[0].split(b"\r\n") if b"X-" not in line]
    assert [line for line in head if not line.startswith((b"Content", b" "))] == [
        line.partition(b" uri=")[0].rstrip() if line.startswith(b"Proxy") else line
        for line in left.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if not line.startswith(b"Content")
    ]


@pytest.mark.parametrize("name", ["t", "to"])
def test_headers_by_either_name(name):
    """A header that is to be dropped may be named by its letter, and carried by it."""
    left = leaves(invite(), PrivacyProfile(users="drop", drop_headers=frozenset({name, "from"})))
    assert b"\r\nTo:" not in left
    assert b"\r\nf:" not in left


def test_same_caller_same_token():
    """However a number is written, it is one; under another key it is another."""

    def tokens(text, key=KEY):
        left = leaves(
            b"OPTIONS %b SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n"
            b"From: <%b>;tag=1\r\nTo: <%b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
            % (text, text, text),
            PrivacyProfile(key=key),
        )
        return SipMessage(left).from_user

    written = (
        b"sip:+34911234567@a.example",
        b"tel:+34-911-234-567",
        b"tel:+34911234567;phone-context=x",
        b"sip:%2B34911234567:password@b.example",
        b"sip:+34911234567;isub=1@b.example",
    )
    assert len({tokens(text) for text in written}) == 1
    assert tokens(written[0]) != tokens(written[0], Concealed(b"another"))
    assert tokens(written[0]) != tokens(b"sip:+34911234568@a.example")


def hosts_that_leave(host, profile=OUTSIDE):
    """Return the host of the From that leaves."""
    left = leaves(
        b"OPTIONS sip:a.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n"
        b"From: <sip:a@%b>;tag=1\r\nTo: <sip:a.example>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
        % host,
        profile,
    )
    return SipMessage(left).from_domain


@pytest.mark.parametrize(
    "host",
    [
        b"2001-db8-77-abcd-1234-5678-9abc-def0.fixed.example",
        b"2001-DB8-77--1.ip6.example",
        b"v6-2001-db8--1.example",
        b"203_0_113_77.dyn.example",
        b"ip203x0x113x77.example",
        b"77.113-0-203.example",
        b"cb-00-71-4d.example",
        b"f.e.d.c.b.a.9.8.ip6.arpa",
        b"911-765432.pbx.example",
    ],
)
def test_names_that_hold_an_address(host):
    """Providers write the addresses of their customers into names, in many ways."""
    assert hosts_that_leave(host) == b"anonymous.invalid"


@pytest.mark.parametrize(
    "host",
    [
        b"ims.mnc001.mcc234.3gppnetwork.org",
        b"sbc1-2.pop3.dc4.example.com",
        b"eu-west-1.sip.example.com",
        b"xn--bcher-kva.example",
        b"b2b-42.fe.example.de",
    ],
)
def test_names_that_hold_none(host):
    """Numbers and letters of machines and places are no addresses."""
    assert hosts_that_leave(host) == host


@pytest.mark.parametrize("user", [b";x=1", b"%3Bx", b"()"])
def test_a_user_of_nothing_is_masked(user):
    """What is left out of the ways to write a number may be all; the URI stays well formed."""
    message = invite().replace(b"<sip:alice@10.1.2.3>", b"<sip:%b@10.1.2.3>" % user)
    left = leaves(message, PrivacyProfile(users="mask", v4=24))
    assert SipMessage(left).verdict == "ok"
    assert SipMessage(left).from_user == b"anonymous"


@pytest.mark.parametrize("user", [b"203.0.113.77", b"gw-203-0-113-77", b"203_0_113_77"])
@pytest.mark.parametrize("users", ["mask", "keep"])
def test_a_user_that_is_an_address(users, user):
    """Its beginning would say more than the profile lets be said of addresses."""
    message = invite().replace(b"<sip:alice@10.1.2.3>", b"<sip:%b@10.1.2.3>" % user)
    assert SipMessage(leaves(message, PrivacyProfile(users=users, v4=8))).from_user == b"anonymous"


def test_a_long_key_is_a_key():
    """A key of any length is taken whole."""
    first, second = (Concealed(b"x" * 100 + end) for end in (b"1", b"2"))
    assert leaves(invite(), PrivacyProfile(key=first)) != leaves(
        invite(), PrivacyProfile(key=second)
    )


def test_calls_hold_together():
    """Call-ID, correlation id, and a report's call are one token."""
    made = Anonymiser(OUTSIDE).rewritten(
        build(proto_type=1, payload=invite(), correlation_id="5b7e@10.1.2.3")
    )
    call = SipMessage(made.payload).call_id
    assert made.correlation_id == call
    report = leaves(b"VQSessionReport: CallTerm\r\nCallID: 5b7e@10.1.2.3\r\n", proto_type=35)
    assert report == b"VQSessionReport: CallTerm\r\nCallID: %b\r\n" % call


def test_a_reply():
    """The phrase of a reply is the standard's."""
    reply = (
        b"SIP/2.0 486 Alice is busy\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n"
        b"From: <sip:a@b.example>\r\nTo: <sip:b@b.example>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
    )
    assert leaves(reply).startswith(b"SIP/2.0 486 Busy Here\r\n")
    assert leaves(reply.replace(b"486", b"499")).startswith(b"SIP/2.0 499 \r\n")


def test_a_display_name_of_blanks():
    """Kept names are looked for once: blanks without end took seconds, and held everything up."""
    keep = PrivacyProfile(users="keep", v4=24)
    for end in (b"b", b"!"):
        message = invite().replace(b'"Alice Liddell" <', b"a" + b" " * 60_000 + end + b" <")
        assert SipMessage(message).verdict == "ok"
        assert (b"\nf: a " in leaves(message, keep)) is (end == b"b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Timestamp", b"1 10.1.2.3"),
        (b"Date", b"Mon, 01 Jan 2024 10:1:2:3 GMT"),
        (b"Date", b"Mon, 01 Jan 2024 34911234 GMT"),
        (b"Refer-To", b"<urn:service:alice>"),
        (b"Refer-To", b"<urn:service:sos.alice>"),
    ],
)
def test_what_looks_like_the_value_of_a_header(name, value):
    """Where a value has a grammar, all of it is asked for."""
    line = b"%b: %b" % (name, value)
    left = leaves(invite().replace(b"Max-Forwards: 70", line))
    assert left is None or value not in left
    for good in (b"Timestamp: 1.5 0.25", b"Timestamp: 54", b"Date: Sat, 13 Nov 2010 23:29:00 GMT"):
        assert good in leaves(invite().replace(b"Max-Forwards: 70", good))


def test_a_time_of_a_report():
    """Likewise of a report."""
    report = (
        b"VQSessionReport\r\nTimestamps:START=2026-10-10T10.1.2.3 STOP=2026-10-10T18:26:02.5Z\r\n"
    )
    assert leaves(report, proto_type=35).endswith(
        b"\r\nTimestamps: STOP=2026-10-10T18:26:02.5Z\r\n"
    )


def test_an_emergency_call():
    """A service is nobody, so its name stays."""
    left = leaves(invite().replace(b"sip:+34911234567@pbx", b"urn:service:sos.fire x@pbx", 1))
    assert left is None  # a blank in the URI is no URI
    words = invite().split(b" ")
    words[1] = b"urn:service:sos.fire"
    assert leaves(b" ".join(words)).startswith(b"INVITE urn:service:sos.fire SIP/2.0\r\n")


@pytest.mark.parametrize(
    ("proto_type", "payload"),
    [
        (1, b"INVITE alice"),  # no start line
        (1, b"INVITE sip:a@b.example SIP/2.0\r\nVia: x\r\n"),  # no end
        (1, INVITE.replace(b"318", b"999")),  # cut
        (1, INVITE.replace(b"f: ", b"f: <")),  # a header breaks its grammar
        (1, b"REPORT" + invite()[6:]),  # a method that nobody knows
        (1, b'{"sip": "INVITE"}'),
        (5, b"alice"),
        (5, b'["alice"]'),
        (5, b'{"alice": 5}'),
        (35, b"alice"),
        (100, b"alice called"),
        (50, b"{}"),
        (0, b"HEP3\x03\n"),
    ],
)
def test_what_cannot_be_read_does_not_leave(proto_type, payload):
    """Unless the profile says that it does; then it leaves as it is."""
    assert leaves(payload, proto_type=proto_type) is None
    kept = PrivacyProfile(users="hash", key=KEY, other="keep")
    assert leaves(payload, kept, proto_type=proto_type) == payload


@pytest.mark.parametrize("payload", [b"", b"\r\n\r\n", b"\0\0\0\0"])
def test_keep_alives_leave(payload):
    """What opens a way through a NAT says nothing."""
    assert leaves(payload) == payload


def test_other_bodies():
    """A body that the profile cannot read goes, the message does not."""
    head, _, _ = invite().partition(b"\r\n\r\n")
    head = head.replace(b"application/sdp", b"text/plain")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Le"))
    message = head + b"\r\n\r\nHello Alice"
    assert leaves(message).endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert b"text/plain" not in leaves(message)
    kept = leaves(message, PrivacyProfile(key=KEY, other="keep"))
    assert kept.endswith(b"\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nHello Alice")
    assert b"X-Customer: alice" in kept
    assert b"Subject" not in kept


def test_what_follows_the_body_goes():
    """Octets behind Content-Length belong to nobody's message."""
    assert leaves(invite() + b"alice") == leaves(invite())


def test_rtcp():
    """Numbers under the names that all agents use; the name of the source goes."""
    report = {
        "sender_information": {"ntp_timestamp_sec": 3900000000, "packets": "10", "octets": "x"},
        "ssrc": 1,
        "type": 200,
        "user": "alice",
        "report_blocks": [{"fraction_lost": 5, "ia_jitter": 23, "packets_lost": -1, "name": "x"}],
        "sdes_information": [{"type": 1, "text": "alice@10.1.2.3"}],
    }
    kept = {
        "sender_information": {"ntp_timestamp_sec": 3900000000, "packets": "10"},
        "ssrc": 1,
        "type": 200,
        "report_blocks": [{"fraction_lost": 5, "ia_jitter": 23, "packets_lost": -1}],
    }
    text = json.dumps(report).encode()
    assert json.loads(leaves(text, proto_type=5)) == kept
    assert leaves(text * 2, proto_type=5) == leaves(text, proto_type=5) * 2
    frame = encode_v1(
        src_ip="10.1.2.3", dst_ip="10.1.2.4", src_port=1, dst_port=2, ip_protocol=17, payload=text
    )
    made = Anonymiser(OUTSIDE).rewritten(decode(frame))
    assert (str(made.src_ip), json.loads(made.payload)) == ("10.1.2.0", kept)


def test_a_quality_report():
    """The measurements stay, who measured does not."""
    report = (
        b"VQIntervalReport\r\nCallID: a\r\nLocalID: Alice <sip:alice@10.1.2.3>\r\n"
        b"LocalAddr: IP=10.1.2.3 PORT=5000 SSRC=1a2b\r\nLocalMAC: 00:11\r\nLocalMetrics:\r\n"
        b"Timestamps: START=2026-10-10T18:23:43Z STOP=2026-10-10T18:26:02Z\r\n"
        b"SessionDesc: PT=18 PD=G729 SR=8000\r\nQualityEst: MOSLQ=4.2 MOSCQ=4.1\r\n"
    )
    left = leaves(report, PrivacyProfile(users="drop", v4=24), proto_type=35)
    assert [
        line for line in left.split(b"\r\n") if b"CallID" not in line and b"Addr" not in line
    ] == [
        b"VQIntervalReport",
        b"LocalID: <sip:anonymous@10.1.2.0>",
        b"LocalMetrics:",
        b"Timestamps: START=2026-10-10T18:23:43Z STOP=2026-10-10T18:26:02Z",
        b"SessionDesc: PT=18 SR=8000",
        b"QualityEst: MOSLQ=4.2 MOSCQ=4.1",
        b"",
    ]
    assert b"LocalAddr: IP=10.1.2.0 PORT=5000 SSRC=" in left


# --- chunks --------------------------------------------------------------------------------------


def test_chunks():
    """Numbers stay, addresses are cut, names become tokens; what may hold anything goes."""
    packet = decode(
        encode(
            [
                Chunk(0, 0x01, b"\2"),
                Chunk(3, 0x05, b"anything"),
                Chunk(0, 0x03, bytes([10, 1, 2, 3])),
                Chunk(0, 0x04, b"three"),
                Chunk(0, 0x0B, b"\1"),
                Chunk(0, 0x0E, b"key"),
                Chunk(0, 0x0F, b"\r\n"),
                Chunk(0, 0x13, b"node1\0"),
                Chunk(0, 0x14, bytes(8)),
                Chunk(0, 0x22, b"Madrid"),
                Chunk(0, 0x24, b"call"),
                Chunk(0, 0x24, b"of alice"),
                Chunk(0, 0x65, b"{}"),
            ]
        )
    )
    left = [(chunk.type_id, chunk.body) for chunk in Anonymiser(OUTSIDE).rewritten(packet).chunks()]
    assert left[:4] == [(1, b"\2"), (3, bytes([10, 1, 2, 0])), (0xB, b"\1"), (0xF, b"\r\n")]
    assert [type_id for type_id, _ in left[4:]] == [0x13, 0x24]
    assert left[5] == (0x24, b"call")
    kept = Anonymiser(PrivacyProfile(key=KEY, other="keep")).rewritten(packet)
    assert [chunk.type_id for chunk in kept.chunks()] == [
        *(0x01, 0x05, 0x03, 0x04, 0x0B, 0x0F, 0x13, 0x22, 0x24, 0x24, 0x65)
    ]


def test_a_compressed_payload_is_read():
    """It leaves inflated, in its place; what does not inflate has been read by nobody."""
    payload = Chunk(0, 0x10, zlib.compress(invite()))
    packet = decode(encode([Chunk(0, 0x0B, b"\1"), payload, Chunk(0, 0x0C, bytes(4))]))
    left = Anonymiser(OUTSIDE).rewritten(packet)
    assert [chunk.type_id for chunk in left.chunks()] == [0x0B, 0x0F, 0x0C]
    assert left.payload == leaves(invite())
    broken = decode(encode([Chunk(0, 0x0B, b"\1"), Chunk(0, 0x10, b"alice")]))
    assert Anonymiser(OUTSIDE).rewritten(broken) is None
    kept = Anonymiser(PrivacyProfile(key=KEY, other="keep"))
    assert kept.rewritten(broken) == broken


def test_frames_of_one_vendor():
    """Kazoo sends all chunks under its own number: they are read, and written, as that."""
    ids = {0x01: b"\2", 0x03: bytes([10, 1, 2, 3]), 0x04: bytes([10, 1, 2, 4]), 0x0B: b"\1"}
    chunks = [Chunk(1, id_, body) for id_, body in ids.items()]
    packet = decode(encode([*chunks, Chunk(1, 0x11, b"alice"), Chunk(1, 0x0F, invite())]))
    left = Anonymiser(OUTSIDE).rewritten(packet)
    assert (str(left.src_ip), left.payload) == ("10.1.2.0", leaves(invite()))
    assert left.correlation_id not in {None, b"alice"}


def test_a_rule_may_read_it_as_sip():
    """Where a rule resumed as SIP, the profile reads the payload so too."""
    packet = build(proto_type=100, payload=invite())
    assert Anonymiser(OUTSIDE).rewritten(packet) is None
    assert Anonymiser(OUTSIDE).rewritten(packet, as_sip=True).payload == leaves(invite())
