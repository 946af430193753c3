"""Relaying over UDP: best effort, straight from the packet path while the kernel takes it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.net.batches import send_datagrams
from hepsw.sinks.backoff import BackOff
from hepsw.sinks.queue import FrameQueue, frames_of, octets_of
from hepsw.sinks.resolve import LookUp, OwnListenerError, nothing_is_own
from hepsw.sinks.sink import Held
from hepsw.sinks.trouble import tell_down

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.accounting import SinkAccount
    from hepsw.config.models import Destination
    from hepsw.sinks.resolve import IsOwn, Target
    from hepsw.view import View

LOOK_UP_AGAIN: Final = 60.0
"""Seconds after which the name of a destination is looked up again: UDP never notices that it
moved.
"""
QUIET: Final = 5.0
"""Seconds without a refusal of what was sent in them, after which somebody listens again. The far
side's kernel may tell no more than one refusal in a second."""
LISTEN_AGAIN: Final = 1.0
"""Seconds between two looks for a refusal, while the far side refuses."""
SEND_BUFFER: Final = 4 << 20
BATCH: Final = 256
"""Frames taken out of the queue at once."""

log = logging.getLogger("hepsw.sinks")


class UdpDestination:
    """One connected socket, so that the far side's refusals are heard."""

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
        self._look_up = LookUp(settings.url, socket.SOCK_DGRAM, settings.timeout, is_own)
        self._queue = FrameQueue(
            settings.queue, keep_old=settings.overflow == "drop-new", account=account
        )
        self._socket: socket.socket | None = None
        self._target: Target | None = None
        self._waiting = False
        """True while the loop watches for room in the send buffer."""
        self._broken = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self._refused = False
        """True from a refusal until a while of sending without one."""
        self._unrefused_since: float | None = None
        """When something was first sent after the last refusal, on the loop's clock."""
        self._listening: asyncio.TimerHandle | None = None
        account.state = "connecting"

    def start(self) -> None:
        """Begin to look up and to send."""
        self._task = asyncio.create_task(self._keep_connected(), name=f"destination {self.name}")

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch and send what the kernel takes at once."""
        if self._is_open and not self._waiting and not len(self._queue):
            # Nobody stands in line: what the kernel takes need not either.
            frames = frames_of(views)
            self.account.enqueued += len(frames)
            self._send(frames)
            return
        self._queue.add_all(views)
        self._empty.clear()
        if not self._waiting:
            self._flush()

    @property
    def _is_open(self) -> bool:
        return self._socket is not None and not self._broken.is_set()

    @property
    def held(self) -> Held:
        """What waits, and what is being written."""
        return Held(in_memory=len(self._queue))

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
        if self._listening is not None:
            self._listening.cancel()
        self._disconnect()
        self._queue.give_up(reason)

    async def _keep_connected(self) -> None:
        backoff = BackOff()
        while True:
            try:
                target = (await self._look_up.targets())[0]
                if target != self._target or self._socket is None:
                    self._connect(target)
                self._broken.clear()
                self._flush()
            except Exception as error:  # noqa: BLE001 - a bug too is told, and tried again
                if isinstance(error, OwnListenerError):
                    self._disconnect()  # the old address is not what the name stands for now
                self._down(error)
                await asyncio.sleep(backoff.next())
                continue
            if not self._broken.is_set():
                backoff.reset()
                self.account.state = "refused" if self._refused else "up"
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self._url.address else LOOK_UP_AGAIN):
                    await self._broken.wait()
            if self._broken.is_set():
                await asyncio.sleep(backoff.next())

    def _connect(self, target: Target) -> None:
        self._disconnect()
        made = socket.socket(target.family, socket.SOCK_DGRAM)
        try:
            made.settimeout(0)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            made.connect(target.address)
        except OSError:
            made.close()
            raise
        self._socket, self._target = made, target

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._watch(wanted=False)
            self._socket.close()
            self._socket = None

    def _watch(self, *, wanted: bool) -> None:
        """Ask the loop to call when the send buffer has room, or no longer."""
        if self._socket is None or wanted == self._waiting:
            return
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_writer(self._socket, self._flush)
        else:
            loop.remove_writer(self._socket)
        self._waiting = wanted

    def _flush(self) -> None:
        """Send until the queue is empty or the kernel has no room."""
        if not self._is_open:
            return
        while len(self._queue):
            if not self._send(self._queue.take_some(BATCH)):
                return
        self._watch(wanted=False)
        self._empty.set()

    def _send(self, frames: list[bytes]) -> bool:
        """Send frames; those that the kernel does not take now go to the head of the queue.

        Returns:
            Whether none of them waits.
        """
        assert self._socket is not None  # noqa: S101 - the caller has looked
        descriptor = self._socket.fileno()
        if self._refused and self._unrefused_since is None:
            self._unrefused_since = asyncio.get_running_loop().time()
        at = 0
        while at < len(frames):
            try:
                sent = send_datagrams(descriptor, frames, at, len(frames))
            except BlockingIOError:
                self._keep(frames[at:])
                self._watch(wanted=True)
                return False
            except ConnectionRefusedError:
                # The answer to an earlier datagram, told now: this one has not been sent yet.
                self._hear_refusal()
                continue
            except Exception as error:  # noqa: BLE001 - a bug too is told, and tried again
                if isinstance(error, OSError) and error.errno == errno.EMSGSIZE:
                    self.account.dropped[Reason.TOO_BIG] += 1
                    at += 1
                    continue
                self._keep(frames[at:])
                self._break(error)
                return False
            self.account.delivered += sent
            self.account.octets += octets_of(frames, at, at + sent)
            at += sent
        return True

    def _keep(self, frames: list[bytes]) -> None:
        self._queue.put_back(frames)
        self._empty.clear()

    def _hear_refusal(self) -> None:
        self.account.errors["refused"] += 1
        # The frame that heard of it is sent now, so this is when its own answer is due.
        self._unrefused_since = asyncio.get_running_loop().time()
        if not self._refused:
            self._refused = True
            self.account.state = "refused"
            log.warning("%s: nobody listens at %s; sending on", self.name, self._url)
            self._listen_later()

    def _listen_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening = loop.call_later(LISTEN_AGAIN, self._listen)

    def _listen(self) -> None:
        """Look whether what was sent last is refused as well.

        Asks the socket, since the next datagram may be long in coming; and silence tells something
        only where something was sent.
        """
        if self._socket is not None:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number == errno.ECONNREFUSED:
                self._hear_refusal()
                self._unrefused_since = None
            elif number:
                self._break(OSError(number, os.strerror(number)))
            since = self._unrefused_since
            if since is not None and asyncio.get_running_loop().time() - since >= QUIET:
                self._refused = False
                self._unrefused_since = None
                if self.account.state == "refused":
                    self.account.state = "up"
                log.info("%s: refused no more by %s", self.name, self._url)
                return
        self._listen_later()

    def _break(self, error: Exception) -> None:
        self._down(error)
        self._watch(wanted=False)
        self._broken.set()

    def _down(self, error: Exception) -> None:
        tell_down(self.account, self.name, self._url, error, "unreachable")
