"""HEP over TCP: connections cut into frames by the splitter; nothing is ever written to a peer."""

from __future__ import annotations

import asyncio
import logging
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
LAST_READ: Final = 0.5
"""Seconds that a stopping listener reads on at most."""
READ: Final = 1 << 16
"""Octets of one read: with frames of six octets still no more than 10,922 of them."""
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
    """Accepts connections; a peer, a fault in its stream, or the end of hepsw closes them."""

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

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), sock=self.socket, backlog=BACKLOG
        )
        self._sweeper = loop.call_later(SWEEP, self._sweep)

    def settle(self, listener: Listener, account: ListenerAccount) -> None:
        """Take new settings, and perhaps a new name, under the open connections."""
        self.intake.listener = listener
        self.intake.account = account
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
        self.socket.close()
        await asyncio.sleep(0)  # connections close in the loop's next turn

    def opened(self, connection: _Connection) -> None:
        """Note a connection."""
        self._everybody.add(connection)
        self._connections.add(connection)
        self.intake.account.connected += 1

    def closed(self, connection: _Connection) -> None:
        """Note that a connection is gone."""
        self._connections.discard(connection)
        self._everybody.discard(connection)

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
        self.last_read = self._listener.last_read = self._loop.time()
        frames = self._splitter.feed(bytes(memoryview(self._listener.buffer)[:nbytes]))
        intake = self._intake
        for frame in frames:
            intake.frame(frame, self._peer)
            if intake.is_full:
                intake.flush()
        intake.flush()
        if self._splitter.error is not None:
            self.give_up(self._splitter.error.reason)
        elif not self._splitter.buffered:
            self.frame_began = None
        elif frames or self.frame_began is None:
            self.frame_began = self._loop.time()

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
