"""What is in a SQLite file of packets: tables, indexes, and how a file says that it is ours.

`file` makes files by it, `admin` shows it, `recall` reads by it. Nothing here opens a file for
writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.errors import StoreError
from hepsw.sinks.stores.rows import COLUMNS, COMPUTED, columns_with

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

APPLICATION_ID: Final = int.from_bytes(b"HEPS")
"""What marks a SQLite file as ours."""
SCHEMA_VERSION: Final = 2
"""Raised whenever a column of our own comes or goes."""
OLDEST_SQLITE: Final = (3, 32, 0)
"""Computed columns came one version earlier, statements of as many values with this one."""
PAGES: Final = "PRAGMA auto_vacuum = INCREMENTAL"
"""Runs before a file is begun: without it no file gets smaller but by being written anew."""

INDEXES: Final = {
    "packets_at_us": "(at_us)",
    "packets_call": "(call) WHERE call IS NOT NULL",
    # Of SIP both are the same nearly always: `call` finds it. What is left costs nearly nothing.
    "packets_correlation_id": (
        "(correlation_id) WHERE correlation_id IS NOT NULL AND correlation_id IS NOT call"
    ),
    "packets_sip_from_user": "(sip_from_user) WHERE sip_from_user IS NOT NULL",
    "packets_sip_to_user": "(sip_to_user) WHERE sip_to_user IS NOT NULL",
    "packets_sip_ruri_user": "(sip_ruri_user) WHERE sip_ruri_user IS NOT NULL",
    "packets_src_ip": "(src_ip) WHERE src_ip IS NOT NULL",
    "packets_dst_ip": "(dst_ip) WHERE dst_ip IS NOT NULL",
    "packets_profile": "(profile, received_us)",
}
"""Every index of `packets`: what is looked for, and what `keep` deletes by."""

LEDGER: Final = (
    "CREATE TABLE hepsw_ledger (key BLOB PRIMARY KEY, spool BLOB, first INTEGER, last INTEGER, "
    "rows INTEGER NOT NULL, at_us INTEGER NOT NULL)"
)
"""Batches that were committed, written in the transaction of their packets."""

_MAGIC: Final = b"SQLite format 3\0"
_OWN: Final = frozenset({"id", *COLUMNS, *COMPUTED})


def schema(further: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what makes an empty file ours, in one transaction: it is empty or whole.

    Args:
        further: names of the operator's own columns; see `check_names`.
    """
    columns = {"id": "INTEGER PRIMARY KEY", **columns_with(further), **COMPUTED}
    written = ", ".join(f'"{name}" {what}' for name, what in columns.items())
    return (
        "BEGIN IMMEDIATE",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {SCHEMA_VERSION}",
        f"CREATE TABLE packets ({written})",
        *(f"CREATE INDEX {name} ON packets {what}" for name, what in INDEXES.items()),
        LEDGER,
        "COMMIT",
    )


def check_names(further: Sequence[str]) -> None:
    """Make sure that names are fit for columns of their own; SQLite does not look at their case.

    Raises:
        StoreError: one is not.
    """
    taken = set(_OWN)
    for name in further:
        if name.lower() in taken or not name or not set('"\0').isdisjoint(name):
            raise StoreError(f"no column of the operator's own can be named `{name}`", "schema")
        taken.add(name.lower())


def complete(connection: sqlite3.Connection, further: Sequence[str]) -> list[str]:
    """Add the operator's columns that a file lacks; what is stored already has NULL there.

    Returns:
        The names that were added.

    Raises:
        StoreError: a column of our own is missing: somebody altered the table.
        sqlite3.Error: the file is not to be had now.
    """
    there = {name.lower() for _, name, *_ in connection.execute("PRAGMA table_xinfo(packets)")}
    if missing := _OWN - there:
        raise StoreError(f"its table packets has no column {min(missing)}", "schema")
    added = [name for name in further if name.lower() not in there]
    if added:
        connection.execute("BEGIN IMMEDIATE")
        for name in added:
            connection.execute(f'ALTER TABLE packets ADD COLUMN "{name}" TEXT')
        connection.execute("COMMIT")
    return added


def version_of(file: Path) -> int | None:
    """Return the version of a file's schema, None for an empty file, having seen that it is ours.

    Reads the header itself: SQLite would write to a foreign file on opening or closing it.

    Raises:
        StoreError: it is not ours, or of a schema to come.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        header = stream.read(100)
    if not header:
        return None
    if not header.startswith(_MAGIC):
        raise StoreError(f"{file}: not a SQLite file", "foreign")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise StoreError(f"{file}: a SQLite file, but not one of hepsw's", "foreign")
    version = int.from_bytes(header[60:64])
    if version > SCHEMA_VERSION or version < 1:
        raise StoreError(
            f"{file}: has schema {version}, this hepsw writes schema {SCHEMA_VERSION}", "schema"
        )
    return version
