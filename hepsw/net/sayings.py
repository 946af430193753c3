"""What is said of peers, said once: who breaks again and again must not fill the log."""

from __future__ import annotations

from typing import Final

AGAIN: Final = 60.0
"""Seconds after which the same is news again."""
MOST: Final = 64
"""Things said within that time."""


class Sayings:
    """Tells what was said already."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()
        self._since = 0.0

    def is_news(self, peer: str, what: str, now: float) -> bool:
        """Tell whether something is to be said of a peer, which it then is."""
        if now - self._since >= AGAIN:
            self._said.clear()
            self._since = now
        if (peer, what) in self._said or len(self._said) >= MOST:
            return False
        self._said.add((peer, what))
        return True
