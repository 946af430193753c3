"""`Packet`: one HEP frame, read lazily and never changed.

`decode` makes packets; rules, templates, sinks and stores read them. A packet keeps the octets it
came as and a small table of where its known chunks are, so an unedited packet leaves exactly as it
arrived, and a field costs nothing until somebody asks for it.

HEP1 and HEP2 fill the same table from their fixed header, hence one class for all three versions.

Source: HEP3 rev. 37; the C structures of Kamailio and OpenSIPS for HEP1 and HEP2.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal, overload

from hepsw.hep import _octets
from hepsw.hep._scan import HEADER, HEADER_SIZE, KNOWN_IDS, ChunkTable
from hepsw.hep.chunks import (
    FAMILIES_IPV6_ELSEWHERE,
    FAMILY_IPV4,
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

_IPV4 = FAMILY_IPV4
_IPV6 = FAMILY_IPV6
# Compiled, ints of C.

ByteOrder = Literal["little", "big"]


class _Number:
    """A property: the integer in a known chunk, None if the chunk is absent or of a wrong size."""

    def __init__(self, type_id: int) -> None:
        spec = SPEC_BY_ID[type_id]
        self._type_id = type_id
        self._size = spec.type.size or 0
        self.__doc__ = f"{spec.doc} ({type_id:#06x})."

    @overload
    def __get__(self, packet: None, owner: type[Packet]) -> _Number: ...
    @overload
    def __get__(self, packet: Packet, owner: type[Packet]) -> int | None: ...
    def __get__(self, packet: Packet | None, owner: type[Packet]) -> _Number | int | None:
        if packet is None:
            return self
        return packet.value(self._type_id, self._size)


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


class Packet(ChunkTable):
    """One HEP frame of version 1, 2 or 3.

    `decode` makes it; nothing changes it. Every field is None when the frame does not carry it or
    carries it in a wrong size; of a chunk that comes twice the last one counts. Text comes as
    octets, see `strip_nuls`. Two packets are equal when their octets are.
    """

    __slots__ = (
        "_byte_order",
        "_inflated",
        "_payload",
        "_payload_span",
        "_warnings",
        "notes",
        "version",
    )

    version: int
    """1, 2 or 3."""
    notes: tuple[str, ...]
    """The warnings that only the decoder could see, since they are not in `data`."""
    _byte_order: ByteOrder
    """Of the time header of HEP2."""
    _payload_span: tuple[int, int] | None
    """Where the payload is, in HEP1 and HEP2."""
    _payload: bytes | None
    _inflated: Inflated | None
    _warnings: tuple[str, ...] | None

    def read(self, data: bytes) -> None:
        """Become the packet of a HEP3 frame.

        Whoever makes packets by the million calls `Packet.__new__(Packet)` and this: compiled, that
        is a tenth of the price of a constructor.

        Args:
            data: exactly one frame, its header looked at.

        Raises:
            DecodeError: see `ChunkTable.scan`.
        """
        self.clear(data)
        self.version = 3
        self.notes = ()
        self._byte_order = "big"
        self._payload_span = self._payload = self._inflated = self._warnings = None
        self.scan()

    def read_legacy(
        self, data: bytes, version: int, byte_order: ByteOrder, payload_span: tuple[int, int]
    ) -> None:
        """Become the packet of a HEP1 or HEP2 frame; `place` then says where its fields are."""
        self.clear(data)
        self.version = version
        self.notes = ()
        self._byte_order = byte_order
        self._payload_span = payload_span
        self._payload = self._inflated = self._warnings = None

    # The frame

    @property
    def magic(self) -> bytes:
        """What opens the frame: HEP3, EEP3 or EEP1; one octet in HEP1 and HEP2."""
        return self.data[:4] if self.version == 3 else self.data[:1]

    @property
    def header_length(self) -> int | None:
        """What HEP1 and HEP2 claim as their header length; no two agents agree on its meaning."""
        return None if self.version == 3 else self.data[1]

    @property
    def time_byte_order(self) -> ByteOrder | None:
        """How the time header of HEP2 is written; None in the other versions."""
        return self._byte_order if self.version == 2 else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the frame, as sorted slugs; never more than a few dozen.

        What inflating says is among them only once `payload` was read.
        """
        if self._warnings is None:
            self._warnings = () if self.is_ordinary() else warnings_of(self)
        return self._warnings

    def is_ordinary(self) -> bool:
        """Tell whether a look at the usual chunks shows that there is nothing odd about the frame.

        Every packet is asked, so it is quick rather than complete: for one that is not, `warnings`
        may be empty all the same.
        """
        starts = self._starts
        ends = self._ends
        data = self.data
        if (
            self.version != 3
            or self.namespace
            or self._repeats
            or self.notes
            or self._inflated is not None
            or not _octets.is_hep3_at(data, 0)
        ):
            return False
        found = 10
        if not _octets.opens_usually(data, ends):
            found = self._usual_chunks()
            if not found:
                return False
        # Authentication key, correlation id and the agent's name must not end with a NUL. One after
        # the other: compiled, a loop over their ids would make numbers of Python's of them.
        if ends[14]:
            found += 1
            if ends[14] > starts[14] and data[ends[14] - 1] == 0:
                return False
        if ends[17]:
            found += 1
            if ends[17] > starts[17] and data[ends[17] - 1] == 0:
                return False
        if ends[19]:
            found += 1
            if ends[19] > starts[19] and data[ends[19] - 1] == 0:
                return False
        if ends[15]:
            found += 1
            if ends[15] == starts[15]:
                return False
        # Whatever else there is, somebody has to look at it.
        return found == self.steps and ends[15] != 0

    def _usual_chunks(self) -> int:
        """Return how many of the chunks 1 to 12 there are; 0 where one is missing or odd."""
        starts = self._starts
        ends = self._ends
        data = self.data
        found = 5
        # Family, both addresses of that family, time and payload type have to be there.
        if ends[1] - starts[1] != 1:
            return 0
        family = data[starts[1]]
        if family == _IPV4:
            source, destination, size = 3, 4, 4
        elif family == _IPV6:
            source, destination, size = 5, 6, 16
        else:
            return 0
        if (
            ends[source] - starts[source] != size
            or ends[destination] - starts[destination] != size
            # Both begin with 0: nearly never, and then somebody has to look.
            or data[starts[source]] | data[starts[destination]] == 0
            or ends[9] - starts[9] != 4
            or _octets.number(data, starts[9], 4) == 0
            or ends[11] - starts[11] != 1
            or data[starts[11]] == 0
        ):
            return 0
        if ends[2]:
            found += 1
            if ends[2] - starts[2] != 1:
                return 0
        if ends[7]:
            found += 1
            if ends[7] - starts[7] != 2:
                return 0
        if ends[8]:
            found += 1
            if ends[8] - starts[8] != 2:
                return 0
        if ends[10]:
            found += 1
            if ends[10] - starts[10] != 4 or _octets.number(data, starts[10], 4) >= 1_000_000:
                return 0
        if ends[12]:
            found += 1
            # The id of a 16-bit swap ends with two NULs; so does 0, which is none: ask.
            if ends[12] - starts[12] != 4 or _octets.uint16(data, starts[12] + 2) == 0:
                return 0
        return found

    # Chunks

    def chunks(self) -> Iterator[Chunk]:
        """Yield every chunk in the order of the frame; none from HEP1 and HEP2."""
        if self.version != 3:
            return
        data = self.data
        offset = HEADER_SIZE
        while offset < len(data):
            vendor_id, type_id, length = HEADER.unpack_from(data, offset)
            yield Chunk(vendor_id, type_id, data[offset + HEADER_SIZE : offset + length])
            offset += length

    def chunk(self, key: ChunkKey) -> bytes | None:
        """Return the body of the last chunk with both numbers of `key`, None if there is none."""
        vendor_id, type_id = key
        if self.version != 3:
            return None
        if vendor_id == self.namespace and type_id < KNOWN_IDS:
            known = self.body(type_id)
            if known is not None or vendor_id == 0:
                return known
        data = self.data
        found = None
        offset = HEADER_SIZE
        wanted = vendor_id, type_id
        while offset < len(data):
            vendor, type_, length = HEADER.unpack_from(data, offset)
            if (vendor, type_) == wanted:
                found = (offset + HEADER_SIZE, offset + length)
            offset += length
        return None if found is None else data[found[0] : found[1]]

    @property
    def has_repeats(self) -> bool:
        """Whether any known chunk occurs more than once."""
        return self._repeats != 0

    def is_repeated(self, type_id: int) -> bool:
        """Return whether a known chunk occurs more than once."""
        return bool(self._repeats >> type_id & 1)

    def key_of(self, type_id: int) -> ChunkKey:
        """Return under which key this frame carries, or would carry, a known chunk."""
        if self.namespace and type_id in namespace_ids(self.namespace):
            return ChunkKey(self.namespace, type_id)
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
        return self.address(0x0003, 0x0005)

    @property
    def dst_address(self) -> bytes | None:
        """The destination address, packed: 4 or 16 octets."""
        return self.address(0x0004, 0x0006)

    @property
    def src_ip(self) -> IPv4Address | IPv6Address | None:
        """The source address."""
        return _ip_address(self.address(0x0003, 0x0005))

    @property
    def dst_ip(self) -> IPv4Address | IPv6Address | None:
        """The destination address."""
        return _ip_address(self.address(0x0004, 0x0006))

    def address(self, ipv4_id: int, ipv6_id: int) -> bytes | None:
        """Return one side's address; the declared family only chooses where both kinds are.

        Args:
            ipv4_id: 3 for the source, 4 for the destination.
            ipv6_id: 5 for the source, 6 for the destination.
        """
        end = self._ends[ipv4_id]
        start = self._starts[ipv4_id]
        ipv6_end = self._ends[ipv6_id]
        if ipv6_end:
            ipv6_start = self._starts[ipv6_id]
            if ipv6_end - ipv6_start == 16 and (end - start != 4 or is_ipv6_family(self.ip_family)):
                return _octets.cut(self.data, ipv6_start, ipv6_end)
        return _octets.cut(self.data, start, end) if end - start == 4 else None

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
        seconds = self._time_number(0x0009)
        if seconds is None:
            return None
        # Not normalised: hepagent.rs sends more than a million microseconds.
        return seconds * 1_000_000 + (self._time_number(0x000A) or 0)

    def _time_number(self, type_id: int) -> int | None:
        """Return a 32-bit number that HEP2 writes in the sender's byte order."""
        if self._byte_order == "big":
            return self.number(type_id, 4)
        body = self.body(type_id)
        return None if body is None or len(body) != 4 else int.from_bytes(body, "little")

    @property
    def proto_type(self) -> int | None:
        """What the payload is (0x000b); HEP1 and HEP2 cannot say and mean 1, SIP."""
        return self.type_of_payload()

    def type_of_payload(self) -> int | None:
        """Return `proto_type`; compiled, a method costs less than a property."""
        if self.version != 3:
            # Captagent sends RTCP JSON in HEP1 just the same: the warning json-in-v12 tells.
            return PROTO_SIP
        return self.number(0x000B, 1)

    @property
    def capture_id(self) -> int | None:
        """Capture agent id (0x000c); 16 bits wide in HEP2, absent in HEP1."""
        if self.version == 3:
            return self.number(0x000C, 4)
        body = self.body(0x000C)
        return None if body is None or len(body) != 2 else int.from_bytes(body, self._byte_order)

    # The payload

    @property
    def payload(self) -> bytes | None:
        """The payload, inflated if it came compressed; None without a payload chunk.

        Empty if it does not inflate, or not within `INFLATE_LIMIT`. HEP1 and HEP2 payloads come
        without trailing NULs: OpenSIPS appends 8 or 32 of them.
        """
        return self.content()

    def content(self) -> bytes | None:
        """Return `payload`; compiled, a method costs less than a property."""
        if self._payload is None:
            if self._payload_span is not None:
                start, end = self._payload_span
                self._payload = self.data[start:end]
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
        return self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        # The octets stay out: they hold the authentication key.
        return f"<Packet HEP{self.version}, {len(self.data)} octets>"


def is_ipv6_family(family: int | None) -> bool:
    """Return whether a declared family means IPv6, on whatever system it was written."""
    return family == FAMILY_IPV6 or family in FAMILIES_IPV6_ELSEWHERE


def _ip_address(packed: bytes | None) -> IPv4Address | IPv6Address | None:
    if packed is None:
        return None
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
