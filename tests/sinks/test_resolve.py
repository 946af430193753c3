"""Looking destinations up: names that hang, lie, or lead back to us."""

import asyncio
import errno
import ipaddress
import socket
import threading
import time
from contextlib import closing

import pytest
from destinations import running, settings, until
from loopback import HOST, free_port

from hepsw.errors import DeliveryError
from hepsw.hep import build
from hepsw.sinks import udp
from hepsw.sinks.resolve import LookUp, OwnListenerError, nothing_is_own
from hepsw.view import View


@pytest.fixture
def views(peer):
    return [View(build(capture_id=n, payload=b"OPTIONS"), peer, n) for n in range(10)]


@pytest.fixture
def server():
    """Somebody who listens at `url` and has accepted nobody yet."""
    with closing(socket.create_server((HOST, 0))) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def resolver(monkeypatch):
    """A resolver that answers names from a table, and hangs while it is told to."""

    class Resolver:
        def __init__(self):
            self.answers = {}
            self.asked = []
            self.release = threading.Event()
            self.release.set()

        def __call__(self, host, port, type=0, flags=0):  # noqa: A002 - as in socket
            if flags & socket.AI_NUMERICHOST:
                return real(host, port, type=type, flags=flags)
            self.asked.append(threading.current_thread())
            self.release.wait(10)
            answer = self.answers.get(host, HOST)
            if isinstance(answer, Exception):
                raise answer
            answers = [answer] if isinstance(answer, str) else answer
            return [
                (socket.AF_INET6 if ":" in each else socket.AF_INET, type, 0, "", (each, port))
                for each in answers
            ]

    real = socket.getaddrinfo
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.release.set()
    for thread in made.asked:
        thread.join(5)


def look_up(url, timeout=0.05, is_own=nothing_is_own):
    kind = socket.SOCK_DGRAM if url.startswith("udp") else socket.SOCK_STREAM
    return LookUp(settings(url).url, kind, timeout, is_own)


async def test_hung_look_up_is_not_begun_again(resolver):
    """One thread for each destination, a daemon, outside the pool; its late answer still counts."""
    resolver.release.clear()
    hung = look_up("udp://collector.test:9060")
    for _ in range(3):
        with pytest.raises(DeliveryError, match="no answer"):
            await hung.targets()
    waiting = asyncio.create_task(hung.targets())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(resolver.asked) == 1
    assert resolver.asked[0].daemon
    # Reloads, and whatever else uses the pool, go on.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 1) == 7
    resolver.release.set()
    resolver.asked[0].join()
    assert [target.address for target in await hung.targets()] == [(HOST, 9060)]
    assert len(resolver.asked) == 1
    await hung.targets()
    assert len(resolver.asked) == 2


def test_hung_look_up_does_not_hold_up_the_end(resolver):
    """The loop is gone when the answer comes: nobody waits, nothing is raised."""
    resolver.release.clear()

    async def main():
        async with running(settings("udp://collector.test:9060", timeout=0.05)) as far:
            await until(lambda: far.account.errors["unreachable"])

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 2
    resolver.release.set()
    resolver.asked[0].join(5)  # an exception of a thread fails the test


@pytest.mark.parametrize(
    "error",
    [
        UnicodeError("label too long"),
        ValueError("embedded null byte"),
        socket.gaierror(-2, "Name or service not known"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
)
async def test_name_that_cannot_be_looked_up(resolver, error):
    """Whatever is wrong with it is the far side's trouble, not a bug."""
    resolver.answers["odd.test"] = error
    with pytest.raises(DeliveryError, match=r"cannot look up odd\.test: .*[a-z]{4}"):
        await look_up("udp://odd.test:9060").targets()


async def test_odd_name_with_the_real_resolver():
    """An empty label is refused before any server is asked."""
    with pytest.raises(DeliveryError, match=r"cannot look up a\.\.b"):
        await look_up("udp://a..b:9060", timeout=5).targets()


async def test_no_thread_for_a_look_up(resolver, monkeypatch):
    """The system is short of threads: tried again like any other trouble."""

    def start(_self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        named = look_up("udp://collector.test:9060")
        with pytest.raises(DeliveryError, match="thread"):
            await named.targets()
    assert await named.targets()


# --- our own listeners ---------------------------------------------------------------------------


class Own:
    """One listener of ours."""

    def __init__(self, transport, port, address=HOST):
        self.listener = transport, ipaddress.ip_address(address), port
        self.asked = []

    def __call__(self, *asked):
        self.asked.append(asked)
        return asked == self.listener


async def test_own_addresses_are_left_out(resolver):
    """Other addresses of the name are used; with none left the name is refused."""
    resolver.answers["us.test"] = ["::ffff:192.0.2.1", "192.0.2.2", "fe80::1%lo"]
    own = Own("udp", 9060, "192.0.2.1")
    targets = await look_up("udp://us.test:9060", 5, own).targets()
    assert [target.address[0] for target in targets] == ["192.0.2.2", "fe80::1%lo"]
    assert [str(asked[1]) for asked in own.asked] == ["192.0.2.1", "192.0.2.2", "fe80::1"]
    resolver.answers["us.test"] = "192.0.2.1"
    with pytest.raises(OwnListenerError, match=r"192\.0\.2\.1 port 9060 is our own listener"):
        await look_up("udp://us.test:9060", 5, own).targets()
    assert await look_up("udp://us.test:9061", 5, own).targets()
    assert await look_up("tcp://us.test:9060", 5, own).targets()


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
async def test_name_that_leads_to_ourselves_is_not_followed(
    scheme, resolver, server, views, caplog
):
    """Packets wait, the reason is counted and logged once; when the name moves on they leave."""
    own = Own(scheme, server.getsockname()[1])
    url = f"{scheme}://us.test:{server.getsockname()[1]}"
    async with running(settings(url), is_own=own) as far:
        far.sink.enqueue(views)
        await until(lambda: far.account.errors["own-listener"] >= 2)
        assert far.account.state.endswith("is our own listener")
        assert far.sink.held.in_memory == 10
        assert len(caplog.records) == 1
        resolver.answers["us.test"] = "127.0.0.2"
        with closing(
            socket.socket(type=server.type if scheme == "tcp" else socket.SOCK_DGRAM)
        ) as s:
            s.bind(("127.0.0.2", server.getsockname()[1]))
            if scheme == "tcp":
                s.listen()
            await until(lambda: far.account.delivered == 10)


async def test_name_that_moves_to_ourselves_is_left(resolver, monkeypatch, views):
    """A later look-up leads to us: nothing more goes out, not even to the old address."""
    monkeypatch.setattr(udp, "LOOK_UP_AGAIN", 0.02)
    resolver.answers["us.test"] = "127.0.0.2"
    port = free_port()
    async with running(settings(f"udp://us.test:{port}"), is_own=Own("udp", port)) as far:
        await until(lambda: far.account.state == "up")
        far.sink.enqueue(views[:1])
        assert far.account.delivered == 1
        resolver.answers["us.test"] = HOST
        await until(lambda: far.account.errors["own-listener"])
        far.sink.enqueue(views)
        assert far.account.delivered == 1
        assert far.sink.held.in_memory == 10
