"""`hepsw store …` for a SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from hepsw.sinks.stores.admin import Status, TableStatus
from hepsw.sinks.stores.sqlite.file import SqliteFile
from hepsw.sinks.stores.sqlite.reader import open_reader
from hepsw.sinks.stores.sqlite.retention import wal_octets
from hepsw.sinks.stores.sqlite.schema import PAGES, SCHEMA_VERSION, schema, version_of
from hepsw.sinks.stores.sqlite.trouble import told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hepsw.config.configuration import StoreSettings

LAYOUT: Final = "sqlite"


class SqliteAdmin:
    """An `Admin` of one SQLite file."""

    def __init__(self, settings: StoreSettings) -> None:
        self._path = settings.file
        self._further = [name for name, _ in settings.columns]
        self._wal_octets = wal_octets(settings.keep)

    def sql(self) -> Sequence[str]:
        """Return the statements that `init` runs on a file that is not there."""
        return (PAGES, *schema(self._further))

    def init(self) -> Sequence[str]:
        """Make the file, or add the columns that it lacks."""
        with told():
            version = version_of(self._path) if self._path.exists() else None
            before = self._columns() if version == SCHEMA_VERSION else set()
            file = SqliteFile(self._path, self._further, self._wal_octets)
            try:
                file.open()
            finally:
                file.close()
            if version == SCHEMA_VERSION:
                added = [name for name in self._further if name.lower() not in before]
                return [f"column {name} added" for name in added]
            made = f"{self._path} made, with schema {SCHEMA_VERSION}"
            if version is None:
                return [made]
            return [f"the file that was there has schema {version} and was set aside", made]

    def status(self) -> Status:
        """Look at the file; rows are told by their numbers, without counting them."""
        status = Status(f"SQLite {sqlite3.sqlite_version}", "")
        with told():
            version = version_of(self._path) if self._path.exists() else None
            if version is None:
                what = "nothing was stored yet" if self._path.exists() else "no such file"
                status.notes = [f"{self._path}: {what}; it is made by `init`, or with the store"]
                return status
            if version != SCHEMA_VERSION:
                what = f"has schema {version}; it is set aside and a new one begun"
                status.notes = [f"{self._path}: {what} by `init`, or with the store"]
                return status
            status.layout = LAYOUT
            wal = _size(self._path.with_name(f"{self._path.name}-wal"))
            with closing(open_reader(self._path)) as connection:
                ((first, last, oldest, newest),) = connection.execute(
                    "SELECT (SELECT min(id) FROM packets), (SELECT max(id) FROM packets), "
                    "(SELECT min(at_us) FROM packets), (SELECT max(at_us) FROM packets)"
                )
            rows = 0 if first is None else last - first + 1
            octets = _size(self._path) + wal
            status.tables = [TableStatus("packets", rows, octets, oldest, newest)]
            missing = [name for name in self._further if name.lower() not in self._columns()]
            status.notes = [
                *(f"column {name} is missing: `init` adds it" for name in missing),
                *(
                    [f"the write-ahead log has {wal >> 20} MiB: a reader keeps it from ending"]
                    if wal > 2 * self._wal_octets
                    else []
                ),
            ]
        return status

    def _columns(self) -> set[str]:
        """Return the columns that the file has, in lower case."""
        with closing(open_reader(self._path)) as connection:
            found = connection.execute("PRAGMA table_xinfo(packets)").fetchall()
        return {name.decode("utf-8", "replace").lower() for _, name, *_ in found}


def _size(file: Path) -> int:
    """Return the octets of a file, none where there is no such file."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
