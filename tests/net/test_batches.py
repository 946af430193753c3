"""What `hepsw.net.batches` promises, of both ways to keep it."""

import importlib
import socket
from contextlib import closing

import pytest
from loopback import HOST

from hepsw.hep import COMPILED
from hepsw.net import udp
from hepsw.net.batches import BATCH

WAYS = ["_one_by_one", *(["_mmsg"] if COMPILED else [])]


@pytest.fixture(params=WAYS)
def way(request):
    """The module that does it."""
    return importlib.import_module(f"hepsw.net.{request.param}")


@pytest.fixture
def pair():
    """A bound UDP socket, and one that is connected to it."""
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as near:
        near.bind((HOST, 0))
        near.setblocking(False)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as far:
            far.connect(near.getsockname())
            far.setblocking(False)
            yield near, far


def test_datagrams_arrive_in_batches(way, pair):
    """In order, of any size, `BATCH` at once at most; with nothing left that is said."""
    near, far = pair
    frames = [bytes([n]) * (n * 7) for n in range(BATCH + 6)]
    assert way.send_datagrams(far.fileno(), frames, 2, 1000) == BATCH + 4
    receiver = way.Receiver(near, lambda host, port: (host, port), 10)
    first, peers = receiver.receive()
    assert first == frames[2 : BATCH + 2]
    assert set(peers) == {far.getsockname()}
    rest, _ = receiver.receive()
    assert rest == frames[BATCH + 2 :]
    with pytest.raises(BlockingIOError):
        receiver.receive()


def test_senders_are_asked_for_once(way, pair):
    """Until they are forgotten, or there are more than are remembered."""
    near, _ = pair
    asked = []

    def peer_of(host, port):
        assert host == HOST
        asked.append(port)
        return port

    receiver = way.Receiver(near, peer_of, 2)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as one:
        one.connect(near.getsockname())
        for _ in range(2):
            one.send(b"x")
            receiver.receive()
        assert len(asked) == 1
        receiver.forget()
        one.send(b"x")
        receiver.receive()
        assert len(asked) == 2
        for _ in range(3):
            with closing(socket.socket(type=socket.SOCK_DGRAM)) as other:
                other.connect(near.getsockname())
                other.send(b"x")
                receiver.receive()
        one.send(b"x")
        assert receiver.receive()[1] == [one.getsockname()[1]]
    assert len(asked) == 6


def test_what_is_too_big_stops_a_batch(way, pair):
    """Those before it are sent; asked for by itself, it raises."""
    _, far = pair
    frames = [b"a", b"x" * 70_000, b"b"]
    assert way.send_datagrams(far.fileno(), frames, 0, 3) == 1
    with pytest.raises(OSError, match="too long"):
        way.send_datagrams(far.fileno(), frames, 1, 3)


def test_a_stream_is_written_from_any_octet_on(way):
    """And may end within a frame; a place outside of the first one is refused."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        frames = [b"abcdef", b"ghi", b"jkl"]
        assert way.write_frames(near.fileno(), frames, 0, 2, 4) == 5
        assert far.recv(100) == b"efghi"
        assert way.write_frames(near.fileno(), frames, 3, 3, 0) == 0
        with pytest.raises(ValueError, match="7 octets"):
            way.write_frames(near.fileno(), frames, 0, 2, 7)
        large = [b"x" * 60_000] * 100
        assert 0 < way.write_frames(near.fileno(), large, 0, 100, 0) < 100 * 60_000
        with pytest.raises(BlockingIOError):
            way.write_frames(near.fileno(), large, 0, 100, 0)


@pytest.mark.parametrize(
    ("granted", "seconds"), [(212_992, 0.0014), (1 << 22, 0.004), (4096, 0.001)]
)
def test_how_long_a_datagram_may_wait(granted, seconds):
    """As the manual says: by the receive buffer, between 1 and 4 ms."""
    live = udp.UdpListener.__new__(udp.UdpListener)
    live._granted = granted
    assert live._interval() == pytest.approx(seconds, rel=0.02)


def test_what_is_not_acknowledged_is_counted(way):
    """Octets that the far side's kernel has no room for; none when it has them, read or not."""
    with closing(socket.socket()) as listener, closing(socket.socket()) as near:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind((HOST, 0))
        listener.listen()
        near.connect(listener.getsockname())
        near.setblocking(False)
        with closing(listener.accept()[0]) as far:
            assert way.unacknowledged(near.fileno()) == 0
            written = near.send(bytes(50_000))
            left = way.unacknowledged(near.fileno())
            assert written - 4096 <= left < written
            while written:
                written -= len(far.recv(written))
            assert way.unacknowledged(near.fileno()) == 0
    with closing(socket.socket()) as listener:
        listener.listen()
        with pytest.raises(OSError, match="Invalid argument"):
            way.unacknowledged(listener.fileno())
