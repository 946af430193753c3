"""A destination where its parts meet: what one lets go of, another must have at that moment."""

import asyncio
import errno
import socket
from contextlib import closing
from types import SimpleNamespace

import pytest
from destinations import running, settings, spool, until
from far_sides import Collector, collectors, views_of
from loopback import HOST, free_port

from hepsw.accounting import Ledger, Reason
from hepsw.config.models import Queue
from hepsw.sinks import destination
from hepsw.sinks.sinks import Sinks


@pytest.fixture
def quick(monkeypatch):
    """What waits goes to disk soon."""
    monkeypatch.setattr(destination, "GRACE", 0.05)


MANY = 40_000
"""More than a spool takes at once."""


async def test_end_with_much_in_memory(peer, tmp_path):
    """All that waits goes to disk, however much it is."""
    url, much = f"tcp://{HOST}:{free_port()}", Queue(packets=MANY)
    made = settings(url, queue=much, spool=spool(tmp_path / "s"))
    async with running(made) as far:
        await until(lambda: far.sink._backlog.is_open)
        far.sink.enqueue(views_of(peer, range(MANY)))
        assert far.sink.held == (MANY, 0, 0)
        await far.sink.close(Reason.SHUTDOWN)
        assert far.sink.held == (0, MANY, 0)
    assert not far.account.dropped


async def test_much_in_memory_when_the_last_link_is_gone(peer, tmp_path, quick):
    """All of it goes to disk, not only as much as the spool takes at once."""
    url, much = f"tcp://{HOST}:{free_port()}", Queue(packets=MANY)
    made = settings(url, queue=much, spool=spool(tmp_path / "s"))
    async with running(made) as far:
        far.sink.enqueue(views_of(peer, range(MANY)))
        await until(lambda: far.sink.held == (0, MANY, 0), 5)


async def test_same_frame_twice_while_the_disk_takes_nothing(peer, tmp_path, quick, monkeypatch):
    """One object can stand for two packets: a packet, and a copy of it that was handed over."""
    late = Collector(free_port())
    async with running(settings(late.url, spool=spool(tmp_path / "s"))) as far:
        await until(lambda: far.sink._spooling and far.sink._backlog.is_open)

        def full(*_):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr("hepsw.sinks.spool.files.Files.pwrite", full)
        view = views_of(peer, [5])[0]
        far.sink.enqueue([view, view])
        await until(lambda: not far.sink._backlog.is_open)
        await late.come()
        await until(lambda: far.account.delivered == 2, 5)
        assert far.measure() == 0
        await until(lambda: late.numbers == [5, 5], 5)
        assert far.measure() == 0
        assert sum(far.sink.held) == 0
        monkeypatch.undo()
        await late.go()


async def test_refused_replay_without_live_traffic(peer, tmp_path, quick, monkeypatch):
    """What is on disk is sent when somebody listens again, though nothing new comes."""
    monkeypatch.setattr("hepsw.sinks.udp.QUIET", 0.3)
    monkeypatch.setattr("hepsw.sinks.udp.LISTEN_AGAIN", 0.02)
    monkeypatch.setattr("hepsw.sinks.backlog.BATCH", 4)
    monkeypatch.setattr(destination, "PROBE", 0.05)
    gone, port = free_port(), free_port()
    made = settings(f"tcp://{HOST}:{gone}", spool=spool(tmp_path / "s"))
    async with running(made) as far:
        far.sink.enqueue(views_of(peer, range(300)))
        await far.sink.close(Reason.SHUTDOWN)
    async with running(settings(f"udp://{HOST}:{port}", spool=spool(tmp_path / "s"))) as far:
        await until(lambda: far.account.state == "refused")
        await until(lambda: far.sink._spooling)
        assert far.sink.held.in_spool > 0
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as back:
            back.bind((HOST, port))
            await until(lambda: sum(far.sink.held) == 0, 5)


class Configured:
    """As much of a configuration as `Sinks` reads."""

    def __init__(self, **destinations):
        self.destinations = destinations
        self.stores = {}
        self.switch = SimpleNamespace(memory=1 << 28)


async def test_reloads_while_the_spool_is_still_with_the_first(peer, tmp_path):
    """Who had to wait for the spool, and is replaced before he has it, loses nothing."""
    ledger = Ledger()
    sinks = Sinks(ledger, 0.2)
    account = ledger.sink("far", "tcp")

    async def watch():
        while True:
            sinks.measure()
            assert account.unaccounted == 0, account
            await asyncio.sleep(0.001)

    with closing(socket.create_server((HOST, 0), backlog=50)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = f"tcp://{HOST}:{deaf.getsockname()[1]}"

        def configured(timeout):
            made = settings(url, spool=spool(tmp_path / "s"), timeout=timeout)
            return Configured(far=made)

        watching = asyncio.create_task(watch())
        for timeout in (30, 31, 32, 33):
            sinks.replace(configured(timeout))
            sink = sinks._live["far"]
            for first in range(0, 5000, 1000):
                sink.enqueue(views_of(peer, range(first, first + 1000)))
            await asyncio.sleep(0.2)
        await sinks.close()
        sinks.measure()
        assert not watching.done(), watching.result()
        watching.cancel()
    assert account.enqueued == 20_000
    assert not account.dropped
    assert account.in_spool + account.delivered == 20_000


async def test_order_over_a_link_that_takes_over(peer, monkeypatch):
    """What waited for the broken one goes before what came a moment later."""
    async with collectors(2) as (one, two), running(settings(one.url, two.url)) as far:
        await until(lambda: far.account.state == "up")
        first = far.sink._links[0]
        told = far.sink.went_down

        def went_down(link, error):
            told(link, error)
            if link is first and far.account.enqueued == 1:
                far.sink.enqueue(views_of(peer, [1]))

        far.sink.went_down = went_down
        first._break(ConnectionResetError())
        far.sink.enqueue(views_of(peer, [0]))
        await until(lambda: len(two.numbers) == 2, 5)
        assert two.numbers == [0, 1]


async def test_what_another_link_sends_once_more_is_counted(peer):
    """What was with the first may have been read there, whoever sends it in the end."""
    much = Queue(packets=MANY)
    async with collectors(2) as (one, two), running(settings(one.url, two.url, queue=much)) as far:
        await until(lambda: far.account.state == "up")
        first = far.sink._links[0]
        far.sink.enqueue(views_of(peer, range(MANY)))  # more than the kernel has room for
        begun = first.begun
        assert begun
        first._break(ConnectionResetError())
        await until(lambda: far.account.delivered == MANY, 10)
        await until(lambda: set(one.numbers) | set(two.numbers) == set(range(MANY)), 10)
        assert begun <= far.account.resent
        assert len(one.numbers) + len(two.numbers) - MANY <= far.account.resent


async def test_spool_of_a_destination_that_was_renamed(peer, tmp_path, quick):
    """What is kept beside and not sent is counted as lost, and only once."""
    ledger = Ledger()
    sinks = Sinks(ledger, 0.2)
    made = settings(f"tcp://{HOST}:{free_port()}", spool=spool(tmp_path / "s"))
    sinks.replace(Configured(one=made))
    await until(lambda: sinks._live["one"]._spooling and sinks._live["one"]._can_spool)
    sinks.enqueue({"one": views_of(peer, range(10))})
    sinks.replace(Configured(two=made))
    await until(lambda: sinks._live["two"]._can_spool)
    assert ledger.sinks["one"].dropped == {Reason.RETIRED: 10}
    assert not ledger.sinks["one"].handed_over
    sinks.replace(Configured(one=made))
    await until(lambda: sinks._live["one"]._can_spool)
    sinks.measure()
    assert not any(account.unaccounted for account in ledger.sinks.values())
    await sinks.close()
