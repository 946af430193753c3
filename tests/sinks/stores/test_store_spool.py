"""A store with a disk behind it: what waits there comes back, and each packet is stored once."""

import asyncio
import errno
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from stores import Kept, numbers_in, packet_of, running, some, spool

from hepsw.accounting import Ledger, Reason
from hepsw.config import models
from hepsw.config.configuration import StoreSettings
from hepsw.sinks.sinks import Sinks
from hepsw.sinks.spool.files import Files
from hepsw.sinks.spool.spool import Spool
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.identity import identity_of
from hepsw.sinks.stores.replay import Replay
from hepsw.sinks.stores.writer import Batch

pytestmark = pytest.mark.usefixtures("quick")


# --- while the medium is away --------------------------------------------------------------------


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
    """Neither the backlog nor what comes keeps the other waiting: one of each, again and again."""
    async with running(file, rows=10, spool=spool(disk)) as kept:
        kept.faults.is_away = True
        kept.enqueue(some(200))
        await kept.until(lambda: kept.store.held.in_spool >= 190)
        kept.faults.after_commit = lambda _: kept.faults.hang()
        kept.faults.is_away = False
        await kept.until(lambda: kept.account.state == "up")
        await kept.until(kept.faults.is_hanging.is_set)
        kept.enqueue(some(100, first=200))
        kept.faults.tried.clear()
        # Who commits more quickly than the disk is read does not wait for it; this medium is slow.
        kept.faults.after_commit = lambda _: wait_for_the_disk(kept.store)
        kept.faults.release()
        await kept.empty()
        kinds = [batch.spool is not None for batch in kept.faults.tried]
        assert kinds[:19] == [False, True] * 9 + [False]
    assert sorted(kept.numbers) == list(range(300))


def wait_for_the_disk(store):
    """Wait, in the thread of a store, until the next batch of the spool is there to be written."""
    deadline = time.monotonic() + 30
    while store._thread._offered is None and store._replay._spool.unread:
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def test_replay_is_quick(file, disk):
    """A backlog is read while the batch before it is written: it takes no time per batch."""
    async with running(file, rows=200, every="50ms", spool=spool(disk)) as kept:
        kept.faults.is_away = True
        await kept.until(lambda: kept.store._replay.is_open)
        for first in range(0, 4000, 200):
            kept.enqueue(some(200, first))
            await asyncio.sleep(0)
        await kept.until(lambda: kept.store.held.in_spool >= 3_800)
        kept.faults.is_away = False
        await kept.empty()
        assert kept.account.delivered == 4000
    assert sorted(kept.numbers) == list(range(4000))


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


# --- the end of a store --------------------------------------------------------------------------


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


# --- what may be committed already ---------------------------------------------------------------


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
