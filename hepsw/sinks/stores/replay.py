"""What of a store waits on disk, and how it comes back: beside live traffic, and each packet once.

The counterpart of a destination's backlog. A record stays in the spool until the batch that it was
read into is committed, and is counted there; so whatever becomes of that batch, nothing is lost.
One batch is read while the one before it is written.

A database remembers which records of which spool it has: after a kill, what was committed and not
noted here is found out before anything is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from hepsw.accounting import Reason
from hepsw.sinks.spool.spool import Spool
from hepsw.sinks.stores.envelope import encode
from hepsw.sinks.stores.records import envelopes_of, missing
from hepsw.sinks.stores.thread import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.accounting import SinkAccount
    from hepsw.config.models import Spool as SpoolSettings
    from hepsw.sinks.stores.records import Records
    from hepsw.sinks.stores.writer import Batch
    from hepsw.view import View

OCTETS: Final = 4 << 20
"""Octets read from the spool at once."""
WHOLE: Final = 64 << 20
"""Octets that are read on, at most, so that a batch which was one before is one again."""
GATHER: Final = 0.05
"""Seconds that less than a batch waits for more to come to the disk."""
AGAIN: Final = 0.02
"""Seconds until a spool that gave nothing is looked at again."""

log = logging.getLogger("hepsw.sinks")


class Front(Protocol):
    """What the replay asks of its store."""

    name: str
    account: SinkAccount

    def may_replay(self) -> bool:
        """Whether the end has not begun."""
        ...

    def offer(self, records: Records) -> None:
        """Write records; `took` is called when they are being written."""
        ...

    def find(self, search: Search) -> None:
        """Find out what is committed of the spool; `known` is called then."""
        ...

    def spool_has_failed(self) -> None:
        """Hear that the disk made trouble."""
        ...

    def spool_is_ready(self) -> None:
        """Hear that the spool takes packets."""
        ...


class Replay:
    """The spool of one store."""

    def __init__(
        self,
        settings: SpoolSettings,
        front: Front,
        *,
        rows: int,
        recovered: Callable[[int], None],
    ) -> None:
        """Make it; nothing is opened yet.

        Args:
            settings: with an absolute path.
            front: the store.
            rows: packets of a batch.
            recovered: told how many packets were on disk when it was opened.
        """
        self.folder = Path(settings.path)
        self._front = front
        self._rows = rows
        self._recovered = recovered
        # A folder that was another output's is not read: a destination's records are bare frames.
        fingerprint = hashlib.blake2b(f"store {front.name}".encode(), digest_size=8).digest()
        self._spool = Spool(
            front.name,
            settings,
            fingerprint=int.from_bytes(fingerprint),
            keep_old=False,
            owner=self,
        )
        self._out: set[int] = set()
        """Numbers of what was read and is not settled."""
        self._loose: set[int] = set()
        """Those of them that the spool gave up meanwhile: only the thread has them."""
        self._is_known = False
        """Whether it is known what an earlier life had committed."""
        self._has_offered = False
        """Whether a batch waits for the thread."""
        self._to_rewind = False
        """Whether something was read and not offered, by a bug."""
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
        """Packets that a kill does not lose."""
        return self._spool.on_disk

    @property
    def staged(self) -> int:
        """Packets on their way to the disk."""
        return self._spool.staged

    @property
    def loose(self) -> int:
        """Packets that are being written and are not in the spool any more."""
        return len(self._loose)

    def add(self, views: Sequence[View]) -> int:
        """Take packets, and return how many, from the first on."""
        if not self._spool.is_open:
            return 0
        taken = self._spool.add([encode(view) for view in views], 0)
        if taken:
            self.wake()
        return taken

    async def add_last(self, views: Sequence[View], unsure: Batch | None) -> int:
        """Take what is left at the end, and return how many: all, or none.

        Args:
            views: what is left.
            unsure: the batch that the first of them are, if it may be committed already.
        """
        return await self._spool.add_last(envelopes_of(views, unsure))

    def wake(self) -> None:
        """Look again whether there is something to replay."""
        self._wanted.set()

    def settled(self, seqs: Sequence[int]) -> None:
        """Let the spool forget what is stored, refused or damaged: numbers in order."""
        self._out.difference_update(seqs)
        self._loose.difference_update(seqs)
        if seqs[-1] - seqs[0] + 1 == len(seqs):
            # Nearly always: a step for each of a large batch would hold up the loop.
            self._spool.ack_range(seqs[0], seqs[-1])
        else:
            self._spool.ack(seqs)

    def took(self) -> None:
        """Read the next batch."""
        self._has_offered = False
        self.wake()

    def known(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Let the spool forget what an earlier life had committed, and begin to replay."""
        count = sum(self._spool.ack_range(first, last) for first, last in ranges)
        if count:
            self._front.account.delivered += count
            log.info("%s: %d packets of the spool were stored before", self._front.name, count)
        self._is_known = True
        self.wake()

    async def close(self) -> None:
        """Stop replaying, and make everything durable."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._spool.close()
        # What had to make room on disk while it was being written, and was not.
        if self._loose:
            self._front.account.dropped[Reason.OVERFLOW] += len(self._loose)
            self._loose.clear()

    # --- what the spool tells ---

    def spool_recovered(self, n: int) -> None:
        """Count what an earlier life left on disk, and ask what of it is stored."""
        self._recovered(n)
        if n:
            log.info("%s: %d packets wait in the spool", self._front.name, n)
        last = self._spool.last
        self._front.find(Search(self.folder, last - n + 1, last))

    def spool_dropped(self, reason: str, n: int) -> None:
        """Count what the spool gave up; what is being written is only not on disk any more."""
        gone = {seq for seq in self._out - self._loose if self._spool.is_settled(seq)}
        self._loose |= gone
        if n > len(gone):
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
        """Read a batch and offer it, or wait until that can be done."""
        if self._to_rewind and not self._out:
            self._to_rewind = False
            self._spool.rewind()
        is_wanted = self._is_known and not self._has_offered and self._front.may_replay()
        if not is_wanted or self._to_rewind or not self._spool.unread:
            self._wanted.clear()
            await self._wanted.wait()
            return
        if self._spool.unread < self._rows:
            await asyncio.sleep(GATHER)
        records = await self._spool.read(self._rows, OCTETS)
        if not records:
            await asyncio.sleep(AGAIN)
            return
        octets = 0
        while (more := missing(records)) and octets < WHOLE:
            rest = await self._spool.read(more, OCTETS)
            if not rest:
                break
            records += rest
            octets += sum(len(envelope) for _, envelope in rest)
        if octets:
            # In the meantime the oldest may have been given up, and were counted so.
            records = [record for record in records if not self._spool.is_settled(record[0])]
        if records:
            self._out.update(seq for seq, _ in records)
            self._has_offered = True
            self._front.offer(records)
