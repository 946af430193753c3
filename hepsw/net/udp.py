"""HEP over UDP: one socket, drained in batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hepsw.net.batches import BATCH, Receiver
from hepsw.net.sockets import granted_receive_buffer, kernel_drops, packed
from hepsw.view import Peer

if TYPE_CHECKING:
    import socket

    from hepsw.accounting import ListenerAccount
    from hepsw.config.configuration import Listener
    from hepsw.net.intake import Intake

ROUNDS: Final = 4
"""Batches read in one turn of the loop; then its other sockets have theirs."""
BUSY: Final = 0.0005
"""Seconds between two wake-ups of the loop below which it is asked no more to wake up: see
`UdpListener`."""
LONGEST: Final = 0.004
SHORTEST: Final = 0.001
"""Seconds between two looks at a busy socket."""
FLOOD: Final = 100_000
USUAL: Final = 1536
"""Datagrams in a second, and what one of them takes of a receive buffer, for which half of the
buffer is to suffice between two looks."""
PEERS: Final = 8192
"""Senders remembered; an agent that uses a new port for every datagram must not fill the memory."""
LAST_READ: Final = 0.3
"""Seconds that a stopping listener reads on at most: a flood never ends by itself."""


class UdpListener:
    """Reads datagrams, and knows how many the kernel had no room for.

    While little comes, the loop wakes up for each datagram, and none waits. When wake-ups follow
    each other within `BUSY`, waking up costs more than the packets do: the socket is then looked at
    every few milliseconds, and what has gathered is judged together, until a look finds less than
    two. Network cards and their drivers do the same (NAPI in Linux). How long a datagram may wait
    so depends on the receive buffer that the kernel granted: 1.4 ms
    with 208 KiB, 4 ms from 600 KiB on.
    """

    def __init__(self, sock: socket.socket, intake: Intake) -> None:
        self.intake = intake
        self.socket = sock
        self._receiver = Receiver(sock, self._peer, PEERS)
        host, port = sock.getsockname()[:2]
        self._local = (packed(host), port)
        self._drops = kernel_drops(sock)
        self._loop = asyncio.get_running_loop()
        self._woken = 0.0
        """The loop's time of the last wake-up."""
        self._poll: asyncio.Handle | None = None
        """The next look at the socket, while it is busy."""
        self._granted = granted_receive_buffer(sock)

    async def start(self) -> None:
        """Begin to read."""
        self._loop.add_reader(self.socket, self._on_readable)

    def settle(self, listener: Listener, account: ListenerAccount) -> None:
        """Take new settings, and perhaps a new name, under the open socket."""
        self.measure()
        before = self.intake.listener
        if (listener.name, listener.from_) != (before.name, before.from_):
            self._receiver.forget()
        self.intake.settle(listener, account)
        self._granted = granted_receive_buffer(self.socket)

    def measure(self) -> None:
        """Write what the kernel dropped so far into the account."""
        drops = kernel_drops(self.socket)
        since = (drops - self._drops) & 0xFFFFFFFF  # the kernel's counter is 32 bits wide
        self._drops = drops
        self.intake.account.kernel_dropped += since
        self.intake.account.seen += since

    async def stop(self) -> None:
        """Read what has arrived, for a moment, then close; the rest is lost with the socket."""
        self._loop.remove_reader(self.socket)
        if self._poll is not None:
            self._poll.cancel()
        end = self._loop.time() + LAST_READ
        while self._read() and self._loop.time() < end:
            await asyncio.sleep(0)
        self.measure()
        self.socket.close()

    def _on_readable(self) -> None:
        """Read what has come; where wake-ups follow each other too soon, begin to poll."""
        now = self._loop.time()
        self._read()
        if now - self._woken < BUSY:
            self._loop.remove_reader(self.socket)
            self._poll = self._loop.call_later(self._interval(), self._on_poll)
        self._woken = now

    def _on_poll(self) -> None:
        """Read what has gathered; where that is next to nothing, be woken up again."""
        count = 0
        try:
            count = self._read()
        finally:
            # Also after a bug on the way of a packet: nobody else would ever read again.
            if count < 2:
                self._poll = None
                self._woken = 0.0
                self._loop.add_reader(self.socket, self._on_readable)
            elif count >= ROUNDS * BATCH:
                self._poll = self._loop.call_soon(self._on_poll)
            else:
                self._poll = self._loop.call_later(self._interval(), self._on_poll)

    def _interval(self) -> float:
        """Return the seconds until the next look."""
        # What the kernel accounts is twice what it tells: its own records are among it.
        seconds = self._granted / USUAL / FLOOD
        return min(LONGEST, max(SHORTEST, seconds))

    def _read(self) -> int:
        """Read and have judged what there is, up to `ROUNDS` batches; return how many datagrams."""
        count = 0
        for _ in range(ROUNDS):
            try:
                datagrams, peers = self._receiver.receive()
            except BlockingIOError:
                break
            except OSError:
                # An error that the network reported for the socket; the next datagram is another
                # matter.
                continue
            self.intake.datagrams(datagrams, peers)
            count += len(datagrams)
            if len(datagrams) < BATCH:
                break
        return count

    def _peer(self, host: str, port: int) -> Peer:
        local_ip, local_port = self._local
        ip = packed(host)
        heard = self.intake.listener.from_
        return Peer(
            ip=ip,
            port=port,
            transport="udp",
            local_ip=local_ip,
            local_port=local_port,
            listener=self.intake.listener.name,
            heard=heard is None or ip in heard,
        )
