"""Relaying over UDP: best effort, straight from the packet path while the kernel takes it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hepsw.net.batches import send_datagrams
from hepsw.sinks.backoff import BackOff
from hepsw.sinks.resolve import LookUp, OwnListenerError, nothing_is_own, reachable_from
from hepsw.sinks.trouble import RefusedError

if TYPE_CHECKING:
    from hepsw.config.configuration import DestinationSettings
    from hepsw.config.units import Url
    from hepsw.sinks.link import LinkOwner
    from hepsw.sinks.queue import FrameQueue
    from hepsw.sinks.resolve import IsOwn, Target

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


class UdpLink:
    """One connected socket, so that the far side's refusals are heard."""

    def __init__(
        self,
        url: Url,
        settings: DestinationSettings,
        queue: FrameQueue,
        owner: LinkOwner,
        is_own: IsOwn = nothing_is_own,
    ) -> None:
        self.url = url
        self.queue = queue
        self.is_up = False
        self._owner = owner
        self._bind = settings.bind
        self._look_up = LookUp(url, socket.SOCK_DGRAM, settings.timeout, is_own)
        self._socket: socket.socket | None = None
        self._target: Target | None = None
        self._waiting = False
        """True while the loop watches for room in the send buffer."""
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.is_refused = False
        """True from a refusal until a while of sending without one."""
        self._unrefused_since: float | None = None
        """When something was first sent after the last refusal, on the loop's clock."""
        self._listening: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look up and to send."""
        self._task = asyncio.create_task(self._keep_connected(), name=f"link to {self.url}")

    def take(self, frames: list[bytes], *, make_room: bool) -> int:
        """Send what the kernel takes at once, and keep what it does not.

        While the far side refuses, it is sent to all the same: it may be back by now.
        """
        if self._is_open and not self._waiting and not len(self.queue):
            # Nobody stands in line: what the kernel takes need not either.
            self._send(frames)
            return len(frames)
        taken = self.queue.add_all(frames, 0, make_room)
        if not self._waiting:
            self._flush()
        return taken

    def probe(self, frame: bytes) -> bool:
        """Send a copy of a frame to a far side that refuses, to hear whether it does still.

        Returns:
            Whether it was sent.
        """
        if self._socket is None or self._broken.is_set():
            return False
        try:
            self._socket.send(frame)
        except OSError as error:
            # A refusal here is the answer to an earlier datagram.
            if isinstance(error, ConnectionRefusedError):
                self._hear_refusal()
            return False
        if self._unrefused_since is None:
            self._unrefused_since = asyncio.get_running_loop().time()
        return True

    @property
    def _is_open(self) -> bool:
        return self._socket is not None and not self._broken.is_set()

    @property
    def in_flight(self) -> int:
        """Nothing: what the kernel has is delivered."""
        return 0

    @property
    def is_writing(self) -> bool:
        """Whether frames wait for room in the send buffer."""
        return len(self.queue) > 0

    @property
    def begun(self) -> int:
        """Nothing, likewise."""
        return 0

    def take_back(self) -> list[bytes]:
        """Give up what waits."""
        return self.queue.take_some(len(self.queue))

    async def close(self) -> None:
        """End; what waits stays in the queue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._listening is not None:
            self._listening.cancel()
        self._disconnect()
        self.is_up = False

    async def _keep_connected(self) -> None:
        backoff = BackOff()
        while True:
            try:
                target = reachable_from(self._bind, await self._look_up.targets())[0]
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
                if not self.is_refused:
                    self._up()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.url.address else LOOK_UP_AGAIN):
                    await self._broken.wait()
            if self._broken.is_set():
                await asyncio.sleep(backoff.next())

    def _connect(self, target: Target) -> None:
        self._disconnect()
        made = socket.socket(target.family, socket.SOCK_DGRAM)
        try:
            made.settimeout(0)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            if self._bind is not None:
                made.bind((self._bind, 0))
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
        while len(self.queue):
            if not self._send(self.queue.take_some(BATCH)):
                return
        self._watch(wanted=False)
        self._owner.emptied(self)

    def _send(self, frames: list[bytes]) -> bool:
        """Send frames; those that the kernel does not take now go to the head of the queue.

        Returns:
            Whether none of them waits.
        """
        assert self._socket is not None  # noqa: S101 - the caller has looked
        descriptor = self._socket.fileno()
        if self.is_refused and self._unrefused_since is None:
            self._unrefused_since = asyncio.get_running_loop().time()
        at = 0
        while at < len(frames):
            try:
                sent = send_datagrams(descriptor, frames, at, len(frames))
            except BlockingIOError:
                self.queue.put_back(frames[at:])
                self._watch(wanted=True)
                return False
            except ConnectionRefusedError:
                # The answer to an earlier datagram, told now: this one has not been sent yet.
                self._hear_refusal()
                continue
            except Exception as error:  # noqa: BLE001 - a bug too is told, and tried again
                if isinstance(error, OSError) and error.errno == errno.EMSGSIZE:
                    self._owner.undeliverable(frames[at])
                    at += 1
                    continue
                self.queue.put_back(frames[at:])
                self._break(error)
                return False
            self._owner.delivered(frames, at, at + sent)
            at += sent
        return True

    def _up(self) -> None:
        if not self.is_up:
            self.is_up = True
            self._owner.came_up(self)

    def _hear_refusal(self) -> None:
        self._owner.account.errors["refused"] += 1
        # The frame that heard of it is sent now, so this is when its own answer is due.
        self._unrefused_since = asyncio.get_running_loop().time()
        if not self.is_refused:
            self.is_refused = True
            self.is_up = False
            self._owner.went_down(self, RefusedError("refused"))
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
                self.is_refused = False
                self._unrefused_since = None
                if not self._broken.is_set():
                    self._up()
                return
        self._listen_later()

    def _break(self, error: Exception) -> None:
        self._watch(wanted=False)
        self._broken.set()
        self._down(error)

    def _down(self, error: Exception) -> None:
        self.is_up = False
        self._owner.went_down(self, error)
