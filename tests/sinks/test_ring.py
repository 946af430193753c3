"""What is kept to be sent again, against a list of frames with their ends."""

from hypothesis import given
from hypothesis import strategies as st

from hepsw.sinks.ring import Ring

SIZES = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), max_size=6)


@given(SIZES, st.lists(st.integers(0, 40), max_size=8), st.booleans(), st.integers(0, 200))
def test_what_is_acknowledged_is_let_go(sizes, steps, by_frame, sent):
    """Frame by frame or by the batch, in order, each once; the rest is there to be sent again."""
    told = []
    ring = Ring(lambda frames, start, stop: told.extend(frames[start:stop]))
    frames, ends, begins = [], [], []
    at = number = 0
    for batch in sizes:
        made = []
        begin = at
        for size in batch:
            made.append(bytes([number]) * size)
            number += 1
            at += size
            ends.append(at)
            begins.append(begin)
        if not by_frame:
            ends[-len(batch) :] = [at] * len(batch)
        # Within a longer list, as a part of it that the kernel took at once.
        ring.add([b"before", *made, b"after"], 1, 1 + len(made), begin, at)
        frames += made
    assert ring.frames == len(frames)
    reached = 0
    for step in steps:
        reached += step
        ring.acknowledge(reached, by_frame=by_frame)
        gone = sum(end <= reached for end in ends)
        assert told == frames[:gone]
        assert ring.frames == len(frames) - gone
    if not steps:  # batches are whole then
        assert ring.begun(sent) == sum(begin < sent for begin in begins)
    assert ring.take_all() == frames[len(told) :]
    assert ring.frames == 0
    assert ring.take_all() == []
