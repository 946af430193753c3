"""One segment on disk, and how it is read: record by record, over whatever is damaged."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hepsw.sinks.spool import format as wire

if TYPE_CHECKING:
    from hepsw.sinks.spool.files import Files
    from hepsw.sinks.spool.format import Record

WINDOW: Final = 256 << 10
"""Octets read at a time: reading leaves the interpreter's lock, decoding so much holds it for less
than a millisecond."""
SECTOR: Final = 4096
"""What is given up at a time where the disk cannot read."""


@dataclass(slots=True, eq=False)
class Segment:
    """A file of consecutive records."""

    path: str
    base: int
    """Number of the first record."""
    last: int
    """Number of the last one, lost or not; what the file says beyond it holds no more."""
    size: int
    """Octets that the file takes."""
    end: int
    """Where its records end."""
    last_us: int = 0
    """No record arrived later than that."""
    is_damaged: bool = False


class Reader:
    """Walks through the records of one segment, which may grow meanwhile.

    A record that is damaged is passed over: to the next one where its length can be believed, or
    else to the next marker with a sound record behind it. Not more numbers may be missing than
    records fit into the octets that were passed over, so that a frame that pretends to be a record
    cannot lead far away.
    """

    def __init__(self, segment: Segment, files: Files) -> None:
        self.segment = segment
        self.seq = segment.base - 1
        """Number of the last sound record."""
        self.at = wire.HEADER
        """Where the next one is looked for."""
        self.sound_end = wire.HEADER
        """Where the last sound one ended."""
        self.sound = 0
        """How many there were."""
        self.last_us = 0
        """When the latest of them arrived."""
        self._files = files
        self._octets = b""
        self._start = 0
        try:
            self._fd = files.open(segment.path, os.O_RDONLY)
        except FileNotFoundError:
            self._fd = -1  # deleted by somebody: all of it is lost

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            self._files.close(self._fd)
        self._fd = -1

    def next(self) -> Record | None:
        """Return the next sound record, None at the end of what is there."""
        while self._fd >= 0:
            record = wire.decode_record(self._octets, self.at - self._start)
            if record is None:
                if self._fill():
                    continue
                if self.at >= self.segment.end or not self._pass_over():
                    return None
                continue
            most = self.seq + 1 + (self.at - self.sound_end) // wire.HEAD
            if not self.seq < record.seq <= min(most, self.segment.last):
                if record.seq > self.segment.last and self.at == self.sound_end:
                    # Written again in the next segment.
                    self.at = self.sound_end = self.segment.end
                    return None
                self.at += 1
                if not self._find():
                    return None
                continue
            self.seq = record.seq
            self.at = self.sound_end = self._start + record.end
            self.sound += 1
            self.last_us = max(self.last_us, record.received_us)
            return record
        return None

    def _fill(self) -> bool:
        """Read on, if the record that begins here may be longer than what was read."""
        offset = self.at - self._start
        have = len(self._octets) - offset
        reached = self._start + len(self._octets)
        needed = wire.claimed_octets(self._octets, offset) or wire.HEAD
        if have >= needed or reached >= self.segment.end:
            return False
        self._load(self.at, max(WINDOW, needed))
        return self._start + len(self._octets) > reached

    def _load(self, at: int, octets: int = WINDOW) -> None:
        octets = max(0, min(octets, self.segment.end - at))
        self._start = at
        try:
            self._octets = self._files.pread(self._fd, octets, at)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._octets = b"".join(
                self._sector(offset, min(SECTOR, at + octets - offset))
                for offset in range(at, at + octets, SECTOR)
            )
        if not self._octets:
            # Shorter than it was: what is missing is lost.
            self.segment.end = min(self.segment.end, at)

    def _sector(self, at: int, octets: int) -> bytes:
        """Read what may be unreadable; zeros stand for what is."""
        try:
            return self._files.pread(self._fd, octets, at).ljust(octets, b"\0")
        except OSError:
            return bytes(octets)

    def _pass_over(self) -> bool:
        """Go to where the next record may be; return False if there is none."""
        self.segment.is_damaged = True
        claimed = wire.claimed_octets(self._octets, self.at - self._start)
        if claimed and self.at == self.sound_end:
            then = self.at + claimed
            if then >= self.segment.end and self.seq + 1 == self.segment.last:
                self.at = self.segment.end
                return False
            at = self.at
            self._load(then)
            record = wire.decode_record(self._octets, 0)
            if record is None and self._needs_more():
                self._load(then, wire.LONGEST + WINDOW)
                record = wire.decode_record(self._octets, 0)
            if record is not None and record.seq == self.seq + 2:
                self.at = then
                return True
            self._load(at)
        self.at += 1
        return self._find()

    def _needs_more(self) -> bool:
        return wire.claimed_octets(self._octets, 0) > len(self._octets)

    def _find(self) -> bool:
        """Go to the next marker."""
        self.segment.is_damaged = True
        while True:
            found = self._octets.find(wire.MARKER, self.at - self._start)
            if found >= 0:
                self.at = self._start + found
                return True
            reached = self._start + len(self._octets)
            if reached >= self.segment.end:
                self.at = self.segment.end
                return False
            # A marker may begin in the last octets.
            self.at = max(self.at, reached - len(wire.MARKER) + 1)
            self._load(self.at)
            if len(self._octets) < len(wire.MARKER):
                self.at = self.segment.end
                return False
