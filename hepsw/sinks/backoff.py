"""How long to wait before trying again."""

from __future__ import annotations

import random
from typing import Final

FIRST: Final = 0.1
LONGEST: Final = 5.0
HEALTHY: Final = 10.0
"""Seconds that a connection must hold before its next break is treated as a first one."""


class BackOff:
    """Doubles from 0.1 s to 5 s, with jitter: a thousand switches must not come back as one.

    Args:
        longest: seconds, instead of the 5.
    """

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._tries = 0

    def next(self) -> float:
        """Return the seconds to wait now."""
        ceiling: float = min(self._longest, FIRST * 2.0**self._tries)
        self._tries = min(self._tries + 1, 16)
        return random.uniform(ceiling / 10, ceiling)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Begin again with short waits."""
        self._tries = 0
