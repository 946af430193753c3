"""How often one rule matched: an account apart, because each packet writes into one.

Compiled with `rule_account.pxd`, where its numbers are numbers of C. Everything else about accounts
is in `accounting`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


class RuleAccount:
    """What one rule did."""

    __slots__ = ("_dropped", "_edits_refused", "last_us", "no_numbers", "octets", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.octets = 0
        self.last_us = 0
        """When it last matched, in microseconds since the epoch; 0 for never."""
        # Few rules ever need these two. With thousands of rules, the accounts lie closer together
        # without.
        self._edits_refused: Counter[str] | None = None
        self._dropped: Counter[str] | None = None
        self.no_numbers = 0
        """Values of its `observe` that were no numbers."""

    @property
    def edits_refused(self) -> Counter[str]:
        """Edits that came out empty, did not fit their chunk, or made the packet too big."""
        if self._edits_refused is None:
            self._edits_refused = Counter()
        return self._edits_refused

    @property
    def dropped(self) -> Counter[str]:
        """Packets that its `dedupe` or `limit` dropped, by reason; they are among `packets`."""
        if self._dropped is None:
            self._dropped = Counter()
        return self._dropped

    def as_dict(self) -> dict[str, Any]:
        """Return every counter by its name, as plain values."""
        return {
            "packets": self.packets,
            "octets": self.octets,
            "last_us": self.last_us,
            "edits_refused": _by_word(self._edits_refused),
            "dropped": _by_word(self._dropped),
            "no_numbers": self.no_numbers,
        }


def _by_word(counter: Counter[str] | None) -> dict[str, int]:
    """Return a counter with plain words as keys: a `Reason` is one, but no writer of JSON knows."""
    return {str(reason): number for reason, number in counter.items()} if counter else {}
