"""The thread of a store: the packets that wait for it, and what it does next.

The event loop appends packets, offers what was read from a spool, and is called back with what
became of all of it. Everything that blocks happens here: no database and no disk holds up a packet.
Packets from memory and from the spool take turns, and retention has what is left of the time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from hepsw.errors import DecodeError, StoreError
from hepsw.sinks.stores.attempts import Attempts
from hepsw.sinks.stores.envelope import decode
from hepsw.sinks.stores.identity import identity_of
from hepsw.sinks.stores.piece import live, replayed
from hepsw.sinks.stores.records import parts_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hepsw.sinks.budget import Budget
    from hepsw.sinks.stores.piece import Outcome
    from hepsw.sinks.stores.records import Records
    from hepsw.sinks.stores.writer import Batch, Writer
    from hepsw.view import View

TIDY: Final = 60.0
"""Seconds between two rounds of retention."""
TIDY_MORE: Final = 1.0
"""Seconds between two steps of one round while packets wait."""

log = logging.getLogger("hepsw.sinks")


class Told(Protocol):
    """What the thread calls back, on the event loop and in the order in which it happened."""

    def is_up(self) -> None:
        """The medium takes packets."""
        ...

    def is_down(self, what: str, why: str) -> None:
        """It does not: a counter's label, and a sentence."""
        ...

    def began(self, rows: Counter[str], sign: int) -> None:
        """Rows by table are tried for the first time, or not any more."""
        ...

    def retried(self, rows: Counter[str]) -> None:
        """They are tried once more."""
        ...

    def settled(self, outcome: Outcome) -> None:
        """A batch is done with."""
        ...

    def took(self) -> None:
        """What was offered is being written; the next may be read."""
        ...

    def damaged(self, seqs: list[int]) -> None:
        """Records of the spool are no packets."""
        ...

    def known(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Records of the spool were committed in an earlier life."""
        ...

    def tidy_failed(self) -> None:
        """Retention did not work this time; why is in the log."""
        ...

    def ended(self) -> None:
        """The thread has let go of the medium."""
        ...


class Limits(NamedTuple):
    """How much waits, and for how long."""

    rows: int
    """Packets of a batch."""
    every: float
    """Seconds that a packet waits for others."""
    packets: int
    octets: int
    """Of the frames that wait."""


class Search(NamedTuple):
    """What is to be found out about a spool before it is read."""

    folder: Path
    first: int
    """Number of its oldest record; more than `last` where it has none."""
    last: int
    """The highest number that it gave out so far, as far as its disk knows; 0: none yet."""


class StoreThread:
    """Takes batches and brings them to their end."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        make: Callable[[], Writer],
        letters: Path | None,
        told: Told,
    ) -> None:
        """Nothing begins before `start`.

        Args:
            name: of the store.
            limits: of what waits.
            make: makes the writer; called by the thread.
            letters: the file of the dead letters.
            told: is called back.
        """
        self._name = name
        self._limits = limits
        self._told = told
        self._loop: asyncio.AbstractEventLoop | None = None

        # Of the thread alone.
        self._attempts = Attempts(name, make, letters, self)
        self._identity = b""
        self._tidy_at = 0.0
        self._has_more_to_tidy = False
        self._tidy_trouble = ""
        """What was wrong with it, as it was logged last."""
        self._is_turn_of_spool = False

        # Shared, under `_changed`, which is never held over the medium.
        self._changed = threading.Condition()
        self._waiting: deque[View] = deque()
        self._octets = 0
        self._since = 0.0
        """When the oldest that waits began to wait for others."""
        self._batch: Sequence[View] = ()
        """Packets from memory that were taken last; the first of them may be settled."""
        self._settled = 0
        """How many."""
        self._offered: Records | None = None
        self._search: Search | None = None
        self._drains = 0
        self._closing = False
        self._given_up = False

    # --- on the event loop ---

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; what is told is called by the loop."""
        self._loop = loop
        # A daemon thread: a disk that hangs for ever must not keep the process from ending.
        threading.Thread(target=self._run, name=f"store {self._name}", daemon=True).start()

    def __len__(self) -> int:
        """Return how many packets wait."""
        return len(self._waiting)

    def put(self, views: Sequence[View], budget: Budget) -> list[View]:
        """Take packets as far as there is room, and return the others."""
        limits = self._limits
        waiting = self._waiting
        left: list[View] = []
        with self._changed:
            was_empty, was_due = not waiting, self._is_much()
            room = limits.octets - self._octets
            for view in views:
                octets = len(view.packet.data)
                if (
                    octets > room
                    or len(waiting) >= limits.packets
                    or budget.used + octets > budget.limit
                ):
                    left.append(view)
                    continue
                # The queue counts the frame; what a rule made of it must not wait with it.
                view.packet.forget_payload()
                waiting.append(view)
                room -= octets
                budget.used += octets
            self._octets = limits.octets - room
            if was_empty and waiting:
                self._since = time.monotonic()
            # The thread waits for the first packet and then for a whole batch: nothing between
            # the two is worth waking it for.
            if waiting and (was_empty or (not was_due and self._is_much())):
                self._changed.notify()
        return left

    def take_back(self, most: int) -> list[View]:
        """Remove and return the oldest packets that wait."""
        with self._changed:
            return self._take(most)

    def put_back(self, views: Sequence[View]) -> None:
        """Return packets that were taken back to the head."""
        with self._changed:
            if views and not self._waiting:
                self._since = time.monotonic()
                self._changed.notify()
            self._waiting.extendleft(reversed(views))
            self._octets += sum(len(view.packet.data) for view in views)

    def offer(self, records: Records) -> None:
        """Take records of the spool, one batch at a time; `took` tells when the next may come."""
        with self._changed:
            self._offered = records
            self._changed.notify()

    def find(self, search: Search) -> None:
        """Find out what of a spool is committed; `known` tells."""
        with self._changed:
            self._search = search
            self._changed.notify()

    def hurry(self, drains: int) -> None:
        """Write what waits without waiting for more, while somebody drains."""
        with self._changed:
            self._drains += drains
            self._changed.notify()

    def stop(self) -> None:
        """Try what is under way once, and nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def give_up(self) -> tuple[list[View], Batch | None]:
        """Wait for nothing any more; return the packets from memory that are not settled.

        From now on nothing is settled: whoever asks first, this or the thread, counts a batch.

        Returns:
            The packets, and the batch that the first of them are, where it may be committed all the
            same.
        """
        with self._changed:
            self._given_up = True
            self._changed.notify()
            trying = self._batch[self._settled :]
            left = [*trying, *self._waiting]
            self._batch, self._settled = (), 0
            self._waiting.clear()
            self._octets = 0
        unsure = self._attempts.unsure
        # The thread may have come to the next batch a moment ago: that is another one.
        if unsure is None or len(unsure.views) > len(trying):
            return left, None
        is_it = all(ours is theirs for ours, theirs in zip(unsure.views, trying, strict=False))
        return left, unsure if is_it else None

    def oldest_us(self) -> int | None:
        """Return when the oldest packet in memory was received."""
        with self._changed:
            if self._settled < len(self._batch):
                return self._batch[self._settled].received_us
            return self._waiting[0].received_us if self._waiting else None

    # --- on the thread ---

    def _run(self) -> None:
        """Write batches until the store is closed."""
        try:
            if self._attempts.open():
                while self._turn():
                    pass
        except BaseException as bug:
            self.down("internal", f"a bug in hepsw: {bug!r}")
            raise
        finally:
            self._attempts.close()
            self._tell(self._told.ended)

    def _turn(self) -> bool:
        """Do what is next; return whether there is a next turn."""
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                if self._search is not None:
                    search, self._search = self._search, None
                    work: Callable[[], object] = partial(self._find, search)
                    break
                if now >= self._tidy_at and not self._drains:
                    work = self._tidy
                    break
                is_due = self._is_due(now)
                if self._offered is not None and (self._is_turn_of_spool or not is_due):
                    records, self._offered = self._offered, None
                    self._is_turn_of_spool = False
                    work = partial(self._write_records, records)
                    break
                if is_due:
                    self._is_turn_of_spool = True
                    self._batch, self._settled = self._take(self._limits.rows), 0
                    work = partial(self._attempts.write, live(self._batch, self._coming))
                    break
                if self._has_more_to_tidy:
                    work = self._tidy
                    break
                due_at = self._since + self._limits.every if self._waiting else self._tidy_at
                self._changed.wait(max(0.0, min(due_at, self._tidy_at) - now))
            else:
                return False
        work()
        return True

    def _is_much(self) -> bool:
        """Return whether so much waits that a batch is not to wait for more.

        Half a queue is enough, however large the batches are to be: waiting on would be shedding.
        """
        packets, limits = len(self._waiting), self._limits
        return (
            packets >= limits.rows
            or packets >= limits.packets // 2
            or self._octets >= limits.octets // 2
        )

    def _is_due(self, now: float) -> bool:
        return bool(self._waiting) and (
            self._drains > 0 or now >= self._since + self._limits.every or self._is_much()
        )

    def _take(self, most: int) -> list[View]:
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._octets -= sum(len(view.packet.data) for view in taken)
        # What came while the last batch was written begins to wait for others only now.
        self._since = time.monotonic()
        return taken

    def _coming(self) -> list[View]:
        """Return what is to be the next batch, as far as it is there."""
        with self._changed:
            return list(islice(self._waiting, self._limits.rows))

    def _write_records(self, records: Records) -> None:
        """Write what was read from the spool."""
        self._tell(self._told.took)
        for part, key in parts_of(records):
            self._write_part(part, key)

    def _write_part(self, records: Records, key: bytes | None) -> None:
        """Write records as one batch.

        Args:
            records: one behind another.
            key: of the batch that they were once, as a whole; None: it is a new one.
        """
        views: list[View] = []
        seqs: list[int] = []
        damaged: list[int] = []
        why = ""
        for seq, octets in records:
            try:
                views.append(decode(octets))
            except DecodeError as error:
                why = why or f"record {seq} is no packet: {error}"
                damaged.append(seq)
            else:
                seqs.append(seq)
        if damaged:
            log.error("%s: spool: %d records are damaged, %s", self._name, len(damaged), why)
            self._tell(self._told.damaged, damaged)
            key = None
        if views:
            first, last = records[0][0], records[-1][0]
            self._attempts.write(replayed(views, seqs, self._identity, first, last, key=key))

    def _find(self, search: Search) -> None:
        """Find out what the spool is called, and what is committed of it."""
        folder, first, last = search
        self._identity = identity_of(folder, is_new=not last)
        known = self._attempts.known(self._identity) if last else ()
        if any(end > last for _, end in known):
            # Records that were committed and did not outlast a power cut: their numbers are given
            # out again, and what has them now must not be taken for what had them then.
            self._identity = identity_of(folder, is_new=True)
        if not self._closing:
            # Of what is long done with a database may know a hundred thousand batches.
            ours = [
                (start, min(end, last)) for start, end in known if start <= last and end >= first
            ]
            self._tell(self._told.known, ours)

    def _tidy(self) -> None:
        """Do one step of what retention asks; packets do not wait for it to work."""
        has_more = False
        try:
            has_more = self._attempts.tidy(time.time_ns() // 1000)
        except Exception as error:
            trouble = str(error) or repr(error)
            if trouble != self._tidy_trouble:
                is_bug = not isinstance(error, StoreError)
                log.warning("%s: retention: %s", self._name, trouble, exc_info=is_bug)
            self._tidy_trouble = trouble
            self._tell(self._told.tidy_failed)
        else:
            self._tidy_trouble = ""
        self._has_more_to_tidy = has_more
        self._tidy_at = time.monotonic() + (TIDY_MORE if has_more else TIDY)

    # --- what the attempts ask and say ---

    def is_closing(self) -> bool:
        """Tell whether nothing is to be tried again."""
        return self._closing

    def is_given_up(self) -> bool:
        """Tell whether the loop has counted what was under way as not stored."""
        return self._given_up

    def pause(self, seconds: float) -> bool:
        """Sleep, unless the store is closing or a drain begins; return whether one did."""
        with self._changed:
            drains = self._drains
            self._changed.wait_for(lambda: self._closing or self._drains > drains, seconds)
            return self._drains > drains

    def linger(self, seconds: float) -> None:
        """Sleep, unless the loop does not wait any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up, seconds)

    def up(self) -> None:
        """Say that the medium takes packets."""
        self._tell(self._told.is_up)

    def down(self, what: str, why: str) -> None:
        """Say that it does not."""
        self._tell(self._told.is_down, what, why)

    def began(self, rows: Counter[str]) -> None:
        """Say that rows are tried for the first time."""
        self._tell(self._told.began, rows, 1)

    def undone(self, rows: Counter[str]) -> None:
        """Say that they are not tried any more."""
        self._tell(self._told.began, rows, -1)

    def retried(self, rows: Counter[str]) -> None:
        """Say that they are tried once more."""
        self._tell(self._told.retried, rows)

    def settled(self, outcome: Outcome) -> bool:
        """Say what became of a batch; return False where the loop has counted it already."""
        with self._changed:
            if self._given_up:
                return False
            if not outcome.seqs:
                self._settled += outcome.packets
            self._tell(self._told.settled, outcome)
            return True

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        """Have the event loop call back; in vain if it is gone, and nobody reads the account."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback, *arguments)
