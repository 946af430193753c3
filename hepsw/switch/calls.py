"""`scope`: which calls and transactions a rule has matched, so that it matches them again.

One table for all rules, by call. A call is kept so long after its last packet, and the table is
bounded: when it is full, the call that was silent for longest is forgotten.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

CALLS: Final = 1 << 18
"""Calls remembered at once: 36 new ones a second, kept for two hours."""
HOLDS: Final = 64
"""What is held of one call; what matched longest ago goes first. A Call-ID that a phone registers
with for weeks makes no more."""
LONG: Final = 64
"""Octets of a Call-ID that are kept as they are; of a longer one, a digest is."""

Hold = tuple[str, int]
"""A rule, and the CSeq number of the transaction; -1 for the whole call."""


class Call:
    """One call."""

    __slots__ = ("holds", "last")

    def __init__(self, now: float) -> None:
        self.last = now
        self.holds: dict[Hold, None] = {}


class Calls:
    """All calls that some rule holds."""

    def __init__(self, ttl_s: float, most: int = CALLS) -> None:
        self.ttl_s = ttl_s
        self.forgotten = 0
        """Calls that had to make room before their time."""
        self._most = most
        self._calls: OrderedDict[bytes, Call] = OrderedDict()
        """The one with the oldest last packet comes first."""

    def __len__(self) -> int:
        return len(self._calls)

    def touch(self, call: bytes, now: float) -> None:
        """Note that a packet of a call came; a call whose time is over is forgotten."""
        if self._calls:
            self._touched(_key(call), now)

    def _touched(self, key: bytes, now: float) -> Call | None:
        known = self._calls.get(key)
        if known is None:
            return None
        if now - known.last > self.ttl_s:
            del self._calls[key]
            return None
        known.last = max(known.last, now)
        self._calls.move_to_end(key)
        return known

    def is_held(self, call: bytes, hold: Hold, now: float) -> bool:
        """Tell whether a rule matched the call, or its transaction, before."""
        known = self._calls.get(_key(call)) if self._calls else None
        return known is not None and hold in known.holds and now - known.last <= self.ttl_s

    def hold(self, call: bytes, hold: Hold, now: float) -> None:
        """Remember that a rule matched."""
        key = _key(call)
        # An edit may have made it another call than the one that entered the table.
        known = self._touched(key, now)
        if known is None:
            self._make_room(now)
            known = self._calls[key] = Call(now)
        known.holds.pop(hold, None)
        known.holds[hold] = None
        if len(known.holds) > HOLDS:
            del known.holds[next(iter(known.holds))]

    def _make_room(self, now: float) -> None:
        """Forget the calls whose time is over, two for each that comes, and one if it is full."""
        for _ in range(2):
            oldest = next(iter(self._calls.values()), None)
            if oldest is None or now - oldest.last <= self.ttl_s:
                break
            self._calls.popitem(last=False)
        if len(self._calls) >= self._most:
            self._calls.popitem(last=False)
            self.forgotten += 1


def _key(call: bytes) -> bytes:
    return call if len(call) <= LONG else hashlib.blake2b(call, digest_size=LONG).digest()
