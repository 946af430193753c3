"""A list of calls, made while packets go by once, in bounded memory.

`hepsw calls` puts every packet of a time to `Calls.add`. Each call keeps a few facts and no packet;
legs that share a correlation id are one call. What is kept is bounded in every direction: calls,
ids of a call, names of whatever a call has several of. The oldest are forgotten first, and counted.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hepsw.fields import time_text
from hepsw.recall.legs import MOST_LEGS, ids_of
from hepsw.recall.shown import shown
from hepsw.recall.sightings import destination_ip, node_key, node_name, source_ip

if TYPE_CHECKING:
    from collections.abc import Hashable

    from hepsw.payload import SipMessage
    from hepsw.view import View

MOST_CALLS: Final = 50_000
"""Calls kept at most: about 100 MiB of ordinary ones. Only ids as long and as many as they may be,
in every one of them, make it 30 times as much."""
MOST_NAMES: Final = 64
"""Participants, or capture nodes, told apart in one call."""
LONGEST_ID: Final = 1024
"""Octets of an id that are kept."""

_RINGING: Final = frozenset({180, 181, 182, 183})
_ASKING: Final = frozenset({401, 407})
"""Who are you? The request comes again."""


@dataclass(slots=True)
class Call:
    """What is kept of a call."""

    ids: dict[bytes, None] = field(default_factory=dict)
    """Its Call-IDs and correlation ids."""
    legs: dict[bytes, None] = field(default_factory=dict)
    """Those that are Call-IDs, in the order in which they appeared."""
    start_us: int = 0
    end_us: int = 0
    packets: int = 0
    method: str = ""
    """Of its first request."""
    source: str = ""
    """The user of From in that request, or its domain."""
    target: str = ""
    """Likewise of To."""
    status: int | None = None
    """Of the last reply to that method."""
    reason: str = ""
    progress: int = 0
    """How far it came; see `state`."""
    participants: set[Hashable] = field(default_factory=set)
    nodes: dict[str, None] = field(default_factory=dict)
    loss_pct: float | None = None
    jitter_ms: float | None = None
    matched: bool = False

    @property
    def state(self) -> str:
        """One word for where it stands.

        `sent`, no reply yet; `trying`; `ringing`; of an INVITE `answered`, `ended` by BYE or
        `cancelled`; `failed`; of anything else `done`; `report`, where there is no SIP at all.
        """
        if not self.method and self.status is None:
            return "report"
        if self.method not in {"INVITE", ""} and self.status is not None and self.status >= 200:
            return "done" if self.status < 300 else "failed"
        return _STATES[self.progress]

    @property
    def duration_us(self) -> int:
        """From its first to its last packet within the time that was looked at."""
        return self.end_us - self.start_us

    def add(self, view: View, time_us: int) -> None:
        """Take a packet of the call."""
        self.start_us = time_us if not self.packets else min(self.start_us, time_us)
        self.end_us = time_us if not self.packets else max(self.end_us, time_us)
        self.packets += 1
        if len(self.nodes) < MOST_NAMES:
            self.nodes[node_name(node_key(view))] = None
        sip = view.sip
        if sip is not None:
            self._sip(view, sip)
            return
        report = view.rtcp
        if report is not None:
            self.loss_pct = _worse(self.loss_pct, report.loss_pct)
            self.jitter_ms = _worse(self.jitter_ms, report.jitter_ms)

    def _sip(self, view: View, sip: SipMessage) -> None:
        packet = view.packet
        for end in (
            (source_ip(view), packet.src_port),
            (destination_ip(view), packet.dst_port),
        ):
            if len(self.participants) < MOST_NAMES:
                self.participants.add(end)
        call_id = sip.call_id
        if call_id and len(self.legs) < MOST_LEGS:
            self.legs[call_id[:LONGEST_ID]] = None
        method = shown(sip.method, 32)
        if sip.kind == "request":
            if not self.method:
                self.method = method
                self.source = shown(sip.from_user or sip.from_domain, 64)
                self.target = shown(sip.to_user or sip.to_domain, 64)
            if method in _REQUESTS:
                self.progress = max(self.progress, _REQUESTS[method])
        elif sip.kind == "reply" and sip.status is not None:
            self._reply(sip.status, method, shown(sip.reason, 48))

    def _reply(self, status: int, method: str, reason: str) -> None:
        if self.method and method != self.method:
            return
        # Of a call that is being set up the furthest counts; of all else the last.
        before = 0 if method != "INVITE" or self.status in _ASKING else self.status or 0
        if before >= 200 > status or 200 <= before < 300 <= status:
            return
        self.status, self.reason = status, reason
        if method != "INVITE":
            return
        if status in _RINGING:
            step = _RING
        elif status < 200 or status in _ASKING:
            step = _TRY
        elif status < 300:
            step = _ANSWER
        else:
            step = _FAIL
        self.progress = max(self.progress, step)

    def join(self, other: Call) -> None:
        """Take over what another call has: they turned out to be legs of one."""
        first, second = (self, other) if self.start_us <= other.start_us else (other, self)
        self.method, self.source, self.target = (
            (first.method, first.source, first.target)
            if first.method
            else (second.method, second.source, second.target)
        )
        told = first if first.status is not None else second
        self.status, self.reason = told.status, told.reason
        self.legs = dict([*first.legs.items(), *second.legs.items()][:MOST_LEGS])
        self.nodes = dict([*first.nodes.items(), *second.nodes.items()][:MOST_NAMES])
        self.progress = max(self.progress, other.progress)
        for one in other.participants:
            if len(self.participants) < MOST_NAMES:
                self.participants.add(one)
        self.start_us = min(self.start_us, other.start_us)
        self.end_us = max(self.end_us, other.end_us)
        self.packets += other.packets
        self.loss_pct = _worse(self.loss_pct, other.loss_pct)
        self.jitter_ms = _worse(self.jitter_ms, other.jitter_ms)
        self.matched |= other.matched
        self.ids.update(other.ids)

    def as_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold; keys are a stable interface."""
        return {
            "call": shown(self.name, LONGEST_ID),
            "legs": [shown(leg, LONGEST_ID) for leg in self.legs],
            "start": time_text(self.start_us),
            "duration_us": self.duration_us,
            "method": self.method or None,
            "from": self.source or None,
            "to": self.target or None,
            "state": self.state,
            "status": self.status,
            "reason": self.reason or None,
            "packets": self.packets,
            "participants": len(self.participants),
            "nodes": list(self.nodes),
            "loss_pct": self.loss_pct,
            "jitter_ms": self.jitter_ms,
        }

    @property
    def name(self) -> bytes:
        """What `hepsw flow` finds it by: its first Call-ID, or else its first id."""
        return next(iter(self.legs or self.ids), b"")


class Calls:
    """The calls of a time."""

    def __init__(self, most: int = MOST_CALLS) -> None:
        self._most = most
        self._by_id: dict[bytes, Call] = {}
        self._calls: OrderedDict[int, Call] = OrderedDict()
        """Those that had a packet last stand last."""
        self.packets = 0
        self.nameless = 0
        """Packets that belong to no call: they carry neither Call-ID nor correlation id."""
        self.forgotten = 0
        """Calls left out because there were more than can be kept."""

    def add(self, view: View, *, matches: bool) -> None:
        """Take a packet.

        Args:
            view: the packet, whichever call it belongs to.
            matches: whether its call is to be listed.
        """
        self.packets += 1
        ids = [id_[:LONGEST_ID] for id_ in ids_of(view)]
        if not ids:
            self.nameless += 1
            return
        time_us = view.packet.time_us
        call_ = self._of(ids)
        call_.add(view, view.received_us if time_us is None else time_us)
        call_.matched |= matches
        self._calls.move_to_end(id(call_))
        if len(self._calls) > self._most:
            _, oldest = self._calls.popitem(last=False)
            for id_ in oldest.ids:
                del self._by_id[id_]
            self.forgotten += oldest.matched

    def listed(self) -> list[Call]:
        """Return the calls that are to be listed, by their start."""
        found = [call_ for call_ in self._calls.values() if call_.matched]
        return sorted(found, key=lambda call_: call_.start_us)

    def _of(self, ids: list[bytes]) -> Call:
        first, *further = ids
        call_ = self._by_id.get(first)
        if call_ is None:
            joined = self._by_id.get(further[0]) if further else None
            # An id that all calls share must not make one call of them.
            if joined is not None and len(joined.ids) < MOST_LEGS:
                call_ = joined
            else:
                call_ = Call()
                self._calls[id(call_)] = call_
            self._name(call_, first)
        for id_ in further:
            other = self._by_id.get(id_)
            if other is None:
                if len(call_.ids) < MOST_LEGS:
                    self._name(call_, id_)
            elif other is not call_ and len(call_.ids) + len(other.ids) <= MOST_LEGS:
                call_.join(other)
                del self._calls[id(other)]
                self._by_id.update(dict.fromkeys(other.ids, call_))
        return call_

    def _name(self, call_: Call, id_: bytes) -> None:
        call_.ids[id_] = None
        self._by_id[id_] = call_


_SENT, _TRY, _RING, _FAIL, _CANCEL, _ANSWER, _END = range(7)
_STATES: Final = ("sent", "trying", "ringing", "failed", "cancelled", "answered", "ended")
_REQUESTS: Final = {"CANCEL": _CANCEL, "BYE": _END}
"""What requests say of a call; the furthest step counts."""


def _worse(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)
