"""The packets of a call as a ladder: who took part, and each message once, in order.

`hepsw flow` gives it what a store holds of a call; the drawings (`text`, `mermaid`, `svg`,
`as_json`) take it from here. Pure, and linear in the number of packets but for sorting.

**Each message once.** Packets of several capture nodes with the same octets from the same to the
same address, within `SAME_US` by clocks that were compared (`sightings`), are one message that
several nodes saw. From one node they are retransmissions: marked, not merged.

**Order.** By capture time, less how far the clock of the node is ahead of the reference node's, the
one that reported most of the call. Clocks are never quite equal, so what cannot be is mended: a
reply stands behind its request, a request behind the one that it forwards (its second Via is the
topmost of that), a reply behind the one that it passes on. Who would stand too early, by `SAME_US`
at most, moves to a microsecond behind what it follows.

**Who took part.** An end of SIP is an address and a port. Over a connection (TCP, TLS) a port of
`EPHEMERAL` or more belongs to the call it makes, not to a service: it stands for the first end of
that host that has another port, or all of them for one. What is no SIP goes to the host's first
end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.fields.payload import call
from hepsw.recall.said import Said, said
from hepsw.recall.shown import end
from hepsw.recall.sightings import (
    SAME_US,
    Sightings,
    destination_ip,
    source_ip,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepsw.recall.sightings import Node, Sighting
    from hepsw.view import View

EPHEMERAL: Final = 32768
"""Where Linux starts with the ports that it gives to connections; others start later."""
UDP: Final = 17
_PASSES: Final = 8
"""Times that the order is mended: as many proxies in a row can have clocks that are wrong."""


class Seen(NamedTuple):
    """A node's sighting of a message."""

    node: int
    """Which of the ladder's nodes."""
    time_us: int
    """By that node's clock."""


@dataclass(slots=True)
class Message:
    """One message between two ends."""

    view: View
    said: Said
    time_us: int
    """When, by the clock of the reference node."""
    seen: tuple[Seen, ...]
    """Who saw it, the reference node first."""
    sender: int = 0
    receiver: int = 0
    """Which of the participants; the same where something is about one end."""
    leg: int = 0
    """Which of the legs; what is no SIP belongs to the leg that it names."""
    retransmission: int = 0
    """0 for the first time that it is sent."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """A call, ready to be drawn."""

    participants: tuple[str, ...]
    """In the order in which they first appear: `192.0.2.7:5060`."""
    messages: tuple[Message, ...]
    nodes: tuple[Node, ...]
    legs: tuple[bytes, ...]
    """Call-IDs, in the order in which they first appear."""
    repeated: int
    """Packets left out, because they were reported twice by the same node."""

    @property
    def start_us(self) -> int:
        """When its first message was sent."""
        return self.messages[0].time_us if self.messages else 0

    @property
    def duration_us(self) -> int:
        """From its first to its last message."""
        return self.messages[-1].time_us - self.start_us if self.messages else 0


def ladder(views: Iterable[View]) -> Ladder:
    """Return the ladder of a call.

    Args:
        views: all of its packets, those of all its legs, in any order.
    """
    sightings = Sightings(views)
    messages = _merged(sightings)
    _put_in_order(messages)
    _mark_retransmissions(messages)
    participants = _Participants(messages).assign()
    legs: dict[bytes, int] = {}
    for message in messages:
        if message.said.is_sip or not legs:
            message.leg = _leg(message, legs)
    for message in messages:
        if not message.said.is_sip:
            message.leg = legs.get(call(message.view) or b"", 0)
    return Ladder(
        participants=participants,
        messages=tuple(messages),
        nodes=tuple(sightings.nodes),
        legs=tuple(legs),
        repeated=sightings.repeated,
    )


def _leg(message: Message, legs: dict[bytes, int]) -> int:
    return legs.setdefault(call(message.view) or b"", len(legs))


# --- each message once ---


def _merged(sightings: Sightings) -> list[Message]:
    """Make one message of what several nodes saw of it."""
    found: list[Message] = []
    for alike in sightings.by_identity().values():
        by_node: dict[int, list[Sighting]] = {}
        for sighting in alike:
            by_node.setdefault(sighting.node, []).append(sighting)
        columns = sorted(by_node.values(), key=lambda column: -len(column))
        rows = [[sighting] for sighting in columns[0]]
        for column in columns[1:]:
            rows = _joined(rows, column, sightings)
        found += [_message(row, sightings) for row in rows]
    return found


def _joined(
    rows: list[list[Sighting]], column: list[Sighting], sightings: Sightings
) -> list[list[Sighting]]:
    """Put what a node saw beside what others saw of the same; both are in order of time."""

    def apart(row: list[Sighting], sighting: Sighting) -> int:
        return abs(sightings.corrected_us(row[0]) - sightings.corrected_us(sighting))

    if len(rows) == len(column) and all(
        apart(row, sighting) <= SAME_US for row, sighting in zip(rows, column, strict=True)
    ):
        for row, sighting in zip(rows, column, strict=True):
            row.append(sighting)
        return rows
    done: list[list[Sighting]] = []
    at = 0
    for sighting in column:
        # On to the row that is nearest; those that are passed, this node has not seen.
        while at < len(rows) and (
            sightings.corrected_us(rows[at][0]) < sightings.corrected_us(sighting) - SAME_US
            or (at + 1 < len(rows) and apart(rows[at + 1], sighting) < apart(rows[at], sighting))
        ):
            done.append(rows[at])
            at += 1
        if at < len(rows) and apart(rows[at], sighting) <= SAME_US:
            rows[at].append(sighting)
            done.append(rows[at])
            at += 1
        else:
            done.append([sighting])
    return done + rows[at:]


def _message(row: list[Sighting], sightings: Sightings) -> Message:
    """Make a message; it has the time of the reference node, if that saw it."""
    # The reference node first, then as they were heard first: the same on every line.
    row.sort(key=lambda sighting: (not _is_reference(sighting, sightings), sighting.node))
    has_reference = _is_reference(row[0], sightings)
    first = row[0] if has_reference else min(row, key=sightings.corrected_us)
    return Message(
        view=first.view,
        said=said(first.view),
        time_us=sightings.corrected_us(first),
        seen=tuple(Seen(sighting.node, sighting.time_us) for sighting in row),
    )


def _is_reference(sighting: Sighting, sightings: Sightings) -> bool:
    return sightings.nodes[sighting.node].known_by == "reference"


def _mark_retransmissions(messages: list[Message]) -> None:
    """Number what the same node saw before; messages are in order."""
    before: dict[tuple[object, ...], dict[int, int]] = {}
    for message in messages:
        if not message.said.is_sip:
            continue
        view = message.view
        ends = source_ip(view), view.packet.src_port, destination_ip(view), view.packet.dst_port
        times = before.setdefault((*ends, view.packet.payload), {})
        message.retransmission = max(times.get(seen.node, 0) for seen in message.seen)
        for seen in message.seen:
            times[seen.node] = message.retransmission + 1


# --- order ---


class _Hop(NamedTuple):
    """A message on one hop, as those that follow from it know it."""

    status: int | None
    branch: bytes
    transaction: tuple[bytes | None, int | None, bytes | None]


class _Place(NamedTuple):
    """Where a message stands among the hops of its transaction."""

    message: Message
    own: _Hop
    passed_on: _Hop | None
    """Of a reply, the hop on which whoever received it sends it on."""
    follows: tuple[_Hop, ...]
    """What it cannot stand before: the request that it answers or forwards."""


def _put_in_order(messages: list[Message]) -> None:
    """Sort, and move what stands before what it follows from."""
    messages.sort(key=lambda message: message.time_us)
    places = [place for place in map(_place, messages) if place is not None]
    for _ in range(_PASSES):
        sent: dict[_Hop, int] = {}
        received: dict[_Hop, int] = {}
        for message, own, passed_on, _follows in places:
            sent[own] = min(message.time_us, sent.get(own, message.time_us))
            if passed_on is not None:
                received[passed_on] = min(message.time_us, received.get(passed_on, message.time_us))
        moved = False
        for message, own, _passed_on, follows in places:
            times = [sent[hop] for hop in follows if hop in sent]
            if own in received:
                times.append(received[own])
            latest = max(times, default=message.time_us - 1)
            if message.time_us <= latest <= message.time_us + SAME_US:
                message.time_us = latest + 1
                moved = True
        if not moved:
            break
    messages.sort(key=lambda message: message.time_us)


def _place(message: Message) -> _Place | None:
    """Return where a message stands; None for what has no place among others."""
    sip = message.view.sip
    if sip is None or message.said.kind not in {"request", "reply"}:
        return None
    topmost, second = ([_branch(via) for via in sip.header(b"via")[:2]] + [b"", b""])[:2]
    if not topmost:
        return None
    transaction = sip.call_id, sip.cseq, sip.method
    below = _Hop(None, second, transaction) if second else None
    if message.said.kind == "request":
        own = _Hop(None, topmost, transaction)
        return _Place(message, own, None, () if below is None else (below,))
    passed_on = None if below is None else below._replace(status=sip.status)
    request = _Hop(None, topmost, transaction)
    return _Place(message, request._replace(status=sip.status), passed_on, (request,))


def _branch(via: bytes) -> bytes:
    """Return the branch of one Via; nothing where it has none."""
    lowered = via.lower()
    at = lowered.find(b";branch=")
    if at < 0:
        return b""
    return via[at + 8 :].partition(b";")[0].strip()


# --- who took part ---


@dataclass(slots=True)
class _Participants:
    """Gives each end of each message its column."""

    messages: list[Message]
    _columns: dict[tuple[bytes | None, int | None], int] = field(default_factory=dict)
    _hosts: dict[bytes | None, tuple[bytes | None, int | None]] = field(default_factory=dict)
    """For each host its first end with a port of its own choice."""

    def assign(self) -> tuple[str, ...]:
        for message in self.messages:
            if message.said.is_sip:
                for ip, port in _ends(message.view):
                    if not _is_passing(message.view, port):
                        self._hosts.setdefault(ip, (ip, port))
        for message in self.messages:
            sender, receiver = (self._column(message, *each) for each in _ends(message.view))
            message.sender = sender
            message.receiver = sender if message.said.is_note else receiver
        return tuple(end(ip, port) for ip, port in self._columns)

    def _column(self, message: Message, ip: bytes | None, port: int | None) -> int:
        key = ip, port
        if not message.said.is_sip:
            key = self._hosts.get(ip, (ip, None))
        elif _is_passing(message.view, port):
            # Without another end, the first of its ports is what the host is called by.
            key = self._hosts.setdefault(ip, key)
        return self._columns.setdefault(key, len(self._columns))


def _ends(
    view: View,
) -> tuple[tuple[bytes | None, int | None], tuple[bytes | None, int | None]]:
    packet = view.packet
    return (source_ip(view), packet.src_port), (destination_ip(view), packet.dst_port)


def _is_passing(view: View, port: int | None) -> bool:
    """Tell whether a port lasts no longer than its connection."""
    protocol = view.packet.ip_protocol
    return protocol not in (None, UDP) and port is not None and port >= EPHEMERAL
