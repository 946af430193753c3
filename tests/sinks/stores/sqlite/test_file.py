"""The file itself: whose it is, what becomes of an older one, and who may read it."""

import logging
import sqlite3
import struct
from contextlib import closing
from itertools import pairwise

import pytest
from sqlite_files import (
    batch,
    frames_in,
    frames_of,
    keep_in,
    query,
    settings_of,
    some,
    taken,
    writing,
)

from hepsw.errors import StoreError
from hepsw.sinks.stores.rows import COLUMNS, COMPUTED
from hepsw.sinks.stores.sqlite.admin import SqliteAdmin
from hepsw.sinks.stores.sqlite.schema import (
    APPLICATION_ID,
    INDEXES,
    PAGES,
    SCHEMA_VERSION,
    schema,
)
from hepsw.sinks.stores.sqlite.writer import SqliteWriter


@pytest.fixture
def file(tmp_path):
    return tmp_path / "made" / "on demand" / "packets?.db"


def foreign_sqlite(file):
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE packets (id INTEGER PRIMARY KEY, precious TEXT)")
        connection.execute("INSERT INTO packets (precious) VALUES ('kept')")
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)


def of_schema(file, version):
    """Make a file of ours as another hepsw would have made it."""
    foreign_sqlite(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")


REFUSED = pytest.mark.parametrize(
    ("make", "why", "what"),
    [
        (foreign_sqlite, "a SQLite file, but not one of hepsw's", "foreign"),
        (
            lambda file: of_schema(file, SCHEMA_VERSION + 1),
            f"has schema {SCHEMA_VERSION + 1}",
            "schema",
        ),
        (lambda file: file.write_text("[[listen]]\n"), "not a SQLite file", "foreign"),
        (lambda file: file.write_bytes(b"SQLite format 3\0"), "not one of hepsw's", "foreign"),
    ],
    ids=["foreign", "schema", "text", "cut"],
)


@REFUSED
def test_foreign_file_is_refused_and_not_altered(tmp_path, make, why, what):
    """Whoever asks is told why, and not an octet of it changes."""
    file = tmp_path / "precious.db"
    make(file)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with closing(SqliteWriter(settings_of(file))) as writer:
        for ask in (
            writer.open,
            lambda: writer.write(batch(some(1)), taken),
            lambda: writer.known(b"s" * 16),
            lambda: writer.tidy(0),
            SqliteAdmin(settings_of(file)).init,
            SqliteAdmin(settings_of(file)).status,
        ):
            with pytest.raises(StoreError, match=why) as error:
                ask()
            assert error.value.what == what
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_file_of_an_earlier_schema_is_set_aside(tmp_path, caplog):
    """It keeps all that was in it, its log included, under a name that says what it is."""
    file = tmp_path / "packets.db"
    of_schema(file, 1)
    with closing(sqlite3.connect(file)) as writer:  # killed: the log is all there is of this row
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO packets (precious) VALUES ('in the log')")
        writer.commit()
        copies = [(each, each.read_bytes()) for each in tmp_path.iterdir()]
    for path, octets in copies:
        path.write_bytes(octets)
    assert file.with_name("packets.db-wal").stat().st_size
    with caplog.at_level(logging.WARNING):
        keep_in(file, some(2))
    assert frames_in(file) == frames_of(some(2))
    aside = tmp_path / "packets.db.schema-1"
    assert {each.name for each in tmp_path.iterdir()} == {"packets.db", aside.name}
    assert query(aside, "SELECT precious FROM packets") == [("kept",), ("in the log",)]
    assert query(aside, "PRAGMA integrity_check") == [("ok",)]
    assert f"it is now {aside.name}" in caplog.text
    of_schema(tmp_path / "again.db", 1)
    (tmp_path / "again.db").rename(file)
    keep_in(file, some(1))
    assert query(tmp_path / "packets.db.schema-1.2", "SELECT count(*) FROM packets") == [(1,)]


def test_earlier_schema_in_use_keeps_its_name(tmp_path):
    """An older hepsw that is still writing finds its file; the new one waits for it."""
    file = tmp_path / "packets.db"
    of_schema(file, 1)
    with closing(sqlite3.connect(file)) as older, closing(SqliteWriter(settings_of(file))) as new:
        older.execute("SELECT * FROM packets").fetchall()
        with pytest.raises(StoreError, match="locked") as error:
            new.open()
        assert error.value.what == "locked"
        new.close()
        older.execute("INSERT INTO packets (precious) VALUES ('late')")
        older.commit()
        older.close()
        new.open()
    assert query(tmp_path / "packets.db.schema-1", "SELECT count(*) FROM packets") == [(2,)]


def test_file_that_was_being_made_is_begun_anew(file):
    """A kill within the first commit leaves half a file and the journal that undoes it."""
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in (PAGES, *schema()):
            connection.execute(statement)
    # SQLite's header of a journal: of a file that had no pages, none of which is to be put back.
    journal = bytes.fromhex("d9d505f920a163d7") + struct.pack("!IIIII", 0, 0, 0, 512, 4096)
    file.with_name(f"{file.name}-journal").write_bytes(journal.ljust(512, b"\0"))
    packets = some(3)
    keep_in(file, packets)
    assert frames_in(file) == frames_of(packets)


def test_file_that_cannot_be_made(tmp_path):
    """A path that leads nowhere says what is wrong with it, and is tried again."""
    (tmp_path / "folder").write_text("")
    with closing(SqliteWriter(settings_of(tmp_path / "folder" / "packets.db"))) as writer:
        with pytest.raises(StoreError, match="folder") as error:
            writer.open()
        assert error.value.what == "file"
        writer.close()
        (tmp_path / "folder").unlink()
        writer.open()
        assert writer.write(batch(some(1)), taken).tables == {"packets": 1}


def test_file_that_is_moved_away_is_begun_anew(file):
    """Packets go where the operator looks for them; the old file is whole."""
    old = file.with_name("old.db")
    with writing(file) as writer:
        writer.write(batch(some(3)), taken)
        file.rename(old)
        writer.write(batch(some(2, first=3)), taken)
    assert frames_in(old) == frames_of(some(3))
    assert frames_in(file) == frames_of(some(2, first=3))


def test_file_is_not_for_everybody(file):
    """Calls and passwords are in it; the key of agents is in no column."""
    with writing(file) as writer:
        writer.write(batch(some(1)), taken)
        for each in file.parent.iterdir():
            assert each.stat().st_mode & 0o007 == 0
    assert "auth_key" not in COLUMNS


def test_new_column_of_the_operator_is_added(file):
    """What was stored before has NULL there; a column that is not written any more stays."""
    keep_in(file, some(1), columns=[("one", "1")])
    keep_in(file, some(1), columns=[("two", "{correlation_id}"), ("One", "first")])
    keep_in(file, some(1))
    assert query(file, "SELECT one, two FROM packets ORDER BY id") == [
        ("1", None),
        ("first", "call-0"),
        (None, None),
    ]


@pytest.mark.parametrize("name", ["frame", "AT_US", "id", 'a"b', ""])
def test_name_that_a_column_cannot_have(file, name):
    """The configuration refuses it; were it to come so far, nothing is made of it."""
    with (
        closing(SqliteWriter(settings_of(file, columns=[(name, "x")]))) as writer,
        pytest.raises(StoreError, match="no column") as error,
    ):
        writer.open()
    assert error.value.what == "schema"
    assert not file.exists()


def test_table_that_somebody_altered(file):
    """A column of ours that is missing is told; the packets wait."""
    keep_in(file, some(1))
    query(file, "ALTER TABLE packets RENAME COLUMN vlan TO wlan")
    with (
        closing(SqliteWriter(settings_of(file))) as writer,
        pytest.raises(StoreError, match="no column vlan") as error,
    ):
        writer.open()
    assert error.value.what == "schema"


@pytest.mark.parametrize("spared", [0, 1, 3])
def test_damaged_file_is_told(file, spared):
    """Pages that are no pages: an error that says so, and no crash."""
    keep_in(file, some(500))
    octets = bytearray(file.read_bytes())
    for page in range(1, len(octets) // 4096):
        if page % 4 >= spared:
            octets[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    file.write_bytes(octets)
    with closing(SqliteWriter(settings_of(file))) as writer:
        with pytest.raises(StoreError) as error:
            write_often(writer)
        assert error.value.what == "corrupt"


def write_often(writer):
    for _ in range(100):
        writer.write(batch(some(50)), taken)


@pytest.mark.parametrize(
    "where",
    [
        "at_us > 5 AND at_us < 9",
        "call = 'x'",
        "correlation_id = 'x' AND correlation_id IS NOT call",
        "sip_from_user = 'x'",
        "sip_to_user = 'x'",
        "sip_ruri_user = 'x'",
        "src_ip = '192.0.2.1'",
        "dst_ip = '192.0.2.1'",
        "profile = 'call' AND received_us < 5",
    ],
)
def test_what_is_looked_for_is_found_by_an_index(file, where):
    """No such question reads the whole table."""
    keep_in(file, some(1))
    ((*_, plan),) = query(
        file,
        f"EXPLAIN QUERY PLAN SELECT frame FROM packets WHERE {where}",  # noqa: S608 - our own
    )
    assert plan.startswith("SEARCH packets USING INDEX packets_")


def test_schema_is_what_is_in_the_file(file):
    """`hepsw store sql` shows what is run: the same statements make the same tables."""
    assert SqliteAdmin(settings_of(file, columns=[("own", "x")])).init()[0].endswith("schema 2")
    there = query(file, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in SqliteAdmin(settings_of(file, columns=[("own", "x")])).sql():
            connection.execute(statement)
        made = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        )
        assert made.fetchall() == there
    names = {name for (_, name, *_) in query(file, "PRAGMA table_xinfo(packets)")}
    assert names == {"id", *COLUMNS, *COMPUTED, "own"}
    assert len(there) == 2 + len(INDEXES)
    assert query(file, "PRAGMA auto_vacuum") == [(2,)]


# --- hepsw store --------------------------------------------------------------------------------


def test_init_says_what_it_did(tmp_path):
    """A file made, columns added, an older one set aside; nothing the second time."""
    file = tmp_path / "packets.db"
    assert SqliteAdmin(settings_of(file)).init() == [f"{file} made, with schema 2"]
    assert SqliteAdmin(settings_of(file)).init() == []
    more = SqliteAdmin(settings_of(file, columns=[("own", "x")]))
    assert "column own is missing: `init` adds it" in more.status().notes
    assert more.init() == ["column own added"]
    assert not more.status().notes
    older = tmp_path / "older.db"
    of_schema(older, 1)
    told = SqliteAdmin(settings_of(older)).init()
    assert told == [
        "the file that was there has schema 1 and was set aside",
        f"{older} made, with schema 2",
    ]


def test_status_of_what_is_not_there(tmp_path):
    """Nothing is made by looking; an older file is told of, and left as it is."""
    file = tmp_path / "packets.db"
    status = SqliteAdmin(settings_of(file)).status()
    assert (status.layout, list(status.tables)) == ("", [])
    assert "no such file" in status.notes[0]
    assert not list(tmp_path.iterdir())
    file.touch()
    assert "nothing was stored yet" in SqliteAdmin(settings_of(file)).status().notes[0]
    assert file.stat().st_size == 0
    older = tmp_path / "older.db"
    of_schema(older, 1)
    before = older.read_bytes()
    status = SqliteAdmin(settings_of(older)).status()
    assert "has schema 1" in status.notes[0]
    assert older.read_bytes() == before


def test_status_beside_a_writer(file):
    """Rows, octets and times, while a batch is being written: nobody waits for anybody."""
    with writing(file) as writer:
        assert SqliteAdmin(settings_of(file)).status().tables[0][:2] == ("packets", 0)
        writer.write(batch(some(10)), taken)
        writer._file.begin()
        status = SqliteAdmin(settings_of(file)).status()
        writer._file.roll_back()
        assert status.version == f"SQLite {sqlite3.sqlite_version}"
        assert status.layout == "sqlite"
        ((name, rows, octets, oldest, newest),) = status.tables
        assert (name, rows, newest - oldest) == ("packets", 10, 9)
        sizes = {each.name: each.stat().st_size for each in file.parent.iterdir()}
        assert octets == sizes[file.name] + sizes[f"{file.name}-wal"]


def test_two_writers_share_a_file(file):
    """A reload may leave the old store draining beside the new one: each batch is whole."""
    with writing(file) as old, writing(file) as new:
        for first in range(0, 400, 20):
            old.write(batch(some(10, first)), taken)
            new.write(batch(some(10, first + 10)), taken)
    assert sorted(frames_in(file)) == frames_of(some(400))
    assert all(left < right for left, right in pairwise(frames_in(file)))
