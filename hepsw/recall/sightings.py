"""A stored packet as one capture node's sighting of one message, and how far nodes' clocks differ.

Two agents that watch the same call report the same message twice, each by its own clock. `ladder`
makes one arrow of both. Here stands what it needs for that: which message a packet is, by its
octets and addresses; which node saw it, and when by that node's clock; and what has to be taken off
that time so that it can be compared with the others'.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from hepsw.recall.shown import address, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepsw.view import View

SAME_US: Final = 3_000_000
"""Sightings of one message by two nodes are within this time, once their clocks are known."""
COARSE_US: Final = 1_000_000
"""Clocks are compared by arrival only where they differ by more: below that it measures the way."""
MOST_NODES: Final = 64
"""Nodes told apart in one ladder; the packets of all others count as one node's."""

Identity = tuple[object, ...]

Item = TypeVar("Item")


class NodeKey(NamedTuple):
    """What tells capture nodes apart."""

    peer_ip: bytes
    capture_id: int | None
    name: bytes


class Node(NamedTuple):
    """A capture node, and what is known of its clock."""

    name: str
    """Its name, else its capture id, else the address it spoke from."""
    capture_id: int | None
    peer: str
    """The address it spoke from."""
    packets: int
    skew_us: int
    """How far its clock is ahead of the reference node's; 0 for that one."""
    known_by: str
    """How that is known: `reference`, `shared` messages, `arrival`, or `nothing`."""
    late_us: int
    """From capture, by its clock, to arrival, by ours: the median."""


@dataclass(slots=True)
class Sighting:
    """One packet."""

    view: View
    node: int
    """Which of the nodes saw it."""
    time_us: int
    """When, by the node's clock; where it does not say, when the packet arrived."""
    identity: Identity
    """The same for every sighting of a message and of its retransmissions."""


def plain_ip(packed: bytes | None) -> bytes | None:
    """Return an address, a v4-mapped one as the IPv4 address it is."""
    if packed is not None and len(packed) == 16 and packed.startswith(b"\0" * 10 + b"\xff\xff"):
        return packed[12:]
    return packed


def source_ip(view: View) -> bytes | None:
    """Return where a captured packet came from."""
    return plain_ip(view.packet.src_address)


def destination_ip(view: View) -> bytes | None:
    """Return where a captured packet went."""
    return plain_ip(view.packet.dst_address)


def node_key(view: View) -> NodeKey:
    """Return which node sent a packet."""
    name = (view.packet.node_name or b"").rstrip(b"\0")
    return NodeKey(view.peer.ip, view.packet.capture_id, name)


def node_name(key: NodeKey) -> str:
    """Return what a node is called."""
    if key.name:
        return shown(key.name, 32)
    return address(key.peer_ip) if key.capture_id is None else str(key.capture_id)


def identity_of(view: View) -> Identity:
    """Return what tells a message from all others: what it says, from where to where."""
    packet = view.packet
    sip = view.sip
    # Some agents leave a NUL or a line end behind the message, others do not.
    said = packet.payload if sip is None or sip.kind == "none" else sip.message
    return (
        source_ip(view),
        destination_ip(view),
        packet.src_port,
        packet.dst_port,
        said if said is not None else packet.payload,
        packet.proto_type,
    )


class Sightings:
    """All packets of a call, by node, every packet once."""

    def __init__(self, views: Iterable[View]) -> None:
        self.all: list[Sighting] = []
        self.repeated = 0
        """Packets left out: the same node had reported the message at the same time already. So
        come those that a connection lost and sent again."""
        self._keys: list[NodeKey] = []
        self._read(views)
        self.nodes = self._compared()

    def corrected_us(self, sighting: Sighting) -> int:
        """Return when it was by the reference node's clock."""
        return sighting.time_us - self.nodes[sighting.node].skew_us

    def by_identity(self) -> dict[Identity, list[Sighting]]:
        """Return the sightings of each message with those of its retransmissions, by time."""
        found: dict[Identity, list[Sighting]] = defaultdict(list)
        for sighting in self.all:
            found[sighting.identity].append(sighting)
        return found

    def _read(self, views: Iterable[View]) -> None:
        numbers: dict[NodeKey, int] = {}
        seen: set[tuple[int, int, Identity]] = set()
        for view in views:
            key = node_key(view)
            node = numbers.setdefault(key, min(len(numbers), MOST_NODES))
            if node == len(self._keys):
                self._keys.append(key)
            time_us = view.packet.time_us
            if time_us is None:
                time_us = view.received_us
            identity = identity_of(view)
            same = node, time_us, identity
            if same in seen:
                self.repeated += 1
                continue
            seen.add(same)
            self.all.append(Sighting(view, node, time_us, identity))
        self.all.sort(key=lambda sighting: sighting.time_us)

    # --- clocks ---

    def _compared(self) -> list[Node]:
        packets = Counter(sighting.node for sighting in self.all)
        late = {
            node: median_low(each)
            for node, each in _grouped(
                (sighting.node, sighting.view.received_us - sighting.time_us)
                for sighting in self.all
            ).items()
        }
        ahead = self._differences(packets)
        # Who reported most of the call is the reference; among equals, whose clock is about ours.
        order = sorted(
            packets, key=lambda node: (-packets[node], abs(late[node]) // COARSE_US, node)
        )
        skews: dict[int, tuple[int, str]] = {}
        for root in order:
            if root in skews:
                continue
            skews[root] = self._apart(late, order[0], root)
            waiting = [root]
            for node in waiting:
                for other, differences in ahead.get(node, {}).items():
                    if other not in skews:
                        skews[other] = skews[node][0] + median_low(differences), "shared"
                        waiting.append(other)
        return [
            Node(
                name=node_name(key) if number < MOST_NODES else "others",
                capture_id=key.capture_id,
                peer=address(key.peer_ip),
                packets=packets[number],
                skew_us=skews[number][0],
                known_by=skews[number][1],
                late_us=late[number],
            )
            for number, key in enumerate(self._keys)
        ]

    @staticmethod
    def _apart(late: dict[int, int], reference: int, node: int) -> tuple[int, str]:
        """Return how far a node is ahead that shares no message with the reference."""
        if node == reference:
            return 0, "reference"
        ahead = late[reference] - late[node]
        return (ahead, "arrival") if abs(ahead) > COARSE_US else (0, "nothing")

    def _differences(self, packets: Counter[int]) -> dict[int, dict[int, list[int]]]:
        """Return by how much each node was later than each other at the messages they share.

        Of each message all nodes are compared with one of them, so the work is linear.
        """
        found: dict[int, dict[int, list[int]]] = {}
        for sightings in self.by_identity().values():
            by_node = _grouped((sighting.node, sighting) for sighting in sightings)
            if len(by_node) < 2:
                continue
            hub = max(by_node, key=lambda node: (packets[node], -node))
            for node, others in by_node.items():
                # A message that was sent again is told apart only if both saw it as often.
                if node == hub or len(others) != len(by_node[hub]):
                    continue
                for one, other in zip(by_node[hub], others, strict=True):
                    if is_near(one, other):
                        later = other.time_us - one.time_us
                        found.setdefault(hub, {}).setdefault(node, []).append(later)
                        found.setdefault(node, {}).setdefault(hub, []).append(-later)
        return found


def is_near(one: Sighting, other: Sighting) -> bool:
    """Tell whether two packets were captured, or have arrived, at about the same time."""
    return (
        abs(one.time_us - other.time_us) <= SAME_US
        or abs(one.view.received_us - other.view.received_us) <= SAME_US
    )


def _grouped(pairs: Iterable[tuple[int, Item]]) -> dict[int, list[Item]]:
    found: dict[int, list[Item]] = {}
    for number, item in pairs:
        found.setdefault(number, []).append(item)
    return found
