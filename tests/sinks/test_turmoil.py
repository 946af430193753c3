"""A destination with two urls and a spool, while everything around it comes and goes at random."""

import asyncio
import errno
import random
import socket
import struct
from contextlib import suppress
from types import SimpleNamespace

import pytest
from destinations import settings, spool, until
from far_sides import views_of
from loopback import HOST
from wire import chunks, frames

from hepsw.accounting import Ledger
from hepsw.config.models import Queue
from hepsw.sinks.sinks import Sinks
from hepsw.sinks.spool.files import Files

SEEDS = range(4)
"""A hundred were tried when this was written."""


class Reader:
    """A collector that has read all that it acknowledged when it goes, however it goes."""

    def __init__(self):
        self.numbers = set()
        self.is_stalled = False
        self.port = 0
        self._server = None
        self._rest = {}
        self.come()

    def come(self):
        if self._server is None:
            self._server = socket.create_server((HOST, self.port))
            self._server.setblocking(False)
            self.port = self._server.getsockname()[1]
            asyncio.get_running_loop().add_reader(self._server, self._accept)

    def _accept(self):
        with suppress(BlockingIOError):
            sock, _ = self._server.accept()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            sock.setblocking(False)
            self._rest[sock] = b""
            asyncio.get_running_loop().add_reader(sock, self._hear, sock)

    def _hear(self, sock):
        if not self.is_stalled:
            self._read(sock)

    def _read(self, sock):
        """Read all that is there."""
        while True:
            try:
                octets = sock.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                octets = b""
            if not octets:
                self._forget(sock)
                return
            found, self._rest[sock] = frames(self._rest[sock] + octets)
            for frame in found:
                bodies = {(vendor, kind): body for vendor, kind, body in chunks(frame)}
                self.numbers.add(int.from_bytes(bodies[0, 0x0C]))

    def _forget(self, sock):
        asyncio.get_running_loop().remove_reader(sock)
        del self._rest[sock]
        sock.close()

    def stall(self, *, wanted):
        self.is_stalled = wanted
        loop = asyncio.get_running_loop()
        for sock in list(self._rest):
            if wanted:
                loop.remove_reader(sock)
            else:
                loop.add_reader(sock, self._hear, sock)

    def cut(self, *, hard):
        """End the connections."""
        for sock in list(self._rest):
            self._read(sock)
            if sock in self._rest:
                if hard:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._forget(sock)

    def go(self, *, hard=True):
        if self._server is not None:
            asyncio.get_running_loop().remove_reader(self._server)
            # Those that were not accepted yet have been acknowledged what they sent.
            while True:
                try:
                    sock, _ = self._server.accept()
                except BlockingIOError:
                    break
                sock.setblocking(False)
                self._rest[sock] = b""
            self._server.close()
            self._server = None
        self.cut(hard=hard)


class Turmoil:
    """One random history."""

    def __init__(self, random, peer, **more):
        self.random = random
        self.peer = peer
        self.more = more
        self.ledger = Ledger()
        self.account = self.ledger.sink("far", "tcp")
        self.sinks = Sinks(self.ledger, 0.1)
        self.readers = [Reader(), Reader()]
        self.policy = random.choice(["failover", "hash", "round-robin"])
        self.sent = 0
        self.timeout = 20
        self.disk_is_full = False
        self.steps = [
            *[self.send] * 6,
            *[self.go] * 2,
            *[self.come] * 2,
            self.cut,
            self.stall,
            self.unstall,
            self.reload,
        ]

    def reload(self):
        self.timeout += 1
        urls = [f"tcp://{HOST}:{each.port}" for each in self.readers]
        made = settings(*urls, policy=self.policy, timeout=self.timeout, **self.more)
        configured = SimpleNamespace(
            destinations={"far": made}, stores={}, switch=SimpleNamespace(memory=1 << 28)
        )
        self.sinks.replace(configured)

    def send(self):
        count = self.random.randint(1, 400)
        views = views_of(self.peer, range(self.sent, self.sent + count), lambda n: f"c{n % 7}")
        self.sent += count
        self.sinks.enqueue({"far": views})

    def one(self):
        return self.random.choice(self.readers)

    def go(self):
        self.one().go(hard=self.random.random() < 0.5)

    def come(self):
        self.one().come()

    def cut(self):
        self.one().cut(hard=self.random.random() < 0.5)

    def stall(self):
        self.one().stall(wanted=True)

    def unstall(self):
        self.one().stall(wanted=False)

    def fill_or_free_the_disk(self):
        self.disk_is_full = not self.disk_is_full

    def check(self):
        self.sinks.measure()
        account = self.account
        assert account.unaccounted == 0, account
        assert account.enqueued + account.shed.total() == self.sent
        assert min(account.in_memory, account.in_spool, account.in_flight) >= 0, account

    async def run(self, steps):
        self.reload()
        for _ in range(steps):
            self.random.choice(self.steps)()
            self.check()
            for _ in range(self.random.choice([0, 0, 1, 3, 10])):
                await asyncio.sleep(self.random.choice([0, 0.002]))
                self.check()
        self.disk_is_full = False
        for each in self.readers:
            each.stall(wanted=False)
            each.come()

        def is_over():
            self.check()
            account = self.account
            return not account.in_memory + account.in_spool + account.in_flight

        await until(is_over)
        await asyncio.sleep(0.05)
        self.check()
        await self.sinks.close()
        self.check()
        for each in self.readers:
            each.go()
        arrived = self.readers[0].numbers | self.readers[1].numbers
        lost = self.account.dropped.total() + self.account.shed.total()
        assert self.sent - len(arrived) <= lost, (self.sent, len(arrived), self.account)
        return lost


@pytest.fixture
def quick(monkeypatch):
    """Everything happens sooner."""
    monkeypatch.setattr("hepsw.sinks.destination.GRACE", 0.03)
    monkeypatch.setattr("hepsw.sinks.pool.SLOW_RETURN", 0.05)
    monkeypatch.setattr("hepsw.sinks.stream.CLOSE", 0.05)
    monkeypatch.setattr("hepsw.sinks.backoff.BackOff.next", lambda _: 0.02)
    monkeypatch.setattr("hepsw.sinks.spool.worker.Worker.RETRY_SECONDS", 0.03)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("room", ["ample", "scant"])
async def test_turmoil(peer, tmp_path, quick, monkeypatch, seed, room):
    """Every packet arrives or is counted, and the accounts are right at every moment."""
    more = {
        "ample": {"spool": spool(tmp_path / "s"), "queue": Queue(packets=100_000)},
        "scant": {
            "spool": spool(tmp_path / "s", max="256KiB"),
            "queue": Queue(packets=500),
            "overflow": ["drop-old", "drop-new"][seed % 2],
        },
    }[room]
    turmoil = Turmoil(random.Random(seed), peer, **more)
    if room == "scant":
        turmoil.steps.append(turmoil.fill_or_free_the_disk)
    pwrite = Files.pwrite

    def write(self, *arguments):
        if turmoil.disk_is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(self, *arguments)

    monkeypatch.setattr(Files, "pwrite", write)
    lost = await turmoil.run(120)
    if room == "ample":
        assert lost == 0, turmoil.account
