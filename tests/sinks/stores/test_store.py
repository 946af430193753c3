"""A store over a medium that fails in every way: each packet is kept once, or counted once.

Without a disk behind it; `test_store_spool` has that.
"""

import asyncio
import fcntl
import os
import struct
import time
import tracemalloc
import zlib
from collections import Counter
from types import SimpleNamespace

import pytest
from stores import (
    ARRIVAL_US,
    PEER,
    FaultyWriter,
    Kept,
    number_of,
    numbers_in,
    packet_of,
    running,
    some,
)

from hepsw.accounting import Ledger, Reason
from hepsw.config import models
from hepsw.config.configuration import StoreSettings
from hepsw.hep import decode
from hepsw.sinks.sinks import Sinks
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.store import Store
from hepsw.sinks.stores.writer import Refused, Written
from hepsw.view import View

pytestmark = pytest.mark.usefixtures("quick")


# --- batches and the queue -----------------------------------------------------------------------


async def test_batch_is_written_when_its_rows_are_there(file):
    """Two packets wait for the third; then all three are committed at once."""
    async with running(file, rows=3) as kept:
        kept.enqueue(some(2))
        await kept.until(lambda: kept.account.state == "up")
        assert kept.check() == (2, 0, 0)
        kept.enqueue(some(1, first=2))
        await kept.until(lambda: kept.account.delivered == 3)
        kept.enqueue(some(7, first=3))
        await kept.until(lambda: kept.account.delivered == 9)
        assert kept.check() == (1, 0, 0)
        await kept.store.drain(5)
        assert kept.account.delivered == 10
        table = kept.account.tables["packets"]
        assert (table.rows_in, table.committed, table.retried) == (10, 10, 0)
        assert abs(table.last_commit - time.time()) < 60
    assert kept.numbers == list(range(10))


async def test_batch_tells_what_waits_behind_it(file):
    """A writer can get ahead with the next batch; it tells no more than that will be."""
    async with running(file, rows=10) as kept:
        kept.faults.hang()
        kept.enqueue(some(10))
        await kept.until(kept.faults.is_hanging.is_set)
        (batch,) = kept.faults.tried
        assert list(batch.coming()) == []
        kept.enqueue(some(4, first=10))
        assert [number_of(view) for view in batch.coming()] == [10, 11, 12, 13]
        kept.enqueue(some(20, first=14))
        assert [number_of(view) for view in batch.coming()] == list(range(10, 20))
        kept.faults.release()
        await kept.until(lambda: kept.account.delivered == 30)
        await kept.store.drain(5)
    assert kept.numbers == list(range(34))


async def test_batch_is_written_when_its_time_is_over(file):
    """A lonely packet waits for others as long as `every` says."""
    async with running(file, every="50ms") as kept:
        kept.enqueue(some(1))
        await kept.until(lambda: kept.account.delivered == 1)


async def test_batch_larger_than_the_queue_is_written(file):
    """Half a queue is written, in packets or in octets, though the batch wants more."""
    async with running(file, limits={"QUEUE_PACKETS": 10}) as kept:
        kept.enqueue(some(5))
        await kept.until(lambda: kept.account.delivered == 5)
    async with running(file, limits={"QUEUE_OCTETS": 1000}) as kept:
        kept.enqueue(some(1, octets=500))
        await kept.until(lambda: kept.account.delivered == 1)


async def test_full_queue_sheds_the_new_ones(file):
    """What came first is kept; what does not fit is counted, in packets and in octets."""
    kept = Kept(file)
    kept.enqueue(some(Store.QUEUE_PACKETS - 1))
    kept.enqueue(some(3, first=Store.QUEUE_PACKETS - 1))
    assert kept.check() == (Store.QUEUE_PACKETS, 0, 0)
    assert kept.account.shed == {Reason.OVERFLOW: 2}
    kept.store.start()
    await kept.store.drain(20)
    assert kept.account.delivered == Store.QUEUE_PACKETS
    kept.faults.hang()
    large = some(300, first=Store.QUEUE_PACKETS, octets=60_000)
    kept.enqueue(large[:1])
    kept.store._thread.hurry(1)
    await kept.until(kept.faults.is_hanging.is_set)
    kept.enqueue(large[1:])
    fitting = Store.QUEUE_OCTETS // len(large[0].packet.data)
    assert kept.check() == (fitting, 0, 1)
    assert kept.account.shed == {Reason.OVERFLOW: 2 + 299 - fitting}
    kept.faults.release()
    await kept.empty()
    await kept.store.close(Reason.SHUTDOWN)
    assert kept.numbers == list(range(Store.QUEUE_PACKETS + 1 + fitting))


async def test_account_holds_at_any_moment(file):
    """Between any two callbacks every packet is somewhere, whatever the thread is doing."""
    async with running(file, rows=7, every="1ms", limits={"QUEUE_PACKETS": 40}) as kept:
        for first in range(0, 3000, 10):
            kept.enqueue(some(10, first))
            kept.check()
            await asyncio.sleep(0)
            kept.check()
        await kept.store.drain(20)
        assert kept.check() == (0, 0, 0)
        assert kept.account.delivered + kept.account.shed.total() == 3000
    assert kept.account.delivered == len(kept.numbers)


async def test_two_stores_share_a_file(file):
    """A reload may leave the old store draining beside the new one."""
    async with running(file, rows=10) as old, running(file, rows=10) as new:
        for first in range(0, 200, 20):
            old.enqueue(some(10, first))
            new.enqueue(some(10, first + 10))
        await asyncio.gather(old.store.drain(20), new.store.drain(20))
    assert sorted(numbers_in(file)) == list(range(200))


async def test_what_waits_counts_in_the_budget_of_all(file):
    """Octets in memory are those of the budget, until they are stored; what is over it is shed."""
    octets = len(packet_of(0).packet.data)
    async with running(file, memory=10 * octets) as kept:
        kept.enqueue(some(8))
        assert kept.budget.used == kept.store.waiting == 8 * octets
        kept.enqueue(some(4, first=8))
        assert kept.account.shed == {Reason.MEMORY: 2}
        await kept.store.drain(5)
        assert kept.budget.used == kept.store.waiting == 0
        assert kept.store.is_moving
    assert kept.numbers == list(range(10))


async def test_age_of_the_oldest(file):
    """How long the oldest packet in memory waits, whether it is being written or not."""
    async with running(file, rows=2) as kept:
        assert kept.store.age == 0
        kept.enqueue(some(1))
        assert kept.store.age == pytest.approx(time.time() - 1_700_000_000, abs=60)
        kept.faults.hang()
        kept.enqueue(some(1, first=1))
        await kept.until(kept.faults.is_hanging.is_set)
        assert kept.store.age == pytest.approx(time.time() - 1_700_000_000, abs=60)
        kept.faults.release()
        await kept.empty()
        assert kept.store.age == 0


async def test_queue_does_not_hold_what_a_rule_has_inflated(file):
    """The queue counts frames, so that is all that may wait in it."""
    kept = Kept(file)
    views = [compressed(number, 1 << 19) for number in range(60)]
    tracemalloc.start()
    try:
        for each in views:
            assert len(each.packet.payload) == 1 << 19
            kept.enqueue([each])
        assert tracemalloc.get_traced_memory()[0] < 2 << 20
    finally:
        tracemalloc.stop()
    assert len(views[0].packet.payload) == 1 << 19  # who asks again is told again
    kept.store.start()
    await kept.store.drain(5)
    await kept.store.close(Reason.SHUTDOWN)
    assert kept.numbers == list(range(60))


def compressed(number, octets):
    """Return a packet whose payload inflates to so many octets."""
    body = zlib.compress(bytes(octets), 9)
    chunk = struct.pack("!HHH", 0, 0x10, 6 + len(body)) + body
    frame = b"HEP3" + struct.pack("!H", 6 + len(chunk)) + chunk
    return View(decode(frame), PEER, ARRIVAL_US + number)


# --- trouble -------------------------------------------------------------------------------------


async def test_batch_is_tried_again_as_it_was(file, caplog):
    """While nobody answers the same batch is tried, with the same key; then it is there once."""
    async with running(file, rows=10) as kept:
        await kept.until(lambda: kept.account.state == "up")
        kept.faults.is_away = True
        kept.enqueue(some(25))
        await kept.until(lambda: kept.account.errors["connect"] >= 3)
        assert kept.account.state == "down: nobody answers"
        assert not kept.store.is_moving
        assert kept.check() == (15, 0, 10)
        kept.faults.is_away = False
        await kept.store.drain(5)
        assert kept.account.state == "up"
        assert kept.account.delivered == 25
        first = [batch for batch in kept.faults.tried if batch.views[0].received_us % 100 == 0]
        assert len({batch.key for batch in first}) == 1
        assert len({batch.key for batch in kept.faults.tried}) == 3
    assert kept.numbers == list(range(25))
    assert sum("down: nobody answers" in line for line in caplog.messages) == 1


async def test_medium_that_is_away_at_the_start(file):
    """A store starts without it, and writes when it is there."""
    kept = Kept(file)
    kept.faults.is_away = True
    assert kept.account.state == "connecting"
    kept.store.start()
    kept.enqueue(some(5))
    await kept.until(lambda: kept.account.state == "down: nobody answers")
    kept.faults.is_away = False
    await kept.store.drain(5)
    assert kept.account.delivered == 5
    await kept.store.close(Reason.SHUTDOWN)
    assert kept.numbers == list(range(5))


async def test_commit_that_nobody_heard_of_is_not_repeated(file):
    """The ledger knows the batch by its key: its rows are there once, and counted once."""
    async with running(file, rows=5) as kept:
        kept.faults.unheard = 2
        kept.enqueue(some(10))
        await kept.store.drain(5)
        assert kept.account.delivered == 10
        assert kept.account.errors == {"lost": 2}
        assert any(written.was_known for written in kept.faults.written)
        table = kept.account.tables["packets"]
        assert (table.rows_in, table.committed, table.retried) == (10, 10, 10)
    assert kept.numbers == list(range(10))


async def test_refused_packets_are_dead_letters(file, tmp_path):
    """What the medium does not take is in a file, with the reason; the neighbours are stored."""
    path = tmp_path / "letters.jsonl"
    async with running(file, rows=10, letters=path) as kept:
        kept.faults.refused = lambda number: number in {3, 17}
        kept.faults.unheard = 1  # the first batch is written twice, and its letter once
        kept.enqueue(some(20))
        await kept.store.drain(5)
        assert kept.account.delivered == 18
        assert kept.account.dead_lettered == {"picky": 2}
        assert not kept.account.dropped
        table = kept.account.tables["packets"]
        assert (table.committed, table.dead_lettered) == (18, {"picky": 2})
    assert kept.numbers == [number for number in range(20) if number not in {3, 17}]
    found = letters.read(path)
    assert [each.view for each in found] == [packet_of(3), packet_of(17)]
    assert {each[2:5] for each in found} == {("packets", "picky", "not this one")}
    assert len(path.read_text().splitlines()) == 2


async def test_batch_that_is_refused_as_a_whole(file, tmp_path):
    """Nothing is left to write, and everything is accounted for."""
    async with running(file, letters=tmp_path / "letters.jsonl") as kept:
        kept.faults.refused = lambda _: True
        kept.enqueue(some(4))
        await kept.store.drain(5)
        assert kept.account.dead_lettered == {"picky": 4}


@pytest.mark.parametrize("trouble", ["none", "folder", "full"])
async def test_dead_letters_that_cannot_be_kept(file, tmp_path, caplog, monkeypatch, trouble):
    """They are dropped, counted, and the log says so once."""
    path = tmp_path / "letters.jsonl"
    if trouble == "folder":
        path.mkdir()
    if trouble == "full":
        monkeypatch.setattr(letters, "LARGEST", 100)
    async with running(file, rows=5, letters=None if trouble == "none" else path) as kept:
        kept.faults.refused = lambda number: number % 5 == 0
        kept.enqueue(some(20))
        await kept.store.drain(5)
        assert kept.account.dropped == {Reason.UNSTORABLE: 4}
        assert not kept.account.dead_lettered
        assert kept.account.delivered == 16
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1


async def test_locked_dead_letters_are_waited_for(file, tmp_path, monkeypatch):
    """A command that has the file keeps the batch from being written, and loses nothing."""
    path = tmp_path / "letters.jsonl"
    monkeypatch.setattr(letters, "PATIENCE", 0.02)
    async with running(file, letters=path) as kept:
        kept.faults.refused = lambda number: number == 1
        with letters._locked(path, os.O_RDWR | os.O_CREAT):
            kept.enqueue(some(3))
            kept.store._thread.hurry(1)
            await kept.until(lambda: kept.account.errors["letters"] >= 2)
        await kept.empty()
        assert kept.account.dead_lettered == {"picky": 1}
    assert kept.numbers == [0, 2]


async def test_letters_of_a_known_batch_are_waited_for(file, tmp_path, monkeypatch):
    """A ledger may name what an earlier life had refused; a command that has the file then."""
    path = tmp_path / "letters.jsonl"
    monkeypatch.setattr(letters, "PATIENCE", 0.05)

    def known(writer, batch, give_up):
        writer.faults.tried.append(batch)
        refused = [Refused(1, "packets", "picky", "not this one")]
        return Written(Counter(packets=len(batch.views) - 1), refused, was_known=True)

    monkeypatch.setattr(FaultyWriter, "write", known)
    async with running(file, rows=10, letters=path) as kept:
        with path.open("wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            kept.enqueue(some(10))
            await kept.until(lambda: len(kept.faults.tried) > 2)
        await kept.until(lambda: kept.account.delivered == 9)
        assert kept.account.dead_lettered == {"picky": 1}
    assert [each.view for each in letters.read(path)] == [packet_of(1)]


async def test_bug_that_goes_away_costs_nothing(file, caplog):
    """A writer that fails for no reason of the far side's is tried again, and logged once."""
    async with running(file) as kept:
        kept.faults.bugs = 3
        kept.faults.open_bugs = 2
        kept.enqueue(some(10))
        await kept.store.drain(5)
        assert kept.account.delivered == 10
        assert kept.account.errors == {"internal": 5}
    assert kept.numbers == list(range(10))
    assert sum(record.exc_info is not None for record in caplog.records) == 2


@pytest.mark.parametrize("has_letters", [True, False])
async def test_poison_costs_one_packet(file, tmp_path, has_letters):
    """A packet that our own code fails on is found among its neighbours, which are stored."""
    path = tmp_path / "letters.jsonl" if has_letters else None
    async with running(file, rows=100, letters=path) as kept:
        kept.faults.poison = lambda number: number in {17, 18, 150}
        kept.enqueue(some(200))
        await kept.store.drain(20)
        assert kept.account.delivered == 197
        counted = kept.account.dead_lettered if has_letters else kept.account.dropped
        assert counted == {Reason.INTERNAL: 3}
        assert kept.account.tables["packets"].dead_lettered == {Reason.INTERNAL: 3}
        assert kept.account.state == "up"
    assert kept.numbers == [number for number in range(200) if number not in {17, 18, 150}]
    if path is not None:
        assert [each.view for each in letters.read(path)] == [
            packet_of(number) for number in (17, 18, 150)
        ]


async def test_poison_that_is_no_letter_either(file, tmp_path, monkeypatch, caplog):
    """What no letter can be made of is dropped and counted; the store goes on."""
    monkeypatch.setattr("hepsw.sinks.stores.letters.encode", lambda _: 1 // 0)
    async with running(file, rows=10, letters=tmp_path / "letters.jsonl") as kept:
        kept.faults.poison = lambda number: number == 3
        kept.enqueue(some(20))
        await kept.store.drain(20)
        assert kept.account.delivered == 19
        assert kept.account.dropped == {Reason.INTERNAL: 1}
    assert "ZeroDivisionError" in caplog.text


async def test_writer_that_cannot_be_made(file, monkeypatch):
    """A driver that is missing is a store that is down and says why; the daemon goes on."""
    kept = Kept(file)
    makes = []

    def make():
        makes.append(1)
        if len(makes) < 3:
            raise ImportError("no module named driver")
        return make_real()

    make_real = kept.store._thread._attempts._make
    kept.store._thread._attempts._make = make
    kept.store.start()
    kept.enqueue(some(1))
    await kept.store.drain(5)
    assert kept.account.errors == {"internal": 2}
    assert kept.account.delivered == 1
    await kept.store.close(Reason.SHUTDOWN)


async def test_retention_never_stands_in_the_way(file, monkeypatch, caplog):
    """It goes on as long as there is more to do; when it fails packets are stored all the same."""
    monkeypatch.setattr("hepsw.sinks.stores.thread.TIDY", 0.02)
    monkeypatch.setattr("hepsw.sinks.stores.thread.TIDY_MORE", 0.01)
    async with running(file, rows=5) as kept:
        kept.faults.tidyings = iter([True] * 5 + [False] * 1_000_000)
        await kept.until(lambda: kept.faults.tidied > 8)
        kept.faults.breaks_tidying = True
        kept.enqueue(some(20))
        await kept.until(lambda: kept.account.errors["tidy"] > 1)
        await kept.store.drain(5)
        assert kept.account.delivered == 20
    assert kept.numbers == list(range(20))
    assert sum("a bug in tidy" in line for line in caplog.messages) == 1


# --- the end -------------------------------------------------------------------------------------


async def test_close_counts_what_is_left(file):
    """Nothing hangs on a medium that is away: what waits is counted with the reason given."""
    async with running(file, rows=10) as kept:
        await kept.until(lambda: kept.account.state == "up")
        kept.faults.is_away = True
        kept.enqueue(some(25))
        await kept.store.drain(0.05)
        await kept.store.close(Reason.RETIRED)
        assert kept.account.dropped == {Reason.RETIRED: 25}
        kept.enqueue(some(2))
        assert kept.account.shed == {Reason.RETIRED: 2}
        await kept.store.close(Reason.SHUTDOWN)
    assert kept.numbers == []


async def test_medium_that_hangs_holds_up_nobody(file):
    """The loop goes on and `close` returns; what was counted as dropped is not committed later."""
    async with running(file, rows=10, limits={"CLOSE_SECONDS": 0.1}) as kept:
        kept.faults.hang()
        kept.enqueue(some(10))
        await kept.until(kept.faults.is_hanging.is_set)
        kept.enqueue(some(5, first=10))
        assert kept.check() == (5, 0, 10)
        await kept.store.close(Reason.SHUTDOWN)
        assert kept.account.dropped == {Reason.SHUTDOWN: 15}
        kept.faults.release()
        await asyncio.wait_for(kept.store._ended.wait(), 10)
        assert kept.account.state == "up"  # whose it is now is not this store's to say
        assert not kept.account.errors
    assert kept.numbers == []


async def test_drain_does_not_wait_for_ever(file, monkeypatch):
    """A medium that neither answers nor fails: the drain ends before its time."""
    monkeypatch.setattr("hepsw.sinks.stores.store.HOPELESS", 0.1)
    async with running(file, rows=10, limits={"CLOSE_SECONDS": 0.1}) as kept:
        kept.faults.hang()
        kept.enqueue(some(10))
        async with asyncio.timeout(20):
            await kept.store.drain(1000)
        await kept.store.close(Reason.SHUTDOWN)


async def test_state_is_that_of_the_store_in_service(file, tmp_path):
    """What one that a reload has retired still complains of is not that of its successor."""
    (tmp_path / "in the way").write_text("")
    ledger = Ledger()
    sinks = Sinks(ledger, 1)
    account = ledger.sink("kept", "sqlite")

    async def until(condition):
        async with asyncio.timeout(30):
            while not condition():
                sinks.measure()
                await asyncio.sleep(0.005)

    for path in (tmp_path / "in the way" / "kept.db", file):
        made = StoreSettings("kept", "sqlite", path, models.Batch(rows=10, every="10ms"))
        memory = SimpleNamespace(memory=1 << 28)
        sinks.replace(SimpleNamespace(destinations={}, stores={"kept": made}, switch=memory))
        if path != file:
            sinks.enqueue({"kept": some(5)})
            await until(lambda: account.state.startswith("down: "))
    await until(lambda: account.state == "up")
    complaints = account.errors["file"]
    await until(lambda: account.errors["file"] > complaints + 3)
    sinks.measure()
    assert account.state == "up"
    await sinks.close()
    assert account.dropped == {Reason.RETIRED: 5}
