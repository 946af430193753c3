"""`dedupe`: the same message, reported by two agents.

A copy has the same key within the window and comes from another agent, or from the same agent with
the same capture time. The same agent at another time saw a retransmission, which is no copy; nor
is, for want of a time, what one agent sends in HEP 1.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.fields import octets_of

if TYPE_CHECKING:
    from hepsw.config.configuration import Dedupe
    from hepsw.fields import Reading
    from hepsw.view import View

KEPT: Final = 1 << 17
"""Packets remembered by one rule: two seconds at 60,000 a second."""

Agent = tuple[bytes, int | None, bytes | None]
"""Address of the peer, capture id, name."""


class Seen(NamedTuple):
    """The last packet with a key that was kept."""

    agent: Agent
    time_us: int | None
    came: float
    number: int


class Copies:
    """What one rule remembers."""

    def __init__(self, settings: Dedupe, most: int = KEPT) -> None:
        self.settings = settings
        self.forgotten = 0
        """Packets that had to make room before the window was over."""
        self._most = most
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()

    def is_copy(self, view: View, now: float, number: int) -> bool:
        """Tell whether a packet is a copy; one that is none is remembered.

        Args:
            view: the packet.
            now: when it came.
            number: of the packet: one that meets the rule twice on its way is no copy of itself.
        """
        key = _digest(view, self.settings)
        packet = view.packet
        name = packet.node_name
        if name is not None:
            name = name.rstrip(b"\0")  # some agents end it with a NUL, as in every text
        agent = (view.peer.ip, packet.capture_id, name)
        time_us = packet.time_us
        before = self._seen.get(key)
        if (
            before is not None
            and 0 <= now - before.came <= self.settings.window_s
            and before.number != number
            and (agent != before.agent or (time_us is not None and time_us == before.time_us))
        ):
            return True
        self._seen[key] = Seen(agent, time_us, now, number)
        self._seen.move_to_end(key)
        self._forget(now)
        return False

    def _forget(self, now: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen.values()))
            over = now - oldest.came > self.settings.window_s
            if not over and len(self._seen) <= self._most:
                break
            self._seen.popitem(last=False)
            self.forgotten += not over


def _digest(view: View, settings: Dedupe) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for field in settings.key:
        reading: Reading = field.read(view)
        values = reading if isinstance(reading, tuple) else () if reading is None else (reading,)
        digest.update(b"%d:" % len(values))
        for value in values:
            octets = octets_of(value)
            # With its length in front, no two values run into each other.
            digest.update(b"%d:" % len(octets))
            digest.update(octets)
    return digest.digest()
