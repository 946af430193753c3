from __future__ import annotations

import itertools

import pytest
from hep.vectors import BY_NAME, STREAMS, named
from hypothesis import given
from hypothesis import strategies as st
from steps import steps

from hepsw.hep import DecodeError, StreamSplitter, decode

SIP = BY_NAME["captagent-sip-udp"].data


def split(data, step):
    """Feed a splitter in reads of `step` octets."""
    splitter = StreamSplitter()
    frames = []
    for start in range(0, len(data), step):
        frames += splitter.feed(data[start : start + step])
    return splitter, frames


@pytest.mark.parametrize("step", [1 << 20, 1, 7, 356])
@pytest.mark.parametrize("vector", STREAMS, ids=named)
def test_stream(vector, step):
    """A stream gives the stated frames however its octets arrive."""
    splitter, frames = split(vector.data, step)
    assert [len(frame) for frame in frames] == vector.fields["frames"]
    assert b"".join(frames) == vector.data[: splitter.consumed]
    assert splitter.consumed == vector.fields["consumed"]
    assert (splitter.error and splitter.error.reason) == vector.reason
    bad = []
    for index, frame in enumerate(frames):
        try:
            assert decode(frame).data == frame
        except DecodeError:
            bad.append(index)
    assert bad == vector.fields.get("bad", [])


@pytest.mark.parametrize("step", [1 << 20, 1])
@pytest.mark.parametrize("vector", STREAMS, ids=named)
def test_stream_goes_on(vector, step):
    """More octets complete what was partial; after an error they change nothing."""
    splitter, frames = split(vector.data, step)
    missing = 0
    if splitter.buffered:
        missing = 1
        tail = vector.data[splitter.consumed :]
        tail += SIP[len(tail) : 6]
        total = tail[4] << 8 | tail[5]
        frames += splitter.feed((tail + bytes(total - len(tail)))[splitter.buffered :])
    frames += splitter.feed(SIP)
    if splitter.error is None:
        assert len(frames) == len(vector.fields["frames"]) + missing + 1
        assert frames[-1] == SIP
        assert splitter.eof() is None
    else:
        assert [len(frame) for frame in frames] == vector.fields["frames"]
        assert splitter.consumed == vector.fields["consumed"]


@pytest.mark.parametrize("step", [1, 2, 3, 500])
@pytest.mark.parametrize(
    ("head", "reason", "octets"),
    [
        (b"X", "stream-desync", 1),
        (b"HEPX", "stream-desync", 4),
        (b"EEP2", "stream-desync", 4),
        (b"\x01", "stream-desync", 1),
        (b"\x02", "stream-desync", 1),
        (b"\x1f\x8b", "stream-desync", 1),
        (b"HEP3\0\x05", "stream-total-too-small", 6),
        (b"HEP3\0\0", "stream-total-too-small", 6),
    ],
)
def test_known_early(head, reason, octets, step):
    """A wrong header is refused at the first octet that shows it, and its place is kept."""
    splitter, frames = split(SIP + head[:octets], step)
    assert frames == [SIP]
    assert splitter.error is not None
    assert splitter.error.reason == reason
    assert splitter.error.offset == len(SIP)
    assert splitter.excerpt
    assert head.startswith(splitter.excerpt[:1])
    assert splitter.buffered == 0
    assert splitter.feed(SIP) == []
    assert splitter.eof() is None


@pytest.mark.parametrize("magic", [b"HEP3", b"EEP3", b"EEP1"])
def test_magics(magic):
    """All three magics of the HEP3 layout open a frame."""
    frame = magic + SIP[4:]
    splitter, frames = split(frame * 3, 5)
    assert frames == [frame] * 3
    assert splitter.error is None


def test_eof():
    """A stream that ends within a frame says so, one that ends between frames does not."""
    splitter = StreamSplitter()
    assert splitter.eof() is None
    splitter.feed(SIP + SIP[:10])
    assert splitter.buffered == 10
    error = splitter.eof()
    assert error is not None
    assert error.reason == "stream-partial"
    assert error.offset == len(SIP)


@given(
    st.lists(
        st.sampled_from([SIP, b"HEP3\0\x06", b"EEP1\0\x08ab", SIP[:4] + b"\0\x07x"]), max_size=6
    ),
    st.lists(st.integers(0, 500), max_size=30),
)
def test_any_reads(frames, cuts):
    """However reads cut a stream, the same frames come out."""
    data = b"".join(frames)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    splitter = StreamSplitter()
    found = []
    for start, end in itertools.pairwise(places):
        found += splitter.feed(data[start:end])
        assert splitter.buffered <= 65535
    assert found == frames
    assert splitter.eof() is None


@given(st.binary(max_size=60), st.integers(1, 20))
def test_random_octets(data, step):
    """Octets that are no frames end in the same error however they arrive."""
    whole, frames = split(data, 1000)
    parts, same = split(data, step)
    assert frames == same
    assert whole.buffered == parts.buffered
    assert repr(whole.error) == repr(parts.error)


def test_linear():
    """Ten times the octets, one at a time, are ten times the steps."""
    frame = b"HEP3\xff\xff" + bytes(65529)

    def work(octets):
        return steps(lambda: split(frame[:octets], 1))

    assert work(20_000) < 11 * work(2_000)


def test_whole_read_is_not_copied():
    """A read that is exactly one frame comes back as the object it was."""
    assert StreamSplitter().feed(SIP)[0] is SIP
