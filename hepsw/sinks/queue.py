"""What waits in memory for one link: bounded in packets and in octets.

Compiled with `queue.pxd`: a destination that keeps up takes every packet through here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hepsw.config.models import Queue
    from hepsw.sinks.budget import Budget
    from hepsw.view import View

LARGEST: Final = 1 << 62
"""What is asked for beyond this is this."""


class FrameQueue:
    """Frames in order, no more than its limits and what the budget of all queues leaves."""

    def __init__(
        self, limits: Queue, budget: Budget, pushed_out: Callable[[bytes, bool], None]
    ) -> None:
        """Begin empty.

        Args:
            limits: packets and octets that wait here at most.
            budget: shared with all other queues.
            pushed_out: called with each frame that had to make room for a newer one, and whether
                it was the budget that left none.
        """
        self._frames: deque[bytes] = deque()
        # Compiled, these are numbers of C; nobody has so much memory.
        self._most = min(limits.packets, LARGEST)
        self._most_octets = min(limits.bytes, LARGEST)
        self._budget = budget
        self._pushed_out = pushed_out
        self.octets = 0
        """Octets of the frames held."""
        self.first = 0
        """The place of the oldest frame; that of each is one more than that of the one before."""

    def __len__(self) -> int:
        return len(self._frames)

    def add_all(self, frames: list[bytes], start: int, make_room: bool) -> int:  # noqa: FBT001 - compiled, there are no keywords
        """Take frames from `frames[start]` on.

        Args:
            frames: in the order in which they came.
            start: the first to take.
            make_room: let the oldest go where there is no room.

        Returns:
            The index of the first that was not taken.
        """
        budget = self._budget
        for at in range(start, len(frames)):
            frame = frames[at]
            octets = len(frame)
            if octets > self._most_octets:
                return at  # nothing that could go would make room for it
            while (
                len(self._frames) >= self._most
                or self.octets + octets > self._most_octets
                or budget.used + octets > budget.limit
            ):
                if not make_room or not self._frames:
                    return at
                is_over = budget.used + octets > budget.limit
                self._pushed_out(self.take(), is_over)
            self._frames.append(frame)
            self.octets += octets
            budget.used += octets
        return len(frames)

    def take(self) -> bytes:
        """Remove and return the oldest frame."""
        frame = self._frames.popleft()
        self.first += 1
        self.octets -= len(frame)
        self._budget.used -= len(frame)
        return frame

    def take_some(self, most: int) -> list[bytes]:
        """Remove and return the oldest frames, `most` of them at most."""
        return [self.take() for _ in range(min(most, len(self._frames)))]

    def put_back(self, frames: Iterable[bytes]) -> None:
        """Return frames that were taken and not delivered to the head, whatever the limits."""
        for frame in reversed(list(frames)):
            self._frames.appendleft(frame)
            self.first -= 1
            self.octets += len(frame)
            self._budget.used += len(frame)


def frames_of(views: Sequence[View]) -> list[bytes]:
    """Return the frames of a batch, as they came."""
    return [view.packet.data for view in views]


def octets_of(frames: list[bytes], start: int, stop: int) -> int:
    """Return how many octets `frames[start:stop]` have."""
    octets = 0
    for at in range(start, stop):
        frame = frames[at]
        octets += len(frame)
    return octets


def are_hep3(views: Sequence[View]) -> bool:
    """Tell whether a stream can carry a batch: only HEP3 states its length."""
    for view in views:  # noqa: SIM110 - `all` would make a generator
        if view.packet.version != 3:
            return False
    return True


def whole(frames: list[bytes], start: int, octets: int) -> tuple[int, int]:
    """Return which frame ends last within so many octets, and how many octets are left then.

    Args:
        frames: as they were written, back to back.
        start: the one that the octets begin with.
        octets: how many there are.

    Returns:
        One more than the number of the last whole frame, `start` if there is none; the rest.
    """
    while start < len(frames):
        frame = frames[start]
        if octets < len(frame):
            break
        octets -= len(frame)
        start += 1
    return start, octets
