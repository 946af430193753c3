"""A TCP proxy that does to a connection what networks and far sides do.

It stands between a sender (the near side) and whoever really listens (the far side). What it does
is set in its `faults` and may be changed while it runs. It lives in a thread with a loop of its
own, so tests with and without a loop use it alike; TLS passes through it as octets do.

    with FaultProxy(collector.port) as proxy:
        proxy.faults.cut_after = 1000   # the next connection is reset after 1,000 octets
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from dataclasses import dataclass
from typing import ClassVar

from loopback import HOST

READ = 1 << 16
AHEAD = 64
"""Pieces that are read and wait for their delay, at most."""
TURN = 0.005
"""Seconds between two looks at faults that may have been changed."""
RESET = struct.pack("ii", 1, 0)


@dataclass
class Faults:
    """What the proxy does to the octets that the near side sends; it starts as a plain wire."""

    delay: float = 0
    """Seconds that each piece is held back."""
    rate: float = 0
    """Octets in a second; 0 is no limit."""
    slices: tuple[int, int] | None = None
    """Pieces of this size, at random between the two, ends included."""
    stall: bool = False
    """Nothing is read, of connections there are and of new ones: the window closes."""
    cut_after: int | None = None
    """Octets that pass of each connection from now on before it is cut."""
    cut: str = "reset"
    """How: `reset`, `close` (an end as any other), or `half` (we say no more, and read on)."""
    corrupt_at: int | None = None
    """The octet of each connection, counted from 0, of which one bit is turned round."""
    mute_after: bytes | None = None
    """Once the near side has sent this, nothing that the far side says over that connection comes
    back: it was heard, and nobody knows."""


class FaultProxy:
    """Listens at `port` of loopback and passes on to another port there.

    Args:
        far_port: where the far side listens.
        port: where this listens; the system's choice unless it is given.
        receive_buffer: octets asked for to hold what was not read yet; the kernel takes twice as
            many. With 0 it takes as many as it likes.
    """

    def __init__(self, far_port, port=0, receive_buffer=0):
        self.faults = Faults()
        self.connections = 0
        """How many were accepted."""
        self.octets = 0
        """How many the near side has sent that we have read."""
        self.passed = 0
        """How many of them the far side was given."""
        self.muted = 0
        """How many connections have had `mute_after`."""
        self._far_port = far_port
        self._links = set()
        self._ending = set()
        """What closes those that were cut."""
        self._fillers = []
        self._loop = asyncio.new_event_loop()
        self._receive_buffer = receive_buffer
        self._listener = self._listening(port)
        self.port = self._listener.getsockname()[1]
        self._accepting = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._do(self._accept())
        return self

    def __exit__(self, *_):
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- faults that are deeds ---

    def cut(self, how="reset"):
        """Cut every connection now: `reset`, `close` or `half`."""
        self._do(self._cut_all(how))

    def say(self, octets):
        """Send octets to the near side, over every connection."""
        self._do(self._say(octets))

    def refuse(self):
        """Let nobody listen any more; connections that there are stay."""
        self._do(self._stop_listening())

    def blackhole(self):
        """Leave new connections unanswered, as a host that is gone, and read no more of the old."""
        self.faults.stall = True
        self._do(self._fill())

    def heal(self):
        """Listen and pass on as at the start, faults forgotten."""
        self.faults = Faults()
        self._do(self._listen_again())

    # --- in the loop ---

    def _do(self, deed):
        return asyncio.run_coroutine_threadsafe(deed, self._loop).result(10)

    async def _accept(self):
        self._accepting = asyncio.create_task(self._serve(self._listener))

    async def _serve(self, listener):
        # `sock_accept` would leave open what it has just accepted when it is cancelled.
        ready = asyncio.Event()
        self._loop.add_reader(listener, ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                with contextlib.suppress(OSError):
                    self._begin(*listener.accept())
        finally:
            self._loop.remove_reader(listener)

    def _begin(self, near, _):
        near.setblocking(False)
        self.connections += 1
        link = _Link(self, near)
        self._links.add(link)
        link.begin(self._far_port)

    async def _stop_listening(self):
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._accepting = None
        self._listener.close()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    async def _fill(self):
        """Take the place in the queue of those who wait to be accepted: others hear nothing."""
        await self._stop_listening()
        self._listener = self._listening(self.port, backlog=0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((HOST, self.port))
            self._fillers.append(filler)
        await asyncio.sleep(0.05)

    async def _listen_again(self):
        await self._stop_listening()
        self._listener = self._listening(self.port)
        await self._accept()

    def _listening(self, port, backlog=64):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listener.bind((HOST, port))
        listener.listen(backlog)
        listener.setblocking(False)
        return listener

    async def _cut_all(self, how):
        for link in tuple(self._links):
            link.cut(how)
        await asyncio.sleep(0)

    async def _say(self, octets):
        for link in tuple(self._links):
            await self._loop.sock_sendall(link.near, octets)

    async def _close(self):
        await self._stop_listening()
        for link in tuple(self._links):
            await link.end()
        await asyncio.gather(*self._ending)


class _Link:
    """One connection of the near side, and ours to the far side."""

    _HOW: ClassVar = {"reset", "close", "half"}

    def __init__(self, proxy, near):
        self._proxy = proxy
        self.near = near
        self._far = socket.socket()
        self._far.setblocking(False)
        self._read = self._passed = 0
        self._allowed = proxy.faults.cut_after
        self._is_muted = False
        self._end = b""
        """The last octets read: what is looked for may come in two pieces."""
        self._tasks = []
        self._ahead = asyncio.Queue(AHEAD)

    def begin(self, port):
        """Connect to the far side, and pass on."""
        self._tasks = [asyncio.create_task(self._run(port))]

    async def _run(self, port):
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(self._far, (HOST, port))
        except OSError:
            self.cut("reset")
            return
        self._far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tasks += [
            asyncio.create_task(self._take()),
            asyncio.create_task(self._pass_on()),
            asyncio.create_task(self._bring_back()),
        ]

    async def _take(self):
        """Read what the near side sends, never more than may pass."""
        loop = asyncio.get_running_loop()
        while True:
            await self._readable()
            size = READ
            if self._allowed is None and self._proxy.faults.cut_after is not None:
                self._allowed = self._read + self._proxy.faults.cut_after
            if self._allowed is not None:
                size = min(size, self._allowed - self._read)
            octets = b""
            if size:
                with contextlib.suppress(OSError):
                    octets = self.near.recv(size)
            self._read += len(octets)
            self._proxy.octets += len(octets)
            self._look_for_the_last_word(octets)
            await self._ahead.put((loop.time() + self._proxy.faults.delay, octets))
            if not octets:
                return

    async def _readable(self):
        """Wait until there is something to read and nothing that forbids it."""
        loop = asyncio.get_running_loop()
        while self._allowed is None or self._read < self._allowed:
            ready = asyncio.Event()
            loop.add_reader(self.near, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(self.near)
            # A fault may have come while nothing did.
            if not self._proxy.faults.stall:
                return
            while self._proxy.faults.stall:
                await asyncio.sleep(TURN)

    def _look_for_the_last_word(self, octets):
        word = self._proxy.faults.mute_after
        if word is None or self._is_muted:
            self._end = b""
            return
        self._end += octets
        if word in self._end:
            self._is_muted = True
            self._proxy.muted += 1
        self._end = self._end[-len(word) :]

    async def _pass_on(self):
        loop = asyncio.get_running_loop()
        while True:
            due, octets = await self._ahead.get()
            await asyncio.sleep(due - loop.time())
            if not octets:
                break
            for piece in self._pieces(self._corrupted(octets)):
                try:
                    await loop.sock_sendall(self._far, piece)
                except OSError:
                    self.cut("reset")
                    return
                self._passed += len(piece)
                self._proxy.passed += len(piece)
                if self._proxy.faults.rate:
                    await asyncio.sleep(len(piece) / self._proxy.faults.rate)
                elif self._proxy.faults.slices:
                    await asyncio.sleep(0)
        if self._allowed is not None and self._read >= self._allowed:
            self.cut(self._proxy.faults.cut)
            if self._proxy.faults.cut == "half":
                self._allowed = None
                self._proxy.faults.cut_after = None
                self._tasks.append(asyncio.create_task(self._take()))
                await self._pass_on()
        else:
            with contextlib.suppress(OSError):
                self._far.shutdown(socket.SHUT_WR)

    def _pieces(self, octets):
        faults = self._proxy.faults
        while octets:
            size = len(octets)
            if faults.slices:
                size = random.randint(*faults.slices)
            elif faults.rate:
                size = max(1, int(faults.rate * TURN))
            yield octets[:size]
            octets = octets[size:]

    def _corrupted(self, octets):
        at = self._proxy.faults.corrupt_at
        if at is None or not self._passed <= at < self._passed + len(octets):
            return octets
        changed = bytearray(octets)
        changed[at - self._passed] ^= 1 << random.randrange(8)
        return bytes(changed)

    async def _bring_back(self):
        """Pass on what the far side says, untouched, and its end."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while octets := await loop.sock_recv(self._far, READ):
                if not self._is_muted:
                    await loop.sock_sendall(self.near, octets)
            self.near.shutdown(socket.SHUT_WR)
            return
        self.cut("reset")

    def cut(self, how):
        """Cut the connection."""
        assert how in self._HOW
        if how == "half":
            with contextlib.suppress(OSError):
                self.near.shutdown(socket.SHUT_WR)
            return
        if how == "reset":
            with contextlib.suppress(OSError):
                self.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        # The far side gets an ordinary end: what has passed can be read there.
        ending = asyncio.create_task(self.end())
        self._proxy._ending.add(ending)
        ending.add_done_callback(self._proxy._ending.discard)

    async def end(self):
        """Close both sides; octets that wait here are lost."""
        self._proxy._links.discard(self)
        ending = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self.near.close()
        self._far.close()
