"""Traffic that hits random documents: a few calls, agents and payloads, again and again.

`any_traffic(random)` makes a short history of packets with their arrival times. Values are few, so
that rules overlap and what a rule remembers is met again: three Call-IDs, three agents, copies of
what came before, pauses within and beyond every window of `documents`.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from hepsw.hep import Chunk, Packet, build, decode, encode, encode_v1, encode_v2
from hepsw.view import Peer

START = 1_700_000_000.0
"""When the first packet arrives, in seconds since the epoch."""
PAUSES = [0.0, 0.0, 0.0, 0.02, 0.02, 0.2, 0.4, 0.7, 1.5, 6.0, 14.0]
"""Seconds between two packets. `documents` has windows of 0.1 to 0.5, buckets that refill within
0.5 to 2, and forgets calls after 10."""
STAGGER = 0.00013
"""Keeps the time between two moments off every multiple of a hundredth, so that no packet stands on
the very edge of a window or of a refill, where rounding would have the say."""
MOST_PACKETS = 12

CALLS = ["c1@pbx.example", "c2@pbx.example", "c3@sbc.example"]
HOSTS = ["10.0.0.1", "10.0.0.2", "10.0.1.1"]
HOSTS_V6 = ["2001:db8::1", "2001:db8:1::1"]
PORTS = [5060, 5061, 5080]
AGENTS = [
    (Peer(bytes([192, 0, 2, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in"), 1, "pbx1"),
    (Peer(bytes([192, 0, 2, 2]), 40001, "udp", bytes([127, 0, 0, 1]), 9060, "in"), 2, "pbx2"),
    (
        Peer(
            *(bytes([198, 51, 100, 9]), 40000, "tcp", bytes([127, 0, 0, 1]), 9061, "side"),
            name="sbc.example",
        ),
        *(3, "sbc"),
    ),
]
"""Who sends: peer, capture id and node name. The last one showed a certificate."""


class Sent(NamedTuple):
    """One packet of a history."""

    packet: Packet
    peer: Peer
    now: float
    """When it arrives, in seconds since the epoch; never earlier than the one before."""


# --- payloads ------------------------------------------------------------------------------------


def sip(start, call, cseq, *, to_tag="", more=(), body=""):
    """Return a SIP message of a call."""
    branch = cseq.replace(" ", "")
    lines = [
        start,
        f"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{branch}",
        '"Via": broken' if "broken" in more else "Max-Forwards: 70",
        f'From: "A" <sip:{100 + len(call)}@pbx.example>;tag=f-{call[:2]}',
        f"To: <sip:112@sbc.example>{to_tag and f';tag={to_tag}'}",
        f"Call-ID: {call}",
        f"CSeq: {cseq}",
        *[line for line in more if line != "broken"],
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def ladder(call, user):
    """Return the messages of one call, in order, and those of one that was given up."""
    sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\n"
    typed = ["Contact: <sip:me@10.0.0.1>", "Content-Type: application/sdp", "User-Agent: phone/1"]
    return [
        sip(f"INVITE sip:{user}@sbc.example SIP/2.0", call, "1 INVITE", more=typed, body=sdp),
        sip("SIP/2.0 100 Trying", call, "1 INVITE"),
        sip("SIP/2.0 200 OK", call, "1 INVITE", to_tag="t1", more=typed, body=sdp),
        sip(f"ACK sip:{user}@sbc.example SIP/2.0", call, "1 ACK", to_tag="t1"),
        sip(f"BYE sip:{user}@sbc.example SIP/2.0", call, "2 BYE", to_tag="t1"),
        sip("SIP/2.0 200 OK", call, "2 BYE", to_tag="t1"),
        sip(f"CANCEL sip:{user}@sbc.example SIP/2.0", call, "1 CANCEL"),
        sip("SIP/2.0 487 Request Terminated", call, "1 INVITE", to_tag="t1"),
    ]


REPORT = "VQSessionReport: CallTerm\r\nCallID: {}\r\nLocalMetrics:\r\n"
REPORT += "QualityEst:MOSLQ={} MOSCQ=3.5\r\nPacketLoss:NLR=2.5\r\nDelay:IAJ=12.5\r\n"
RTCP = '{{"sender_information":{{"ntp_timestamp_sec":3909000000,"ntp_timestamp_usec":0}},'
RTCP += '"report_blocks":[{{"fraction_lost":{},"ia_jitter":{},"lsr":1,"dlsr":1}}],'
RTCP += '"report_blocks_xr":{{"round_trip_delay":{}}},"type":200}}'

COMPACT = b"""\
INVITE sip:300@sbc.example SIP/2.0
v: SIP/2.0/TCP 10.0.0.2;branch=z9hG4bK9
X-Leg: a
f: <sip:200@pbx.example>
 ;tag=f-c2
t: sip:300@sbc.example
i: c2@pbx.example
CSeq: 1 INVITE
X-Leg: b

"""
"""Compact names, a folded header, one that comes twice, line feeds alone."""
USERS = ["112", "*72", "300"]
"""Who is called, by call."""
LADDERS = {call: ladder(call, user) for call, user in zip(CALLS, USERS, strict=True)}
SIP_PAYLOADS = [
    *[message for messages in LADDERS.values() for message in messages],
    sip("OPTIONS sip:sbc.example SIP/2.0", CALLS[0], "7 OPTIONS"),
    sip("SIP/2.0 200 OK", CALLS[0], "7 OPTIONS"),
    sip("REGISTER sip:pbx.example SIP/2.0", CALLS[2], "3 REGISTER", more=["X-Leg: a, b"]),
    sip("INVITE sip:300@sbc.example SIP/2.0", CALLS[1], "1 INVITE", more=["broken"]),
    sip("INVITE sip:300@sbc.example SIP/2.0", CALLS[1], "1 ACK", more=["X-Leg: b"]),
    COMPACT,
    sip(
        "PUBLISH sip:collector SIP/2.0",
        CALLS[1],
        "9 PUBLISH",
        more=["Content-Type: application/vq-rtcpxr"],
        body=REPORT.format(CALLS[0], 4.1),
    ),
    b"INVITE sip:112@sbc.example SIP/2.0\r\nFrom: <sip:100@pbx.example>\r\n\r\n",  # no Call-ID
    b"\x16\x03\x01 not SIP at all",
    b"\r\n\r\n",
    b"\0",
    b"",
]
"""What travels as type 1; some of it is broken, some nothing at all."""
LOG_PAYLOADS = [
    b"ACC: call ended: CallID: c1@pbx.example code=200",
    b"ERROR: no route, CallID: c2@pbx.example",
    b"plain line \xff",
]
JSON_PAYLOADS = [
    b'{"event":"start","call":"c1@pbx.example","mos":4.25,"ok":true,"leg":{"n":2,"name":"1-2"}}',
    b'{"event":"end","call":"c2@pbx.example","mos":3,"ok":false,"leg":{"n":7,"name":"b"}}',
    b'{"event":"end","mos":"4.25","ok":"true","leg":[{"n":2},{"n":7}]}',
    b'{"event":"start","mos":3.0,"ok":"yes","big":12345678901.25,"leg":{"n":2.5,"name":"7"}}',
    b"{not json",
]
RTCP_PAYLOADS = [
    RTCP.format(16, 12, 0).encode(),  # 6.25 %, 1.5 ms
    RTCP.format(32, 100, 150).encode(),  # 12.5 %, 12.5 ms
    b'{"report_blocks":[],"type":201}',
    b"[]",
]
VQ_PAYLOADS = [REPORT.format(CALLS[0], 4.1).encode(), REPORT.format(CALLS[2], 2.5).encode()]

PAYLOADS = {
    1: SIP_PAYLOADS,
    100: [*LOG_PAYLOADS, SIP_PAYLOADS[0], SIP_PAYLOADS[4]],
    34: [*JSON_PAYLOADS, SIP_PAYLOADS[8], SIP_PAYLOADS[15]],
    5: RTCP_PAYLOADS,
    35: VQ_PAYLOADS,
}
"""By type; SIP also travels under types that are not read as such before a `resume`."""
TYPES = [*[1] * 9, 100, 100, 34, 34, 5, 5, 35]

OWN_CHUNKS = [
    [],
    [Chunk(3, 0x31, (7).to_bytes(4))],
    [Chunk(3, 0x31, (70).to_bytes(4)), Chunk(3, 0x32, b"mad1\0")],
    [Chunk(3, 0x32, b"bcn"), Chunk(3, 0x33, bytes([10, 9, 0, 1])), Chunk(3, 0x65, b"\1\2")],
    [Chunk(3, 0x31, b"\7"), Chunk(3, 0x34, b"ab"), Chunk(3, 0x65, b"\1\2"), Chunk(3, 0x65, b"\3")],
]
"""Chunks that `documents` names in `[chunks]`, one of them in a wrong size, and raw ones."""

# --- packets -------------------------------------------------------------------------------------


def any_traffic(random, most=MOST_PACKETS):
    """Return a history of one to `most` packets."""
    sent = []
    now, moments = START, 0
    call = random.choice(CALLS)
    for _ in range(random.randint(1, most)):
        pause = random.choice(PAUSES)
        if pause:
            now += pause
            moments += 1
        at = now + STAGGER * moments**2
        if sent and random.random() < 0.35:
            sent.append(again(random, random.choice(sent), at))
        else:
            peer, *agent = random.choice(AGENTS)
            sent.append(Sent(any_packet(random, call, *agent, at), peer, at))
    return sent


def any_packet(random, call, capture_id, node_name, now):
    """Return a packet that an agent sends now, as often as not one of a call."""
    proto_type = random.choice(TYPES)
    is_of_call = random.random() < 0.6
    payload = random.choice(
        LADDERS[call] if is_of_call and proto_type == 1 else PAYLOADS[proto_type]
    )
    is_v6 = random.random() < 0.15
    hosts = HOSTS_V6 if is_v6 else HOSTS
    values = {
        "src_ip": random.choice(hosts),
        "dst_ip": random.choice(hosts),
        "src_port": random.choice(PORTS),
        "dst_port": random.choice(PORTS),
        "ip_protocol": random.choice([6, 17]),
        "payload": payload,
    }
    time = int(now * 1_000_000) - random.choice([0, 1000])
    shape = random.random()
    if shape < 0.06:
        payload = random.choice([payload, RTCP_PAYLOADS[0]])
        return decode(encode_v1(**values | {"payload": payload.rstrip(b"\0")}))
    if shape < 0.14:
        values |= {"payload": payload.rstrip(b"\0"), "time": time, "capture_id": capture_id}
        return decode(encode_v2(**values))
    values |= {
        "proto_type": proto_type,
        "capture_id": capture_id,
        "node_name": random.choice([node_name, node_name, node_name, "ñ", b"sbc\0"]),
        "vlan": random.choice([0, 5]),
        "time": time,
    }
    if random.random() < 0.7:
        values["correlation_id"] = call if is_of_call else random.choice(CALLS)
    if random.random() < 0.08:
        values["compressed_payload"] = zlib.compress(values.pop("payload"))
    if random.random() < 0.1:
        for name in random.sample(sorted(values), 2):
            del values[name]
    packet = build(**values)
    own = random.choice(OWN_CHUNKS)
    return decode(encode([*packet.chunks(), *own])) if own and random.random() < 0.5 else packet


def again(random, before, now):
    """Return a packet that came before, once more: a copy or a retransmission."""
    packet = before.packet
    if packet.version != 3 or random.random() < 0.3:
        return Sent(packet, before.peer, now)  # the agent sends the very same
    changed = {}
    peer = before.peer
    if random.random() < 0.5:  # another agent saw it too
        peer, changed["capture_id"], changed["node_name"] = random.choice(AGENTS)
    if random.random() < 0.7:
        changed["time"] = int(now * 1_000_000)
    chunks = {name: value for name, value in changed.items() if value is not None}
    return Sent(rebuilt(packet, chunks), peer, now)


def rebuilt(packet, changed):
    """Return a packet with some chunks written anew at its end; the last one counts."""
    if not changed:
        return packet
    fresh = list(build(**changed).chunks())
    keys = {chunk.key for chunk in fresh}
    return decode(encode([*[chunk for chunk in packet.chunks() if chunk.key not in keys], *fresh]))
