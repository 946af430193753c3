"""The loop guard: a packet that comes back again and again is dropped.

A destination may send what it gets back to us, through other switches or a name that leads here,
and then one packet would keep the line busy for ever. Frames carry no mark of ours, so the guard
remembers them: the same frame, octet for octet as it came, is let in `MOST` times within `WINDOW`
seconds, whoever sends it, and after that dropped until one of these times is so long ago. No agent
sends one frame nine times in ten seconds, because the time in it differs.

Every packet pays for this, so there are two stages. `Recent` notes a few octets of each frame, its
mark, and when they last came. Only a frame whose mark came before is hashed as a whole and counted.
What follows from that, exactly:

- The first frame with a mark is not hashed. When one with the same mark comes within the window and
  is not known itself, it counts as the second of its kind. So a frame is dropped only if it came
  within the window as often as `MOST` says, or once less and after another with its mark; and
  never let in more often.
- Both stages forget: the first remembers about the last 8,000 marks, or all of ten seconds while
  fewer come, the second the `FRAMES` frames that came last. A frame that was forgotten is let in
  once more for each time that it was; one that comes back only after so many others is not
  recognised, and is no more than one packet among them.
- A frame that changes each time, because a rule adds to it, is not recognised.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from hepsw.switch._recent_plain import WINDOW

try:
    from hepsw.switch._recent import Recent
except ImportError:  # the plain build
    from hepsw.switch._recent_plain import (  # type: ignore[assignment] # the same by another way
        Recent,
    )

if TYPE_CHECKING:
    from hepsw.hep.packet import Packet

MOST: Final = 8
"""Times that a frame is let in within the window."""
FRAMES: Final = 4096
"""Frames remembered that came more than once."""
TELL: Final = 10.0
"""Seconds after which a loop is worth another line in the log."""


class _Frame:
    """One that came more than once."""

    __slots__ = ("last", "let_in")

    def __init__(self, first: float) -> None:
        self.last = first
        """When it came last, let in or not."""
        self.let_in = [first]
        """When it was let in: the last times, the oldest first."""


class Guard:
    """What came lately."""

    def __init__(self) -> None:
        self.again = Recent().again
        """The first stage by itself: the switch asks it without a detour, once for each batch."""
        self._key = os.urandom(16)
        self._frames: OrderedDict[bytes, _Frame] = OrderedDict()
        """By digest; the one that came longest ago is the first."""
        self._told: float | None = None

    def looping(self, packets: list[Packet], now: float) -> set[int] | None:
        """Note packets as they came; return the positions of those to be dropped, None for none."""
        again = self.again(packets, now)
        return None if again is None else self.judged(packets, again, now)

    def judged(
        self, packets: list[Packet], again: list[tuple[int, float]], now: float
    ) -> set[int] | None:
        """Judge what the first stage found; return as `looping` does."""
        found = {at for at, before in again if not self._lets_in(packets[at].data, before, now)}
        return found or None

    def _lets_in(self, data: bytes, before: float, now: float) -> bool:
        digest = blake2b(data, digest_size=16, key=self._key).digest()
        frame = self._frames.get(digest)
        if frame is None or not 0 <= now - frame.last <= WINDOW:
            frame = self._frames[digest] = _Frame(before)
            if len(self._frames) > FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(digest)
        frame.last = now
        times = frame.let_in
        if len(times) == MOST:
            if 0 <= now - times[0] <= WINDOW:
                return False
            del times[0]
        times.append(now)
        return True

    def tells(self, now: float) -> bool:
        """Tell whether somebody should hear of a loop now; then not again for a while."""
        if self._told is not None and 0 <= now - self._told < TELL:
            return False
        self._told = now
        return True
