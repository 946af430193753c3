"""A link over TCP or TLS: whole frames, in order, none given up before it is acknowledged.

Delivered means that the far side's kernel acknowledged the whole frame. Until then it stays in a
ring; when the connection breaks, what is in the ring waits first in line for the next one, and is
counted `resent`. So a frame can arrive twice, and none is lost but what the far side's kernel had
acknowledged and its program had not read when it died: that much stays in nobody's hands. A frame
that was cut by a break goes out whole, and a connection always begins with a whole frame.

How much is acknowledged is what was written, less what the kernel says is not (`SIOCOUTQ`). Asked
after a reset that is not to be believed: nothing promises what a kernel says of a connection that
it has thrown away. Linux keeps the number as it was (6.18: the queue is purged, and the ends that
the number is made of stay), so a look that a reset has just overtaken is right there; but what
was acknowledged after the last look is sent again rather than believed.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from hepsw.errors import DeliveryError
from hepsw.sinks.backoff import HEALTHY, BackOff
from hepsw.sinks.channel import ClosedError, read_away
from hepsw.sinks.connect import Way, connected, reset
from hepsw.sinks.queue import whole
from hepsw.sinks.resolve import LookUp, nothing_is_own
from hepsw.sinks.ring import Ring
from hepsw.sinks.tls import Contexts

if TYPE_CHECKING:
    import ssl

    from hepsw.config.configuration import DestinationSettings
    from hepsw.config.units import Url
    from hepsw.sinks.channel import Channel
    from hepsw.sinks.link import LinkOwner
    from hepsw.sinks.queue import FrameQueue
    from hepsw.sinks.resolve import IsOwn

FRAMES: Final = 128
"""Frames taken out of the queue for one write: more than that seldom has room at once."""
WRITES: Final = 16
"""Writes out of the queue in one turn of the loop: a long queue holds up nobody."""
LOOK: Final = 0.025
"""Seconds between two looks at what is acknowledged, while nothing else makes us look."""
CLOSE: Final = 1.0
"""Seconds that an orderly end waits for what was written to be acknowledged."""
CLOSE_LOOK: Final = 0.005
"""Seconds between two looks then."""


class _TakenBackError(Exception):
    """The connection is given up without a word: what it carried goes another way."""


class StreamLink:
    """One connection, what waits for it and what it has not acknowledged. See `Link`."""

    def __init__(  # noqa: PLR0917 - the last two are seldom given
        self,
        url: Url,
        settings: DestinationSettings,
        queue: FrameQueue,
        owner: LinkOwner,
        is_own: IsOwn = nothing_is_own,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Begin unconnected.

        Args:
            url: `tcp://` or `tls://`.
            settings: of the destination.
            queue: what waits for this link, and for no other.
            owner: is told.
            is_own: whether an address is one of our listeners.
            context: for TLS, instead of one made of the settings' files.
        """
        self.url = url
        self.queue = queue
        self.is_up = False
        self._owner = owner
        self._timeout = settings.timeout
        self._bind = settings.bind
        self._look_up = LookUp(url, socket.SOCK_STREAM, settings.timeout, is_own)
        self._contexts = Contexts(settings.tls, context) if url.scheme == "tls" else None
        self._name = url.host if settings.tls is None else settings.tls.name or url.host
        self._channel: Channel | None = None
        self._stands = False
        """Whether the connection is there and has not broken."""
        self._is_free = False
        """Whether it stands, and the kernel had room when it was last written to."""
        self._watches_room = False
        """Whether the loop calls when there is room."""
        self._ring = Ring(owner.delivered)
        self._cut: bytes | None = None
        """The frame of which the kernel has a part, behind those in the ring."""
        self._begun = 0
        """How many octets of it."""
        self._again_until = 0
        """The place in the queue behind the last frame that a broken connection has carried."""
        self._ended: asyncio.Future[None] | None = None
        """Set to what breaks the connection."""
        self._looking: asyncio.TimerHandle | None = None
        self._acknowledged = 0
        """Octets, at the last look."""
        self._progress: tuple[int, float] | None = None
        """What was acknowledged when that last changed, and when; None while nothing is in
        flight."""
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def in_flight(self) -> int:
        """Frames given to the kernel, wholly or in part, that are not acknowledged."""
        return self._ring.frames + (self._cut is not None)

    @property
    def is_writing(self) -> bool:
        """Whether frames are in flight or wait."""
        return self.in_flight > 0 or len(self.queue) > 0

    @property
    def begun(self) -> int:
        """Frames that a connection has carried, wholly or in part, and that are not acknowledged.

        See `Link`.
        """
        self._look()
        in_flight = 0 if self._channel is None else self._ring.begun(self._channel.sent)
        waiting = min(self._again_until - self.queue.first, len(self.queue))
        return in_flight + (self._cut is not None) + max(0, waiting)

    def start(self) -> None:
        """Begin to connect and to send."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._keep_connected(), name=f"link to {self.url}")

    def take(self, frames: list[bytes], *, make_room: bool) -> int:
        """Write what the kernel takes at once; the rest waits. The list is kept, as it is."""
        at = 0
        # Where nobody stands in line, what is written now need not either.
        if self._is_free and (not self._ring.frames or self._look()) and not len(self.queue):
            at = self._write(frames, 0)
        if at < len(frames):
            at = self.queue.add_all(frames, at, make_room)
            if self._is_free:
                self._pump()
        return at

    def take_back(self) -> list[bytes]:
        """Give up all that is not acknowledged; see `Link`."""
        self._look()
        if self.in_flight:
            self.is_up = False
            self._break(_TakenBackError())
        frames = self._flight()
        self._again_until = 0
        return frames + self.queue.take_some(len(self.queue))

    async def close(self) -> None:
        """End in good order: what was written has a second to be acknowledged."""
        self._is_closing = True
        self._is_free = False
        if self._task is not None:
            try:
                await self._finish()
            finally:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        self.is_up = False

    async def _finish(self) -> None:
        """Say that nothing more comes, and wait a little until all that did is acknowledged."""
        loop = asyncio.get_running_loop()
        end = loop.time() + CLOSE
        has_said = False
        while (channel := self._channel) is not None and self._stands and loop.time() < end:
            self._pump()
            try:
                if not has_said and self._cut is None and not channel.pending:
                    channel.say_the_end()
                    has_said = True
            except Exception as error:  # noqa: BLE001 - the end comes either way
                self._break(error)
            self._look()
            if has_said and not self._ring.frames:
                return
            await asyncio.sleep(CLOSE_LOOK)

    # --- the connection ---------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        backoff = BackOff()
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                channel = await self._connect()
                began = loop.time()
                await self._use(channel)
            except _TakenBackError:
                pass
            except Exception as error:  # noqa: BLE001 - a bug too is told, and tried again
                if loop.time() - began >= HEALTHY:
                    backoff.reset()
                if not self._is_closing:
                    self._owner.went_down(self, error)
            await asyncio.sleep(backoff.next())

    async def _connect(self) -> Channel:
        context = None if self._contexts is None else await self._contexts.context()
        targets = await self._look_up.targets()
        return await connected(targets, Way(self._timeout, self._bind, context, self._name))

    async def _use(self, channel: Channel) -> None:
        """Keep a connection until it breaks, and return to the queue what it did not deliver.

        Raises:
            Exception: always, in the end: what broke it.
        """
        loop = asyncio.get_running_loop()
        sock = channel.sock
        self._ended = loop.create_future()
        self._channel = channel
        self._stands = True
        self._progress = None
        loop.add_reader(sock, self._hear)
        in_order = True
        try:
            self._is_free = self.is_up = not self._is_closing
            self._owner.came_up(self)
            self._pump()
            await self._ended
        except Exception as error:
            # What the kernel still has must not arrive after what is sent on the next connection.
            in_order = isinstance(error, ClosedError)
            raise
        finally:
            self.is_up = self._stands = self._is_free = False
            if self._ended.done() and not self._ended.cancelled():
                self._ended.exception()  # heard: where `close` was faster, nobody else asks for it
            self._ended = None
            loop.remove_reader(sock)
            self._watch_room(wanted=False)
            if self._looking is not None:
                self._looking.cancel()
                self._looking = None
            self._channel = None
            if in_order:
                read_away(sock)
                sock.close()
            else:
                reset(sock)
            self._return_flight(channel)

    def _break(self, error: Exception) -> None:
        """Let the connection end, in the next turn of the loop."""
        self._stands = self._is_free = False
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    def _hear(self) -> None:
        """Read and forget: collectors say nothing, and the end of the stream must be noticed."""
        channel = self._channel
        if channel is None or not self._stands:
            return
        try:
            channel.hear()
        except ClosedError as error:
            self._look_at_the_end(channel)
            self._break(error)
        except Exception as error:  # noqa: BLE001 - told where the connection is used
            self._break(error)

    def _look_at_the_end(self, channel: Channel) -> None:
        """Look once more, where the far side has ended in good order.

        It has read what it acknowledged; without this a collector that is started anew would be
        sent its last packets twice. No reset came before the look if the socket has no error after
        it.
        """
        try:
            octets = channel.acknowledged()
            if not channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._ring.acknowledge(octets, by_frame=channel.by_frame)
        except Exception as error:  # noqa: BLE001 - told where the connection is used
            self._break(error)

    # --- writing ----------------------------------------------------------------------------------

    def _write(self, frames: list[bytes], at: int) -> int:
        """Give frames to the kernel until it has no room. Where a frame is cut, it is the first.

        Returns:
            The index of the first of which the kernel has nothing.
        """
        channel = self._channel
        assert channel is not None  # noqa: S101 - asked by the callers
        skip = self._begun
        error = None
        try:
            while at < len(frames):
                begin = channel.end - skip
                octets = channel.write(frames, at, skip)
                stop, skip = whole(frames, at, skip + octets)
                if stop > at:
                    self._ring.add(frames, at, stop, begin, channel.end - skip)
                    at = stop
                if skip:
                    break
            has_room = not skip and (not channel.pending or channel.flush())
        except BlockingIOError:
            has_room = False
        except Exception as broken:  # noqa: BLE001 - told where the connection is used
            has_room, error = False, broken
        if skip:
            self._cut, self._begun = frames[at], skip
            at += 1
        elif self._begun:
            self._cut, self._begun = None, 0
        if error is not None:
            self._break(error)
            return at
        if has_room is self._watches_room:
            self._watch_room(wanted=not has_room)
        self._is_free = has_room and not self._is_closing
        if self._looking is None:
            self._look_later()
        return at

    def _pump(self) -> None:
        """Write what waits, until nothing does or the kernel has no room."""
        if not self._look():
            return
        queue = self.queue
        for _ in range(WRITES):
            first = queue.first
            cut = [] if self._cut is None else [self._cut]
            frames = cut + ([] if self._is_closing else queue.take_some(FRAMES))
            at = self._write(frames, 0)
            again = min(self._again_until - first, at - len(cut))
            if again > 0:
                self._owner.account.resent += again
            queue.put_back(frames[at:])
            if not self._is_free or not len(queue):
                return
        # The others have their turn; the loop calls again, for there is room.
        self._is_free = False
        self._watch_room(wanted=True)

    def _watch_room(self, *, wanted: bool) -> None:
        if wanted == self._watches_room or self._channel is None or self._loop is None:
            return
        if wanted:
            self._loop.add_writer(self._channel.sock, self._pump)
        else:
            self._loop.remove_writer(self._channel.sock)
        self._watches_room = wanted

    # --- what is acknowledged ---------------------------------------------------------------------

    def _look(self) -> bool:
        """Let go of what the far side has acknowledged; never after the connection has broken.

        Returns:
            Whether it stands.
        """
        channel = self._channel
        if channel is None or not self._stands:
            return False
        try:
            octets = self._acknowledged = channel.acknowledged()
            self._ring.acknowledge(octets, by_frame=channel.by_frame)
        except Exception as error:  # noqa: BLE001 - told where the connection is used
            self._break(error)
            return False
        return True

    def _look_later(self) -> None:
        if self._loop is not None and self.in_flight:
            self._looking = self._loop.call_later(min(LOOK, self._timeout), self._look_in_time)

    def _look_in_time(self) -> None:
        """Look, for want of another occasion; and break a connection that makes no progress."""
        self._looking = None
        if self._loop is None or not self._look():
            return
        if not self.in_flight:
            self._progress = None
            if not len(self.queue):
                self._owner.emptied(self)
            return
        now = self._loop.time()
        if self._progress is None or self._acknowledged > self._progress[0]:
            self._progress = self._acknowledged, now
        elif now - self._progress[1] >= self._timeout:
            self._break(DeliveryError(f"no progress for {self._timeout:g} s"))
            return
        self._look_later()

    def _flight(self) -> list[bytes]:
        """Give up what is in flight, and return it."""
        flight = self._ring.take_all()
        if self._cut is not None:
            flight.append(self._cut)
            self._cut, self._begun = None, 0
        return flight

    def _return_flight(self, channel: Channel) -> None:
        """Put what a connection has not delivered at the head of the queue."""
        begun = self._ring.begun(channel.sent) + (self._cut is not None)
        self.queue.put_back(self._flight())
        if begun:
            self._again_until = max(self._again_until, self.queue.first + begun)
