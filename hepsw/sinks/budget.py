"""How much all queues may hold together.

Compiled with `budget.pxd`, because `queue` counts every octet that waits.
"""

from __future__ import annotations


class Budget:
    """Octets that wait in memory, of all destinations together, and their limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Octets; no queue takes more when so many wait."""
        self.used = 0
        """Octets that wait now."""
