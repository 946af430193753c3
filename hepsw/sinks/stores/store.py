"""A store: the queue in memory, the disk behind it, and the account of what became of each packet.

```
views ──┬── room in memory ──▶ queue ──┐
        ├── none: the spool, if there  ├── thread ──▶ writer ──▶ medium
        │   is one; shed otherwise     │       └──▶ dead letters
        └── down for `GRACE`: spool ───┴── replay, in turns with the queue
```

The packet path only appends. The thread takes batches and brings each to its end; what it cannot
write it tries again, and the packets behind it wait.

All counters are changed on the event loop, by what the thread calls back: the identities of the
account hold between any two callbacks. A reload may leave two stores with one account for a while,
the old one draining: they add to its counters and set none. Its state is what either said last,
until `Sinks.measure` sets it right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.accounting import Reason, TableAccount
from hepsw.sinks.sink import Held
from hepsw.sinks.stores.thread import Limits, StoreThread

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from hepsw.accounting import SinkAccount
    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.budget import Budget
    from hepsw.sinks.stores.piece import Outcome
    from hepsw.sinks.stores.records import Records
    from hepsw.sinks.stores.replay import Replay
    from hepsw.sinks.stores.thread import Search
    from hepsw.sinks.stores.writer import Writer
    from hepsw.view import View

GRACE: Final = 1.0
"""Seconds without the medium after which what waits goes to the spool."""
MOVE: Final = 0.02
"""Seconds until more is taken to a spool that does not take all at once."""
MOVED: Final = 1000
"""Packets that are taken to the spool in one go: the loop has other work."""
STALLED: Final = 3.0
"""Seconds without any progress after which a drain leaves what waits to the spool."""
HOPELESS: Final = 6.0
"""The same where there is no spool, and what waits will be lost."""

log = logging.getLogger("hepsw.sinks")


class Around(NamedTuple):
    """What a store has to do with."""

    budget: Budget
    """What all queues may hold together."""
    recovered: Callable[[int], None]
    """Told how many packets the spool held when it was opened."""


class Store:
    """A `Sink` that keeps records."""

    QUEUE_PACKETS: Final = 8192
    """Packets that wait in memory; those of the batch being written are not among them."""
    QUEUE_OCTETS: Final = 16 << 20
    """Octets of their frames."""
    CLOSE_SECONDS: Final = 1.5
    """How long `close` waits for a batch that is being written."""

    def __init__(
        self,
        name: str,
        settings: StoreSettings,
        account: SinkAccount,
        make: Callable[[], Writer],
        around: Around,
    ) -> None:
        """Make it; nothing is opened yet.

        Args:
            name: of the store.
            settings: all of them.
            account: where everything is counted.
            make: makes the writer; called by the store's own thread, as is all that it makes.
            around: what it has to do with.
        """
        self.name = name
        self.account = account
        self.folder = Path(settings.spool.path) if settings.spool is not None else None
        self._budget = around.budget
        batch = settings.batch
        limits = Limits(batch.rows, batch.every, self.QUEUE_PACKETS, self.QUEUE_OCTETS)
        self._thread = StoreThread(name, limits, make, settings.letters, self)
        self._replay: Replay | None = None
        if settings.spool is not None:
            from hepsw.sinks.stores.replay import Replay  # noqa: PLC0415 - most have no spool

            self._replay = Replay(settings.spool, self, rows=batch.rows, recovered=around.recovered)
        self._state = "connecting"
        self._unsettled = 0
        """Packets taken into memory of whose fate nothing is known yet."""
        self._octets = 0
        """Of their frames; so many count in the budget."""
        self._spooling = False
        """Whether what comes goes to the spool, because the medium is away."""
        self._drains = 0
        self._moved_on = asyncio.Event()
        """Set whenever something was settled, or the state changed."""
        self._ended = asyncio.Event()
        self._closed_for: Reason | None = None
        self._is_given_up = False
        self._grace: asyncio.TimerHandle | None = None
        self._moving: asyncio.TimerHandle | None = None
        account.state = self._state

    def start(self) -> None:
        """Begin to write; returns at once, whatever state the medium is in."""
        self._thread.start(asyncio.get_running_loop())
        self._wait_for_grace()

    def open_spool(self) -> None:
        """Begin to use the disk, which may be away too."""
        if self._replay is not None and self._closed_for is None:
            self._replay.start()

    # --- packets ---

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch: each packet is counted `enqueued`, or `shed` because there is no room."""
        if self._closed_for is not None:
            self.account.shed[self._closed_for] += len(views)
            return
        left = views
        if self._spooling and self._replay is not None and not len(self._thread):
            left = views[self._replay.add(views) :]
        if left:
            used = self._budget.used
            offered = len(left)
            left = self._thread.put(left, self._budget)
            self._octets += self._budget.used - used
            self._unsettled += offered - len(left)
        if left and self._replay is not None:
            left = left[self._replay.add(left) :]
        self.account.enqueued += len(views) - len(left)
        for view in left:
            is_over = self._budget.used + len(view.packet.data) > self._budget.limit
            self.account.shed[Reason.MEMORY if is_over else Reason.OVERFLOW] += 1

    def _release(self, octets: int) -> None:
        """Give octets back to all queues."""
        self._octets -= octets
        self._budget.used -= octets

    # --- what the thread tells ---

    def is_up(self) -> None:
        """Show that the medium takes packets, and replay."""
        if self._is_given_up:
            return
        if self._state.startswith("down"):
            log.info("%s: up again", self.name)
        self._state = "up"
        self._tell_state()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._spooling = False

    def is_down(self, what: str, why: str) -> None:
        """Show why it does not; what waits goes to the spool if that lasts."""
        if self._is_given_up:
            return
        state = f"down: {why}"
        if self._state != state:
            log.warning("%s: %s; trying again", self.name, state)
        self.account.errors[what] += 1
        self._state = state
        self._tell_state()
        self._wait_for_grace()

    def began(self, rows: Counter[str], sign: int) -> None:
        """Count rows that are tried, or not any more."""
        for table, count in rows.items():
            self._table(table).rows_in += sign * count

    def retried(self, rows: Counter[str]) -> None:
        """Count rows that are tried once more."""
        for table, count in rows.items():
            self._table(table).retried += count

    def settled(self, outcome: Outcome) -> None:
        """Count a batch whose fate is known."""
        account = self.account
        account.delivered += outcome.stored
        account.octets += outcome.stored_octets
        account.dead_lettered.update(outcome.dead_lettered)
        account.dropped.update(outcome.dropped)
        account.altered.update(outcome.altered)
        account.misplaced.update(outcome.misplaced)
        for name, count in outcome.tables.items():
            table = self._table(name)
            table.committed += count
            table.last_commit = max(table.last_commit, outcome.at)
        for refused in outcome.refused:
            self._table(refused.table).dead_lettered[refused.reason] += 1
        if not outcome.seqs:
            self._unsettled -= outcome.packets
            self._release(outcome.octets)
        elif self._replay is not None:
            self._replay.settled(outcome.seqs)
        self._moved_on.set()

    def took(self) -> None:
        """Read more from the spool."""
        if self._replay is not None:
            self._replay.took()

    def damaged(self, seqs: list[int]) -> None:
        """Count records of the spool that are no packets."""
        if self._is_given_up:  # they are on disk, and whoever has that next comes to them
            return
        self.account.dropped[Reason.CORRUPT] += len(seqs)
        if self._replay is not None:
            self._replay.settled(seqs)

    def known(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Let the spool forget what an earlier life had committed."""
        if self._replay is not None:
            self._replay.known(ranges)

    def tidy_failed(self) -> None:
        """Count that retention did not work."""
        self.account.errors["tidy"] += 1

    def ended(self) -> None:
        """Have nobody wait for the thread."""
        self._ended.set()

    def _table(self, name: str) -> TableAccount:
        return self.account.tables.setdefault(name, TableAccount())

    @property
    def state(self) -> str:
        """What the medium does, and what is wrong with the spool."""
        if self._replay is not None and self._replay.trouble:
            return f"{self._state}; spool: {self._replay.trouble}"
        return self._state

    def _tell_state(self) -> None:
        self.account.state = self.state
        self._moved_on.set()

    # --- the medium comes and goes ---

    def _wait_for_grace(self) -> None:
        if self._replay is not None and self._grace is None and not self._spooling:
            self._grace = asyncio.get_running_loop().call_later(GRACE, self._take_to_spool)

    def _take_to_spool(self) -> None:
        """Begin to spool what comes, and what waits."""
        self._grace = None
        if self._state != "up" and self._closed_for is None:
            self._spooling = True
            self._move()

    def _move(self) -> None:
        """Take what waits to the spool, as far as that has room."""
        if self._replay is None or not self._spooling or self._moving is not None:
            return
        views = self._thread.take_back(MOVED)
        taken = self._replay.add(views)
        self._thread.put_back(views[taken:])
        self._unsettled -= taken
        self._release(sum(len(view.packet.data) for view in views[:taken]))
        if len(self._thread) and self._replay.is_open:
            pause = 0 if taken == len(views) else MOVE
            self._moving = asyncio.get_running_loop().call_later(pause, self._move_more)

    def _move_more(self) -> None:
        self._moving = None
        if self._closed_for is None:
            self._move()

    # --- what the replay asks ---

    def may_replay(self) -> bool:
        """Tell whether the end has not begun."""
        return not self._drains and self._closed_for is None

    def offer(self, records: Records) -> None:
        """Write records of the spool."""
        self._thread.offer(records)

    def find(self, search: Search) -> None:
        """Find out what is committed of the spool."""
        self._thread.find(search)

    def spool_has_failed(self) -> None:
        """Show what keeps the spool from taking packets."""
        self._tell_state()

    def spool_is_ready(self) -> None:
        """Go on with what could not be written to disk."""
        self._tell_state()
        if self._closed_for is None:
            self._move()

    # --- the end ---

    @property
    def held(self) -> Held:
        """What waits, what the thread has and did not say committed, and what is on disk."""
        waiting = len(self._thread)
        in_flight = self._unsettled - waiting
        if self._replay is None:
            return Held(waiting, 0, in_flight)
        return Held(
            waiting + self._replay.staged, self._replay.on_disk, in_flight + self._replay.loose
        )

    @property
    def waiting(self) -> int:
        """Octets of the frames in memory."""
        return self._octets

    @property
    def is_moving(self) -> bool:
        """Whether the medium takes packets."""
        return self._state == "up"

    @property
    def age(self) -> float:
        """Seconds that the oldest packet in memory has waited; 0 where there is none."""
        oldest_us = self._thread.oldest_us()
        return 0.0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1_000_000)

    async def drain(self, seconds: float, *, hurry: bool = False) -> None:
        """Write what is in memory without waiting for more; return when it is done, or can not be.

        In a hurry also as soon as what is left can go to the spool.
        """
        self._drains += 1
        self._thread.hurry(1)
        loop = asyncio.get_running_loop()
        moved_at, before = loop.time(), self._unsettled
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._unsettled:
                        if self._unsettled != before:
                            moved_at, before = loop.time(), self._unsettled
                        stalled = loop.time() - moved_at
                        can_spool = self._replay is not None and self._replay.is_open
                        if can_spool and (hurry or self._state != "up" or stalled > STALLED):
                            return
                        if stalled > HOPELESS:
                            return
                        self._moved_on.clear()
                        with suppress(TimeoutError):
                            await asyncio.wait_for(self._moved_on.wait(), MOVE if hurry else GRACE)
        finally:
            self._drains -= 1
            self._thread.hurry(-1)
            if self._replay is not None:
                self._replay.wake()

    async def close(self, reason: Reason) -> None:
        """Stop; what is in memory goes to the spool, or is counted `dropped` with the reason.

        A batch that is being written gets `CLOSE_SECONDS` to be done. After that it counts as not
        written, and is not committed any more; only where the medium hangs within the commit itself
        can it turn up there all the same.
        """
        if self._closed_for is not None:
            return
        self._closed_for = reason
        for handle in (self._grace, self._moving):
            if handle is not None:
                handle.cancel()
        self._thread.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), self.CLOSE_SECONDS)
        # From here on the thread settles nothing: what is left is this method's to count.
        left, unsure = self._thread.give_up()
        self._is_given_up = True
        if self._replay is not None:
            taken = await self._replay.add_last(left, unsure)
            self._unsettled -= taken
            left, spooled = left[taken:], left[:taken]
            self._release(sum(len(view.packet.data) for view in spooled))
        if left:
            self.account.dropped[reason] += len(left)
            self._unsettled -= len(left)
            self._release(sum(len(view.packet.data) for view in left))
        await asyncio.sleep(0)  # for what the thread has said just before
        if self._replay is not None:
            await self._replay.close()
            if on_disk := self._replay.on_disk:
                log.info("%s: %d packets stay in the spool", self.name, on_disk)
