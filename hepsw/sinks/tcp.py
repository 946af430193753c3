"""Relaying over TCP: whole frames, in order, over one connection that is made again when it breaks.

Delivered means that the kernel took the whole frame. A frame that was cut by a break goes out whole
on the next connection, so the far side never sees half of one at the start of a stream.

What the kernel has taken is out of our hands: when the far side dies, or closes without reading to
the end, the frames that it had not read are lost, and are counted delivered all the same. On our
side of the wire that is the send buffer, which `SEND_BUFFER` keeps small; on the other side it is
whatever its receive buffer holds. Nothing is sent twice to make up for it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.errors import DeliveryError
from hepsw.net.batches import write_frames
from hepsw.sinks.backoff import HEALTHY, BackOff
from hepsw.sinks.queue import FrameQueue, are_hep3, frames_of, octets_of, whole
from hepsw.sinks.resolve import LookUp, nothing_is_own
from hepsw.sinks.sink import Held
from hepsw.sinks.trouble import tell_down

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.accounting import SinkAccount
    from hepsw.config.models import Destination
    from hepsw.sinks.resolve import IsOwn, Target
    from hepsw.view import View

FRAMES: Final = 512
"""Frames in flight at most, which is what one write carries."""
SEND_BUFFER: Final = 128 << 10
"""Octets asked for as the send buffer (Linux takes twice as many, for its own records too): what a
far side that dies can cost here. The kernel would let it grow to MiB by itself. It is also the most
that is under way at once: a round trip of 100 ms allows about 10 Mbit/s."""
LONGEST_USER_TIMEOUT: Final = 2**31 - 1
"""Milliseconds that TCP_USER_TIMEOUT holds, 24 days."""
READ: Final = 4096
"""Octets of the far side's that are thrown away in one turn of the loop."""

log = logging.getLogger("hepsw.sinks")


class TcpDestination:
    """One connection and what waits for it."""

    def __init__(
        self,
        name: str,
        settings: Destination,
        account: SinkAccount,
        is_own: IsOwn = nothing_is_own,
    ) -> None:
        self.name = name
        self.account = account
        self._url = settings.url
        self._timeout = settings.timeout
        self._look_up = LookUp(settings.url, socket.SOCK_STREAM, settings.timeout, is_own)
        self._queue = FrameQueue(
            settings.queue, keep_old=settings.overflow == "drop-new", account=account
        )
        self._flight: list[bytes] = []
        """Frames given to the connection, `_first` and those behind it not yet taken whole by the
        kernel."""
        self._first = 0
        self._begun = 0
        """Octets of the first frame that the kernel has."""
        self._connection: socket.socket | None = None
        self._is_idle = False
        """Whether the connection stands, and all that was to be written is."""
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        account.state = "connecting"

    def start(self) -> None:
        """Begin to connect and to send."""
        self._task = asyncio.create_task(self._keep_connected(), name=f"destination {self.name}")

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch and write what the kernel takes at once; the task is told of the rest."""
        if not are_hep3(views):
            self._refuse_versions(views)
        elif self._is_idle and self._first == len(self._flight) and not len(self._queue):
            # Nobody stands in line: what is written now need not either.
            self._flight = frames_of(views)
            self._first = self._begun = 0
            self.account.enqueued += len(self._flight)
        else:
            self._queue.add_all(views)
        if self._first == len(self._flight) and not len(self._queue):
            return
        if self._is_idle:
            try:
                if self._push():
                    return
            except Exception:  # noqa: BLE001, S110 - the task meets the same, and tells it
                pass
        self._empty.clear()
        self._work.set()

    def _refuse_versions(self, views: Sequence[View]) -> None:
        """Take a batch but for what a stream cannot carry."""
        for view in views:
            if view.packet.version == 3:
                self._queue.add(view.packet.data)
            else:
                self.account.enqueued += 1
                self.account.dropped[Reason.VERSION_ON_STREAM] += 1

    @property
    def held(self) -> Held:
        """What waits, and what is being written."""
        return Held(in_memory=len(self._queue), in_flight=len(self._flight) - self._first)

    async def drain(self, seconds: float) -> None:
        """Wait until the kernel has taken everything."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    async def close(self, reason: Reason) -> None:
        """Stop; what still waits is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._take_back()
        self._queue.give_up(reason)

    async def _keep_connected(self) -> None:
        backoff = BackOff()
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                connection = await self._connect()
                self.account.state = "up"
                log.info("%s: connected to %s", self.name, self._url)
                began = loop.time()
                with connection:
                    await self._use(connection)
            except Exception as error:  # noqa: BLE001 - a bug too is told, and tried again
                # What the kernel did not take whole waits first in line for the next connection.
                self._take_back()
                if loop.time() - began >= HEALTHY:
                    backoff.reset()
                self._down(error)
                await asyncio.sleep(backoff.next())

    async def _connect(self) -> socket.socket:
        """Return a connection to the first of the destination's addresses that answers.

        Raises:
            DeliveryError: none of them does.
        """
        why: Exception | None = None
        for target in await self._look_up.targets():
            try:
                return await self._connect_to(target)
            except (OSError, TimeoutError) as error:
                why = error
        if isinstance(why, TimeoutError):
            raise DeliveryError("no answer")
        raise DeliveryError(why.strerror or str(why) if isinstance(why, OSError) else "no address")

    async def _connect_to(self, target: Target) -> socket.socket:
        made = socket.socket(target.family, socket.SOCK_STREAM)
        try:
            made.settimeout(0)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # A far side that went away without a word is noticed after the same time as a slow one.
            patience = min(max(int(self._timeout * 1000), 1), LONGEST_USER_TIMEOUT)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            async with asyncio.timeout(self._timeout):
                await asyncio.get_running_loop().sock_connect(made, target.address)
            self._refuse_itself(made)
        except BaseException:
            made.close()
            raise
        return made

    @staticmethod
    def _refuse_itself(connection: socket.socket) -> None:
        """See that somebody else is at the other end.

        Where nobody listens on a port that the kernel gives away, it may have given us that very
        one: TCP then connects the socket with itself, and every frame would come back.

        Raises:
            ConnectionRefusedError: nobody is.
        """
        if connection.getsockname() == connection.getpeername():
            # Closed in the ordinary way, the port would be kept from its owner for minutes.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))

    async def _use(self, connection: socket.socket) -> None:
        """Write frames until the connection breaks.

        Raises:
            DeliveryError: always, in the end.
            OSError: likewise.
        """
        tasks = (
            asyncio.create_task(self._listen(connection)),
            asyncio.create_task(self._write(connection)),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _listen(connection: socket.socket) -> None:
        """Read and forget: collectors say nothing, and the end of the stream must be noticed.

        A little in each turn of the loop: `sock_recv` does not suspend while there is something to
        read, so a far side that never stops talking would keep everybody else waiting.

        Raises:
            DeliveryError: the far side closed the connection.
            OSError: it is gone.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        scratch = bytearray(READ)

        def read() -> None:
            if ended.done():
                return
            try:
                if not connection.recv_into(scratch):
                    ended.set_exception(DeliveryError("closed by the far side"))
            except BlockingIOError:
                pass
            except OSError as error:
                ended.set_exception(error)

        loop.add_reader(connection, read)
        try:
            await ended
        finally:
            loop.remove_reader(connection)

    async def _write(self, connection: socket.socket) -> None:
        """Write what waits, as it comes.

        Raises:
            DeliveryError: no progress for `timeout` seconds.
            OSError: the connection is gone.
        """
        self._begun = 0  # a frame that a break has cut goes out whole
        self._connection = connection
        try:
            while True:
                if self._push():
                    self._empty.set()
                    self._work.clear()
                    self._is_idle = True
                    await self._work.wait()
                    self._is_idle = False
                else:
                    await self._writable(connection)
        finally:
            self._is_idle = False
            self._connection = None

    def _push(self) -> bool:
        """Write until nothing waits or the kernel has no room; return whether nothing waits.

        Raises:
            OSError: the connection is gone.
        """
        assert self._connection is not None  # noqa: S101 - asked by the callers
        descriptor = self._connection.fileno()
        while True:
            if self._first == len(self._flight):
                self._flight = self._queue.take_some(FRAMES)
                self._first = self._begun = 0
                if not self._flight:
                    return True
            try:
                octets = write_frames(
                    descriptor, self._flight, self._first, len(self._flight), self._begun
                )
            except BlockingIOError:
                return False
            self._taken(octets)

    def _taken(self, octets: int) -> None:
        """Count the frames that the kernel has whole."""
        first, octets = whole(self._flight, self._first, self._begun + octets)
        self.account.delivered += first - self._first
        self.account.octets += octets_of(self._flight, self._first, first)
        self._first = first
        self._begun = octets

    def _take_back(self) -> None:
        """Return to the queue what the kernel has not taken whole."""
        self._queue.put_back(self._flight[self._first :])
        self._flight = []
        self._first = self._begun = 0

    async def _writable(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def room() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_writer(connection, room)
        try:
            async with asyncio.timeout(self._timeout):
                await ready
        except TimeoutError:
            raise DeliveryError(f"no progress for {self._timeout:g} s") from None
        finally:
            loop.remove_writer(connection)

    def _down(self, error: Exception) -> None:
        label = "broken" if self.account.state == "up" else "unreachable"
        tell_down(self.account, self.name, self._url, error, label)
