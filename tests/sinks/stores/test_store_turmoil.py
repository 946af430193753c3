"""A store with a spool, while everything around it comes and goes at random."""

import asyncio
import errno
import random
import sys
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import Faults, FaultyWriter, number_of, numbers_in, some, spool

from hepsw.accounting import Ledger, TableAccount
from hepsw.config import models
from hepsw.config.configuration import StoreSettings
from hepsw.sinks.sinks import Sinks
from hepsw.sinks.spool.files import Files
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.store import Store
from hepsw.sinks.stores.thread import StoreThread
from hepsw.sinks.stores.writers import WRITERS


class Turmoil:
    """One random history."""

    def __init__(self, random, folder, **more):
        self.random = random
        self.folder = folder
        self.more = more
        self.faults = Faults()
        self.ledger = Ledger()
        self.account = self.ledger.sink("kept", "sqlite")
        self.sinks = Sinks(self.ledger, 0.1)
        self.sent = 0
        self.disk_is_full = False
        self.too_late = 0
        """Packets that were stored when the store had counted them otherwise already."""
        self.rows = 50
        self.steps = [
            *[self.send] * 8,
            *[self.go_or_come] * 3,
            self.lose_an_answer,
            self.hang,
            self.release,
            self.fail_by_a_bug,
            self.fill_or_free_the_disk,
            self.reload,
        ]

    @property
    def file(self):
        return self.folder / "kept.db"

    def reload(self):
        self.rows += 1
        made = StoreSettings(
            "kept",
            "sqlite",
            self.file,
            models.Batch(rows=self.rows, every="5ms"),
            letters=self.folder / "letters.jsonl",
            **self.more,
        )
        configured = SimpleNamespace(
            destinations={}, stores={"kept": made}, switch=SimpleNamespace(memory=1 << 28)
        )
        self.sinks.replace(configured)

    def send(self):
        count = self.random.randint(1, 300)
        self.sinks.enqueue({"kept": some(count, self.sent)})
        self.sent += count

    def go_or_come(self):
        self.faults.is_away = not self.faults.is_away

    def lose_an_answer(self):
        self.faults.unheard += 1

    def fail_by_a_bug(self):
        self.faults.bugs = self.random.choice([1, 2])

    def hang(self):
        self.faults.hang()

    def release(self):
        self.faults.release()

    def fill_or_free_the_disk(self):
        self.disk_is_full = not self.disk_is_full

    def check(self):
        self.sinks.measure()
        account = self.account
        assert account.unaccounted == 0, account
        assert account.enqueued + account.shed.total() == self.sent
        assert min(account.in_memory, account.in_spool, account.in_flight) >= 0, account
        assert self.sinks._budget.used >= 0

    async def run(self, steps):
        self.reload()
        for _ in range(steps):
            self.random.choice(self.steps)()
            self.check()
            for _ in range(self.random.choice([0, 0, 1, 3, 10])):
                await asyncio.sleep(self.random.choice([0, 0.002]))
                self.check()
        self.disk_is_full = self.faults.is_away = False
        self.faults.release()

        def is_over():
            self.check()
            account = self.account
            return not account.in_memory + account.in_spool + account.in_flight

        async with asyncio.timeout(60):
            while not is_over():
                await asyncio.sleep(0.005)
            while self.sinks._retiring:
                await asyncio.sleep(0.005)
        await self.sinks.close()
        self.check()
        assert self.sinks._budget.used == 0
        account = self.account
        table = account.tables.get("packets", TableAccount())

        def are_rows_known():
            return table.rows_in == table.committed + table.dead_lettered.total()

        async with asyncio.timeout(30):  # a thread that was left behind says so at last
            while not are_rows_known():
                await asyncio.sleep(0.005)
        self.check()
        self.stored = numbers_in(self.file)
        # A batch that was given up and went to the spool may be refused there once more.
        found = letters.read(self.folder / "letters.jsonl")
        self.refused = {number_of(each.view) for each in found}
        assert self.refused.isdisjoint(self.stored)
        lost = account.dropped.total() + account.shed.total()
        told = account.delivered + account.dead_lettered.total()
        assert told + lost == self.sent + account.recovered, account
        # Nothing is lost that was not counted so.
        assert len(self.refused.union(self.stored)) + lost >= self.sent, account
        return lost


@pytest.fixture
def turmoil_of(monkeypatch, quick):
    """Return what makes a turmoil; its writers and its disk fail as it says."""
    monkeypatch.setattr(Store, "CLOSE_SECONDS", 0.1)
    current = []
    pwrite = Files.pwrite

    def write(self, *arguments):
        if current[-1].disk_is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(self, *arguments)

    def make(random, folder, **more):
        current.append(Turmoil(random, folder, **more))
        return current[-1]

    def writer(settings):
        return FaultyWriter(settings, current[-1].faults)

    settled = StoreThread.settled

    def watching(thread, outcome):
        in_time = settled(thread, outcome)
        if not in_time:
            current[-1].too_late += outcome.packets
        return in_time

    monkeypatch.setattr(StoreThread, "settled", watching)
    monkeypatch.setattr(Files, "pwrite", write)
    monkeypatch.setitem(WRITERS, "sqlite", ("sinks_under_turmoil", "writer"))
    monkeypatch.setitem(sys.modules, "sinks_under_turmoil", SimpleNamespace(writer=writer))
    return make


SEEDS = range(4)
"""Twenty were tried when this was written."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("room", ["ample", "scant", "none"])
async def test_turmoil(tmp_path, turmoil_of, monkeypatch, seed, room):
    """Every packet is stored once or counted once, and the accounts are right at every moment."""
    more = {
        "ample": {"spool": spool(tmp_path / "s")},
        "scant": {"spool": spool(tmp_path / "s", max="64KiB")},
        "none": {},
    }[room]
    if room == "scant":
        monkeypatch.setattr(Store, "QUEUE_PACKETS", 200)
    turmoil = turmoil_of(random.Random(seed), tmp_path, **more)
    if room == "ample":
        turmoil.steps.remove(turmoil.fill_or_free_the_disk)
    turmoil.faults.refused = lambda number: number % 97 == 5
    turmoil.faults.poison = lambda number: number % 1009 == 7
    lost = await turmoil.run(100)
    stored, account = turmoil.stored, turmoil.account
    if room != "scant":
        # Of a batch that may be committed, and that the spool gave up a part of, nothing is known.
        assert len(stored) == len(set(stored)), "stored twice"
    if room == "ample":
        assert lost == account.recovered == 0, account
        assert len(stored) + len(turmoil.refused) == turmoil.sent
    if room == "none":
        # What was committed and not heard of in time was counted as lost, and so was what was
        # refused by a batch that was not committed.
        too_many = len(stored) + len(turmoil.refused) + lost - turmoil.sent
        in_vain = len(turmoil.refused) - account.dead_lettered.total()
        assert 0 <= too_many <= len(turmoil.faults.ghosts) + turmoil.too_late + in_vain, account


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.integers(0, 15), max_size=30), st.integers(0, 3))
def test_short_histories(tmp_path_factory, turmoil_of, choices, seed):
    """Any few steps in any order, found by whoever looks for the shortest that fails."""
    folder = tmp_path_factory.mktemp("history")
    turmoil = turmoil_of(random.Random(seed), folder, spool=spool(folder / "s"))
    turmoil.steps.remove(turmoil.fill_or_free_the_disk)
    left = iter(choices)

    class Chosen(random.Random):
        def choice(self, options):
            if options is turmoil.steps:
                return options[next(left) % len(options)]
            return super().choice(options)

    turmoil.random = Chosen(seed)
    assert asyncio.run(turmoil.run(len(choices))) == 0
    assert sorted(turmoil.stored) == list(range(turmoil.sent))
