"""The field catalogue: every name that a rule can match, set or print.

One row per field: its kind, what it means, how it is read from a `View`, which chunk holds it and
what else is read from the same octets. Validation, the compiler, templates and `man/hepsw-fields.7`
are all made from this table, so a field that is added here exists everywhere at once.

Values inside hepsw are plain: int for numbers, times (microseconds since the epoch) and MAC
addresses; packed octets (4 or 16) for IP addresses; bytes for texts and octets. A field that the
packet lacks reads as None, one with several values as a tuple.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from hepsw.hep import GENERIC, PROTO_TYPE_NAMES, PROTO_TYPES, ChunkKey, ChunkType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hepsw.view import View

Value = int | bytes
Reading = Value | tuple[Value, ...] | None

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(Enum):
    """What sort of value a field has, and so which forms an operator may write for it."""

    NUMBER = "number"
    IP = "ip"
    TEXT = "text"
    """Octets that people read; NULs at their end do not count."""
    OCTETS = "octets"
    TIME = "time"
    MAC = "mac"


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the catalogue."""

    name: str
    kind: Kind
    doc: str
    """One sentence for the man page."""
    read: Callable[[View], Reading]
    bits: int = 0
    """Width of a number; 0 where the field is none."""
    most: int = 0
    """The largest number that means anything, where that is less than the width allows."""
    words: tuple[str, ...] = ()
    """All that a text can be, where that is known."""
    octets: int = 0
    """Octets that a chunk of the operator's own must have; 0 for any number."""
    key: ChunkKey | None = None
    """The chunk that holds the field; None for fields that are no single chunk."""
    edit: str | ChunkKey | None = None
    """What `hepsw.hep.edit` calls it; None where it cannot be set."""
    derived_from: frozenset[str] = frozenset()
    """Fields whose edit changes this one."""
    names: Mapping[str, int] | None = None
    """Words an operator may write for a number, upper case."""

    @property
    def largest(self) -> int:
        """The largest number that the field holds."""
        return self.most or (1 << self.bits) - 1

    def parse(self, text: str) -> Value:
        """Read one value as an operator writes it in TOML or a template makes it.

        Raises:
            ValueError: with a message that says what the text is not.
        """
        match self.kind:
            case Kind.IP:
                return _parse_ip(text)
            case Kind.MAC:
                return _parse_mac(text)
            case Kind.TIME:
                return _parse_time(text)
            case Kind.NUMBER:
                return self._parse_number(text)
            case _:
                return text.encode()

    def _parse_number(self, text: str) -> int:
        if self.names and (number := self.names.get(text.upper())) is not None:
            return number
        if not re.fullmatch(r"[0-9]{1,20}", text):
            what = "payload type" if self.names else "number"
            raise ValueError(f"not a {what}: {text!r}")
        return self.checked(int(text))

    def checked(self, number: int) -> int:
        """Return `number` if the field can hold it.

        Raises:
            ValueError: it is negative or too large.
        """
        if not 0 <= number <= self.largest:
            raise ValueError(f"{number} is outside 0 to {self.largest}")
        return number

    def render(self, value: Value) -> bytes:
        """Write one value as a template prints it."""
        if isinstance(value, bytes):
            return str(ipaddress.ip_address(value)).encode() if self.kind is Kind.IP else value
        if self.kind is Kind.MAC:
            octets = value.to_bytes(8)
            return (octets if octets[:2] != b"\0\0" else octets[2:]).hex(":").encode()
        if self.kind is Kind.TIME:
            return time_text(value).encode()
        if self.names is not None:
            return PROTO_TYPE_NAMES.get(value, str(value)).encode()
        return str(value).encode()


def time_text(time_us: int) -> str:
    """Write a time as RFC 3339 in UTC, to the microsecond; beyond the year 9999 as a number."""
    try:
        moment = EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return str(time_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_us(moment: datetime) -> int:
    """Return a moment in microseconds since the epoch; one without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def _parse_ip(text: str) -> bytes:
    if "%" in text:
        raise ValueError(f"packets carry no zone: {text!r}")
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise ValueError(f"not an address: {text!r}") from None


def _parse_mac(text: str) -> int:
    # The chunk is 64 bits wide: six octets stand at its end, but agents were seen to fill all
    # eight.
    if not re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}([:-][0-9A-Fa-f]{2}){0,2}", text):
        raise ValueError(f"not a MAC address: {text!r}")
    return int(text.replace(":", "").replace("-", ""), 16)


def _parse_time(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text)
    try:
        return time_us(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(f"not a time (RFC 3339, or microseconds): {text!r}") from None


# --- the rows ------------------------------------------------------------------------------------

_DOCS: Final = {
    "ip_family": "Address family as the packet declares it: 2 for IPv4, 10 for IPv6.",
    "ip_protocol": "IP protocol of the captured packet: 17 for UDP, 6 for TCP, 132 for SCTP; 22 "
    "where Kamailio, OpenSIPS and FreeSWITCH mean TLS.",
    "src_ip": "Source address of the captured packet: a claim of its sender.",
    "dst_ip": "Destination address of the captured packet.",
    "src_port": "Source port of the captured packet.",
    "dst_port": "Destination port of the captured packet.",
    "time": "When the packet was captured; written as RFC 3339 or microseconds since the epoch.",
    "proto_type": "What the payload is, by number or by name in any case.",
    "capture_id": "Number of the capture agent.",
    "keep_alive": "Keep-alive interval in seconds.",
    "auth_key": "Authentication key, in clear text; never printed.",
    "payload": "What was captured; inflated if it travelled compressed.",
    "compressed_payload": "The compressed payload as it travelled.",
    "correlation_id": "What holds a call together; usually the Call-ID.",
    "vlan": "VLAN number.",
    "node_name": "Name of the capture agent.",
    "src_mac": "Source MAC address.",
    "dst_mac": "Destination MAC address.",
    "ether_type": "Ethernet type.",
    "tcp_flags": "TCP flags.",
    "tos": "IP type of service.",
    "mos": "Mean opinion score, times 100 where heplify wrote it.",
    "r_factor": "R-factor.",
    "geo_location": "Where the agent says it is.",
    "jitter": "Jitter.",
    "transaction_type": "Kind of transaction: `call`, `registration`.",
    "payload_keys": "JSON keys of the payload.",
    "tag_values": "Tags.",
    "tag_type": "Kind of tag.",
    "event_type": "1 for a recording, 2 for an interception.",
    "group_id": "Group of the agent.",
}

_BITS: Final = {
    ChunkType.UINT8: 8,
    ChunkType.UINT16: 16,
    ChunkType.UINT32: 32,
    ChunkType.UINT64: 64,
}


def _kind(name: str, chunk_type: ChunkType) -> Kind:
    if name.endswith("_mac"):
        return Kind.MAC
    if name.endswith("payload"):
        return Kind.OCTETS
    match chunk_type:
        case ChunkType.INET4 | ChunkType.INET6:
            return Kind.IP
        case ChunkType.UTF8 | ChunkType.OCTETS:
            return Kind.TEXT
        case _:
            return Kind.NUMBER


def _attribute(name: str) -> Callable[[View], Reading]:
    def read(view: View) -> Reading:
        reading: Reading = getattr(view.packet, name)
        return reading

    return read


def _text_attribute(name: str) -> Callable[[View], Reading]:
    def read(view: View) -> Reading:
        octets: bytes | None = getattr(view.packet, name)
        return None if octets is None else octets.rstrip(b"\0")

    return read


def _both(first: str, second: str) -> Callable[[View], Reading]:
    def read(view: View) -> Reading:
        ends = (getattr(view.packet, first), getattr(view.packet, second))
        return tuple(end for end in ends if end is not None) or None

    return read


def _payload_size(view: View) -> Reading:
    payload = view.packet.payload
    return None if payload is None else len(payload)


_ATTRIBUTES: Final = {"src_ip": "src_address", "dst_ip": "dst_address"}
"""Where the packet's attribute is spelt otherwise: packed addresses are what rules compare."""


def _generic() -> list[Field]:
    fields: dict[str, Field] = {}
    for spec in GENERIC:
        name = spec.name
        if name in fields or name in {"seconds", "microseconds"}:
            continue
        kind = _kind(name, spec.type)
        attribute = _ATTRIBUTES.get(name, name)
        fields[name] = Field(
            name=name,
            kind=kind,
            doc=_DOCS[name],
            read=_text_attribute(attribute) if kind is Kind.TEXT else _attribute(attribute),
            bits=_BITS.get(spec.type, 0),
            key=ChunkKey(0, spec.type_id),
            edit=name,
            derived_from={
                "ip_family": frozenset({"src_ip", "dst_ip"}),
                "payload": frozenset({"compressed_payload"}),
                "compressed_payload": frozenset({"payload"}),
            }.get(name, frozenset()),
            names=PROTO_TYPES if name == "proto_type" else None,
        )
    fields["time"] = Field("time", Kind.TIME, _DOCS["time"], _attribute("time_us"), edit="time")
    return list(fields.values())


def _derived() -> list[Field]:
    return [
        Field(
            "ip",
            Kind.IP,
            "Either end's address: matches if one of the two does.",
            _both("src_address", "dst_address"),
            derived_from=frozenset({"src_ip", "dst_ip"}),
        ),
        Field(
            "port",
            Kind.NUMBER,
            "Either end's port: matches if one of the two does.",
            _both("src_port", "dst_port"),
            bits=16,
            derived_from=frozenset({"src_port", "dst_port"}),
        ),
        Field(
            "hep_version",
            Kind.NUMBER,
            "1, 2 or 3; an edit that version 1 or 2 cannot carry makes it 3.",
            _attribute("version"),
            bits=8,
            most=3,
            derived_from=frozenset({"*"}),
        ),
        Field(
            "size",
            Kind.NUMBER,
            "Octets of the whole HEP packet.",
            lambda view: len(view.packet.data),
            bits=32,
            derived_from=frozenset({"*"}),
        ),
        Field(
            "payload_size",
            Kind.NUMBER,
            "Octets of the payload, after inflating it.",
            _payload_size,
            bits=32,
            derived_from=frozenset({"payload", "compressed_payload"}),
        ),
    ]


def _transport() -> list[Field]:
    return [
        Field(
            "peer_ip",
            Kind.IP,
            "Who sent us the HEP packet: the socket's word, not a claim.",
            lambda view: view.peer.ip,
        ),
        Field(
            "peer_port",
            Kind.NUMBER,
            "The sender's port.",
            lambda view: view.peer.port,
            bits=16,
        ),
        Field(
            "peer_transport",
            Kind.TEXT,
            "`udp` or `tcp`.",
            lambda view: view.peer.transport.encode(),
            words=("udp", "tcp"),
        ),
        Field(
            "local_ip",
            Kind.IP,
            "The address it arrived at; for UDP the one that the listener is bound to.",
            lambda view: view.peer.local_ip,
        ),
        Field(
            "local_port",
            Kind.NUMBER,
            "The port it arrived at.",
            lambda view: view.peer.local_port,
            bits=16,
        ),
        Field(
            "listener",
            Kind.TEXT,
            "The listener's name.",
            lambda view: view.peer.listener.encode(),
        ),
    ]


CATALOGUE: Final[Mapping[str, Field]] = {
    row.name: row for row in (*_generic(), *_derived(), *_transport())
}
"""Every built-in field by name, in the order of the man page."""


# --- chunks beyond the catalogue -----------------------------------------------------------------


def chunk_field(name: str, key: ChunkKey, chunk_type: ChunkType) -> Field:
    """Make the field of a chunk that an operator named in `[chunks]`, or wrote as `vendor:type`."""
    kind = Kind.OCTETS if chunk_type is ChunkType.OCTETS else _kind(name, chunk_type)
    size = chunk_type.size

    def read(view: View) -> Reading:
        body = view.packet.chunk(key)
        if body is None or (size is not None and len(body) != size):
            return None
        if kind is Kind.NUMBER:
            return int.from_bytes(body)
        return body.rstrip(b"\0") if kind is Kind.TEXT else body

    return Field(
        name=name,
        kind=kind,
        doc=f"Chunk 0x{key.vendor_id:04x}:0x{key.type_id:04x}.",
        read=read,
        bits=_BITS.get(chunk_type, 0),
        octets=size or 0,
        key=key,
        edit=key,
    )


def raw_chunk_key(name: str) -> ChunkKey | None:
    """Read `0x0003:0x0065`, vendor and type of a chunk, in hexadecimal or decimal."""
    number = r"(0x[0-9A-Fa-f]{1,4}|[0-9]{1,5})"
    found = re.fullmatch(f"{number}:{number}", name)
    if found is None:
        return None
    vendor_id, type_id = (
        int(part, 0) if part.startswith("0x") else int(part) for part in found.groups()
    )
    return ChunkKey(vendor_id, type_id) if max(vendor_id, type_id) <= 0xFFFF else None


COMING: Final = ("sip.", "json.", "rtcp.", "vq.", "geo.", "map.", "call", "peer_name")
"""Fields of the language that this release does not read yet; naming one is an error."""


def is_coming(name: str) -> bool:
    """Tell whether a name is one of those, belongs to one of the groups, or is such a group."""
    return any(
        f"{name}.".startswith(word) if word.endswith(".") else name == word for word in COMING
    )
