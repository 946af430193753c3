"""What is in the folder of a spool when it is opened.

Names and headers are believed, and only the last segment is read through: a large backlog must not
keep the spool from opening. Nothing is deleted but what is empty: what is not ours, or cannot be
read at all, is given another name and left alone.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hepsw.sinks.spool import format as wire
from hepsw.sinks.spool.segment import WINDOW, Reader, Segment
from hepsw.sinks.spool.trouble import SpoolError

if TYPE_CHECKING:
    from hepsw.sinks.spool.files import Files

log = logging.getLogger("hepsw.sinks")

LARGEST: Final = 64 << 20
"""Octets of a file without a sound header beyond which it is not looked through."""

SEGMENT_NAME: Final = re.compile(r"\d{20}\.seg")
_UNFINISHED: Final = re.compile(r"(\d{20}\.seg|state)\.new")


class Finder:
    """Looks through one folder, which is locked."""

    def __init__(self, path: str, fingerprint: int, files: Files) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._files = files

    def segments(self) -> list[Segment]:
        """Return the segments, having moved aside what is not ours and cut off a torn end."""
        names = sorted(self._files.names(self._path))
        headers = {name: self._header(name) for name in names if SEGMENT_NAME.fullmatch(name)}
        for name, header in headers.items():
            # Before anything is altered.
            if header is not None and header.major != wire.MAJOR:
                raise SpoolError(
                    f"{self._path}/{name} is of format {header.major}, this hepsw reads "
                    f"format {wire.MAJOR}; nothing was changed"
                )
        for name in names:
            if _UNFINISHED.fullmatch(name):
                self._files.unlink(f"{self._path}/{name}")
        segments, created = [], []
        for name, header in headers.items():
            segment = self._accepted(name, header)
            if segment is not None:
                segments.append(segment)
                created.append(header.created_us if header else 0)
        self._mend_end(segments)
        later_us = segments[-1].last_us if segments else 0
        for at in range(len(segments) - 2, -1, -1):
            segments[at].last = segments[at + 1].base - 1
            segments[at].last_us = later_us = created[at + 1] or later_us
        return segments

    def _header(self, name: str) -> wire.Header | None:
        path = f"{self._path}/{name}"
        if not stat.S_ISREG(self._files.lstat(path).st_mode):
            return None
        fd = self._files.open(path, os.O_RDONLY)
        try:
            return wire.decode_header(self._files.pread(fd, wire.HEADER, 0))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None
        finally:
            self._files.close(fd)

    def _accepted(self, name: str, header: wire.Header | None) -> Segment | None:
        """Return a segment by its name and header; None for what was moved aside."""
        path = f"{self._path}/{name}"
        base = int(name[:20])
        found = self._files.lstat(path)
        size = found.st_size
        segment = Segment(path, base, wire.HIGHEST, size, size)
        if header is not None:
            if header.fingerprint != self._fingerprint:
                self._aside(path, "foreign", "was written for another destination")
                return None
            if header.base_seq != base:
                self._aside(path, "foreign", "does not bear its own name")
                return None
            return segment
        if not stat.S_ISREG(found.st_mode) or not 0 < base <= wire.HIGHEST:
            self._aside(path, "foreign", "is no segment")
        elif self._is_blank(path, 0):  # killed before the header was written
            self._files.unlink(path)
        elif size > LARGEST:  # not looked through
            self._aside(path, "foreign", "is no segment")
        elif self._scan(segment).sound:
            segment.is_damaged = True
            return segment
        else:
            self._aside(path, "foreign", "is no segment")
        return None

    def _mend_end(self, segments: list[Segment]) -> None:
        """Find where the last segment ends; cut off what is behind."""
        while segments:
            tail = segments[-1]
            scanned = self._scan(tail)
            if scanned.sound:
                break
            segments.pop()
            if self._is_blank(tail.path, wire.HEADER):
                self._files.unlink(tail.path)
            else:
                self._aside(tail.path, "bad", "has no record that is whole")
        else:
            return
        end = scanned.sound_end
        tail.last, tail.last_us = scanned.seq, scanned.last_us
        if scanned.seq - tail.base + 1 == scanned.sound:
            tail.is_damaged = False
        if tail.size <= end:
            return
        if not self._is_blank(tail.path, end):
            log.warning(
                "%s: what followed the last whole record is cut off, %d octets at most",
                tail.path,
                tail.size - end,
            )
        tail.end = end
        with suppress(OSError):  # what is behind the end is not read either way
            fd = self._files.open(tail.path, os.O_RDWR)
            try:
                self._files.ftruncate(fd, end)
                tail.size = end
            finally:
                self._files.close(fd)

    def _scan(self, segment: Segment) -> Reader:
        """Go through all of a segment."""
        reader = Reader(segment, self._files)
        try:
            while reader.next() is not None:
                pass
        finally:
            reader.close()
        return reader

    def _is_blank(self, path: str, start: int) -> bool:
        """Return whether there are only zeros in a file from an offset on."""
        fd = self._files.open(path, os.O_RDONLY)
        try:
            while octets := self._files.pread(fd, WINDOW, start):
                if octets.count(0) != len(octets):
                    return False
                start += len(octets)
        finally:
            self._files.close(fd)
        return True

    def _aside(self, path: str, ending: str, why: str) -> None:
        """Give a file another name, under which it is left alone."""
        names = set(self._files.names(self._path))
        other = name = f"{os.path.basename(path)}.{ending}"  # noqa: PTH119 - plain text
        number = 0
        while other in names:
            number += 1
            other = f"{name}.{number}"
        self._files.rename(path, f"{self._path}/{other}")
        log.warning("%s %s: kept as %s", path, why, other)
