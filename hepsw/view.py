"""One packet as the rules see it: what it says, who brought it, when it came.

Everything a rule can ask is asked of a `View`. What it says never changes: a rule that edits the
packet makes a new view, so an output that was named before the edit still holds what it was
promised. What the payload says is read when somebody first asks, and once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hepsw.payload import JsonPayload, RtcpReport, SipMessage, VqReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.hep.packet import Packet

Reader = TypeVar("Reader")

SIP: Final = 1
RTCP: Final = 5
"""Payload types that decide how the payload is read."""


@dataclass(slots=True)
class Peer:
    """Who sent us the HEP packet, and the socket it arrived on.

    Made once per sender or connection, not once per packet.
    """

    ip: bytes
    """Packed: 4 or 16 octets. A v4-mapped address is stored as the IPv4 address it is."""
    port: int
    transport: str
    """`udp`, `tcp` or `tls`."""
    local_ip: bytes
    local_port: int
    listener: str
    """The listener's name in the configuration."""
    name: str | None = None
    """Who the client certificate says it is; None without one."""
    heard: bool = field(default=True, compare=False)
    """False if the listener's `from` leaves it out: nothing of it is looked at."""
    met: bool = field(default=False, compare=False)
    """True once a good packet of it was seen: the one thing here that changes."""


class View:
    """A packet on its way through the tables.

    A plain class with slots, because one is made for every packet: a frozen dataclass takes three
    times as long to make. The switch makes it by `View.__new__(View)` and `begin`: compiled, that
    is a tenth of the price of a constructor.
    """

    __slots__ = ("_read", "packet", "peer", "received_us", "resumed")

    packet: Packet
    peer: Peer
    received_us: int
    """When hepsw read it from the socket, in microseconds since the epoch."""
    resumed: bool
    """Whether a rule said to read the payload as SIP, whatever its type."""
    _read: dict[str, Any] | None
    """What was read in the payload; nothing until somebody asks: most packets are judged by their
    chunks alone."""

    def __init__(
        self, packet: Packet, peer: Peer, received_us: int, *, resumed: bool = False
    ) -> None:
        self.begin(packet, peer, received_us)
        self.resumed = resumed

    def begin(self, packet: Packet, peer: Peer, received_us: int) -> None:
        """Become the view of a packet as it came."""
        self.packet = packet
        self.peer = peer
        self.received_us = received_us
        self.resumed = False
        self._read = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, View):
            return NotImplemented
        return (self.packet, self.peer, self.received_us, self.resumed) == (
            other.packet,
            other.peer,
            other.received_us,
            other.resumed,
        )

    __hash__ = None  # type: ignore[assignment] # as with every value that compares by what it holds

    def __repr__(self) -> str:
        return f"View({self.packet!r}, {self.peer!r}, {self.received_us})"

    def edited(self, packet: Packet) -> View:
        """Return the view of the packet after an edit."""
        view = View.__new__(View)
        view.begin(packet, self.peer, self.received_us)
        view.resumed = self.resumed
        return view

    def as_sip(self) -> View:
        """Return the view with its payload read as SIP from now on."""
        view = View.__new__(View)
        view.begin(self.packet, self.peer, self.received_us)
        view.resumed = True
        return view

    def forget(self) -> None:
        """Let go of what was read, inflated payload included: it can be read again."""
        self.packet.forget_payload()
        self._read = None

    # --- what the payload says -------------------------------------------------------------------

    def _once(self, name: str, read: Callable[[], Reader | None]) -> Reader | None:
        """Return what a reader of the payload says, made when it is first asked for."""
        if self._read is None:
            self._read = {}
        if name not in self._read:
            self._read[name] = read()
        found: Reader | None = self._read[name]
        return found

    @property
    def sip(self) -> SipMessage | None:
        """The payload as SIP; None where it is not read as such."""
        return self._once("sip", self._read_sip)

    @property
    def rtcp(self) -> RtcpReport | None:
        """The payload as RTCP in JSON; None where its type is another."""
        return self._once("rtcp", self._read_rtcp)

    @property
    def vq(self) -> VqReport | None:
        """The body of a SIP message, or else the payload, as a vq-rtcpxr report."""
        return self._once("vq", self._read_vq)

    @property
    def json(self) -> JsonPayload | None:
        """The payload as JSON."""
        return self._once("json", self._read_json)

    @property
    def geo(self) -> dict[str, int | bytes] | None:
        """Geo fields that are known without a database; None: they are looked up."""
        return None

    def _read_sip(self) -> SipMessage | None:
        packet = self.packet
        if not self.resumed and (packet.proto_type != SIP or self._is_json_in_legacy()):
            return None
        return SipMessage(packet.payload or b"")

    def _read_rtcp(self) -> RtcpReport | None:
        if self.packet.proto_type != RTCP and not self._is_json_in_legacy():
            return None
        payload = self.packet.payload
        return None if payload is None else RtcpReport(payload)

    def _read_vq(self) -> VqReport | None:
        sip = self.sip
        # A report alone may travel as SIP too: by a type that says so, or after `resume`.
        is_message = sip is not None and sip.kind in {"request", "reply"}
        text = sip.body if sip is not None and is_message else self.packet.payload
        return None if text is None else VqReport(text)

    def _read_json(self) -> JsonPayload | None:
        payload = self.packet.payload
        return None if payload is None else JsonPayload(payload)

    def _is_json_in_legacy(self) -> bool:
        # HEP 1 and 2 do not say what they carry; agents put RTCP as JSON into them too.
        packet = self.packet
        return packet.version < 3 and (packet.payload or b"").startswith(b"{")
