"""The embedded store's writer: batches into one SQLite file, each whole, each once.

`Store` calls it from its thread. Rows are made here, some at a time, so that a batch whose frames
inflate to a thousand times their size is never in memory as a whole.

Each transaction writes the batch into a ledger too. A COMMIT that fails on a disk which is full may
have reached it all the same: the next attempt finds the key and writes nothing.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.sinks.stores.rows import make_row, octets_of
from hepsw.sinks.stores.sqlite.file import SqliteFile
from hepsw.sinks.stores.sqlite.retention import Retention, wal_octets
from hepsw.sinks.stores.sqlite.trouble import told
from hepsw.sinks.stores.writer import Refused, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.rows import Row
    from hepsw.sinks.stores.writer import Batch

log = logging.getLogger("hepsw.sinks")

TABLE: Final = "packets"

_REASONS: Final[dict[type[Exception], str]] = {
    sqlite3.IntegrityError: "constraint",
    sqlite3.DataError: "too-big",
    OverflowError: "too-big",
}
"""Slugs by what SQLite raises for a row; anything else is `refused`."""


class SqliteWriter:
    """A `Writer` into one SQLite file."""

    ROWS_OCTETS: Final = 8 << 20
    """Octets of the rows that are in memory at a time, however large the batch is to be: with what
    was inflated a row may be many times its frame."""
    TIDY_SECONDS: Final = 0.2
    """How long `tidy` goes on before it lets packets through again: it must keep up with the rows
    that come, called once a second."""

    def __init__(self, settings: StoreSettings) -> None:
        self._name = settings.name
        self._templates = tuple(template for _, template in settings.columns)
        self._file = SqliteFile(
            settings.file, [name for name, _ in settings.columns], wal_octets(settings.keep)
        )
        self._retention = Retention(settings.keep, settings.batch.rows)
        self._settled: bytes | None = None
        """Key of the last batch from memory: nobody will ask for it again."""
        self._unheard: tuple[bytes, Sequence[Refused]] | None = None
        """The batch whose COMMIT was begun, and what was refused of it."""

    def open(self) -> None:
        """Open the file, or make it."""
        with told():
            self._file.open()

    def known(self, spool: bytes) -> Sequence[tuple[int, int]]:
        """Return the records of a spool that are committed already."""
        with told():
            found = self._file.open().execute(
                "SELECT first, last FROM hepsw_ledger WHERE spool = ? "
                # Anybody may have been at the file.
                "AND typeof(first) = 'integer' AND typeof(last) = 'integer' ORDER BY first",
                (spool,),
            )
            return found.fetchall()

    def tables(self, batch: Batch) -> Counter[str]:
        """Return how many rows of a batch are meant for which table: there is one."""
        return Counter({TABLE: len(batch.views)})

    def write(self, batch: Batch, give_up: Callable[[Sequence[Refused]], None]) -> Written:
        """Write a batch in one transaction."""
        with told():
            # First of all, so that a file which is locked costs no rows.
            connection = self._file.begin()
            try:
                earlier = connection.execute(
                    "SELECT rows FROM hepsw_ledger WHERE key = ?", (batch.key,)
                ).fetchone()
                if earlier is not None:
                    self._file.roll_back()
                    return self._heard_late(batch, *earlier)
                refused = self._insert(batch)
                rows = len(batch.views) - len(refused)
                self._enter(connection, batch, rows)
                give_up(refused)
                self._unheard = batch.key, refused
                self._file.commit()
            finally:
                self._file.roll_back()
        self._committed(batch)
        return Written(tables=Counter({TABLE: rows}), refused=refused)

    def tidy(self, now_us: int) -> bool:
        """Do some short transactions of what `keep` asks."""
        until = time.monotonic() + self.TIDY_SECONDS
        with told():
            connection = self._file.open()
            while self._retention.step(connection, now_us):
                if time.monotonic() >= until:
                    return True
        return False

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _insert(self, batch: Batch) -> list[Refused]:
        """Insert the rows of a batch, slice by slice; return what has no row, in order."""
        refused: list[Refused] = []
        for at, rows in self._made(batch, refused):
            for position, error in self._file.insert(rows).items():
                reason = _REASONS.get(type(error), "refused")
                refused.append(Refused(at[position], TABLE, reason, str(error)))
        refused.sort()
        return refused

    def _made(
        self, batch: Batch, refused: list[Refused]
    ) -> Iterator[tuple[Sequence[int], Sequence[Row]]]:
        """Yield the rows of a batch with their positions, no more at a time than `ROWS_OCTETS`.

        The lists are the same ones each time. Packets of which no row can be made are added to
        `refused`.
        """
        at: list[int] = []
        rows: list[Row] = []
        held = 0
        is_told = False
        for position, view in enumerate(batch.views):
            try:
                row = make_row(view, self._templates)
            except Exception as bug:
                if not is_told:  # the first of a batch tells enough
                    log.exception("%s: no row could be made of a packet", self._name)
                    is_told = True
                refused.append(Refused(position, TABLE, Reason.INTERNAL, repr(bug)))
                continue
            at.append(position)
            rows.append(row)
            held += octets_of(row)
            if held >= self.ROWS_OCTETS:
                yield at, rows
                at.clear()
                rows.clear()
                held = 0
        yield at, rows

    def _enter(self, connection: sqlite3.Connection, batch: Batch, rows: int) -> None:
        """Write a batch into the ledger, instead of the last one that nobody will ask for."""
        if self._settled is not None:
            connection.execute("DELETE FROM hepsw_ledger WHERE key = ?", (self._settled,))
        now_us = time.time_ns() // 1000
        connection.execute(
            "INSERT INTO hepsw_ledger VALUES (?, ?, ?, ?, ?, ?)",
            (batch.key, batch.spool, batch.first, batch.last, rows, now_us),
        )

    def _heard_late(self, batch: Batch, rows: int) -> Written:
        """Return what became of a batch that an earlier attempt had committed after all."""
        refused: Sequence[Refused] = ()
        if self._unheard is not None and self._unheard[0] == batch.key:
            refused = self._unheard[1]
        self._committed(batch)
        return Written(tables=Counter({TABLE: rows}), refused=refused, was_known=True)

    def _committed(self, batch: Batch) -> None:
        self._unheard = None
        if batch.spool is None:
            self._settled = batch.key
