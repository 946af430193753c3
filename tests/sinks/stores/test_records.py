"""Records of a spool in parts: what was a batch once is one again, if it is whole."""

from stores import some

from hepsw.sinks.stores.envelope import encode, mark_of
from hepsw.sinks.stores.records import envelopes_of, missing, parts_of
from hepsw.sinks.stores.writer import Batch

KEY = bytes(range(16))


def records(count=6, unsure=3):
    views = some(count)
    batch = Batch(KEY, views[:unsure]) if unsure else None
    return list(enumerate(envelopes_of(views, batch), 1))


def parts(found):
    return [([seq for seq, _ in part], key) for part, key in parts_of(found)]


def test_batch_that_may_be_committed_keeps_its_key():
    """The packets behind it are a part of their own."""
    assert parts(records()) == [([1, 2, 3], KEY), ([4, 5, 6], None)]
    assert parts(records(unsure=0)) == [([1, 2, 3, 4, 5, 6], None)]
    assert parts(records(unsure=6)) == [([1, 2, 3, 4, 5, 6], KEY)]


def test_what_stands_before_it_is_a_part_too():
    """Order is kept."""
    plain = [(seq, encode(view)) for seq, view in enumerate(some(2), 7)]
    assert parts([*plain, *records()]) == [([7, 8], None), ([1, 2, 3], KEY), ([4, 5, 6], None)]


def test_batch_that_is_not_whole_is_none():
    """A record that is gone: the others are stored, whatever became of them before."""
    for gone in range(3):
        found = records()
        del found[gone]
        assert [key for _, key in parts(found)] == [None]
    assert parts(records()[:2]) == [([1, 2], None)]


def test_how_much_is_to_be_read_on():
    """Until the batch of the last record is whole."""
    found = records()
    assert [missing(found[:count]) for count in range(1, 7)] == [2, 1, 0, 0, 0, 0]


def test_mark_that_makes_no_sense():
    """Damage is no mark; what is wrong with the envelope is told where it is decoded."""
    octets = bytearray(records()[0][1])
    octets[28:36] = b"\0\0\0\5\0\0\0\3"
    assert mark_of(bytes(octets)) is None
    assert parts([(1, bytes(octets)), (2, b""), (3, b"\1\2")]) == [([1, 2, 3], None)]
