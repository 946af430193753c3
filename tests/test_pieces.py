"""Freeing large things a piece at a time."""

import weakref

from hepsw.pieces import dismantle, let_go


class Thing:
    """Holds something."""

    def __init__(self, held):
        self.held = held


def test_let_go_empties():
    """Lists and dictionaries are empty afterwards."""
    listed, named = [1, 2, 3], {"a": 1, "b": 2}
    let_go(listed, named)
    assert not listed
    assert not named


def test_dismantle_frees_all_that_nobody_else_has():
    """What is held from outside stays whole; the rest is gone, without the collector."""
    kept = Thing([1])
    parts = [Thing({"table": Thing((Thing([kept]), kept))})]
    gone = [
        weakref.ref(parts[0]),
        weakref.ref(parts[0].held["table"]),
        weakref.ref(parts[0].held["table"].held[0]),
    ]
    dismantle(parts)
    assert not parts
    assert [ref() for ref in gone] == [None] * 3
    assert kept.held == [1]


def test_dismantle_nothing():
    """What was never made needs no care."""
    parts = [None]
    dismantle(parts)
    assert not parts
