"""Packets on their way to rows: sorted by table, and made into octets.

Rows are made while the server is at others: those of a COPY as it goes on, and behind them those of
the packets that wait for the next batch, so that the server never waits for us. What was made ahead
is found again by its view, and is of no use where another batch comes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hepsw.hep.decoding import decode
from hepsw.sinks.stores.postgres.binary import encode
from hepsw.sinks.stores.profile import profile_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.sinks.stores.postgres.layout import Layout
    from hepsw.sinks.stores.writer import Batch
    from hepsw.view import View

SLICE: Final = 16
"""Rows that are made ahead at once: what the server says is heard within half a millisecond."""


class Entry:
    """One packet, and its row once that is made."""

    __slots__ = ("at_us", "octets", "odd", "own", "profile", "view")

    view: View
    """As the batch has it: others hold it as well, in threads of theirs."""
    own: View | None
    """Nobody else's, until the row is made: what it says is read here."""
    profile: str
    at_us: int
    octets: bytes | None
    """The row as COPY takes it."""
    odd: tuple[str, ...]
    """What was altered for it."""

    def __init__(self, view: View, own: View, profile: str, at_us: int) -> None:
        self.view = view
        self.own = own
        self.profile = profile
        self.at_us = at_us
        self.octets = None
        self.odd = ()


@dataclass(slots=True)
class Sorted:
    """The packets of a batch, by the table that each is for."""

    key: bytes
    tables: dict[str, list[tuple[int, Entry]]]
    """Position in the batch and packet, in order of position."""


class Entries:
    """Those of the batch that is written now, and of the one that is likely to be next."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sorted: Sorted | None = None
        self._ahead: dict[int, Entry] = {}
        """By the identity of the view, which the entry keeps from being given to another."""

    def sort(self, batch: Batch) -> Sorted:
        """Return a batch by table; each packet is looked at once, however often it is tried."""
        if self._sorted is not None and self._sorted.key == batch.key:
            return self._sorted
        ahead, self._ahead = self._ahead, {}
        parent_of = self._layout.parent_of
        tables: dict[str, list[tuple[int, Entry]]] = {}
        for position, view in enumerate(batch.views):
            entry = ahead.get(id(view)) or self._entry(view)
            table = parent_of(entry.profile)
            entries = tables.get(table)
            if entries is None:
                tables[table] = [(position, entry)]
            else:
                entries.append((position, entry))
        self._sorted = Sorted(batch.key, tables)
        return self._sorted

    def _entry(self, view: View) -> Entry:
        own = view.edited(decode(view.packet.data))
        return Entry(view, own, profile_of(own), self._layout.at_us(own))

    def row(self, entry: Entry) -> bytes:
        """Return the row of a packet.

        Raises:
            Exception: a bug of ours; nothing else is a reason for a packet not to be a row.
        """
        if entry.octets is None:
            if entry.own is None:
                raise AssertionError("it is there until the row is")
            odd: set[str] = set()
            row = self._layout.row(entry.own, entry.at_us, entry.profile, odd)
            entry.octets = encode(row)
            entry.odd = tuple(odd)
            entry.own = None
        return entry.octets

    async def make_ahead(self, views: Sequence[View]) -> None:
        """Make rows in what is left of the time of this thread; may be cancelled."""
        self._ahead = {}
        for start in range(0, len(views), SLICE):
            for view in views[start : start + SLICE]:
                with suppress(Exception):  # it is raised again when it is the packet's turn
                    entry = self._entry(view)
                    self.row(entry)
                    self._ahead[id(view)] = entry
            await asyncio.sleep(0)

    def forget(self) -> None:
        """Let go of the batch, which is done with."""
        self._sorted = None

    def close(self) -> None:
        """Let go of what was made ahead: nothing may come for long."""
        self._ahead = {}
