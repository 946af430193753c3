"""What waits in memory for one destination: bounded in packets and in octets."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hepsw.accounting import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepsw.accounting import SinkAccount
    from hepsw.config.models import Queue


class FrameQueue:
    """Frames in order; when it is full, one of them goes and is counted."""

    def __init__(self, limits: Queue, *, keep_old: bool, account: SinkAccount) -> None:
        self._frames: deque[bytes] = deque()
        self._limits = limits
        self._keep_old = keep_old
        self._account = account
        self.octets = 0
        """Octets of the frames held."""

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: bytes) -> None:
        """Take a frame; make room by the oldest, or with `overflow = "drop-new"` turn it away."""
        packets, octets = self._limits.packets, self._limits.bytes - len(frame)
        if len(self._frames) >= packets or self.octets > octets:
            if self._keep_old or octets < 0:
                self._account.shed[Reason.OVERFLOW] += 1
                return
            while len(self._frames) >= packets or self.octets > octets:
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
