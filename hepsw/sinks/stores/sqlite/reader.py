"""The way into a SQLite file of packets for who only reads: it alters nothing, and trusts nothing.

`SqliteAdmin` and `SqliteArchive` read through it. The file may be a daemon's that is writing to it,
and it may be anybody's work: what it says of itself is looked at before anything is asked of it.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from hepsw.errors import StoreError
from hepsw.sinks.stores.sqlite.file import BUSY_SECONDS
from hepsw.sinks.stores.sqlite.schema import SCHEMA_VERSION, version_of

if TYPE_CHECKING:
    from pathlib import Path


def open_reader(file: Path) -> sqlite3.Connection:
    """Return a connection that cannot write, its texts as octets.

    Raises:
        StoreError: the file is not ours, or of another schema.
        sqlite3.Error: it cannot be read.
        OSError: likewise.
    """
    version = version_of(file)
    if version is None:
        raise StoreError(f"{file}: nothing was stored in it yet", "schema")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{file}: has schema {version}, this hepsw reads schema {SCHEMA_VERSION}", "schema"
        )
    source = f"{file.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(
        source, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # A text that is not UTF-8 would else end the reading of all that follow it.
        connection.text_factory = bytes
        connection.execute("PRAGMA query_only = ON")
        # The tables of a file are statements, which somebody else may have written.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        kind = connection.execute("SELECT type FROM sqlite_master WHERE name = 'packets'")
        is_table = kind.fetchone() == (b"table",)
    except BaseException:
        connection.close()
        raise
    if not is_table:
        connection.close()
        raise StoreError(f"{file}: it has no table packets", "schema")
    return connection
