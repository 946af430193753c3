"""One SQLite file of packets: made, refused, set aside and written.

`SqliteWriter` calls it from the store's thread. Everything here blocks; nothing here knows a queue,
a loop or a second attempt.

The file is in WAL mode, so that readers and the writer do not wait for each other, and synchronous
NORMAL: a crash of hepsw loses no commit, a power cut may lose the last ones and damages nothing.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from itertools import chain, count
from typing import TYPE_CHECKING, Final

from hepsw.errors import StoreError
from hepsw.sinks.stores.rows import columns_with
from hepsw.sinks.stores.sqlite.schema import (
    OLDEST_SQLITE,
    PAGES,
    SCHEMA_VERSION,
    check_names,
    complete,
    schema,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hepsw.sinks.stores.rows import Row

log = logging.getLogger("hepsw.sinks")

GROUPS: Final = (500, 50, 1)
"""Rows written by one statement, as many as there are. SQLite is left without the interpreter's
lock, and Python waits up to 5 ms to have it back from a busy event loop: once for so many rows, not
for each of them. Before each statement SQLite also copies what it is about to alter."""
VARIABLES: Final = 32_766
"""Values that one statement takes."""
CACHE_KIB: Final = 16 << 10
"""Pages in memory: nine indexes grow in as many places at once."""
BUSY_SECONDS: Final = 0.5
"""How long SQLite itself waits for a lock; the store tries again for as long as it takes."""
WAL_OCTETS: Final = 64 << 20
"""What is left of the write-ahead log on disk after a reader had kept it from being emptied."""

REFUSALS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
)
"""What is raised for a row that SQLite does not take, whatever the state of the disk."""


class SqliteFile:
    """The writing end of one file; belongs to one thread."""

    def __init__(
        self, file: Path, further: Sequence[str] = (), wal_octets: int = WAL_OCTETS
    ) -> None:
        self._file = file
        self._further = tuple(further)
        self._wal_octets = wal_octets
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

        # Column names are ours or the operator's, never a packet's; every value is bound.
        columns = columns_with(self._further)
        names = ", ".join(f'"{name}"' for name in columns)
        into = f"INSERT INTO packets ({names}) VALUES "  # noqa: S608 - as above
        one_row = f"({', '.join('?' * len(columns))})"
        most = VARIABLES // len(columns)
        self._inserts = [
            (rows, into + ", ".join([one_row] * rows)) for rows in GROUPS if rows <= most
        ]

    def open(self) -> sqlite3.Connection:
        """Return the open file, made with its folder if missing.

        A file that was moved away or deleted since is let go, and a new one begun: SQLite itself
        would go on writing where nobody finds it.

        Raises:
            StoreError: the file is somebody else's, or of a schema to come; it was not altered.
            sqlite3.Error: it cannot be opened now.
            OSError: likewise.
        """
        if self._connection is not None:
            if self._inode == _inode(self._file):
                return self._connection
            # Closing would not do it: the log of a file that moved stays behind under the old name.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.close()
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old, 3.32 is needed", "old")
        check_names(self._further)
        version = None
        if self._file.exists():
            version = version_of(self._file)
            if version is not None and version < SCHEMA_VERSION:
                _set_aside(self._file, version)
                version = None
        if not self._file.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Calls and passwords are in it: not for everybody on the machine. SQLite gives the
            # files that it puts beside it the same mode.
            self._file.touch(mode=0o640)
        connection = self._connection = sqlite3.connect(
            self._file, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=16
        )
        self._inode = _inode(self._file)
        if version is not None and connection.execute("PRAGMA page_count").fetchone() == (0,):
            version = None  # a kill in the middle of making it: SQLite has just undone the rest
        if version is None:
            # Before WAL mode, so that the first octets on disk always say whose file it is.
            connection.execute(PAGES)
            for statement in schema(self._further):
                connection.execute(statement)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # What a statement copies in case it is refused, a MiB or so, else goes through the disk.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA journal_size_limit = {self._wal_octets}")
        if version is not None and (added := complete(connection, self._further)):
            log.info("%s: columns added: %s", self._file, ", ".join(added))
        return connection

    def begin(self) -> sqlite3.Connection:
        """Begin a transaction: what is inserted from now on lasts with `commit`, or not at all.

        Raises:
            StoreError: see `open`.
            sqlite3.Error: the file is not to be had now; `close` it and try again.
            OSError: likewise.
        """
        connection = self.open()
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def insert(self, rows: Sequence[Row]) -> dict[int, Exception]:
        """Write rows into the transaction that was begun.

        Returns:
            Why SQLite refused a row, by position; their neighbours are written.

        Raises:
            sqlite3.Error: nothing of the transaction was written; `close` the file and begin anew.
        """
        connection = self._connection
        if connection is None:
            raise sqlite3.OperationalError("no transaction was begun")
        refused: dict[int, Exception] = {}
        start = 0
        for size, insert in self._inserts:
            while len(rows) - start >= size:
                try:
                    connection.execute(
                        insert, tuple(chain.from_iterable(rows[start : start + size]))
                    )
                except REFUSALS as error:
                    _check_transaction(connection, error)
                    # A statement is written whole or not at all.
                    if size == 1:
                        refused[start] = error
                    else:
                        refused |= self._insert_each(connection, rows, range(start, start + size))
                start += size
        return refused

    def _insert_each(
        self, connection: sqlite3.Connection, rows: Sequence[Row], positions: range
    ) -> dict[int, Exception]:
        """Write rows of which at least one is refused, to find which."""
        _, insert = self._inserts[-1]
        refused: dict[int, Exception] = {}
        for position in positions:
            try:
                connection.execute(insert, rows[position])
            except REFUSALS as error:
                _check_transaction(connection, error)
                refused[position] = error
        return refused

    def commit(self) -> None:
        """Make the batch last.

        Raises:
            sqlite3.Error: whether it lasts, the ledger knows; `close` the file and look.
        """
        if self._connection is not None:
            self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo what was not committed."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Let the file go; a batch that was not committed is rolled back."""
        with suppress(sqlite3.Error):
            self.roll_back()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _check_transaction(connection: sqlite3.Connection, error: Exception) -> None:
    """Make sure that what was refused did not take the transaction with it.

    Raises:
        sqlite3.OperationalError: it did, as somebody's trigger can ask for. What is written without
            one lasts at once, and would be there again with each attempt.
    """
    if not connection.in_transaction:
        raise sqlite3.OperationalError(f"rolled back: {error}") from error


def _inode(file: Path) -> tuple[int, int] | None:
    """Return what the name stands for now, None for nothing."""
    try:
        status = os.stat(file)  # noqa: PTH116 - once a batch, and half the price of Path.stat
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _set_aside(file: Path, version: int) -> None:
    """Give a file of an earlier schema another name, whole in itself.

    Raises:
        sqlite3.Error: somebody has it open; it keeps its name.
    """
    name = f"{file.name}.schema-{version}"
    names = chain([name], (f"{name}.{number}" for number in count(2)))
    aside = next(path for path in map(file.with_name, names) if not path.exists())
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        # Writes the log into the file and removes it; refused as long as anybody else is there.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        file.rename(aside)
        connection.execute("ROLLBACK")
    log.warning(
        "%s: has schema %d, this hepsw writes %d: it is now %s, and a new file is begun",
        file,
        version,
        SCHEMA_VERSION,
        aside.name,
    )
