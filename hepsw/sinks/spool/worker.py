"""The thread of a spool: all its work on the disk, in turns.

The loop hands over frames, acks and readings, and is called back with what became of them. A turn
does a little of everything that is due, so that no kind of work keeps another waiting, and none
keeps the loop from the interpreter for long.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from hepsw.sinks.backoff import BackOff
from hepsw.sinks.spool.folder import Folder
from hepsw.sinks.spool.trouble import FullError, SpoolError, TooBigError, explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.config import models
    from hepsw.sinks.spool.files import Files
    from hepsw.sinks.spool.folder import Found
    from hepsw.sinks.spool.reading import Batch

log = logging.getLogger("hepsw.sinks")


class Told(Protocol):
    """What the thread calls back, on the event loop and in the order in which it happened."""

    def recovered(self, found: Found) -> None:
        """The folder is open."""
        ...

    def wrote(self, upto: int, frames: int, octets: int) -> None:
        """Records up to a number count as on disk; so many frames left the staging area."""
        ...

    def gone(self, reason: str, first: int, last: int) -> None:
        """Records from one number to another are given up, those that were not settled before."""
        ...

    def answer(self, request: Request, batch: Batch | None) -> None:
        """A reading is done; None where the disk could not be read."""
        ...

    def up(self) -> None:
        """The disk takes frames again."""
        ...

    def down(self, what: str, why: str) -> None:
        """The disk takes no frames: what was tried (nothing if that is no error), and why."""
        ...

    def failed(self, what: str, why: str) -> None:
        """Something did not work that keeps no frame from being taken."""
        ...

    def ended(self) -> None:
        """The thread has let go of the folder."""
        ...


class Staged(NamedTuple):
    """Frames that were added together and are not written yet."""

    first: int
    """Number of the first."""
    received_us: int
    frames: list[bytes]


class Request:
    """One reading that the loop waits for."""

    def __init__(self, after: int, most: int, octets: int) -> None:
        self.after = after
        self.most = most
        self.octets = octets
        self.done: asyncio.Future[Batch | None] = asyncio.get_running_loop().create_future()


class Worker:
    """Owns the folder of one spool."""

    GROUP: Final = 256
    """Frames written at once: so many are encoded in half a millisecond."""
    GROUP_OCTETS: Final = 256 << 10
    SYNC_OCTETS: Final = 1 << 20
    """Made durable when so much was written, however long the interval is."""
    GATHER_SECONDS: float = 0.005
    """How long the first frame after a pause waits for others to be written with."""
    RETRY_SECONDS: float = 0.5
    """Between two tries to write."""
    ACK_SECONDS: Final = 0.2
    """How long an ack may wait to be noted on disk."""
    EXPIRE_SECONDS: Final = 5.0
    """How often whole segments are looked at for their age."""

    def __init__(
        self,
        name: str,
        settings: models.Spool,
        *,
        fingerprint: int,
        keep_old: bool,
        files: Files,
        segment: int,
        told: Told,
    ) -> None:
        self._name = name
        self._told = told
        self._loop: asyncio.AbstractEventLoop | None = None

        # Of the thread alone.
        self._sync_every = _seconds(settings.sync)
        self._age = settings.age
        self._folder = Folder(
            settings.path,
            settings.max,
            fingerprint=fingerprint,
            keep_old=keep_old,
            is_synced=settings.sync != "never",
            files=files,
            dropped=lambda *lost: self._tell(told.gone, *lost),
            segment=segment,
        )
        self._is_failing = False
        self._retry_at = self._sync_at = self._ack_at = self._expire_at = 0.0
        self._acked = 0
        """Up to where acks were noted on disk."""
        self._unsaid: list[tuple[int, int, int]] = []
        """What was written and counts only when it is durable; the arguments of `wrote`."""

        # Shared, under `_changed`, which is never held over the disk.
        self._changed = threading.Condition()
        self._waiting: deque[Staged] = deque()
        """The loop appends, the thread removes what is written."""
        self._request: Request | None = None
        self._acked_to = 0
        self._is_asleep = False
        self._closing = False
        self._is_given_up = False

    # On the event loop

    def start(self) -> None:
        """Begin; what is told is called by the running loop."""
        self._loop = asyncio.get_running_loop()
        # A daemon thread: a disk that hangs for ever must not keep the process from ending.
        threading.Thread(target=self._run, name=f"spool {self._name}", daemon=True).start()

    def put(self, staged: Staged) -> None:
        """Take frames to write."""
        with self._changed:
            self._waiting.append(staged)
            if self._is_asleep:
                self._changed.notify()

    def waiting(self) -> list[Staged]:
        """Return what is not written, some of the first group's frames perhaps excepted."""
        with self._changed:
            return list(self._waiting)

    def ask(self, request: Request) -> None:
        """Take a reading, in the place of the one before."""
        with self._changed:
            self._request = request
            self._changed.notify()

    def ack(self, upto: int) -> None:
        """Have it noted that all is done with up to a number; only the first of some wakes us."""
        if upto > self._acked_to:
            with self._changed:
                is_first = self._acked_to <= self._acked
                self._acked_to = upto
                if is_first and self._is_asleep:
                    self._changed.notify()

    def stop(self) -> None:
        """Have the folder finished and let go."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def give_up(self) -> Request | None:
        """Have nothing more begun; return the reading that will have no answer."""
        with self._changed:
            self._is_given_up = True
            request, self._request = self._request, None
            return request

    # On the thread

    def _run(self) -> None:
        """Open the folder and work on it until the spool is closed."""
        try:
            if self._open():
                while not self._closing:
                    self._sleep()
                    self._turn()
                self._finish()
        except BaseException as bug:
            self._tell(self._told.down, "internal", explained(RuntimeError(bug)))
            raise
        finally:
            self._folder.abandon()
            self._tell(self._told.ended)

    def _open(self) -> bool:
        """Open the folder, trying for as long as it takes; return False when closing."""
        back_off = BackOff()
        while not self._closing:
            try:
                found = self._folder.open()
            except Exception as error:
                self._folder.abandon()
                if not isinstance(error, (OSError, SpoolError)):
                    log.exception("%s: spool: it cannot be opened", self._name)
                self._tell(self._told.down, "open", explained(error))
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, back_off.next())
            else:
                self._acked = found.ack_seq
                self._tell(self._told.recovered, found)
                return True
        return False

    def _sleep(self) -> None:
        """Wait until there is something to do."""
        with self._changed:
            while not self._closing and self._request is None:
                if self._waiting and not self._is_failing:
                    return
                now = time.monotonic()
                seconds = self._next_at(now) - now
                if seconds <= 0:
                    return
                self._is_asleep = True
                self._changed.wait(min(seconds, threading.TIMEOUT_MAX))
                self._is_asleep = False
                if self._waiting and not self._is_failing:
                    # Only a reader or the end wakes it now: not every frame that comes.
                    self._changed.wait_for(
                        lambda: self._closing or self._request, self.GATHER_SECONDS
                    )

    def _next_at(self, now: float) -> float:
        """Return when something is due, whatever comes."""
        due = [float("inf")]
        if self._is_failing:
            due.append(self._retry_at)
        if (self._folder.unsynced or self._unsaid) and not self._folder.is_suspect:
            due.append(self._sync_at if self._sync_every is not None else due[0])
        if self._acked_to > self._acked:
            self._ack_at = self._ack_at or now + self.ACK_SECONDS
            due.append(self._ack_at)
        if self._age is not None:
            due.append(self._expire_at)
        return min(due)

    def _turn(self) -> None:
        """Do a little of everything that is due."""
        if not self._is_failing:
            if self._waiting:
                self._try("write", self._write)
        elif time.monotonic() >= self._retry_at:
            self._try("write", self._write_again)
        if self._is_sync_due():
            # What a full disk took before it was full is made durable as ever.
            (self._try_quietly if self._is_failing else self._try)("sync", self._sync)
        if self._acked_to > self._acked:
            now = time.monotonic()
            self._ack_at = self._ack_at or now + self.ACK_SECONDS
            if now >= self._ack_at:
                self._note()
        if self._age is not None and time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + self.EXPIRE_SECONDS
            self._try_quietly("expire", lambda: self._folder.expire(self._oldest_us()))
        if self._request is not None:
            self._read(self._request)

    def _try(self, what: str, action: Callable[[], object]) -> None:
        """Do what needs the disk to take something; note whether it does."""
        try:
            action()
        except Exception as error:
            if not isinstance(error, (OSError, SpoolError)):
                log.exception("%s: spool: it cannot be written", self._name)
            self._is_failing = True
            self._retry_at = time.monotonic() + self.RETRY_SECONDS
            if isinstance(error, FullError):
                what = ""
            elif self._folder.is_suspect:
                what = "sync"
            self._tell(self._told.down, what, explained(error))
        else:
            if self._is_failing:
                self._is_failing = False
                self._tell(self._told.up)

    def _try_quietly(self, what: str, action: Callable[[], object]) -> bool:
        """Do what may as well be done later; return whether it was."""
        try:
            action()
        except Exception as error:
            if not isinstance(error, (OSError, SpoolError)):
                log.exception("%s: spool: trouble on disk", self._name)
            self._tell(self._told.failed, what, explained(error))
            return False
        return True

    def _write_again(self) -> None:
        """Find out whether the disk takes something after all.

        What was read from memory and acked meanwhile needs no room on a disk that has none.
        """
        acked = self._acked_to
        if acked >= self._folder.next:
            written = self._folder.next
            self._folder.acknowledge(acked)
            self._folder.leave_out(acked)
            frames = octets = 0
            with self._changed:
                while self._waiting and self._waiting[0].first <= acked:
                    first, received_us, held = self._waiting.popleft()
                    rest = held[acked + 1 - first :]
                    if rest:
                        self._waiting.appendleft(Staged(acked + 1, received_us, rest))
                    done = held[max(0, written - first) : len(held) - len(rest)]
                    frames += len(done)
                    octets += sum(map(len, done))
            self._tell(self._told.wrote, acked, frames, octets)
        if self._waiting:
            self._write()
        else:
            self._folder.probe()

    def _write(self) -> None:
        """Write some of what is staged."""
        frames: list[tuple[int, bytes]] = []
        octets = 0
        with self._changed:
            first = max(self._waiting[0].first, self._folder.next)
            for staged in self._waiting:
                for frame in islice(staged.frames, max(0, first - staged.first), None):
                    frames.append((staged.received_us, frame))
                    octets += len(frame)
                    if len(frames) >= self.GROUP or octets >= self.GROUP_OCTETS:
                        break
                else:
                    continue
                break
        if not self._folder.unsynced:
            self._sync_at = time.monotonic() + (self._sync_every or 0)
        try:
            count = self._folder.append(first, frames)
        except TooBigError as error:
            self._folder.leave_out(first)
            self._tell(self._told.failed, "write", explained(error))
            self._tell(self._told.gone, "overflow", first, first)
            count = 1
        upto = first + count - 1
        with self._changed:
            while (
                self._waiting and self._waiting[0].first + len(self._waiting[0].frames) <= upto + 1
            ):
                self._waiting.popleft()
        told = (upto, count, sum(len(frame) for _, frame in frames[:count]))
        if self._sync_every == 0:
            self._unsaid.append(told)
        else:
            self._tell(self._told.wrote, *told)

    def _is_sync_due(self) -> bool:
        """Return whether what was written is to be made durable now."""
        if self._sync_every is None or self._folder.is_suspect:
            return False
        is_much = self._folder.unsynced >= self.SYNC_OCTETS
        if self._sync_every == 0:
            return bool(self._unsaid) and (is_much or self._is_failing or not self._waiting)
        return is_much or (self._folder.unsynced > 0 and time.monotonic() >= self._sync_at)

    def _sync(self) -> None:
        """Make durable what was written, and say so."""
        self._folder.sync()
        for told in self._unsaid:
            self._tell(self._told.wrote, *told)
        self._unsaid.clear()

    def _note(self) -> None:
        """Note on disk what was acked, and remove what is done with."""
        acked = self._acked_to
        if self._try_quietly("ack", lambda: self._folder.acknowledge(acked)):
            self._acked, self._ack_at = acked, 0.0
        else:
            self._ack_at = time.monotonic() + self.RETRY_SECONDS

    def _oldest_us(self) -> int:
        """Return when a record must have arrived to be young enough."""
        return 0 if self._age is None else int(time.time_ns() // 1000 - self._age * 1_000_000)

    def _read(self, request: Request) -> None:
        """Answer a reading; where nothing is left on disk, after what is staged was written."""
        batch: Batch | None = None
        try:
            batch = self._folder.cursor.read(
                request.after, request.most, request.octets, self._oldest_us()
            )
        except Exception as error:
            self._folder.cursor.forget()
            if not isinstance(error, (OSError, SpoolError)):
                log.exception("%s: spool: it cannot be read", self._name)
            self._tell(self._told.failed, "read", explained(error))
        else:
            is_nothing = batch.is_end and batch.upto == request.after
            if is_nothing and self._waiting and not self._is_failing and not self._closing:
                return
        with self._changed:
            if self._request is request:
                self._request = None
        self._tell(self._told.answer, request, batch)

    def _finish(self) -> None:
        """Write and make durable all that can be."""
        self._is_failing = False
        while self._waiting and not self._is_failing and not self._is_given_up:
            self._try("write", self._write)
        if self._is_given_up:  # not waited for any more
            return
        if not self._is_failing:
            self._try("sync", self._sync)
        if self._folder.is_suspect:  # written once more, to another segment
            self._try("sync", self._sync)
        self._try_quietly("ack", lambda: self._folder.acknowledge(self._acked_to))
        self._try_quietly("write", self._folder.close)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        """Have the event loop call back; in vain if it is gone, and nobody reads the numbers."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback, *arguments)


def _seconds(sync: float | str) -> float | None:
    """Return how long what was written may wait to be durable, None for ever."""
    if isinstance(sync, str):
        return 0.0 if sync == "always" else None
    return sync
