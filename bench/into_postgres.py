"""Rows into PostgreSQL, as HOMER 7 reads them.

    python bench/into_postgres.py FILE URL

is the other side, in a process of its own: the packets of FILE as rows, over and over, by asyncpg's
COPY into tables that hepsw made, with their indexes, in batches like hepsw's. It prints the seconds
that took.

The server is the tests' (`tests/databases.py`), on the core of generator and script. It is as
durable as PostgreSQL is by itself, for both. Its own housekeeping is off, which would come in one
round and not in another, and it notes when what was committed.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from programs import HERE
from relay import Bench
from store import BATCH_ROWS, ROWS, Rows, views
from traffic import START
from works import PAYLOAD, Work, chunks, conf, hepsw, later, sip

sys.path.append(str(HERE.parent / "tests"))

SETTINGS: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "autovacuum": "off",
    "track_commit_timestamp": "on",
}
PARENTS: Final = "SELECT relname FROM pg_class WHERE relkind = 'p' AND relname ~ '^hep_proto'"
COUNT: Final = (
    "SELECT count(*), extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8 FROM {}"
)


@cache
def sip_of_today() -> list[bytes]:
    """Return the SIP of the traffic as captured just now, or it would all be too old."""
    return [later(frame, int(time.time()) - START, 0) for frame in sip()]


def missing() -> str:
    """Return what has to be installed; empty where there is a server."""
    from databases import SERVERS, binaries  # noqa: PLC0415 - the tests' own, found by now

    return "" if any(map(binaries, SERVERS)) else "PostgreSQL"


class Postgres:
    """The medium: databases of one server, one after another."""

    work = Work(
        "postgres",
        "SIP rows into PostgreSQL",
        hepsw,
        conf("postgres.toml"),
        sip_of_today,
        arrives=lambda _frame: (),
    )
    title = "SIP into PostgreSQL"
    other = "COPY"
    least = 0.8

    def __init__(self) -> None:
        self.needs = missing()
        self._server: Any = None

    @contextmanager
    def running(self, _bench: Bench) -> Iterator[None]:
        """Run the server; it is on the core that we are on."""
        import databases  # type: ignore[import-not-found] # noqa: PLC0415 - found by the path above

        which = next(filter(databases.binaries, databases.SERVERS))
        with databases.Postgres(which, **SETTINGS) as self._server:
            yield

    @contextmanager
    def fresh(self, _folder: Path) -> Iterator["Database"]:
        """Make a database, and leave nothing for the next round to write."""
        database = self._server.create()
        self._server.query("CHECKPOINT")
        try:
            with asyncio.Runner() as runner, closing(Database(database, runner)) as opened:
                yield opened
        finally:
            database.drop()

    def kept(self, frame: bytes) -> bytes:
        """The payload."""
        return chunks(frame)[PAYLOAD]


class Database:
    """One database."""

    def __init__(self, database: Any, runner: asyncio.Runner) -> None:  # noqa: ANN401 - the tests' are without types
        import asyncpg  # noqa: PLC0415 - the bench works without it, if PostgreSQL is not measured

        self.url = database.url
        self._run = runner.run
        self._connection = self._run(asyncpg.connect(self.url))

    def close(self) -> None:
        """Let go of it."""
        self._connection.terminate()

    def other_side(self, traffic: Path) -> Sequence[str]:
        """This module as a program."""
        return [sys.executable, __file__, str(traffic), self.url]

    def mark(self) -> int:
        """How many rows have been numbered, be they committed or not."""
        ((found,),) = self._ask(
            "SELECT coalesce(sum(last_value), 0)::bigint FROM pg_sequences"
            " WHERE sequencename ~ '^hep_proto'"
        )
        return int(found)

    def rows(self, _seen: float) -> Rows:
        """Ask the server when it committed what is there."""
        count, last = 0, 0.0
        for (name,) in self._ask(PARENTS):
            ((rows, at),) = self._ask(COUNT.format(name))
            count, last = count + rows, max(last, at or 0.0)
        return Rows(count, last)

    def first(self, count: int) -> Iterator[bytes]:
        """The payloads of the table that most of them are in."""
        found = self._ask("SELECT raw FROM hep_proto_1_call ORDER BY id LIMIT $1", count)
        for (raw,) in found:
            yield raw.encode()

    def _ask(self, sql: str, *values: object) -> Any:  # noqa: ANN401 - asyncpg has no types
        return self._run(self._connection.fetch(sql, *values))


def write(file: Path, url: str) -> float:
    """Write rows that are made before; return the seconds of the writing."""
    from hepsw.concealed import Concealed  # noqa: PLC0415 - only this side needs it
    from hepsw.config.configuration import StoreSettings  # noqa: PLC0415 - as above
    from hepsw.config.models import Batch  # noqa: PLC0415 - as above
    from hepsw.sinks.stores.postgres.connection import connect  # noqa: PLC0415 - as above
    from hepsw.sinks.stores.postgres.layout import layout_of  # noqa: PLC0415 - as above
    from hepsw.sinks.stores.postgres.loop import OwnLoop  # noqa: PLC0415 - as above
    from hepsw.sinks.stores.postgres.writer import PostgresWriter  # noqa: PLC0415 - as above
    from hepsw.sinks.stores.profile import profile_of  # noqa: PLC0415 - as above

    settings = StoreSettings(
        "homer",
        "postgres",
        Path(),
        Batch(rows=BATCH_ROWS),
        Concealed(url.encode()),
        layout="homer7",
    )
    writer = PostgresWriter(settings)
    writer.open()
    writer.close()
    layout = layout_of(settings)
    made = []
    for view in views(file):
        profile = profile_of(view)
        row = layout.row(view, layout.at_us(view), profile, set())
        made.append((layout.parent_of(profile), row))
    rows = list(islice(cycle(made), ROWS))
    batches = []
    for start in range(0, ROWS, BATCH_ROWS):
        batch = defaultdict(list)
        for parent, row in rows[start : start + BATCH_ROWS]:
            batch[parent].append(row)
        batches.append(batch)

    async def copy() -> float:
        connection = await connect(url, "ready-made")
        began = time.perf_counter()
        for batch in batches:
            async with connection.transaction():
                for parent, of_parent in batch.items():
                    await connection.copy_records_to_table(
                        parent, records=of_parent, columns=layout.columns
                    )
        seconds = time.perf_counter() - began
        connection.terminate()
        return seconds

    loop = OwnLoop()
    try:
        return loop.run(copy())
    finally:
        loop.close()


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), sys.argv[2]))
