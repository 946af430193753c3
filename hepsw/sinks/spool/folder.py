"""The folder of a spool: its segments, its state and its lock.

Blocking work, all of it done by the one thread of a `Spool`. A segment is written from its first
octet to its last, sealed, and never written to again; after a start, too, a new one is begun. What
was found at a start is trusted as far as the names and headers go, but for the last segment, whose
end is looked for; everything else is checked record by record when it is read.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.sinks.spool import format as wire
from hepsw.sinks.spool.found import Finder
from hepsw.sinks.spool.owner_lock import lock
from hepsw.sinks.spool.reading import Cursor
from hepsw.sinks.spool.segment import Segment
from hepsw.sinks.spool.state import StateFile
from hepsw.sinks.spool.trouble import NO_ROOM, FullError, SpoolError, TooBigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.sinks.spool.files import Files

log = logging.getLogger("hepsw.sinks")

SEGMENT: Final = 16 << 20
"""Octets of a segment, or an eighth of `max` if that is less."""
SMALLEST: Final = 64 << 10
"""What is asked for at least where the disk is nearly full."""
BIGGEST_RECORD: Final = wire.record_octets(65535)
COPIES: Final = 4
"""Damaged segments that are kept, as `.bad`, for whoever wants to know what happened."""


class Found(NamedTuple):
    """What was in the folder at the start."""

    ack_seq: int
    """Everything up to this number is done with."""
    last_seq: int


class Folder:
    """All that is on disk of one spool; belongs to one thread."""

    def __init__(
        self,
        path: str,
        most: int,
        *,
        fingerprint: int,
        keep_old: bool,
        is_synced: bool,
        files: Files,
        dropped: Callable[[str, int, int], None],
        segment: int = SEGMENT,
    ) -> None:
        """Nothing is opened yet.

        Args:
            path: of the folder.
            most: octets that its segments may take.
            fingerprint: of the destination: what another one left here is not sent.
            keep_old: whether `FullError` is raised rather than the oldest segment dropped.
            is_synced: whether anything is ever made durable.
            files: the system calls.
            dropped: called with a reason and the first and last number of what is given up.
            segment: octets of a segment.
        """
        self._path = path
        self._most = most
        self._capacity = min(segment, most // 8)
        self._fingerprint = fingerprint
        self._keep_old = keep_old
        self._is_synced = is_synced
        self._files = files
        self._dropped = dropped
        self._state = StateFile(f"{path}/state", fingerprint, files)
        self._folder = self._lock = -1
        self._segments: list[Segment] = []
        """Oldest first; the one that is being written is the last of them."""
        self._active: Segment | None = None
        self._fd = -1
        self.next = 1
        """Number of the next record."""
        self._acked = self._noted = 0
        """Up to where everything is done with, and what the state says of it."""
        self.cursor = Cursor(self._segments, files)
        """What reads."""
        self._unsynced: list[bytes] = []
        """What was written and is not known to be durable: were it not, it is written again."""
        self._unsynced_from = (0, 0)
        """Where in the segment that begins, and the number of its first record."""
        self.unsynced = 0
        """Octets of it."""
        self.is_suspect = False

    # Opening

    def open(self) -> Found:
        """Take the folder and look at what is there.

        Raises:
            SpoolError: it is locked, or holds what must not be touched.
            OSError: it cannot be had now.
        """
        self._open_folder()
        segments = Finder(self._path, self._fingerprint, self._files).segments()
        ack = self._state.open()
        self._segments[:] = segments
        if ack is None:
            # Everything that is there is sent, some of it once more perhaps.
            ack = segments[0].base - 1 if segments else 0
        last = max(ack, segments[-1].last if segments else 0)
        self._acked = self._noted = ack
        self.next = last + 1
        with suppress(OSError):
            self._reclaim()
        return Found(ack, last)

    def _open_folder(self) -> None:
        """Open and lock the folder, which is made if it is missing."""
        try:
            found = self._files.lstat(self._path)
        except FileNotFoundError:
            self._files.make_folder(self._path)
            found = self._files.lstat(self._path)
        if stat.S_ISLNK(found.st_mode):
            raise SpoolError(f"{self._path} is a symbolic link")
        if not stat.S_ISDIR(found.st_mode):
            raise SpoolError(f"{self._path} is not a folder")
        self._let_go_of_folder()
        self._folder = self._files.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        if found.st_mode & 0o077:
            # Calls and passwords are in it: not for everybody on the machine.
            with suppress(OSError):
                self._files.chmod(self._folder, 0o700)
        self._lock = lock(f"{self._path}/lock", self._files)

    # Writing

    def append(self, first: int, frames: Sequence[tuple[int, bytes]]) -> int:
        """Write frames as records with consecutive numbers; return how many were written.

        That may be less than all; then it is to be called again.

        Args:
            first: number of the first.
            frames: when each arrived, and its octets.

        Raises:
            FullError: all of `max` is taken.
            TooBigError: the first frame does not fit into `max`.
            OSError: nothing was written.
        """
        records = []
        for seq, (received_us, frame) in enumerate(frames, first):
            if len(frame) > wire.LONGEST:
                break
            records.append(wire.encode_record(seq, received_us, frame))
        if not records:
            raise TooBigError("a packet is longer than any record")
        segment = self._writable(first, len(records[0]))
        room = segment.size - segment.end
        if sum(map(len, records)) > room:
            count = octets = 0
            while octets + len(records[count]) <= room:
                octets += len(records[count])
                count += 1
            del records[count:]
        written = self._write(segment, records)
        if self._is_synced:
            if not self._unsynced:
                self._unsynced_from = (segment.end, first)
            self._unsynced.extend(records[:written])
        octets = sum(map(len, records[:written]))
        self.unsynced += octets
        segment.end += octets
        segment.last = first + written - 1
        segment.last_us = max(segment.last_us, *(us for us, _ in frames[:written]))
        self.next = first + written
        return written

    def leave_out(self, seq: int) -> None:
        """Note that there will be no records up to a number; a segment has no gaps."""
        self.seal()
        self.next = seq + 1

    def probe(self) -> None:
        """Find out whether anything can be written; raises as `append` does."""
        self._writable(self.next, min(BIGGEST_RECORD, self._most - wire.HEADER))

    def _write(self, segment: Segment, records: list[bytes]) -> int:
        """Write records behind one another; return how many are whole."""
        done, error = self._files.write(self._fd, b"".join(records), segment.end)
        if error is not None:
            whole = end = 0
            while end + len(records[whole]) <= done:
                end += len(records[whole])
                whole += 1
            with suppress(OSError):  # what is behind the end is not read either way
                self._files.ftruncate(self._fd, segment.end + end)
            # Nothing more goes into this one: the next try begins another.
            segment.size = segment.end + end
            if not whole:
                raise error
            return whole
        return len(records)

    def _writable(self, first: int, octets: int) -> Segment:
        """Return a segment with room for a record of so many octets."""
        self._rescue()
        self._leave_deleted()
        least = wire.HEADER + octets
        if least > self._most:
            raise TooBigError(f"a record of {octets} octets does not fit into `max`")
        if self._active is not None:
            if self._active.size - self._active.end >= octets:
                return self._active
            self.seal()
        size = self._make_room(max(self._capacity, least), least)
        segment, self._fd = self._create(first, size, least, ".seg")
        self._active = segment
        self._segments.append(segment)
        return segment

    def _leave_deleted(self) -> None:
        """Write no more to a file that somebody has deleted: it would go with the process."""
        segment = self._active
        if segment is None or not self._files.is_deleted(self._fd):
            return
        log.error("%s was deleted by somebody: what was in it is lost", segment.path)
        self._unsynced.clear()
        self.unsynced = 0
        self._let_go()
        # With the whole folder the lock went too: both are made anew.
        self._let_go_of_folder()

    def _make_room(self, size: int, least: int) -> int:
        """Return how large a segment may be, having dropped others for it."""
        while self._octets() + size > self._most:
            if self._octets() + least <= self._most and (self._keep_old or not self._segments):
                return self._most - self._octets()
            if self._keep_old:
                raise FullError("`max` is reached")
            self._drop_oldest("overflow")
        return size

    def _create(self, base: int, size: int, least: int, ending: str) -> tuple[Segment, int]:
        """Make a segment file, a smaller one where the disk has no room for a large one."""
        path = f"{self._path}/{base:020d}{ending}"
        # Later than all that is in those before, for the age of those is told by that.
        created_us = max(time.time_ns() // 1000, *(each.last_us for each in self._segments[-2:]), 0)
        header = wire.encode_header(self._fingerprint, base, created_us)
        if self._lock < 0:
            self._open_folder()
        while True:
            try:
                fd = self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            except FileNotFoundError:
                # Somebody has deleted the folder under us: the next try makes another.
                self._let_go_of_folder()
                raise
            try:
                self._files.write_all(fd, header, 0)
                self._files.allocate(fd, size)
                self._sync_folder()
            except OSError as error:
                self._files.close(fd)
                with suppress(OSError):
                    self._files.unlink(path)
                smaller = max(size // 4, min(SMALLEST, self._capacity), least)
                if error.errno not in NO_ROOM or smaller >= size:
                    raise
                size = smaller
            else:
                return Segment(path, base, base - 1, size, wire.HEADER), fd

    def _sync_folder(self) -> None:
        if self._is_synced:
            self._files.fsync_folder(self._folder)

    # Making durable

    def sync(self) -> None:
        """Make durable what was written.

        A file that fails in this is not asked again, because it might say yes and have lost what it
        was asked for: all of that is written to another one, by whatever is called next.
        """
        self._rescue()
        if not self._unsynced:
            self.unsynced = 0
            return
        try:
            self._files.fdatasync(self._fd)
        except OSError:
            self.is_suspect = True
            raise
        self._unsynced.clear()
        self.unsynced = 0

    def _rescue(self) -> None:
        """Write to a new segment what the present one may have lost."""
        segment = self._active
        if not self.is_suspect or segment is None:
            return
        end, first = self._unsynced_from
        octets = b"".join(self._unsynced)
        least = wire.HEADER + len(octets)
        # Under another name until it is whole: its name says that the old one ends before it.
        new, fd = self._create(first, max(self._capacity, least), least, ".seg.new")
        try:
            self._files.write_all(fd, octets, wire.HEADER)
            self._files.fdatasync(fd)
            path = new.path.removesuffix(".new")
            self._files.rename(new.path, path)
            self._sync_folder()
        except OSError:
            self._files.close(fd)
            with suppress(OSError):
                self._files.unlink(new.path)
            raise
        new.path, new.end = path, least
        new.last, new.last_us = segment.last, segment.last_us
        segment.end, segment.last = end, first - 1
        if segment.path == path:  # all of it was written again
            self._segments.pop()
            self._files.close(self._fd)
        else:
            self._let_go()
        self.cursor.forget()
        self._fd, self._active = fd, new
        self._segments.append(new)
        self._unsynced.clear()
        self.unsynced = 0
        self.is_suspect = False
        log.warning("%s: written again to %s, nothing is lost", segment.path, path)

    def seal(self) -> None:
        """Finish the segment that is being written."""
        if self._active is None:
            return
        self.sync()
        self._let_go()

    def _let_go(self) -> None:
        """Close the segment that is being written, without its unused end."""
        segment, self._active = self._active, None
        if segment is None:
            return
        with suppress(OSError):
            self._files.ftruncate(self._fd, segment.end)
            segment.size = segment.end
        self._files.close(self._fd)
        self._fd = -1
        if segment.last < segment.base:
            self._segments.remove(segment)
            with suppress(OSError):
                self._files.unlink(segment.path)

    def _octets(self) -> int:
        """Return what the segments take."""
        return sum(segment.size for segment in self._segments)

    # Making room

    def acknowledge(self, ack_seq: int) -> None:
        """Note that everything up to a number is done with, and remove what is done with whole.

        Raises:
            OSError: it could not be noted, or not be removed; it is tried again at the next call.
        """
        self._acked = max(self._acked, ack_seq)
        self._reclaim()

    def expire(self, before_us: int) -> None:
        """Give up the segments in which everything arrived before a time."""
        while self._segments and 0 < self._segments[0].last_us < before_us:
            self._drop_oldest("expired")

    def _drop_oldest(self, reason: str) -> None:
        segment = self._segments[0]
        if segment is self._active:
            self.seal()
        if segment in self._segments:
            self._dropped(reason, segment.base, segment.last)
            self._acked = max(self._acked, segment.last)
            self._reclaim()

    def _reclaim(self) -> None:
        """Note what is done with, and only then remove it.

        Otherwise a crash between the two would leave a gap for which nobody can account.
        """
        done = []
        for segment in self._segments:
            if segment.last > self._acked or segment is self._active:
                break
            done.append(segment)
        if self._acked > self._noted:
            try:
                self._state.write(
                    self._acked, durable=self._is_synced or bool(done), folder=self._folder
                )
                self._noted = self._acked
            except OSError as error:
                # Where files are copied on being written, a full disk is emptied only by removing.
                if error.errno not in NO_ROOM or not done:
                    raise
        for segment in done:
            self.cursor.forget()
            self._remove(segment)
            self._segments.remove(segment)
        if done:
            self._sync_folder()

    def _remove(self, segment: Segment) -> None:
        with suppress(FileNotFoundError):
            if segment.is_damaged:
                names = self._files.names(self._path)
                if sum(".bad" in name for name in names) < COPIES:
                    name = f"{segment.path}.bad"
                    self._files.rename(segment.path, name)
                    log.warning("%s was damaged: kept as %s", segment.path, name)
                    return
            self._files.unlink(segment.path)

    def close(self) -> None:
        """Finish what is being written and let the folder go."""
        try:
            self._leave_deleted()
            self.seal()
            self._count_deleted()
            self._reclaim()
        finally:
            self._let_go()
            self.abandon()

    def _count_deleted(self) -> None:
        """Give up what somebody has deleted, lest it be told that it stays."""
        for segment in self._segments:
            try:
                self._files.lstat(segment.path)
            except FileNotFoundError:
                self._dropped("corrupt", segment.base, segment.last)

    def abandon(self) -> None:
        """Let go of everything, as it is."""
        self.cursor.forget()
        if self._fd >= 0:
            self._files.close(self._fd)
        self._fd = -1
        self._active = None
        self._segments.clear()
        self._let_go_of_folder()

    def _let_go_of_folder(self) -> None:
        self._state.close()
        for fd in (self._lock, self._folder):
            if fd >= 0:
                self._files.close(fd)
        self._lock = self._folder = -1
