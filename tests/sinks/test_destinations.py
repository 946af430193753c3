"""Destinations against real sockets: what goes wrong on the other side, and in the resolver."""

import asyncio
import errno
import ipaddress
import logging
import socket
import struct
import threading
import time
from contextlib import asynccontextmanager, closing

import pytest
from loopback import HOST, free_port

from hepsw.accounting import Ledger, Reason, SinkAccount
from hepsw.config.models import Destination, Queue
from hepsw.errors import DeliveryError
from hepsw.hep import build
from hepsw.sinks import tcp, udp
from hepsw.sinks.queue import FrameQueue
from hepsw.sinks.resolve import LookUp, OwnListenerError, nothing_is_own
from hepsw.sinks.sinks import Sinks
from hepsw.sinks.tcp import TcpDestination
from hepsw.sinks.udp import UdpDestination
from hepsw.view import View

KINDS = {"tcp": TcpDestination, "udp": UdpDestination}
both = pytest.mark.parametrize("scheme", KINDS)


def settings(url, **more):
    # What a field allows is not asked: a sink takes whatever it is given.
    return Destination.model_validate({"url": url}).model_copy(update=more)


@asynccontextmanager
async def running(url, *arguments, **more):
    """Run a destination; everything it took is accounted for at the end."""
    account = SinkAccount()
    sink = KINDS[url[:3]]("far", settings(url, **more), account, *arguments)
    sink.start()
    try:
        yield sink
    finally:
        await sink.close(Reason.SHUTDOWN)
    account.in_memory, account.in_spool, account.in_flight = sink.held
    assert sum(sink.held) == 0
    assert account.unaccounted == 0


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def views(peer):
    return [View(build(capture_id=n, payload=b"OPTIONS"), peer, n) for n in range(10)]


@pytest.fixture
def server():
    """Somebody who listens at `url` and has accepted nobody yet."""
    with closing(socket.create_server((HOST, 0))) as listener:
        listener.setblocking(False)
        yield listener


def url_of(sock, scheme="tcp", host=HOST):
    return f"{scheme}://{host}:{sock.getsockname()[1]}"


async def accepted(server):
    connection, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(server), 5)
    return closing(connection)


# --- TCP -----------------------------------------------------------------------------------------


async def test_reading_what_the_far_side_says_takes_a_turn_for_each_piece(server):
    """A far side that never stops talking holds up nobody, and its end is noticed."""
    async with running(url_of(server)) as sink:
        with await accepted(server) as connection:
            await until(lambda: sink.account.state == "up")
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(connection, bytes(20 * tcp.READ))
            connection.close()
            turns = 0
            while not sink.account.errors:
                turns += 1
                await asyncio.sleep(0)
    assert turns >= 20
    assert sink.account.state == "down: closed by the far side"


async def test_timeout_longer_than_tcp_can_count(server, views):
    """Years without an answer are allowed; the system is told the most that it can hold."""
    async with running(url_of(server), timeout=3000 * 86400.0) as sink:
        sink.enqueue(views)
        with await accepted(server) as connection:
            frames = b"".join(view.packet.data for view in views)
            assert await asyncio.get_running_loop().sock_recv(connection, 1 << 16) == frames
    assert sink.account.state == "up"
    assert sink.account.delivered == 10


async def test_nobody_listens_and_the_socket_meets_itself(monkeypatch, views):
    """A connection of a socket with itself is no connection: frames would come back."""

    class Unlucky(socket.socket):
        """Is given the very port that it connects to."""

        def connect(self, address):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(address)
            super().connect(address)

    port = free_port()
    monkeypatch.setattr(socket, "socket", Unlucky)
    async with running(f"tcp://{HOST}:{port}") as sink:
        sink.enqueue(views)
        await until(lambda: sink.account.errors["unreachable"] >= 2)
        assert sink.account.state == "down: Connection refused"
        assert sink.held.in_memory == 10
    assert sink.account.delivered == 0


async def test_send_buffer_is_small(server):
    """What a far side that dies can cost is known: Linux doubles what it is asked for."""
    async with running(url_of(server)) as sink:
        connection = await sink._connect()
        with connection:
            size = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert size == 2 * tcp.SEND_BUFFER == 256 << 10


# --- bugs ----------------------------------------------------------------------------------------


@both
async def test_bug_is_told_counted_and_tried_again(scheme, server, views, monkeypatch, caplog):
    """Nothing ends the task of a destination: afterwards all packets arrive."""
    failing = True
    targets = LookUp.targets

    async def buggy(self):
        if failing:
            raise TypeError("not of this world")
        return await targets(self)

    monkeypatch.setattr(LookUp, "targets", buggy)
    async with running(url_of(server, scheme)) as sink:
        sink.enqueue(views)
        await until(lambda: sink.account.errors["internal"] >= 2)
        assert sink.account.state == "down: a bug in hepsw: TypeError('not of this world')"
        assert [record.exc_info[0] for record in caplog.records] == [TypeError]
        failing = False
        await sink.drain(5)
        await until(lambda: sink.account.delivered == 10)
        assert sink.account.state in {"up", "refused"}  # nobody listens for datagrams here


@both
async def test_closing_what_has_died_raises_nothing(scheme):
    """Whatever ended the task, `close` is not where it is told."""
    async with running(f"{scheme}://{HOST}:9") as sink:
        sink._task.cancel()

        async def dead():
            raise TypeError("not of this world")

        sink._task = asyncio.create_task(dead())


async def test_bug_while_sending_datagrams_loses_none(views, monkeypatch):
    """A frame whose sending failed in an unknown way is still there."""

    def odd(*_):
        raise TypeError("not of this world")

    with closing(socket.socket(type=socket.SOCK_DGRAM)) as far:
        far.bind((HOST, 0))
        async with running(url_of(far, "udp")) as sink:
            await until(lambda: sink.account.state == "up")
            with monkeypatch.context() as broken:
                broken.setattr(udp, "send_datagrams", odd)
                sink.enqueue(views)
            assert sink.account.errors == {"internal": 1}
            assert sink.held.in_memory == 10
            await sink.drain(5)
        assert sink.account.delivered == 10


# --- UDP -----------------------------------------------------------------------------------------


async def test_refusals_end(monkeypatch, views, caplog):
    """The state is `refused` while the far side is away, and `up` a while after it came back."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(udp, "QUIET", 0.2)
    monkeypatch.setattr(udp, "LISTEN_AGAIN", 0.02)
    port = free_port()
    async with running(f"udp://{HOST}:{port}") as sink:
        account = sink.account
        await until(lambda: account.state == "up")
        sink.enqueue(views[:1])
        await asyncio.sleep(0.05)
        sink.enqueue(views[:1])
        assert account.state == "refused"
        # One datagram in a while, each refused: nothing in between says that anybody listens.
        for _ in range(3):
            sink.enqueue(views[:1])
            await asyncio.sleep(0.3)
            assert account.state == "refused"
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as far:
            far.bind((HOST, port))
            sink.enqueue(views[:1])
            await until(lambda: account.state == "up")
            await asyncio.sleep(0.1)
            sink.enqueue(views[:1])
            assert account.state == "up"
        texts = [record.message for record in caplog.records]
        assert [text for text in texts if "refused no more" in text] == texts[-1:]
        assert len([text for text in texts if "nobody listens" in text]) == 1
    assert sink._listening.cancelled() or sink._listening.when() < asyncio.get_running_loop().time()


# --- look-ups ------------------------------------------------------------------------------------


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
    return LookUp(settings(url).url, socket.SOCK_DGRAM, timeout, is_own)


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
        async with running("udp://collector.test:9060", timeout=0.05) as sink:
            await until(lambda: sink.account.errors["unreachable"])

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


@both
async def test_name_that_leads_to_ourselves_is_not_followed(
    scheme, resolver, server, views, caplog
):
    """Packets wait, the reason is counted and logged once; when the name moves on they leave."""
    own = Own(scheme, server.getsockname()[1])
    async with running(url_of(server, scheme, "us.test"), own) as sink:
        sink.enqueue(views)
        await until(lambda: sink.account.errors["own-listener"] >= 2)
        assert sink.account.state.endswith("is our own listener")
        assert sink.held.in_memory == 10
        assert len(caplog.records) == 1
        resolver.answers["us.test"] = "127.0.0.2"
        with closing(
            socket.socket(type=server.type if scheme == "tcp" else socket.SOCK_DGRAM)
        ) as s:
            s.bind(("127.0.0.2", server.getsockname()[1]))
            if scheme == "tcp":
                s.listen()
            await sink.drain(5)
            await until(lambda: sink.account.delivered == 10)


async def test_name_that_moves_to_ourselves_is_left(resolver, monkeypatch, views):
    """A later look-up leads to us: nothing more goes out, not even to the old address."""
    monkeypatch.setattr(udp, "LOOK_UP_AGAIN", 0.02)
    resolver.answers["us.test"] = "127.0.0.2"
    port = free_port()
    async with running(f"udp://us.test:{port}", Own("udp", port)) as sink:
        await until(lambda: sink.account.state == "up")
        sink.enqueue(views[:1])
        assert sink.account.delivered == 1
        resolver.answers["us.test"] = HOST
        await until(lambda: sink.account.errors["own-listener"])
        sink.enqueue(views)
        assert sink.account.delivered == 1
        assert sink.held.in_memory == 10


# --- all of them ---------------------------------------------------------------------------------


class Configured:
    """As much of a configuration as `Sinks` reads."""

    def __init__(self, **destinations):
        self.destinations = {name: settings(url) for name, url in destinations.items()}
        self.stores = {}


async def test_sinks_pass_on_what_is_our_own():
    """A destination in service refuses what the daemon says is its own."""
    ledger = Ledger()
    port = free_port()
    sinks = Sinks(ledger, 0.1, lambda *asked: asked[2] == port)
    sinks.replace(Configured(u=f"udp://{HOST}:{port}", t=f"tcp://{HOST}:{port}"))
    await until(lambda: all(each.errors["own-listener"] for each in ledger.sinks.values()))
    await sinks.close()


async def test_sink_that_fails_to_stop_keeps_nobody_from_stopping(caplog):
    """In service or retired: it is logged, the others are stopped and counted."""
    ledger = Ledger()
    sinks = Sinks(ledger, 0.1)
    port = free_port()
    sinks.replace(Configured(**dict.fromkeys("abc", f"tcp://{HOST}:{port}")))

    async def failing(*_):
        raise TypeError("not of this world")

    closed = []
    for name in "abc":
        close = sinks._live[name].close

        async def watched(reason, name=name, close=close):
            await close(reason)
            closed.append((name, reason))
            if name != "c":
                raise TypeError("not of this world")

        sinks._live[name].close = watched
    sinks._live["b"].drain = failing
    sinks.replace(Configured(b=f"tcp://{HOST}:{port}", c=f"tcp://{HOST}:{port}"))
    await sinks.close()
    assert sorted(closed) == [("a", "retired"), ("b", "shutdown"), ("c", "shutdown")]
    failed = [record for record in caplog.records if record.exc_info]
    assert sorted(record.message[0] for record in failed) == ["a", "b"]


async def test_closing_has_one_end(monkeypatch, caplog):
    """A sink that hangs, draining or closing, in service or retired, is left behind."""
    monkeypatch.setattr("hepsw.sinks.sinks.CLOSE_SECONDS", 0.2)
    sinks = Sinks(Ledger(), 0.1)
    port = free_port()
    sinks.replace(Configured(**dict.fromkeys("abc", f"tcp://{HOST}:{port}")))
    let_go = asyncio.Event()

    async def hanging(*_):
        await let_go.wait()

    closing = [sinks._live[name].close for name in "ab"]
    sinks._live["a"].close = sinks._live["b"].close = sinks._live["b"].drain = hanging
    sinks.replace(Configured(b=f"tcp://{HOST}:{port}", c=f"tcp://{HOST}:{port}"))
    began = time.monotonic()
    await sinks.close()
    assert time.monotonic() - began < 1
    late = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert sorted(late) == ["retiring a: not done in time", "stopping b: not done in time"]
    let_go.set()
    for close in closing:
        await close(Reason.SHUTDOWN)
    await asyncio.sleep(0)


async def test_a_break_within_a_flight(peer):
    """What the kernel had whole is not sent again; the frame that was cut goes out whole."""
    views = [View(build(capture_id=n, payload=b"x" * 1000), peer, n) for n in range(400)]
    size = len(views[0].packet.data)
    with closing(socket.socket()) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind((HOST, 0))
        server.listen()
        server.setblocking(False)
        async with running(url_of(server)) as sink:
            with await accepted(server) as far:
                await until(lambda: sink.account.state == "up")
                sink.enqueue(views)
                await until(lambda: sink.account.delivered)
                far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Reset: some frames are with the kernel, one is cut, the others wait.
            await until(lambda: sink.account.errors["broken"])
            had = sink.account.delivered
            assert 0 < had < 400
            assert sum(sink.held) == 400 - had
            assert min(sink.held) >= 0
            octets = b""
            with await accepted(server) as far:
                while len(octets) < (400 - had) * size:
                    octets += await asyncio.wait_for(
                        asyncio.get_running_loop().sock_recv(far, 1 << 20), 5
                    )
                await until(lambda: sink.account.delivered == 400)
    assert octets == b"".join(view.packet.data for view in views[had:])


def test_limits_beyond_all_memory():
    """Are taken for as much as there can be, in both builds."""
    limits = Queue.model_construct(packets=1 << 80, bytes=1 << 80)
    frames = FrameQueue(limits, keep_old=False, account=SinkAccount())
    frames.add(b"x")
    assert frames.take_some(5) == [b"x"]
