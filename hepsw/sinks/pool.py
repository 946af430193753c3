"""Which of a destination's several urls takes a packet.

Pure: the time is an argument, and whether a link stands is told. A link that breaks is out of the
choice at once, and comes back slowly: a collector that has just started, and one that comes and
goes, are not to meet the whole load at once. While none stands the choice is made all the same, so
the last one is never taken out: its packets wait for it.

- `failover`: the first url that stands; one that returned has to stand for `SLOW_RETURN` first.
- `hash`: packets with the same key go to the same url. Rendezvous hashing over the urls' texts: a
  url that leaves moves no packets but its own, and two switches with the same urls, in whatever
  order, agree.
- `round-robin`: one after the other.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOW_RETURN: Final = 10.0
"""Seconds in which the share of a url that returned grows from nothing to its whole."""
LEAST: Final = 0.02
"""The share that a url returns with: a packet now and then shows whether it works."""
_WORD: Final = 2**64
_MIXER: Final = 0x9E3779B97F4A7C15
"""An odd number with no pattern in its bits (2^64 over the golden ratio)."""


class Pool:
    """The urls of one destination, by their places in it."""

    def __init__(self, policy: str, urls: Sequence[str]) -> None:
        """Begin with all urls absent; the first time that one stands it takes its whole share.

        Args:
            policy: `failover`, `hash` or `round-robin`.
            urls: at least one.
        """
        self._policy = policy
        self._seeds = [_number(url.encode()) for url in urls]
        self._stands = [False] * len(urls)
        self._whole_at = [0.0] * len(urls)
        """When its share is whole again."""
        self._left = [False] * len(urls)
        """Whether it has stood before, and broke."""
        self._credits = [0.0] * len(urls)
        self._last = 0

    @property
    def stands(self) -> bool:
        """Whether any of them does."""
        return any(self._stands)

    def came_up(self, at: int, now: float) -> None:
        """Take a url into the choice, slowly where it has broken before."""
        self._stands[at] = True
        self._whole_at[at] = now + SLOW_RETURN if self._left[at] else now
        self._credits = [0.0] * len(self._credits)

    def went_down(self, at: int) -> None:
        """Take a url out of the choice."""
        self._left[at] = self._left[at] or self._stands[at]
        self._stands[at] = False

    def share(self, at: int, now: float) -> float:
        """Return what a url takes of its whole share, 0 to 1."""
        if not self._stands[at]:
            return 0.0
        missing = (self._whole_at[at] - now) / SLOW_RETURN
        return 1.0 if missing <= 0 else max(LEAST, 1.0 - missing)

    def choose(self, key: bytes | None, now: float) -> int:
        """Return the place of the url that takes a packet.

        Args:
            key: what `hash` keeps together; None where the packet lacks it, and goes where the
                next one of a round would.
            now: seconds, of the clock that `came_up` is told.
        """
        if self._policy == "failover":
            self._last = self._first(now)
        elif self._policy == "hash" and key is not None:
            return self._by_hash(key, now)
        else:
            self._last = self._next(now)
        return self._last

    def _first(self, now: float) -> int:
        shares = [self.share(at, now) for at in range(len(self._seeds))]
        for at, share in enumerate(shares):
            if share >= 1.0:
                return at
        return max(range(len(shares)), key=shares.__getitem__) if any(shares) else self._last

    def _next(self, now: float) -> int:
        """Return whose turn it is: each gains its share, and the richest pays for all."""
        shares = [self.share(at, now) for at in range(len(self._seeds))]
        total = sum(shares)
        if not total:
            return self._last
        credit = self._credits
        for at, share in enumerate(shares):
            credit[at] += share
        # One that does not stand keeps no credit, or it would be paid out all at once later.
        chosen = max((at for at, share in enumerate(shares) if share), key=credit.__getitem__)
        credit[chosen] -= total
        return chosen

    def _by_hash(self, key: bytes, now: float) -> int:
        number = _number(key)
        scores = [_mixed(number ^ seed) for seed in self._seeds]
        order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
        for at in order:
            share = self.share(at, now)
            # Which keys come back first has nothing to do with who wins them.
            if share >= 1.0 or (share and _mixed(scores[at]) < share * _WORD):
                return at
        for at in order:
            if self._stands[at]:
                return at
        return order[0]


def _number(octets: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(octets, digest_size=8).digest())


def _mixed(number: int) -> int:
    """Return 64 bits, each of which depends on all of the number's (splitmix64's last step)."""
    number = (number * _MIXER) % _WORD
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) % _WORD
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) % _WORD
    return number ^ (number >> 31)
