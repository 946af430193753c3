"""What became of every record of a spool: the numbers that the event loop sees.

Records have consecutive numbers. A record is settled when it was acked or dropped. Everything up to
`settled_to` is; what is settled beyond it is remembered one by one, or as a range where it was
lost in one piece, so that a large backlog costs no memory. No clock, no file, no thread.

At any instant `recovered + added = settled + staged + on_disk`.
"""

from __future__ import annotations


class Book:
    """The numbers of one spool."""

    def __init__(self) -> None:
        self.settled_to = 0
        self.added_to = 0
        """The last number given out."""
        self.written_to = 0
        """The last number on disk."""
        self.read_to = 0
        """The last number handed out since the last rewind, or passed over."""
        self.staged = 0
        self.on_disk = 0
        self.unread = 0
        """Of these two, those beyond `read_to`."""
        self._singles: set[int] = set()
        self._ranges: list[tuple[int, int]] = []
        """Beyond `settled_to`; first and last of each, few; they overlap nothing."""

    def open(self, ack_seq: int, last_seq: int) -> None:
        """Begin with what was found on disk."""
        self.settled_to = self.read_to = ack_seq
        self.added_to = self.written_to = last_seq
        self.on_disk = self.unread = last_seq - ack_seq

    def add(self, count: int) -> int:
        """Take so many new records; return the number of the first."""
        first = self.added_to + 1
        self.added_to += count
        self.staged += count
        self.unread += count
        return first

    def write(self, upto: int) -> None:
        """Note that the records up to a number are on disk."""
        moved = self.unsettled_in(self.written_to + 1, upto)
        self.written_to = max(self.written_to, upto)
        self.staged -= moved
        self.on_disk += moved

    def read(self, upto: int) -> None:
        """Note that the records up to a number were handed out, or passed over."""
        if upto > self.read_to:
            self.unread -= self.unsettled_in(self.read_to + 1, upto)
            self.read_to = upto

    def rewind(self) -> None:
        """Note that what is not settled is to be handed out again."""
        self.read_to = self.settled_to
        self.unread = self.staged + self.on_disk

    def settle(self, seq: int) -> bool:
        """Settle one record; return whether it was not before, and is one of ours."""
        if seq > self.added_to or self.is_settled(seq):
            return False
        if seq <= self.written_to:
            self.on_disk -= 1
        else:
            self.staged -= 1
        if seq > self.read_to:
            self.unread -= 1
        if seq != self.settled_to + 1:
            self._singles.add(seq)
            return True
        self.settled_to = seq
        if self._singles or self._ranges:
            self._advance()
        return True

    def settle_range(self, first: int, last: int) -> int:
        """Settle all from one number to another; return how many were not before."""
        first, last = max(first, self.settled_to + 1), min(last, self.added_to)
        if first > last:
            return 0
        count = self._forget(first, last)
        self._singles = {seq for seq in self._singles if not first <= seq <= last}
        apart = []
        for start, end in self._ranges:
            if end < first or start > last:
                apart.append((start, end))
            else:
                first, last = min(first, start), max(last, end)
        self._ranges = [*apart, (first, last)]
        self._advance()
        return count

    def is_settled(self, seq: int) -> bool:
        """Return whether a record was acked or dropped."""
        return (
            seq <= self.settled_to
            or seq in self._singles
            or any(start <= seq <= end for start, end in self._ranges)
        )

    def unsettled(self, records: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Return those of some records, in order, that are not settled."""
        if not self._singles and not self._ranges:
            if records and records[0][0] > self.settled_to:
                return records
            return [record for record in records if record[0] > self.settled_to]
        return [record for record in records if not self.is_settled(record[0])]

    def unsettled_in(self, first: int, last: int) -> int:
        """Return how many of a range are not settled."""
        first = max(first, self.settled_to + 1)
        if first > last:
            return 0
        count = last - first + 1
        if self._singles:
            if len(self._singles) < count:
                count -= sum(first <= seq <= last for seq in self._singles)
            else:
                count -= sum(seq in self._singles for seq in range(first, last + 1))
        for start, end in self._ranges:
            count -= max(0, min(last, end) - max(first, start) + 1)
        return count

    def _forget(self, first: int, last: int) -> int:
        """Take the unsettled ones of a range out of the numbers; return how many they are."""
        count = self.unsettled_in(first, last)
        on_disk = self.unsettled_in(first, min(last, self.written_to))
        self.on_disk -= on_disk
        self.staged -= count - on_disk
        self.unread -= self.unsettled_in(max(first, self.read_to + 1), last)
        return count

    def _advance(self) -> None:
        """Move `settled_to` over what is settled right behind it."""
        singles = self._singles
        while True:
            while self.settled_to + 1 in singles:
                self.settled_to += 1
                singles.remove(self.settled_to)
            for at, (start, end) in enumerate(self._ranges):
                if start == self.settled_to + 1:
                    self.settled_to = end
                    del self._ranges[at]
                    break
            else:
                return
