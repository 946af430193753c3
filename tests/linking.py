"""Around a link under test: an owner that keeps account, and a far side that does as it is told."""

import asyncio
import socket
import ssl
import struct
from contextlib import asynccontextmanager
from types import SimpleNamespace

from loopback import HOST

from hepsw.accounting import SinkAccount
from hepsw.config.units import url as read_url
from hepsw.sinks.budget import Budget
from hepsw.sinks.queue import FrameQueue
from hepsw.sinks.stream import StreamLink
from hepsw.sinks.trouble import Trouble

HEAD = struct.Struct("!4sHI")


def frame(number, size=100):
    """Return a frame that tells its number, and what it should be."""
    return HEAD.pack(b"HEP3", size, number) + bytes([number & 0xFF]) * (size - HEAD.size)


def numbers(octets):
    """Return the numbers of the whole frames that a stream begins with, and what is left.

    Raises:
        AssertionError: it is no such stream.
    """
    found = []
    at = 0
    while len(octets) - at >= HEAD.size:
        magic, size, number = HEAD.unpack_from(octets, at)
        assert magic == b"HEP3", f"no frame at octet {at}"
        if at + size > len(octets):
            break
        assert octets[at : at + size] == frame(number, size)
        found.append(number)
        at += size
    assert octets[at : at + 4] == b"HEP3"[: len(octets) - at]
    return found, octets[at:]


class Owner:
    """Counts like a destination; the identity is asserted whenever a link tells it anything."""

    name = "far"

    def __init__(self):
        self.account = SinkAccount()
        self.link = None
        self.trouble = None
        self.taken = 0
        self.pushed = 0
        self.delivered_frames = []
        self.told = []
        self._takes = False

    def check(self):
        if not self._takes:
            held = self.link.in_flight + len(self.link.queue)
            assert self.taken == len(self.delivered_frames) + self.pushed + held

    def take(self, frames, *, make_room=False):
        self.check()
        self._takes = True
        taken = self.link.take(list(frames), make_room=make_room)
        self._takes = False
        self.taken += taken
        self.check()
        return taken

    def pushed_out(self, _frame, _is_over):
        self.pushed += 1

    def delivered(self, frames, start, stop):
        self.delivered_frames += frames[start:stop]
        self.account.delivered += stop - start
        self.check()

    def undeliverable(self, frame):
        raise AssertionError(frame)

    def came_up(self, link):
        assert link is self.link
        assert link.is_up
        self.trouble.is_over()
        self.account.state = self.trouble.state
        self.told.append("up")
        self.check()

    def went_down(self, link, error):
        assert link is self.link
        assert not link.is_up
        assert not link.in_flight
        self.trouble.tell(error)
        self.account.state = self.trouble.state
        self.told.append("down")
        self.check()

    def emptied(self, link):
        assert not link.is_writing
        self.told.append("emptied")
        self.check()


@asynccontextmanager
async def linked(
    url,
    *arguments,
    timeout=5.0,  # noqa: ASYNC109 - the link's
    bind=None,
    tls=None,
    packets=8192,
    **more,
):
    """Run a link, and give its owner; at the end everything is accounted for."""
    owner = Owner()
    queue = FrameQueue(
        SimpleNamespace(packets=packets, bytes=64 << 20), Budget(1 << 30), owner.pushed_out
    )
    settings = SimpleNamespace(timeout=timeout, bind=bind, tls=tls)
    owner.link = StreamLink(read_url(url), settings, queue, owner, *arguments, **more)
    owner.trouble = Trouble(owner.account, owner.name, owner.link.url)
    owner.link.start()
    try:
        yield owner
    finally:
        await owner.link.close()
    assert not owner.link.is_up
    assert not owner.link.in_flight
    owner.check()


class Far:
    """One accepted connection, over TLS where it has a context."""

    def __init__(self, sock, context=None):
        self.sock = sock
        sock.setblocking(False)
        self.octets = b""
        """What it has read."""
        self.is_told = False
        """Whether it heard over TLS that nothing more comes."""
        self._tls = None
        if context is not None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
            self._is_open = False

    def understand(self, octets):
        """Take octets that came."""
        if self._tls is None:
            self.octets += octets
            return
        self._incoming.write(octets)
        try:
            if not self._is_open:
                self._tls.do_handshake()
                self._is_open = True
            while more := self._tls.read(1 << 16):
                self.octets += more
            self.is_told = True
        except ssl.SSLWantReadError:
            pass
        finally:
            if self._outgoing.pending:
                self.sock.send(self._outgoing.read())

    async def read(self, most=1 << 16):
        """Read once; return whether anything came before the end."""
        octets = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, most), 5)
        if octets:
            self.understand(octets)
        return bool(octets)

    def read_now(self, most):
        """Read what is there, if anything is."""
        try:
            octets = self.sock.recv(most)
        except BlockingIOError:
            return
        self.understand(octets)

    async def shake_hands(self):
        """Read until the handshake is over."""
        while self._tls is not None and not self._is_open:
            assert await self.read()

    async def read_until(self, condition):
        while not condition(self.octets):
            assert await self.read()

    def peek(self):
        """Take what the kernel has, without making room for more."""
        try:
            octets = self.sock.recv(1 << 22, socket.MSG_PEEK)
        except BlockingIOError:
            octets = b""
        self.understand(octets)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class Server:
    """Listens, on loopback unless told otherwise."""

    def __init__(self, context=None, room=None, host=HOST, port=0, scheme=None):
        self._context = context
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if room is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self._socket.listen()
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self.scheme = scheme or ("tcp" if context is None else "tls")
        self.url = self.named(f"[{host}]" if ":" in host else host)
        self._all = []

    def named(self, host):
        return f"{self.scheme}://{host}:{self.port}"

    async def accept(self, *, shake_hands=True):
        sock, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(self._socket), 5)
        far = Far(sock, self._context)
        self._all.append(far)
        if shake_hands:
            await far.shake_hands()
        return far

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        for far in self._all:
            far.close()


def serving(pair, client_ca=None, *, newest=None):
    """Return a server's context, which wants a certificate where it is told whose."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    if newest is not None:
        context.maximum_version = newest
    return context


async def until(condition, seconds=5):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
