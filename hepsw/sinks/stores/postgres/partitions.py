"""Partitions: which there are, which a batch needs, and how one is made under the eyes of readers.

A partition holds `width` seconds of UTC, aligned to the epoch, and is named after its beginning, as
HOMER names them: `hep_proto_1_call_20260131_1400`. They are made when a batch asks for them, and
ahead of time.

Every parent has one partition more, without bounds. It takes rows whose time is too far from now,
so that no clock of an agent fails a batch and none makes thousands of tables; and all rows whose
partition could not be made just now, because a long query is in the way or there are no rights.
When the partition is made later, they move there.

Other programs may make partitions of their own: whatever covers a time is left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.sinks.stores.postgres import answers
from hepsw.sinks.stores.postgres.schema import index_statements, quoted
from hepsw.sinks.stores.postgres.trouble import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hepsw.sinks.stores.postgres.connection import Connection

SECOND_US: Final = 1_000_000
DAY_US: Final = 86400 * SECOND_US
MOST_A_BATCH: Final = 64
"""Partitions made for one batch; the rows of further ones go to the partition without bounds."""
MOST_SLOTS: Final = 1000
"""Partitions of one table that packets of the past can ask for, and of the future: an agent whose
clock runs wild makes no more of them."""
LEAST_PAST_US: Final = 7 * DAY_US
"""How late a packet may be and still have its partition, however little is kept."""
MOST_AHEAD_US: Final = DAY_US
AHEAD: Final = 1
"""Partitions made beyond the current one."""
LOCK_SECONDS: Final = 1
"""How long a statement that needs a table for itself waits for readers, who then wait for it."""
MAKE_SECONDS: Final = 5
"""How long one statement may take that makes a partition: beside the many rows of a time long past
or far ahead it would take minutes, in which nothing is written."""
PATIENCE_US: Final = 60 * SECOND_US
"""For how long a partition that could not be made is not tried again."""
PATIENCE_SLOW_US: Final = 600 * SECOND_US
"""The same after one that took too long."""
SLOW: Final = "57014"
DDL_LOCK: Final = 0x6865_7073_77  # "hepsw"
"""The advisory lock under which tables are made: two hepsw do not get into each other's way."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOUNDS: Final = re.compile(r"FROM \('([^']*)'\) TO \('([^']*)'\)")
_EVER: Final = 1 << 62
_CANNOT_NOW: Final = frozenset(
    {
        "55P03",  # a reader is in the way
        SLOW,
        "40P01",  # somebody else was first, and in our way
        "42P07",  # a table has that name
        "42710",  # likewise
        "23505",  # both at once
        "42P17",  # somebody's partition covers a part of that time
        "23514",  # a row came in between that belongs there
        "42501",  # no right to make tables
        "42P16",
        "42804",  # somebody's partition without bounds has its columns in another order
    }
)
"""States after which rows go to the partition without bounds, and all is well otherwise."""

_CATALOGUE: Final = """
SELECT p.relname::text AS parent, c.oid::regclass::text AS name, c.relname::text AS bare,
       -- 0, since a bound names no column: with the table's own id this would wait for its lock.
       pg_get_expr(c.relpartbound, 0) AS bounds, c.oid = t.partdefid AS is_other
FROM pg_class p
JOIN pg_partitioned_table t ON t.partrelid = p.oid
JOIN pg_inherits i ON i.inhparent = p.oid
JOIN pg_class c ON c.oid = i.inhrelid
WHERE p.oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS asked (name))
"""

_MOVE: Final = (
    "WITH moved AS (DELETE FROM {other} WHERE {column} >= '{since}' AND {column} < '{until}' "
    "RETURNING *) INSERT INTO {name} SELECT * FROM moved"
)
_ATTACH: Final = (
    "ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{since}') TO ('{until}')"
)


class Partition(NamedTuple):
    """One partition that is there."""

    lower_us: int
    """Its first microsecond since the epoch; far away where it has no such bound."""
    upper_us: int
    """The first that is not in it."""
    parent: str
    name: str
    """As an identifier in a statement."""
    is_ours: bool
    """Named as hepsw and HOMER name them: what retention may drop."""
    is_other: bool
    """Without bounds: holds what no other does."""


async def look(connection: Connection, parents: Iterable[str]) -> list[Partition]:
    """Return all partitions of some tables, in order of time."""
    found = []
    told = answers.rows(
        await connection.fetch(_CATALOGUE, list(parents)),
        parent=str,
        name=str,
        bare=str,
        bounds=str | None,
        is_other=bool,
    )
    for row in told:
        lower, upper = _bounds(row["bounds"] or "")
        parent = row["parent"]
        is_ours = re.fullmatch(re.escape(parent) + r"_\d{8}_\d{4}", row["bare"]) is not None
        found.append(
            Partition(lower, upper, parent, row["name"], is_ours, is_other=row["is_other"])
        )
    return sorted(found)


def name_of(parent: str, lower_us: int) -> str:
    """Return the name of the partition that begins at a time."""
    moment = _EPOCH + timedelta(microseconds=lower_us)
    return f"{parent}_{moment:%Y%m%d_%H%M}"


class Partitions:
    """The partitions of one store, as far as this process knows.

    Args:
        time_column: what the parents are partitioned by.
        width_s: seconds that one holds; whole minutes, since names go by the minute.
        past_us: for each parent, how old a row may be that gets its partition.
    """

    def __init__(self, time_column: str, width_s: float, past_us: dict[str, int]) -> None:
        self.width_us = max(1, int(width_s // 60)) * 60 * SECOND_US
        self._time_column = time_column
        self._past_us = {parent: max(past, LEAST_PAST_US) for parent, past in past_us.items()}
        self._covered: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._others: dict[str, str] = {}
        """Names of the partitions without bounds, as identifiers."""
        self._not_before: dict[tuple[str, int], int] = {}

    @property
    def parents(self) -> Sequence[str]:
        """All parents."""
        return tuple(self._past_us)

    async def load(self, connection: Connection) -> None:
        """Look what is there."""
        self._covered.clear()
        self._others.clear()
        self._not_before.clear()
        for partition in await look(connection, self._past_us):
            if partition.is_other:
                self._others[partition.parent] = partition.name
            else:
                self._covered[partition.parent].append((partition.lower_us, partition.upper_us))

    def window(self, parent: str, now_us: int) -> tuple[int, int]:
        """Return the times, from and until, whose rows get a partition of their own."""
        most = MOST_SLOTS * self.width_us
        return now_us - min(self._past_us[parent], most), now_us + min(MOST_AHEAD_US, most)

    def lacks(self, parent: str, slot: int, now_us: int) -> bool:
        """Return whether a slot has no partition and it is time to try to make it."""
        lower = slot * self.width_us
        ranges = self._covered[parent]
        at = bisect_right(ranges, (lower, _EVER)) - 1
        if at >= 0 and lower + self.width_us <= ranges[at][1]:
            return False
        return self._not_before.get((parent, slot), -_EVER) <= now_us

    async def prepare(
        self,
        connection: Connection,
        wanted: Iterable[tuple[str, int]],
        now_us: int,
    ) -> int:
        """Make the partitions of slots that lack one; return how many were made.

        What cannot be made now is tried again later; its rows are at home in the partition without
        bounds.

        Args:
            connection: in no transaction.
            wanted: parents and slots, those that matter most first.
            now_us: the time.
        """
        made = 0
        tried = 0
        for parent, slot in wanted:
            if not self.lacks(parent, slot, now_us):
                continue
            tried += 1
            if tried > MOST_A_BATCH:
                break
            made += await self._make(connection, parent, slot, now_us)
        return made

    async def ahead(self, connection: Connection, now_us: int) -> int:
        """Make the current partitions and the next ones; return how many were made."""
        current = now_us // self.width_us
        return await self.prepare(
            connection,
            [
                (parent, slot)
                for slot in range(current, current + AHEAD + 1)
                for parent in self._past_us
            ],
            now_us,
        )

    async def _make(self, connection: Connection, parent: str, slot: int, now_us: int) -> bool:
        lower = slot * self.width_us
        upper = lower + self.width_us
        try:
            async with connection.transaction():
                for statement in self._statements(parent, lower, upper):
                    await connection.execute(statement)
        except Exception as error:
            if state_of(error) not in _CANNOT_NOW:
                raise
            # Perhaps another program made it meanwhile: then it is there from now on.
            for partition in await look(connection, [parent]):
                if not partition.is_other and partition.lower_us <= lower < partition.upper_us:
                    self._add(parent, partition.lower_us, partition.upper_us)
            is_slow = state_of(error) == SLOW
            self._not_before[parent, slot] = now_us + (PATIENCE_SLOW_US if is_slow else PATIENCE_US)
            return False
        self._add(parent, lower, upper)
        return True

    def _add(self, parent: str, lower: int, upper: int) -> None:
        if (lower, upper) not in self._covered[parent]:
            insort(self._covered[parent], (lower, upper))

    def _statements(self, parent: str, lower: int, upper: int) -> list[str]:
        """Return what makes a partition, beside readers of the others.

        Attached it asks for less than made in place, which would need the parent for itself. Its
        indexes become parts of those of the parent, where it has them; made before, they have the
        names that HOMER gives them.
        """
        name = quoted(name_of(parent, lower))
        column = quoted(self._time_column)
        since, until = _text(lower), _text(upper)
        other = self._others.get(parent)
        statements = [
            f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'",
            f"SET LOCAL statement_timeout = '{MAKE_SECONDS}s'",
            f"SELECT pg_advisory_xact_lock({DDL_LOCK})",
            f"CREATE TABLE {name} (LIKE {quoted(parent)} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        ]
        if other is not None:
            statements.append(
                _MOVE.format(name=name, other=other, column=column, since=since, until=until)
            )
        return [
            *statements,
            "; ".join(index_statements(name_of(parent, lower), parent)),
            _ATTACH.format(parent=quoted(parent), name=name, since=since, until=until),
        ]


def _text(time_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=time_us)
    return f"{moment:%Y-%m-%d %H:%M:%S}+00"


def _bounds(written: str) -> tuple[int, int]:
    found = _BOUNDS.search(written)
    if found is None:
        return -_EVER, _EVER
    lower, upper = found.groups()
    return _time_us(lower, -_EVER), _time_us(upper, _EVER)


def _time_us(written: str, otherwise: int) -> int:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return otherwise
    return (moment - _EPOCH) // timedelta(microseconds=1) if moment.tzinfo else otherwise
