"""What `hepsw store status` shows: of each store what it holds, what waits, and what it refused.

The shape of the JSON is part of the manual: keys may come to be added, and none is renamed.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from hepsw.errors import StoreError
from hepsw.recall.shown import printable
from hepsw.sinks.spool.found import SEGMENT_NAME
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.admins import admin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.admin import Status, TableStatus


@dataclass(slots=True)
class Looked:
    """What was seen of one store."""

    store: StoreSettings
    status: Status | None = None
    error: StoreError | None = None
    """Why it could not be looked at."""
    spooled: int | None = None
    """Octets of the segments that wait in the spool; None: it has none, or none can be read."""
    refused: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""
    damaged: int = 0
    """Lines of the file of dead letters that are none."""


def look(store: StoreSettings) -> Looked:
    """Look at a store, and alter nothing; what keeps it from being read is told in its place."""
    looked = Looked(store)
    try:
        looked.status = admin_of(store).status()
    except StoreError as error:
        looked.error = error
    if store.spool is not None:
        looked.spooled = _spooled(store.spool.path)
    if store.letters is not None:
        damaged: list[int] = []
        try:
            found = letters.read(store.letters, lambda number, _: damaged.append(number))
            looked.refused.update(letter.reason for letter in found)
        except StoreError as error:
            looked.error = looked.error or error
        looked.damaged = len(damaged)
    return looked


def _spooled(folder: str) -> int | None:
    """Return the octets of the segments in a folder, some of which may be done with."""
    try:
        with os.scandir(folder) as found:
            return sum(
                entry.stat(follow_symlinks=False).st_size
                for entry in found
                if SEGMENT_NAME.fullmatch(entry.name)
            )
    except FileNotFoundError:
        return 0
    except OSError:
        return None


# --- for programs --------------------------------------------------------------------------------


def as_json(looked: Sequence[Looked]) -> str:
    """Return an object with all stores."""
    told = {"stores": [_object(each) for each in looked]}
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n"


def _object(looked: Looked) -> dict[str, Any]:
    store, status, spool = looked.store, looked.status, looked.store.spool
    return {
        "name": store.name,
        "scheme": store.scheme,
        "error": None if looked.error is None else _whole(str(looked.error)),
        "version": None if status is None else status.version,
        "layout": None if status is None else status.layout,
        "tables": [
            {
                "name": _whole(table.name),
                "rows": table.rows,
                "octets": table.octets,
                "oldest_us": table.oldest_us,
                "newest_us": table.newest_us,
            }
            for table in (() if status is None else status.tables)
        ],
        "notes": [] if status is None else [_whole(note) for note in status.notes],
        "spool": None if spool is None else {"path": spool.path, "octets": looked.spooled},
        "deadletters": {
            "path": None if store.letters is None else str(store.letters),
            "reasons": dict(looked.refused),
            "damaged": looked.damaged,
        },
    }


def _whole(text: str) -> str:
    """Return text that JSON can hold: names of files may be any octets."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# --- for people ----------------------------------------------------------------------------------

_HEADINGS = ("table", "rows", "octets", "oldest", "newest")


def as_text(looked: Sequence[Looked]) -> str:
    """Return a table for each store: with lines on a terminal, and plain when piped."""
    if not looked:
        return "no stores\n"
    return "\n".join("".join(f"{line}\n" for line in _lines(each)) for each in looked)


def _lines(looked: Looked) -> Iterator[str]:
    store, status = looked.store, looked.status
    yield f"{store.name}: {_what(looked)}"
    if looked.error is not None:
        yield f"  {printable(str(looked.error))}"
    if status is not None and status.tables:
        rows = [_row(table) for table in status.tables]
        yield from _drawn(rows) if sys.stdout.isatty() else _plain(rows)
    for note in () if status is None else status.notes:
        yield f"  {printable(note)}"
    if store.spool is not None:
        octets = "cannot be read" if looked.spooled is None else f"{looked.spooled:,} octets"
        yield f"  spool: {octets} in {store.spool.path}"
    if looked.refused:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in looked.refused.items())
        yield f"  dead letters: {reasons}"
    if looked.damaged:
        yield f"  damaged lines among the dead letters: {looked.damaged:,}"


def _what(looked: Looked) -> str:
    status = looked.status
    parts = [looked.store.shown]
    if status is not None:
        # Of files, whatever is there has the one layout.
        parts += [printable(status.version)] if status.version else []
        parts += [] if status.layout else ["not created yet"]
        if status.layout and looked.store.scheme == "postgres":
            parts[0] = f"a database on Postgres, layout {printable(status.layout)}"
    return ", ".join(parts)


def _row(table: TableStatus) -> tuple[str, ...]:
    return (
        printable(table.name),
        "?" if table.rows is None else f"{table.rows:,}",
        f"{table.octets:,}",
        _time(table.oldest_us),
        _time(table.newest_us),
    )


def _time(time_us: int | None) -> str:
    if time_us is None:
        return "-"
    try:
        moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_us} us"  # a column may hold any number
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield columns that scripts can cut: as wide as they must be, two blanks between them."""
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows):
        cells = [
            cell.rjust(width) if at in {1, 2} else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _drawn(rows: Sequence[tuple[str, ...]]) -> list[str]:
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.table import Table  # noqa: PLC0415 - likewise

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for at, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="right" if at in {1, 2} else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return [f"  {line}" for line in captured.get().splitlines()]
