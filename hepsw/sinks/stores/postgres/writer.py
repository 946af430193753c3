"""`PostgresWriter`: batches into PostgreSQL, each once, whatever becomes of server and network.

The thread of a store calls it (`stores.writer`); it has a loop and one connection of its own. A
batch is one transaction, which begins with a row in the ledger: a batch whose commit was never
heard of finds its row there, and an attempt that a server is still at is waited for. Then rows are
copied, table by table; what a table refuses is found and left out.

A connection that failed is thrown away, never closed in good order: that would wait for the far
side.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres import answers, schema, trouble
from hepsw.sinks.stores.postgres.connection import Connection, connect
from hepsw.sinks.stores.postgres.copying import Rows, copy
from hepsw.sinks.stores.postgres.entries import Entries
from hepsw.sinks.stores.postgres.layout import layout_of
from hepsw.sinks.stores.postgres.loop import OwnLoop
from hepsw.sinks.stores.postgres.messages import damaged
from hepsw.sinks.stores.postgres.partitions import DDL_LOCK, SECOND_US, Partitions
from hepsw.sinks.stores.postgres.retention import Retention
from hepsw.sinks.stores.writer import Refused, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.postgres.entries import Sorted
    from hepsw.sinks.stores.postgres.layout import Layout
    from hepsw.sinks.stores.writer import Batch

T = TypeVar("T")

ATTEMPTS: Final = 2
"""At one batch: the second after tables that were missing have been created."""

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_ENTER: Final = (
    f"INSERT INTO {schema.LEDGER} (key, store, spool, first, last, rows) "  # noqa: S608 - a constant
    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true"
)
_ENTERED: Final = f"SELECT refused::text FROM {schema.LEDGER} WHERE key = $1"  # noqa: S608 - as above
_REFUSED: Final = f"UPDATE {schema.LEDGER} SET refused = $2 WHERE key = $1"  # noqa: S608 - as above
_KNOWN: Final = f"SELECT first, last FROM {schema.LEDGER} WHERE spool = $1 ORDER BY first"  # noqa: S608 - as above
_MISSING: Final = (
    "SELECT name FROM unnest($1::text[]) AS asked (name) WHERE to_regclass(name) IS NULL"
)
_COLUMNS: Final = (
    "SELECT attname::text AS name FROM pg_attribute "
    "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
)
_WITHOUT_OTHER: Final = (
    "SELECT c.relname::text AS name, t.partrelid IS NULL AS is_plain "
    "FROM unnest($1::text[]) AS asked (name) "
    "JOIN pg_class c ON c.oid = to_regclass(name) "
    "LEFT JOIN pg_partitioned_table t ON t.partrelid = c.oid "
    "WHERE coalesce(t.partdefid, 0) = 0"
)
_COMMENT: Final = "SELECT obj_description(to_regclass($1), 'pg_class')"


class PostgresWriter:
    """A `Writer` of one database.

    Args:
        settings: of the store.
        clock: seconds since the epoch.
    """

    def __init__(self, settings: StoreSettings, clock: Callable[[], float] = time.time) -> None:
        if settings.url is None:
            raise ValueError(f"store `{settings.name}` has no url")
        self._url = settings.url.reveal().decode()
        self._secrets = trouble.secrets_of(self._url)
        self._name = settings.name
        self._clock = clock
        self._layout: Layout = layout_of(settings)
        keep = {
            parent: [settings.keep.of(profile) for profile in profiles]
            for parent, profiles in self._layout.parents.items()
        }
        self._partitions = Partitions(
            self._layout.time_column,
            settings.partition,
            {
                parent: int(max((s or 0 for s in kept), default=0) * SECOND_US)
                for parent, kept in keep.items()
            },
        )
        self._retention = Retention(self._layout, settings.keep, self._partitions)
        self._loop: OwnLoop | None = None
        self._connection: Connection | None = None
        self._entries = Entries(self._layout)

    # What a store asks for

    def open(self) -> None:
        """See `Writer`."""
        if self._connection is None:
            self._run(self._open())

    def known(self, spool: bytes) -> Sequence[tuple[int, int]]:
        """See `Writer`."""
        return self._run(self._known(spool))

    def tables(self, batch: Batch) -> Counter[str]:
        """See `Writer`."""
        found = self._entries.sort(batch)
        return Counter({table: len(entries) for table, entries in found.tables.items()})

    def write(self, batch: Batch, give_up: Callable[[Sequence[Refused]], None]) -> Written:
        """See `Writer`."""
        written = self._run(self._write_beside(batch, self._entries.sort(batch), give_up))
        self._entries.forget()
        return written

    def tidy(self, now_us: int) -> bool:
        """See `Writer`."""
        return self._run(self._retention.step(self._connected(), now_us))

    def close(self) -> None:
        """See `Writer`."""
        connection, self._connection = self._connection, None
        loop, self._loop = self._loop, None
        self._entries.close()
        if connection is not None:
            connection.terminate()
        if loop is not None:
            loop.close()

    # Opening

    async def _open(self) -> None:
        connection = await connect(self._url, f"hepsw {self._name}")
        try:
            await self._create(connection)
            await self._partitions.load(connection)
            await self._partitions.ahead(connection, self._now_us())
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def _create(self, connection: Connection) -> None:
        """Create what is missing; ask for no rights if nothing is."""
        parents = list(self._layout.parents)
        await self._check_version(connection)
        asked = await connection.fetch(_MISSING, [schema.LEDGER, *parents])
        missing = set(answers.values(asked, str))
        there = [parent for parent in parents if parent not in missing]
        if not await self._lacking(connection, there) and not missing:
            return
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({DDL_LOCK})")
            for statement in self._layout.statements():
                await connection.execute(statement)

    async def _lacking(self, connection: Connection, parents: list[str]) -> list[str]:
        """Return what tables that are there still lack: columns, or a partition without bounds."""
        lacking = []
        told = await connection.fetch(_WITHOUT_OTHER, parents)
        for row in answers.rows(told, name=str, is_plain=bool):
            if row["is_plain"]:
                raise StoreError(f"{row['name']} is there, and is no partitioned table", "schema")
            lacking.append(row["name"])
        for parent in parents:
            found = answers.values(await connection.fetch(_COLUMNS, parent), str)
            lacking += [f"{parent}.{name}" for name in self._layout.columns if name not in found]
        return lacking

    async def _check_version(self, connection: Connection) -> None:
        comment = answers.value(await connection.fetchval(_COMMENT, schema.LEDGER) or "", str)
        version = comment.removeprefix("hepsw schema ")
        if version.isdecimal() and len(version) < 9 and int(version) > schema.VERSION:
            raise StoreError(f"tables of a later hepsw: schema {version}", "schema")

    # Writing

    async def _write_beside(
        self, batch: Batch, found: Sorted, give_up: Callable[[Sequence[Refused]], None]
    ) -> Written:
        """Write a batch, and have the rows of the next one made beside it."""
        ahead = asyncio.ensure_future(self._entries.make_ahead(batch.coming()))
        try:
            return await self._write(batch, found, give_up)
        finally:
            ahead.cancel()
            await asyncio.wait({ahead})  # or it would hold on to its packets until the next batch

    async def _write(
        self, batch: Batch, found: Sorted, give_up: Callable[[Sequence[Refused]], None]
    ) -> Written:
        connection = self._connected()
        misplaced = await self._prepare(connection, found)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                written = await self._attempt(connection, batch, found, give_up)
            except Exception as error:
                if attempt == ATTEMPTS or not trouble.is_missing(error):
                    raise
                await connection.execute("ROLLBACK")
                await self._create(connection)
                await self._partitions.load(connection)
                await self._prepare(connection, found)
            else:
                written.misplaced = misplaced
                return written
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self,
        connection: Connection,
        batch: Batch,
        found: Sorted,
        give_up: Callable[[Sequence[Refused]], None],
    ) -> Written:
        await connection.execute(_BEGIN)
        is_new = await connection.fetchval(
            _ENTER,
            batch.key,
            self._name,
            batch.spool,
            batch.first,
            batch.last,
            len(batch.views),
        )
        if is_new is None:
            recorded = await connection.fetchval(_ENTERED, batch.key)
            await connection.execute("ROLLBACK")
            return _known_already(found, recorded)
        written = Written()
        refused: list[Refused] = []
        for table, entries in found.tables.items():
            rows = Rows(table, entries, self._entries.row)
            await copy(connection, rows, self._layout.columns, len(entries))
            refused += rows.refused
            written.altered.update(rows.altered)
            if rows.count:
                written.tables[table] = rows.count
        if refused:
            written.refused = sorted(refused)
            recorded = orjson.dumps([tuple(entry) for entry in written.refused])
            await connection.execute(_REFUSED, batch.key, b"\x01" + recorded)
        give_up(written.refused)
        await connection.execute("COMMIT")
        return written

    async def _prepare(self, connection: Connection, found: Sorted) -> Counter[str]:
        """Make the partitions that a batch asks for; return its rows outside of all of them."""
        partitions = self._partitions
        width = partitions.width_us
        now_us = self._now_us()
        misplaced: Counter[str] = Counter()
        wanted: Counter[tuple[str, int]] = Counter()
        for table, entries in found.tables.items():
            since, until = partitions.window(table, now_us)
            slots: Counter[int] = Counter()
            for _, entry in entries:
                at_us = entry.at_us
                if since <= at_us < until:
                    slots[at_us // width] += 1
                else:
                    misplaced["late" if at_us < since else "early"] += 1
            for slot, count in slots.items():
                if partitions.lacks(table, slot, now_us):
                    wanted[table, slot] = count
        if wanted:
            await partitions.prepare(
                connection, [place for place, _ in wanted.most_common()], now_us
            )
        return misplaced

    async def _known(self, spool: bytes) -> list[tuple[int, int]]:
        connection = self._connected()
        async with connection.transaction():
            # A session of an earlier life may be about to commit: a server that stood still does
            # what it was told before it hears that nobody is there any more.
            await connection.execute(f"LOCK TABLE {schema.LEDGER} IN SHARE MODE")
            rows = await connection.fetch(_KNOWN, spool)
        return [(row["first"], row["last"]) for row in answers.rows(rows, first=int, last=int)]

    # Running

    def _connected(self) -> Connection:
        if self._connection is None:
            raise StoreError("not connected", "connect")
        return self._connection

    def _now_us(self) -> int:
        return int(self._clock() * SECOND_US)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it in the loop of this thread; every foreign error becomes a `StoreError`."""
        if self._loop is None:
            self._loop = OwnLoop()
        try:
            return self._loop.run(work)
        except StoreError:
            raise
        except trouble.foreign() as error:
            raise trouble.translated(error, self._secrets) from error


def _known_already(found: Sorted, recorded: object) -> Written:
    """Return what became of a batch that an earlier attempt committed.

    Raises:
        StoreError: the ledger says something else.
    """
    written = Written(was_known=True)
    if recorded:
        written.refused = _recorded(recorded, sum(map(len, found.tables.values())))
    for table, entries in found.tables.items():
        count = len(entries) - sum(entry.table == table for entry in written.refused)
        if count:
            written.tables[table] = count
    return written


def _recorded(written: object, packets: int) -> list[Refused]:
    """Return what the ledger has of a batch of so many packets."""
    try:
        found = [Refused(*entry) for entry in orjson.loads(answers.value(written, str))]
    except (ValueError, TypeError):
        raise damaged("a ledger that hepsw did not write") from None
    for at, *texts in found:
        is_position = type(at) is int and 0 <= at < packets
        if not is_position or not all(isinstance(text, str) for text in texts):
            raise damaged("a ledger that hepsw did not write")
    return found
