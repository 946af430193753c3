"""The disk spool of a destination: what the event loop sees of it, and its one thread.

The loop puts frames into a staging area and takes records from it; all work on the disk is done by
the thread, in turns that are short enough not to keep the loop from the interpreter. Every number
is changed on the loop, by what the thread calls back, so that the identity

    recovered + added = acked + dropped + staged + on_disk

holds between any two callbacks. A disk that is full, fails or hangs is a spool that takes no frames
for a while, and says why; it never raises, and never loses what it has.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from hepsw.sinks.spool.book import Book
from hepsw.sinks.spool.files import REAL
from hepsw.sinks.spool.folder import SEGMENT
from hepsw.sinks.spool.worker import Request, Staged, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.config import models
    from hepsw.sinks.spool.files import Files
    from hepsw.sinks.spool.folder import Found
    from hepsw.sinks.spool.reading import Batch

log = logging.getLogger("hepsw.sinks")


class SpoolOwner(Protocol):
    """Who uses a spool; called on the event loop, when its numbers have changed already."""

    def spool_recovered(self, n: int) -> None:
        """So many records were found when it was opened; called once."""
        ...

    def spool_dropped(self, reason: str, n: int) -> None:
        """So many records were given up.

        Args:
            reason: `overflow` (the oldest went because `max` was reached), `expired` (older than
                `age`), `corrupt` (damaged on disk), `shutdown` (taken, and could not be written).
            n: how many.
        """
        ...

    def spool_failed(self, what: str) -> None:
        """Something went wrong on disk; `trouble` says whether it keeps frames from being taken.

        Args:
            what: was tried, a key of `errors`; nothing where `max` is reached, which is no error.
        """
        ...

    def spool_ready(self) -> None:
        """It takes frames again, or there is something to read after there was nothing."""
        ...


class Spool:
    """Frames on disk, in order, until they are acked."""

    STAGED: Final = 16384
    """Frames that wait to be written."""
    STAGED_OCTETS: Final = 8 << 20
    """Octets of these frames."""
    TRIES: Final = 20
    """How often a reading looks for what should be there, before it says that it is not."""
    TRY_SECONDS: Final = 0.005
    """Between two such tries while the disk takes nothing; between two looks whether it is open."""
    OPENING_SECONDS: Final = 0.5
    """How long the last frames wait for a folder that is being opened."""
    CLOSE_SECONDS: float = 2.0
    """How long `close` waits for the disk."""
    QUIET_SECONDS: Final = 60.0
    """The same trouble is logged once in so long, however often it comes and goes."""
    SEGMENT: int = SEGMENT
    """Octets of a segment, or an eighth of `max` if that is less."""

    def __init__(
        self,
        name: str,
        settings: models.Spool,
        *,
        fingerprint: int,
        keep_old: bool,
        owner: SpoolOwner,
        files: Files = REAL,
    ) -> None:
        """Nothing is opened before `start`.

        Args:
            name: of the destination, for the log.
            settings: `path` is absolute.
            fingerprint: tells destinations apart: what another one left in the folder is not sent.
            keep_old: whether new frames are refused when `max` is reached; the oldest records go
                otherwise.
            owner: is told what happens.
            files: the system calls.
        """
        self.name = name
        self.is_open = False
        """Whether frames are taken."""
        self.is_opening = False
        """Whether that is not known yet, for the first time."""
        self.trouble = ""
        """Why not."""
        self.staged_octets = 0
        """Octets of the frames in memory."""
        self.errors: Counter[str] = Counter()
        """What went wrong on disk, by what was tried: `open`, `write`, `sync`, `ack`, `read`."""

        self._book = Book()
        self._owner = owner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._staged_frames = 0
        """As `staged`, with those that were acked before they were written."""
        self._is_ready_due = False
        self._rewinds = 0
        self._logged: dict[str, float] = {}
        self._is_told = False
        """The present trouble is in the log."""
        self._is_closing = self._is_closed = False
        self._worker = Worker(
            name,
            settings,
            fingerprint=fingerprint,
            keep_old=keep_old,
            files=files,
            segment=self.SEGMENT,
            told=self,
        )

    @property
    def staged(self) -> int:
        """Frames taken and not yet written."""
        return self._book.staged

    @property
    def on_disk(self) -> int:
        """Records written and neither acked nor dropped: what a kill of the process does not lose.

        With `sync = "always"` what a power cut does not lose.
        """
        return self._book.on_disk

    @property
    def unread(self) -> int:
        """How many of both were not handed out since the last rewind."""
        return self._book.unread

    @property
    def last(self) -> int:
        """The highest number that a record has or had; 0 where there was none yet."""
        return self._book.added_to

    def start(self) -> None:
        """Begin to open the folder; returns at once, whatever state it is in."""
        self._loop = asyncio.get_running_loop()
        self.trouble = "opening"
        self.is_opening = True
        self._worker.start()

    def add(self, frames: list[bytes], start: int) -> int:
        """Take frames from a position on, until the staging area is full.

        Returns:
            The position of the first that was not taken: the length of the list if all were.
        """
        if not self.is_open:
            return start
        taken = frames[start : start + self.STAGED - self._staged_frames]
        octets = sum(map(len, taken))
        room = self.STAGED_OCTETS - self.staged_octets
        if room <= 0:
            return start
        while octets > room:
            octets -= len(taken.pop())
        if not taken:
            return start
        self._stage(taken)
        return start + len(taken)

    def _stage(self, frames: list[bytes]) -> None:
        if not self._book.unread:
            self._say_ready()
        self.staged_octets += sum(map(len, frames))
        self._staged_frames += len(frames)
        first = self._book.add(len(frames))
        self._worker.put(Staged(first, time.time_ns() // 1000, frames))

    async def add_last(self, frames: list[bytes]) -> int:
        """Take the last frames before the end, however many: they are in memory anyhow.

        A folder that is being opened is waited for a little.

        Returns:
            How many were taken: all, or none.
        """
        if frames and self._loop is not None:
            end = self._loop.time() + self.OPENING_SECONDS
            while self.is_opening and self._loop.time() < end:
                await asyncio.sleep(self.TRY_SECONDS)
        if not self.is_open or not frames:
            return 0
        self._stage(frames)
        return len(frames)

    async def read(self, most: int, octets: int) -> list[tuple[int, bytes]]:
        """Hand out the next records, oldest first; one reader at a time.

        Args:
            most: records at most.
            octets: octets of their frames at most; a single record may have more.

        Returns:
            Numbers and frames; none if there is nothing to be had now. `spool_ready` follows when
            there is, or where the disk could not be read.
        """
        book = self._book
        tries = 0
        while book.unread and not self._ended.is_set() and not self._is_closed:
            rewinds, before = self._rewinds, book.read_to
            request = Request(before, most, octets)
            self._worker.ask(request)
            batch = await request.done
            if rewinds != self._rewinds:
                continue
            if batch is None:
                break
            book.read(batch.upto)
            if records := book.unsettled(batch.records):
                return records
            if not batch.is_end or book.read_to > before:
                continue
            if not self.is_open and (records := self._read_staged(most, octets)):
                return records
            # The thread has just written what it had not when it looked: it looks again.
            tries += 1
            if tries == self.TRIES:
                break
            await asyncio.sleep(0 if self.is_open else self.TRY_SECONDS)
        if book.unread and self._loop is not None and not self._is_closed:
            self._loop.call_later(self._worker.RETRY_SECONDS, self._say_ready)
        return []

    def ack(self, seqs: Sequence[int]) -> None:
        """Note that records are done with, in any order; those that are gone already are ignored.

        It is noted on disk a little later: after a crash some may be handed out once more.
        """
        settle = self._book.settle
        for seq in seqs:
            settle(seq)
        self._worker.ack(self._book.settled_to)

    def ack_range(self, first: int, last: int) -> int:
        """Note that all from one number to another are done with; return how many were not yet."""
        count = self._book.settle_range(first, last)
        self._worker.ack(self._book.settled_to)
        return count

    def is_settled(self, seq: int) -> bool:
        """Tell whether a record was acked or given up."""
        return self._book.is_settled(seq)

    def rewind(self) -> None:
        """Have everything that is not acked handed out again."""
        had_unread = self._book.unread
        self._book.rewind()
        self._rewinds += 1
        if self._book.unread and not had_unread:
            self._say_ready()

    async def close(self) -> None:
        """Write and make durable what is staged and acked, and let the folder go.

        A disk that takes longer than `CLOSE_SECONDS` is not waited for.
        """
        if self._is_closed:
            return
        self.is_open, self._is_closing = False, True
        self._worker.stop()
        if self._loop is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self.CLOSE_SECONDS)
        self._is_closed = True
        self.trouble = "closed"
        self._answer_none()
        lost = self._book.settle_range(self._book.written_to + 1, self._book.added_to)
        self.staged_octets = 0
        if lost:
            log.error("%s: spool: %d packets could not be written at the end", self.name, lost)
            self._owner.spool_dropped("shutdown", lost)

    def _answer_none(self) -> None:
        """End a reading for which there will be no answer."""
        request = self._worker.give_up()
        if request is not None and not request.done.done():
            request.done.set_result(None)

    def _read_staged(self, most: int, octets: int) -> list[tuple[int, bytes]]:
        """Hand out from memory what the disk does not take."""
        waiting = self._worker.waiting()
        book = self._book
        if not waiting or book.unsettled_in(book.read_to + 1, waiting[0].first - 1):
            return []  # some were written at this moment, and are to be read from disk
        records: list[tuple[int, bytes]] = []
        for staged in waiting:
            for seq, frame in enumerate(staged.frames, staged.first):
                if seq <= book.read_to:
                    continue
                octets -= len(frame)
                if len(records) >= most or (records and octets < 0):
                    return records
                if not book.is_settled(seq):
                    records.append((seq, frame))
                book.read(seq)
        return records

    def _say_ready(self) -> None:
        """Tell the owner, not within what it calls."""
        if self._loop is not None and not self._is_ready_due:
            self._is_ready_due = True
            self._loop.call_soon(self._ready)

    def _ready(self) -> None:
        self._is_ready_due = False
        if not self._is_closed:
            self._owner.spool_ready()

    # Called back by the thread, on the event loop; see `Told`

    def recovered(self, found: Found) -> None:
        """The folder is open: count what was found."""
        if self._is_closed:
            return
        self._book.open(*found)
        self._worker.ack(found.ack_seq)
        self._owner.spool_recovered(found.last_seq - found.ack_seq)
        self.up()

    def wrote(self, upto: int, frames: int, octets: int) -> None:
        """Count records as on disk."""
        if self._is_closed:
            return
        self._book.write(upto)
        self._staged_frames -= frames
        self.staged_octets -= octets

    def gone(self, reason: str, first: int, last: int) -> None:
        """Count records that were given up, but for those that are settled already."""
        if self._is_closed:
            return
        count = self._book.settle_range(first, last)
        if count:
            if reason == "corrupt":
                self._log(logging.ERROR, "packets lost to damage on disk", f", {count} this time")
            self._owner.spool_dropped(reason, count)
            self._worker.ack(self._book.settled_to)

    def answer(self, request: Request, batch: Batch | None) -> None:
        """Count what a reading found missing, and let it go on."""
        try:
            if batch is not None:
                for first, last in batch.lost:
                    self.gone("corrupt", first, last)
                for first, last in batch.expired:
                    self.gone("expired", first, last)
        finally:
            # Whatever the owner makes of it: somebody waits for the answer.
            if not request.done.done():
                request.done.set_result(batch)

    def up(self) -> None:
        """Take frames again."""
        self.is_opening = False
        if self._is_closing:
            return
        if self._is_told:
            self._is_told = False
            log.info("%s: spool: works again", self.name)
        self.is_open, self.trouble = True, ""
        self._say_ready()

    def down(self, what: str, why: str) -> None:
        """Take no frames for a while, and say why."""
        self.is_opening = False
        if self._is_closed:
            return
        if what:
            self.errors[what] += 1
        self.is_open, self.trouble = False, why
        self._is_told |= self._log(
            logging.ERROR if what == "sync" else logging.WARNING,
            why,
            "; packets wait in memory meanwhile, trying again",
        )
        self._owner.spool_failed(what)

    def failed(self, what: str, why: str) -> None:
        """Count what went wrong and keeps no frame from being taken."""
        self.errors[what] += 1
        self._log(logging.WARNING, why)
        self._owner.spool_failed(what)

    def _log(self, level: int, why: str, more: str = "") -> bool:
        """Log a trouble, unless that was done a short while ago; return whether it was now."""
        now = time.monotonic()
        if now - self._logged.get(why, -self.QUIET_SECONDS) < self.QUIET_SECONDS:
            return False
        if len(self._logged) > 100:  # troubles with numbers in them
            self._logged.clear()
        self._logged[why] = now
        log.log(level, "%s: spool: %s%s", self.name, why, more)
        return True

    def ended(self) -> None:
        """Have nobody wait for the thread."""
        self.is_opening = False
        self._ended.set()
        self._answer_none()
