"""Batches into a real file: what goes in comes out, once, whatever the disk does."""

import resource
import sqlite3
import time
from contextlib import closing

import pytest
from sqlite_files import (
    HOSTILE,
    batch,
    compressed,
    frames_in,
    frames_of,
    hep3,
    keep_in,
    locked,
    query,
    settings_of,
    some,
    taken,
    vectors,
    view,
    writing,
)

from hepsw.accounting import Reason
from hepsw.errors import StoreError
from hepsw.sinks.stores.rows import make_row, octets_of
from hepsw.sinks.stores.sqlite import file as sqlite_file
from hepsw.sinks.stores.sqlite import retention
from hepsw.sinks.stores.sqlite import writer as sqlite_writer
from hepsw.sinks.stores.sqlite.writer import SqliteWriter

SPOOL = b"spool-of-16-octs"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "packets.db"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """SQLite waits for a lock for so short a time that no test has to."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.01)


class Patient(SqliteWriter):
    """A writer that is asked again until it works, as a store does."""

    def write(self, each, give_up):
        for _ in range(100):
            try:
                self.open()
                return super().write(each, give_up)
            except StoreError as error:
                self.close()
                self.errors.append(error)
        raise self.errors[-1]

    def __init__(self, settings):
        super().__init__(settings)
        self.errors = []


# --- what is kept --------------------------------------------------------------------------------


def payloads(packet):
    """Return the columns `payload` and `compressed_payload` of a packet."""
    carried = packet.compressed_payload
    if carried is None or packet.body_size(0x000F) is not None:
        return packet.payload, None
    inflated = packet.payload
    warning = packet.inflated and packet.inflated.warning
    is_bomb = warning == "inflate-limit" or len(inflated) > 0xFFFF
    return (carried, None) if is_bomb else (inflated, carried)


def test_every_packet_comes_back_byte_for_byte(file):
    """All vectors of all versions: frame, payload and fields read back as they went in."""
    views = [view(packet, n) for n, packet in enumerate(vectors())]
    assert len(views) > 150
    with writing(file) as writer:
        assert writer.tables(batch(views)) == {"packets": len(views)}
        written = writer.write(batch(views), taken)
    assert written.tables == {"packets": len(views)}
    assert not written.was_known
    assert frames_in(file) == frames_of(views)
    rows = query(
        file,
        "SELECT payload, compressed_payload, hep_version, src_ip, dst_port, capture_id, time_us "
        "FROM packets ORDER BY id",
    )
    for each, row in zip(views, rows, strict=True):
        packet = each.packet
        assert row[:2] == payloads(packet)
        assert row[2:] == (
            packet.version,
            None if packet.src_ip is None else str(packet.src_ip),
            packet.dst_port,
            packet.capture_id,
            packet.time_us,
        )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_kept_verbatim(file, text):
    """Whatever a text holds is bound, never read as SQL; the operator's columns as well."""
    columns = [("own", "{node_name}")]
    keep_in(file, [view(hep3(x0011=text, x0013=text))], columns=columns)
    ((correlation_id, node_name, call, own),) = query(
        file, "SELECT correlation_id, node_name, call, own FROM packets"
    )
    assert correlation_id == node_name == call == own
    assert (call.encode() if isinstance(call, str) else call) == text
    assert query(file, "SELECT count(*) FROM packets WHERE call = ?", call) == [(1,)]


def test_text_is_found_without_its_trailing_nuls(file):
    """A column holds what rules compare; the frame still has the NULs."""
    data = hep3(x0011=b"call\0\0")
    keep_in(file, [view(data)])
    assert query(file, "SELECT frame FROM packets WHERE call = ?", "call") == [(data,)]


def test_packet_without_a_time_stands_at_its_arrival(file):
    """`at_us` is the capture time where there is one, else the time of arrival."""
    timed, untimed = view(hep3(x0009=b"\0\0\0\x11")), view(hep3(), 5)
    keep_in(file, [timed, untimed])
    assert query(file, "SELECT time_us, at_us FROM packets ORDER BY id") == [
        (17_000_000, 17_000_000),
        (None, untimed.received_us),
    ]


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 1 << 21])
def test_payload_that_no_frame_could_carry_stays_compressed(file, size):
    """The column takes what HEP could have carried; of a bomb it keeps what travelled."""
    each = view(compressed(size))
    carried = each.packet.compressed_payload
    keep_in(file, [each])
    rows = query(file, "SELECT payload, compressed_payload, inflated FROM packets")
    if size <= 65_535:
        assert rows == [(bytes(size), carried, bytes(size))]
    else:
        assert rows == [(carried, None, None)]


@pytest.mark.parametrize("count", [1, 49, 50, 499, 500, 501, 1234])
def test_batch_of_any_size(file, count):
    """However the rows are spread over statements, each is there once and in its order."""
    keep_in(file, some(count))
    assert frames_in(file) == frames_of(some(count))


def test_many_columns_of_the_operator(file):
    """As many as the configuration allows: statements take fewer rows then."""
    keep_in(file, some(600), columns=[(f"c{n}", f"{{correlation_id}}-{n}") for n in range(64)])
    assert query(file, "SELECT count(*) FROM packets WHERE c63 = correlation_id || '-63'") == [
        (600,)
    ]


def test_rows_in_memory_are_bounded_in_octets(file, monkeypatch):
    """A batch of frames that inflate is made and inserted bit by bit, in one transaction."""
    views = [view(compressed(60_000), number) for number in range(100)]
    limit = 300_000
    monkeypatch.setattr(SqliteWriter, "ROWS_OCTETS", limit)
    with writing(file) as writer:
        insert, held = writer._file.insert, []

        def watching(rows):
            held.append(sum(map(octets_of, rows)))
            assert writer._file._connection.in_transaction
            assert frames_in(file) == []
            return insert(rows)

        writer._file.insert = watching
        writer.write(batch(views), taken)
    assert max(held) < limit + 130_000
    assert sum(held) > 6_000_000
    assert frames_in(file) == frames_of(views)


# --- trouble -------------------------------------------------------------------------------------


def test_locked_file_loses_and_repeats_nothing(file):
    """While another program holds the file nothing is written; afterwards each packet is there."""
    with writing(file) as writer:
        each = batch(some(10))
        with locked(file):
            for _ in range(3):
                with pytest.raises(StoreError, match="locked") as error:
                    writer.write(each, taken)
                assert error.value.what == "locked"
                writer.close()
                writer.open()
        assert not writer.write(each, taken).was_known
    assert frames_in(file) == frames_of(some(10))


in_slices = pytest.mark.parametrize("rows_octets", [SqliteWriter.ROWS_OCTETS, 20_000, 1])
"""A batch whose rows are all in memory at once, a few of them, each by itself."""


@in_slices
def test_full_disk_loses_and_repeats_nothing(file, monkeypatch, rows_octets):
    """A disk that takes no more octets in the middle of a batch: it is written whole later on."""
    monkeypatch.setattr(SqliteWriter, "ROWS_OCTETS", rows_octets)
    views = [view(hep3(x0022=b"%d" % n * 5000), n) for n in range(40)]
    with writing(file) as writer:
        writer.write(batch(views[:20]), taken)
        each = batch(views[20:])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        wal = file.with_name(f"{file.name}-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 10_000, limits[1]))
        try:
            for _ in range(3):
                with pytest.raises(StoreError) as error:
                    writer.write(each, taken)
                assert error.value.what in {"file", "full"}
                writer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        written = writer.write(each, taken)
    assert written.tables == {"packets": 20}
    assert frames_in(file) == frames_of(views)


def test_database_that_is_full(file):
    """SQLite's own word for a disk that is full."""
    with writing(file) as writer:
        writer._file.open().execute("PRAGMA max_page_count = 30")
        with pytest.raises(StoreError) as error:
            writer.write(batch(some(1000)), taken)
        assert error.value.what == "full"
        writer.close()
        assert writer.write(batch(some(1000)), taken).tables == {"packets": 1000}


@in_slices
def test_refused_row_takes_no_neighbour_with_it(file, monkeypatch, rows_octets):
    """A row that SQLite does not take is named before the commit; the rest is stored, once."""
    monkeypatch.setattr(SqliteWriter, "ROWS_OCTETS", rows_octets)
    views = some(1250)
    bad = {150, 157, 499, 500, 1249}
    told = []

    def give_up(refused):
        assert frames_in(file) == []
        told.extend(refused)

    with writing(file) as writer:
        query(
            file,
            "CREATE TRIGGER picky BEFORE INSERT ON packets WHEN NEW.correlation_id IN "
            f"({', '.join(repr(f'call-{n}') for n in bad)}) "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        written = writer.write(batch(views), give_up)
    assert written.tables == {"packets": 1245}
    assert list(written.refused) == told
    assert [each.at for each in told] == sorted(bad)
    assert {each[1:] for each in told} == {("packets", "constraint", "not this one")}
    assert frames_in(file) == frames_of(
        each for number, each in enumerate(views) if number not in bad
    )


@pytest.mark.parametrize("count", [10, 60])
def test_trigger_that_rolls_back_repeats_nothing(file, count):
    """Somebody's trigger may end the transaction: no row lasts by itself, however often tried."""
    packets = some(count)
    with writing(file) as writer:
        writer.write(batch(packets[:1]), taken)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(
                "CREATE TRIGGER theirs BEFORE INSERT ON packets WHEN NEW.received_us = "
                f"{packets[4].received_us} BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
            )
        for _ in range(2):
            with pytest.raises(StoreError, match="rolled back: no"):
                writer.write(batch(packets[1:]), taken)
            writer.close()
    assert len(frames_in(file)) == 1


def test_bug_in_one_row_costs_one_packet(file, monkeypatch, caplog):
    """A packet that our own code fails on is refused as `internal-error`, and logged once."""
    views = some(5)

    def failing(each, further):
        if any(each is bad for bad in views[1:3]):
            raise RuntimeError("a bug")
        return make_row(each, further)

    monkeypatch.setattr(sqlite_writer, "make_row", failing)
    told = []
    with writing(file) as writer:
        written = writer.write(batch(views), told.extend)
    assert written.tables == {"packets": 3}
    assert [each[:3] for each in told] == [(at, "packets", Reason.INTERNAL) for at in (1, 2)]
    assert caplog.text.count("no row could be made") == 1
    assert frames_in(file) == frames_of([views[0], *views[3:]])


def test_batch_that_nobody_waits_for_is_not_committed(file):
    """`give_up` is asked before each commit; what it raises leaves the file as it was."""

    def closed(refused):
        raise StoreError("closed", "closed")

    with writing(file) as writer:
        each = batch(some(5))
        with pytest.raises(StoreError, match="closed"):
            writer.write(each, closed)
        assert frames_in(file) == []
        assert not writer.write(each, taken).was_known
    assert frames_in(file) == frames_of(some(5))


def test_failure_between_two_slices_loses_and_repeats_nothing(file, monkeypatch):
    """What was inserted before the disk failed is rolled back: a batch is whole or not there."""
    monkeypatch.setattr(SqliteWriter, "ROWS_OCTETS", 1)
    views = some(30)
    with writing(file, kind=Patient) as writer:
        insert, inserted = writer._file.insert, []

        def failing(rows):
            inserted.append(len(rows))
            if len(inserted) in {11, 30}:
                raise sqlite3.OperationalError("disk I/O error")
            return insert(rows)

        writer._file.insert = failing
        writer.write(batch(views), taken)
        assert len(writer.errors) == 2
    assert frames_in(file) == frames_of(views)


# --- the ledger ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spool", [None, SPOOL])
def test_commit_that_nobody_heard_of_is_recognised(file, spool):
    """A disk that takes a commit and then fails: the next attempt writes nothing twice."""
    query_refusing = (
        "CREATE TRIGGER picky BEFORE INSERT ON packets WHEN NEW.correlation_id = 'call-3' "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    told = []
    with writing(file) as writer:
        query(file, query_refusing)
        commit = writer._file.commit

        def unheard():
            commit()
            raise sqlite3.OperationalError("disk I/O error")

        writer._file.commit = unheard
        each = batch(some(10), spool)
        with pytest.raises(StoreError):
            writer.write(each, told.extend)
        writer.close()
        del writer._file.commit
        written = writer.write(each, told.extend)
        assert written.was_known
        assert written.tables == {"packets": 9}
        assert [refused.at for refused in written.refused] == [3]
        assert len(told) == 1
        assert not writer.write(batch(some(5, first=10)), taken).was_known
    assert len(frames_in(file)) == 14


def test_batch_is_known_in_another_life(file):
    """The key is in the file: a process that begins anew recognises a batch it never wrote."""
    each = batch(some(10), SPOOL)
    with writing(file) as writer:
        writer.write(each, taken)
    with writing(file) as writer:
        assert writer.write(each, taken).was_known
    assert len(frames_in(file)) == 10


def test_records_of_a_spool_that_are_committed(file):
    """First and last of each batch, of this spool alone, in order."""
    with writing(file) as writer:
        assert list(writer.known(SPOOL)) == []
        writer.write(batch(some(10), SPOOL, first=30), taken)
        writer.write(batch(some(5), SPOOL, first=7), taken)
        writer.write(batch(some(5), b"another"), taken)
        writer.write(batch(some(5)), taken)
    with writing(file) as writer:
        assert list(writer.known(SPOOL)) == [(7, 11), (30, 39)]


def test_ledger_that_somebody_altered(file):
    """What is no range of numbers is left out."""
    with writing(file) as writer:
        for first in (1, 11, 21):
            writer.write(batch(some(10), SPOOL, first), taken)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE hepsw_ledger SET last = NULL WHERE first = 1")
        connection.execute("UPDATE hepsw_ledger SET first = 'many' WHERE first = 11")
    with writing(file) as writer:
        assert list(writer.known(SPOOL)) == [(21, 30)]


def test_ledger_does_not_grow_with_batches_from_memory(file):
    """Of them only the last can be asked for again."""
    with writing(file) as writer:
        for first in range(0, 500, 10):
            writer.write(batch(some(10, first)), taken)
    assert query(file, "SELECT count(*) FROM hepsw_ledger") == [(1,)]


def test_ledger_forgets(file, monkeypatch):
    """Batches older than a week, and the oldest of too many."""
    monkeypatch.setattr(retention, "LEDGER_STEP", 7)
    monkeypatch.setattr(retention, "LEDGER_ROWS", 12)
    with writing(file) as writer:
        for first in range(0, 300, 10):
            writer.write(batch(some(10, first), SPOOL, first), taken)
        now_us = time.time_ns() // 1000
        while writer.tidy(now_us):
            pass
        assert [first for first, _ in writer.known(SPOOL)] == list(range(180, 300, 10))
        while writer.tidy(now_us + retention.LEDGER_US + 60_000_000):
            pass
        assert list(writer.known(SPOOL)) == []
    assert len(frames_in(file)) == 300


def test_writer_that_was_never_opened(file):
    """Closing it, and closing it twice, does nothing; writing opens it."""
    with closing(SqliteWriter(settings_of(file))) as writer:
        writer.close()
        writer.close()
        assert not file.exists()
        assert writer.write(batch(some(1)), taken).tables == {"packets": 1}
