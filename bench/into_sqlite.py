"""Rows into SQLite.

    python bench/into_sqlite.py FILE DATABASE

is the other side, in a process of its own: the packets of FILE as rows, over and over, into a new
DATABASE in batches like hepsw's. It prints the seconds that took.
"""

import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path

from relay import Bench
from store import BATCH_ROWS, ROWS, Rows, views
from works import Work, conf, hepsw, sip


class Sqlite:
    """The medium: files of one folder, one after another."""

    work = Work(
        "sqlite", "SIP rows into SQLite", hepsw, conf("sqlite.toml"), sip, arrives=lambda _frame: ()
    )
    title = "SIP into SQLite"
    other = "executemany"
    least = 0.5
    needs = ""

    @contextmanager
    def running(self, _bench: Bench) -> Iterator[None]:
        """Nothing has to run."""
        yield

    @contextmanager
    def fresh(self, folder: Path) -> Iterator["Database"]:
        """Give a file that does not exist yet."""
        file = folder / "packets.db"
        try:
            with closing(Database(file)) as database:
                yield database
        finally:
            for path in folder.glob(f"{file.name}*"):
                path.unlink()

    def kept(self, frame: bytes) -> bytes:
        """The packet as it came."""
        return frame


class Database:
    """One file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self.url = f"sqlite://{file}"

    def close(self) -> None:
        """Let go of it."""
        if self._connection is not None:
            self._connection.close()

    def other_side(self, traffic: Path) -> Sequence[str]:
        """This module as a program."""
        return [sys.executable, __file__, str(traffic), str(self._file)]

    def mark(self) -> int:
        """One step in an index; there may be no table yet."""
        with suppress(sqlite3.OperationalError):
            return self._ask("SELECT coalesce(max(id), 0) FROM packets")
        return 0

    def rows(self, seen: float) -> Rows:
        """The file does not tell when: `seen` is as near as a look."""
        return Rows(self._ask("SELECT count(*) FROM packets"), seen)

    def first(self, count: int) -> Iterator[bytes]:
        """The frames."""
        found = self._reader().execute("SELECT frame FROM packets ORDER BY id LIMIT ?", (count,))
        for (frame,) in found.fetchall():
            yield frame

    def _ask(self, sql: str) -> int:
        (found,) = self._reader().execute(sql).fetchone()
        return int(found)

    def _reader(self) -> sqlite3.Connection:
        if self._connection is None:
            source = f"{self._file.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(source, uri=True, timeout=1.0)
        return self._connection


def write(file: Path, database: Path) -> float:
    """Write rows that are made before; return the seconds of the writing."""
    from hepsw.sinks.stores.rows import columns_with, make_row  # noqa: PLC0415 - only this side needs it
    from hepsw.sinks.stores.sqlite.file import SqliteFile  # noqa: PLC0415 - as above

    made = [make_row(view) for view in views(file)]
    rows = list(islice(cycle(made), ROWS))
    columns = columns_with(())
    names = ", ".join(f'"{name}"' for name in columns)
    insert = f"INSERT INTO packets ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our own names
    # hepsw's own tables, indexes and settings.
    with closing(SqliteFile(database).open()) as connection:
        began = time.perf_counter()
        for start in range(0, ROWS, BATCH_ROWS):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows[start : start + BATCH_ROWS])
            connection.execute("COMMIT")
        return time.perf_counter() - began


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), Path(sys.argv[2])))
