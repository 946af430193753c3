"""The embedded store: every packet it is given, kept in one SQLite file.

The packet path only appends to a queue in memory. A thread of the store's own takes batches from
it, makes rows of them, some at a time, and writes each batch in one transaction, so a batch that
had to be tried again is never in the file twice. While the file cannot be written (locked, disk
full, another program's) packets wait; when the queue is full the new ones are shed.

All counters are changed on the event loop, by what the thread calls back: the identities of the
account hold between any two callbacks. A reload may leave two stores with one account for a while,
the old one draining: they add to its counters and set none.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from hepsw.accounting import Reason
from hepsw.errors import StoreError
from hepsw.sinks.backoff import BackOff
from hepsw.sinks.rows import frame_of, make_row, octets_of
from hepsw.sinks.sink import Held
from hepsw.sinks.sqlite_file import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hepsw.accounting import SinkAccount
    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.rows import Row
    from hepsw.view import View

T = TypeVar("T")

log = logging.getLogger("hepsw.sinks")


class Outcome(NamedTuple):
    """What became of one batch."""

    stored: int
    octets: int
    """Octets of the frames stored."""
    lost: Counter[str]
    """Packets given up, by reason."""


class SqliteStore:
    """A `Sink` that keeps packets in one SQLite file."""

    QUEUE_PACKETS: Final = 8192
    """Packets that wait in memory; those of the batch being written are not among them."""
    QUEUE_OCTETS: Final = 16 << 20
    """Octets of their frames."""
    ROWS_OCTETS: Final = 8 << 20
    """Octets of the rows that are in memory at a time, however large the batch is to be: with what
    was inflated a row may be many times its frame."""
    CLOSE_SECONDS: Final = 1.5
    """How long `close` waits for a batch that is being written."""

    def __init__(self, name: str, settings: StoreSettings, account: SinkAccount) -> None:
        self.name = name
        self.account = account
        self._rows = settings.batch.rows
        self._every = settings.batch.every
        self._file = SqliteFile(settings.file)

        # Of the event loop alone.
        self._unsettled = 0
        """Packets taken of whose fate nothing is known yet."""
        self.folder: Path | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = asyncio.Event()
        self._closed_for: Reason | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

        # Shared with the writer thread, under `_changed`, which is never held over the disk.
        self._changed = threading.Condition()
        self._waiting: deque[View] = deque()
        self._waiting_octets = 0
        self._drains = 0
        self._closing = False
        self._given_up = False

    # On the event loop

    def start(self) -> None:
        """Begin to write; returns at once, whatever state the file is in."""
        self._loop = asyncio.get_running_loop()
        self.account.state = "connecting"
        # A daemon thread: a disk that hangs for ever must not keep the process from ending.
        threading.Thread(target=self._run, name=f"store {self.name}", daemon=True).start()

    def open_spool(self) -> None:
        """Do nothing: this store has none."""

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch: each packet is counted `enqueued`, or `shed` because the queue is full."""
        if self._closed_for is not None:
            self.account.shed[self._closed_for] += len(views)
            return
        waiting = self._waiting
        with self._changed:
            before = len(waiting)
            was_due = self._is_due()
            room = self.QUEUE_OCTETS - self._waiting_octets
            for view in views:
                octets = len(view.packet.data)
                if octets <= room and len(waiting) < self.QUEUE_PACKETS:
                    # The queue counts the frame; what a rule made of it must not wait with it.
                    view.packet.forget_payload()
                    waiting.append(view)
                    room -= octets
            self._waiting_octets = self.QUEUE_OCTETS - room
            taken = len(waiting) - before
            # The thread waits for the first packet and then for a whole batch: nothing between
            # the two is worth waking it for.
            if taken and (not before or (not was_due and self._is_due())):
                self._changed.notify()
        self.account.enqueued += taken
        if taken < len(views):
            self.account.shed[Reason.OVERFLOW] += len(views) - taken
        if taken:
            self._unsettled += taken
            self._idle.clear()

    @property
    def held(self) -> Held:
        """What waits, and what the thread has taken and not said committed."""
        in_memory = len(self._waiting)
        return Held(in_memory=in_memory, in_flight=self._unsettled - in_memory)

    @property
    def waiting(self) -> int:
        """Nothing: this queue has limits of its own."""
        return 0

    @property
    def is_moving(self) -> bool:
        """Whether the file takes rows."""
        return self.account.state == "up"

    async def drain(self, seconds: float, *, hurry: bool = False) -> None:  # noqa: ARG002 - no spool
        """Write what waits without waiting for more; return when it is done, or after `seconds`."""
        with self._changed:
            self._drains += 1
            self._changed.notify()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
        finally:
            with self._changed:
                self._drains -= 1

    async def close(self, reason: Reason) -> None:
        """Stop; what is still held is counted `dropped` with the reason.

        A batch that is being written gets `CLOSE_SECONDS` to be done. After that it is counted as
        dropped and not committed any more; only where the disk hangs within the commit itself can
        it turn up in the file all the same.
        """
        if self._closed_for is not None:
            return
        self._closed_for = reason
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._loop is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self.CLOSE_SECONDS)
        with self._changed:
            self._given_up = True
            self._waiting.clear()
            self._waiting_octets = 0
        if self._unsettled:
            self.account.dropped[reason] += self._unsettled
            self._unsettled = 0
        self._idle.set()

    def _settle(self, outcome: Outcome) -> None:
        """Count a batch whose fate is known."""
        if self._given_up:  # `close` has counted it
            return
        self.account.delivered += outcome.stored
        self.account.octets += outcome.octets
        self.account.dropped.update(outcome.lost)
        self._unsettled -= outcome.stored + outcome.lost.total()
        if not self._unsettled:
            self._idle.set()

    def _is_up(self) -> None:
        if self._given_up:
            return
        if self.account.state.startswith("down"):
            log.info("%s: up again", self.name)
        self.account.state = "up"

    def _is_down(self, error: str, why: str) -> None:
        if self._given_up:
            return
        state = f"down: {why}"
        if self.account.state != state:
            log.warning("%s: %s; trying again", self.name, state)
        self.account.errors[error] += 1
        self.account.state = state

    # On the writer thread

    def _run(self) -> None:
        """Write batches until the store is closed."""
        try:
            self._until_done(self._file.open)
            while batch := self._next_batch():
                self._write(batch)
        except BaseException as bug:
            self._tell(self._is_down, "internal", f"a bug in hepsw: {bug!r}")
            raise
        finally:
            self._file.close()
            self._tell(self._ended.set)

    def _is_due(self) -> bool:
        """Return whether a batch is to be written without waiting for more.

        Half a queue is enough, however large the batches are to be: waiting on would be shedding.
        """
        packets = len(self._waiting)
        return (
            packets >= self._rows
            or packets >= self.QUEUE_PACKETS // 2
            or self._waiting_octets >= self.QUEUE_OCTETS // 2
        )

    def _next_batch(self) -> list[View]:
        """Wait for packets and take a batch; an empty one says that the store is closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            # What came while the last batch was written begins to wait for others only now.
            self._changed.wait_for(
                lambda: self._is_due() or self._drains or self._closing, self._every
            )
            if self._closing:
                return []
            count = min(self._rows, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            self._waiting_octets -= sum(len(view.packet.data) for view in batch)
            return batch

    def _write(self, batch: list[View]) -> None:
        """Store a batch, for as long as that takes, and say what became of it."""
        outcome = self._until_done(lambda: self._attempt(batch))
        if outcome is not None:
            if refused := outcome.lost[Reason.UNSTORABLE]:
                log.error("%s: SQLite refused %d packets", self.name, refused)
            self._tell(self._settle, outcome)

    def _attempt(self, batch: list[View]) -> Outcome:
        """Write a batch in one transaction, all of it or nothing."""
        stored = octets = 0
        lost: Counter[str] = Counter()
        # First of all, so that a file which is locked costs no rows.
        self._file.begin()
        for rows in self._made(batch, lost):
            refused = self._file.insert(rows)
            if refused:
                lost[Reason.UNSTORABLE] += len(refused)
            stored += len(rows) - len(refused)
            octets += sum(len(frame_of(row)) for at, row in enumerate(rows) if at not in refused)
        if self._given_up:
            raise StoreError("closed")
        self._file.commit()
        return Outcome(stored, octets, lost)

    def _made(self, batch: list[View], lost: Counter[str]) -> Iterator[list[Row]]:
        """Yield the rows of a batch, no more of them at a time than `ROWS_OCTETS`.

        The list is the same one each time. Packets of which no row can be made are counted in
        `lost`.
        """
        rows: list[Row] = []
        held = 0
        for view in batch:
            try:
                row = make_row(view)
            except Exception:
                if not lost[Reason.INTERNAL]:  # the first of a batch tells enough
                    log.exception("%s: no row could be made of a packet", self.name)
                lost[Reason.INTERNAL] += 1
                continue
            rows.append(row)
            held += octets_of(row)
            if held >= self.ROWS_OCTETS:
                yield rows
                rows.clear()
                held = 0
        yield rows

    def _until_done(self, action: Callable[[], T]) -> T | None:
        """Try until it works, with growing pauses; None when the store is closing."""
        back_off = BackOff()
        while not self._closing:
            try:
                result = action()
            except (StoreError, sqlite3.Error, OSError) as error:
                self._file.close()
                self._tell(self._is_down, *_explained(error))
                if self._pause(back_off.next()):
                    back_off.reset()
            else:
                self._tell(self._is_up)
                return result
        return None

    def _pause(self, seconds: float) -> bool:
        """Sleep, unless the store is closing or a drain begins; return whether one did."""
        with self._changed:
            drains = self._drains
            self._changed.wait_for(lambda: self._closing or self._drains > drains, seconds)
            return self._drains > drains

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        """Have the event loop call back; in vain if it is gone, and nobody reads the account."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback, *arguments)


def _explained(error: Exception) -> tuple[str, str]:
    """Return a counter's label and a sentence for what kept a batch from the file."""
    if isinstance(error, StoreError):
        return "refused", str(error)
    if isinstance(error, OSError):
        return "file", f"{error.filename}: {error.strerror}"
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return name.removeprefix("SQLITE_").lower(), str(error)
