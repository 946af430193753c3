"""A SQLite file read back: each packet the view it was, whatever is in it, and whoever wrote it."""

import os
import sqlite3
import struct
import tracemalloc
from contextlib import closing, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_files import (
    ARRIVAL_US,
    HOSTILE,
    PEER,
    batch,
    compressed,
    hep3,
    keep_in,
    locked,
    query,
    sip,
    some,
    taken,
    vectors,
    view,
    writing,
)

from hepsw.errors import StoreError
from hepsw.hep import decode
from hepsw.recall import sqlite as recall_sqlite
from hepsw.recall.sqlite import SqliteArchive
from hepsw.sinks.stores.sqlite import file as sqlite_file
from hepsw.view import Peer, View

EVER = (0, 1 << 62)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "packets?.db"


@pytest.fixture
def pages(monkeypatch):
    """Pages are so short that every test turns some."""
    monkeypatch.setattr(recall_sqlite, "CHUNK", 7)


def all_of(file):
    """Return all that a file holds, none of it damaged."""
    with closing(SqliteArchive(file)) as archive:
        views = list(archive.scan(*EVER))
        assert archive.damaged == 0
        return views


def in_order(views):
    """Return views as a store gives them back: by time, then as they were stored."""
    return sorted(
        views,
        key=lambda each: each.received_us if each.packet.time_us is None else each.packet.time_us,
    )


@pytest.mark.usefixtures("pages")
def test_every_vector_comes_back_equal(file):
    """Frame, peer, arrival, and whether a rule resumed it as SIP; all versions."""
    views = [view(packet, n, resumed=n % 3 == 0) for n, packet in enumerate(vectors())]
    keep_in(file, views)
    assert all_of(file) == in_order(views)
    for each, was in zip(all_of(file), in_order(views), strict=True):
        assert each.packet.version == was.packet.version
        assert each.packet.payload == was.packet.payload
        assert each.packet.time_us == was.packet.time_us


PEERS = st.builds(
    Peer,
    ip=st.binary(min_size=4, max_size=4) | st.just(bytes(15) + b"\1"),
    port=st.integers(0, 65_535),
    transport=st.sampled_from(["udp", "tcp", "tls"]),
    local_ip=st.just(bytes([127, 0, 0, 1])) | st.binary(min_size=16, max_size=16),
    local_port=st.integers(0, 65_535),
    listener=st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    name=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
TEXTS = (
    st.sampled_from(HOSTILE)
    | st.binary(max_size=20)
    | st.text(max_size=10).map(lambda text: text.encode("utf-8", "surrogatepass"))
)


@st.composite
def views_of_anything(draw):
    call, user = draw(TEXTS), draw(TEXTS)
    data = hep3(
        x0009=struct.pack("!I", draw(st.integers(0, 3))),
        x000b=bytes([draw(st.sampled_from([1, 5, 53, 100]))]),
        x0011=draw(TEXTS),
        x0013=draw(TEXTS),
        x000f=b"INVITE sip:%b@x SIP/2.0\r\nCall-ID: %b\r\nFrom: <sip:%b@y>\r\n\r\n"
        % (user, call, user),
    )
    return View(
        decode(data),
        draw(PEERS),
        draw(st.integers(0, 1 << 60)),
        resumed=draw(st.booleans()),
    )


@given(views=st.lists(views_of_anything(), min_size=1, max_size=12))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_whatever_a_packet_says_is_read_back_verbatim(tmp_path_factory, views):
    """Quotes, NULs, backslashes, SQL, and octets that are no text, in every field."""
    file = tmp_path_factory.mktemp("any") / "packets.db"
    keep_in(file, views, columns=[("own", "{sip.from_user}{node_name}")])
    assert all_of(file) == in_order(views)
    with closing(SqliteArchive(file)) as archive:
        for each in views:
            # By the field that rules and people name it by, of whatever octets it is.
            call = each.sip.call_id if each.sip is not None else None
            call = call or each.packet.correlation_id.rstrip(b"\0")
            assert each in archive.of_calls([call], 1000)
            assert each in archive.of_calls([each.packet.correlation_id.rstrip(b"\0")], 1000)


@pytest.mark.usefixtures("pages")
def test_scan_of_a_time(file):
    """The first moment is within, the last is not; also of many packets at one moment."""
    views = [sip(number, call=b"%d-%d" % (number, n)) for number in range(5) for n in range(20)]
    keep_in(file, views[::-1])
    with closing(SqliteArchive(file)) as archive:
        span = ARRIVAL_US + 1, ARRIVAL_US + 4
        found = list(archive.scan(*span))
        assert [each.packet.time_us - ARRIVAL_US for each in found] == [1] * 20 + [2] * 20 + [
            3
        ] * 20
        assert {each.packet.data for each in found} == {each.packet.data for each in views[20:80]}
        assert archive.count(*span) == 60
        assert list(archive.scan(ARRIVAL_US, ARRIVAL_US)) == []
        assert list(archive.scan(ARRIVAL_US + 4, ARRIVAL_US)) == []
        assert archive.count(ARRIVAL_US + 5, ARRIVAL_US) == 0
        assert len(list(archive.scan(-(1 << 70), 1 << 70))) == archive.count(-(1 << 70), 1 << 70)


def test_count_of_many_is_an_estimate(file, monkeypatch):
    """Beyond some it is told by the numbers of the rows: never less than was counted."""
    monkeypatch.setattr(recall_sqlite, "COUNTED", 10)
    keep_in(file, some(1000))
    with closing(SqliteArchive(file)) as archive:
        assert archive.count(*EVER) == 1000
        assert archive.count(ARRIVAL_US + 100, ARRIVAL_US + 300) == 200
        assert archive.count(ARRIVAL_US + 100, ARRIVAL_US + 109) == 9
        query(file, "DELETE FROM packets WHERE id % 2")
        assert 500 <= archive.count(*EVER) <= 1000


def test_packets_of_calls(file):
    """By Call-ID and by correlation id, each once, oldest first, whatever else is there."""
    views = [
        sip(0, call=b"a"),
        sip(1, call=b"b", correlation_id="a"),
        sip(2, call=b"c", correlation_id="c"),
        view(hep3(x0011=b"b\0", x000b=b"\x05"), 3),
        sip(4, call=b"d"),
    ]
    keep_in(file, views[::-1])
    with closing(SqliteArchive(file)) as archive:
        assert archive.of_calls([b"a"], 1000) == views[:2]
        assert archive.of_calls([b"b", b"a"], 1000) == [views[0], views[1], views[3]]
        assert archive.of_calls({b"c"}, 1000) == [views[2]]
        assert archive.of_calls([b"e", b"", b"' OR 1=1 --", b"\xff"], 1000) == []
        assert archive.of_calls([], 1000) == []
        many = [b"x%d" % n for n in range(2000)] + [b"d"]
        assert archive.of_calls(many, 1000) == [views[4]]
        assert archive.of_calls([b"b", b"a"], 2) == [views[0], views[1]]
        assert [archive.number_of(b"a", most) for most in (1, 2, 3)] == [1, 2, 2]
        assert archive.number_of(b"e", 1) == 0


def test_call_that_is_no_text_is_found(file):
    """Octets that are not UTF-8 are looked for as what they are."""
    views = [view(hep3(x0011=text), n) for n, text in enumerate(HOSTILE)]
    keep_in(file, views)
    with closing(SqliteArchive(file)) as archive:
        for text, each in zip(HOSTILE, views, strict=True):
            assert archive.of_calls([text], 1000) == [each]


@pytest.mark.usefixtures("pages")
def test_reader_and_writer_do_not_wait_for_each_other(file, monkeypatch):
    """A scan goes on while batches are written; no read transaction is left open meanwhile."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.01)
    with writing(file) as writer:
        writer.write(batch(some(100)), taken)
        with closing(SqliteArchive(file)) as archive:
            scan = archive.scan(*EVER)
            seen = [next(scan)]
            writer.write(batch(some(100, first=100)), taken)
            # Nobody reads: the log can be emptied.
            assert query(file, "PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
            with locked(file):  # a writer in the middle of a batch
                seen += scan
            assert seen == some(200)
            assert list(archive.scan(*EVER)) == some(200)


def test_memory_stays_flat(file):
    """A scan holds one page of rows, however many there are."""
    with writing(file) as writer:
        for first in range(0, 3000, 500):
            views = [
                view(hep3(x000f=os.urandom(8000)), number) for number in range(first, first + 500)
            ]
            writer.write(batch(views), taken)
    with closing(SqliteArchive(file)) as archive:
        tracemalloc.start()
        try:
            assert sum(1 for _ in archive.scan(*EVER)) == 3000
            assert tracemalloc.get_traced_memory()[1] < 14 << 20
        finally:
            tracemalloc.stop()


# --- files that are not what they should be ------------------------------------------------------


def test_reading_what_is_not_there(tmp_path):
    """A command that asks for a missing file is told so, and makes none."""
    with pytest.raises(StoreError, match="No such file") as error:
        SqliteArchive(tmp_path / "none.db")
    assert error.value.what == "file"
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="nothing was stored"):
        SqliteArchive(tmp_path / "empty.db")
    (tmp_path / "text.db").write_text("[[listen]]")
    with pytest.raises(StoreError, match="not a SQLite file"):
        SqliteArchive(tmp_path / "text.db")
    with pytest.raises(StoreError) as error:
        SqliteArchive(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"empty.db", "text.db"}


@pytest.mark.parametrize("version", [1, 3])
def test_other_schemas_are_told(file, version):
    """Both numbers are in the message."""
    keep_in(file, some(1))
    query(file, f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=f"has schema {version}, this hepsw .* schema 2"):
        SqliteArchive(file)


@pytest.mark.parametrize(
    "edit",
    [
        "frame = x''",
        "frame = x'4845503300'",
        "frame = zeroblob(100000000)",
        "frame = frame || frame",
        "frame = 'HEP3'",
        "frame = 5",
        "received_us = 1.5",
        "peer_ip = 'nowhere'",
        "peer_ip = NULL",
        "peer_ip = x'ff'",
        "local_ip = 1",
        "peer_port = 'http'",
        "peer_transport = NULL",
        "listener = CAST(x'ff' AS TEXT)",
        "peer_name = CAST(x'fffe' AS TEXT)",
        "peer_name = x'ff'",
    ],
)
def test_row_that_hepsw_did_not_write_is_left_out(file, edit):
    """It is counted; its neighbours are read."""
    keep_in(file, some(5))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"UPDATE packets SET {edit} WHERE correlation_id = 'call-2'")  # noqa: S608 - our own
        connection.commit()
    with closing(SqliteArchive(file)) as archive:
        assert list(archive.scan(*EVER)) == [*some(2), *some(2, first=3)]
        assert archive.damaged == 1
        assert archive.of_calls([b"call-2"], 1000) == []
        assert archive.damaged == 2


def test_table_that_is_a_trap(file):
    """A view that never ends, a table that lacks columns: told, not run."""
    keep_in(file, some(1))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE packets RENAME TO real")
        connection.execute(
            "CREATE VIEW packets AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 "
            "FROM n) SELECT id, id AS at_us, id AS received_us FROM n"
        )
        connection.commit()
    with pytest.raises(StoreError, match="no table packets"):
        SqliteArchive(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP VIEW packets")
        connection.execute("CREATE TABLE packets (id INTEGER PRIMARY KEY, at_us)")
        connection.commit()
    with closing(SqliteArchive(file)) as archive:
        with pytest.raises(StoreError, match="no such column") as error:
            list(archive.scan(*EVER))
        assert error.value.what == "schema"


@given(at=st.integers(0, 1 << 20), octets=st.binary(min_size=1, max_size=40))
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
def test_damaged_file_never_ends_a_reader(tmp_path_factory, at, octets):
    """Whatever octets are wrong: views, rows that are left out, or an error that is ours."""
    file = tmp_path_factory.mktemp("damaged") / "packets.db"
    file.write_bytes(whole(tmp_path_factory))
    content = bytearray(file.read_bytes())
    at %= len(content)
    content[at : at + len(octets)] = octets
    file.write_bytes(content)
    with suppress(StoreError), closing(SqliteArchive(file)) as archive:
        archive.count(*EVER)
        assert sum(1 for _ in archive.scan(*EVER)) <= 1000
        archive.of_calls([b"call-1", b"a"], 1000)


_whole = {}


def whole(tmp_path_factory):
    """Return a file with some of everything."""
    if not _whole:
        file = tmp_path_factory.mktemp("whole") / "packets.db"
        keep_in(file, [*some(30), *(sip(n, call=b"a") for n in range(30)), view(compressed(5000))])
        _whole["octets"] = file.read_bytes()
    return _whole["octets"]


def test_peer_is_made_once(file):
    """Views of one peer share it."""
    keep_in(file, some(10))
    assert len({id(each.peer) for each in all_of(file)}) == 1
    assert all_of(file)[0].peer == PEER
