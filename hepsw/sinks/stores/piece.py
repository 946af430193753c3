"""A batch on its way through the thread of a store, and what became of it.

Plain values: the thread makes them, the event loop counts them.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.sinks.stores.writer import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.sinks.stores.writer import Refused
    from hepsw.view import View

KEY: Final = 16
"""Octets of the key of a batch."""


class Piece(NamedTuple):
    """A batch, or a part of one that a bug of ours has split."""

    batch: Batch
    seqs: Sequence[int] = ()
    """Numbers of its packets in the spool, if they are from there."""

    def halves(self) -> tuple[Piece, Piece]:
        """Return the two parts of a batch of more than one packet, each with a key of its own."""
        batch, seqs = self
        middle = len(batch.views) // 2
        left, right = batch.views[:middle], batch.views[middle:]
        if not seqs:
            return live(left), live(right)
        return (
            replayed(left, seqs[:middle], batch.spool, batch.first, seqs[middle - 1]),
            replayed(right, seqs[middle:], batch.spool, seqs[middle], batch.last),
        )


def live(views: Sequence[View], coming: Callable[[], Sequence[View]] = tuple) -> Piece:
    """Return packets from memory as a batch; `coming` as in `Batch`."""
    return Piece(Batch(os.urandom(KEY), views, coming=coming))


def replayed(
    views: Sequence[View],
    seqs: Sequence[int],
    spool: bytes | None,
    first: int,
    last: int,
    *,
    key: bytes | None = None,
) -> Piece:
    """Return packets from a spool as a batch.

    Args:
        views: the packets.
        seqs: their numbers.
        spool: which it is.
        first: from here on …
        last: … to here everything is in the batch, or was settled before.
        key: of the batch that they were before, if they are all of it; None: it is a new one.
    """
    return Piece(Batch(key or os.urandom(KEY), views, spool, first, last), seqs)


@dataclass(slots=True)
class Outcome:
    """What became of a batch that is done with."""

    packets: int
    octets: int
    """Of all its frames."""
    seqs: Sequence[int]
    """Numbers of all its packets in the spool, if they are from there."""
    stored: int = 0
    stored_octets: int = 0
    tables: Counter[str] = field(default_factory=Counter)
    """Rows committed, by table."""
    at: float = 0.0
    """When, in seconds since the epoch."""
    refused: Sequence[Refused] = ()
    dead_lettered: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """Refused, and not to be kept as dead letters either."""
    altered: Counter[str] = field(default_factory=Counter)
    misplaced: Counter[str] = field(default_factory=Counter)
