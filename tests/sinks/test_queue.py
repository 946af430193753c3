"""The bounded queue of a destination, and how long to wait between tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.accounting import Reason, SinkAccount
from hepsw.config.models import Queue
from hepsw.sinks.backoff import FIRST, LONGEST, BackOff
from hepsw.sinks.queue import FrameQueue


def queue(packets=3, octets="1KiB", *, keep_old=False):
    account = SinkAccount()
    limits = Queue.model_validate({"packets": packets, "bytes": octets})
    return FrameQueue(limits, keep_old=keep_old, account=account), account


def drained(frames):
    return [frames.take() for _ in range(len(frames))]


def test_drop_old_keeps_the_newest():
    """The oldest make room and are counted dropped."""
    frames, account = queue()
    for octet in b"12345":
        frames.add(bytes([octet]))
    assert drained(frames) == [b"3", b"4", b"5"]
    assert (account.enqueued, account.dropped) == (5, {Reason.OVERFLOW: 2})


def test_drop_new_keeps_the_oldest():
    """The new ones are turned away and counted shed."""
    frames, account = queue(keep_old=True)
    for octet in b"12345":
        frames.add(bytes([octet]))
    assert drained(frames) == [b"1", b"2", b"3"]
    assert (account.enqueued, account.shed) == (3, {Reason.OVERFLOW: 2})


@pytest.mark.parametrize("keep_old", [True, False])
def test_a_frame_larger_than_the_queue_is_turned_away(keep_old):
    """And nothing else goes for it."""
    frames, account = queue(octets="10B", keep_old=keep_old)
    frames.add(b"12345")
    frames.add(b"x" * 11)
    assert drained(frames) == [b"12345"]
    assert account.shed == {Reason.OVERFLOW: 1}


@given(
    st.lists(st.binary(max_size=30) | st.sampled_from(["take", "back"]), max_size=60), st.booleans()
)
def test_it_is_bounded_and_counted(steps, keep_old):
    """Whatever happens, limits hold, octets are right, and enqueued = taken + dropped + held."""
    frames, account = queue(packets=4, octets="64B", keep_old=keep_old)
    taken = []
    for step in steps:
        if step == "take":
            if len(frames):
                taken.append(frames.take())
        elif step == "back":
            if taken and len(frames) < 4:
                frames.put_back([taken.pop()])
        else:
            frames.add(step)
            assert len(frames) <= 4
            assert frames.octets <= 64
        assert account.enqueued == len(taken) + account.dropped.total() + len(frames)
    held = drained(frames)
    assert frames.octets == 0
    frames.put_back(held)
    assert drained(frames) == held


def test_waits_grow_and_begin_again():
    """From 0.1 s to 5 s with jitter; a healthy connection resets them."""
    backoff = BackOff()
    waits = [backoff.next() for _ in range(20)]
    assert all(0 < wait <= min(LONGEST, FIRST * 2**at) for at, wait in enumerate(waits))
    assert max(waits[10:]) > FIRST
    backoff.reset()
    assert backoff.next() <= FIRST
