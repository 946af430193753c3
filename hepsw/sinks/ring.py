"""What a stream has been given and its far side has not acknowledged: kept to be sent again.

Counted in octets since the beginning of the connection, as they travel. The cost is that of a
batch, however many frames it has: only where an acknowledgement ends within a batch is it looked at
frame by frame, and no frame twice.

Sans-I/O: `stream` asks the kernel.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hepsw.sinks.queue import whole

if TYPE_CHECKING:
    from collections.abc import Callable

Batch = tuple[list[bytes], int, int, int, int]
"""Frames, the first and the end of those meant, where their first octet was written and where
their last one ended."""


class Ring:
    """Frames in the order in which they were written, all of them whole."""

    def __init__(self, delivered: Callable[[list[bytes], int, int], None]) -> None:
        """Begin empty.

        Args:
            delivered: is told `frames`, `start` and `stop` of what is acknowledged.
        """
        self._delivered = delivered
        self._batches: deque[Batch] = deque()
        self.frames = 0
        """How many it holds."""

    def add(self, frames: list[bytes], start: int, stop: int, begin: int, end: int) -> None:
        """Keep `frames[start:stop]`, which were written from octet `begin` to octet `end`.

        The list must not be changed afterwards.
        """
        self._batches.append((frames, start, stop, begin, end))
        self.frames += stop - start

    def acknowledge(self, octets: int, *, by_frame: bool) -> None:
        """Let go of what lies before an octet.

        Args:
            octets: those acknowledged, from the beginning of the connection.
            by_frame: whether the frames of a batch were written as they are, one after the other.
                Otherwise a batch is delivered with its last octet.
        """
        batches = self._batches
        while batches:
            frames, start, stop, begin, end = batches[0]
            if octets >= end:
                batches.popleft()
            else:
                if not by_frame or octets <= begin:
                    return
                first, rest = whole(frames, start, octets - begin)
                if first == start:
                    return
                batches[0] = frames, first, stop, octets - rest, end
                stop = first
            self.frames -= stop - start
            self._delivered(frames, start, stop)

    def begun(self, octets: int) -> int:
        """Return how many of its frames are in batches that begin before an octet."""
        return sum(stop - start for _, start, stop, begin, _ in self._batches if begin < octets)

    def take_all(self) -> list[bytes]:
        """Empty it, and return what it held."""
        held = [
            frame for frames, start, stop, _, _ in self._batches for frame in frames[start:stop]
        ]
        self._batches.clear()
        self.frames = 0
        return held
