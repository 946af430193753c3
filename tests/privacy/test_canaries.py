"""Planted everywhere, in every spelling, a user and an address never leave.

The message is put together of lines that hold canaries wherever somebody's phone may write a user
or an address; the chunks hold more of them. Which of them there are, in which order and in which
spelling, is drawn. What leaves is searched for them in clear, escaped, in hexadecimal and packed.
"""

import json
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.concealed import Concealed
from hepsw.hep import Chunk, decode, encode, encode_v1, encode_v2
from hepsw.payload import SipMessage
from hepsw.privacy import Anonymiser, PrivacyProfile

USERS = (b"carlota.canary77", b"34911765432109", b"canaria")
V4 = "203.0.113.77"
V6 = "2001:db8:77:abcd:1234:5678:9abc:def0"
ADDRESSES = (
    *(V4, V6, f"::ffff:{V4}", "2002:cb00:714d::1", f"64:ff9b::{V4}"),
    *(f"64:ff9b:1::{V4}", f"::ffff:0:{V4}", f"2001:db8::5efe:{V4}", f"fe80::200:5efe:{V4}"),
)


def spellings(address):
    """Return the ways in which an address may stand in octets."""
    read = ip_address(address)
    texts = {str(read), read.exploded, read.packed.hex(), address}
    if read.version == 4:
        texts |= {address.replace(".", "-"), address.replace(".", "_"), str(int(read))}
    else:
        texts |= {address.replace(":", "-"), read.reverse_pointer}
    return {read.packed, *(text.encode() for text in texts)}


NEEDLES = {
    *USERS,
    *(user.hex().encode() for user in USERS),
    b"+".join([b"34", b"911765432109"]),
    *spellings(V4),
    *spellings(V6),
}


def leaks(octets):
    """Return the canaries that are in these octets."""
    seen = (octets.lower(), unquote_to_bytes(octets).lower())
    return {needle for needle in NEEDLES if any(needle.lower() in each for each in seen)}


def escaped(user):
    return b"".join(b"%%%02X" % octet for octet in user)


users = st.sampled_from(USERS).flatmap(
    lambda user: st.sampled_from(
        [user, user.upper(), escaped(user), user + b";phone-context=" + user, user + b":" + user]
    )
)
hosts = st.sampled_from(
    [
        V4.encode(),
        f"[{V6}]".encode(),
        b"[::ffff:" + V4.encode() + b"]",
        f"{V4}.dyn.example".encode(),
        f"ip-{V4.replace('.', '-')}.example.com".encode(),
        f"ip{V4.replace('.', '_')}.example.com".encode(),
        b"cb00714d.example.com",
        f"ip-{V6.replace(':', '-')}.example.com".encode(),
        ip_address(V6).reverse_pointer.encode(),
        str(int(ip_address(V4))).encode(),
        b"canaria",
        b"sip.example.com",
    ]
)
uris = st.one_of(
    st.builds(b"sip:%b@%b".__mod__, st.tuples(users, hosts)),
    st.builds(
        b"sips:%b@%b:5061;transport=tls;x=%b;maddr=%b".__mod__,
        st.tuples(users, hosts, users, hosts),
    ),
    st.builds(b"sip:%b".__mod__, hosts),
    st.builds(b"tel:+%b;phone-context=+%b".__mod__, st.tuples(users, users)),
)
any_uris = st.one_of(
    uris,
    st.builds(b"http://%b/%b.jpg".__mod__, st.tuples(hosts, users)),
    st.builds(b"urn:user:%b".__mod__, users),
    st.builds(
        b"sip:%b@%b?Replaces=%b%%40%b&Subject=%b".__mod__,
        st.tuples(users, hosts, users, hosts, users),
    ),
)
displays = st.one_of(
    st.just(b""),
    st.builds(b'"%b" '.__mod__, st.sampled_from(USERS)),
    st.builds(
        b'"a \\" %b, <%b>" '.__mod__, st.tuples(st.sampled_from(USERS), st.sampled_from(USERS))
    ),
    st.just(b"canaria "),
)


def addresses(of):
    return st.builds(
        b'%b<%b>;tag=%b;+sip.instance="<%b>";x=%b'.__mod__,
        st.tuples(displays, of, users.map(escaped), st.sampled_from(USERS), st.sampled_from(USERS)),
    )


texts = st.builds(b"%b at %b".__mod__, st.tuples(users, hosts))
VALUES = {
    **dict.fromkeys(
        ["Contact", "Route", "Record-Route", "m", "Path", "Service-Route"], addresses(uris)
    ),
    **dict.fromkeys(
        ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "Refer-To", "r", "History-Info",
         "Referred-By", "b", "P-Preferred-Identity", "Reply-To", "P-Called-Party-ID"],
        addresses(any_uris) | any_uris,
    ),
    **dict.fromkeys(
        ["Subject", "s", "Organization", "X-User", "P-Charging-Vector", "Identity", "Geolocation",
         "User-Agent", "Server", "Warning", "Alert-Info", "Call-Info", "P-Access-Network-Info",
         "Date-", "In-Reply-To", "Accept", "Supported", "Event", "Priority", "Reason", "Privacy",
         "Session-Expires", "Retry-After", "Timestamp", "Content-Disposition", "Accept-Language"],
        texts,
    ),
    **dict.fromkeys(
        ["Authorization", "Proxy-Authorization", "WWW-Authenticate"],
        st.builds(
            (
                b'Digest username="%b", realm="%b", nonce="%b", '
                b'uri="%b", response="%b", opaque=%b'
            ).__mod__,
            st.tuples(users, hosts, users, any_uris, users, users),
        ),
    ),
    "Replaces": st.builds(
        b"%b@%b;to-tag=%b;from-tag=%b".__mod__,
        st.tuples(users, hosts, users.map(escaped), users.map(escaped)),
    ),
    "Session-ID": st.builds(
        b"%b;remote=%b".__mod__, st.tuples(users.map(escaped), users.map(escaped))
    ),
    "Via": st.builds(
        b"SIP/2.0/UDP %b:5062;branch=z9hG4bK%b;received=%b;rport=5062;x=%b".__mod__,
        st.tuples(hosts, users.map(escaped), hosts, st.sampled_from(USERS)),
    ),
}  # fmt: skip
PLACES = sorted(VALUES)

SESSION = b"""v=0
o=%(user)b %(user)b 1 IN IP4 %(v4)b
s=%(user)b
i=%(user)b
u=http://%(v4)b/%(user)b
e=%(user)b@example.com
p=+%(user)b
c=IN IP4 %(v4)b
b=AS:64
t=0 0
k=clear:%(user)b
a=tool:%(user)b
m=audio 4000 RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 %(user)b/8000
a=fmtp:101 user=%(user)b;annexb=no
a=rtcp:4001 IN IP6 %(v6)b
a=candidate:%(user)b 1 UDP 2130706431 %(v4)b 4000 typ srflx raddr %(v6)b rport 9
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%(user)b
a=ssrc:1 cname:%(user)b@%(v4)b
a=mid:%(user)b
"""
VQ = b"""VQSessionReport: CallTerm
CallID:%(user)b@%(v4)b
LocalID:"%(user)b" <sip:%(user)b@%(v4)b>
RemoteID:<sip:%(user)b@[%(v6)b]>
OrigID:<tel:%(user)b>
LocalGroup:%(user)b
LocalAddr:IP=%(v4)b PORT=5000 SSRC=1a3b5c7d
RemoteAddr:IP=%(v6)b PORT=5002 SSRC=2a3b5c7d
LocalMAC:00:11:%(user)b
LocalMetrics:
Timestamps:START=2026-10-10T18:23:43Z STOP=%(user)b
SessionDesc:PT=18 PD=%(user)b SR=8000 FMTP="%(user)b"
QualityEst:MOSLQ=4.2 MOSCQ=4.1 QoEEstAlg=%(user)b
%(user)b:%(user)b
"""


def filled(text, user, line_end=b"\r\n"):
    made = text % {b"user": user, b"v4": V4.encode(), b"v6": V6.encode()}
    return made.replace(b"\n", line_end)


bodies = st.sampled_from(USERS).flatmap(
    lambda user: st.sampled_from(
        [
            (b"application/sdp", filled(SESSION, user)),
            (b"application/sdp", filled(SESSION, user, b"\n")),
            (b"application/vq-rtcpxr", filled(VQ, user)),
            (b"text/plain", user),
            (b"application/sdp;user=" + user, user),
            (b"multipart/mixed;boundary=x", b"--x\r\n\r\n" + filled(SESSION, user)),
            (b"", b""),
        ]
    )
)


@st.composite
def messages(draw):
    """Return SIP messages, most of them good ones, with canaries in all places."""
    is_reply = draw(st.booleans())
    if is_reply:
        start = b"SIP/2.0 302 Moved to " + draw(st.sampled_from(USERS))
    else:
        start = b"INVITE %b SIP/2.0" % draw(any_uris)
    lines = [
        b"Via: " + draw(VALUES["Via"]),
        b"%b: %b" % (draw(st.sampled_from([b"From", b"f", b"FROM"])), draw(addresses(uris))),
        b"To: " + draw(addresses(uris)),
        b"Call-ID: %b@%b" % (draw(users.map(escaped)), draw(hosts)),
        b"CSeq: 1 INVITE",
        b"Max-Forwards: 70",
    ]
    for name in draw(st.lists(st.sampled_from(PLACES), max_size=12)):
        value = draw(VALUES[name])
        if draw(st.booleans()):
            value = value.replace(b" ", b"\r\n ", 1)
        lines.append(name.encode() + b": " + value)
    type_, body = draw(bodies)
    if type_:
        lines.append(b"Content-Type: " + type_)
    if draw(st.booleans()):
        lines.append(b"l: %d" % len(body))
    after = draw(st.sampled_from([b"", USERS[0]])) if lines[-1].startswith(b"l:") else b""
    lines = draw(st.permutations(lines))
    return b"\r\n".join((start, *lines, b"", body)) + after


def rtcp(user):
    return json.dumps(
        {
            "ssrc": 1,
            "caller": user,
            "type": 200,
            user: 5,
            "ip": V4,
            "packets": V4,
            "report_blocks": [{"fraction_lost": 5, "ia_jitter": user, "x": int(ip_address(V4))}],
            "sdes_information": [{"type": 1, "text": f"{user}@{V4}"}],
        }
    ).encode()


payloads = st.one_of(
    messages().map(lambda message: (1, message)),
    st.sampled_from(USERS).map(lambda user: (5, rtcp(user.decode()))),
    st.sampled_from(USERS).map(lambda user: (35, filled(VQ, user))),
    st.sampled_from(USERS).map(lambda user: (100, user)),
    st.sampled_from(USERS).map(lambda user: (1, user)),
)
profiles = st.builds(
    PrivacyProfile,
    users=st.sampled_from(["hash", "mask", "drop"]),
    v4=st.sampled_from([0, 16, 24]),
    v6=st.sampled_from([0, 32, 48, 64]),
    sdp=st.sampled_from(["drop", "keep"]),
    key=st.just(Concealed(b"key")),
)
chunk_texts = st.sampled_from(
    [*USERS, escaped(USERS[0]), USERS[0].upper(), V4.encode(), ip_address(V4).packed, V6.encode()]
)


@st.composite
def frames(draw):
    """Return HEP 3 frames with canaries in their chunks, and the payload."""
    proto_type, payload = draw(payloads)
    # A number is one, whatever it was made of: 32 bits of an address are a time like any other.
    ids = st.sampled_from(sorted({*range(1, 0x30), 0x65} - {0x09, 0x0A, 0x0C, 0x23}))
    keys = st.one_of(ids.map(lambda id_: (0, id_)), st.just((3, 5)), st.just((0x42, 0x0F)))
    more = [Chunk(*draw(keys), draw(chunk_texts)) for _ in range(draw(st.integers(0, 5)))]
    chunks = [
        Chunk(0, 1, b"\2"),
        Chunk(0, 3, ip_address(V4).packed),
        Chunk(0, 4, ip_address(V4).packed),
        Chunk(0, 6, ip_address(V6).packed),
        Chunk(0, 0x13, draw(chunk_texts)),
        Chunk(0, 0x14, bytes(4) + ip_address(V4).packed),
        Chunk(0, 0x0E, b"secret-key"),
        Chunk(0, 0x11, draw(chunk_texts)),
        *more,
        Chunk(0, 0x0B, bytes([proto_type])),
        Chunk(0, 0x0F, payload),
    ]
    return encode(draw(st.permutations(chunks)))


@given(profiles, frames())
def test_nothing_leaks_through_hep_3(profile, frame):
    """No canary is in what leaves, whatever the payload and the chunks were."""
    left = Anonymiser(profile).rewritten(decode(frame))
    if left is not None:
        assert leaks(left.data) == set()
        assert b"secret-key" not in left.data


@given(profiles, frames())
def test_addresses_alone(profile, frame):
    """Where users are kept, no address leaves in the guise of one."""
    left = Anonymiser(replace(profile, users="keep")).rewritten(decode(frame))
    if left is not None:
        assert leaks(left.data) & {*spellings(V4), *spellings(V6)} == set()


@given(profiles, frames())
def test_users_alone(profile, frame):
    """Where addresses are kept, no user leaves as the name of a host."""
    packet = decode(frame)
    left = Anonymiser(replace(profile, v4=32, v6=128)).rewritten(packet)
    if left is not None:
        # Sixteen octets in a chunk for an address are one.
        addresses_too = {chunk.body.lower() for chunk in packet.chunks() if chunk.type_id in {5, 6}}
        assert (leaks(left.data) & {*USERS}) - addresses_too == set()


@given(profiles, payloads, st.sampled_from([1, 2]))
def test_nothing_leaks_through_hep_1_and_2(profile, payload, version):
    """Likewise."""
    addresses = {"src_ip": V4, "dst_ip": V4} if version == 1 else {"src_ip": V6, "dst_ip": V6}
    fields = {**addresses, "src_port": 1, "dst_port": 2, "ip_protocol": 17, "payload": payload[1]}
    if version == 1:
        frame = encode_v1(**fields)
    else:
        frame = encode_v2(**fields, time=1_700_000_000_000_000, capture_id=7)
        frame = frame[:50] + USERS[2][:2] + frame[52:]
    left = Anonymiser(profile).rewritten(decode(frame))
    if left is not None:
        assert left.version == version
        assert leaks(left.data) == set()
        if version == 2:
            assert left.data[50:52] == bytes(2)


@given(profiles, messages())
def test_a_good_message_stays_one(profile, message):
    """What our reader finds well formed is so afterwards, and its length is right."""
    before = SipMessage(message)
    left = Anonymiser(profile).rewritten(
        decode(encode([Chunk(0, 0x0B, b"\1"), Chunk(0, 0x0F, message)]))
    )
    if before.verdict not in {"ok", "semantic"}:
        assert left is None
        return
    after = SipMessage(left.payload)
    if before.verdict == "ok":
        assert after.verdict == "ok"
    assert after.content_length == after.available
    assert (after.kind, after.method, after.status) == (before.kind, before.method, before.status)


@given(profiles, frames())
def test_the_same_packet_gives_the_same(profile, frame):
    """Two switches with one key tell a collector the same."""
    one, other = (Anonymiser(profile).rewritten(decode(frame)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_within_addresses(address):
    """An IPv4 address that an IPv6 address holds is cut as one."""
    profile = PrivacyProfile(users="drop", v4=24, v6=128)
    packed = ip_address(address).packed
    left = Anonymiser(profile).rewritten(
        decode(encode([Chunk(0, 3 if len(packed) == 4 else 5, packed)]))
    )
    if address != V6:
        assert ip_address(V4).packed not in left.data
