"""The proxy does what it is told, and nothing else."""

import asyncio
import contextlib
import socket
import time
from contextlib import closing

import pytest
from faultproxy import FaultProxy
from loopback import HOST
from running import PATIENCE, wait_until


@pytest.fixture
def far():
    """Who really listens."""
    with closing(socket.create_server((HOST, 0))) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def proxy(far):
    with FaultProxy(far.getsockname()[1]) as running:
        yield running


@pytest.fixture
def ends(far, proxy):
    """Return a connection through the proxy: the near end and the far end."""
    opened = []

    def connect():
        near = socket.create_connection((HOST, proxy.port), PATIENCE)
        opened.append(near)
        there, _ = far.accept()
        opened.append(there)
        there.settimeout(PATIENCE)
        return near, there

    yield connect
    for sock in opened:
        sock.close()


def read(sock, count=1 << 30):
    """Return so many octets, or all until the end."""
    octets = b""
    while len(octets) < count and (more := sock.recv(min(count - len(octets), 1 << 16))):
        octets += more
    return octets


SENT = bytes(range(256)) * 40


def test_a_plain_wire(ends):
    """Octets and ends pass in both directions."""
    near, there = ends()
    near.sendall(SENT)
    assert read(there, len(SENT)) == SENT
    there.sendall(b"answer")
    assert read(near, 6) == b"answer"
    near.shutdown(socket.SHUT_WR)
    assert there.recv(1) == b""
    there.close()
    assert near.recv(1) == b""


def test_slices(proxy, ends):
    """Pieces of a few octets arrive as such; the stream is the same."""
    proxy.faults.slices = 1, 7
    near, there = ends()
    near.sendall(SENT[:200])
    assert len(there.recv(1 << 16)) < 200
    there.close()
    proxy.faults.slices = 1, 7
    near, there = ends()
    near.sendall(SENT)
    near.shutdown(socket.SHUT_WR)
    assert read(there) == SENT


def test_delay_and_rate(proxy, ends):
    """No octet is there before its time."""
    near, there = ends()
    proxy.faults.delay = 0.2
    began = time.monotonic()
    near.sendall(b"x")
    assert there.recv(1) == b"x"
    assert time.monotonic() - began >= 0.2
    proxy.faults.delay = 0
    proxy.faults.rate = 10_000
    began = time.monotonic()
    near.sendall(bytes(3000))
    read(there, 3000)
    assert time.monotonic() - began >= 0.25


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("count", [1, 5000])
def test_cut_after(proxy, ends, how, count):
    """Exactly so many octets pass; then the near side is cut off."""
    proxy.faults.cut_after, proxy.faults.cut = count, how
    near, there = ends()
    # What was sent and nobody read makes a reset of an end, too.
    with contextlib.suppress(ConnectionError):
        near.sendall(SENT)
    assert read(there) == SENT[:count]
    with contextlib.suppress(ConnectionError):
        assert near.recv(1) == b""
    assert (proxy.octets, proxy.passed) == (count, count)


def test_reset_and_close_are_told_apart(proxy, ends):
    """Cut with nothing unread: a reset is one, and an end is none."""
    for how in ("reset", "close"):
        near, there = ends()
        near.sendall(b"x")
        read(there, 1)
        proxy.cut(how)
        try:
            assert near.recv(1) == b""
        except ConnectionResetError:
            assert how == "reset"
        else:
            assert how == "close"


def test_half_closed(proxy, ends):
    """The near side reads an end, and what it sends still passes."""
    near, there = ends()
    near.sendall(b"one")
    assert read(there, 3) == b"one"
    proxy.cut("half")
    assert near.recv(1) == b""
    near.sendall(b"two")
    assert read(there, 3) == b"two"


def test_half_closed_after(proxy, ends):
    """The same after so many octets."""
    proxy.faults.cut_after, proxy.faults.cut = 3, "half"
    near, there = ends()
    near.sendall(b"onetwo")
    assert near.recv(1) == b""
    assert read(there, 6) == b"onetwo"


def test_stall(proxy, ends):
    """Nothing is read, so the near side's window closes; then all of it arrives."""
    near, there = ends()
    proxy.faults.stall = True
    near.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += near.send(bytes(1 << 20))
    proxy.faults.stall = False
    assert len(read(there, sent)) == sent


def test_corrupt(proxy, ends):
    """One bit of one octet is another."""
    proxy.faults.corrupt_at = 777
    near, there = ends()
    near.sendall(SENT)
    came = read(there, len(SENT))
    assert [at for at in range(len(SENT)) if came[at] != SENT[at]] == [777]
    assert (came[777] ^ SENT[777]).bit_count() == 1


def test_mute(proxy, ends):
    """After a word, in one piece or two, the far side hears all and is not heard any more."""
    for pieces in ((b"say; COMMIT;",), (b"say; COM", b"MIT;")):
        proxy.faults.mute_after = b"COMMIT"
        near, there = ends()
        near.sendall(b"begin")
        assert read(there, 5) == b"begin"
        there.sendall(b"so be it")
        assert read(near, 8) == b"so be it"
        before = proxy.muted
        for piece in pieces:
            near.sendall(piece)
            read(there, len(piece))
        assert proxy.muted == before + 1
        there.sendall(b"done")
        near.settimeout(0.2)
        with pytest.raises(TimeoutError):
            near.recv(1)
        proxy.cut("close")
        near.settimeout(PATIENCE)
        assert near.recv(1) == b""


def test_refusing_and_healing(proxy, ends):
    """Refused, connections that there are go on; healed, at the same port, new ones too."""
    near, there = ends()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port))
    near.sendall(b"still")
    assert read(there, 5) == b"still"
    proxy.heal()
    near, there = ends()
    near.sendall(b"again")
    assert read(there, 5) == b"again"


def test_blackhole_and_healing(proxy, ends):
    """Nobody answers, and what was open is read no more; healed, all is as before."""
    old_near, old_there = ends()
    proxy.blackhole()
    with pytest.raises(TimeoutError):
        socket.create_connection((HOST, proxy.port), 0.3)
    old_near.sendall(b"old")
    old_there.settimeout(0.1)
    with pytest.raises(TimeoutError):
        old_there.recv(1)
    proxy.heal()
    old_there.settimeout(PATIENCE)
    assert read(old_there, 3) == b"old"
    near, there = ends()
    near.sendall(b"again")
    assert read(there, 5) == b"again"


def test_garbage(proxy, ends):
    """The proxy speaks for the far side."""
    near, _ = ends()
    wait_until(lambda: proxy.connections == 1, lambda: "not accepted")
    proxy.say(b"\x00garbage")
    assert read(near, 8) == b"\x00garbage"


def test_nobody_behind(far, proxy):
    """Whose far side is away resets."""
    far.close()
    with (
        pytest.raises(ConnectionResetError),
        closing(socket.create_connection((HOST, proxy.port), PATIENCE)) as near,
    ):
        near.recv(1)


async def test_beside_a_loop(proxy, ends):
    """A test with a loop of its own uses it just so."""
    near, there = await asyncio.to_thread(ends)
    near.setblocking(False)
    proxy.faults.slices = 1, 7
    await asyncio.get_running_loop().sock_sendall(near, b"from a loop")
    assert await asyncio.to_thread(read, there, 11) == b"from a loop"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(asyncio.get_running_loop().sock_recv(near, 1), PATIENCE)
