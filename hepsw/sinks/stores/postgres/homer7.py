"""The layout `homer7`: HOMER 7's tables, as heplify-server makes them and homer-app reads them.

Source: heplify-server's `database/postgres.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.sinks.stores.postgres import schema
from hepsw.sinks.stores.postgres.homer7_row import row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.postgres.layout import Row
    from hepsw.view import View


class Homer7:
    """The layout `homer7`."""

    name = "homer7"
    columns = ("sid", "create_date", "protocol_header", "data_header", "raw")
    time_column = "create_date"
    parents = schema.HOMER7_PARENTS

    def __init__(self, settings: StoreSettings) -> None:
        self._further = settings.columns
        self._parent_of = {
            profile: parent for parent, profiles in self.parents.items() for profile in profiles
        }

    def statements(self) -> Sequence[str]:
        """See `Layout`."""
        return schema.homer7_statements()

    def parent_of(self, profile: str) -> str:
        """See `Layout`."""
        return self._parent_of[profile]

    def at_us(self, view: View) -> int:
        """Return the capture time; the time of arrival of a packet without one, or with 0."""
        return view.packet.time_us or view.received_us

    def row(self, view: View, at_us: int, profile: str, odd: set[str]) -> Row:  # noqa: ARG002 - the table says it
        """See `Layout`."""
        return row_of(view, at_us, self._further, odd)
