"""Batches into real servers: each once, whole but for the rows that a table refuses."""

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading
import time

import asyncpg
import pgstores
import pytest
from databases import PASSWORD, SECRETIVE, Database, Postgres

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres import schema, trouble
from hepsw.sinks.stores.postgres.admin import PostgresAdmin
from hepsw.sinks.stores.writer import Refused

LAYOUTS = ("homer7", "hepsw")
TABLE = {"homer7": "hep_proto_1_call", "hepsw": "hepsw_packets"}
NAME = "hepsw kept"
"""What the server calls the writer's session."""


def nothing_refused(refused):
    """Stand for a store that never has to keep a dead letter."""
    assert not refused


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_is_written_whole(any_database, layout):
    """In one transaction, with its row in the ledger; the tables are those that were announced."""
    views = [*pgstores.vectors(), *pgstores.hostile()]
    given = pgstores.batch(views, spool=b"s" * 16, first=5, last=9)
    with pgstores.writer(any_database, layout) as store:
        meant = store.tables(given)
        written = store.write(given, nothing_refused)
        assert written.tables == meant
        assert meant.total() == len(views)
        assert store.known(b"s" * 16) == [(5, 9)]
        assert store.known(b"t" * 16) == []
    for table, count in meant.items():
        assert pgstores.all_rows(any_database, table) == count
    ledger = any_database.query(f"SELECT * FROM {schema.LEDGER}")  # noqa: S608 - a constant
    assert [(row["key"], row["store"], row["rows"]) for row in ledger] == [
        (given.key, "kept", len(views))
    ]


def test_a_writer_opens_where_all_is_there_already(database):
    """Twice, and beside another; nothing is created a second time."""
    with pgstores.writer(database) as store, pgstores.writer(database) as other:
        store.open()
        store.close()
        store.open()
        pgstores.write(store, pgstores.calls(3))
        pgstores.write(other, pgstores.calls(3))
    assert pgstores.all_rows(database) == 6


def test_two_writers_may_open_an_empty_database_at_once(database):
    """Neither gets into the other's way."""
    errors = []

    def work():
        try:
            with pgstores.writer(database) as store:
                pgstores.write(store, pgstores.calls(10))
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert pgstores.all_rows(database) == 40


# What a table refuses


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("count", "bad"), [(10_000, 4711), (3, 0), (3, 2), (1, 0)])
def test_a_bad_row_costs_itself(any_database, layout, count, bad):
    """One of 10,000 is refused, by at most 30 statements more than a good batch takes."""
    table = TABLE[layout]
    views = pgstores.calls(count)
    column = "sid" if layout == "homer7" else "call"
    with pgstores.writer(any_database, layout) as store:
        good = _statements(store, lambda: pgstores.write(store, views[:1]))
        any_database.query(f"DELETE FROM {table}")  # noqa: S608 - a constant
        any_database.query(
            f"ALTER TABLE {table} ADD CONSTRAINT odd CHECK ({column} <> 'call-{bad}')"
        )
        told = []
        given = pgstores.batch(views)
        poor = _statements(store, lambda: told.append(store.write(given, told.append)))
        refused, written = told
        assert refused == written.refused
        assert [entry[:3] for entry in refused] == [(bad, table, "constraint")]
        assert "odd" in refused[0].why
        assert written.tables == ({table: count - 1} if count > 1 else {})
        assert poor - good <= 30
        again = store.write(given, nothing_refused)
        assert (again.was_known, again.tables, again.refused) == (True, written.tables, refused)
    assert pgstores.all_rows(any_database, table) == count - 1


def _statements(store, work):
    """Return how many statements a writer sends for a piece of work."""
    connection = store._connection
    watched = store._connection = Watched(connection)
    try:
        work()
    finally:
        store._connection = connection
    return len(watched.seen)


class Watched:
    """A connection whose statements are noted; after each, `then` is called with it."""

    def __init__(self, connection, then=lambda _statement: None):
        self.seen = []
        self._connection = connection
        self._then = then

    def __getattr__(self, name):
        found = getattr(self._connection, name)
        if not name.startswith(("execute", "fetch", "copy_")):
            return found

        async def asked(statement, *arguments, **further):
            self.seen.append(statement)
            result = await found(statement, *arguments, **further)
            self._then(statement)
            return result

        return asked


@pytest.mark.parametrize("every", [2, 3, 97])
def test_many_bad_rows_cost_themselves(database, every):
    """Each is named by its place in the batch, whichever table it was for."""
    views = [
        pgstores.sip(number, method=("INVITE", "REGISTER", "OPTIONS")[number % 3 % 2])
        for number in range(600)
    ]
    with pgstores.writer(database) as store:
        for table in ("hep_proto_1_call", "hep_proto_1_registration"):
            database.query(
                f"ALTER TABLE {table} ADD CONSTRAINT odd CHECK (substr(sid, 6)::int % {every} <> 0)"
            )
        written = pgstores.write(store, views)
    assert [entry.at for entry in written.refused] == list(range(0, 600, every))
    kept = database.query(
        "SELECT sid FROM hep_proto_1_call UNION ALL SELECT sid FROM hep_proto_1_registration"
    )
    assert sorted(row["sid"] for row in kept) == sorted(
        f"call-{number}" for number in range(600) if number % every
    )


def test_a_batch_of_bad_rows_alone_is_settled(database):
    """It is in the ledger, and in no table."""
    with pgstores.writer(database) as store:
        database.query("ALTER TABLE hep_proto_1_call ADD CONSTRAINT odd CHECK (sid = '')")
        given = pgstores.batch(pgstores.calls(3))
        written = store.write(given, lambda _: None)
        assert (written.tables, len(written.refused)) == ({}, 3)
        assert store.write(given, nothing_refused).refused == written.refused


def test_what_a_trigger_raises_is_the_row_s_fault(database):
    """As what it refuses by a constraint."""
    with pgstores.writer(database) as store:
        database.query(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.sid = 'call-1' THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;"
            " CREATE TRIGGER refuse BEFORE INSERT ON hep_proto_1_call"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        written = pgstores.write(store, pgstores.calls(3))
    assert [entry[:3] for entry in written.refused] == [(1, "hep_proto_1_call", "raised")]


def test_a_packet_of_which_no_row_can_be_made_is_refused(database, monkeypatch):
    """A bug of ours costs that packet, not its batch."""
    with pgstores.writer(database) as store:
        make = store._layout.row

        def row(view, *arguments):
            if view.packet.correlation_id == b"odd":
                raise RuntimeError("no such row")
            return make(view, *arguments)

        monkeypatch.setattr(store._layout, "row", row)
        views = [*pgstores.calls(2), pgstores.sip(correlation_id=b"odd"), *pgstores.calls(2)]
        told = []
        written = store.write(pgstores.batch(views), told.append)
    why = "RuntimeError: no such row"
    assert told == [[Refused(2, "hep_proto_1_call", "internal-error", why)]]
    assert written.tables == {"hep_proto_1_call": 4}


# The ledger


def test_a_commit_whose_answer_is_lost_is_not_written_twice(database):
    """The batch is recognised; what is told of it is what the first attempt would have told."""
    given = pgstores.batch(pgstores.calls(100))

    def lose(statement):
        if statement == "COMMIT":
            raise ConnectionResetError(104, "Connection reset by peer")

    with pgstores.writer(database) as store:
        store._connection = Watched(store._connection, lose)
        with pytest.raises(StoreError) as caught:
            store.write(given, nothing_refused)
        assert caught.value.what == "connect"
        store.close()
        store.open()
        written = store.write(given, nothing_refused)
    assert (written.was_known, written.tables) == (True, {"hep_proto_1_call": 100})
    assert pgstores.all_rows(database) == 100


def test_an_attempt_that_a_server_is_still_at_is_waited_for(database):
    """The second attempt neither fails nor writes a row, once the first is committed."""
    given = pgstores.batch(pgstores.calls(5))
    with pgstores.writer(database) as store:
        outcome = _while_another_holds(database, store, given, "COMMIT")
    assert outcome.was_known


def test_an_attempt_that_a_server_gives_up_is_made_again(database):
    """What was undone is written by the second attempt."""
    given = pgstores.batch(pgstores.calls(5))
    with pgstores.writer(database) as store:
        outcome = _while_another_holds(database, store, given, "ROLLBACK")
    assert not outcome.was_known
    assert pgstores.all_rows(database) == 5


def test_what_is_known_of_a_spool_includes_what_is_being_committed(database):
    """A session of an earlier life is waited for: its batch would be written twice."""
    given = pgstores.batch(pgstores.calls(5), spool=b"s" * 16, first=4, last=8)

    def ask():
        return store.known(b"s" * 16)

    with pgstores.writer(database) as store:
        assert _while_another_holds(database, store, given, "COMMIT", ask) == [(4, 8)]


def _while_another_holds(database, store, given, end, work=None):
    """Write a batch whose key an open transaction has entered, and end that a moment later."""
    entered = threading.Event()

    async def hold():
        connection = await asyncpg.connect(database.url)
        await connection.execute("BEGIN")
        await connection.execute(
            f"INSERT INTO {schema.LEDGER} (key, store, spool, first, last, rows)"  # noqa: S608 - a constant
            " VALUES ($1, 'kept', $2, $3, $4, 5)",
            given.key,
            given.spool,
            given.first,
            given.last,
        )
        entered.set()
        waits = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = $1 AND wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 30
        while not await connection.fetchval(waits, NAME):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
            # A transaction sees the activity as it was when it first looked.
            await connection.execute("SELECT pg_stat_clear_snapshot()")
        await connection.execute(end)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    assert entered.wait(30)
    try:
        return store.write(given, nothing_refused) if work is None else work()
    finally:
        thread.join()


# Faults


def test_a_session_that_is_ended_in_the_middle_of_copy_costs_an_attempt(postgres, database):
    """Nothing of it is there; the next attempt writes all, once."""
    given = pgstores.batch(pgstores.calls(2000))
    with pgstores.writer(database) as store:
        make = store._layout.row
        made = []

        def row(*arguments):
            made.append(None)
            if len(made) == 1500:
                assert postgres.kill_backends(NAME) == 1
            return make(*arguments)

        store._layout.row = row
        with pytest.raises(StoreError) as caught:
            store.write(given, nothing_refused)
        assert caught.value.what == "connect"
        store.close()
        assert pgstores.all_rows(database) == 0
        store.open()
        assert store.write(given, nothing_refused).tables == {"hep_proto_1_call": 2000}
    assert pgstores.all_rows(database) == 2000


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_that_were_dropped_are_made_again(database, layout):
    """A parent, its partition without bounds, or all of them."""
    table = TABLE[layout]
    with pgstores.writer(database, layout) as store:
        late = pgstores.sip(at_us=1)
        for dropped in (table, f"{table}{schema.OTHER}"):
            database.query(f"DROP TABLE {dropped}")
            assert pgstores.write(store, [*pgstores.calls(2), late]).tables == {table: 3}
            assert pgstores.all_rows(database, f"{table}{schema.OTHER}") == 1
        database.query(f"DROP TABLE {schema.LEDGER}, {table}")
        assert pgstores.write(store, [late]).tables == {table: 1}


def test_rights_that_are_missing_are_told(database):
    """Until somebody grants them."""
    database.query("DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN")
    try:
        with (
            pytest.raises(StoreError) as caught,
            pgstores.writer(database, url=database.url_of("weak")),
        ):
            pass
        assert caught.value.what == "permission"
        with pgstores.writer(database):
            pass
        with pgstores.writer(database, url=database.url_of("weak")) as store:
            with pytest.raises(StoreError) as caught:
                pgstores.write(store, pgstores.calls(1))
            assert caught.value.what == "permission"
            assert "hepsw_ledger" in str(caught.value)
            database.query("GRANT ALL ON ALL TABLES IN SCHEMA public TO weak")
            database.query("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO weak")
            store.close()
            store.open()
            # It may not make tables: rows of a time without a partition are kept all the same.
            views = [pgstores.sip(at_us=pgstores.now_us() - 3 * pgstores.DAY), pgstores.sip()]
            assert pgstores.write(store, views).tables == {"hep_proto_1_call": 2}
        assert pgstores.all_rows(database, "hep_proto_1_call_other") == 1
    finally:
        database.query("DROP OWNED BY weak; DROP ROLE weak")


def test_a_database_that_is_read_only_is_told(database):
    """And written to once it is not."""
    with pgstores.writer(database) as store:
        given = pgstores.batch(pgstores.calls(2))
        for state in ("on", "off"):
            database.server.query(
                f"ALTER DATABASE {database.name} SET default_transaction_read_only = {state}"
            )
            store.close()
            store.open()
            if state == "on":
                with pytest.raises(StoreError) as caught:
                    store.write(given, nothing_refused)
                assert caught.value.what == "read-only"
        assert store.write(given, nothing_refused).tables == {"hep_proto_1_call": 2}


def test_tables_of_another_shape_or_a_later_hepsw_are_left_alone(database):
    """It says so, and alters nothing."""
    database.query("CREATE TABLE hep_proto_1_call (id int)")
    with pgstores.writer(database, "hepsw"):
        pass
    with pytest.raises(StoreError, match="no partitioned table"), pgstores.writer(database):
        pass
    database.query(f"COMMENT ON TABLE {schema.LEDGER} IS 'hepsw schema 2'")
    with pytest.raises(StoreError, match="later hepsw"), pgstores.writer(database, "hepsw"):
        pass


def test_a_server_that_crashes_or_stands_still_loses_nothing():
    """Every batch is there once, whatever the server did while it was written."""
    views = [pgstores.calls(200, first=200 * number) for number in range(8)]
    with Postgres() as server:
        database = server.create()
        with pgstores.writer(database) as store:
            for number, part in enumerate(views):
                given = pgstores.batch(part)
                fault = (None, "immediate", "fast", "pause")[number % 4]
                if fault == "pause":
                    server.pause()
                elif fault:
                    server.stop(fault)
                errors = []
                ends = _after(0.3, server, fault)
                _until_written(store, given, errors)
                ends.join()
                assert bool(errors) == (fault in {"immediate", "fast"})
        assert pgstores.all_rows(database) == 1600
        assert database.value("SELECT count(DISTINCT sid) FROM hep_proto_1_call") == 1600


def _after(seconds, server, fault):
    """Mend what was done to a server, in a moment."""

    def mend():
        time.sleep(seconds)
        if fault == "pause":
            server.resume()
        elif fault:
            server.start()

    thread = threading.Thread(target=mend)
    thread.start()
    return thread


def _until_written(store, given, errors):
    """Do what a store does: close, wait, open, and try again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            store.open()
            store.write(given, nothing_refused)
        except StoreError as error:
            errors.append(error)
            assert time.monotonic() < deadline
            store.close()
            time.sleep(0.05)
        else:
            return


def test_the_password_is_never_said(database):
    """Neither where the server refuses it nor where the url cannot be read."""
    database.query(f"DROP ROLE IF EXISTS {SECRETIVE}")
    database.query(f"CREATE ROLE {SECRETIVE} LOGIN PASSWORD '{PASSWORD}'")
    try:
        wrong = [
            (database.url_of(SECRETIVE, "s3cret-wrong"), "login"),
            ("postgres://u:s3cret-wrong/x@127.0.0.1/db", "login"),
            ("postgres://u:s3cret-wrong@127.0.0.1:1/db", "connect"),
            (database.url_of(SECRETIVE, "s3cret-wrong") + "x", "login"),
        ]
        for url, what in wrong:
            with pytest.raises(StoreError) as caught, pgstores.writer(database, url=url):
                pass
            assert "s3cret" not in str(caught.value)
            assert caught.value.what == what
    finally:
        database.query(f"DROP ROLE {SECRETIVE}")


def test_close_may_be_called_at_any_time(database):
    """Before it is open, twice, and after a failure."""
    made = pgstores.PostgresWriter(pgstores.settings(database))
    made.close()
    with pytest.raises(StoreError):
        made.write(pgstores.batch(pgstores.calls(1)), nothing_refused)
    made.open()
    made.close()
    made.close()


def test_columns_of_the_operator_are_added_to_tables_that_are_there(database):
    """Their names are identifiers as they are written, whatever words SQL has."""
    with pgstores.writer(database, "hepsw") as store:
        pgstores.write(store, pgstores.calls(1))
    columns = {"tenant": "{capture_id}", "select": "it's {sip.method}"}
    with pgstores.writer(database, "hepsw", columns=columns) as store:
        pgstores.write(store, pgstores.calls(1))
    rows = database.query('SELECT tenant, "select" FROM hepsw_packets ORDER BY id')
    assert [tuple(row) for row in rows] == [(None, None), ("2001", "it's INVITE")]


def test_a_column_of_the_table_itself_is_no_column_of_the_operator(database):
    """It would hold two things."""
    with pytest.raises(ValueError, match="frame_head"):
        pgstores.PostgresWriter(
            pgstores.settings(database, "hepsw", columns={"frame_head": "{capture_id}"})
        )


def test_views_are_left_as_they_are(database):
    """Others hold them, in threads of theirs."""
    views = pgstores.hostile()
    before = [(view.packet.data, view.packet.inflated) for view in views]
    with pgstores.writer(database) as store:
        pgstores.write(store, views)
    assert before == [(view.packet.data, view.packet.inflated) for view in views]
    assert dataclasses.is_dataclass(views[0].peer)


# Servers that will not do


@pytest.mark.parametrize(("encoding", "is_taken"), [("SQL_ASCII", True), ("LATIN1", False)])
def test_a_database_whose_encoding_lacks_characters_is_refused(postgres, encoding, is_taken):
    """One that looks at no character takes them all; in one of few, packets would be lost."""
    name = f"in_{encoding.lower()}"
    postgres.query(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'")
    database = Database(postgres, name)
    try:
        if is_taken:
            views = pgstores.hostile()
            with pgstores.writer(database) as store:
                written = store.write(pgstores.batch(views), nothing_refused)
            assert written.tables.total() == len(views)
        else:
            with pytest.raises(StoreError, match=encoding) as caught, pgstores.writer(database):
                pass
            assert caught.value.what == "encoding"
    finally:
        database.drop()


def test_the_encoding_of_the_session_is_ours(database):
    """Whatever the url asks for: packets have all characters."""
    with pgstores.writer(database, url=database.url + "?client_encoding=latin1") as store:
        store.write(pgstores.batch(pgstores.hostile()), nothing_refused)


def _message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


@pytest.mark.parametrize(
    ("answer", "what", "why"),
    [
        (
            _message(b"R", bytes(4))
            + _message(b"S", b"server_version\x0010.23\0")
            + _message(b"Z", b"I"),
            "old",
            "PostgreSQL 10 is too old: 11 or later",
        ),
        (_message(b"R", b"\0\0\0\x05"), "connect", "what answers is no PostgreSQL"),
    ],
    ids=["old", "none"],
)
def test_a_server_that_is_too_old_or_none_is_refused(answer, what, why):
    """With a sentence, whatever it answers."""
    nothing_but = _message(b"E", b"SERROR\0C0A000\0Mno\0\0") + _message(b"Z", b"I")

    def serve():
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(30)
            accepted.recv(4096)
            accepted.sendall(answer)
            with contextlib.suppress(OSError):
                while accepted.recv(4096):
                    accepted.sendall(nothing_but)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        url = f"postgres://u:s3cret@127.0.0.1:{port}/x?sslmode=disable"
        with pytest.raises(StoreError, match=why) as caught, pgstores.writer(None, url=url):
            pass
        thread.join(30)
    assert caught.value.what == what


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("sslmode=require", "rejected SSL"),
        ("sslmode=verify-full", "root certificate file"),
        ("sslmode=some", "`sslmode` parameter"),
        ("target_session_attrs=read-only", "target_session_attrs"),
    ],
)
def test_what_a_url_asks_for_in_vain_is_told(database, asked, why, monkeypatch, tmp_path):
    """Rather than done without."""
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"{database.url}?{asked}"
    with pytest.raises(StoreError, match=why), pgstores.writer(database, url=url):
        pass


def test_a_session_that_ends_while_tables_are_made_costs_an_attempt(any_database):
    """The state says what happened; the next attempt makes what is missing."""
    any_database.query(
        "CREATE FUNCTION die() RETURNS event_trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END'"
    )
    any_database.query(
        "CREATE EVENT TRIGGER die ON ddl_command_end WHEN TAG IN ('CREATE INDEX')"
        " EXECUTE FUNCTION die()"
    )
    with pytest.raises(StoreError, match="terminat") as caught, pgstores.writer(any_database):
        pass
    assert caught.value.what == "connect"
    any_database.query("DROP EVENT TRIGGER die")
    with pgstores.writer(any_database) as store:
        pgstores.write(store, pgstores.calls(3))
    assert pgstores.all_rows(any_database) == 3


def test_status_tells_which_rights_are_missing(database):
    """Of the partition without bounds as well, rather than none of the rest."""
    with pgstores.writer(database):
        pass
    role = f"reader_{database.name}"
    database.query(f"CREATE ROLE {role} LOGIN")
    try:
        database.query(f"GRANT SELECT, INSERT ON hep_proto_1_call TO {role}")
        asked = pgstores.settings(database, url=database.url_of(role))
        notes = PostgresAdmin(asked).status().notes
        assert "no right to read hep_proto_1_call_other" in notes
        assert "no right to read hep_proto_5_default" in notes
    finally:
        database.query(f"DROP OWNED BY {role}")
        database.query(f"DROP ROLE {role}")


def test_status_tells_what_a_crash_would_cost(database):
    """A server that says that a commit lasts before it does."""
    with pgstores.writer(database):
        pass
    database.query(f"ALTER DATABASE {database.name} SET synchronous_commit = off")
    notes = PostgresAdmin(pgstores.settings(database)).status().notes
    assert [note for note in notes if note.startswith("synchronous_commit is off")]


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:hun%2Fter+x@h/d",
        "postgres://u@h/d?sslmode=require&password=hun%2Fter+x",
        "postgres://h/d?sslpassword=hun%2Fter+x",
    ],
)
def test_a_password_is_known_wherever_it_stands(url):
    """As it is written and as it is meant, whoever repeats it."""
    for written in ("hun%2Fter+x", "hun/ter+x", "hun/ter x" if "?" in url else "hun/ter+x"):
        told = trouble.translated(OSError(f"bad {written} here"), trouble.secrets_of(url))
        assert "ter" not in str(told)
