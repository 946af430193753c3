"""How the records of a spool are read: from a number on, over all segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.sinks.spool.segment import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.sinks.spool.files import Files
    from hepsw.sinks.spool.format import Record
    from hepsw.sinks.spool.segment import Segment

VISITS: Final = 2048
"""Records looked at before other work has its turn."""

Range = tuple[int, int]
"""The first and the last of some numbers."""


class Batch(NamedTuple):
    """What one reading gave."""

    records: list[tuple[int, bytes]]
    upto: int
    """The last number that was looked at: what is not among the records is gone."""
    lost: list[Range]
    """Numbers that are missing or damaged."""
    expired: list[Range]
    """Numbers of records that are too old."""
    is_end: bool
    """Nothing is behind it."""


class Cursor:
    """Where the reading stands."""

    def __init__(self, segments: Sequence[Segment], files: Files) -> None:
        """Begin nowhere.

        Args:
            segments: the folder's own list, oldest first, as it is at any time.
            files: the system calls.
        """
        self._segments = segments
        self._files = files
        self._reader: Reader | None = None
        self._at = 0
        """The last number that was looked at."""
        self._kept: Record | None = None
        """It was read, and was too much for its batch."""

    def forget(self) -> None:
        """Let the file go; the next reading finds its place anew."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._kept = None

    def read(self, after: int, most: int, octets: int, oldest_us: int) -> Batch:
        """Return the records behind a number.

        Args:
            after: the number.
            most: records at most.
            octets: octets of their frames at most; one record is returned whatever it has.
            oldest_us: what arrived before is too old.

        Raises:
            OSError: a segment cannot be opened or read now.
        """
        batch = Batch([], after, [], [], is_end=False)
        if after != self._at:
            self.forget()
        upto = after
        visits = held = 0
        is_end = False
        while visits < VISITS and len(batch.records) < most and held < octets:
            reader = self._reader or self._open(upto)
            if reader is None:
                is_end = True
                break
            visits += 1
            record, self._kept = self._kept or reader.next(), None
            if record is None:
                last = reader.segment.last
                if upto < last:
                    batch.lost.append((upto + 1, last))
                    upto = last
                if reader.segment is self._segments[-1]:
                    is_end = True
                    break
                self.forget()
                continue
            if record.seq <= upto:
                continue
            if batch.records and held + len(record.frame) > octets:
                self._kept = record
                break
            if record.seq > upto + 1:
                batch.lost.append((upto + 1, record.seq - 1))
            upto = record.seq
            if record.received_us < oldest_us:
                first = batch.expired.pop()[0] if _goes_on(batch.expired, upto) else upto
                batch.expired.append((first, upto))
            else:
                batch.records.append((upto, record.frame))
                held += len(record.frame)
        self._at = upto
        return batch._replace(upto=upto, is_end=is_end)

    def _open(self, after: int) -> Reader | None:
        """Begin with the segment in which the next number is, or the first one behind it."""
        for segment in self._segments:
            if segment.last > after:
                self._reader = Reader(segment, self._files)
                return self._reader
        return None


def _goes_on(ranges: list[Range], number: int) -> bool:
    return bool(ranges) and ranges[-1][1] == number - 1
