"""Relaying over TCP: whole frames, in order, over one connection that is made again when it breaks.

Delivered means that the kernel took the whole frame. A frame that was cut by a break goes out whole
on the next connection, so the far side never sees half of one at the start of a stream.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.errors import DeliveryError
from hepsw.sinks.backoff import HEALTHY, BackOff
from hepsw.sinks.queue import FrameQueue
from hepsw.sinks.resolve import resolve
from hepsw.sinks.sink import Held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.accounting import SinkAccount
    from hepsw.config.models import Destination
    from hepsw.sinks.resolve import Target
    from hepsw.view import View

FRAMES: Final = 256
"""Frames in flight at most: what one write may carry, well under the kernel's limit of 1024 pieces.
"""

log = logging.getLogger("hepsw.sinks")


class TcpDestination:
    """One connection and what waits for it."""

    def __init__(self, name: str, settings: Destination, account: SinkAccount) -> None:
        self.name = name
        self.account = account
        self._url = settings.url
        self._timeout = settings.timeout
        self._queue = FrameQueue(
            settings.queue, keep_old=settings.overflow == "drop-new", account=account
        )
        self._flight: deque[bytes] = deque()
        """Frames given to the connection and not yet taken whole by the kernel."""
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        account.state = "connecting"

    def start(self) -> None:
        """Begin to connect and to send."""
        self._task = asyncio.create_task(self._keep_connected(), name=f"destination {self.name}")

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch; the sending task is told once."""
        for view in views:
            if view.packet.version == 3:
                self._queue.add(view.packet.data)
            else:
                self.account.enqueued += 1
                self.account.dropped[Reason.VERSION_ON_STREAM] += 1
        if len(self._queue):
            self._empty.clear()
            self._work.set()

    @property
    def held(self) -> Held:
        """What waits, and what is being written."""
        return Held(in_memory=len(self._queue), in_flight=len(self._flight))

    async def drain(self, seconds: float) -> None:
        """Wait until the kernel has taken everything."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    async def close(self, reason: Reason) -> None:
        """Stop; what still waits is given up."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._queue.put_back(self._flight)
        self._flight.clear()
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
            except (DeliveryError, OSError) as error:
                # What the kernel did not take whole waits first in line for the next connection.
                self._queue.put_back(self._flight)
                self._flight.clear()
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
        for target in await resolve(self._url, socket.SOCK_STREAM, self._timeout):
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
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._timeout * 1000))
            async with asyncio.timeout(self._timeout):
                await asyncio.get_running_loop().sock_connect(made, target.address)
        except BaseException:
            made.close()
            raise
        return made

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
        """Read and forget: collectors say nothing, and the end of the stream must be noticed."""
        loop = asyncio.get_running_loop()
        while await loop.sock_recv(connection, 65536):
            pass
        raise DeliveryError("closed by the far side")

    async def _write(self, connection: socket.socket) -> None:
        """Write what waits, as it comes.

        Raises:
            DeliveryError: no progress for `timeout` seconds.
            OSError: the connection is gone.
        """
        begun = 0  # octets of the first frame in flight that the kernel has
        while True:
            while len(self._flight) < FRAMES and len(self._queue):
                self._flight.append(self._queue.take())
            if not self._flight:
                self._empty.set()
                self._work.clear()
                await self._work.wait()
                continue
            pieces: list[bytes | memoryview] = list(islice(self._flight, FRAMES))
            pieces[0] = memoryview(pieces[0])[begun:]
            try:
                sent = connection.sendmsg(pieces)
            except BlockingIOError:
                await self._writable(connection)
                continue
            begun = self._taken(begun + sent)

    def _taken(self, octets: int) -> int:
        """Count the frames that the kernel has whole; return what it has of the next."""
        while self._flight and octets >= len(self._flight[0]):
            frame = self._flight.popleft()
            octets -= len(frame)
            self.account.delivered += 1
            self.account.octets += len(frame)
        return octets

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
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.account.errors["broken" if self.account.state == "up" else "unreachable"] += 1
        state = f"down: {why}"
        if self.account.state != state:
            self.account.state = state
            log.warning("%s: %s: %s; trying again", self.name, self._url, why)
