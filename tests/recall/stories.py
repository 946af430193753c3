"""Calls that are drawn in `golden`, by name; each has something that a drawing must get right."""

from itertools import pairwise

from recall.kept import ALICE, BOB, CALL, CORE, EDGE, PROXY, demo_call, packet, sip

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 16384 RTP/AVP 8 0 9 18 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    "m=video 16386 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=sendonly\r\n"
)
HELD = (
    "v=0\r\no=- 1 1 IN IP6 2001:db8::2\r\ns=-\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8\r\n"
    "c=IN IP6 2001:db8::2\r\nm=video 0 RTP/AVP 96\r\n"
)
TYPED = ["Content-Type: application/sdp"]
RTCP = '{"report_blocks":[{"fraction_lost":19,"ia_jitter":328}],"type":201}'
VQ = "VQSessionReport: CallTerm\r\nCallID: x\r\nLocalMetrics:\r\n"
VQ += "QualityEst:MOSLQ=3.1 MOSCQ=3.0\r\nPacketLoss:NLR=7.5\r\nDelay:IAJ=41\r\n"
HOSTILE = "\x1b[2J\x1b]0;owned\x07</text><script>alert(1)</script>;end #35; %% \u202e\u2066"


def two_nodes():
    """A call with media and what is told about it, seen by two nodes with different clocks."""
    invite = sip("INVITE sip:bob@example.org SIP/2.0", "1 INVITE", more=TYPED, body=OFFER)
    answer = sip("SIP/2.0 200 OK", "1 INVITE", more=TYPED, body=HELD)
    bye = sip(
        "BYE sip:alice@192.0.2.1 SIP/2.0",
        "1 BYE",
        vias=["z9hG4bKb"],
        more=['Reason: Q.850;cause=16;text="Terminated"'],
    )
    steps = [
        (invite, ALICE, BOB, 0.0),
        (invite, ALICE, BOB, 0.5),
        (sip("SIP/2.0 180 Ringing", "1 INVITE"), BOB, ALICE, 0.6),
        (answer, BOB, ALICE, 2.0),
        (sip("ACK sip:bob@192.0.2.2 SIP/2.0", "1 ACK", vias=["z9hG4bKa"]), ALICE, BOB, 2.01),
        (bye, BOB, ALICE, 3725.25),
        (sip("SIP/2.0 200 OK", "1 BYE", vias=["z9hG4bKb"]), ALICE, BOB, 3725.27),
    ]
    views = [packet(*step, at, node=EDGE) for *step, at in steps]
    views += [
        packet(*step, at + 1.2, node=CORE, ip="192.0.2.51", late=-1_198_000)
        for *step, at in steps[1:]
    ]
    of_call = {"correlation_id": CALL, "node": CORE, "ip": "192.0.2.51"}
    media = (ALICE[0], 16385), ("198.51.100.20", 30001)
    views.append(packet(RTCP, *media, 8.2, proto_type=5, **of_call))
    views.append(packet(VQ, *media, 3726.5, proto_type=35, **of_call))
    views.append(packet("media timeout\non leg b", PROXY, PROXY, 3726.6, proto_type=100, **of_call))
    return views


def evening():
    """The call that the README shows."""
    pbx = {"capture_id": 2001, "node_name": "pbx"}
    sbc = {"capture_id": 2002, "node_name": "sbc"}
    sdp = "v=0\r\nc=IN IP4 {}\r\nm=audio {} RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    offer, answer = sdp.format("192.0.2.1", 16384), sdp.format("192.0.2.2", 30000)
    invite = sip("INVITE sip:bob@example.org SIP/2.0", "1 INVITE", more=TYPED, body=offer)
    steps = [
        (invite, ALICE, BOB, 0.0),
        (invite, ALICE, BOB, 0.5),
        (sip("SIP/2.0 180 Ringing", "1 INVITE"), BOB, ALICE, 0.56),
        (sip("SIP/2.0 200 OK", "1 INVITE", more=TYPED, body=answer), BOB, ALICE, 4.2),
        (sip("ACK sip:bob@192.0.2.2 SIP/2.0", "1 ACK", vias=["z9hG4bKa"]), ALICE, BOB, 4.23),
        (sip("BYE sip:bob@192.0.2.2 SIP/2.0", "2 BYE", vias=["z9hG4bKb"]), ALICE, BOB, 63.9),
        (sip("SIP/2.0 200 OK", "2 BYE", vias=["z9hG4bKb"]), BOB, ALICE, 63.93),
    ]
    views = [packet(*step, at, node=pbx, late=900) for *step, at in steps]
    heard = {"node": sbc, "late": -2600, "ip": "192.0.2.51"}
    views += [packet(*step, at + 0.0035, **heard) for *step, at in steps[1:]]
    media = ("198.51.100.20", 30001), (ALICE[0], 16385)
    views.append(packet(RTCP, *media, 14.2, proto_type=5, correlation_id=CALL, node=pbx, late=900))
    return views


def legs():
    """A back-to-back user agent: one call in, another out, joined by a correlation id."""
    joined = {"correlation_id": "joined-1"}

    def a(start, cseq):
        return sip(start, cseq, call="a-1@pbx")

    def b(start, cseq):
        return sip(start, cseq, call="b-1@sbc", vias=["z9hG4bKother"])

    busy = "SIP/2.0 486 Busy Here"
    return [
        packet(a("INVITE sip:bob@example.org SIP/2.0", "1 INVITE"), ALICE, PROXY, 0.0, **joined),
        packet(a("SIP/2.0 100 Trying", "1 INVITE"), PROXY, ALICE, 0.001, **joined),
        packet(b("INVITE sip:bob@192.0.2.2 SIP/2.0", "9 INVITE"), PROXY, BOB, 0.02, **joined),
        packet(b(busy, "9 INVITE"), BOB, PROXY, 1.5, **joined),
        packet(b("ACK sip:bob@192.0.2.2 SIP/2.0", "9 ACK"), PROXY, BOB, 1.501, **joined),
        packet(a(busy, "1 INVITE"), PROXY, ALICE, 1.502, **joined),
        packet(a("ACK sip:bob@example.org SIP/2.0", "1 ACK"), ALICE, PROXY, 1.52, **joined),
    ]


def hostile():
    """What a caller can write into a packet to hurt whoever looks at it."""
    node = {"capture_id": 7, "node_name": f"n{HOSTILE}"}
    user = HOSTILE.replace(" ", "_")
    views = [
        packet(
            f"INVITE sip:{user}@x SIP/2.0\r\nCall-ID: {HOSTILE}\r\nCSeq: 1 INVITE\r\n\r\n",
            ALICE,
            BOB,
        ),
        packet(
            f"SIP/2.0 200 {HOSTILE}\r\nCall-ID: {HOSTILE}\r\nCSeq: 1 INVITE\r\n\r\n",
            BOB,
            ALICE,
            0.1,
        ),
        packet(f"what {HOSTILE}\r\n\r\n", BOB, ALICE, 0.2),
        packet(b"SIP/2.0 \xff\xfe\x00 \xc3\r\n\r\n", BOB, ALICE, 0.3, node=node),
        packet(sip("SIP/2.0 200 " + "\u4f60\u597d" * 200, "1 INVITE"), BOB, ALICE, 0.4),
        packet(sip("SIP/2.0 200 e" + "\u0301" * 200, "1 INVITE"), BOB, ALICE, 0.5),
        packet("\r\n\r\n", ALICE, BOB, 0.6),
        packet(HOSTILE, ALICE, BOB, 0.7, proto_type=100),
        packet(f'{{"a":"{HOSTILE}"}}', ALICE, BOB, 0.8, proto_type=34),
        packet(b"\0\1\2", ALICE, BOB, 0.9, proto_type=255),
        packet("{", ALICE, BOB, 1.0, proto_type=5),
    ]
    body = f"v=0\r\nc=IN IP4 {HOSTILE.replace(' ', '')}\r\nm=audio {HOSTILE[:8]} RTP/AVP 0\r\n"
    views.append(packet(sip("SIP/2.0 200 OK", "1 INVITE", more=TYPED, body=body), BOB, ALICE, 1.1))
    return views


def crowd():
    """A message that forty proxies pass on."""
    hosts = [(f"192.0.2.{number}", 5060) for number in range(1, 41)]
    return [
        packet(sip("INVITE sip:bob@example.org SIP/2.0", f"{at} INVITE"), *ends, 0.01 * at)
        for at, ends in enumerate(pairwise(hosts))
    ]


STORIES = {
    "demo": demo_call,
    "two-nodes": two_nodes,
    "evening": evening,
    "legs": legs,
    "hostile": hostile,
    "crowd": crowd,
}
