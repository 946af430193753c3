"""Calls that are held: how long, how many, and what of each."""

from calls import sip as message

from hepsw.hep import build
from hepsw.switch.calls import CALLS, HOLDS, LONG, Calls

DIALOG = ("main/x", -1)
TTL = 10.0
CALL = "c1@pbx.example"


def packet(start, cseq, call=CALL):
    """Return a packet with a SIP message."""
    return build(proto_type=1, payload=message(start, call, cseq))


INVITE = packet("INVITE sip:112@sbc.example SIP/2.0", "1 INVITE")
ACK = packet("ACK sip:112@sbc.example SIP/2.0", "1 ACK")
CANCEL = packet("CANCEL sip:112@sbc.example SIP/2.0", "1 CANCEL")
OK = packet("SIP/2.0 200 OK", "1 INVITE")
BYE = packet("BYE sip:112@sbc.example SIP/2.0", "2 BYE")
RTCP = build(proto_type=5, payload=b"{}", correlation_id=CALL)


def test_a_call_is_held_until_its_time_is_over():
    """So long after its last packet, to the second; then it begins anew."""
    calls = Calls(TTL)
    calls.hold(b"c", DIALOG, 0.0)
    assert calls.is_held(b"c", DIALOG, TTL)
    assert not calls.is_held(b"c", DIALOG, TTL + 0.1)
    calls.touch(b"c", 8.0)
    assert calls.is_held(b"c", DIALOG, 18.0)
    calls.touch(b"c", 18.1)
    assert len(calls) == 0
    assert not calls.is_held(b"c", DIALOG, 8.0)


def test_what_was_over_is_not_taken_up_again():
    """A rule that matches late holds the call for itself, and not what was held before."""
    calls = Calls(TTL)
    calls.hold(b"c", DIALOG, 0.0)
    calls.hold(b"c", ("main/y", -1), 50.0)
    assert calls.is_held(b"c", ("main/y", -1), 55.0)
    assert not calls.is_held(b"c", DIALOG, 55.0)


def test_matching_again_makes_a_call_last():
    """Also where no table was entered in between, as behind an edit of the call's name."""
    calls = Calls(TTL)
    calls.hold(b"c", DIALOG, 0.0)
    calls.hold(b"c", DIALOG, 8.0)
    assert calls.is_held(b"c", DIALOG, 17.0)


def test_a_full_table_forgets_the_silent_one():
    """The call whose last packet came longest ago makes room, and that is counted."""
    calls = Calls(TTL, most=3)
    for name in (b"a", b"b", b"c"):
        calls.hold(name, DIALOG, 1.0)
    calls.touch(b"a", 2.0)
    calls.hold(b"d", DIALOG, 3.0)
    assert [calls.is_held(name, DIALOG, 3.0) for name in (b"a", b"b", b"c", b"d")] == [
        *(True, False, True, True)
    ]
    assert (len(calls), calls.forgotten) == (3, 1)


def test_what_is_over_makes_room_first():
    """Without being counted, and without a sweep through the table."""
    calls = Calls(TTL, most=3)
    for name in (b"a", b"b", b"c"):
        calls.hold(name, DIALOG, 0.0)
    calls.hold(b"d", DIALOG, 20.0)
    assert (len(calls), calls.forgotten) == (2, 0)


def test_many_calls_take_bounded_memory():
    """Ten times as many as fit leave as many as fit."""
    calls = Calls(TTL, most=100)
    for number in range(1000):
        calls.hold(b"%d" % number, DIALOG, number / 1000)
    assert (len(calls), calls.forgotten) == (100, 900)
    assert CALLS < 1 << 20


def test_what_a_call_holds_is_bounded():
    """The transaction that matched longest ago goes; what matches again and again stays."""
    calls = Calls(TTL)
    for number in range(10 * HOLDS):
        calls.hold(b"c", ("main/x", number), 0.0)
        calls.hold(b"c", DIALOG, 0.0)
    held = [calls.is_held(b"c", ("main/x", number), 0.0) for number in range(10 * HOLDS)]
    assert sum(held) == HOLDS - 1
    assert all(held[1 - HOLDS :])
    assert calls.is_held(b"c", DIALOG, 0.0)


def test_long_names_are_told_apart():
    """Only a digest of them is kept, which tells two of 60,000 octets apart by the last."""
    calls = Calls(TTL)
    calls.hold(b"x" * 60_000 + b"a", DIALOG, 0.0)
    assert calls.is_held(b"x" * 60_000 + b"a", DIALOG, 0.0)
    assert not calls.is_held(b"x" * 60_000 + b"b", DIALOG, 0.0)
    assert all(len(key) <= LONG for key in calls._calls)


def test_a_clock_that_is_set_back_forgets_no_call():
    """What was heard a moment ago is heard of still."""
    calls = Calls(TTL)
    calls.hold(b"c", DIALOG, 1000.0)
    calls.touch(b"c", 0.0)
    assert calls.is_held(b"c", DIALOG, 0.0)


DIALOG_RULE = {"name": "x", "match": {"sip": {"method": "INVITE"}}, "scope": "dialog", "relay": "a"}


def test_a_dialog_is_all_of_the_call(remembering):
    """Replies, BYE and RTCP of the same name, none of which the rule's conditions hold for."""
    switch = remembering.load(DIALOG_RULE)
    assert not switch.send(BYE).path
    assert [switch.send(sent).path for sent in (INVITE, BYE, RTCP)] == [["main/x"]] * 3
    assert not switch.send(packet("BYE sip:1@x SIP/2.0", "2 BYE", call="c2@pbx.example")).path


def test_a_transaction_is_one_number(remembering):
    """ACK and CANCEL have the number of their INVITE; BYE has its own, RTCP has none."""
    kinds = {"sip": {"method": "INVITE", "kind": "request"}}
    switch = remembering.load({**DIALOG_RULE, "match": kinds, "scope": "transaction"})
    sent = [INVITE, OK, ACK, CANCEL, BYE, RTCP]
    assert [bool(switch.send(packet).path) for packet in sent] == [*[True] * 4, False, False]


def test_it_matches_in_its_own_place(remembering):
    """A rule before it that decides is asked first; a held rule edits as it did."""
    switch = remembering.load(
        {"name": "first", "match": {"sip": {"method": "BYE"}}, "drop": "byes"},
        {**DIALOG_RULE, "set": {"vlan": 7}},
    )
    switch.send(INVITE)
    assert switch.send(BYE).path == ["main/first"]
    assert switch.send(OK).outputs["a"].vlan == 7


def test_packets_of_the_call_keep_it(remembering):
    """`dialog_ttl` runs from the last packet that entered the table, whether a rule matched."""
    more = {"switch": {"dialog_ttl": "10s"}}
    switch = remembering.load(
        {"name": "quiet", "match": {"sip": {"status": 200}}}, DIALOG_RULE, more=more
    )
    switch.send(INVITE, 0)
    assert switch.send(OK, 8).path == ["main/quiet"]
    assert switch.send(BYE, 17).path == ["main/x"]
    assert not switch.send(BYE, 28).path


def test_a_sample_that_was_lost_holds_nothing(remembering):
    """Recorded when conditions and sample are both met."""
    switch = remembering.load({**DIALOG_RULE, "sample": {"keep": "0.0001%", "by": "call"}})
    switch.send(INVITE)
    switch.load(DIALOG_RULE)
    assert not switch.send(BYE).path


def test_calls_without_a_name_are_none(remembering):
    """A packet that belongs to no call is judged by itself, and holds nothing for others."""
    switch = remembering.load({**DIALOG_RULE, "match": {"proto_type": "RTCP"}})
    assert switch.send(build(proto_type=5, payload=b"{}")).path == ["main/x"]
    assert not switch.send(build(proto_type=100, payload=b"x")).path
    assert switch.send(build(proto_type=5, payload=b"{}", correlation_id="")).path == ["main/x"]
    assert not switch.send(build(proto_type=100, payload=b"x", correlation_id="")).path
