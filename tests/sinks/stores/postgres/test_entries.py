"""Rows that are made before their batch comes are the rows that are made in it."""

import asyncio

import pgstores
import pytest

from hepsw.sinks.stores.postgres.binary import encode
from hepsw.sinks.stores.postgres.entries import SLICE, Entries
from hepsw.sinks.stores.postgres.layout import layout_of
from hepsw.sinks.stores.profile import PROFILES, profile_of

URL = "postgres://nobody@127.0.0.1/nowhere"


@pytest.fixture(params=("homer7", "hepsw"))
def layout(request):
    """A layout; nothing here asks a server."""
    return layout_of(pgstores.settings(None, request.param, url=URL))


def expected(layout, views):
    """Return rows by position, and what was altered for them, as they are made one by one."""
    found = []
    for view in views:
        odd = set()
        row = layout.row(view, layout.at_us(view), profile_of(view), odd)
        found.append((encode(row), odd))
    return found


def rows_of(entries, batch):
    """Return what a batch becomes, by position."""
    found = {}
    for listed in entries.sort(batch).tables.values():
        for position, entry in listed:
            found[position] = (entries.row(entry), set(entry.odd))
    return [found[position] for position in range(len(batch.views))]


async def some_ahead(entries, views, turns):
    """Make rows ahead for so many turns of the loop."""
    work = asyncio.ensure_future(entries.make_ahead(views))
    for _ in range(turns):
        await asyncio.sleep(0)
    work.cancel()


@pytest.mark.parametrize("turns", [0, 1, 2, 1000])
def test_rows_made_ahead_are_the_same(layout, turns):
    """However far that came, and in whatever order they come in the end."""
    views = [*pgstores.vectors(), *pgstores.hostile()]
    entries = Entries(layout)
    asyncio.run(some_ahead(entries, views, turns))
    views.reverse()
    assert rows_of(entries, pgstores.batch(views)) == expected(layout, views)


def test_what_was_made_ahead_is_not_made_again(layout, monkeypatch):
    """Neither in the batch that it is for, nor when that is tried again."""
    made = []
    row = type(layout).row
    monkeypatch.setattr(type(layout), "row", lambda *given: made.append(1) or row(*given))
    views = pgstores.calls(3 * SLICE)
    entries = Entries(layout)
    asyncio.run(entries.make_ahead(views[SLICE:]))
    assert len(made) == 2 * SLICE
    batch = pgstores.batch(views)
    once = rows_of(entries, batch)
    assert rows_of(entries, batch) == once
    assert len(made) == 3 * SLICE
    entries.forget()
    rows_of(entries, batch)
    assert len(made) == 6 * SLICE


def test_a_bug_is_told_when_it_is_the_turn_of_the_packet(layout, monkeypatch):
    """What is made ahead breaks nothing: the others have their rows."""
    row = type(layout).row

    def failing(self, view, *further):
        if b"call-20" in view.packet.payload:
            raise ZeroDivisionError
        return row(self, view, *further)

    monkeypatch.setattr(type(layout), "row", failing)
    views = pgstores.calls(40)
    entries = Entries(layout)
    asyncio.run(entries.make_ahead(views))
    (listed,) = entries.sort(pgstores.batch(views)).tables.values()
    for position, entry in listed:
        if position == 20:
            with pytest.raises(ZeroDivisionError):
                entries.row(entry)
        else:
            assert entries.row(entry)


def test_every_profile_has_a_table(layout):
    """So that a packet is never without one."""
    assert {layout.parent_of(profile) for profile in PROFILES} == set(layout.parents)
