"""HEP over TCP and TLS: connections cut into frames by the splitter.

Nothing is ever written to a peer but what TLS itself wants.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hepsw.hep import StreamSplitter
from hepsw.net.sayings import Sayings
from hepsw.net.sockets import connections_allowed, packed
from hepsw.net.tls import Session, SessionError
from hepsw.view import Peer

if TYPE_CHECKING:
    import socket

    from hepsw.accounting import ListenerAccount
    from hepsw.config.configuration import Listener
    from hepsw.net.intake import Intake
    from hepsw.net.tls import Terms

FRAME_TIMEOUT: Final = 10.0
"""Seconds that a begun frame may take to arrive whole; between frames a connection may idle."""
HANDSHAKE: Final = 5.0
"""Seconds that a TLS handshake may take, from the connection's first moment."""
HANDSHAKES: Final = 256
"""Handshakes at once, of all listeners; connections of which nothing came yet are none."""
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
READ: Final = 1 << 17
"""Octets of one read: with frames of six octets still no more than 21,845 of them."""
TURN: Final = 0.005
"""Seconds that one look may take; then the loop's other sockets have their turn."""
HELLO: Final = 1 << 12
"""Octets read of a handshake at once: many may wait for their turn."""
BACKLOG: Final = 32
"""Connections accepted in one wake-up at most: fewer than the descriptors that are left free."""

log = logging.getLogger("hepsw.net")


class Connections:
    """The connections of all listeners: descriptors are the process's, not a listener's."""

    def __init__(self) -> None:
        self._open: set[_Connection] = set()
        self._shaking: dict[_Connection, None] = {}
        """Those within their handshake, the oldest first."""
        self._waiting: deque[tuple[_Connection, bytes]] = deque()
        """Octets of handshakes that wait for their turn."""

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
        self._shaking.pop(connection, None)

    def shake(self, connection: _Connection, octets: bytes) -> None:
        """Go on with a handshake when it is its turn.

        A key of RSA costs a millisecond, and after a restart all agents come at once: UDP must be
        read in between.
        """
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._shake)
        self._waiting.append((connection, octets))

    def _shake(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + TURN
        try:
            while self._waiting:
                connection, octets = self._waiting.popleft()
                connection.shake(octets)
                if loop.time() >= end:
                    break
        finally:
            if self._waiting:
                loop.call_soon(self._shake)

    def shakes(self, connection: _Connection) -> None:
        """Note that a handshake begins; where there are too many, the oldest goes.

        It is the one that a slow peer, or one that means no good, has kept longest: who waits in
        front of a full house would wait for those.
        """
        if len(self._shaking) >= HANDSHAKES:
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.give_up("handshakes")
        self._shaking[connection] = None

    def shook(self, connection: _Connection) -> None:
        """Note that a handshake is done."""
        self._shaking.pop(connection, None)


class TcpListener:
    """Accepts connections; a peer, a fault in its stream, or the end of hepsw closes them.

    As `UdpListener` it does not let itself be woken up for each frame: a connection that is read
    twice within `BUSY` is busy, and all busy ones are looked at together every `POLL`, until there
    is nothing to read. What comes meanwhile waits in the kernel.
    """

    def __init__(
        self,
        sock: socket.socket,
        intake: Intake,
        everybody: Connections,
        terms: Terms | None = None,
    ) -> None:
        self.intake = intake
        self.terms = terms
        """Of the next connections, where the url says TLS."""
        self.socket = sock
        self.buffer = bytearray(READ)
        """What a read fills; one for all connections, because each read is used up at once."""
        self.last_read = 0.0
        """The loop's time of the last octets on any connection."""
        self.is_closed = False
        self.everybody = everybody
        self.sayings = Sayings()
        self.pushed_back: float | None = None
        """The loop's time since when nothing is read, if so."""
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
        """Take new settings, and perhaps a new name, under the open connections.

        Those whom `from` no longer hears are closed. TLS of the others stays as it was agreed.
        """
        narrowed = listener.from_ if listener.from_ != self.intake.listener.from_ else None
        self.intake.settle(listener, account)
        for connection in list(self._connections):
            connection.rename(listener.name)
            if narrowed is not None and connection.ip not in narrowed:
                connection.give_up("not-allowed")

    def measure(self) -> None:
        """Add the number of open connections to the account, which several sockets may share."""
        self.intake.account.connections += len(self._connections)

    def push_back(self, *, wanted: bool) -> None:
        """Read from no connection, or from all again: what comes meanwhile waits at the peers.

        The time until then counts against nobody.
        """
        if wanted is (self.pushed_back is not None) or (wanted and self.is_closed):
            return
        now = asyncio.get_running_loop().time()
        if wanted:
            self.pushed_back = now
            self._busy.clear()
            for connection in self._connections:
                connection.pause()
        elif self.pushed_back is not None:
            since, self.pushed_back = self.pushed_back, None
            for connection in self._connections:
                connection.go_on(now, now - since)

    async def stop(self) -> None:
        """Accept no more, read what the connections still hold, then close them."""
        self.is_closed = True
        # What the kernel holds for us, the peers will not send again.
        self.push_back(wanted=False)
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
        self.everybody.add(connection)
        self._connections.add(connection)
        self.intake.account.connected += 1

    def closed(self, connection: _Connection) -> None:
        """Note that a connection is gone."""
        self._busy.pop(connection, None)
        self._connections.discard(connection)
        self.everybody.discard(connection)

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
                if self.pushed_back is not None:
                    break  # what was just read filled somebody's last room
                if loop.time() > end:
                    is_more = True
                    break
                # To the end of the line: where there is too much to read, everybody has a turn.
                if self._busy.pop(connection, self) is self:
                    continue
                octets = connection.look()
                if octets and connection.is_watched:
                    self._busy[connection] = None
                    is_more |= octets == READ
        finally:
            # Also after a bug on the way of a packet: nobody else would ever look again.
            self._poll = None
            if is_more and self._busy:
                self._poll = loop.call_soon(self._look)
            elif self._busy:
                self._poll = loop.call_later(POLL, self._look)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        if self.pushed_back is None:
            now, idle = loop.time(), self.intake.listener.idle
            for connection in list(self._connections):
                reason = connection.lateness(now, idle)
                if reason is not None:
                    connection.give_up(reason)
        self._sweeper = loop.call_later(SWEEP, self._sweep)


class _Connection(asyncio.BufferedProtocol):
    """One peer's stream."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._intake = listener.intake
        self._splitter = StreamSplitter()
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._session = None if listener.terms is None else Session(listener.terms)
        self._is_shaking = self._session is not None
        """Whether the handshake is not done, or not begun."""
        self._broken = False
        self._loop = asyncio.get_running_loop()
        self.last_read = self._began = self._loop.time()
        """The loop's time of its last octets, or of its beginning."""
        self.is_watched = False
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
        ip, heard = packed(address[0]), self._intake.listener.from_
        if heard is not None and ip not in heard:
            self.give_up("not-allowed")
            return
        local_host, local_port = transport.get_extra_info("sockname")[:2]
        self._peer = Peer(
            ip=ip,
            port=address[1],
            transport="tcp" if self._session is None else "tls",
            local_ip=packed(local_host),
            local_port=local_port,
            listener=self._intake.listener.name,
        )
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._listener.opened(self)
        if self._listener.pushed_back is not None:
            transport.pause_reading()

    @property
    def ip(self) -> bytes:
        """The address of the peer, packed."""
        return b"" if self._peer is None else self._peer.ip

    def rename(self, listener: str) -> None:
        """Follow the listener to its new name."""
        if self._peer is not None:
            self._peer = replace(self._peer, listener=listener, met=self._peer.met)

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:  # noqa: ARG002 - there is only one
        buffer = self._listener.buffer
        return memoryview(buffer)[:HELLO] if self._is_shaking else buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._broken or self._peer is None:
            return
        now = self._loop.time()
        if now - self.last_read < BUSY and not self.is_watched and not self._is_shaking:
            assert self._transport is not None  # noqa: S101 - what reads has one
            self.is_watched = True
            self._transport.pause_reading()
            self._listener.watch(self)
        self.last_read = self._listener.last_read = now
        octets = bytes(memoryview(self._listener.buffer)[:nbytes])
        if self._session is None:
            self._take(octets, now)
        elif self._is_shaking:
            assert self._transport is not None  # noqa: S101 - as above
            self._transport.pause_reading()
            self._listener.everybody.shake(self, octets)
        else:
            self._take_sealed(self._session, octets, now)

    def shake(self, octets: bytes) -> None:
        """Take octets of the handshake, and read on."""
        if self._session is None or self._transport is None or self._transport.is_closing():
            return
        self._take_sealed(self._session, octets, self._loop.time())
        if self._listener.pushed_back is None:
            self._transport.resume_reading()

    def _take(self, octets: bytes, now: float) -> None:
        """Take plain octets of the stream."""
        assert self._peer is not None  # noqa: S101 - what reads has one
        frames = self._splitter.feed(octets)
        if frames:
            self._intake.frames(frames, self._peer)
        if self._splitter.error is not None:
            self.give_up(self._splitter.error.reason)
        elif not self._splitter.buffered:
            self.frame_began = None
        elif frames or self.frame_began is None:
            self.frame_began = now

    def _take_sealed(self, session: Session, octets: bytes, now: float) -> None:
        """Take octets of TLS, and of what was in them."""
        assert self._peer is not None  # noqa: S101 - what reads has one
        assert self._transport is not None  # noqa: S101 - as above
        if not session.is_begun:
            self._listener.everybody.shakes(self)
        try:
            plain = session.receive(octets, shaking=self._is_shaking)
        except SessionError as error:
            # What tells the peer why is written now or never: the connection is given up.
            self._transport.write(session.answer())
            self.give_up(error.reason, str(error))
            return
        answer = session.answer()
        if answer:
            self._transport.write(answer)
        if plain is None:
            return
        if self._is_shaking:
            self._is_shaking = False
            self._listener.everybody.shook(self)
            self._peer.name = session.name
        if plain:
            self._take(plain, now)
        if session.is_over and not self._broken:
            self.close()

    def pause_writing(self) -> None:
        """Give up a peer that makes TLS answer again and again and reads nothing of it."""
        self.give_up("tls-error", "it does not read what TLS answers")

    def pause(self) -> None:
        """Read no more until told to go on."""
        self.is_watched = False
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self, now: float, paused: float) -> None:
        """Read again; the time of the pause does not count."""
        self._began = min(now, self._began + paused)
        self.last_read = min(now, self.last_read + paused)
        if self.frame_began is not None:
            self.frame_began = min(now, self.frame_began + paused)
        if self._transport is not None:
            self._transport.resume_reading()

    def lateness(self, now: float, idle: float | None) -> str | None:
        """Return why the connection is to be closed for what it did not send, if so.

        Args:
            now: the loop's time.
            idle: seconds of silence that it may keep.
        """
        if self._is_shaking and now > self._began + HANDSHAKE - SWEEP:
            return "tls-timeout"
        if self.frame_began is not None and now > self.frame_began + FRAME_TIMEOUT:
            return "frame-timeout"
        if idle is not None and now > self.last_read + idle:
            return "idle"
        return None

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
            self.is_watched = False
            self._transport.resume_reading()
            return 0
        try:
            self.buffer_updated(octets)
        except BaseException:  # as the transport does: what was read is lost to the stream
            self._broken = True
            self._transport.abort()
            raise
        return 0 if self._broken else octets

    def give_up(self, reason: str, text: str = "") -> None:
        """Close a stream that can be read no further; its sender will connect again."""
        self._broken = True
        self.frame_began = None
        self._intake.account.broken[reason] += 1
        text = text or self._splitter.excerpt.hex(" ")
        if self._listener.sayings.is_news(self._host(), reason, self._loop.time()):
            log.log(
                logging.INFO if reason == "idle" else logging.WARNING,
                "%s: closed the connection of %s: %s%s",
                self._intake.listener.name,
                self._name(),
                reason,
                f" ({text})" if text else "",
            )
        self.close()

    def close(self) -> None:
        """Close the connection; what was read is kept."""
        if self._transport is None:
            return
        if self._broken:
            self._transport.abort()
            return
        if self._session is not None and not self._is_shaking:
            self._transport.write(self._session.farewell())
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - an end is an end
        if not self._broken:
            self._end()
        self._listener.closed(self)

    def _end(self) -> None:
        """Count a stream that its peer ended at a wrong place."""
        session = self._session
        is_cut = session is not None and session.is_cut and not session.is_over
        if session is not None and self._is_shaking:
            if session.is_begun and not self._listener.is_closed:
                self.give_up("tls-handshake", "the peer left")
        elif self._splitter.eof() is not None or is_cut:
            self._intake.account.broken["stream-partial"] += 1

    def _host(self) -> str:
        address = self._transport.get_extra_info("peername") if self._transport else None
        return str(address[0]).removeprefix("::ffff:") if address else ""

    def _name(self) -> str:
        address = self._transport.get_extra_info("peername") if self._transport else None
        return f"{self._host()}:{address[1]}" if address else "a peer"
