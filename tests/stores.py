"""Stores under test: a SQLite file, and before it a writer that fails as it is told."""

import asyncio
import itertools
import sqlite3
import struct
import threading
from contextlib import asynccontextmanager, closing
from dataclasses import replace

from hepsw.accounting import Reason, SinkAccount
from hepsw.config import models
from hepsw.config.configuration import StoreSettings
from hepsw.errors import StoreError
from hepsw.hep import decode
from hepsw.sinks.budget import Budget
from hepsw.sinks.stores.sqlite.writer import SqliteWriter
from hepsw.sinks.stores.store import Around, Store
from hepsw.sinks.stores.writer import Refused, Written
from hepsw.view import Peer, View

PEER = Peer(bytes([192, 0, 2, 1]), 9060, "udp", bytes([192, 0, 2, 2]), 9061, "main")
ARRIVAL_US = 1_700_000_000_000_000


def packet_of(number, octets=0):
    """Return a view whose time of arrival is its number."""
    body = struct.pack("!HHH", 0, 0x11, 14) + b"%08d" % number
    body += struct.pack("!HHH", 0, 0x0F, 13 + octets) + b"OPTIONS" + bytes(octets)
    frame = b"HEP3" + struct.pack("!H", 6 + len(body)) + body
    return View(decode(frame), PEER, ARRIVAL_US + number)


def some(count, first=0, **more):
    """Return views of so many packets, no two of them alike."""
    return [packet_of(number, **more) for number in range(first, first + count)]


def number_of(view):
    return view.received_us - ARRIVAL_US


def numbers_in(file):
    """Return the numbers of what is stored, in order and as often as it is there."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT received_us FROM packets ORDER BY id").fetchall()
    except sqlite3.OperationalError:  # not there yet
        return []
    return [received_us - ARRIVAL_US for (received_us,) in rows]


class Faults:
    """What goes wrong, from now on; changed by a test, looked at by the thread of a store."""

    def __init__(self):
        self.is_away = False
        """Nothing can be opened or written."""
        self.unheard = 0
        """So many commits work, and nobody hears of it."""
        self.bugs = 0
        """So many writes fail by a bug."""
        self.open_bugs = 0
        self.refused = lambda _: False
        self.poison = lambda _: False
        self.breaks_tidying = False
        self.tidyings = itertools.repeat(False)
        """What each step of retention says."""
        self.tidied = 0
        self.after_commit = lambda _: None
        self.tried = []
        """Every attempt: the batch."""
        self.written = []
        """What came back of it."""
        self.ghosts = set()
        """Numbers that are stored, though their last attempt failed."""
        self.lookups = []
        """Spools that were asked for, and what was known."""
        self.free = threading.Event()
        self.free.set()
        self.is_hanging = threading.Event()

    def hang(self):
        self.is_hanging.clear()
        self.free.clear()

    def release(self):
        self.free.set()


class FaultyWriter:
    """A real writer, and what goes wrong with it."""

    def __init__(self, settings, faults):
        self.inner = SqliteWriter(settings)
        self.faults = faults

    def open(self):
        if self.faults.is_away:
            raise StoreError("nobody answers", "connect")
        if self.faults.open_bugs:
            self.faults.open_bugs -= 1
            raise RuntimeError("a bug in open")
        self.inner.open()

    def known(self, spool):
        found = self.inner.known(spool)
        self.faults.lookups.append((spool, found))
        return found

    def tables(self, batch):
        return self.inner.tables(batch)

    def write(self, batch, give_up):
        faults = self.faults
        faults.tried.append(batch)
        if not faults.free.is_set():
            faults.is_hanging.set()
            faults.free.wait(30)
        if faults.is_away:
            raise StoreError("nobody answers", "connect")
        if faults.bugs:
            faults.bugs -= 1
            raise RuntimeError("a bug")
        numbers = [number_of(view) for view in batch.views]
        if bad := [number for number in numbers if faults.poison(number)]:
            raise RuntimeError(f"a bug for {bad}")
        refused = [
            Refused(at, "packets", "picky", "not this one")
            for at, number in enumerate(numbers)
            if faults.refused(number)
        ]
        if len(refused) < len(numbers):
            gone = {each.at for each in refused}
            kept = [view for at, view in enumerate(batch.views) if at not in gone]
            written = self.inner.write(replace(batch, views=kept), lambda _: give_up(refused))
        else:
            give_up(refused)
            written = Written()
        faults.after_commit(batch)
        if faults.unheard:
            faults.unheard -= 1
            faults.ghosts.update(numbers)
            raise StoreError("the connection broke", "lost")
        faults.ghosts.difference_update(numbers)
        written = replace(written, refused=refused)
        faults.written.append(written)
        return written

    def tidy(self, now_us):  # noqa: ARG002 - the contract's
        self.faults.tidied += 1
        if self.faults.breaks_tidying:
            raise RuntimeError("a bug in tidy")
        return next(self.faults.tidyings)

    def close(self):
        self.inner.close()


class Kept:
    """A store on a file, with its account and its faults."""

    def __init__(
        self, file, *, rows=2000, every="60s", memory=1 << 30, faults=None, limits=None, **more
    ):
        self.file = file
        self.faults = faults or Faults()
        self.account = SinkAccount()
        self.budget = Budget(memory)
        self.settings = StoreSettings(
            "kept", "sqlite", file, models.Batch(rows=rows, every=every), **more
        )
        kind = type("Limited", (Store,), limits or {})
        self.store = kind(
            "kept",
            self.settings,
            self.account,
            lambda: FaultyWriter(self.settings, self.faults),
            Around(self.budget, self._recovered),
        )

    def _recovered(self, n):
        self.account.recovered += n

    def enqueue(self, views):
        self.store.enqueue(views)

    @property
    def numbers(self):
        return numbers_in(self.file)

    def check(self):
        """The identities of the account hold at this moment."""
        account, held = self.account, self.store.held
        account.in_memory, account.in_spool, account.in_flight = held
        assert min(held) >= 0, held
        assert account.unaccounted == 0, account
        assert self.store.waiting >= 0
        return held

    async def until(self, condition, seconds=30):
        """Wait for something that another thread does; the account is looked at meanwhile."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.check()
                await asyncio.sleep(0.005)
        self.check()

    async def empty(self):
        """Wait until nothing is held any more."""
        await self.until(lambda: not sum(self.store.held))


@asynccontextmanager
async def running(file, **more):
    """Run a store that waits for full batches; everything it took is accounted for at the end."""
    kept = Kept(file, **more)
    kept.store.start()
    kept.store.open_spool()
    try:
        yield kept
        kept.check()
    finally:
        kept.faults.release()
        await kept.store.close(Reason.SHUTDOWN)
        async with asyncio.timeout(30):
            await kept.store._ended.wait()
    assert kept.check()._replace(in_spool=0) == (0, 0, 0)
    assert kept.budget.used == kept.store.waiting == 0
    for name, table in kept.account.tables.items():
        assert table.rows_in == table.committed + table.dead_lettered.total(), (name, table)


def spool(folder, **more):
    """Return the settings of a spool in a folder."""
    return models.Spool.model_validate({"path": str(folder), **more})
