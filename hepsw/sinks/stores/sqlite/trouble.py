"""What SQLite and the disk complain of, as the one error that a store knows.

`SqliteWriter`, `SqliteAdmin` and `SqliteArchive` call it where a foreign exception enters.
"""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hepsw.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHAT: Final = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "readonly",
    sqlite3.SQLITE_IOERR: "file",
    sqlite3.SQLITE_CANTOPEN: "file",
    sqlite3.SQLITE_PERM: "file",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_SCHEMA: "schema",
    sqlite3.SQLITE_ERROR: "schema",
}
"""By primary result code. A plain ERROR is a statement that does not fit the tables: ours always
do, unless somebody altered them."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def translated(error: sqlite3.Error | OSError) -> StoreError:
    """Return what to raise for a foreign error."""
    if isinstance(error, OSError):
        what = "full" if error.errno in _FULL else "file"
        return StoreError(f"{error.filename}: {error.strerror}", what)
    code = getattr(error, "sqlite_errorcode", None)  # absent where Python itself complains
    return StoreError(str(error), "refused" if code is None else _WHAT.get(code & 0xFF, "refused"))


@contextmanager
def told() -> Iterator[None]:
    """Have what SQLite and the disk raise within become a `StoreError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise translated(error) from error
    except UnicodeDecodeError as error:
        # SQLite's message has a piece of the file in it, and Python wants it to be text.
        raise StoreError(
            "the file is damaged, its own statements are no text", "corrupt"
        ) from error
