"""`Packet`: one HEP frame, read lazily and never changed.

`decode` makes packets; rules, templates, sinks and stores read them. A packet keeps the octets it
came as and a small table of where its known chunks are, so an unedited packet leaves exactly as it
arrived, and a field costs nothing until somebody asks for it.

HEP1 and HEP2 fill the same table from their fixed header, hence one class for all three versions.

Source: HEP3 rev. 37; the C structures of Kamailio and OpenSIPS for HEP1 and HEP2.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import TYPE_CHECKING, Final, Literal, overload

from hepsw.hep._scan import HEADER, HEADER_SIZE, KNOWN_IDS
from hepsw.hep.chunks import (
    FAMILIES_IPV6_ELSEWHERE,
    FAMILY_IPV6,
    PROTO_SIP,
    SPEC_BY_ID,
    TRANSPORTS,
    Chunk,
    ChunkKey,
    namespace_ids,
)
from hepsw.hep.inflate import Inflated, inflate
from hepsw.hep.packet_warnings import warnings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ByteOrder = Literal["little", "big"]

_FORMATS: Final = {1: "!B", 2: "!H", 4: "!I", 8: "!Q"}
_UINT32: Final = {"little": Struct("<I").unpack_from, "big": Struct("!I").unpack_from}


class _Number:
    """A property: the integer in a known chunk, None if the chunk is absent or of a wrong size."""

    def __init__(self, type_id: int) -> None:
        spec = SPEC_BY_ID[type_id]
        size = spec.type.size or 0
        self._type_id = type_id
        self._size = size
        self._unpack = Struct(_FORMATS[size]).unpack_from
        self.__doc__ = f"{spec.doc} ({type_id:#06x})."

    @overload
    def __get__(self, packet: None, owner: type[Packet]) -> _Number: ...
    @overload
    def __get__(self, packet: Packet, owner: type[Packet]) -> int | None: ...
    def __get__(self, packet: Packet | None, owner: type[Packet]) -> _Number | int | None:
        if packet is None:
            return self
        # A part of `Packet` that only stands outside of it; `body` would cost a call more.
        end = packet._ends[self._type_id]  # noqa: SLF001 - its own packet
        start = packet._starts[self._type_id]  # noqa: SLF001 - its own packet
        if end - start != self._size:  # absent: 0 - 0, and no number has size 0
            return None
        number: int = self._unpack(packet._data, start)[0]  # noqa: SLF001 - its own packet
        return number


class _Octets:
    """A property: the octets of a known chunk as they travelled, None if it is absent."""

    def __init__(self, type_id: int) -> None:
        self._type_id = type_id
        self.__doc__ = f"{SPEC_BY_ID[type_id].doc} ({type_id:#06x})."

    @overload
    def __get__(self, packet: None, owner: type[Packet]) -> _Octets: ...
    @overload
    def __get__(self, packet: Packet, owner: type[Packet]) -> bytes | None: ...
    def __get__(self, packet: Packet | None, owner: type[Packet]) -> _Octets | bytes | None:
        if packet is None:
            return self
        return packet.body(self._type_id)


class Packet:
    """One HEP frame of version 1, 2 or 3.

    Every field is None when the frame does not carry it or carries it in a wrong size; of a chunk
    that comes twice the last one counts. Text comes as octets, see `strip_nuls`. Two packets are
    equal when their octets are.
    """

    __slots__ = (
        "_byte_order",
        "_data",
        "_ends",
        "_inflated",
        "_namespace",
        "_notes",
        "_payload",
        "_payload_span",
        "_repeats",
        "_starts",
        "_version",
        "_warnings",
    )

    def __init__(
        self,
        data: bytes,
        version: int,
        starts: list[int],
        ends: list[int],
        *,
        namespace: int = 0,
        repeats: int = 0,
        byte_order: ByteOrder = "big",
        payload_span: tuple[int, int] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Take what `decode` has found out; nothing is checked here.

        Args:
            data: exactly one frame.
            version: 1, 2 or 3.
            starts: where the body of each known chunk starts, by generic id.
            ends: where it ends, 0 for a chunk that is absent.
            namespace: the vendor id under which the known chunks were found.
            repeats: a bit for each known id that occurs more than once.
            byte_order: of the time header of HEP2.
            payload_span: where the payload is, in HEP1 and HEP2.
            notes: warnings that only the decoder could see.
        """
        self._data = data
        self._version = version
        self._starts = starts
        self._ends = ends
        self._namespace = namespace
        self._repeats = repeats
        self._byte_order: ByteOrder = byte_order
        self._payload_span = payload_span
        self._notes = notes
        self._payload: bytes | None = None
        self._inflated: Inflated | None = None
        self._warnings: tuple[str, ...] | None = None

    # The frame

    @property
    def data(self) -> bytes:
        """The octets of the frame, as they arrived; HEP3 without anything behind its total."""
        return self._data

    @property
    def version(self) -> int:
        """1, 2 or 3."""
        return self._version

    @property
    def magic(self) -> bytes:
        """What opens the frame: HEP3, EEP3 or EEP1; one octet in HEP1 and HEP2."""
        return self._data[:4] if self._version == 3 else self._data[:1]

    @property
    def namespace(self) -> int:
        """The vendor id whose chunks are read as the generic ones, 0 in all ordinary frames."""
        return self._namespace

    @property
    def header_length(self) -> int | None:
        """What HEP1 and HEP2 claim as their header length; no two agents agree on its meaning."""
        return None if self._version == 3 else self._data[1]

    @property
    def time_byte_order(self) -> ByteOrder | None:
        """How the time header of HEP2 is written; None in the other versions."""
        return self._byte_order if self._version == 2 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """The warnings that only the decoder could see, since they are not in `data`."""
        return self._notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the frame, as sorted slugs; never more than a few dozen.

        What inflating says is among them only once `payload` was read.
        """
        if self._warnings is None:
            self._warnings = warnings_of(self, self._starts, self._ends)
        return self._warnings

    # Chunks

    def chunks(self) -> Iterator[Chunk]:
        """Yield every chunk in the order of the frame; none from HEP1 and HEP2."""
        if self._version != 3:
            return
        data = self._data
        offset = HEADER_SIZE
        while offset < len(data):
            vendor_id, type_id, length = HEADER.unpack_from(data, offset)
            yield Chunk(vendor_id, type_id, data[offset + HEADER_SIZE : offset + length])
            offset += length

    def chunk(self, key: ChunkKey) -> bytes | None:
        """Return the body of the last chunk with both numbers of `key`, None if there is none."""
        vendor_id, type_id = key
        if self._version != 3:
            return None
        if vendor_id == self._namespace and type_id < KNOWN_IDS:
            known = self.body(type_id)
            if known is not None or vendor_id == 0:
                return known
        data = self._data
        found = None
        offset = HEADER_SIZE
        wanted = vendor_id, type_id
        while offset < len(data):
            vendor, type_, length = HEADER.unpack_from(data, offset)
            if (vendor, type_) == wanted:
                found = (offset + HEADER_SIZE, offset + length)
            offset += length
        return None if found is None else data[found[0] : found[1]]

    def body(self, type_id: int) -> bytes | None:
        """Return the octets of a known chunk, whatever their number; None if it is absent.

        Args:
            type_id: a generic id below `KNOWN_IDS`, looked up in the namespace of the frame.
        """
        end = self._ends[type_id]
        return self._data[self._starts[type_id] : end] if end else None

    def body_size(self, type_id: int) -> int | None:
        """Return how many octets a known chunk has, None if it is absent."""
        end = self._ends[type_id]
        return end - self._starts[type_id] if end else None

    @property
    def has_repeats(self) -> bool:
        """Whether any known chunk occurs more than once."""
        return self._repeats != 0

    def is_repeated(self, type_id: int) -> bool:
        """Return whether a known chunk occurs more than once."""
        return bool(self._repeats >> type_id & 1)

    def key_of(self, type_id: int) -> ChunkKey:
        """Return under which key this frame carries, or would carry, a known chunk."""
        if self._namespace and type_id in namespace_ids(self._namespace):
            return ChunkKey(self._namespace, type_id)
        return ChunkKey(0, type_id)

    # The captured packet: addresses

    ip_family = _Number(0x0001)
    ip_protocol = _Number(0x0002)
    src_port = _Number(0x0007)
    dst_port = _Number(0x0008)

    @property
    def transport(self) -> str | None:
        """What the sender means by `ip_protocol`: udp, tcp, tls, ..., else "ip-" and the number."""
        number = self.ip_protocol
        return None if number is None else TRANSPORTS.get(number) or f"ip-{number}"

    @property
    def src_address(self) -> bytes | None:
        """The source address, packed: 4 or 16 octets."""
        return self._address(0x0003, 0x0005)

    @property
    def dst_address(self) -> bytes | None:
        """The destination address, packed: 4 or 16 octets."""
        return self._address(0x0004, 0x0006)

    @property
    def src_ip(self) -> IPv4Address | IPv6Address | None:
        """The source address."""
        return _ip_address(self._address(0x0003, 0x0005))

    @property
    def dst_ip(self) -> IPv4Address | IPv6Address | None:
        """The destination address."""
        return _ip_address(self._address(0x0004, 0x0006))

    def _address(self, ipv4_id: int, ipv6_id: int) -> bytes | None:
        """Return one side's address; the declared family only chooses where both kinds are."""
        end = self._ends[ipv4_id]
        start = self._starts[ipv4_id]
        ipv6_end = self._ends[ipv6_id]
        if ipv6_end:
            ipv6_start = self._starts[ipv6_id]
            if ipv6_end - ipv6_start == 16 and (end - start != 4 or is_ipv6_family(self.ip_family)):
                return self._data[ipv6_start:ipv6_end]
        return self._data[start:end] if end - start == 4 else None

    # The captured packet: time and kind

    @property
    def seconds(self) -> int | None:
        """Capture time, whole seconds since 1970 (0x0009)."""
        return self._time_number(0x0009)

    @property
    def microseconds(self) -> int | None:
        """Capture time, microseconds to add (0x000a)."""
        return self._time_number(0x000A)

    @property
    def time_us(self) -> int | None:
        """When the packet was captured, in microseconds since the epoch.

        None unless the seconds are present; missing microseconds count as zero.
        """
        end = self._ends[0x0009]
        if end - self._starts[0x0009] != 4:
            return None
        unpack = _UINT32[self._byte_order]
        time_us: int = unpack(self._data, end - 4)[0] * 1_000_000
        end = self._ends[0x000A]
        if end - self._starts[0x000A] == 4:
            # Not normalised: hepagent.rs sends more than a million microseconds.
            time_us += unpack(self._data, end - 4)[0]
        return time_us

    def _time_number(self, type_id: int) -> int | None:
        """Return a 32-bit number that HEP2 writes in the sender's byte order."""
        end = self._ends[type_id]
        start = self._starts[type_id]
        if end - start != 4:
            return None
        return int.from_bytes(self._data[start:end], self._byte_order)

    @property
    def proto_type(self) -> int | None:
        """What the payload is (0x000b); HEP1 and HEP2 cannot say and mean 1, SIP."""
        if self._version != 3:
            # Captagent sends RTCP JSON in HEP1 just the same: the warning json-in-v12 tells.
            return PROTO_SIP
        end = self._ends[0x000B]
        start = self._starts[0x000B]
        return self._data[start] if end - start == 1 else None

    @property
    def capture_id(self) -> int | None:
        """Capture agent id (0x000c); 16 bits wide in HEP2, absent in HEP1."""
        end = self._ends[0x000C]
        start = self._starts[0x000C]
        if end - start != (4 if self._version == 3 else 2):
            return None
        return int.from_bytes(self._data[start:end], self._byte_order)

    # The payload

    @property
    def payload(self) -> bytes | None:
        """The payload, inflated if it came compressed; None without a payload chunk.

        Empty if it does not inflate, or not within `INFLATE_LIMIT`. HEP1 and HEP2 payloads come
        without trailing NULs: OpenSIPS appends 8 or 32 of them.
        """
        if self._payload is None:
            if self._payload_span is not None:
                start, end = self._payload_span
                self._payload = self._data[start:end]
            elif self._ends[0x000F]:
                self._payload = self.body(0x000F)
            elif self._ends[0x0010]:
                self._payload = self._inflate()
        return self._payload

    def _inflate(self) -> bytes:
        body = self.body(0x0010)
        if body:
            self._inflated = inflate(body)
            self._warnings = None
            return self._inflated.payload
        return b""

    @property
    def inflated(self) -> Inflated | None:
        """What came of inflating; None before `payload` was read, or with nothing to inflate."""
        return self._inflated

    def forget_payload(self) -> None:
        """Let go of what reading `payload` made; reading it again makes it again.

        For whoever keeps packets: inflated, a payload may be a thousand times its frame.
        """
        self._payload = None
        if self._inflated is not None:
            self._inflated = None
            self._warnings = None

    @property
    def payload_span(self) -> tuple[int, int] | None:
        """Start and end within `data` of the payload, as carried.

        That is 0x000f, or only without it 0x0010, still compressed.
        """
        if self._payload_span is not None:
            return self._payload_span
        for type_id in (0x000F, 0x0010):
            if self._ends[type_id]:
                return self._starts[type_id], self._ends[type_id]
        return None

    compressed_payload = _Octets(0x0010)

    # What some agents add

    keep_alive = _Number(0x000D)
    auth_key = _Octets(0x000E)
    correlation_id = _Octets(0x0011)
    vlan = _Number(0x0012)
    node_name = _Octets(0x0013)
    src_mac = _Number(0x0014)
    dst_mac = _Number(0x0015)
    ether_type = _Number(0x0016)
    tcp_flags = _Number(0x0017)
    tos = _Number(0x0018)
    mos = _Number(0x0020)
    r_factor = _Number(0x0021)
    geo_location = _Octets(0x0022)
    jitter = _Number(0x0023)
    transaction_type = _Octets(0x0024)
    payload_keys = _Octets(0x0025)
    tag_values = _Octets(0x0026)
    tag_type = _Number(0x0027)
    event_type = _Number(0x0028)
    group_id = _Octets(0x0029)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet):
            return NotImplemented
        return self._data == other._data

    def __hash__(self) -> int:
        return hash(self._data)

    def __repr__(self) -> str:
        # The octets stay out: they hold the authentication key.
        return f"<Packet HEP{self._version}, {len(self._data)} octets>"


def is_ipv6_family(family: int | None) -> bool:
    """Return whether a declared family means IPv6, on whatever system it was written."""
    return family == FAMILY_IPV6 or family in FAMILIES_IPV6_ELSEWHERE


def _ip_address(packed: bytes | None) -> IPv4Address | IPv6Address | None:
    if packed is None:
        return None
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
