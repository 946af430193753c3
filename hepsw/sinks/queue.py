"""What waits in memory for one destination: bounded in packets and in octets.

Compiled with `queue.pxd`: a destination that keeps up takes every packet through here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hepsw.accounting import SinkAccount
    from hepsw.config.models import Queue
    from hepsw.view import View

LARGEST: Final = 1 << 62
"""What is asked for beyond this is this."""


class FrameQueue:
    """Frames in order; when it is full, one of them goes and is counted."""

    def __init__(self, limits: Queue, *, keep_old: bool, account: SinkAccount) -> None:
        self._frames: deque[bytes] = deque()
        # Compiled, these are numbers of C; nobody has so much memory.
        self._most = min(limits.packets, LARGEST)
        self._most_octets = min(limits.bytes, LARGEST)
        self._keep_old = keep_old
        self._account = account
        self.octets = 0
        """Octets of the frames held."""

    def __len__(self) -> int:
        return len(self._frames)

    def add_all(self, views: Sequence[View]) -> None:
        """Take the frames of a batch, one after the other as `add` does."""
        for view in views:
            self.add(view.packet.data)

    def add(self, frame: bytes) -> None:
        """Take a frame; make room by the oldest, or with `overflow = "drop-new"` turn it away."""
        octets = self._most_octets - len(frame)
        if len(self._frames) >= self._most or self.octets > octets:
            if self._keep_old or octets < 0:
                self._account.shed[Reason.OVERFLOW] += 1
                return
            while len(self._frames) >= self._most or self.octets > octets:
                self.take()
                self._account.dropped[Reason.OVERFLOW] += 1
        self._account.enqueued += 1
        self._frames.append(frame)
        self.octets += len(frame)

    def take(self) -> bytes:
        """Remove and return the oldest frame."""
        frame = self._frames.popleft()
        self.octets -= len(frame)
        return frame

    def take_some(self, most: int) -> list[bytes]:
        """Remove and return the oldest frames, `most` of them at most."""
        return [self.take() for _ in range(min(most, len(self._frames)))]

    def put_back(self, frames: Iterable[bytes]) -> None:
        """Return frames that were taken and not delivered to the head, whatever the limits."""
        for frame in reversed(list(frames)):
            self._frames.appendleft(frame)
            self.octets += len(frame)

    def give_up(self, reason: Reason) -> None:
        """Drop everything, counted."""
        if self._frames:
            self._account.dropped[reason] += len(self._frames)
        self._frames.clear()
        self.octets = 0


def frames_of(views: Sequence[View]) -> list[bytes]:
    """Return the frames of a batch, as they are to leave."""
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
