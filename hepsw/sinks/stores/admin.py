"""What the commands `hepsw store …` ask of a store, apart from the daemon.

Everything blocks, and works beside a daemon that writes to the same store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class TableStatus(NamedTuple):
    """One table, or one file."""

    name: str
    rows: int | None
    """None where counting would read everything; an estimate for databases."""
    octets: int
    oldest_us: int | None
    newest_us: int | None
    """Capture times, microseconds since the epoch."""


@dataclass(slots=True)
class Status:
    """What a store holds."""

    version: str
    """Of the program behind it: `PostgreSQL 15.4`, `SQLite 3.40.1`; empty for files."""
    layout: str
    """`homer7`, `hepsw`, or the kind of file; empty where nothing was created yet."""
    tables: Sequence[TableStatus] = ()
    notes: Sequence[str] = field(default_factory=list)
    """What an operator should know, a sentence each: tables that are missing, rights."""


class Admin(Protocol):
    """The far end of `hepsw store`; each method may raise `StoreError`."""

    def sql(self) -> Sequence[str]:
        """Return the statements that `init` runs, without asking anybody; none for files."""
        ...

    def init(self) -> Sequence[str]:
        """Create what is missing; return what was done, a line each."""
        ...

    def status(self) -> Status:
        """Look, and alter nothing."""
        ...
