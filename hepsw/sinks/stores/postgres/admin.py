"""`PostgresAdmin`: what `hepsw store` does with a database, beside a daemon that writes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from hepsw.sinks.stores.admin import Status, TableStatus
from hepsw.sinks.stores.postgres import answers, schema
from hepsw.sinks.stores.postgres.connection import connect
from hepsw.sinks.stores.postgres.layout import PG_EPOCH_US, layout_of
from hepsw.sinks.stores.postgres.loop import OwnLoop
from hepsw.sinks.stores.postgres.partitions import DDL_LOCK
from hepsw.sinks.stores.postgres.trouble import foreign, secrets_of, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.postgres.connection import Connection

T = TypeVar("T")

PATIENCE_SECONDS: Final = 86400.0
"""For an index of tables that another program filled."""

COUNTED: Final = 1000
"""Rows without a partition that are counted one by one."""

_RELATIONS: Final = (
    "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p', 'i', 'I') "
    "AND c.relnamespace = current_schema()::regnamespace"
)
_SIZES: Final = """
SELECT name, to_regclass(name) IS NOT NULL AS is_there,
       has_table_privilege(to_regclass(name), 'INSERT') AS may_insert,
       has_table_privilege(to_regclass(name), 'SELECT') AS may_select,
       (SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(name)) AS rows,
       (SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint FROM pg_inherits i
        WHERE i.inhparent = to_regclass(name)) AS octets
FROM unnest($1::text[]) AS asked (name)
"""
_OTHER: Final = (
    "SELECT partdefid::regclass::text FROM pg_partitioned_table "
    "WHERE partrelid = to_regclass($1) AND partdefid <> 0"
)
_MAY_READ: Final = "SELECT has_table_privilege(to_regclass($1), 'SELECT')"
_MAY_CREATE: Final = "SELECT has_schema_privilege(current_schema(), 'CREATE')"


class PostgresAdmin:
    """An `Admin` of one database."""

    def __init__(self, settings: StoreSettings) -> None:
        if settings.url is None:
            raise ValueError(f"store `{settings.name}` has no url")
        self._url = settings.url.reveal().decode()
        self._name = settings.name
        self._layout = layout_of(settings)

    def sql(self) -> Sequence[str]:
        """See `Admin`."""
        return self._layout.statements()

    def init(self) -> Sequence[str]:
        """See `Admin`."""
        return self._run(self._init)

    def status(self) -> Status:
        """See `Admin`."""
        return self._run(self._status)

    async def _init(self, connection: Connection) -> list[str]:
        before = set(answers.values(await connection.fetch(_RELATIONS), str))
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({DDL_LOCK})")
            for statement in self._layout.statements():
                # Indexes of tables that HOMER filled may take long.
                await connection.execute("SET LOCAL statement_timeout = 0")
                await connection.execute(statement, timeout=PATIENCE_SECONDS)
        after = set(answers.values(await connection.fetch(_RELATIONS), str))
        return [f"created {name}" for name in sorted(after - before)] or ["all was there"]

    async def _status(self, connection: Connection) -> Status:
        version = answers.value(await connection.fetchval("SHOW server_version"), str)
        found = answers.rows(
            await connection.fetch(_SIZES, list(self._layout.parents)),
            name=str,
            is_there=bool,
            may_insert=bool | None,
            may_select=bool | None,
            rows=int,
            octets=int,
        )
        there = [row for row in found if row["is_there"]]
        status = Status(f"PostgreSQL {version}", self._layout.name if there else "")
        notes = [f"{row['name']} is missing" for row in found if not row["is_there"]]
        notes += [
            f"no right to insert into {row['name']}" for row in there if not row["may_insert"]
        ]
        if not await connection.fetchval(_MAY_CREATE):
            notes.append("no right to create tables: partitions cannot be made")
        if await connection.fetchval("SHOW default_transaction_read_only") == "on":
            notes.append("transactions are read-only")
        if await connection.fetchval("SHOW synchronous_commit") == "off":
            notes.append("synchronous_commit is off: a crash of the server loses the last batches")
        tables = []
        for row in there:
            name = row["name"]
            if not row["may_select"]:
                notes.append(f"no right to read {name}")
                tables.append(TableStatus(name, row["rows"], row["octets"], None, None))
                continue
            oldest, newest = await self._span(connection, name)
            tables.append(TableStatus(name, row["rows"], row["octets"], oldest, newest))
            notes += await self._strays(connection, name)
        status.tables = tables
        status.notes = notes
        return status

    async def _strays(self, connection: Connection, table: str) -> list[str]:
        """Return a note if rows have no partition of their own."""
        other = await connection.fetchval(_OTHER, table)
        if other is None:
            return [f"{table}{schema.OTHER} is missing"]
        answers.value(other, str)
        if not await connection.fetchval(_MAY_READ, other):
            return [f"no right to read {other}"]
        count = await connection.fetchval(
            f"SELECT count(*) FROM (SELECT FROM {other} LIMIT {COUNTED}) AS counted"  # noqa: S608 - a name out of the catalogue, quoted by it
        )
        if not answers.value(count, int):
            return []
        written = f"{COUNTED} or more" if count == COUNTED else str(count)
        return [f"{other} holds {written} rows without a partition of their own"]

    async def _span(self, connection: Connection, table: str) -> tuple[int | None, int | None]:
        """Return the first and the last time of a table; by index."""
        column = schema.quoted(self._layout.time_column)
        row = await connection.fetchrow(
            f"SELECT min({column}) AS oldest, max({column}) AS newest FROM {table}"  # noqa: S608 - as above
        )
        ((oldest, newest),) = answers.rows([row or {}], oldest=int | None, newest=int | None)
        return (
            None if oldest is None else oldest + PG_EPOCH_US,
            None if newest is None else newest + PG_EPOCH_US,
        )

    def _run(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Do something with a connection; every foreign error becomes a `StoreError`."""
        loop = OwnLoop()
        try:
            return loop.run(self._with_connection(work))
        except foreign() as error:
            raise translated(error, secrets_of(self._url)) from error
        finally:
            loop.close()

    async def _with_connection(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        connection = await connect(self._url, f"hepsw store {self._name}")
        try:
            return await work(connection)
        finally:
            connection.terminate()
