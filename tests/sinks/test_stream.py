"""Links over TCP and TLS against real sockets: what is delivered, and what is sent again."""

import asyncio
import random
import socket
import struct
import time

import pytest
from certificates import certificates
from linking import Server, frame, linked, numbers, serving, until
from loopback import HOST, free_port

from hepsw.errors import DeliveryError
from hepsw.net.batches import unacknowledged
from hepsw.sinks import channel, connect, stream
from hepsw.sinks.resolve import LookUp, OwnListenerError, Target
from hepsw.sinks.tls import client_context
from hepsw.view import View  # noqa: F401 - the compiled packet path is loaded with it


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["tcp", "tls"])
def kind(request):
    return request.param


@pytest.fixture
def server_context(kind, certs):
    """The far side's, or None without TLS."""
    return None if kind == "tcp" else serving(certs.server)


@pytest.fixture
def trusting(kind, certs):
    """What a link is given to believe the far side."""
    return {} if kind == "tcp" else {"context": client_context(certs.ca, None, None)}


@pytest.fixture
def at_once(monkeypatch):
    """Connect again without a wait."""

    class AtOnce:
        def next(self):
            return 0.0

        def reset(self):
            pass

    monkeypatch.setattr(stream, "BackOff", AtOnce)


def frames(first, stop, size=100):
    return [frame(number, size) for number in range(first, stop)]


def ids(octets):
    found, rest = numbers(octets)
    assert not rest
    return found


# --- delivered -----------------------------------------------------------------------------------


async def test_what_the_kernel_takes_is_in_flight_until_it_is_acknowledged(
    server_context, trusting
):
    """Nothing is delivered that the far side's kernel does not have; the rest waits in order."""
    with Server(server_context, room=8192) as server:
        async with linked(server.url, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            assert owner.take(frames(0, 2000, 1000)) == 2000
            assert owner.link.in_flight
            assert len(owner.link.queue)
            await asyncio.sleep(0.1)
            some = len(owner.delivered_frames)
            far.peek()
            assert some <= len(numbers(far.octets)[0]) < 100
            assert owner.link.is_writing
            far.octets = b""
            # What was peeked at is read now as well, so TLS needs a second pair of eyes.
            if server_context is None:
                await far.read_until(lambda octets: len(octets) == 2_000_000)
                assert ids(far.octets) == list(range(2000))
                await until(lambda: owner.told == ["up", "emptied"])
                assert owner.account.delivered == 2000
                assert owner.account.resent == 0


async def test_all_arrives_in_order(server_context, trusting):
    """Ten thousand frames of all sizes, given in batches, while some are read and some wait."""
    sizes = random.Random(5)
    batches = [
        [frame(at * 100 + n, sizes.choice([10, 100, 530, 20000, 65535][:3])) for n in range(100)]
        for at in range(100)
    ]
    batches[50][3] = frame(5003, 65535)
    total = sum(len(each) for batch in batches for each in batch)
    with Server(server_context) as server:
        async with linked(server.url, packets=20000, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            for batch in batches:
                assert owner.take(batch) == 100
                if sizes.random() < 0.3:
                    await far.read()
            await far.read_until(lambda octets: len(octets) == total)
            assert ids(far.octets) == list(range(10000))
            await until(lambda: owner.account.delivered == 10000)
            assert owner.account.resent == 0
            assert owner.account.errors == {}


async def test_full_queue(server_context, trusting):
    """What has no room is left to the owner, or pushes the oldest out; what is in flight stays."""
    with Server(server_context, room=4096) as server:
        async with linked(server.url, packets=10, **trusting) as owner:
            assert owner.take(frames(0, 8)) == 8
            assert owner.take(frames(8, 12)) == 2
            assert owner.take(frames(12, 14), make_room=True) == 2
            assert owner.pushed == 2
            far = await server.accept()
            await until(lambda: owner.account.delivered == 10)
            big = frames(100, 600, 1500)
            taken = owner.take(big)
            assert owner.link.in_flight > 50
            assert len(owner.link.queue) == 10
            assert taken == owner.link.in_flight + 10
            await far.read_until(lambda octets: len(octets) == 1000 + 1500 * taken)
            assert ids(far.octets) == [*range(2, 10), 12, 13, *range(100, 100 + taken)]


# --- breaks --------------------------------------------------------------------------------------


async def test_a_break_within_a_flight(at_once, server_context, trusting):
    """What is not acknowledged goes out first and whole, in order, counted `resent`."""
    with Server(server_context, room=8192) as server:
        async with linked(server.url, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 1000, 1000))
            await far.read_until(lambda _: owner.account.delivered)
            await asyncio.sleep(0.1)
            flying = owner.link.in_flight
            assert 0 < flying < 1000
            far.reset()
            await until(lambda: owner.account.errors["broken"])
            had = owner.account.delivered
            far = await server.accept()
            await far.read_until(lambda octets: len(octets) == 1000 * (1000 - had))
            assert ids(far.octets) == list(range(had, 1000))
            await until(lambda: owner.account.delivered == 1000)
            # TLS counts what it had encrypted and the kernel had taken, by the record.
            assert flying - 80 <= owner.account.resent <= flying
            assert owner.told == ["up", "down", "up", "emptied"]


async def test_frames_pushed_out_after_a_break_are_not_resent(at_once):
    """Only what is written again counts, however much of it had to make room."""
    with Server(room=4096) as server:
        async with linked(server.url, packets=50) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 500, 1000))
            flying = owner.link.in_flight
            assert flying > 60
            server._socket.close()
            far.reset()
            await until(lambda: owner.account.errors["broken"])
            left = owner.taken - owner.account.delivered
            # Back beyond the limits: each new one makes the queue fall back within them.
            assert len(owner.link.queue) == left > 50
            owner.take(frames(1000, 1010, 1000), make_room=True)
            assert len(owner.link.queue) == 50
            with Server(port=server.port) as again:
                far = await again.accept()
                await far.read_until(lambda octets: len(octets) == 50_000)
                found = ids(far.octets)
                assert found[-10:] == list(range(1000, 1010))
                await until(lambda: owner.account.delivered + owner.pushed == owner.taken)
                assert found == sorted(found)
                assert owner.account.resent <= sum(number < 1000 for number in found) == 40


@pytest.mark.parametrize("seed", range(10))
async def test_cut_at_random_octets(at_once, monkeypatch, kind, server_context, trusting, seed):
    """Whatever is told delivered was in the far side's kernel at the cut; all arrives, in order.

    Twenty cuts with each seed: by a reset, by an end with something unread, by a half-close.
    """
    chance = random.Random(seed)
    monkeypatch.setattr(stream, "LOOK", 0.003)
    given = 0
    seen = []
    connections = told = 0
    with Server(server_context, room=chance.choice([None, 8192, 30000])) as server:
        async with linked(server.url, packets=1 << 20, **trusting) as owner:

            def give():
                nonlocal given
                count = chance.randrange(1, 200)
                batch = [frame(n, chance.randrange(10, 1200)) for n in range(given, given + count)]
                assert owner.take(batch) == count
                given += count

            for _ in range(20):
                far = await server.accept()
                connections += 1
                for _ in range(chance.randrange(6)):
                    if given < 3000:
                        give()
                    await asyncio.sleep(chance.choice([0, 0, 0.001, 0.005]))
                    if chance.random() < 0.7:
                        far.read_now(chance.choice([1, 100, 5000, 100_000]))
                how = chance.choice(["reset", "close", "half"])
                if how == "half":
                    far.sock.shutdown(socket.SHUT_WR)
                    await asyncio.sleep(0.002)
                    if chance.random() < 0.5:
                        far.read_now(1 << 16)
                far.peek()
                found, _ = numbers(far.octets)
                seen.append(found)
                has = {number for numbers_ in seen for number in numbers_}
                # After a half-close the next connection may have delivered to the backlog already.
                assert has.issuperset(range(told)), how
                told = len(owner.delivered_frames)
                assert how == "half" or has.issuperset(range(told)), how
                far.reset() if how == "reset" else far.close()
            far = await server.accept()
            give()
            await far.read_until(lambda octets: numbers(octets)[0][-1:] == [given - 1])
            seen.append(ids(far.octets))
            await until(lambda: owner.account.delivered == given)
            resent, errors = owner.account.resent, owner.account.errors
    assert [numbers(each)[0][0] for each in owner.delivered_frames] == list(range(given))
    reached = 0
    for found in seen:
        if found:
            # In order, without a gap, and never from behind what no connection had carried yet.
            assert found == list(range(found[0], found[-1] + 1))
            assert found[0] <= reached
            reached = max(reached, found[-1] + 1)
    assert reached == given
    twice = sum(map(len, seen)) - given
    assert twice <= resent
    assert errors.total() == connections  # "unreachable", where it was faster than our first look


async def test_the_count_of_a_connection_that_was_reset():
    """Linux keeps the count of what is not acknowledged: a look just overtaken by a reset is right.

    Were this ever to fail, a look would have to ask for the state of the socket as well.
    """
    for to_read in (0, 3000, 50_000):
        with socket.socket() as listener, socket.socket() as near:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.bind((HOST, 0))
            listener.listen()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 << 10)
            near.connect(listener.getsockname())
            near.setblocking(False)
            far, _ = listener.accept()
            written = near.send(bytes(100_000))
            read = 0
            while read < to_read:
                read += len(far.recv(to_read - read))
            await asyncio.sleep(0.01)
            before = unacknowledged(near.fileno())
            assert 0 < before < written
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            assert unacknowledged(near.fileno()) == before
            with pytest.raises(ConnectionResetError):
                near.recv(1)
            assert unacknowledged(near.fileno()) == before


async def test_far_side_that_ends_in_good_order_is_sent_nothing_twice(
    at_once, monkeypatch, server_context, trusting
):
    """It has read what its kernel acknowledged, so one more look is taken."""
    monkeypatch.setattr(stream, "LOOK", 60.0)
    with Server(server_context) as server:
        async with linked(server.url, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 100))
            await far.read_until(lambda octets: len(octets) == 10_000)
            assert owner.account.delivered == 0
            far.close()
            await until(lambda: owner.account.errors["broken"])
            assert owner.account.delivered == 100
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(100, 101))
            await far.read()
            assert ids(far.octets) == [100]
            assert owner.account.resent == 0


async def test_far_side_that_never_reads(at_once, caplog, server_context, trusting):
    """No progress for `timeout` seconds is a break; nothing is lost, and another one gets it."""
    with Server(server_context, room=4096) as server:
        async with linked(server.url, timeout=0.4, **trusting) as owner:
            await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 1000, 1000))
            began = time.monotonic()
            await until(lambda: owner.account.errors["broken"])
            assert 0.3 < time.monotonic() - began < 2
            # The kernel's own clock may be the first.
            assert "no progress for 0.4 s" in caplog.text or "Connection timed out" in caplog.text
            rest = 1000 - owner.account.delivered
            assert rest > 900
            far = await server.accept()
            await far.read_until(lambda octets: len(octets) == 1000 * rest)
            assert ids(far.octets) == list(range(1000 - rest, 1000))
            await until(lambda: owner.account.delivered == 1000)


async def test_far_side_that_is_slow_is_not_broken_off(server_context, trusting):
    """However long it takes for all of it, as long as there is progress."""
    with Server(server_context, room=8192) as server:
        async with linked(server.url, timeout=0.4, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 500, 1000))
            began = time.monotonic()
            while len(far.octets) < 300_000:
                await far.read(12_000)
                await asyncio.sleep(0.05)
            assert time.monotonic() - began > 1
            await far.read_until(lambda octets: len(octets) == 500_000)
            await until(lambda: owner.account.delivered == 500)
            assert owner.account.errors == {}


async def test_bug_is_told_counted_and_tried_again(monkeypatch, caplog):
    """Nothing ends the task of a link: afterwards all packets arrive."""
    failing = True
    targets = LookUp.targets

    async def buggy(self):
        if failing:
            raise TypeError("not of this world")
        return await targets(self)

    monkeypatch.setattr(LookUp, "targets", buggy)
    with Server() as server:
        async with linked(server.url) as owner:
            owner.take(frames(0, 10))
            await until(lambda: owner.account.errors["internal"] >= 2)
            assert owner.account.state == "down: a bug in hepsw: TypeError('not of this world')"
            assert [record.exc_info[0] for record in caplog.records] == [TypeError]
            failing = False
            await until(lambda: owner.account.delivered == 10)


@pytest.mark.parametrize("where", ["write", "acknowledged", "hear"])
async def test_bug_in_a_connection(at_once, monkeypatch, where):
    """It breaks the connection, and no frame is lost by it."""
    with Server() as server:
        async with linked(server.url) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)

            real = getattr(channel.PlainChannel, where)
            calls = []

            def odd(*arguments):
                calls.append(arguments)
                if len(calls) == 1:
                    raise TypeError("not of this world")
                return real(*arguments)

            owner.take(frames(0, 10))
            with monkeypatch.context() as broken:
                broken.setattr(channel.PlainChannel, where, odd)
                owner.take(frames(10, 20))
                if where == "hear":
                    far.sock.send(b"x")
                await until(lambda: owner.account.errors["internal"])
            far = await server.accept()
            await until(lambda: owner.account.delivered == 20)
            assert owner.account.errors == {"internal": 1}


async def test_closing_what_has_died_raises_nothing():
    """Whatever ended the task, `close` is not where it is told."""
    async with linked(f"tcp://{HOST}:9") as owner:
        owner.link._task.cancel()

        async def dead():
            raise TypeError("not of this world")

        owner.link._task = asyncio.create_task(dead())


# --- what the far side says ----------------------------------------------------------------------


async def test_reading_what_the_far_side_says_takes_a_turn_for_each_piece():
    """A far side that never stops talking holds up nobody, and its end is noticed."""
    with Server() as server:
        async with linked(server.url) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(far.sock, bytes(20 * channel.READ))
            far.close()
            turns = 0
            while not owner.account.errors:
                turns += 1
                await asyncio.sleep(0)
    assert turns >= 20
    assert owner.account.state == "down: closed by the far side"


async def test_much_talk_costs_no_memory(server_context, trusting):
    """Megabytes are read and thrown away, while frames go the other way."""
    with Server(server_context) as server:
        async with linked(server.url, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            loop = asyncio.get_running_loop()
            for number in range(100):
                octets = bytes(20_000)
                if far._tls is not None:
                    far._tls.write(octets)
                    octets = far._outgoing.read()
                await loop.sock_sendall(far.sock, octets)
                owner.take(frames(number, number + 1))
            await far.read_until(lambda octets: len(octets) == 10_000)
            await until(lambda: owner.account.delivered == 100)
            assert owner.account.errors == {}


# --- the end -------------------------------------------------------------------------------------


async def test_orderly_end(server_context, trusting):
    """What was written is acknowledged and counted first, and the far side reads to the end."""
    with Server(server_context, room=30_000) as server:
        async with linked(server.url, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 20, 1000))
            assert owner.link.in_flight
            # Unread at our end: it must not turn the end into a reset.
            await asyncio.get_running_loop().sock_sendall(far.sock, bytes(3000))
            if server_context is not None:
                return  # such octets are no TLS, and a break of their own
            began = time.monotonic()
            await owner.link.close()
            assert time.monotonic() - began < 0.8
            assert owner.account.delivered == 20
            assert not owner.link.take_back()
            while await far.read():
                pass
            assert ids(far.octets) == list(range(20))


async def test_orderly_end_over_tls(certs):
    """The far side is told by close_notify that nothing is missing."""
    trusting = {"context": client_context(certs.ca, None, None)}
    with Server(serving(certs.server)) as server:
        async with linked(server.url, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 20, 1000))
            await owner.link.close()
            assert owner.account.delivered == 20
            while await far.read():
                pass
            assert far.is_told
            assert ids(far.octets) == list(range(20))


async def test_end_with_a_far_side_that_does_not_read(server_context, trusting):
    """It is waited for a second; what is not acknowledged stays for whoever takes it back."""
    with Server(server_context, room=4096) as server:
        async with linked(server.url, **trusting) as owner:
            await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 1000, 1000))
            began = time.monotonic()
            await owner.link.close()
            assert time.monotonic() - began < 1.5
            assert owner.account.errors == {}
            had = owner.account.delivered
            back = owner.link.take_back()
            assert back == frames(had, 1000, 1000)
            owner.taken -= len(back)


async def test_taken_back(at_once, server_context, trusting):
    """Everything is given up, oldest first, and the connection that had a part of it is reset."""
    with Server(server_context, room=4096) as server:
        async with linked(server.url, **trusting) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            owner.take(frames(0, 1000, 1000))
            assert owner.link.in_flight
            await asyncio.sleep(0.05)
            assert 0 < owner.link.begun <= owner.link.in_flight
            back = owner.link.take_back()
            had = owner.account.delivered
            assert back == frames(had, 1000, 1000)
            assert owner.link.begun == 0
            owner.taken -= len(back)
            owner.check()
            assert not owner.link.is_up
            assert not owner.link.is_writing
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            assert owner.told == ["up", "up"]
            owner.take(frames(1000, 1001))
            await far.read()
            assert ids(far.octets) == [1000]
            assert owner.account.resent == 0
            # With nothing in flight the connection may stay.
            await until(lambda: not owner.link.in_flight)
            assert owner.link.take_back() == []
            assert owner.link.is_up


# --- connecting ----------------------------------------------------------------------------------


async def test_timeout_longer_than_tcp_can_count():
    """Years without an answer are allowed; the system is told the most that it can hold."""
    with Server() as server:
        async with linked(server.url, timeout=3000 * 86400.0) as owner:
            owner.take(frames(0, 10))
            far = await server.accept()
            await far.read_until(lambda octets: len(octets) == 1000)
            await until(lambda: owner.account.delivered == 10)


async def test_nobody_listens_and_the_socket_meets_itself(monkeypatch):
    """A connection of a socket with itself is no connection: frames would come back."""

    class Unlucky(socket.socket):
        """Is given the very port that it connects to."""

        def connect(self, address):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(address)
            super().connect(address)

    port = free_port()
    monkeypatch.setattr(socket, "socket", Unlucky)
    async with linked(f"tcp://{HOST}:{port}") as owner:
        owner.take(frames(0, 10))
        await until(lambda: owner.account.errors["unreachable"] >= 2)
        assert owner.account.state == "down: Connection refused"
        assert len(owner.link.queue) == 10
    assert owner.account.delivered == 0


async def test_options_of_the_socket():
    """What is under way is bounded; a far side that went away without a word is noticed."""
    with Server() as server:
        async with linked(server.url, timeout=3.0) as owner:
            await until(lambda: owner.link.is_up)
            option = owner.link._channel.sock.getsockopt
            size = option(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert size == 2 * connect.SEND_BUFFER == 256 << 10  # Linux doubles it
            assert option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
            names = ("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            found = [option(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
            assert found == [1, 5, 5, 3]


@pytest.fixture
def resolver(monkeypatch):
    """Answers every name with a list that the test may change."""
    answers = []

    async def targets(self):
        others = [each for each in answers if not self._is_own("tcp", each.ip, each.address[1])]
        if answers and not others:
            raise OwnListenerError("our own listener")
        return others

    monkeypatch.setattr(LookUp, "targets", targets)
    return answers


def target(host, port):
    if ":" in host:
        return Target(socket.AF_INET6, (host, port, 0, 0))
    return Target(socket.AF_INET, (host, port))


async def test_addresses_are_tried_in_order(at_once, resolver):
    """Those that refuse and those that are silent leave their time to the next; each time anew."""
    with socket.socket() as silent, Server() as server:
        silent.bind(("127.0.0.2", server.port))
        silent.listen(0)
        fill = [socket.socket() for _ in range(3)]
        for each in fill:
            each.setblocking(False)
            each.connect_ex(silent.getsockname())
        hosts = ["::1", "127.0.0.2", HOST]
        resolver += [target(host, server.port) for host in hosts]
        began = time.monotonic()
        async with linked(server.named("all.test"), timeout=0.8) as owner:
            far = await server.accept()
            assert 0.3 < time.monotonic() - began < 0.8
            owner.take(frames(0, 1))
            await far.read()
            resolver[:] = [target("::1", server.port)]
            with Server(host="::1", port=server.port) as other:
                far.close()
                far = await other.accept()
                owner.take(frames(1, 2))
                await far.read()
                assert ids(far.octets)[-1] == 1
        for each in fill:
            each.close()


async def test_bind(at_once, resolver):
    """Connections come from there; addresses of the other family are passed over."""
    with Server() as server:
        resolver += [target("::1", server.port), target(HOST, server.port)]
        async with linked(server.named("all.test"), bind="127.0.0.3") as owner:
            far = await server.accept()
            assert far.sock.getpeername()[0] == "127.0.0.3"
            resolver.pop()
            far.close()
            await until(lambda: owner.account.errors["unreachable"])
            assert owner.account.state == "down: no IPv4 address, and `bind` is one"


async def test_what_is_our_own_is_not_followed(at_once, resolver):
    """Packets wait, the reason is counted; the name may move on."""
    with Server() as server:
        resolver.append(target(HOST, server.port))
        own = True
        async with linked(server.named("us.test"), lambda *_: own) as owner:
            owner.take(frames(0, 10))
            await until(lambda: owner.account.errors["own-listener"] >= 2)
            assert len(owner.link.queue) == 10
            own = False
            await until(lambda: owner.account.delivered == 10)


def test_own_listeners_are_asked_for_by_transport():
    """TLS is over TCP, and so it is called."""
    from hepsw.config.units import url

    asked = []

    def is_own(*what):
        asked.append(what[0])
        return True

    for text, sort in (
        ("tls://127.0.0.1:9", 1),
        ("tcp://127.0.0.1:9", 1),
        ("udp://127.0.0.1:9", 2),
    ):
        look_up = LookUp(url(text), socket.SocketKind(sort), 1.0, is_own)
        with pytest.raises(DeliveryError):
            asyncio.run(look_up.targets())
    assert asked == ["tcp", "tcp", "udp"]
