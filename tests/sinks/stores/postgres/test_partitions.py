"""Partitions by the time of the packet, whatever clocks, zones, agents and other writers do."""

import asyncio
import contextlib
import threading
import time
from datetime import UTC, datetime

import asyncpg
import pgstores
import pytest

from hepsw.config.configuration import Keep
from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres import connection, partitions, schema
from hepsw.sinks.stores.postgres.admin import PostgresAdmin

HOUR = 3600 * pgstores.SECOND
CALL = "hep_proto_1_call"


def names(database, parent=CALL):
    """Return the partitions of a table, that without bounds apart."""
    rows = database.query(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = $1::regclass ORDER BY 1",
        parent,
    )
    return [row["name"] for row in rows if row["name"] != f"{parent}_other"]


def in_partition(database, name):
    """Return how many rows one partition has."""
    return database.value(f"SELECT count(*) FROM ONLY {name}")  # noqa: S608 - a name of ours


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Pacific/Kiritimati"])
def test_names_and_bounds_are_utc(any_database, zone, monkeypatch):
    """Whatever zone the process and the database are in; also when a zone changes its clocks."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        any_database.query(f"ALTER DATABASE {any_database.name} SET timezone = '{zone}'")
        any_database.query(f"ALTER DATABASE {any_database.name} SET datestyle = 'German'")
        # The hour in which clocks go back in St. John's, and Berlin.
        at = datetime(2026, 11, 1, 4, 30, tzinfo=UTC).timestamp()
        at_us = int(at) * pgstores.SECOND
        views = [pgstores.sip(at_us=at_us + number * HOUR // 2) for number in range(6)]
        with pgstores.writer(any_database, partition=3600.0, clock=lambda: at) as store:
            assert not pgstores.write(store, views).misplaced
            assert pgstores.write(store, views).tables == {CALL: 6}
        wanted = [f"{CALL}_20261101_{hour:02}00" for hour in (4, 5, 6, 7)]
        assert names(any_database) == wanted
        assert [in_partition(any_database, name) for name in wanted] == [2, 4, 4, 2]
        assert in_partition(any_database, f"{CALL}_other") == 0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_partitions_are_there_before_they_are_needed(database):
    """The current one and the next, of every table, made by `open` and `tidy`."""
    clock = [1_800_000_000.0]
    with pgstores.writer(database, partition=7200.0, clock=lambda: clock[0]) as store:
        for parent in schema.HOMER7_PARENTS:
            assert len(names(database, parent)) == 2
        clock[0] += 7200
        while store.tidy(int(clock[0]) * pgstores.SECOND):
            pass
        assert names(database) == [f"{CALL}_20270115_{hour:02}00" for hour in (8, 10, 12)]


def test_times_too_far_from_now_fail_no_batch_and_make_no_tables(any_database):
    """They are kept without a partition of their own, and counted: 1970, 2106, and all between."""
    now = pgstores.now_us()
    times = [
        1,
        now - 8 * pgstores.DAY,
        *(number * pgstores.DAY for number in range(1, 200)),
        now + 2 * pgstores.DAY,
        0xFFFFFFFF * pgstores.SECOND + 0xFFFFFFFF,
    ]
    views = [pgstores.sip(at_us=at_us) for at_us in times[:-1]]
    views += [pgstores.sip(time=None, seconds=0xFFFFFFFF, microseconds=0xFFFFFFFF)]
    with pgstores.writer(any_database) as store:
        before = names(any_database)
        written = pgstores.write(store, [*views, *pgstores.calls(3)])
        assert written.tables == {CALL: len(views) + 3}
        assert written.misplaced == {"late": 201, "early": 2}
        assert names(any_database) == before
    assert in_partition(any_database, f"{CALL}_other") == len(views)


def test_small_partitions_have_a_smaller_window(database):
    """So that a clock that runs wild makes no more than a bounded number of tables."""
    now = pgstores.now_us()
    minutes = partitions.MOST_SLOTS + 5
    views = [pgstores.sip(at_us=now + sign * minutes * 60 * pgstores.SECOND) for sign in (-1, 1)]
    with pgstores.writer(database, "hepsw", partition=60.0) as store:
        assert pgstores.write(store, views).misplaced == {"late": 1, "early": 1}


def test_a_late_packet_has_its_partition_while_it_is_kept(database):
    """Thirty days are kept, so twenty days ago is a time as any other."""
    at_us = pgstores.now_us() - 20 * pgstores.DAY
    keep = Keep(profiles=(("call", 30 * 86400.0), ("default", 86400.0)))
    views = [pgstores.sip(at_us=at_us), pgstores.sip(at_us=at_us, method="OPTIONS")]
    with pgstores.writer(database, keep=keep) as store:
        assert pgstores.write(store, views).misplaced == {"late": 1}
    assert in_partition(database, f"{CALL}_other") == 0
    assert in_partition(database, "hep_proto_1_default_other") == 1


def test_one_batch_makes_a_bounded_number_of_partitions(database):
    """What has none of its own yet waits for it among the others, and moves there later."""
    now = pgstores.now_us()
    views = [pgstores.sip(at_us=now - number * 60 * pgstores.SECOND) for number in range(150)]
    with pgstores.writer(database, "hepsw", partition=60.0) as store:
        counts = []
        for _ in range(4):
            assert pgstores.write(store, views).misplaced == {}
            counts.append(in_partition(database, "hepsw_packets_other"))
    assert counts[0] > 0
    assert counts[-1] == 0
    assert pgstores.all_rows(database, "hepsw_packets") == 600


@pytest.mark.parametrize("layout", ["homer7", "hepsw"])
def test_rows_move_into_a_partition_that_is_made_later(any_database, layout):
    """None is lost, none is there twice."""
    table = {"homer7": CALL, "hepsw": "hepsw_packets"}[layout]
    clock = [time.time()]
    ahead = int(clock[0] * pgstores.SECOND) + 3 * pgstores.DAY
    with pgstores.writer(any_database, layout, clock=lambda: clock[0]) as store:
        assert pgstores.write(store, [pgstores.sip(at_us=ahead)] * 5).misplaced == {"early": 5}
        clock[0] += 3 * 86400
        assert pgstores.write(store, [pgstores.sip(at_us=ahead)]).misplaced == {}
    assert in_partition(any_database, f"{table}_other") == 0
    assert pgstores.all_rows(any_database, table) == 6


def test_two_writers_make_the_same_partitions_at_once(database):
    """Both write all they have, in the partitions that either made."""
    now = pgstores.now_us()
    errors = []

    def work(first):
        try:
            with pgstores.writer(database, "hepsw", partition=60.0) as store:
                for number in range(20):
                    at_us = now - number * 60 * pgstores.SECOND
                    pgstores.write(store, pgstores.calls(5, first=first, at_us=at_us))
        except Exception as error:  # noqa: BLE001 - told by the thread that asserts
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert pgstores.all_rows(database, "hepsw_packets") == 300


async def _reader(url, entered, leave):
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.fetch(f"SELECT count(*) FROM {CALL}")  # noqa: S608 - a constant
    entered.set()
    await asyncio.to_thread(leave.wait)
    await transaction.rollback()
    await connection.close()


def test_a_long_reader_keeps_no_batch_waiting(database):
    """Its rows are kept without a partition until the reader is done."""
    at_us = pgstores.now_us() - 3 * pgstores.DAY
    entered, leave = threading.Event(), threading.Event()
    clock = [time.time()]
    with pgstores.writer(database, clock=lambda: clock[0]) as store:
        thread = threading.Thread(target=asyncio.run, args=(_reader(database.url, entered, leave),))
        thread.start()
        assert entered.wait(30)
        try:
            assert pgstores.write(store, [pgstores.sip(at_us=at_us)]).tables == {CALL: 1}
            assert in_partition(database, f"{CALL}_other") == 1
        finally:
            leave.set()
            thread.join()
        clock[0] += 120
        assert pgstores.write(store, [pgstores.sip(at_us=at_us)]).tables == {CALL: 1}
        assert in_partition(database, f"{CALL}_other") == 0


def test_partitions_of_other_programs_are_used(database):
    """Those that heplify-server made: other names, other widths."""
    now = pgstores.now_us()
    with pgstores.writer(database, partition=86400.0):
        pass
    day = now // pgstores.DAY * pgstores.DAY - 4 * pgstores.DAY
    since, until = (f"to_timestamp({(day + add) // pgstores.SECOND})" for add in (0, 6 * HOUR))
    bounds = database.query(f"SELECT {since}::text AS since, {until}::text AS until")[0]
    database.query(
        f"CREATE TABLE theirs PARTITION OF {CALL}"
        f" FOR VALUES FROM ('{bounds['since']}') TO ('{bounds['until']}')"
    )
    with pgstores.writer(database, partition=86400.0) as store:
        views = [pgstores.sip(at_us=day + HOUR), pgstores.sip(at_us=day + 8 * HOUR)]
        assert pgstores.write(store, views).tables == {CALL: 2}
    assert in_partition(database, "theirs") == 1
    assert in_partition(database, f"{CALL}_other") == 1


def test_a_partition_is_named_after_its_beginning():
    """In UTC, as HOMER writes it."""
    assert partitions.name_of("hep_proto_5_default", 1_800_000_000 * pgstores.SECOND) == (
        "hep_proto_5_default_20270115_0800"
    )


@pytest.mark.parametrize("order", ["", "raw varchar, "])
def test_a_partition_without_bounds_may_have_any_name(any_database, order):
    """An operator's own is used, whatever the order of its columns; rows move out of it as well."""
    with pgstores.writer(any_database):
        pass
    any_database.query(f"DROP TABLE {CALL}_other")
    if order:
        any_database.query(
            "CREATE TABLE theirs (raw varchar NOT NULL, id bigint NOT NULL, sid varchar NOT NULL,"
            " create_date timestamptz NOT NULL, protocol_header jsonb NOT NULL,"
            " data_header jsonb NOT NULL)"
        )
        any_database.query(f"ALTER TABLE {CALL} ATTACH PARTITION theirs DEFAULT")
    else:
        any_database.query(f"CREATE TABLE theirs PARTITION OF {CALL} DEFAULT")
    at_us = pgstores.now_us() + 3 * pgstores.DAY
    clock = [time.time()]
    with pgstores.writer(any_database, clock=lambda: clock[0]) as store:
        assert pgstores.write(store, [pgstores.sip(at_us=at_us)]).misplaced == {"early": 1}
        assert in_partition(any_database, "theirs") == 1
        clock[0] += 3 * 86400
        assert pgstores.write(store, [pgstores.sip(at_us=at_us)]).misplaced == {}
    assert in_partition(any_database, "theirs") == (2 if order else 0)
    assert pgstores.all_rows(any_database) == 2
    assert PostgresAdmin(pgstores.settings(any_database)).init() == ["all was there"]
    notes = PostgresAdmin(pgstores.settings(any_database)).status().notes
    assert len(notes) == (1 if order else 0)


def test_indexes_of_a_partition_are_called_as_homer_calls_them(any_database):
    """So heplify-server finds those that it would make; each is a part of the parent's."""
    with pgstores.writer(any_database):
        pass
    partition = names(any_database)[0]
    rows = any_database.query(
        "SELECT indexrelid::regclass::text AS name, EXISTS (SELECT FROM pg_inherits"
        " WHERE inhrelid = indexrelid) AS is_part FROM pg_index WHERE indrelid = $1::regclass",
        partition,
    )
    found = {row["name"].strip('"'): row["is_part"] for row in rows}
    assert found == {f"{partition}_{name}": True for name in schema.indexes_of(CALL)}


def test_a_partition_that_takes_too_long_to_make_keeps_no_batch_waiting(database, monkeypatch):
    """Beside too many rows that would have to move there it is not made; nothing else is amiss."""
    monkeypatch.setattr(partitions, "MAKE_SECONDS", 0.2)
    at_us = pgstores.now_us() + 3 * pgstores.DAY
    clock = [time.time()]
    with pgstores.writer(database, clock=lambda: clock[0]) as store:
        pgstores.write(store, [pgstores.sip(at_us=at_us)] * 5)
        database.query(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(30); RETURN OLD; END'"
        )
        database.query(
            f"CREATE TRIGGER slow BEFORE DELETE ON {CALL}_other"
            " FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        clock[0] += 3 * 86400
        assert pgstores.write(store, [pgstores.sip(at_us=at_us)]).tables == {CALL: 1}
    with pgstores.writer(database, clock=lambda: clock[0]):
        assert in_partition(database, f"{CALL}_other") == 6


def test_a_lock_on_one_partition_is_no_lock_on_the_store(any_database):
    """While somebody rewrites an old one, a writer opens, writes, and looks what is old."""
    old = pgstores.now_us() - 3 * pgstores.DAY
    with pgstores.writer(any_database) as store:
        pgstores.write(store, [pgstores.sip(at_us=old)])
    with (
        locked(any_database, names(any_database)[0]),
        pgstores.writer(any_database) as store,
    ):
        assert pgstores.write(store, pgstores.calls(1)).tables == {CALL: 1}
        store.tidy(pgstores.now_us())


def test_a_lock_on_a_table_is_told(any_database, monkeypatch):
    """The server says what is in the way; when it is gone the batch is written."""
    monkeypatch.setitem(connection.SESSION, "lock_timeout", "300ms")
    given = pgstores.batch(pgstores.calls(2))
    with pgstores.writer(any_database) as store:
        with locked(any_database, CALL), pytest.raises(StoreError) as caught:
            store.write(given, lambda _: None)
        assert caught.value.what == "locked"
        store.close()
        store.open()
        assert not store.write(given, lambda _: None).was_known
    assert pgstores.all_rows(any_database) == 2


@contextlib.contextmanager
def locked(database, table):
    """Have somebody keep a table for himself."""
    entered, leave = threading.Event(), threading.Event()

    async def hold():
        other = await asyncpg.connect(database.url)
        try:
            await other.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            entered.set()
            await asyncio.to_thread(leave.wait)
        finally:
            other.terminate()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    try:
        assert entered.wait(30)
        yield
    finally:
        leave.set()
        thread.join()
