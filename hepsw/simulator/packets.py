"""From what a test gives to a packet that the switch can judge.

Chunks that are given stand in a real HEP frame. What is read out of a payload (`sip.…`, `rtcp.…`,
`vq.…`, `json.…`) is laid over what the payload says, so that a test names just what it is about:
nothing else is there. An edit of the payload takes what was laid over it away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hepsw import framefile
from hepsw.errors import EditError, PacketError
from hepsw.fields import JSON
from hepsw.hep import build, decode, edit, encode_v1, encode_v2
from hepsw.payload import SipMessage, canonical, parse_path
from hepsw.view import RTCP, SIP, Peer, View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hepsw.config.configuration import Configuration, Given, Listener
    from hepsw.fields import Field, Reading
    from hepsw.hep import ChunkKey, Packet
    from hepsw.payload import JsonPayload, RtcpReport, VqReport

START: Final = 1_767_225_600.0
"""When the first packet of a test comes, 2026-01-01T00:00:00Z: tests give the same every day."""

_PEER: Final = bytes([192, 0, 2, 1])
_LOCAL: Final = bytes([127, 0, 0, 1])
_ANY_PORT: Final = 9060

_LAID_OVER: Final = ("sip.", "rtcp.", "vq.", "json.", "geo.")

_NAMED_HEADERS: Final = {
    b"call-id": "call_id",
    b"user-agent": "user_agent",
    b"content-type": "content_type",
}
"""Headers that are fields of their own: given by one name, they are there by the other."""


class GivenError(Exception):
    """What is given makes no packet; the message says why."""


class GivenView(View):
    """A view of a packet that a test gives."""

    __slots__ = ("_geo", "_laid", "_over")

    def __init__(
        self,
        packet: Packet,
        peer: Peer,
        received_us: int,
        *,
        over: Mapping[str, Reading],
        geo: dict[str, Any] | None,
        resumed: bool = False,
    ) -> None:
        """Keep what is laid over.

        Args:
            packet: the frame.
            peer: who sent it.
            received_us: when it came.
            over: readings of fields by their names.
            geo: those of geo fields; None where the databases are asked.
            resumed: as for every view.
        """
        super().__init__(packet, peer, received_us, resumed=resumed)
        self._over = over
        self._geo = geo
        self._laid: dict[str, Any] = {}
        """What was laid over what was read, as with `View` until it is forgotten."""

    def forget(self) -> None:
        """Let go of what was read."""
        super().forget()
        self._laid.clear()

    def edited(self, packet: Packet) -> View:
        """Return the view after an edit; what lay over a payload that is gone is gone too."""
        over = self._over if packet.payload == self.packet.payload else {}
        geo = self._geo
        if geo is not None:
            moved = {
                end
                for end in ("src", "dst")
                if getattr(packet, f"{end}_address") != getattr(self.packet, f"{end}_address")
            }
            geo = {name: value for name, value in geo.items() if name.split(".")[1] not in moved}
        return GivenView(
            packet, self.peer, self.received_us, over=over, geo=geo, resumed=self.resumed
        )

    def as_sip(self) -> View:
        """Return the view with its payload read as SIP from now on."""
        return GivenView(
            self.packet, self.peer, self.received_us, over=self._over, geo=self._geo, resumed=True
        )

    def _of(self, group: str) -> dict[str, Any]:
        return {
            name.removeprefix(group): reading
            for name, reading in self._over.items()
            if name.startswith(group)
        }

    @property
    def sip(self) -> SipMessage | None:
        """What is given of SIP, laid over what the payload says."""
        if "sip" not in self._laid:
            read = super().sip
            given = self._of("sip.") if read is not None else {}
            self._laid["sip"] = GivenSip(read, given) if given else read
        return self._laid["sip"]  # type: ignore[no-any-return] # it answers alike

    @property
    def rtcp(self) -> RtcpReport | None:
        """What is given of RTCP, laid over the same."""
        if "rtcp" not in self._laid:
            read = super().rtcp
            given = self._of("rtcp.") if self.packet.proto_type == RTCP else {}
            self._laid["rtcp"] = GivenReport(read, given) if given else read
        return self._laid["rtcp"]  # type: ignore[no-any-return] # as above

    @property
    def vq(self) -> VqReport | None:
        """What is given of a vq-rtcpxr report."""
        if "vq" not in self._laid:
            given = self._of("vq.")
            self._laid["vq"] = GivenReport(super().vq, given) if given else super().vq
        return self._laid["vq"]  # type: ignore[no-any-return] # as above

    @property
    def json(self) -> JsonPayload | None:
        """What is given of JSON."""
        if "json" not in self._laid:
            given = {parse_path(path): value for path, value in self._of(JSON).items()}
            self._laid["json"] = GivenJson(super().json, given) if given else super().json
        return self._laid["json"]  # type: ignore[no-any-return] # as above

    @property
    def geo(self) -> dict[str, int | bytes] | None:
        """The geo fields that are given."""
        return self._geo


class GivenSip:
    """Answers as a `SipMessage` does: first what is given, then what follows from it."""

    def __init__(self, read: SipMessage | None, given: Mapping[str, Any]) -> None:
        self._read = read
        self._given = dict(given)
        for name, value in given.items():
            if name.startswith("header."):
                key = canonical(name.removeprefix("header.").encode("utf-8", "replace"))
                attribute = _NAMED_HEADERS.get(key or b"")
                if attribute is not None:
                    first = value[0] if isinstance(value, tuple) else value
                    self._given.setdefault(attribute, first)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a message answers
        if name in self._given:
            value = self._given[name]
            return value.decode() if name in {"kind", "verdict"} else value
        return getattr(self._read, name)

    @property
    def kind(self) -> str:
        """A reply where a status or reason is given, else a request."""
        if "kind" in self._given:
            return str(self._given["kind"].decode())
        return "reply" if self._given.keys() & {"status", "reason"} else "request"

    @property
    def verdict(self) -> str:
        """Nothing is wrong with what is given; a payload beside it speaks for itself."""
        return self._read.verdict if self._read is not None and self._read.kind != "none" else "ok"

    @property
    def ruri(self) -> bytes | None:
        """The URI, made of user and domain where both are given."""
        if "ruri" in self._given:
            return bytes(self._given["ruri"])
        user, domain = self._given.get("ruri_user"), self._given.get("ruri_domain")
        if user is not None and domain is not None:
            return b"sip:%s@%s" % (user, domain)
        return self._read.ruri if self._read is not None else None

    @property
    def ruri_user(self) -> bytes | None:
        """The user, read from the URI where that is given."""
        return self._of_uri("ruri_user")

    @property
    def ruri_domain(self) -> bytes | None:
        """The domain, read from the URI where that is given."""
        return self._of_uri("ruri_domain")

    def _of_uri(self, name: str) -> bytes | None:
        if name in self._given:
            return bytes(self._given[name])
        if "ruri" in self._given:
            message = SipMessage(b"INVITE %s SIP/2.0\r\n\r\n" % self._given["ruri"])
            found: bytes | None = getattr(message, name)
            return found
        read: bytes | None = getattr(self._read, name)
        return read

    def header(self, name: bytes | str) -> tuple[bytes, ...]:
        """Return the values that are given for a header, else those of the payload."""
        key = canonical(name.encode() if isinstance(name, str) else name)
        for given, value in self._given.items():
            if given.startswith("header."):
                its_key = canonical(given.removeprefix("header.").encode("utf-8", "replace"))
                if its_key == key:
                    return value if isinstance(value, tuple) else (value,)
        attribute = _NAMED_HEADERS.get(key or b"")
        if attribute in self._given:
            return (self._given[attribute],)
        return self._read.header(name) if self._read is not None else ()


class GivenReport:
    """Answers as a report does, first with what is given."""

    def __init__(self, read: object, given: Mapping[str, Any]) -> None:
        self._read = read
        self._given = given

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a report answers
        if name in self._given:
            return self._given[name]
        return getattr(self._read, name, None)


class GivenJson:
    """Answers as a `JsonPayload` does, first with what is given."""

    def __init__(self, read: JsonPayload | None, given: Mapping[tuple[str, ...], Any]) -> None:
        self._read = read
        self._given = given

    def value(self, path: str | tuple[str, ...]) -> bytes | int | float | None:
        """Return what stands at a path."""
        steps = parse_path(path) if isinstance(path, str) else path
        if steps in self._given:
            found: bytes | float = self._given[steps]
            return found
        return None if self._read is None else self._read.value(path)


def view_of(given: Given, configuration: Configuration, *, databases: bool = False) -> GivenView:
    """Return the view of a packet that is given.

    Args:
        given: its fields, or its frame.
        configuration: knows the listeners.
        databases: geo fields that are not given are looked up; otherwise they are missing.

    Raises:
        GivenError: it makes no packet.
    """
    readings = {field.name: reading for field, reading in given.readings}
    received_us = int((START + given.at_s) * 1_000_000)
    geo = {name: value for name, value in readings.items() if name.startswith("geo.")}
    return GivenView(
        _packet(given, received_us),
        _peer(readings, configuration),
        received_us,
        over={name: value for name, value in readings.items() if name.startswith(_LAID_OVER[:-1])},
        geo=None if databases and not geo else geo,
    )


def _packet(given: Given, received_us: int) -> Packet:
    try:
        if given.frame is not None:
            return decode(given.frame)
        if given.capture is not None:
            return decode(frame_of(*given.capture))
        return _built(given, received_us)
    except EditError as error:
        raise GivenError(f"no packet holds that: {error}") from None
    except PacketError as error:
        raise GivenError(f"not a HEP packet: {error}") from None


def frame_of(file: Path, number: int) -> bytes:
    """Return a frame of a capture, counted from 1.

    Raises:
        GivenError: the file cannot be read, or has fewer frames.
    """
    try:
        frames = framefile.read(file.read_bytes()).frames
    except OSError as error:
        raise GivenError(f"cannot read {file.name}: {error.strerror}") from None
    except PacketError as error:
        raise GivenError(f"{file.name}: {error}") from None
    if number > len(frames):
        raise GivenError(f"{file.name} has {len(frames)} HEP frames, and no number {number}")
    return frames[number - 1]


def _built(given: Given, received_us: int) -> Packet:
    version = 3
    values: dict[str, Any] = {}
    further: dict[str | ChunkKey, int | bytes | None] = {}
    own: list[str] = []
    names = set()
    for field, reading in given.readings:
        names.add(field.name.partition(".")[0])
        value = reading[0] if isinstance(reading, tuple) else reading
        if field.name == "hep_version":
            assert isinstance(value, int)  # noqa: S101 - that is its kind
            version = value
        elif isinstance(field.edit, str):
            values[field.edit] = value
        elif field.edit is not None:
            further[field.edit] = _octets(field, value)
            own.append(field.name)
    # Who gives what a SIP message says means a SIP message, unless he says otherwise.
    if "sip" in names:
        values.setdefault("proto_type", SIP)
    elif "rtcp" in names:
        values.setdefault("proto_type", RTCP)
    if version < 3:
        return _legacy(version, values, own, received_us)
    packet = build(**{"time": received_us, **values})
    return edit(packet, further, received_us) if further else packet


def _octets(field: Field, value: Reading) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(field.bits // 8)
    assert isinstance(value, bytes)  # noqa: S101 - chunks hold numbers or octets
    return value


def _legacy(
    version: int, values: Mapping[str, Any], own: Sequence[str], received_us: int
) -> Packet:
    """Return a HEP 1 or 2 packet, whose header has every field: what is not given is zero.

    Args:
        version: 1 or 2.
        values: of generic chunks.
        own: names of other chunks that are given.
        received_us: the time of capture, where that is not given.
    """
    if version == 0:
        raise GivenError("HEP is of version 1, 2 or 3")
    header = {
        "src_ip": values.get("src_ip", bytes(4)),
        "dst_ip": values.get("dst_ip", bytes(4)),
        "src_port": values.get("src_port", 0),
        "dst_port": values.get("dst_port", 0),
        "ip_protocol": values.get("ip_protocol", 17),
        "payload": values.get("payload", b""),
    }
    carried = {*header, "time", "capture_id"} if version == 2 else {*header}
    if values.get("proto_type") == SIP:
        carried.add("proto_type")  # as which the payload is read, whatever it is
    lost = sorted({*values.keys() - carried, *own})
    if lost:
        raise GivenError(f"HEP {version} does not carry {', '.join(lost)}")
    if version == 1:
        return decode(encode_v1(**header))
    time, capture_id = values.get("time", received_us), values.get("capture_id", 0)
    return decode(encode_v2(**header, time=time, capture_id=capture_id))


def _peer(readings: Mapping[str, Any], configuration: Configuration) -> Peer:
    listener = listener_of(readings.get("listener"), configuration)
    url = listener.url if listener is not None else None
    address = url.address if url is not None else None
    transport = readings.get("peer_transport", url.scheme.encode() if url is not None else b"udp")
    name = readings.get("peer_name")
    return Peer(
        ip=readings.get("peer_ip", _PEER),
        port=readings.get("peer_port", _ANY_PORT),
        transport=transport.decode(),
        local_ip=readings.get("local_ip", address.packed if address is not None else _LOCAL),
        local_port=readings.get("local_port", url.port if url is not None else _ANY_PORT),
        listener=listener.name if listener is not None else "",
        name=None if name is None else name.decode(),
    )


def listener_of(name: bytes | None, configuration: Configuration) -> Listener | None:
    """Return the listener of a name, the first one without; None where there is none."""
    for listener in configuration.listeners:
        if name is None or listener.name.encode() == name:
            return listener
    return None
