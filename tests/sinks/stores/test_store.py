"""A store over a medium that fails in every way: each packet is kept once, or counted once."""

import asyncio
import errno
import fcntl
import os
import shutil
import struct
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from stores import ARRIVAL_US, PEER, FaultyWriter, Kept, numbers_in, packet_of, running, some, spool

from hepsw.accounting import Ledger, Reason
from hepsw.config import models
from hepsw.config.configuration import StoreSettings
from hepsw.hep import decode
from hepsw.sinks.sinks import Sinks
from hepsw.sinks.spool.files import Files
from hepsw.sinks.spool.spool import Spool
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.identity import identity_of
from hepsw.sinks.stores.replay import Replay
from hepsw.sinks.stores.store import Store
from hepsw.sinks.stores.writer import Batch, Refused, Written
from hepsw.view import View


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kept.db"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Everything happens sooner."""
    monkeypatch.setattr("hepsw.sinks.stores.store.GRACE", 0.05)
    monkeypatch.setattr("hepsw.sinks.backoff.BackOff.next", lambda _: 0.01)
    monkeypatch.setattr("hepsw.sinks.stores.attempts.FIRST", 0.01)
    monkeypatch.setattr("hepsw.sinks.spool.worker.Worker.RETRY_SECONDS", 0.03)


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
    assert sum("nobody answers" in line for line in caplog.messages) == 1


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


# --- the spool -----------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    return tmp_path / "spool"


async def test_what_waits_goes_to_disk_while_the_medium_is_away(file, disk):
    """All but the batch that is tried; it comes back behind what comes now, each packet once."""
    async with running(file, rows=10, spool=spool(disk)) as kept:
        kept.faults.is_away = True
        kept.enqueue(some(25))
        await kept.until(lambda: kept.store.held.in_spool >= 15)
        kept.enqueue(some(5, first=25))
        await kept.until(lambda: kept.store.held.in_spool >= 20)
        assert kept.store.waiting <= 10 * len(packet_of(0).packet.data)
        kept.faults.is_away = False
        kept.enqueue(some(5, first=30))
        await kept.empty()
        assert kept.account.delivered == 35
    assert sorted(kept.numbers) == list(range(35))


async def test_full_queue_goes_to_disk(file, disk):
    """What finds no room in memory is not shed, and is written in turns with what does."""
    limits = {"QUEUE_PACKETS": 50}
    async with running(file, rows=20, every="10ms", spool=spool(disk), limits=limits) as kept:
        await kept.until(lambda: kept.store._replay.is_open and kept.account.state == "up")
        kept.faults.hang()
        kept.enqueue(some(300))
        await kept.until(kept.faults.is_hanging.is_set)
        kept.enqueue(some(300, first=300))
        assert kept.store.held.in_memory + kept.store.held.in_spool >= 500
        kept.faults.release()
        await kept.empty()
        assert not kept.account.shed
    assert sorted(kept.numbers) == list(range(600))


async def test_live_and_replayed_batches_take_turns(file, disk):
    """Neither the backlog nor what comes keeps the other waiting."""
    async with running(file, rows=10, spool=spool(disk)) as kept:
        kept.faults.is_away = True
        kept.enqueue(some(200))
        await kept.until(lambda: kept.store.held.in_spool >= 190)
        kept.faults.after_commit = lambda _: kept.faults.hang()
        kept.faults.is_away = False
        await kept.until(lambda: kept.account.state == "up")
        await kept.until(kept.faults.is_hanging.is_set)
        kept.enqueue(some(100, first=200))
        kept.faults.after_commit = lambda _: None
        kept.faults.tried.clear()
        kept.faults.release()
        await kept.empty()
        kinds = [batch.spool is not None for batch in kept.faults.tried[:12]]
        assert kinds.count(True) >= 4
        assert kinds.count(False) >= 4
    assert sorted(kept.numbers) == list(range(300))


async def test_close_takes_what_is_left_to_disk(file, disk):
    """Nobody is there at the end: the batch that was tried and all behind it wait on disk."""
    settings = {"rows": 10, "spool": spool(disk)}
    async with running(file, **settings) as kept:
        kept.faults.is_away = True
        await kept.until(lambda: kept.store._replay.is_open)
        kept.enqueue(some(25))
        await kept.store.drain(5)
        await kept.store.close(Reason.SHUTDOWN)
        assert kept.check() == (0, 25, 0)
        assert not kept.account.dropped
        kept.enqueue(some(1))
        assert kept.account.shed == {Reason.SHUTDOWN: 1}
    async with running(file, **settings) as kept:
        await kept.until(lambda: kept.account.delivered == 25)
        assert kept.account.recovered == 25
    assert sorted(kept.numbers) == list(range(25))


async def test_hanging_batch_is_on_disk_and_not_committed_later(file, disk):
    """Whoever counts a batch first has it: the thread that wakes up too late stores nothing."""
    limits = {"CLOSE_SECONDS": 0.05}
    async with running(file, rows=10, spool=spool(disk), limits=limits) as kept:
        await kept.until(lambda: kept.store._replay.is_open and kept.account.state == "up")
        kept.faults.hang()
        kept.enqueue(some(15))
        await kept.until(kept.faults.is_hanging.is_set)
        began = time.monotonic()
        await kept.store.close(Reason.RETIRED)
        assert time.monotonic() - began < 5
        assert kept.check() == (0, 15, 0)
        kept.faults.release()
        await asyncio.wait_for(kept.store._ended.wait(), 10)
        kept.check()
        assert kept.numbers == []
    async with running(file, rows=10, spool=spool(disk)) as kept:
        await kept.until(lambda: kept.account.delivered == 15)
    assert sorted(kept.numbers) == list(range(15))


async def test_commit_that_nobody_heard_of_at_the_end_is_found_out(file, disk):
    """A batch that may be committed is asked for once more, rather than spooled as well."""
    async with running(file, rows=10, spool=spool(disk)) as kept:
        await kept.until(lambda: kept.store._replay.is_open and kept.account.state == "up")
        kept.faults.hang()
        kept.faults.unheard = 2
        kept.enqueue(some(10))
        await kept.until(kept.faults.is_hanging.is_set)
        closing = asyncio.create_task(kept.store.close(Reason.SHUTDOWN))
        await asyncio.sleep(0)
        kept.faults.release()
        await closing
        assert kept.account.delivered == 10
        assert kept.check() == (0, 0, 0)
    assert kept.numbers == list(range(10))


async def test_key_of_one_batch_is_not_given_to_another(file):
    """With the key of a batch that is committed, others would count as stored."""
    thread = Kept(file).store._thread
    views = some(4)
    thread._attempts.unsure = Batch(bytes(16), views[:2])
    thread._batch = views[2:]
    assert thread.give_up() == (views[2:], None)
    thread._batch = views[:3]
    assert thread.give_up() == (views[:3], thread._attempts.unsure)


async def test_unsure_batch_is_spooled_with_its_key(file, disk):
    """It was committed, nobody heard of it, and then nobody was there: it is recognised later."""
    limits = {"CLOSE_SECONDS": 0.05}
    settings = {"rows": 10, "spool": spool(disk)}
    async with running(file, limits=limits, **settings) as kept:
        await kept.until(lambda: kept.store._replay.is_open and kept.account.state == "up")
        kept.faults.after_commit = lambda _: setattr(kept.faults, "is_away", True)
        kept.faults.unheard = 1
        kept.enqueue(some(13))
        await kept.until(lambda: kept.account.errors["connect"])
        await kept.store.close(Reason.SHUTDOWN)
        assert kept.store.held.in_spool == 13
        assert kept.numbers == list(range(10))
    async with running(file, **settings) as kept:
        await kept.until(lambda: kept.account.delivered == 13)
        assert any(written.was_known for written in kept.faults.written)
    assert sorted(kept.numbers) == list(range(13))


async def leave_an_unsure_batch(file, disk, count):
    """Leave a batch in the spool that is committed, and of which nobody heard."""
    limits = {"CLOSE_SECONDS": 0.05}
    async with running(file, rows=count, spool=spool(disk), limits=limits) as kept:
        await kept.until(lambda: kept.store._replay.is_open and kept.account.state == "up")
        kept.faults.after_commit = lambda _: setattr(kept.faults, "is_away", True)
        kept.faults.unheard = 1
        kept.enqueue(some(count))
        await kept.until(lambda: kept.account.errors["connect"])


async def test_what_had_to_go_while_the_rest_was_read(file, disk, monkeypatch):
    """A batch is read in several goes: what was given up between two of them is counted so only."""
    await leave_an_unsure_batch(file, disk, 10)
    monkeypatch.setattr("hepsw.sinks.stores.replay.OCTETS", 300)
    read, reads = Spool.read, []

    async def reading(self, most, octets):
        records = await read(self, most, octets)
        reads.append(len(records))
        if len(reads) == 2:
            self.gone("overflow", 1, 2)
        return records

    monkeypatch.setattr(Spool, "read", reading)
    async with running(file, rows=10, spool=spool(disk)) as kept:
        await kept.until(lambda: kept.account.recovered)
        await kept.empty()
        assert reads[0] < 10
        assert kept.account.dropped == {Reason.OVERFLOW: 2}
        assert kept.account.delivered == 8


async def test_damage_that_is_found_too_late_is_left_to_who_comes_next(file, disk):
    """After the end of a store nothing of its spool is counted there."""
    await leave_an_unsure_batch(file, disk, 10)
    limits = {"CLOSE_SECONDS": 0.05}
    async with running(file, rows=20, spool=spool(disk), limits=limits) as kept:
        kept.faults.hang()
        await kept.until(lambda: kept.store._replay.is_open)
        assert kept.store._replay._spool.add([b"no envelope"], 0) == 1
        kept.account.enqueued += 1
        await kept.until(kept.faults.is_hanging.is_set)
        await kept.store.close(Reason.RETIRED)
        assert kept.check() == (0, 11, 0)
        kept.faults.release()
        await asyncio.wait_for(kept.store._ended.wait(), 10)
        assert kept.check() == (0, 11, 0)
    async with running(file, rows=20, spool=spool(disk)) as kept:
        await kept.until(lambda: kept.account.recovered)
        await kept.empty()
        assert kept.account.dropped == {Reason.CORRUPT: 1}
    assert sorted(kept.numbers) == list(range(10))


async def test_refused_and_poisoned_records_leave_the_spool(file, disk, tmp_path):
    """What was read from disk goes to the dead letters as what comes from memory does."""
    path = tmp_path / "letters.jsonl"
    async with running(file, rows=10, spool=spool(disk), letters=path) as kept:
        kept.faults.is_away = True
        kept.enqueue(some(60))
        await kept.until(lambda: kept.store.held.in_spool >= 50)
        kept.faults.refused = lambda number: number == 33
        kept.faults.poison = lambda number: number == 44
        kept.faults.unheard = 2
        kept.faults.is_away = False
        await kept.empty()
        assert kept.account.dead_lettered == {"picky": 1, Reason.INTERNAL: 1}
        assert kept.account.delivered == 58
        ranges = [(b.first, b.last) for b in kept.faults.tried if b.spool is not None]
        assert all(first <= last for first, last in ranges)
    assert sorted(kept.numbers) == [number for number in range(60) if number not in {33, 44}]
    assert sorted(each.view.received_us % 100 for each in letters.read(path)) == [33, 44]


async def test_record_that_is_no_packet_is_counted(file, disk):
    """Its neighbours are stored; it is not looked at again."""
    async with running(file, rows=10, spool=spool(disk)) as kept:
        kept.faults.is_away = True
        await kept.until(lambda: kept.store._replay.is_open)
        assert kept.store._replay._spool.add([b"no envelope", b"\x01" * 40], 0) == 2
        kept.account.enqueued += 2
        kept.enqueue(some(15))
        await kept.until(lambda: kept.store.held.in_spool >= 7)
        kept.faults.is_away = False
        await kept.empty()
        assert kept.account.dropped == {Reason.CORRUPT: 2}
        assert kept.account.delivered == 15
    assert sorted(kept.numbers) == list(range(15))


async def test_spool_that_is_full_lets_the_oldest_go(file, disk):
    """What had to make room is counted; what is being written at that moment is stored."""
    async with running(file, rows=10, spool=spool(disk, max="64KiB")) as kept:
        kept.faults.is_away = True
        await kept.until(lambda: kept.store._replay.is_open)
        for first in range(0, 400, 10):
            kept.enqueue(some(10, first, octets=1000))
            await asyncio.sleep(0.002)
            kept.check()
        await kept.until(lambda: kept.account.dropped[Reason.OVERFLOW])
        kept.faults.is_away = False
        await kept.empty()
    lost = kept.account.dropped.total() + kept.account.shed.total()
    assert len(kept.numbers) == len(set(kept.numbers)) == 400 - lost
    assert lost


async def test_disk_that_is_full_sheds_only_what_fits_nowhere(file, disk, monkeypatch):
    """While the spool takes nothing packets wait in memory, and its trouble is in the state."""
    pwrite, full = Files.pwrite, []

    def failing(self, *arguments):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(self, *arguments)

    monkeypatch.setattr(Files, "pwrite", failing)
    limits = {"QUEUE_PACKETS": 50}
    async with running(file, rows=10, spool=spool(disk), limits=limits) as kept:
        await kept.until(lambda: kept.store._replay.is_open)
        kept.faults.is_away = True
        full.append(True)
        kept.enqueue(some(30))
        await kept.until(lambda: "spool: " in kept.account.state)
        kept.enqueue(some(100, first=30))
        assert kept.account.shed.total() > 0
        full.clear()
        await kept.until(lambda: kept.account.state == "down: nobody answers")
        kept.faults.is_away = False
        await kept.empty()
    assert len(kept.numbers) == len(set(kept.numbers)) == 130 - kept.account.shed.total()


async def test_what_is_committed_of_a_spool_is_not_stored_again(file, disk):
    """The database knows the records by the name of the spool; they are counted as delivered."""
    async with running(file, rows=10, spool=spool(disk)) as kept:
        kept.faults.is_away = True
        await kept.until(lambda: kept.store._replay.is_open)
        kept.enqueue(some(40))
        await kept.store.drain(5)
    # A life that stores some of it, and dies before it notes that.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DYING, str(file), str(disk)),
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": f"tests{os.pathsep}."},
    )
    assert await asyncio.wait_for(process.wait(), 60) == -9
    assert len(kept.numbers) == 10
    identity = (disk / "identity").read_bytes()
    async with running(file, rows=10, spool=spool(disk)) as kept:
        await kept.until(lambda: kept.account.delivered == 40)
        assert kept.account.recovered == 40
        assert kept.account.octets == sum(len(packet_of(n).packet.data) for n in range(30))
        assert kept.faults.lookups == [(identity, [(1, 10)])]
    assert sorted(kept.numbers) == list(range(40))


async def test_numbers_that_a_power_cut_gave_free(file, disk, tmp_path):
    """What was committed and is not on disk any more says nothing of what has its numbers now."""

    async def spooled(first, count):
        async with running(file, rows=10, spool=spool(disk)) as kept:
            await kept.until(lambda: kept.store._replay._is_known)
            kept.faults.is_away = True
            kept.enqueue(some(count, first))
            await kept.until(lambda: kept.store.held.in_spool >= count - 10)

    async def stored():
        async with running(file, rows=10, spool=spool(disk)) as kept:
            await kept.until(lambda: kept.store._replay._is_known)
            await kept.empty()

    await spooled(0, 10)
    shutil.copytree(disk, tmp_path / "synced")
    await spooled(10, 30)
    await stored()
    assert sorted(numbers_in(file)) == list(range(40))
    shutil.rmtree(disk)
    shutil.copytree(tmp_path / "synced", disk)
    await spooled(40, 30)
    await stored()
    assert sorted(numbers_in(file)) == list(range(70))


async def test_only_what_the_spool_holds_is_asked_of_the_loop(file, disk, monkeypatch):
    """A database may know very many batches: those that are done with cost the loop nothing."""
    asked = []
    known = Replay.known

    def counting(self, ranges):
        asked.extend(ranges)
        known(self, ranges)

    monkeypatch.setattr(Replay, "known", counting)
    for first in (0, 30):
        async with running(file, rows=10, spool=spool(disk)) as kept:
            kept.faults.is_away = True
            await kept.until(lambda: kept.store._replay.is_open)
            kept.enqueue(some(30, first))
            await kept.until(lambda: kept.store.held.in_spool >= 20)
            kept.faults.is_away = False
            await kept.empty()
    async with running(file, rows=10, spool=spool(disk)) as kept:
        await kept.until(lambda: kept.store._replay._is_known)
        assert len(kept.faults.lookups[0][1]) >= 4
    assert not asked
    assert sorted(kept.numbers) == list(range(60))


DYING = """
import asyncio, os, signal, sys
from pathlib import Path
from stores import running, spool

async def main():
    async with running(Path(sys.argv[1]), rows=10, spool=spool(sys.argv[2])) as kept:
        kept.faults.after_commit = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        await kept.until(lambda: False)

asyncio.run(main())
"""


def test_name_of_a_spool(tmp_path, caplog):
    """It stays the same as long as the numbers go on; what is no name is replaced."""
    name = identity_of(tmp_path, is_new=True)
    assert len(name) == 16
    assert identity_of(tmp_path, is_new=False) == name
    renewed = identity_of(tmp_path, is_new=True)
    assert renewed != name
    (tmp_path / "identity").write_bytes(b"damaged")
    assert identity_of(tmp_path, is_new=False) not in {name, renewed}
    assert "not the name of a spool" in caplog.text
    (tmp_path / "identity").unlink()
    (tmp_path / "identity").mkdir()
    assert identity_of(tmp_path, is_new=False) != identity_of(tmp_path, is_new=False)
    assert "no lasting name" in caplog.text


async def test_replay_is_quick(file, disk):
    """A backlog is read while the batch before it is written: it takes no time per batch."""
    async with running(file, rows=1000, every="50ms", spool=spool(disk)) as kept:
        kept.faults.is_away = True
        for first in range(0, 20_000, 1000):
            kept.enqueue(some(1000, first))
            await asyncio.sleep(0)
        await kept.until(lambda: kept.store.held.in_spool >= 19_000)
        kept.faults.is_away = False
        await kept.empty()
        assert kept.account.delivered == 20_000
    assert sorted(kept.numbers) == list(range(20_000))


# --- the end -------------------------------------------------------------------------------------


async def test_large_batch_is_let_go_of_at_once(file, disk, monkeypatch):
    """The loop does not go through the records of a batch one by one, unless some are missing."""
    one_by_one = []
    ack = Spool.ack

    def counting(self, seqs):
        one_by_one.append(list(seqs))
        ack(self, seqs)

    monkeypatch.setattr(Spool, "ack", counting)
    async with running(file, rows=100, spool=spool(disk)) as kept:
        kept.faults.is_away = True
        await kept.until(lambda: kept.store._replay.is_open)
        kept.enqueue(some(100))
        assert kept.store._replay._spool.add([b"no envelope"], 0) == 1
        kept.account.enqueued += 1
        kept.enqueue(some(1099, first=100))
        await kept.until(lambda: kept.store.held.in_spool >= 1100)
        kept.faults.is_away = False
        await kept.empty()
        assert len(one_by_one) <= 1
    assert sorted(kept.numbers) == list(range(1199))


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


async def test_hurry_leaves_all_to_the_spool(file, disk):
    """Whoever takes the spool over is not kept waiting by a medium that answers slowly."""
    async with running(file, rows=10, spool=spool(disk), limits={"CLOSE_SECONDS": 0.1}) as kept:
        await kept.until(lambda: kept.store._replay.is_open and kept.account.state == "up")
        kept.faults.hang()
        kept.enqueue(some(25))
        await kept.until(kept.faults.is_hanging.is_set)
        async with asyncio.timeout(20):
            await kept.store.drain(1000, hurry=True)
        await kept.store.close(Reason.RETIRED)
        assert kept.check() == (0, 25, 0)


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


async def test_successor_takes_the_spool_over(file, disk, tmp_path):
    """A reload with the medium away: what the old store had is stored by the new one, once."""
    (tmp_path / "in the way").write_text("")
    ledger = Ledger()
    sinks = Sinks(ledger, 5)
    memory = SimpleNamespace(memory=1 << 28)

    def configured(path):
        made = StoreSettings(
            "kept", "sqlite", path, models.Batch(rows=10, every="10ms"), spool=spool(disk)
        )
        return SimpleNamespace(destinations={}, stores={"kept": made}, switch=memory)

    account = ledger.sink("kept", "sqlite")

    def held():
        sinks.measure()
        assert account.unaccounted == 0, account
        return account.in_memory, account.in_spool, account.in_flight

    async def until(condition):
        async with asyncio.timeout(30):
            while not condition():
                held()
                await asyncio.sleep(0.005)

    sinks.replace(configured(tmp_path / "in the way" / "kept.db"))
    sinks.enqueue({"kept": some(95)})
    assert held() == (95, 0, 0)
    assert account.batch_age > 0
    await until(lambda: held() == (0, 95, 0))
    assert account.batch_age == 0
    assert account.state.startswith("down: ")
    sinks.replace(configured(file))
    sinks.enqueue({"kept": some(5, first=95)})
    await until(lambda: account.delivered == 100)
    await sinks.close()
    assert held() == (0, 0, 0)
    assert account.recovered == 0
    assert not account.dropped
    assert sorted(numbers_in(file)) == list(range(100))
