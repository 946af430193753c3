"""What the two layouts have in common: parents, partitions of them, rows.

`PostgresWriter` and its parts know layouts by this alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.view import View

PG_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01, from which PostgreSQL counts, in microseconds since 1970."""

Row = tuple[Any, ...]
"""The values of a layout's columns: jsonb and inet as they travel, times as `moment` makes them."""


class Layout(Protocol):
    """How packets become rows of which tables."""

    @property
    def name(self) -> str:
        """As `layout` in the configuration says it."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """What COPY is given."""
        ...

    @property
    def time_column(self) -> str:
        """By which parents are partitioned."""
        ...

    @property
    def parents(self) -> Mapping[str, Sequence[str]]:
        """Partitioned tables, with the profiles that are in each."""
        ...

    def statements(self) -> Sequence[str]:
        """Return what creates all but the partitions; each may be run again."""
        ...

    def parent_of(self, profile: str) -> str:
        """Return the table of a profile."""
        ...

    def at_us(self, view: View) -> int:
        """Return the time that a packet is kept under, in microseconds since the epoch."""
        ...

    def row(self, view: View, at_us: int, profile: str, odd: set[str]) -> Row:
        """Return a packet as a row.

        Args:
            view: nobody else's: what it says is read here.
            at_us: of `at_us`.
            profile: of `profile_of`.
            odd: is added what had to be altered.
        """
        ...


def moment(time_us: int) -> tuple[int]:
    """Return a time as the connection's codec for `timestamptz` takes it."""
    return (time_us - PG_EPOCH_US,)


def layout_of(settings: StoreSettings) -> Layout:
    """Return the layout of a store."""
    # The two import what is here.
    from hepsw.sinks.stores.postgres.hepsw_layout import HepswLayout  # noqa: PLC0415 - only one is needed
    from hepsw.sinks.stores.postgres.homer7 import Homer7  # noqa: PLC0415 - likewise

    return Homer7(settings) if settings.layout == "homer7" else HepswLayout(settings)
