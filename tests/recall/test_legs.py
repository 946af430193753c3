"""Legs: whoever asks for one gets all that it leads to, and no more than that."""

from contextlib import closing

import pytest
from cli.stocked import stock
from recall.kept import ALICE, PROXY, packet, sip

from hepsw.recall.legs import MOST_LEGS, gather
from hepsw.recall.sqlite import SqliteArchive


def invite(call, correlation_id, at):
    text = sip("INVITE sip:bob@example.org SIP/2.0", "1 INVITE", call=call)
    return packet(text, ALICE, PROXY, at, correlation_id=correlation_id)


@pytest.fixture
def found(tmp_path):
    """Return what is found of a call in a store that holds some packets."""

    def find(views, wanted, **limits):
        if not (tmp_path / "calls.db").exists():
            stock(tmp_path, views)
        with closing(SqliteArchive(tmp_path / "calls.db")) as archive:
            return gather(archive, wanted, **limits)

    return find


def test_all_legs_from_any(found):
    """Each leg, and the correlation id itself, leads to all of them."""
    legs = [invite("a", "x", 0), invite("b", "x", 1), invite("b", "y", 2), invite("c", "y", 3)]
    views = [*legs, invite("other", "z", 4)]
    for wanted in (b"a", b"b", b"c", b"x", b"y"):
        gathered = found(views, wanted)
        assert [view.packet for view in gathered.views] == [view.packet for view in legs]
        assert gathered.left_out == 0


def test_unknown(found):
    """A call that nobody knows has no packets."""
    gathered = found([invite("a", "x", 0)], b"b")
    assert (list(gathered.views), gathered.left_out) == ([], 0)


def test_correlation_id_of_everything(found):
    """An id that all calls share leads to a few of them, and that more were named is told."""
    views = [invite(f"call-{number}", "default", number) for number in range(100)]
    gathered = found(views, b"call-50")
    assert gathered.left_out == 101 - MOST_LEGS


def test_correlation_id_of_too_many_packets(found):
    """An id of more packets than a call can have is not followed, and told; other ids are."""
    views = [invite(f"call-{number}", "default", number) for number in range(100)]
    legs = [invite("call-50", "own", 200), invite("other", "own", 201)]
    gathered = found([*views, *legs], b"call-50", most_packets=20)
    assert [view.packet for view in gathered.views] == [view.packet for view in (views[50], *legs)]
    assert gathered.left_out == 1
    assert gathered.too_common == (b"default",)
    assert not gathered.has_more


def test_call_of_too_many_packets(found):
    """Of an id that has too many packets itself come the first ones, and that there are more."""
    views = [invite("call", f"id-{number}", number) for number in range(100)]
    gathered = found(views, b"call", most_packets=20)
    assert [view.packet for view in gathered.views] == [view.packet for view in views[:20]]
    assert gathered.has_more


def test_many_ids_of_many_packets(found):
    """Ids that are too common are counted among those that are looked at: the work is bounded."""
    many = [invite("call", f"id-{number}", number) for number in range(100)]
    views = [*many, *(invite(f"c{number}", f"id-{number % 100}", number) for number in range(300))]
    gathered = found(views, b"call", most=10, most_packets=101)
    assert len(gathered.views) == 100
    assert gathered.left_out == 100
    assert len(gathered.too_common) == 9
