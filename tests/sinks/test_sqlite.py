"""The embedded store against real files: what goes in comes out, once, whatever the disk does."""

import asyncio
import json
import resource
import sqlite3
import struct
import sys
import threading
import time
import tracemalloc
import zlib
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from hepsw.accounting import Reason, SinkAccount
from hepsw.config.configuration import StoreSettings
from hepsw.config.models import Batch
from hepsw.errors import DecodeError, StoreError
from hepsw.hep import StreamSplitter, decode, decode_datagram
from hepsw.sinks import sqlite_file
from hepsw.sinks.rows import COLUMNS, make_row, octets_of
from hepsw.sinks.sqlite import SqliteStore
from hepsw.sinks.sqlite_file import SCHEMA_VERSION, StoredPacket, read_packets
from hepsw.view import Peer, View

VECTORS = Path(__file__).parents[1] / "vectors"
PEER = Peer(bytes([192, 0, 2, 1]), 9060, "udp", bytes([192, 0, 2, 2]), 9061, "main")
ARRIVAL_US = 1_700_000_000_000_000


def hep3(**bodies):
    """Return a HEP3 packet with a payload and the chunks named `x0011`, by their bodies."""
    chunks = {"x000f": b"OPTIONS", **bodies}
    octets = b"".join(
        struct.pack("!HHH", 0, int(name[1:], 16), 6 + len(body)) + body
        for name, body in chunks.items()
    )
    return b"HEP3" + struct.pack("!H", 6 + len(octets)) + octets


def view(data, number=0):
    packet = decode(data) if isinstance(data, bytes) else data
    return View(packet, PEER, ARRIVAL_US + number)


def some(count, first=0):
    """Return views of so many packets, no two of them alike."""
    return [view(hep3(x0011=b"call-%d" % n), n) for n in range(first, first + count)]


def stored(views):
    return [StoredPacket(each.received_us, each.packet.data) for each in views]


def payloads(packet):
    """Return the columns `payload` and `compressed_payload` of a packet."""
    carried = packet.compressed_payload
    if carried is None or packet.body_size(0x000F) is not None:
        return packet.payload, None
    inflated = packet.payload
    warning = packet.inflated and packet.inflated.warning
    is_bomb = warning == "inflate-limit" or len(inflated) > 0xFFFF
    return (carried, None) if is_bomb else (inflated, carried)


def vectors():
    """Return every packet of the vectors that decodes, from datagrams and from streams."""
    packets = []
    for name in ("frames", "real-agents"):
        for line in (VECTORS / f"{name}.jsonl").read_text().splitlines():
            vector = json.loads(line)
            octets = bytes.fromhex(vector["hex"])
            is_stream = vector["kind"] == "stream"
            for frame in StreamSplitter().feed(octets) if is_stream else [octets]:
                packets += decode_datagram(frame, gzip_frames=True)
    return [packet for packet in packets if not isinstance(packet, DecodeError)]


@asynccontextmanager
async def running(file, rows=2000, every="60s", kind=SqliteStore, **limits):
    """Run a store that waits for full batches; everything it took is accounted for at the end."""
    limited = type("Limited", (kind,), limits)
    store = limited(
        "kept", StoreSettings("sqlite", file, Batch(rows=rows, every=every)), SinkAccount()
    )
    store.start()
    try:
        yield store
        check(store)
    finally:
        await store.close(Reason.SHUTDOWN)
    check(store)
    assert sum(store.held) == 0


def check(store):
    """The identity of the account holds at this moment."""
    account = store.account
    account.in_memory, account.in_spool, account.in_flight = store.held
    assert min(store.held) >= 0
    assert account.unaccounted == 0


async def until(condition):
    """Wait for something that another thread does; the account is looked at meanwhile."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@contextmanager
def locked(file):
    """Keep a file locked as another program would."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def query(file, sql, *values):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql, values).fetchall()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "made" / "on demand" / "packets?.db"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """SQLite waits for a lock for so short a time that no test has to."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.01)


# --- what is kept --------------------------------------------------------------------------------


async def test_every_packet_comes_back_byte_for_byte(file):
    """All vectors of all versions: frame, payload and fields read back as they went in."""
    views = [view(packet, n) for n, packet in enumerate(vectors())]
    assert len(views) > 150
    async with running(file) as store:
        store.enqueue(views)
        await store.drain(5)
        assert store.account.delivered == len(views)
        assert store.account.octets == sum(len(each.packet.data) for each in views)
        assert not store.account.errors
    assert list(read_packets(file)) == stored(views)
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


async def test_compressed_payload_is_read_inflated(file):
    """A payload that travelled compressed is in the column as text, and in the frame as it came."""
    views = [view(p) for p in vectors() if p.compressed_payload and p.body_size(0x000F) is None]
    assert any(each.packet.payload for each in views)
    fresh = [view(each.packet.data) for each in views]
    async with running(file) as store:
        store.enqueue(fresh)
        await store.drain(5)
    assert query(file, "SELECT payload, compressed_payload FROM packets ORDER BY id") == [
        payloads(each.packet) for each in views
    ]
    assert {each.packet.inflated for each in fresh} == {None}  # nobody else's packet was touched


HOSTILE = [
    b"plain",
    b"'; DROP TABLE packets; --",
    b"\"quoted\" 'twice' `thrice`",
    b"nul\0inside",
    "日本 \U0001f600".encode(),
    b"cut mid-character \xe6\x97",
    b"\xff\xfe\x00\x01",
    b"?1 :name @name $name %s {0}",
    b"",
]


async def test_hostile_text_is_kept_verbatim(file):
    """Whatever a text holds is bound, never read as SQL; what is not UTF-8 is kept as octets."""
    async with running(file) as store:
        store.enqueue([view(hep3(x0011=text, x0013=text)) for text in HOSTILE])
        await store.drain(5)
    for text, (correlation_id, node_name) in zip(
        HOSTILE,
        query(file, "SELECT correlation_id, node_name FROM packets ORDER BY id"),
        strict=True,
    ):
        assert correlation_id == node_name
        if isinstance(correlation_id, str):
            assert correlation_id.encode() == text
        else:
            assert correlation_id == text
            with pytest.raises(UnicodeDecodeError):
                text.decode()


async def test_text_is_found_without_its_trailing_nuls(file):
    """A column holds what rules compare; the frame still has the NULs."""
    data = hep3(x0011=b"call\0\0")
    async with running(file) as store:
        store.enqueue([view(data)])
        await store.drain(5)
    assert query(file, "SELECT frame FROM packets WHERE correlation_id = ?", "call") == [(data,)]


async def test_numbers_and_addresses_of_any_size(file):
    """Addresses are text, also the MAC addresses that fill all 64 bits; numbers are numbers."""
    data = hep3(
        x0005=bytes([0x20, 1, 0x0D, 0xB8, *bytes(11), 1]),
        x0014=b"\xff" * 8,
        x0015=bytes([0, 0, 2, 0, 0, 0, 0, 1]),
        x000c=b"\xff" * 4,
        x0009=b"\xff" * 4,
        x000a=b"\xff" * 4,
    )
    async with running(file) as store:
        store.enqueue([view(data)])
        await store.drain(5)
    assert query(
        file,
        "SELECT src_ip, src_mac, dst_mac, capture_id, time_us, peer_ip, peer_port, listener "
        "FROM packets",
    ) == [
        (
            "2001:db8::1",
            "ff:ff:ff:ff:ff:ff:ff:ff",
            "02:00:00:00:00:01",
            0xFFFFFFFF,
            0xFFFFFFFF * 1_000_001,
            "192.0.2.1",
            9060,
            "main",
        )
    ]


async def test_packet_without_a_time_stands_at_its_arrival(file):
    """`at_us` is the capture time where there is one, else the time of arrival."""
    async with running(file) as store:
        store.enqueue([view(hep3(x0009=struct.pack("!I", 17))), view(hep3(), 5)])
        await store.drain(5)
    assert query(file, "SELECT time_us, at_us FROM packets ORDER BY id") == [
        (17_000_000, 17_000_000),
        (None, ARRIVAL_US + 5),
    ]


def test_columns_belong_to_the_schema_version():
    """Who adds a field to the catalogue adds a column: raise SCHEMA_VERSION, then this list."""
    columns = (
        "received_us ip_family ip_protocol src_ip dst_ip src_port dst_port proto_type capture_id "
        "keep_alive correlation_id vlan node_name src_mac dst_mac ether_type tcp_flags tos mos "
        "r_factor geo_location jitter transaction_type payload_keys tag_values tag_type event_type "
        "group_id time_us hep_version peer_ip peer_port peer_transport local_ip "
        "local_port listener payload_at payload_octets inflated frame"
    )
    assert (SCHEMA_VERSION, " ".join(COLUMNS)) == (1, columns)


# --- batches and the queue -----------------------------------------------------------------------


async def test_batch_is_written_when_its_rows_are_there(file):
    """Two packets wait for the third; then all three are committed at once."""
    async with running(file, rows=3) as store:
        store.enqueue(some(2))
        await asyncio.sleep(0.05)
        assert store.held == (2, 0, 0)
        store.enqueue(some(1, first=2))
        await until(lambda: store.account.delivered == 3)
        store.enqueue(some(7, first=3))
        await until(lambda: store.account.delivered == 9)
        assert store.held == (1, 0, 0)
        await store.drain(5)
        assert store.account.delivered == 10
    assert list(read_packets(file)) == stored(some(10))


async def test_batch_is_written_when_its_time_is_over(file):
    """A lonely packet waits for others as long as `every` says."""
    async with running(file, every="50ms") as store:
        store.enqueue(some(1))
        await until(lambda: store.account.delivered == 1)


async def test_batch_larger_than_the_queue_is_written(file):
    """Half a queue is written, in packets or in octets, though the batch wants more."""
    async with running(file, rows=1000, QUEUE_PACKETS=10) as store:
        store.enqueue(some(5))
        await until(lambda: store.account.delivered == 5)
    async with running(file, rows=1000, QUEUE_OCTETS=1000) as store:
        store.enqueue([view(hep3(x0011=b"x" * 500))])
        await until(lambda: store.account.delivered == 1)


async def test_full_queue_sheds_the_new_ones(file):
    """What came first is kept; what does not fit is counted, in packets and in octets."""
    store = SqliteStore("kept", StoreSettings("sqlite", file, Batch()), SinkAccount())
    store.enqueue(some(SqliteStore.QUEUE_PACKETS - 1))
    store.enqueue(some(3, first=SqliteStore.QUEUE_PACKETS - 1))
    assert store.held == (SqliteStore.QUEUE_PACKETS, 0, 0)
    assert store.account.shed == {Reason.OVERFLOW: 2}
    check(store)
    store.start()
    await store.drain(5)
    assert store.account.delivered == SqliteStore.QUEUE_PACKETS
    large = [view(hep3(x0022=b"x" * 60_000), n) for n in range(300)]
    with locked(file):
        store.enqueue(large)
        store.enqueue(some(1))
    fitting = SqliteStore.QUEUE_OCTETS // len(large[0].packet.data)
    assert store.account.shed == {Reason.OVERFLOW: 2 + 300 - fitting}
    await store.drain(5)
    await store.close(Reason.SHUTDOWN)
    check(store)
    assert store.account.delivered == SqliteStore.QUEUE_PACKETS + fitting + 1


async def test_account_holds_at_any_moment(file):
    """Between any two callbacks every packet is somewhere, whatever the thread is doing."""
    async with running(file, rows=7, every="1ms", QUEUE_PACKETS=40) as store:
        for first in range(0, 3000, 10):
            store.enqueue(some(10, first))
            check(store)
            await asyncio.sleep(0)
            check(store)
        await store.drain(5)
        assert store.held == (0, 0, 0)
        assert store.account.delivered + store.account.shed.total() == 3000
        assert store.account.delivered == rows_in(file)


async def test_two_stores_share_a_file(file):
    """A reload may leave the old store draining beside the new one."""
    async with running(file, rows=10) as old, running(file, rows=10) as new:
        for first in range(0, 200, 20):
            old.enqueue(some(10, first))
            new.enqueue(some(10, first + 10))
        await asyncio.gather(old.drain(5), new.drain(5))
    assert sorted(read_packets(file)) == stored(some(200))


# --- memory --------------------------------------------------------------------------------------


def compressed(octets):
    """Return a frame with nothing but a payload that inflates to so many octets."""
    body = zlib.compress(bytes(octets), 9)
    chunk = struct.pack("!HHH", 0, 0x10, 6 + len(body)) + body
    return b"HEP3" + struct.pack("!H", 6 + len(chunk)) + chunk


async def test_payload_that_no_frame_could_carry_stays_compressed(file):
    """The column takes what HEP could have carried; of a bomb it keeps what travelled."""
    sizes = [0, 65_535, 65_536, (1 << 20) - 1, 1 << 21]
    views = [view(compressed(size), number) for number, size in enumerate(sizes)]
    async with running(file) as store:
        store.enqueue(views)
        await store.drain(5)
    rows = query(file, "SELECT payload, compressed_payload, inflated FROM packets ORDER BY id")
    for each, size, row in zip(views, sizes, rows, strict=True):
        carried = each.packet.compressed_payload
        if size <= 65_535:
            assert row == (bytes(size), carried, bytes(size))
        else:
            assert row == (carried, None, None)
    assert list(read_packets(file)) == stored(views)


async def test_bomb_that_a_rule_has_inflated_is_stored_the_same(file):
    """What `inflated` says does not depend on who asked before."""
    known = view(compressed(1 << 17))
    known.packet.payload  # noqa: B018 - read by a rule
    async with running(file) as store:
        store.enqueue([view(compressed(1 << 17))])
        await store.drain(5)
    assert make_row(known)[:-1] == make_row(view(compressed(1 << 17)))[:-1]
    assert query(file, "SELECT inflated FROM packets") == [(None,)]


async def test_rows_in_memory_are_bounded_in_octets(file):
    """A batch of frames that inflate is made and inserted bit by bit, in one transaction."""
    views = [view(compressed(60_000), number) for number in range(100)]
    limit = 300_000
    async with running(file, ROWS_OCTETS=limit) as store:
        insert, held = store._file.insert, []

        def watching(rows):
            held.append(sum(map(octets_of, rows)))
            assert store._file._connection.in_transaction
            assert rows_in(file) == 0
            return insert(rows)

        store._file.insert = watching
        store.enqueue(views)
        await store.drain(5)
        assert store.account.delivered == 100
    assert max(held) < limit + 61_000
    assert sum(held) > 6_000_000
    assert list(read_packets(file)) == stored(views)


async def test_queue_does_not_hold_what_a_rule_has_inflated(file):
    """The queue counts frames, so that is all that may wait in it."""
    store = SqliteStore("kept", StoreSettings("sqlite", file, Batch()), SinkAccount())
    views = [view(compressed(1 << 19), number) for number in range(60)]
    tracemalloc.start()
    try:
        for each in views:
            assert len(each.packet.payload) == 1 << 19
            store.enqueue([each])
        assert tracemalloc.get_traced_memory()[0] < 2 << 20
    finally:
        tracemalloc.stop()
    assert len(views[0].packet.payload) == 1 << 19  # who asks again is told again
    store.start()
    await store.drain(5)
    await store.close(Reason.SHUTDOWN)
    assert list(read_packets(file)) == stored(views)


# --- trouble -------------------------------------------------------------------------------------


async def test_locked_file_loses_and_repeats_nothing(file):
    """While another program holds the file packets wait; afterwards each is there once."""
    async with running(file, rows=10) as store:
        store.enqueue(some(10))
        await store.drain(5)
        with locked(file):
            store.enqueue(some(25, first=10))
            await until(lambda: store.account.errors["busy"] >= 2)
            assert store.account.state == "down: database is locked"
            assert store.held == (15, 0, 10)
            check(store)
        await store.drain(5)
        assert store.account.state == "up"
        assert store.account.delivered == 35
    assert list(read_packets(file)) == stored(some(35))


in_groups = pytest.mark.parametrize("rows_octets", [SqliteStore.ROWS_OCTETS, 20_000, 1])
"""A batch whose rows are all in memory at once, a few of them, each by itself."""


@in_groups
async def test_full_disk_loses_and_repeats_nothing(file, rows_octets):
    """A disk that takes no more octets in the middle of a batch: it is written whole later on."""
    views = [view(hep3(x0022=b"%d" % n * 5000), n) for n in range(40)]
    async with running(file, rows=20, ROWS_OCTETS=rows_octets) as store:
        store.enqueue(views[:20])
        await store.drain(5)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        wal = file.with_name(file.name + "-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 10_000, limits[1]))
        try:
            store.enqueue(views[20:])
            await until(lambda: store.account.errors)
            assert store.account.state.startswith("down: ")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await store.drain(5)
        assert store.account.delivered == 40
    assert list(read_packets(file)) == stored(views)


@in_groups
async def test_refused_row_takes_no_neighbour_with_it(file, rows_octets):
    """A row that SQLite does not take is counted; the rest of its batch is stored, once."""
    views = some(250)
    async with running(file, ROWS_OCTETS=rows_octets) as store:
        store.enqueue(views[:1])
        await store.drain(5)
        query(
            file,
            "CREATE TRIGGER picky BEFORE INSERT ON packets WHEN NEW.correlation_id IN "
            "('call-150', 'call-157', 'call-249') BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        store.enqueue(views[1:])
        await store.drain(5)
        assert store.account.dropped == {Reason.UNSTORABLE: 3}
        assert store.account.delivered == 247
    assert list(read_packets(file)) == stored(
        each for number, each in enumerate(views) if number not in {150, 157, 249}
    )


async def test_failure_between_two_groups_loses_and_repeats_nothing(file):
    """What was inserted before the disk failed is rolled back: a batch is whole or not there."""
    views = some(30)
    async with running(file, rows=30, ROWS_OCTETS=1) as store:
        insert, inserted = store._file.insert, []

        def failing(rows):
            inserted.append(len(rows))
            if len(inserted) in {11, 30}:
                raise sqlite3.OperationalError("disk I/O error")
            return insert(rows)

        store._file.insert = failing
        store.enqueue(views)
        await store.drain(5)
        assert len(inserted) > 60
        assert store.account.delivered == 30
        assert store.account.octets == sum(len(each.packet.data) for each in views)
    assert list(read_packets(file)) == stored(views)


async def test_bug_in_one_row_costs_one_packet(file, monkeypatch):
    """A packet that our own code fails on is counted `internal`; the store goes on."""
    views = some(3)

    def failing(each):
        if each is views[1]:
            raise RuntimeError("a bug")
        return make_row(each)

    monkeypatch.setattr("hepsw.sinks.sqlite.make_row", failing)
    async with running(file) as store:
        store.enqueue(views)
        await store.drain(5)
        assert store.account.dropped == {Reason.INTERNAL: 1}
        assert store.account.delivered == 2


def foreign_sqlite(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE packets (id INTEGER PRIMARY KEY, precious TEXT)")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.commit()


def other_schema(file):
    foreign_sqlite(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA application_id = {sqlite_file.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (foreign_sqlite, "a SQLite file, but not one of hepsw's"),
        (other_schema, f"has schema {SCHEMA_VERSION + 1}"),
        (lambda file: file.write_text("[[listen]]\n"), "not a SQLite file"),
    ],
    ids=["foreign", "schema", "text"],
)
async def test_foreign_file_is_refused_and_not_altered(tmp_path, make, why):
    """The state says why; the packets wait until the operator has moved the file away."""
    file = tmp_path / "precious.db"
    make(file)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with pytest.raises(StoreError, match=why):
        next(read_packets(file))
    async with running(file) as store:
        store.enqueue(some(2))
        await until(lambda: store.account.state.startswith("down: "))
        assert why in store.account.state
        assert store.account.errors["refused"]
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
        file.rename(tmp_path / "moved.db")
        await store.drain(5)
        assert store.account.delivered == 2
    assert list(read_packets(file)) == stored(some(2))


async def test_file_that_cannot_be_made(tmp_path):
    """A path that leads nowhere is tried again, and says what is wrong with it."""
    (tmp_path / "folder").write_text("")
    async with running(tmp_path / "folder" / "packets.db") as store:
        store.enqueue(some(1))
        await until(lambda: store.account.errors["file"])
        assert "folder" in store.account.state
        (tmp_path / "folder").unlink()
        await store.drain(5)
        assert store.account.delivered == 1


async def test_file_that_is_moved_away_is_begun_anew(file):
    """Packets go where the operator looks for them; the old file is whole."""
    async with running(file) as store:
        store.enqueue(some(3))
        await store.drain(5)
        file.rename(file.with_name("old.db"))
        store.enqueue(some(2, first=3))
        await store.drain(5)
    assert list(read_packets(file.with_name("old.db"))) == stored(some(3))
    assert list(read_packets(file)) == stored(some(2, first=3))


def test_reading_what_is_not_there(tmp_path):
    """A command that asks for a missing file is told so."""
    with pytest.raises(StoreError, match="No such file"):
        next(read_packets(tmp_path / "none.db"))
    assert not list(tmp_path.iterdir())


async def test_readers_and_the_writer_do_not_wait_for_each_other(file):
    """A reader in the middle of the table sees what it began with; a batch is committed."""
    async with running(file) as store:
        store.enqueue(some(5))
        await store.drain(5)
        reader = read_packets(file)
        seen = [next(reader)]
        store.enqueue(some(5, first=5))
        await store.drain(5)
        assert store.account.delivered == 10
        assert not store.account.errors
        seen += reader
        assert seen == stored(some(5))
        with locked(file):  # a writer in the middle of a batch
            assert list(read_packets(file)) == stored(some(10))


async def test_file_is_not_for_everybody(file):
    """Calls and passwords are in it."""
    async with running(file) as store:
        store.enqueue(some(1))
        await store.drain(5)
        for each in file.parent.iterdir():
            assert each.stat().st_mode & 0o007 == 0
    assert "auth_key" not in COLUMNS


# --- the end -------------------------------------------------------------------------------------


async def test_close_counts_what_is_left(file):
    """Nothing hangs on a file that stays locked: what waits is counted with the reason given."""
    async with running(file, rows=10) as store:
        await until(lambda: store.account.state == "up")
        with locked(file):
            store.enqueue(some(25))
            await store.drain(0.05)
            began = time.monotonic()
            await store.close(Reason.RETIRED)
            assert time.monotonic() - began < 1
        assert store.account.state == "down: database is locked"
        assert store.account.dropped == {Reason.RETIRED: 25}
        store.enqueue(some(2))
        assert store.account.shed == {Reason.RETIRED: 2}
        await store.close(Reason.SHUTDOWN)
    assert list(read_packets(file)) == []


class Hanging(SqliteStore):
    """A store on a disk that does not answer."""

    CLOSE_SECONDS = 0.1

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.hung = threading.Event()
        self.released = threading.Event()
        begin = self._file.begin

        def hanging():
            self.hung.set()
            self.released.wait(5)
            return begin()

        self._file.begin = hanging


async def test_disk_that_hangs_holds_up_nobody(file):
    """The loop goes on and `close` returns; what was counted as dropped is not committed later."""
    async with running(file, kind=Hanging, rows=10) as store:
        store.enqueue(some(10))
        await until(store.hung.is_set)
        store.enqueue(some(5, first=10))
        assert store.held == (5, 0, 10)
        await store.close(Reason.SHUTDOWN)
        assert store.account.dropped == {Reason.SHUTDOWN: 15}
        store.released.set()
        await asyncio.wait_for(store._ended.wait(), 5)
        assert store.account.state == "up"  # whose it is now is not this store's to say
        assert not store.account.errors
    assert list(read_packets(file)) == []


WRITER = """
import asyncio, sys
from pathlib import Path
from hepsw.accounting import SinkAccount
from hepsw.config.configuration import StoreSettings
from hepsw.config.models import Batch
from hepsw.hep import decode
from hepsw.sinks.sqlite import SqliteStore
from hepsw.view import Peer, View

async def main():
    settings = StoreSettings("sqlite", Path(sys.argv[1]), Batch(rows=7, every="60s"))
    store = SqliteStore("kept", settings, SinkAccount())
    store.start()
    packet = decode(bytes.fromhex(sys.argv[2]))
    peer = Peer(bytes(4), 0, "udp", bytes(4), 0, "main")
    number = 0
    while True:
        while store.held.in_memory > 100:
            await asyncio.sleep(0)
        store.enqueue([View(packet, peer, number)])
        number += 1

asyncio.run(main())
"""


@pytest.mark.parametrize("committed", [1, 200, 2000])
async def test_killed_writer_leaves_whole_batches(file, committed):
    """After kill -9 in the middle of a batch the file is sound, without any of it."""
    data = hep3(x0011=b"call")
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(file), data.hex(), cwd=Path(__file__).parents[2]
    )
    try:
        await until(lambda: rows_in(file) >= committed)
    finally:
        writer.kill()
        await writer.wait()
    assert query(file, "PRAGMA integrity_check") == [("ok",)]
    packets = list(read_packets(file))
    assert len(packets) % 7 == 0
    assert packets == [StoredPacket(number, data) for number in range(len(packets))]
    async with running(file) as store:
        store.enqueue(some(1))
        await store.drain(5)
    assert list(read_packets(file)) == packets + stored(some(1))


def rows_in(file):
    try:
        return sum(1 for _ in read_packets(file))
    except StoreError:  # not there yet
        return 0
