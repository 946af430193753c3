"""Spools under test: an owner that keeps book, system calls that fail, a disk that is full."""

import asyncio
import errno
import os
from collections import Counter
from contextlib import asynccontextmanager
from types import SimpleNamespace

from hepsw.sinks.spool import Spool
from hepsw.sinks.spool.files import Files


def failed(number):
    """Return the error of a system call."""
    return OSError(number, os.strerror(number))


class Owner:
    """Keeps what it is told, and holds the identity against the spool's numbers."""

    def __init__(self):
        self.recovered = []
        self.dropped = Counter()
        self.failed = Counter()
        self.ready = asyncio.Event()
        self.readies = 0
        self.added = 0
        self.acked = 0

    def spool_recovered(self, n):
        self.recovered.append(n)

    def spool_dropped(self, reason, n):
        assert n > 0
        self.dropped[reason] += n

    def spool_failed(self, what):
        self.failed[what] += 1

    def spool_ready(self):
        self.readies += 1
        self.ready.set()

    def unaccounted(self, spool):
        """Return recovered + added - acked - dropped - staged - on disk."""
        told = self.acked + self.dropped.total() + spool.staged + spool.on_disk
        return sum(self.recovered) + self.added - told


class Careless(Files):
    """Waits for no disk: what is tested is not durability."""

    def fdatasync(self, fd):
        pass

    def fsync_folder(self, fd):
        pass


class Faulty(Careless):
    """Fails as told: `plans[name]` is called with the number of the call and its arguments.

    It raises, or returns what the call is to return, or None for what it does otherwise.
    """

    def __init__(self, **plans):
        self.plans = plans
        self.calls = Counter()

    def __getattribute__(self, name):
        call = super().__getattribute__(name)
        if name.startswith("_") or name in {"plans", "calls", "write", "write_all"}:
            return call

        def planned(*arguments):
            self.calls[name] += 1
            plan = self.plans.get(name)
            result = plan(self.calls[name], *arguments) if plan else None
            return call(*arguments) if result is None else result

        return planned


def at(number, error):
    """Return a plan: the nth call fails."""

    def plan(call, *_):
        if call == number:
            raise failed(error)

    return plan


class SmallDisk(Careless):
    """A file system with room for so many octets: it takes what fits, then it says ENOSPC."""

    def __init__(self, folder, octets):
        self.folder = folder
        self.octets = octets

    def _room(self, fd):
        """Return how large a file can get."""
        used = sum(entry.stat().st_size for entry in os.scandir(self.folder))
        return self.octets - used + os.fstat(fd).st_size

    def allocate(self, fd, octets):
        if octets > self._room(fd):
            raise failed(errno.ENOSPC)
        super().allocate(fd, octets)

    def pwrite(self, fd, octets, offset):
        room = max(self._room(fd), os.fstat(fd).st_size) - offset
        if room <= 0:
            raise failed(errno.ENOSPC)
        return super().pwrite(fd, octets[:room], offset)


def spool_of(
    path, owner, *, files=None, segment=None, fingerprint=7, keep_old=False, retry=None, **settings
):
    """Return a spool that waits for no disk, unless it is given system calls."""
    chosen = SimpleNamespace(
        **({"max": 1 << 30, "sync": 0.2, "age": None} | settings), path=str(path)
    )
    kind = type("Small", (Spool,), {"SEGMENT": segment}) if segment else Spool
    spool = kind(
        "x",
        chosen,
        fingerprint=fingerprint,
        keep_old=keep_old,
        owner=owner,
        files=files or Careless(),
    )
    spool._worker.GATHER_SECONDS = 0  # one frame at a time is what most tests add
    if retry:
        spool._worker.RETRY_SECONDS = retry
    return spool


@asynccontextmanager
async def opened(path, owner=None, **options):
    """Give a spool that is open, and its owner; close it at the end, and check its numbers."""
    owner = owner or Owner()
    spool = spool_of(path, owner, **options)
    spool.start()
    try:
        await until(lambda: spool.is_open)
        yield spool, owner
    finally:
        await spool.close()
    assert owner.unaccounted(spool) == 0


async def until(condition, seconds=10.0):
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.0002)


async def put(spool, owner, frames, seconds=10.0):
    """Add all frames, and wait until they are on disk."""
    start = 0
    async with asyncio.timeout(seconds):
        while start < len(frames):
            taken = spool.add(frames, start)
            owner.added += taken - start
            start = taken
            await asyncio.sleep(0 if start == len(frames) else 0.0002)
        while spool.staged:
            await asyncio.sleep(0.0002)


async def take(spool, owner, most=100_000, *, ack=False):
    """Return the frames that are read until there are none, and ack them if told to."""
    frames = []
    while len(frames) < most:
        records = await spool.read(min(512, most - len(frames)), 1 << 20)
        if not records:
            break
        frames += [frame for _, frame in records]
        if ack:
            ack_all(spool, owner, [seq for seq, _ in records])
    return frames


def ack_all(spool, owner, seqs):
    """Ack, and count what that changed."""
    before = spool.staged + spool.on_disk
    spool.ack(seqs)
    owner.acked += before - spool.staged - spool.on_disk


def numbered(count, first=0, octets=40):
    """Return frames that tell their number."""
    return [b"%012d" % number + b"x" * (octets - 12) for number in range(first, first + count)]
