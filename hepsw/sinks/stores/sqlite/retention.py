"""What `keep` asks of a SQLite file, in short steps: by age, by size, and the ledger's own.

`SqliteWriter.tidy` calls it between batches, so that a step takes no longer than a batch.

Age counts from the time of arrival, which is our own clock's: by the capture time a packet of an
agent whose clock is wrong would go at once, or never.

By size the oldest rows go. The file itself stays below the size, its pages in use a little further
below, so that in the steady state new rows take the place of the old ones and nothing is moved.
What the write-ahead log takes is left free for it, up to an eighth of the size. Beyond that come
what is written between two steps, which is one batch, and a log that a reader keeps from being
emptied: rows are not deleted for its sake, since that would make it longer still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.sinks.stores.profile import PROFILES
from hepsw.sinks.stores.sqlite.file import WAL_OCTETS

if TYPE_CHECKING:
    import sqlite3

    from hepsw.config.configuration import Keep

STEP_ROWS: Final = 4000
"""Rows that one step deletes at most, or as many as a batch has: it must keep up with the rows that
come."""
STEP_PAGES: Final = 2000
"""Pages that one step gives back to the disk; moving them is what it costs."""
SPARE_PAGES: Final = 1024
"""Free pages that stay in the file for the rows to come: 4 MiB."""
LOOK_US: Final = 1_000_000
"""Between two looks at what has grown too old, once there was nothing more."""
LEDGER_US: Final = 7 * 86_400 * 1_000_000
"""Age of the batches that the ledger forgets."""
LEDGER_ROWS: Final = 100_000
"""Batches that it remembers at most: a spool that is read again is never so far behind."""
LEDGER_STEP: Final = 1000


def wal_octets(keep: Keep) -> int:
    """Return to what the write-ahead log is cut after it was longer."""
    return WAL_OCTETS if keep.octets is None else min(WAL_OCTETS, keep.octets // 8)


class Retention:
    """The steps for one file; belongs to its thread."""

    def __init__(self, keep: Keep, batch_rows: int) -> None:
        self._step_rows = max(STEP_ROWS, batch_rows)
        self._most = None if keep.octets is None else keep.octets - wal_octets(keep)
        self._ages = {
            profile: round(seconds * 1_000_000)
            for profile in PROFILES
            if (seconds := keep.of(profile)) is not None
        }
        self._looked_us = 0

    def step(self, connection: sqlite3.Connection, now_us: int) -> bool:
        """Do one step; return whether there is more to do now.

        Raises:
            sqlite3.Error: nothing of the step was done.
        """
        if self._too_large(connection) or self._give_back(connection):
            return True
        # Either way round: a clock that was set back must not keep this waiting.
        if abs(now_us - self._looked_us) < LOOK_US:
            return False
        if self._too_old(connection, now_us) or self._ledger(connection, now_us):
            return True
        self._looked_us = now_us
        return False

    def _too_old(self, connection: sqlite3.Connection, now_us: int) -> bool:
        """Delete rows of a profile that has some to go; return whether there may be more."""
        left = self._step_rows
        for profile, age in self._ages.items():
            done = connection.execute(
                "DELETE FROM packets WHERE id IN (SELECT id FROM packets "
                "WHERE profile = ? AND received_us < ? ORDER BY received_us LIMIT ?)",
                (profile, now_us - age, left),
            )
            left -= done.rowcount
            if left <= 0:
                return True
        return False

    def _too_large(self, connection: sqlite3.Connection) -> bool:
        """Delete the oldest rows while the pages in use are too many."""
        if self._most is None:
            return False
        pages, free, octets = _pages(connection)
        used = pages - free
        excess = used - (self._most - self._most // 16) // octets
        if excess <= 0:
            return False
        ((first, last),) = connection.execute(
            "SELECT (SELECT min(id) FROM packets), (SELECT max(id) FROM packets)"
        )
        if first is None:
            return False
        # As many as take so many pages, as far as one can tell by their numbers.
        rows = min(self._step_rows, (last - first + 1) * excess // used + 1)
        connection.execute(
            "DELETE FROM packets WHERE id IN (SELECT id FROM packets ORDER BY id LIMIT ?)", (rows,)
        )
        return True

    def _give_back(self, connection: sqlite3.Connection) -> bool:
        """Return free pages to the disk: those beyond the size, or beyond a sixteenth of the file.

        A file without an age or a size to keep to gets none: its rows are not deleted.
        """
        if self._most is None and not self._ages:
            return False
        pages, free, octets = _pages(connection)
        surplus = free - max(SPARE_PAGES, pages // 16)
        if self._most is not None:
            surplus = max(surplus, min(free, pages - self._most // octets))
        # A few pages at a time would be moved again and again.
        if surplus < min(STEP_PAGES, max(1, pages // 64)):
            return False
        # Every row that it returns is a page moved.
        connection.execute(f"PRAGMA incremental_vacuum({min(surplus, STEP_PAGES)})").fetchall()
        return _pages(connection)[1] < free

    def _ledger(self, connection: sqlite3.Connection, now_us: int) -> bool:
        """Forget batches that are too old or too many; they are in the order of their rowids."""
        done = connection.execute(
            "DELETE FROM hepsw_ledger WHERE rowid IN "
            "(SELECT rowid FROM hepsw_ledger ORDER BY rowid LIMIT ?) AND (at_us < ? "
            "OR rowid <= (SELECT max(rowid) FROM hepsw_ledger) - ?)",
            (LEDGER_STEP, now_us - LEDGER_US, LEDGER_ROWS),
        )
        return done.rowcount == LEDGER_STEP


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return all pages, the free ones among them, and the octets of one."""
    ((pages,),) = connection.execute("PRAGMA page_count")
    ((free,),) = connection.execute("PRAGMA freelist_count")
    ((octets,),) = connection.execute("PRAGMA page_size")
    return pages, free, octets
