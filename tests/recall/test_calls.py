"""The list of calls: what is told of each, which packets make one call, and its bounds."""

import pytest
from recall.kept import ALICE, BOB, CORE, PROXY, demo_call, golden, packet, sip
from recall.stories import STORIES

from hepsw.recall.calls import MOST_LEGS, Calls
from hepsw.recall.listing import table


def read(views, most=1000, matches=lambda _view: True):
    calls = Calls(most)
    for view in sorted(views, key=lambda view: view.packet.time_us):
        calls.add(view, matches=matches(view))
    return calls


def one(*steps, **values):
    """Return the only call that these start lines with CSeq make."""
    views = [
        packet(sip(start, cseq), ALICE, BOB, 0.1 * at, **values)
        for at, (start, cseq) in enumerate(steps)
    ]
    (call,) = read(views).listed()
    return call


INVITE = ("INVITE sip:bob@example.org SIP/2.0", "1 INVITE")


def test_demo_call():
    """What is told of the demo call: who, how long, how it ended, and the worst of its media."""
    (call,) = read(demo_call()).listed()
    told = call.as_json()
    assert told["start"] == "2026-09-21T14:13:20.000000Z"
    assert (told["from"], told["to"], told["method"]) == ("grace", "+12025550103", "INVITE")
    assert (told["state"], told["status"], told["packets"]) == ("ended", 200, 20)
    assert (told["participants"], told["nodes"]) == (3, ["demo"])
    assert told["loss_pct"] == pytest.approx(5.859375)
    assert told["jitter_ms"] == pytest.approx(23.75)


@pytest.mark.parametrize(
    ("replies", "state", "status"),
    [
        ([], "sent", None),
        (["100 Trying"], "trying", 100),
        (["100 Trying", "180 Ringing"], "ringing", 180),
        (["407 Who"], "trying", 407),
        (["407 Who", "183 Progress"], "ringing", 183),
        (["180 Ringing", "486 Busy Here"], "failed", 486),
        (["200 OK", "180 Ringing"], "answered", 200),
        (["200 OK", "491 Request Pending"], "answered", 200),
    ],
)
def test_states_of_an_invite(replies, state, status):
    """A call is as far as its replies say, whatever comes late."""
    call = one(INVITE, *[(f"SIP/2.0 {reply}", "1 INVITE") for reply in replies])
    assert (call.state, call.status) == (state, status)


def test_ends_of_a_call():
    """BYE ends a call, CANCEL takes it back; the reply to either is not the call's."""
    bye = [("BYE sip:bob@example.org SIP/2.0", "2 BYE"), ("SIP/2.0 481 Gone", "2 BYE")]
    call = one(INVITE, ("SIP/2.0 200 OK", "1 INVITE"), *bye)
    assert (call.state, call.status) == ("ended", 200)
    cancel = ("CANCEL sip:bob@example.org SIP/2.0", "1 CANCEL")
    call = one(INVITE, cancel, ("SIP/2.0 487 Request Terminated", "1 INVITE"))
    assert (call.state, call.status) == ("cancelled", 487)


def test_other_methods():
    """Of all else the last final reply counts."""
    register = ("REGISTER sip:example.org SIP/2.0", "1 REGISTER")
    call = one(register, ("SIP/2.0 401 Who", "1 REGISTER"), ("SIP/2.0 200 OK", "2 REGISTER"))
    assert (call.method, call.state, call.status) == ("REGISTER", "done", 200)
    assert one(register, ("SIP/2.0 403 No", "1 REGISTER")).state == "failed"
    assert one(register).state == "sent"


def test_reports_alone():
    """Packets that are no SIP make a call by their correlation id."""
    (call,) = read([packet("x", ALICE, BOB, proto_type=100, correlation_id="c")]).listed()
    assert (call.state, call.name, call.as_json()["method"]) == ("report", b"c", None)


def test_legs_are_one_call():
    """Legs that share a correlation id stand together, the first one first."""
    (call,) = read(STORIES["legs"]()).listed()
    assert list(call.legs) == [b"a-1@pbx", b"b-1@sbc"]
    assert (call.packets, call.state, call.status, len(call.participants)) == (7, "failed", 486, 3)


def test_legs_that_turn_out_to_be_one():
    """Two calls become one when a packet names both."""
    views = [
        packet(sip(*INVITE, call="a"), ALICE, PROXY, 0.0),
        packet(sip(*INVITE, call="b"), PROXY, BOB, 1.0, node=CORE),
        packet(
            sip("SIP/2.0 180 Ringing", "1 INVITE", call="b"), BOB, PROXY, 2.0, correlation_id="a"
        ),
    ]
    (call,) = read(views).listed()
    assert list(call.legs) == [b"a", b"b"]
    assert (call.packets, list(call.nodes)) == (3, ["edge", "core"])
    assert call.duration_us == 2_000_000


def test_correlation_id_of_everything():
    """An id that all packets share joins a few calls, not all of them."""
    views = [
        packet(sip(*INVITE, call=f"call-{at}"), ALICE, BOB, at, correlation_id="default")
        for at in range(100)
    ]
    listed = read(views).listed()
    assert len(listed) == 100 - MOST_LEGS + 2
    assert sum(call.packets for call in listed) == 100


def test_bounded():
    """More calls than are kept: those that were silent longest are forgotten, and counted."""
    views = [packet(sip(*INVITE, call=f"call-{at}"), ALICE, BOB, at) for at in range(50)]
    views.append(packet(sip("SIP/2.0 180 Ringing", "1 INVITE", call="call-0"), BOB, ALICE, 9.5))
    calls = read(views, most=10)
    assert calls.forgotten == 40
    assert [call.name for call in calls.listed()] == [b"call-%d" % at for at in range(40, 50)]
    assert len(calls._by_id) == 10


def test_only_what_matches():
    """A call is listed when one of its packets matches, with all of its packets."""
    views = [*demo_call(1), *demo_call(2)]
    calls = read(views, matches=lambda view: view.sip is not None and view.sip.from_user == b"erin")
    (call,) = calls.listed()
    assert (call.source, call.packets) == ("erin", 20)


def test_packets_of_no_call():
    """Packets with neither Call-ID nor correlation id are counted, not listed."""
    calls = read([packet("x", ALICE, BOB, proto_type=100)])
    assert (calls.listed(), calls.nameless) == ([], 1)


def test_table():
    """The table has a line for each call, further legs under it, and ids that can be copied."""
    views = [*demo_call(), *STORIES["legs"](), *STORIES["two-nodes"]()]
    golden("calls.txt", table(read(views).listed()))


def test_hostile_names():
    """Nothing that a packet says reaches the terminal as it is."""
    listed = read(STORIES["hostile"]()).listed()
    assert all(line.isprintable() for line in table(listed).splitlines())
