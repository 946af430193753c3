"""HEP over TCP: connections cut into frames by the splitter; nothing is ever written to a peer."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hepsw.hep import StreamSplitter
from hepsw.net.sockets import connections_allowed, packed
from hepsw.view import Peer

if TYPE_CHECKING:
    import socket

    from hepsw.accounting import ListenerAccount
    from hepsw.config.configuration import Listener
    from hepsw.net.intake import Intake

FRAME_TIMEOUT: Final = 10.0
"""Seconds that a begun frame may take to arrive whole; between frames a connection may idle."""
SWEEP: Final = 1.0
"""Seconds between two looks at who is late."""
QUIET: Final = 0.05
"""Seconds without a read after which a stopping listener believes its connections empty."""
BUSY: Final = 0.002
"""Seconds between two reads of a connection below which the loop is asked no more to wake up for
it: see `TcpListener`."""
POLL: Final = 0.004
"""Seconds between two looks at the busy connections."""
LAST_READ: Final = 0.5
"""Seconds that a stopping listener reads on at most."""
READ: Final = 1 << 16
"""Octets of one read: with frames of six octets still no more than 10,922 of them."""
TURN: Final = 0.005
"""Seconds that one look may take; then the loop's other sockets have their turn."""
BACKLOG: Final = 32
"""Connections accepted in one wake-up at most: fewer than the descriptors that are left free."""

log = logging.getLogger("hepsw.net")


class Connections:
    """The connections of all listeners: descriptors are the process's, not a listener's."""

    def __init__(self) -> None:
        self._open: set[_Connection] = set()

    def add(self, connection: _Connection) -> None:
        """Note a connection; where there is no room for it, the longest silent one goes."""
        if len(self._open) >= connections_allowed():
            silent = min(self._open, key=lambda other: other.last_read)
            self._open.discard(silent)
            silent.give_up("too-many-connections")
        self._open.add(connection)

    def discard(self, connection: _Connection) -> None:
        """Note that a connection is gone."""
        self._open.discard(connection)


class TcpListener:
    """Accepts connections; a peer, a fault in its stream, or the end of hepsw closes them.

    As `UdpListener` it does not let itself be woken up for each frame: a connection that is read
    twice within `BUSY` is busy, and all busy ones are looked at together every `POLL`, until there
    is nothing to read. What comes meanwhile waits in the kernel.
    """

    def __init__(self, sock: socket.socket, intake: Intake, everybody: Connections) -> None:
        self.intake = intake
        self.socket = sock
        self.buffer = bytearray(READ)
        """What a read fills; one for all connections, because each read is used up at once."""
        self.last_read = 0.0
        """The loop's time of the last octets on any connection."""
        self.is_closed = False
        self._everybody = everybody
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._busy: dict[_Connection, None] = {}
        self._poll: asyncio.Handle | None = None
        """The next look at the busy ones, if there are any."""

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), sock=self.socket, backlog=BACKLOG
        )
        self._sweeper = loop.call_later(SWEEP, self._sweep)

    def settle(self, listener: Listener, account: ListenerAccount) -> None:
        """Take new settings, and perhaps a new name, under the open connections."""
        self.intake.settle(listener, account)
        for connection in self._connections:
            connection.rename(listener.name)

    def measure(self) -> None:
        """Add the number of open connections to the account, which several sockets may share."""
        self.intake.account.connections += len(self._connections)

    async def stop(self) -> None:
        """Accept no more, read what the connections still hold, then close them."""
        self.is_closed = True
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        loop = asyncio.get_running_loop()
        began = self.last_read = loop.time()
        while self._connections and loop.time() < min(began + LAST_READ, self.last_read + QUIET):
            await asyncio.sleep(QUIET / 5)
        for connection in list(self._connections):
            connection.close()
        if self._poll is not None:
            self._poll.cancel()
        self.socket.close()
        await asyncio.sleep(0)  # connections close in the loop's next turn

    def opened(self, connection: _Connection) -> None:
        """Note a connection."""
        self._everybody.add(connection)
        self._connections.add(connection)
        self.intake.account.connected += 1

    def closed(self, connection: _Connection) -> None:
        """Note that a connection is gone."""
        self._busy.pop(connection, None)
        self._connections.discard(connection)
        self._everybody.discard(connection)

    def watch(self, connection: _Connection) -> None:
        """Look at a connection from time to time, until it has nothing to read."""
        self._busy[connection] = None
        if self._poll is None:
            self._poll = asyncio.get_running_loop().call_later(POLL, self._look)

    def _look(self) -> None:
        """Read once from each busy connection, for as long as a turn of the loop may take."""
        loop = asyncio.get_running_loop()
        end = loop.time() + TURN
        is_more = False
        try:
            for connection in list(self._busy):
                if loop.time() > end:
                    is_more = True
                    break
                # To the end of the line: where there is too much to read, everybody has a turn.
                del self._busy[connection]
                octets = connection.look()
                if octets:
                    self._busy[connection] = None
                    is_more |= octets == READ
        finally:
            # Also after a bug on the way of a packet: nobody else would ever look again.
            self._poll = None
            if is_more:
                self._poll = loop.call_soon(self._look)
            elif self._busy:
                self._poll = loop.call_later(POLL, self._look)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        late = loop.time() - FRAME_TIMEOUT
        for connection in list(self._connections):
            if connection.frame_began is not None and connection.frame_began < late:
                connection.give_up("frame-timeout")
        self._sweeper = loop.call_later(SWEEP, self._sweep)


class _Connection(asyncio.BufferedProtocol):
    """One peer's stream."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._intake = listener.intake
        self._splitter = StreamSplitter()
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._broken = False
        self._loop = asyncio.get_running_loop()
        self.last_read = self._loop.time()
        """The loop's time of its last octets, or of its beginning."""
        self._is_watched = False
        """Whether the listener looks, instead of the transport."""
        self._descriptor = -1
        self.frame_began: float | None = None
        """The loop's time when the frame began that is not whole yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server's only kind
        self._transport = transport
        # It may have been accepted in the moment in which its listener was closed, or be gone.
        address = transport.get_extra_info("peername")
        if self._listener.is_closed or address is None:
            self._broken = True
            transport.abort()
            return
        local_host, local_port = transport.get_extra_info("sockname")[:2]
        self._peer = Peer(
            ip=packed(address[0]),
            port=address[1],
            transport="tcp",
            local_ip=packed(local_host),
            local_port=local_port,
            listener=self._intake.listener.name,
        )
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._listener.opened(self)

    def rename(self, listener: str) -> None:
        """Follow the listener to its new name."""
        if self._peer is not None:
            self._peer = replace(self._peer, listener=listener, met=self._peer.met)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - there is only one
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._broken or self._peer is None:
            return
        now = self._loop.time()
        if now - self.last_read < BUSY and not self._is_watched:
            assert self._transport is not None  # noqa: S101 - what reads has one
            self._is_watched = True
            self._transport.pause_reading()
            self._listener.watch(self)
        self.last_read = self._listener.last_read = now
        frames = self._splitter.feed(bytes(memoryview(self._listener.buffer)[:nbytes]))
        if frames:
            self._intake.frames(frames, self._peer)
        if self._splitter.error is not None:
            self.give_up(self._splitter.error.reason)
        elif not self._splitter.buffered:
            self.frame_began = None
        elif frames or self.frame_began is None:
            self.frame_began = now

    def look(self) -> int:
        """Read once past the transport, which is paused; return how many octets, 0 for let go.

        Everything but octets is left to the transport: with nothing to read, or the end of the
        stream, or its breaking, it is told to go on.
        """
        if self._transport is None or self._transport.is_closing():
            return 0
        try:
            octets = os.readv(self._descriptor, [self._listener.buffer])
        except OSError:
            octets = 0
        if not octets:
            self._is_watched = False
            self._transport.resume_reading()
            return 0
        try:
            self.buffer_updated(octets)
        except BaseException:  # as the transport does: what was read is lost to the stream
            self._broken = True
            self._transport.abort()
            raise
        return 0 if self._broken else octets

    def give_up(self, reason: str) -> None:
        """Close a stream that can be read no further; its sender will connect again."""
        self._broken = True
        self.frame_began = None
        self._intake.account.broken[reason] += 1
        log.warning(
            "%s: closed the connection of %s: %s%s",
            self._intake.listener.name,
            self._name(),
            reason,
            f" at {self._splitter.excerpt.hex(' ')}" if self._splitter.excerpt else "",
        )
        self.close()

    def close(self) -> None:
        """Close the connection; what was read is kept."""
        if self._transport is not None:
            self._transport.abort() if self._broken else self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - an end is an end
        if not self._broken and self._splitter.eof() is not None:
            self._intake.account.broken["stream-partial"] += 1
        self._listener.closed(self)

    def _name(self) -> str:
        address = self._transport.get_extra_info("peername") if self._transport else None
        return f"{address[0]}:{address[1]}" if address else "a peer"
