"""What is kept how long: partitions are dropped, rows without a partition are deleted.

`tidy` of the writer does one short step at a time, between batches. A step that needs a table for
itself waits a second for those who read it, then gives way and comes back a minute later. Meanwhile
others are dropped: one reader, or one partition of somebody else's, does not fill the disk.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from hepsw.sinks.stores.postgres import answers, schema
from hepsw.sinks.stores.postgres.layout import moment
from hepsw.sinks.stores.postgres.partitions import LOCK_SECONDS, SECOND_US, look
from hepsw.sinks.stores.postgres.trouble import state_of

if TYPE_CHECKING:
    from hepsw.config.configuration import Keep
    from hepsw.sinks.stores.postgres.connection import Connection
    from hepsw.sinks.stores.postgres.layout import Layout
    from hepsw.sinks.stores.postgres.partitions import Partition, Partitions

log = logging.getLogger("hepsw.sinks")

PAUSE_US: Final = 60 * SECOND_US
"""Between two looks at what is too old."""
LEDGER_DAYS: Final = 7
"""For how long a batch is remembered, by the server's clock: longer than anybody tries one."""
SPOOL_DAYS: Final = 90
"""The same for one out of a spool: a machine that was switched off asks for it when it is back."""
STEP_ROWS: Final = 2000
"""Rows deleted at a time."""

_IN_THE_WAY: Final = frozenset({"55P03", "57014", "40P01"})
_NOT_OURS: Final = "42501"

_SIZES: Final = (
    "SELECT name, coalesce(pg_total_relation_size(to_regclass(name)), 0) AS octets "
    "FROM unnest($1::text[]) AS asked (name)"
)


class Retention:
    """Keeps one store as small as its settings ask for."""

    def __init__(self, layout: Layout, keep: Keep, partitions: Partitions) -> None:
        self._layout = layout
        self._keep = keep
        self._partitions = partitions
        self._next_us = 0
        self._not_before: dict[str, int] = {}
        """Partitions that could not be dropped, with the time to try again."""
        self._told: set[str] = set()
        """Those of them that are somebody else's."""
        self._clean: set[tuple[str, str]] = set()
        """Names of partitions, with profiles, of which nothing old is left."""

    async def step(self, connection: Connection, now_us: int) -> bool:
        """Do one step; return whether there is more to do now."""
        if now_us < self._next_us:
            return False
        if await self._partitions.ahead(connection, now_us):
            return True
        found = await look(connection, self._layout.parents)
        try:
            more = (
                await self._drop_old(connection, found, now_us)
                or await self._delete_old(connection, found, now_us)
                or await self._shrink(connection, found, now_us)
                or await self._forget(connection)
            )
        except Exception as error:
            if state_of(error) not in _IN_THE_WAY:
                raise
            more = False
        if not more:
            self._next_us = now_us + PAUSE_US
        return more

    # By age

    def _kept_us(self, parent: str) -> int | None:
        """Return how long the longest kept profile of a table is kept; None: for ever."""
        kept = [self._keep.of(profile) for profile in self._layout.parents[parent]]
        seconds = [value for value in kept if value is not None]
        return int(max(seconds) * SECOND_US) if len(seconds) == len(kept) else None

    async def _drop_old(self, connection: Connection, found: list[Partition], now_us: int) -> bool:
        for partition in found:
            kept = self._kept_us(partition.parent)
            if kept is None or partition.upper_us > now_us - kept:
                continue
            if await self._drop(connection, partition, now_us):
                return True
        return False

    async def _drop(self, connection: Connection, partition: Partition, now_us: int) -> bool:
        """Drop a partition if that may be done and tried; return whether it was tried."""
        name = partition.name
        if not partition.is_ours or self._not_before.get(name, 0) > now_us:
            return False
        self._not_before = {n: at for n, at in self._not_before.items() if at > now_us}
        try:
            await self._alone(connection, f"DROP TABLE IF EXISTS {name}")
        except Exception as error:
            state = state_of(error)
            if state not in _IN_THE_WAY and state != _NOT_OURS:
                raise
            self._not_before[name] = now_us + PAUSE_US
            if state == _NOT_OURS and name not in self._told:
                self._told.add(name)
                log.warning("%s is old and cannot be dropped: %s", name, error)
        return True

    async def _alone(self, connection: Connection, statement: str) -> None:
        """Run a statement that needs a table for itself."""
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            await connection.execute(statement)
        await self._partitions.load(connection)

    async def _delete_old(
        self, connection: Connection, found: list[Partition], now_us: int
    ) -> bool:
        """Delete some rows of a profile that a partition holds longer than they are kept."""
        self._clean &= {
            (partition.name, profile)
            for partition in found
            for profile in self._layout.parents[partition.parent]
        }
        for partition in found:
            whole = self._kept_us(partition.parent)
            for profile in self._layout.parents[partition.parent]:
                kept = self._keep.of(profile)
                if kept is None:
                    continue
                until_us = now_us - int(kept * SECOND_US)
                is_dropped_whole = whole is not None and whole == int(kept * SECOND_US)
                if not partition.is_other and (is_dropped_whole or partition.lower_us >= until_us):
                    continue
                if (partition.name, profile) in self._clean:
                    continue
                if await self._delete(connection, partition, profile, until_us):
                    return True
                if not partition.is_other and partition.upper_us <= until_us:
                    self._clean.add((partition.name, profile))
        return False

    async def _delete(
        self,
        connection: Connection,
        partition: Partition,
        profile: str,
        until_us: int,
    ) -> bool:
        column = schema.quoted(self._layout.time_column)
        condition = f"{column} < $1"
        values: list[Any] = [moment(until_us)]
        if len(self._layout.parents[partition.parent]) > 1:
            condition += " AND profile = $2"
            values.append(profile)
        done = await connection.execute(
            f"DELETE FROM {partition.name} WHERE ctid = ANY (ARRAY("  # noqa: S608 - names out of the catalogue, quoted by it
            f"SELECT ctid FROM {partition.name} WHERE {condition} LIMIT {STEP_ROWS}))",
            *values,
        )
        return bool(done != "DELETE 0")

    async def _forget(self, connection: Connection) -> bool:
        done = await connection.execute(
            f"DELETE FROM {schema.LEDGER} WHERE key = ANY (ARRAY("  # noqa: S608 - constants
            f"SELECT key FROM {schema.LEDGER} WHERE at < now() - interval '{LEDGER_DAYS} days' "
            f"AND (spool IS NULL OR at < now() - interval '{SPOOL_DAYS} days') LIMIT {STEP_ROWS}))",
        )
        return bool(done == f"DELETE {STEP_ROWS}")

    # By size

    async def _shrink(self, connection: Connection, found: list[Partition], now_us: int) -> bool:
        """Drop the oldest partition while all are too big; never one that is written to now."""
        if self._keep.octets is None:
            return False
        rows = answers.rows(
            await connection.fetch(_SIZES, [partition.name for partition in found]),
            name=str,
            octets=int,
        )
        if sum(row["octets"] for row in rows) <= self._keep.octets:
            return False
        sizes = {row["name"]: row["octets"] for row in rows}
        for partition in sorted(found, key=lambda partition: partition.upper_us):
            if partition.upper_us <= now_us and await self._drop(connection, partition, now_us):
                return True
        # What is left are the current partitions and the rows of wrong times.
        for partition in found:
            if (
                partition.is_other
                and 2 * sizes.get(partition.name, 0) > self._keep.octets
                # Its indexes are never of no size at all.
                and await connection.fetchval(f"SELECT EXISTS (SELECT FROM {partition.name})")  # noqa: S608 - as above
            ):
                log.warning("%s: rows of wrong times took half of what is kept", partition.name)
                await self._alone(connection, f"TRUNCATE {partition.name}")
                return True
        return False
