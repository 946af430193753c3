"""What a destination has on disk, and how it comes back: behind live traffic, and each packet once.

The spool keeps a packet until it is told that it was delivered. Until then a packet that was read
is in two places, on disk and with a link; it is counted with the link. When the link gives it back,
it is let go of there, and read again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from hepsw.sinks.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.accounting import SinkAccount
    from hepsw.config.models import Spool as SpoolSettings

BATCH: Final = 128
"""Packets read from the spool at once."""
BATCH_OCTETS: Final = 1 << 18
WINDOW: Final = 1024
"""Packets read from the spool and not delivered yet, at most."""
REPLAY_PER_S: Final = 20_000
"""Packets replayed in a second at most, so that live ones find the processor free."""
BEHIND: Final = 0.005
"""Seconds that replay waits for live traffic, before it looks again."""

log = logging.getLogger("hepsw.sinks")


class Front(Protocol):
    """What a backlog asks of its destination."""

    name: str
    account: SinkAccount

    def may_replay(self) -> bool:
        """Whether a link stands, and the end has not begun."""
        ...

    def is_behind(self) -> bool:
        """Whether live packets wait."""
        ...

    def replay(self, frames: list[bytes]) -> None:
        """Send frames; those that find no room come back through `without_replayed`."""
        ...

    def spool_has_failed(self) -> None:
        """Hear that the disk made trouble."""
        ...

    def spool_is_ready(self) -> None:
        """Hear that the spool takes packets again."""
        ...


class Backlog:
    """The spool of one destination, and its replay."""

    def __init__(
        self,
        settings: SpoolSettings,
        front: Front,
        *,
        keep_old: bool,
        recovered: Callable[[int], None],
    ) -> None:
        """Make it; nothing is opened yet.

        Args:
            settings: with an absolute path.
            front: the destination.
            keep_old: where `max` is reached the newest go, not the oldest.
            recovered: told how many packets were on disk when it was opened.
        """
        self._front = front
        self._recovered = recovered
        # A folder that was another destination's is not sent to this one.
        fingerprint = int.from_bytes(hashlib.blake2b(front.name.encode(), digest_size=8).digest())
        self._spool = Spool(
            front.name, settings, fingerprint=fingerprint, keep_old=keep_old, owner=self
        )
        self._out: dict[int, tuple[int, bytes]] = {}
        """Number and frame of what was read and is not delivered, by the frame's identity: as long
        as it is held here, no other frame can have it."""
        self._to_rewind = False
        """Whether something that was read is not with a link any more, and is to be read again."""
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the spool, beside everything else, and begin to replay."""
        self._spool.start()
        self._task = asyncio.create_task(self._run(), name=f"replay {self._front.name}")

    @property
    def is_open(self) -> bool:
        """Whether the spool takes packets now."""
        return self._spool.is_open

    @property
    def trouble(self) -> str:
        """Why it takes none, if so."""
        return self._spool.trouble

    @property
    def on_disk(self) -> int:
        """Packets that a kill does not lose and that no link has."""
        return max(0, self._spool.on_disk - len(self._out))

    @property
    def staged(self) -> int:
        """Packets on their way to the disk, without those that a link was given instead."""
        return self._spool.staged - max(0, len(self._out) - self._spool.on_disk)

    def add(self, frames: list[bytes]) -> int:
        """Take frames, and return how many, from the first on."""
        taken = self._spool.add(frames, 0)
        if taken:
            self.wake()
        return taken

    async def add_last(self, frames: list[bytes]) -> int:
        """Take what is left at the end, and return how many: all, or none."""
        return await self._spool.add_last(frames)

    def wake(self) -> None:
        """Look again whether there is something to replay."""
        self._wanted.set()

    def delivered(self, frames: list[bytes], start: int, stop: int) -> None:
        """Let the spool forget what of `frames[start:stop]` was read from it."""
        if self._out:
            found = [self._out.pop(id(frames[at]), None) for at in range(start, stop)]
            if numbers := [entry[0] for entry in found if entry is not None]:
                self._spool.ack(numbers)

    def has(self, frame: bytes) -> bool:
        """Tell whether a frame that a link lets go of is on disk; then it is read again."""
        if self._out.pop(id(frame), None) is None:
            return False
        self._to_rewind = True
        self.wake()
        return True

    def without_replayed(self, frames: list[bytes]) -> list[bytes]:
        """Return those of the frames which a link lets go of that are not on disk."""
        return [frame for frame in frames if not self.has(frame)] if self._out else frames

    async def close(self) -> None:
        """Stop replaying, and make everything durable."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._spool.close()

    # --- what the spool tells ---

    def spool_recovered(self, n: int) -> None:
        """Count what an earlier life left on disk."""
        self._recovered(n)
        if n:
            log.info("%s: %d packets wait in the spool", self._front.name, n)

    def spool_dropped(self, reason: str, n: int) -> None:
        """Count what the spool gave up; what a link has of it is only not on disk any more."""
        gone = [key for key, (number, _) in self._out.items() if self._spool.is_settled(number)]
        for key in gone:
            del self._out[key]
        self._front.account.dropped[reason] += n - len(gone)

    def spool_failed(self, what: str) -> None:
        """Count what went wrong on disk."""
        if what:
            self._front.account.errors[f"spool-{what}"] += 1
        self._front.spool_has_failed()

    def spool_ready(self) -> None:
        """Go on where the spool was not to be had."""
        self._front.spool_is_ready()
        self.wake()

    # --- replay ---

    async def _run(self) -> None:
        while True:
            try:
                await self._replay_some()
            except Exception:
                # A bug must not be the end of all replay; what was read is read again.
                log.exception("%s: a bug in hepsw, in the replay; trying again", self._front.name)
                self._front.account.errors["internal"] += 1
                self._to_rewind = True
                await asyncio.sleep(1)

    async def _replay_some(self) -> None:
        """Read a batch and send it, or wait until that can be done."""
        if self._to_rewind and not self._out:
            self._to_rewind = False
            self._spool.rewind()
        if not self._front.may_replay() or not (self._spool.unread or self._to_rewind):
            self._wanted.clear()
            await self._wanted.wait()
        elif self._to_rewind or len(self._out) >= WINDOW or self._front.is_behind():
            await asyncio.sleep(BEHIND)
        else:
            read = await self._spool.read(BATCH, BATCH_OCTETS)
            if not read or not self._front.may_replay():
                self._to_rewind |= bool(read)
                await asyncio.sleep(BEHIND)
                return
            # In the meantime the oldest may have been given up.
            read = [record for record in read if not self._spool.is_settled(record[0])]
            if read:
                self._front.replay([self._handed_out(*record) for record in read])
            await asyncio.sleep(len(read) / REPLAY_PER_S)

    def _handed_out(self, number: int, frame: bytes) -> bytes:
        """Keep a frame until it is delivered, and return it: an object that no other record has."""
        if id(frame) in self._out:
            # What is not on disk yet is the object that came, and a packet can come twice: once
            # by itself, once handed over by another destination.
            frame = bytes(memoryview(frame))
        self._out[id(frame)] = number, frame
        return frame
