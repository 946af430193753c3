"""What each chunk of a HEP3 packet means: the registry, as tables.

Everything that knows a chunk by name reads it here: `Packet` its properties, `build` and `edit` the
shape of a value, the field catalogue its types. No octet is parsed in this module.

Source: HEP3 Network Protocol Specification rev. 37, "generic chunk types"; the protocol types also
from the programs that send them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from hepsw.errors import DecodeError, EditError

FAMILY_IPV4: Final = 2
FAMILY_IPV6: Final = 10  # Linux's number everywhere; socket.AF_INET6 is 30 on macOS
FAMILIES_IPV6_ELSEWHERE: Final = frozenset({23, 24, 26, 28, 30})
"""How Windows (SIPSorcery), the BSDs, Solaris and macOS number IPv6; met in 0x0001 and in HEP1."""

MAX_TOTAL_LENGTH: Final = 0xFFFF
"""What the 16-bit total of a HEP3 header can say, in octets, header included."""


class ChunkKey(NamedTuple):
    """Both numbers that name a chunk: a vendor's chunk never stands for the generic one."""

    vendor_id: int
    """0 for the generic chunk types."""
    type_id: int
    """Means something only together with `vendor_id`."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk as it travelled, not yet interpreted."""

    vendor_id: int
    """0 for the generic chunk types."""
    type_id: int
    """Means something only together with `vendor_id`."""
    body: bytes
    """What follows the six-octet chunk header."""

    @property
    def key(self) -> ChunkKey:
        """Both of its numbers."""
        return ChunkKey(self.vendor_id, self.type_id)


class ChunkType(Enum):
    """How the body of a chunk is to be read; integers are in network order."""

    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    INET4 = "inet4"
    INET6 = "inet6"
    UTF8 = "utf8"
    """Text. Nothing guarantees UTF-8 (hep-js cuts it mid-character); trailing NULs say nothing."""
    OCTETS = "octets"

    @property
    def size(self) -> int | None:
        """Octets of the body, None where any number will do."""
        return _SIZES[self]

    @property
    def is_number(self) -> bool:
        """Whether the body is an integer; otherwise it is octets."""
        return self in _NUMBERS

    def pack(self, value: int | bytes) -> bytes:
        """Return `value` as the body of a chunk of this type.

        Args:
            value: an int for the integer types, octets for all others.

        Raises:
            EditError: "does-not-fit", a value that this type cannot hold.
        """
        size = _SIZES[self]
        if isinstance(value, int):
            if size is None or self not in _NUMBERS or value < 0 or value.bit_length() > 8 * size:
                raise EditError("does-not-fit", f"{value} as {self.value}")
            return value.to_bytes(size, "big")
        if self in _NUMBERS or (size is not None and len(value) != size):
            raise EditError("does-not-fit", f"{len(value)} octets as {self.value}")
        return value

    def unpack(self, body: bytes) -> int | bytes:
        """Return what the body of a chunk says: an int, or the octets themselves.

        Raises:
            DecodeError: "bad-size", a body that has not the size of this type.
        """
        size = _SIZES[self]
        if size is not None and len(body) != size:
            raise DecodeError("bad-size", 0, f"{len(body)} octets as {self.value}")
        return int.from_bytes(body, "big") if self in _NUMBERS else body


_SIZES: Final = {
    ChunkType.UINT8: 1,
    ChunkType.UINT16: 2,
    ChunkType.UINT32: 4,
    ChunkType.UINT64: 8,
    ChunkType.INET4: 4,
    ChunkType.INET6: 16,
    ChunkType.UTF8: None,
    ChunkType.OCTETS: None,
}
_NUMBERS: Final = frozenset(
    {ChunkType.UINT8, ChunkType.UINT16, ChunkType.UINT32, ChunkType.UINT64},
)


@dataclass(frozen=True, slots=True)
class ChunkSpec:
    """One row of the registry."""

    type_id: int
    """Under vendor id 0."""
    name: str
    """As rules, metrics and the properties of `Packet` spell it; two rows share an address's."""
    type: ChunkType
    doc: str
    """One line for people."""


GENERIC: Final = (
    ChunkSpec(0x0001, "ip_family", ChunkType.UINT8, "address family: 2 = IPv4, 10 = IPv6"),
    ChunkSpec(0x0002, "ip_protocol", ChunkType.UINT8, "IP protocol: 17 = UDP, 6 = TCP, ..."),
    ChunkSpec(0x0003, "src_ip", ChunkType.INET4, "source address, IPv4"),
    ChunkSpec(0x0004, "dst_ip", ChunkType.INET4, "destination address, IPv4"),
    ChunkSpec(0x0005, "src_ip", ChunkType.INET6, "source address, IPv6"),
    ChunkSpec(0x0006, "dst_ip", ChunkType.INET6, "destination address, IPv6"),
    ChunkSpec(0x0007, "src_port", ChunkType.UINT16, "source port, 0 without a socket"),
    ChunkSpec(0x0008, "dst_port", ChunkType.UINT16, "destination port, 0 without a socket"),
    ChunkSpec(0x0009, "seconds", ChunkType.UINT32, "capture time, seconds since 1970"),
    ChunkSpec(0x000A, "microseconds", ChunkType.UINT32, "capture time, microseconds to add"),
    ChunkSpec(0x000B, "proto_type", ChunkType.UINT8, "what the payload is: 1 = SIP, ..."),
    ChunkSpec(0x000C, "capture_id", ChunkType.UINT32, "capture agent id"),
    ChunkSpec(0x000D, "keep_alive", ChunkType.UINT16, "keep-alive interval, seconds"),
    ChunkSpec(0x000E, "auth_key", ChunkType.UTF8, "authentication key, clear text"),
    ChunkSpec(0x000F, "payload", ChunkType.OCTETS, "the captured payload"),
    ChunkSpec(0x0010, "compressed_payload", ChunkType.OCTETS, "the payload, zlib or gzip"),
    ChunkSpec(0x0011, "correlation_id", ChunkType.UTF8, "correlation id, usually the Call-ID"),
    ChunkSpec(0x0012, "vlan", ChunkType.UINT16, "VLAN id, 0 = untagged"),
    ChunkSpec(0x0013, "node_name", ChunkType.UTF8, "capture agent name"),
    ChunkSpec(0x0014, "src_mac", ChunkType.UINT64, "source MAC address"),
    ChunkSpec(0x0015, "dst_mac", ChunkType.UINT64, "destination MAC address"),
    ChunkSpec(0x0016, "ether_type", ChunkType.UINT16, "Ethernet type"),
    ChunkSpec(0x0017, "tcp_flags", ChunkType.UINT8, "TCP flags"),
    ChunkSpec(0x0018, "tos", ChunkType.UINT8, "IP type of service"),
    ChunkSpec(0x0020, "mos", ChunkType.UINT16, "MOS, times 100 from heplify 2 and hep-js"),
    ChunkSpec(0x0021, "r_factor", ChunkType.UINT16, "R-factor"),
    ChunkSpec(0x0022, "geo_location", ChunkType.UTF8, "geographic location"),
    ChunkSpec(0x0023, "jitter", ChunkType.UINT32, "jitter"),
    ChunkSpec(0x0024, "transaction_type", ChunkType.UTF8, "transaction type: call, registration"),
    ChunkSpec(0x0025, "payload_keys", ChunkType.UTF8, "keys of a JSON payload"),
    ChunkSpec(0x0026, "tag_values", ChunkType.UTF8, "tag values"),
    ChunkSpec(0x0027, "tag_type", ChunkType.UINT16, "tag type"),
    ChunkSpec(0x0028, "event_type", ChunkType.UINT16, "1 = recording, 2 = interception recording"),
    ChunkSpec(0x0029, "group_id", ChunkType.UTF8, "group id"),
)
"""The generic chunk types, one row each, in the order of their ids."""

SPEC_BY_ID: Final = {spec.type_id: spec for spec in GENERIC}
SPECS_BY_NAME: Final = {
    name: tuple(spec for spec in GENERIC if spec.name == name)
    for name in dict.fromkeys(spec.name for spec in GENERIC)
}
"""The rows of a name: two for src_ip and dst_ip (IPv4 first), one for every other."""

NAMESPACE_IDS: Final = frozenset({*range(0x0001, 0x000C), 0x000F, 0x0010})
"""Generic ids that a vendor who sends no generic chunk at all uses in the generic meaning."""
NAMESPACE_IDS_FREESWITCH: Final = NAMESPACE_IDS | {0x000C, 0x000D, 0x000E, 0x0011, 0x0012}
"""The same for vendor 1: Kazoo sends every generic id so; vendor 9 means other things by these."""
VENDOR_FREESWITCH: Final = 1


def namespace_ids(vendor_id: int) -> frozenset[int]:
    """Return the ids that are read as generic ones from a frame all of one vendor's chunks."""
    return NAMESPACE_IDS_FREESWITCH if vendor_id == VENDOR_FREESWITCH else NAMESPACE_IDS


PROTO_SIP: Final = 1
PROTO_RTCP: Final = 5

PROTO_TYPES: Final[dict[str, int]] = {
    "SIP": PROTO_SIP,
    "XMPP": 2,
    "SDP": 3,
    "RTP": 4,
    "RTCP": PROTO_RTCP,
    "MGCP": 6,
    "MEGACO": 7,
    "M2UA": 8,
    "M3UA": 9,
    "IAX": 10,
    "H322": 11,
    "H321": 12,
    "M2PA": 13,
    "WEBRTC": 20,
    "QOS": 32,  # Kamailio and hep-js: a JSON report
    "RTPAGENT": 34,  # 34, 35 and 38 under heplify-server's names; the specification says MOS
    "RTCPXR": 35,
    "HORACLIFIX": 38,
    "SIP_JSON": 50,
    "DNS": 53,
    "ISUP": 54,
    "RTSP": 55,
    "DIAMETER": 56,
    "GSM_MAP": 57,
    "RTCP_PION": 58,
    "CDR": 60,
    "VERTO": 61,  # also rtpengine's default for its NG traces
    "MI": 87,  # 87 to 89 and 96: OpenSIPS
    "REST": 88,
    "NET": 89,
    "CONTROL": 96,
    "REPORT": 99,
    "LOG": 100,
}
"""Names for 0x000b, an open set: a number without a name is as good as any other."""

PROTO_TYPE_NAMES: Final[dict[int, str]] = {number: name for name, number in PROTO_TYPES.items()}

TRANSPORTS: Final[dict[int, str]] = {
    6: "tcp",
    17: "udp",
    22: "tls",  # IDP, borrowed by Kamailio, OpenSIPS, Sofia and reSIProcate
    50: "ws",  # ESP, borrowed by OpenSIPS
    132: "sctp",
}
"""What senders mean by the numbers of 0x0002."""


def strip_nuls(text: bytes) -> bytes:
    """Return text without its trailing NULs, the way two text chunks compare."""
    return text.rstrip(b"\0")
