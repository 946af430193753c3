"""The loop guard beside the slowest way of saying the same."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import compiled

from hepsw.accounting import Ledger
from hepsw.hep import build, decode, encode_v1, encode_v2
from hepsw.switch import MOST, WINDOW, Switch, guard
from hepsw.switch._recent_plain import FIRST, LAST
from hepsw.switch._recent_plain import Recent as PlainRecent
from hepsw.switch.guard import Guard

START = 1_700_000_000.0
HEADER = 16
"""Octets of a HEP1 header."""


class Slow:
    """Every frame with the times at which it was let in, for ever."""

    def __init__(self):
        self.let_in = defaultdict(list)

    def times(self, frame, now):
        """Return how often a frame was let in within the window."""
        return sum(now - then <= WINDOW for then in self.let_in[frame])

    def drops(self, frame, now):
        """Judge a frame, the ninth in ten seconds is dropped."""
        if self.times(frame, now) >= MOST:
            return True
        self.let_in[frame].append(now)
        return False


class PlainGuard(Guard):
    """The guard as the plain build has it, in this build."""

    def __init__(self):
        super().__init__()
        self.again = PlainRecent().again


ENDS = {
    "src_ip": "192.0.2.1",
    "dst_ip": "192.0.2.2",
    "src_port": 5060,
    "dst_port": 5060,
    "ip_protocol": 17,
}


def packet(number=0, payload=b"x"):
    """A packet by its capture time."""
    return build(**ENDS, time=number, proto_type=1, capture_id=7, payload=payload)


def old(payload, **time):
    """A packet of HEP2, or of HEP1 if it has no time."""
    written = encode_v2 if time else encode_v1
    return decode(written(**ENDS, payload=payload, **time))


def dropped(guard, packets, now):
    """Return for each packet of a batch whether the guard drops it."""
    found = guard.looping(packets, now) or ()
    return [at in found for at in range(len(packets))]


@pytest.fixture(params=[Guard, PlainGuard])
def kind(request):
    """The guard of this build, and that of the plain one."""
    return request.param


pauses = st.sampled_from([0.0, 0.001, 0.5, 1.0, 1.25, 2.5, 5.0, 9.75, 10.0, 10.25, 25.0])
DISTINCT = [
    packet(1),
    packet(2),
    packet(2, b"y" * 500),
    packet(3, b""),
    old(b"OPTIONS sip:a SIP/2.0\r\n"),
    old(b"OPTIONS sip:a SIP/2.0\r\n", time=1_700_000_000_000_000),
]


@given(st.lists(st.tuples(pauses, st.lists(st.sampled_from(DISTINCT), max_size=12)), max_size=30))
def test_the_guard_is_the_slow_one(batches):
    """Frames with marks of their own are dropped exactly when they were let in eight times."""
    guards = [Guard(), PlainGuard()]
    slow, now = Slow(), START
    for pause, batch in batches:
        now += pause
        expected = [slow.drops(one.data, now) for one in batch]
        assert [dropped(guard, batch, now) for guard in guards] == [expected] * 2


ALIKE = [packet(1, b"x" * 100 + bytes([number])) for number in range(3)]


@given(
    st.lists(
        st.tuples(pauses, st.lists(st.sampled_from([*ALIKE, *DISTINCT]), max_size=12)), max_size=30
    )
)
def test_frames_that_share_a_mark(batches):
    """None is let in a ninth time, none is dropped before it was let in seven times, both agree."""
    guards = [Guard(), PlainGuard()]
    slow, now = Slow(), START
    for pause, batch in batches:
        now += pause
        one, other = (dropped(guard, batch, now) for guard in guards)
        assert one == other
        for is_dropped, frame in zip(one, (one.data for one in batch), strict=True):
            times = slow.times(frame, now)
            assert times >= MOST - 1 if is_dropped else times < MOST
            if not is_dropped:
                slow.let_in[frame].append(now)


def test_alike():
    """Those are alike where the mark is taken, and not otherwise."""
    marks = {one.data[FIRST:LAST] for one in ALIKE}
    assert (len(marks), len(set(ALIKE))) == (1, 3)
    assert len({one.data[FIRST:LAST] for one in DISTINCT}) == len(DISTINCT)


def test_different_frames_with_one_mark_pass(kind):
    """However many come at once, frames that differ anywhere are no loop."""
    judge = kind()
    frames = [packet(1, b"x" * 100 + b"%d" % number) for number in range(1000)]
    assert judge.looping(frames, START) is None
    assert judge.looping(frames, START) is None


def test_a_loop_that_goes_on_lets_eight_in_within_ten_seconds(kind):
    """What is dropped does not count: one is let in when the first is out of the window."""
    judge = kind()
    found = [dropped(judge, [packet(1)], START + second)[0] for second in range(22)]
    assert found == ([False] * 8 + [True] * 3) * 2


def test_a_clock_set_back_begins_anew(kind):
    """What came in a time that is still to come is not counted, and nothing fails."""
    judge = kind()
    for _ in range(9):
        judge.looping([packet(1)], START)
    for _ in range(8):
        assert judge.looping([packet(1)], START - 3600) is None
    assert judge.looping([packet(1)], START - 3600) == {0}


def test_what_is_remembered_is_bounded(kind):
    """However many come again, a bounded number is known; what was forgotten begins anew."""
    judge = kind()
    frames = [packet(number) for number in range(3 * guard.FRAMES)]
    for _ in range(9):
        judge.looping(frames, START)
    assert len(judge._frames) == guard.FRAMES
    assert judge.looping(frames[-10:] * 20, START) is not None


def test_many_packets_between_two_turns_of_a_loop(kind):
    """A loop is seen among thousands of others; seldom is its mark pushed out by theirs."""
    judge = kind()
    number, let_in = 1, 0
    for turn in range(20):
        others = [packet(number + at) for at in range(2000)]
        number += len(others)
        judge.looping(others, START + turn / 10)
        let_in += judge.looping([packet(0, b"loop")], START + turn / 10) is None
    # Which marks share a place is drawn by lot: in one turn of 600 it is pushed out.
    assert 8 <= let_in <= 11


def test_short_frames(kind):
    """Frames that end before, or within, what makes a mark are guarded like all others."""
    for size in (0, 1, FIRST - HEADER, FIRST - HEADER + 1, LAST - HEADER - 1, LAST - HEADER, 300):
        judge = kind()
        frames = [old(b"z" * size)] * 9
        assert dropped(judge, frames, START) == [False] * 8 + [True]


# --- in the switch -------------------------------------------------------------------------------


@pytest.fixture
def switch(tmp_path):
    """One that is guarded, with a rule that relays."""
    program = compiled(
        tmp_path,
        {
            "destinations": {"a": "udp://192.0.2.1"},
            "rules": {"main": [{"name": "all", "relay": "a"}]},
        },
    )
    made = Switch(program, Ledger().switch)
    made.guard_loops(wanted=True)
    return made


def test_the_ninth_is_dropped_and_counted(switch, peer):
    """Of twenty, eight are routed, and twelve dropped before a rule sees them."""
    effects = switch.receive([(packet(1), peer)] * 20 + [(packet(2), peer)], START)
    assert [view.packet for view in effects.outputs["a"]] == [packet(1)] * 8 + [packet(2)]
    account = switch.account
    assert (account.accepted, account.routed, account.dropped) == (21, 9, {"loop": 12})
    assert account.rules["main/all"].packets == 9
    assert account.unaccounted == 0


def test_a_loop_is_told_once_in_a_while(switch, peer):
    """Who sent the packet is told with the first that is dropped, then every ten seconds."""
    told = []
    for tenth in range(250):
        now = START + tenth / 10
        if switch.receive([(packet(1), peer)], now).loop is peer:
            told.append(tenth)
    assert told == [8, 109, 210]


def test_off(switch, peer):
    """Without the guard nothing is counted; it begins anew when it comes back."""
    batch = [(packet(1), peer)] * 20
    switch.receive(batch, START)
    switch.guard_loops(wanted=True)
    switch.receive(batch, START)
    assert switch.account.dropped == {"loop": 32}
    switch.guard_loops(wanted=False)
    switch.receive(batch, START)
    assert switch.account.dropped == {"loop": 32}
    switch.guard_loops(wanted=True)
    switch.receive(batch, START)
    assert switch.account.dropped == {"loop": 44}
