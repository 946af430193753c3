"""What a store asks of the code that knows its medium, and what the two tell each other.

`Store` (store.py) has the queue, the spool, the account and one thread; that thread alone calls a
`Writer`, so everything here may block. A writer knows files or a database, and neither a queue nor
a second attempt.

A batch is written whole, in one transaction where there are such, but for packets that the medium
refuses: they are found, named, and left out. A batch that has to be tried again has the same `key`,
by which a writer with a ledger recognises it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.view import View


@dataclass(frozen=True, slots=True)
class Batch:
    """Packets that are written together."""

    key: bytes
    """16 octets, of this batch alone and the same each time it is tried."""
    views: Sequence[View]
    spool: bytes | None = None
    """16 octets that name the spool they were read from; None: they come from memory."""
    first: int = 0
    """Number of the first record in the spool."""
    last: int = 0
    """Of the last: everything from `first` to it is in this batch, or was settled before."""
    coming: Callable[[], Sequence[View]] = field(default=tuple, compare=False, repr=False)
    """Returns what waits behind these and is likely to be the next batch: a writer that waits for
    its medium can get ahead with it."""


class Refused(NamedTuple):
    """A packet that the medium does not take, whatever its state."""

    at: int
    """Position in the batch."""
    table: str
    """Where it was to go."""
    reason: str
    """A slug, fit for a counter's label: `not-text`, `too-big` …"""
    why: str
    """What the medium said, for people."""


@dataclass(slots=True)
class Written:
    """What became of a batch that lasts."""

    tables: Counter[str] = field(default_factory=Counter)
    """Rows by table; a file store has one, named after its kind."""
    refused: Sequence[Refused] = ()
    """Handed to `give_up` before the commit, in order of position."""
    altered: Counter[str] = field(default_factory=Counter)
    """What a row had to be changed for so that the medium takes it, by what: `nul`, `utf-8` …"""
    misplaced: Counter[str] = field(default_factory=Counter)
    """Rows kept elsewhere than their time says, because it is too far from now: `late`, `early`."""
    was_known: bool = False
    """The ledger had it: an earlier attempt had been committed, though nobody heard of it."""


class Writer(Protocol):
    """One medium; called by one thread.

    Raises:
        StoreError: from every method but `close`. What was not committed is not there. The store
            calls `close`, waits, and goes on with `open`.
    """

    def open(self) -> None:
        """Connect, and create what is missing; nothing if that is done already."""
        ...

    def known(self, spool: bytes) -> Sequence[tuple[int, int]]:
        """Return the records of a spool that are committed already, first and last of each batch.

        Called once, after `open`, where an earlier life left records: it may have been killed
        before it could note what was committed.
        """
        ...

    def tables(self, batch: Batch) -> Counter[str]:
        """Return how many rows of a batch are meant for which table; needs no connection.

        Called once a batch, before it is first tried. Raises nothing: a packet of which no row can
        be made is for the table that it would have been in.
        """
        ...

    def write(self, batch: Batch, give_up: Callable[[Sequence[Refused]], None]) -> Written:
        """Write a batch and make it last.

        Args:
            batch: not empty.
            give_up: called just before the commit, with what was refused, also where that is
                nothing. It raises `StoreError` where nobody waits for the commit any more, because
                the store was closed and has counted the batch as not written.
        """
        ...

    def tidy(self, now_us: int) -> bool:
        """Do one short step of what retention asks; return whether there is more to do now.

        Called between batches: a step takes no longer than a batch.
        """
        ...

    def close(self) -> None:
        """Let the medium go; what was not committed is undone. Never raises, never waits long."""
        ...
