"""What is kept how long."""

import asyncio
import threading
import time

import asyncpg
import pgstores
import pytest

from hepsw.config.configuration import Keep
from hepsw.sinks.stores.postgres import schema
from hepsw.sinks.stores.postgres.retention import STEP_ROWS

CALL = "hep_proto_1_call"
DAYS = 86400.0


def tidied(store, now_us):
    """Take every step that is due; return how many there were."""
    steps = 1
    while store.tidy(now_us):
        steps += 1
        assert steps < 500
    return steps


def test_old_partitions_are_dropped_by_profile(any_database):
    """Calls are kept longer than registrations here; nothing younger goes."""
    now = pgstores.now_us()
    keep = Keep(profiles=(("call", 6 * DAYS), ("registration", 2 * DAYS)))
    views = [
        pgstores.sip(method=method, at_us=now - age * pgstores.DAY)
        for age in range(7)
        for method in ("INVITE", "REGISTER", "OPTIONS")
    ]
    with pgstores.writer(any_database, keep=keep) as store:
        pgstores.write(store, views)
        tidied(store, now)
        assert pgstores.all_rows(any_database, "hep_proto_1_registration") in {2, 3}
        assert pgstores.all_rows(any_database) in {6, 7}
        assert pgstores.all_rows(any_database, "hep_proto_1_default") == 7
        # A minute later there is nothing more to do.
        assert tidied(store, now + 61 * pgstores.SECOND) == 1
        # A packet of a time whose partition is gone is no trouble.
        pgstores.write(store, views)
    assert pgstores.all_rows(any_database, "hep_proto_1_default") == 14


def test_rows_without_a_partition_are_deleted_when_they_are_old(database):
    """Some at a time."""
    count = STEP_ROWS + 10
    with pgstores.writer(database, keep=Keep(seconds=DAYS)) as store:
        old = pgstores.now_us() - 30 * pgstores.DAY
        pgstores.write(store, [*pgstores.calls(count, at_us=old), *pgstores.calls(2)])
        assert tidied(store, pgstores.now_us()) >= 3
        assert pgstores.all_rows(database) == 2


def test_rows_of_one_table_are_kept_by_profile(database):
    """In the layout with one table, rows go before their partition does."""
    now = pgstores.now_us()
    keep = Keep(profiles=(("call", 5 * DAYS), ("default", 1 * DAYS)))
    views = [
        pgstores.sip(method=method, at_us=now - int(age * pgstores.DAY))
        for age in (0.5, 2.5, 6.5)
        for method in ("INVITE", "OPTIONS")
    ]
    with pgstores.writer(database, "hepsw", keep=keep) as store:
        pgstores.write(store, views)
        tidied(store, now)
    kept = database.query("SELECT profile, at FROM hepsw_packets ORDER BY at DESC, profile")
    assert [row["profile"] for row in kept] == ["call", "default", "call"]


@pytest.mark.parametrize("layout", ["homer7", "hepsw"])
def test_the_oldest_go_when_all_are_too_big(database, layout):
    """By partition, until the rest fits; never the current one."""
    now = pgstores.now_us()
    table = {"homer7": CALL, "hepsw": "hepsw_packets"}[layout]
    with pgstores.writer(database, layout) as store:
        for age in range(6):
            pgstores.write(store, pgstores.calls(300, at_us=now - age * pgstores.DAY))
    size = database.value(
        "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits"
        " JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    )
    with pgstores.writer(database, layout, keep=Keep(octets=size * 3 // 4)) as store:
        tidied(store, now)
    left = database.query(f"SELECT DISTINCT {_time(layout)}::date FROM {table} ORDER BY 1 DESC")  # noqa: S608 - constants
    assert 1 <= len(left) < 6
    with pgstores.writer(database, layout, keep=Keep(octets=1)) as store:
        tidied(store, now)
    assert 300 <= pgstores.all_rows(database, table) <= 600


def _time(layout):
    return {"homer7": "create_date", "hepsw": "at"}[layout]


def test_rows_of_wrong_times_do_not_drive_out_the_others(database):
    """An agent whose clock is wrong fills its own half."""
    with pgstores.writer(database, "hepsw", keep=Keep(octets=1 << 20)) as store:
        far = pgstores.now_us() + 400 * pgstores.DAY
        pgstores.write(store, [*pgstores.calls(3000, at_us=far), *pgstores.calls(10)])
        tidied(store, pgstores.now_us())
    assert pgstores.all_rows(database, "hepsw_packets") == 10


def test_the_ledger_forgets_what_is_a_week_old(database):
    """Nobody tries such a batch again."""
    with pgstores.writer(database) as store:
        given = pgstores.batch(pgstores.calls(1))
        store.write(given, lambda _: None)
        pgstores.write(store, pgstores.calls(1))
        database.query(
            f"UPDATE {schema.LEDGER} SET at = now() - interval '8 days'"  # noqa: S608 - constants
            f" WHERE key = '\\x{given.key.hex()}'"
        )
        tidied(store, pgstores.now_us())
    assert pgstores.all_rows(database, schema.LEDGER) == 1


def test_a_reader_keeps_what_it_reads(database):
    """The partition is dropped when the reader is done; batches go on meanwhile."""
    now = pgstores.now_us()
    entered, leave = threading.Event(), threading.Event()

    async def read():
        connection = await asyncpg.connect(database.url)
        async with connection.transaction():
            await connection.fetch(f"SELECT count(*) FROM {CALL}")  # noqa: S608 - a constant
            entered.set()
            await asyncio.to_thread(leave.wait)
        await connection.close()

    with pgstores.writer(database) as store:
        pgstores.write(store, [pgstores.sip(at_us=now - 5 * pgstores.DAY)])
    with pgstores.writer(database, keep=Keep(seconds=DAYS)) as store:
        thread = threading.Thread(target=asyncio.run, args=(read(),))
        thread.start()
        assert entered.wait(30)
        try:
            began = time.monotonic()
            tidied(store, now)
            assert time.monotonic() - began < 30
            pgstores.write(store, pgstores.calls(1))
            assert pgstores.all_rows(database) == 2
        finally:
            leave.set()
            thread.join()
        tidied(store, now + 61 * pgstores.SECOND)
    assert pgstores.all_rows(database) == 1


def test_the_ledger_remembers_longer_what_came_out_of_a_spool(database):
    """A machine that was switched off for a week asks for it when it is back."""
    with pgstores.writer(database) as store:
        given = pgstores.batch(pgstores.calls(1), spool=b"s" * 16, first=3, last=3)
        store.write(given, lambda _: None)
        database.query(f"UPDATE {schema.LEDGER} SET at = now() - interval '8 days'")  # noqa: S608 - a constant
        tidied(store, pgstores.now_us())
        assert store.known(b"s" * 16) == [(3, 3)]
        database.query(f"UPDATE {schema.LEDGER} SET at = now() - interval '91 days'")  # noqa: S608 - as above
        tidied(store, pgstores.now_us() + 61 * pgstores.SECOND)
        assert store.known(b"s" * 16) == []


@pytest.mark.parametrize("keep", [Keep(seconds=DAYS), Keep(octets=1)])
def test_one_partition_that_cannot_be_dropped_keeps_no_other(database, keep, caplog):
    """Whether somebody reads it or owns it: the disk does not fill up beside it."""
    now = pgstores.now_us()
    role = f"owner_{database.name}"
    database.query(f"CREATE ROLE {role} LOGIN")
    try:
        database.query(f"GRANT ALL ON SCHEMA public TO {role}")
        url = database.url_of(role)
        with pgstores.writer(database, url=url) as store:
            for age in (5, 4, 3):
                pgstores.write(store, [pgstores.sip(at_us=now - age * pgstores.DAY)])
        oldest = database.value(
            "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = $1::regclass",
            CALL,
        )
        database.query(f"ALTER TABLE {oldest} OWNER TO postgres")
        with pgstores.writer(database, url=url, keep=keep) as store:
            tidied(store, now)
        assert pgstores.all_rows(database) == 1
        assert f"{oldest} is old and cannot be dropped" in caplog.text
    finally:
        database.query(f"DROP OWNED BY {role}")
        database.query(f"DROP ROLE {role}")
