"""One SQLite file of packets: made, refused, written and read back.

`SqliteStore` calls it from its writer thread, commands and tests read with `read_packets`.
Everything here blocks; nothing here knows a queue, a loop or a second attempt.

The file is in WAL mode, so that readers and the writer do not wait for each other, and synchronous
NORMAL: a crash of hepsw loses no commit, a power cut may lose the last ones and damages nothing.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.errors import StoreError
from hepsw.sinks.rows import COLUMNS, COMPUTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hepsw.sinks.rows import Row

APPLICATION_ID: Final = int.from_bytes(b"HEPS")
"""What marks a SQLite file as ours."""
SCHEMA_VERSION: Final = 1
"""Raised whenever a column comes or goes."""
OLDEST_SQLITE: Final = (3, 32, 0)
"""Computed columns came one version earlier, statements of as many values with this one."""
GROUP: Final = 100
"""Rows written by one statement. SQLite is left without the interpreter's lock, and Python waits
up to 5 ms to have it back from a busy event loop: once for so many rows, not for each of them."""
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

_MAGIC: Final = b"SQLite format 3\0"


_COLUMNS: Final = ", ".join(f"{name} {what}" for name, what in {**COLUMNS, **COMPUTED}.items())

SCHEMA: Final = (
    "BEGIN IMMEDIATE",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    f"CREATE TABLE packets (id INTEGER PRIMARY KEY, {_COLUMNS})",
    "CREATE INDEX packets_at_us ON packets (at_us)",
    "CREATE INDEX packets_correlation_id ON packets (correlation_id)",
    "COMMIT",
)
"""What makes a file ours, in one transaction: it is empty or whole."""

# Column names are ours, never a packet's; every value is bound.
_INTO: Final = f"INSERT INTO packets ({', '.join(COLUMNS)}) VALUES "  # noqa: S608 - our own names
_ONE_ROW: Final = f"({', '.join('?' * len(COLUMNS))})"
_INSERT: Final = _INTO + _ONE_ROW
_INSERT_GROUP: Final = _INTO + ", ".join([_ONE_ROW] * GROUP)


class SqliteFile:
    """The writing end of one file; belongs to one thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        """Return the open file, made with its folder if missing.

        A file that was moved away or deleted since is let go, and a new one begun: SQLite itself
        would go on writing where nobody finds it.

        Raises:
            StoreError: the file is somebody else's, or of another schema; it was not altered.
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
            raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old, 3.32 is needed")
        if not self._file.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Calls and passwords are in it: not for everybody on the machine. SQLite gives the
            # files that it puts beside it the same mode.
            self._file.touch(mode=0o640)
        is_new = _is_empty(self._file)
        self._connection = sqlite3.connect(
            self._file, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=8
        )
        self._inode = _inode(self._file)
        if is_new:
            # Before WAL mode, so that the first octets on disk always say whose file it is.
            for statement in SCHEMA:
                self._connection.execute(statement)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA journal_size_limit = {WAL_OCTETS}")
        return self._connection

    def begin(self) -> None:
        """Begin a transaction: what is inserted from now on lasts with `commit`, or not at all.

        Raises:
            StoreError: see `open`.
            sqlite3.Error: the file is not to be had now; `close` it and try again.
            OSError: likewise.
        """
        self.open().execute("BEGIN IMMEDIATE")

    def insert(self, rows: Sequence[Row]) -> set[int]:
        """Write rows into the transaction that was begun.

        Returns:
            Positions of the rows that SQLite refused, their neighbours being written.

        Raises:
            sqlite3.Error: nothing of the transaction was written; `close` the file and begin anew.
        """
        connection = self._connection
        if connection is None:
            raise sqlite3.ProgrammingError("no transaction was begun")
        connection.execute("SAVEPOINT rows")
        try:
            grouped = len(rows) - len(rows) % GROUP
            for start in range(0, grouped, GROUP):
                values = tuple(chain.from_iterable(rows[start : start + GROUP]))
                connection.execute(_INSERT_GROUP, values)
            connection.executemany(_INSERT, rows[grouped:])
        except REFUSALS:
            connection.execute("ROLLBACK TO rows")
        else:
            connection.execute("RELEASE rows")
            return set()
        refused = set()
        for position, row in enumerate(rows):
            try:
                connection.execute(_INSERT, row)
            except REFUSALS:
                refused.add(position)
        connection.execute("RELEASE rows")
        return refused

    def commit(self) -> None:
        """Make the batch last.

        Raises:
            sqlite3.Error: the batch is not in the file; `close` the file and try again.
        """
        if self._connection is not None:
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let the file go; a batch that was not committed is rolled back."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        with suppress(sqlite3.Error):
            connection.close()


def _inode(file: Path) -> tuple[int, int] | None:
    """Return what the name stands for now, None for nothing."""
    try:
        status = os.stat(file)  # noqa: PTH116 - once a batch, and half the price of Path.stat
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_empty(file: Path) -> bool:
    """Return whether a file is still to be filled, having made sure that it is not another's.

    Reads the header itself: SQLite would write to a foreign file on opening or closing it.

    Raises:
        StoreError: it is not ours, or of another schema.
    """
    with file.open("rb") as stream:
        header = stream.read(100)
    if not header:
        return True
    if not header.startswith(_MAGIC):
        raise StoreError(f"{file}: not a SQLite file")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise StoreError(f"{file}: a SQLite file, but not one of hepsw's")
    schema = int.from_bytes(header[60:64])
    if schema != SCHEMA_VERSION:
        raise StoreError(f"{file}: has schema {schema}, this hepsw writes schema {SCHEMA_VERSION}")
    return False


class StoredPacket(NamedTuple):
    """One packet as it was stored."""

    received_us: int
    """When hepsw read it from the socket, in microseconds since the epoch."""
    data: bytes
    """The octets of the frame."""


def read_packets(file: Path) -> Iterator[StoredPacket]:
    """Yield what a file holds, in the order in which it was stored.

    Sees what was committed when the first packet is asked for, and keeps no writer waiting.

    Raises:
        StoreError: there is no such file, it cannot be read, or it is not ours.
    """
    try:
        if _is_empty(file):
            return
        source = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(source, uri=True, timeout=BUSY_SECONDS)) as connection:
            rows = connection.execute("SELECT received_us, frame FROM packets ORDER BY id")
            yield from map(StoredPacket._make, rows)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{file}: {error}") from error
