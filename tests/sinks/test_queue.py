"""The bounded queue of a destination, and how long to wait between tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.config.models import Queue
from hepsw.sinks.backoff import FIRST, LONGEST, BackOff
from hepsw.sinks.budget import Budget
from hepsw.sinks.queue import FrameQueue


def queue(packets=3, octets="1KiB", memory=1 << 20):
    gone = []
    limits = Queue.model_validate({"packets": packets, "bytes": octets})
    return FrameQueue(limits, Budget(memory), lambda frame, _: gone.append(frame)), gone


def drained(frames):
    return [frames.take() for _ in range(len(frames))]


def test_making_room_keeps_the_newest():
    """The oldest go, and are told."""
    frames, gone = queue()
    assert frames.add_all([b"1", b"2", b"3", b"4", b"5"], 0, True) == 5
    assert drained(frames) == [b"3", b"4", b"5"]
    assert gone == [b"1", b"2"]


def test_not_making_room_keeps_the_oldest():
    """The first that finds none is told."""
    frames, gone = queue()
    assert frames.add_all([b"0", b"1", b"2", b"3", b"4", b"5"], 1, False) == 4
    assert drained(frames) == [b"1", b"2", b"3"]
    assert not gone


@pytest.mark.parametrize("make_room", [True, False])
def test_a_frame_larger_than_the_queue_is_turned_away(make_room):
    """And nothing else goes for it."""
    frames, gone = queue(octets="10B")
    assert frames.add_all([b"12345", b"x" * 11, b"6"], 0, make_room) == 1
    assert drained(frames) == [b"12345"]
    assert not gone


def test_the_budget_is_shared():
    """What others hold leaves no room; whoever has nothing to let go takes nothing."""
    budget, gone = Budget(10), []
    limits = Queue.model_validate({"packets": 5, "bytes": "1KiB"})
    one, other = (FrameQueue(limits, budget, lambda *told: gone.append(told)) for _ in range(2))
    assert one.add_all([b"1234", b"5678"], 0, True) == 2
    assert other.add_all([b"abc"], 0, True) == 0
    assert one.add_all([b"90ab"], 0, True) == 1
    assert gone == [(b"1234", True)]
    assert budget.used == 8
    assert one.take_some(5) == [b"5678", b"90ab"]
    assert budget.used == 0
    assert other.add_all([b"abc"], 0, True) == 1


@given(
    st.lists(st.binary(max_size=30) | st.sampled_from(["take", "back"]), max_size=60), st.booleans()
)
def test_it_is_bounded_and_loses_nothing(steps, make_room):
    """Whatever happens, limits hold, octets are right, and given = taken + gone + held."""
    frames, gone = queue(packets=4, octets="64B", memory=80)
    taken, given_ = [], 0
    for step in steps:
        if step == "take":
            if len(frames):
                taken.append(frames.take())
        elif step == "back":
            if taken and len(frames) < 4:
                frames.put_back([taken.pop()])
        else:
            given_ += frames.add_all([step], 0, make_room)
            assert len(frames) <= 4
        assert given_ == len(taken) + len(gone) + len(frames)
    held = drained(frames)
    assert frames.octets == 0
    frames.put_back(held)
    assert drained(frames) == held


def test_limits_beyond_all_memory():
    """Are taken for as much as there can be, in both builds."""
    limits = Queue.model_construct(packets=1 << 80, bytes=1 << 80)
    frames = FrameQueue(limits, Budget(1 << 20), print)
    assert frames.add_all([b"x"], 0, False) == 1
    assert frames.take_some(5) == [b"x"]


@pytest.mark.parametrize(("backoff", "longest"), [(BackOff(), LONGEST), (BackOff(3.0), 3.0)])
def test_waits_grow_and_begin_again(backoff, longest):
    """From 0.1 s to the longest with jitter; a healthy connection resets them."""
    waits = [backoff.next() for _ in range(20)]
    assert all(0 < wait <= min(longest, FIRST * 2**at) for at, wait in enumerate(waits))
    assert max(waits[10:]) > FIRST
    backoff.reset()
    assert backoff.next() <= FIRST
