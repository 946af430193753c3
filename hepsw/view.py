"""One packet as the rules see it: what it says, who brought it, when it came.

Everything a rule can ask is asked of a `View`. A view never changes: a rule that edits the packet
makes a new one, so an output that was named before the edit still holds what it was promised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hepsw.hep import Packet


@dataclass(slots=True)
class Peer:
    """Who sent us the HEP packet, and the socket it arrived on.

    Made once per sender or connection, not once per packet.
    """

    ip: bytes
    """Packed: 4 or 16 octets. A v4-mapped address is stored as the IPv4 address it is."""
    port: int
    transport: str
    """`udp` or `tcp`."""
    local_ip: bytes
    local_port: int
    listener: str
    """The listener's name in the configuration."""
    met: bool = field(default=False, compare=False)
    """True once a good packet of it was seen: the one thing here that changes."""


class View(NamedTuple):
    """A packet on its way through the tables.

    A tuple, because one is made for every packet and a frozen dataclass takes three times as long.
    """

    packet: Packet
    peer: Peer
    received_us: int
    """When hepsw read it from the socket, in microseconds since the epoch."""
