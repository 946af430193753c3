"""The marks of the last packets, as the plain build keeps them; `_recent` is the compiled twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hepsw.hep.packet import Packet

FIRST: Final = 36
LAST: Final = 100
"""The octets of a frame that make its mark: from the first on, before the last. The capture time is
among them in what every agent writes whose packets are known to us, with IPv6 too, and mostly the
payload type, the capture id and one or both addresses."""
WINDOW: Final = 10.0
"""Seconds in which a frame that comes again counts."""
KEPT: Final = 4096
"""Marks kept at least; at most, twice as many. With more of them the caches hold them no longer."""


class Recent:
    """What came lately, by mark."""

    def __init__(self) -> None:
        self._met: dict[bytes, float] = {}
        self._before: dict[bytes, float] = {}
        """The last ones before those."""

    def again(self, packets: list[Packet], now: float) -> list[tuple[int, float]] | None:
        """Note packets.

        Returns:
            Of those whose mark came within the window, the position and when it came last; None
            where there are none.
        """
        found: list[tuple[int, float]] | None = None
        met, old = self._met, self._before
        for at, packet in enumerate(packets):
            mark = packet.data[36:100]  # FIRST and LAST: as constants they cost nothing
            if mark in met or mark in old:
                before = met[mark] if mark in met else old[mark]
                if 0 <= now - before <= WINDOW:
                    if found is None:
                        found = []
                    found.append((at, before))
            met[mark] = now
        if len(met) >= KEPT:
            self._before, self._met = met, {}
        return found
