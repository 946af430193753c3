"""Packets to a ladder: each message once, in order, between the ends that took part."""

import pytest
from recall.kept import (
    ALICE,
    BOB,
    CALL,
    CORE,
    EDGE,
    PROXY,
    START,
    demo_call,
    kept,
    packet,
    sip,
    texts,
)

from hepsw.hep import encode_v1
from hepsw.hep.decoding import decode
from hepsw.recall.ladder import ladder
from hepsw.recall.mermaid import mermaid
from hepsw.recall.sightings import MOST_NODES
from hepsw.recall.svg import svg
from hepsw.recall.text import text

INVITE = sip("INVITE sip:bob@example.org SIP/2.0", "1 INVITE")
RINGING = sip("SIP/2.0 180 Ringing", "1 INVITE")
OK = sip("SIP/2.0 200 OK", "1 INVITE")
ACK = sip("ACK sip:bob@example.org SIP/2.0", "1 ACK", vias=["z9hG4bK2"])
CALL_STEPS = [
    (INVITE, ALICE, BOB, 0.0),
    (RINGING, BOB, ALICE, 0.1),
    (OK, BOB, ALICE, 2.0),
    (ACK, ALICE, BOB, 2.1),
]


def by(node, ahead=0.0, **values):
    """Return the call as a node reports it whose clock is ahead by so many seconds."""
    late = round(400 - ahead * 1_000_000)
    return [
        packet(*step, step_at + ahead, node=node, late=late, **values)
        for *step, step_at in CALL_STEPS
    ]


def test_demo_call():
    """Every packet of the demo call is a message, between the two phones and the proxy."""
    drawn = ladder(demo_call())
    assert len(drawn.messages) == 20
    assert [name.rpartition(":")[2] for name in drawn.participants] == ["5060"] * 3
    assert drawn.start_us == START
    assert len(drawn.legs) == 1


def test_two_nodes_are_one_message():
    """What two nodes report of a message is one arrow that names both."""
    drawn = ladder([*by(EDGE), *by(CORE, 0.0004)])
    assert texts(drawn) == ["INVITE bob", "180 Ringing (INVITE)", "200 OK (INVITE)", "ACK bob"]
    assert [[seen.node for seen in message.seen] for message in drawn.messages] == [[0, 1]] * 4
    assert {message.seen[1].time_us - message.seen[0].time_us for message in drawn.messages} == {
        400
    }
    assert [(node.name, node.skew_us, node.known_by) for node in drawn.nodes] == [
        ("edge", 0, "reference"),
        ("core", 400, "shared"),
    ]
    assert not any(message.retransmission for message in drawn.messages)


@pytest.mark.parametrize("ahead", [0.3, -0.3, 2.5, -2.5, 3600.0, -7200.0])
def test_clock_that_is_wrong(ahead):
    """A clock that is off, by a zone even, neither doubles messages nor mixes their order."""
    drawn = ladder([*by(EDGE), *by(CORE, ahead)])
    assert texts(drawn) == ["INVITE bob", "180 Ringing (INVITE)", "200 OK (INVITE)", "ACK bob"]
    assert drawn.nodes[1].skew_us == round(ahead * 1_000_000)
    assert [message.time_us - START for message in drawn.messages] == [
        0,
        100_000,
        2_000_000,
        2_100_000,
    ]


@pytest.mark.parametrize("ahead", [-0.3, -2.0, 3600.0])
def test_reply_behind_its_request(ahead):
    """Two nodes that share no message: no reply stands before its request all the same."""
    edge, core = by(EDGE), by(CORE, ahead)
    drawn = ladder([edge[0], core[1], core[2], edge[3]])
    assert texts(drawn)[0] == "INVITE bob"
    assert set(texts(drawn)[1:3]) == {"180 Ringing (INVITE)", "200 OK (INVITE)"}


def test_hops_of_a_proxy_in_order():
    """What a proxy forwards stands behind what it received, whichever clock is behind."""
    forwarded = sip("INVITE sip:bob@192.0.2.2 SIP/2.0", "1 INVITE", vias=["z9hG4bKp", "z9hG4bK1"])
    answered = sip("SIP/2.0 200 OK", "1 INVITE", vias=["z9hG4bKp", "z9hG4bK1"])
    drawn = ladder(
        [
            packet(INVITE, ALICE, PROXY, 1.0, node=EDGE),
            packet(forwarded, PROXY, BOB, 0.6, node=CORE),
            packet(answered, BOB, PROXY, 0.7, node=CORE),
            packet(OK, PROXY, ALICE, 0.2, node=EDGE),
        ]
    )
    assert [(message.sender, message.receiver) for message in drawn.messages] == [
        (0, 1),
        (1, 2),
        (2, 1),
        (1, 0),
    ]
    times = [message.time_us for message in drawn.messages]
    assert times == sorted(set(times))


def test_retransmissions_are_marked():
    """The same from the same node, later, is a retransmission; both nodes' copies of it are one."""
    sent = [0.0, 0.5, 1.5]
    views = [packet(INVITE, ALICE, BOB, at, node=EDGE) for at in sent]
    views += [packet(INVITE, ALICE, BOB, at + 0.2, node=CORE) for at in sent]
    drawn = ladder(views)
    assert [message.retransmission for message in drawn.messages] == [0, 1, 2]
    assert [len(message.seen) for message in drawn.messages] == [2, 2, 2]


def test_node_that_missed_the_first():
    """A node that saw only the retransmission stands at that one."""
    views = [*by(EDGE), packet(INVITE, ALICE, BOB, 0.5, node=EDGE)]
    views += [*by(CORE)[1:], packet(INVITE, ALICE, BOB, 0.5, node=CORE)]
    drawn = ladder(views)
    invites = [message for message in drawn.messages if message.said.text == "INVITE bob"]
    assert [len(message.seen) for message in invites] == [1, 2]
    assert [message.retransmission for message in invites] == [0, 1]


def test_later_than_any_copy():
    """The same message from another node much later is one of its own."""
    drawn = ladder([*by(EDGE), *by(CORE), packet(INVITE, ALICE, BOB, 60.0, node=CORE)])
    assert len(drawn.messages) == 5
    assert drawn.messages[-1].retransmission == 1


def test_resent_packets_are_left_out():
    """A packet that a broken connection carried twice is one, and that is said."""
    drawn = ladder([*by(EDGE), *by(EDGE)[1:3]])
    assert len(drawn.messages) == 4
    assert drawn.repeated == 2


def test_one_sided():
    """A call of which only one direction was captured is drawn as it was seen."""
    drawn = ladder(by(EDGE)[1:3])
    assert texts(drawn) == ["180 Ringing (INVITE)", "200 OK (INVITE)"]
    assert drawn.participants == ("192.0.2.2:5060", "192.0.2.1:5060")


def test_no_packets():
    """Nothing gives a ladder of nothing."""
    drawn = ladder([])
    assert (drawn.messages, drawn.start_us, drawn.duration_us) == ((), 0, 0)


def test_ports_of_connections():
    """A host's ports of TCP connections are one end; its ports of UDP are several."""
    tcp = [
        packet(INVITE, (ALICE[0], 49152), BOB, 0.0, ip_protocol=6),
        packet(RINGING, BOB, (ALICE[0], 49152), 0.1, ip_protocol=6),
        packet(OK, (BOB[0], 40001), ALICE, 2.0, ip_protocol=6),
        packet(ACK, (ALICE[0], 49153), BOB, 2.1, ip_protocol=6),
    ]
    assert ladder(tcp).participants == ("192.0.2.1:5060", "192.0.2.2:5060")
    only_passing = ladder([tcp[0], tcp[1], tcp[3]])
    assert only_passing.participants == ("192.0.2.1:49152", "192.0.2.2:5060")
    udp = [packet(INVITE, (ALICE[0], port), BOB, 0.1 * port) for port in (40000, 40001)]
    assert ladder(udp).participants == ("192.0.2.1:40000", "192.0.2.2:5060", "192.0.2.1:40001")


def test_ipv6():
    """IPv6 ends have brackets; a v4-mapped address is the IPv4 one."""
    drawn = ladder(
        [
            packet(INVITE, ("2001:db8::1", 5060), ("2001:db8::2", 5060)),
            packet(OK, ("::ffff:192.0.2.2", 5060), ("::ffff:192.0.2.1", 5060), 1.0),
        ]
    )
    assert drawn.participants == (
        "[2001:db8::1]:5060",
        "[2001:db8::2]:5060",
        "192.0.2.2:5060",
        "192.0.2.1:5060",
    )


def test_three_nodes_whose_clocks_differ():
    """Of nodes that saw as much the times are of the one whose clock is about ours."""
    clocks = [(1, -2.0), (2, 0.0), (3, 2.0)]
    steps = [
        ("INVITE sip:bob@example.org SIP/2.0", ALICE, BOB, 10),
        ("SIP/2.0 200 OK", BOB, ALICE, 11),
    ]
    views = [
        packet(
            *(sip(start, "1 INVITE"), source, target, at + ahead),
            node={"capture_id": number},
            ip=f"192.0.2.{number}",
            late=400 - round(ahead * 1_000_000),
        )
        for number, ahead in clocks
        for start, source, target, at in steps
    ]
    drawn = ladder(views)
    assert len(drawn.messages) == 2
    assert drawn.start_us == START + 10_000_000
    assert [node.skew_us for node in drawn.nodes] == [-2_000_000, 0, 2_000_000]


def test_reports_go_to_the_host():
    """RTCP stands between the hosts' signalling ends; a media server is an end by its address."""
    report = '{"report_blocks":[{"fraction_lost":19,"ia_jitter":328}]}'
    values = {"proto_type": 5, "correlation_id": CALL}
    drawn = ladder(
        [
            *by(EDGE),
            packet(report, (ALICE[0], 16385), (BOB[0], 30001), 5.0, **values),
            packet(report, ("198.51.100.20", 30001), (ALICE[0], 16385), 6.0, **values),
        ]
    )
    assert drawn.participants == ("192.0.2.1:5060", "192.0.2.2:5060", "198.51.100.20")
    assert [(message.sender, message.receiver) for message in drawn.messages[-2:]] == [
        (0, 1),
        (2, 0),
    ]
    assert texts(drawn)[-1] == "RTCP loss 7.4 % jitter 41 ms"


def test_legs():
    """Messages know their leg; what is no SIP has the leg that its correlation id names."""
    other = INVITE.replace(CALL, "other@sbc")
    log = {"proto_type": 100, "correlation_id": "other@sbc"}
    drawn = ladder(
        [
            packet(INVITE, ALICE, PROXY, 0.0, correlation_id="x"),
            packet(other, PROXY, BOB, 0.1, correlation_id="x"),
            packet("transferred", PROXY, PROXY, 0.2, **log),
        ]
    )
    assert drawn.legs == (CALL.encode(), b"other@sbc")
    assert [message.leg for message in drawn.messages] == [0, 1, 1]


def test_without_time():
    """HEP 1 says no time: the time of arrival stands for it."""
    ends = {"src_ip": ALICE[0], "dst_ip": BOB[0], "src_port": 5060, "dst_port": 5060}
    old = decode(encode_v1(**ends, ip_protocol=17, payload=INVITE.encode()))
    drawn = ladder([kept(old)])
    assert drawn.start_us == START + 400
    assert drawn.nodes[0].name == "192.0.2.50"


def test_without_addresses():
    """A packet that does not say where it went is drawn all the same."""
    from hepsw.hep import build

    drawn = ladder([kept(build(proto_type=1, payload=INVITE, time=START))])
    assert drawn.participants == ("unknown",)


def test_many_nodes():
    """Nodes are bounded: those of a liar count as one."""
    views = [
        packet(INVITE, ALICE, BOB, 0.001 * at, node={"capture_id": at})
        for at in range(MOST_NODES + 20)
    ]
    drawn = ladder(views)
    assert len(drawn.nodes) == MOST_NODES + 1
    assert drawn.nodes[-1].name == "others"


@pytest.mark.parametrize("alike", [True, False])
def test_many_messages(alike):
    """Five thousand messages of two nodes, alike or not, are as many arrows, and are drawn."""
    views = []
    for at in range(5_000):
        said = INVITE if alike else INVITE.replace("1 INVITE", f"{at} INVITE")
        for number in range(2):
            node = {"capture_id": number}
            views.append(packet(said, ALICE, BOB, at * 0.01 + number * 0.001, node=node))
    drawn = ladder(views)
    assert len(drawn.messages) == 5_000
    assert {len(message.seen) for message in drawn.messages} == {2}
    assert drawn.messages[-1].retransmission == (4_999 if alike else 0)
    assert len(text(drawn, 100).splitlines()) == 5_000 + 8
    assert len(mermaid(drawn).splitlines()) == 5_000 + 3
    assert len(svg(drawn)) < 5_000 * 600
