"""HEP frames out of a packet capture: pcap and pcapng.

`framefile` calls `read` with a whole file. UDP datagrams are taken as they are, fragments put
together first; TCP connections are followed in both directions and cut into frames. What is not
HEP is counted, never guessed at.

The octets are read here rather than by dpkt, which hands out records that the file cut short, takes
the link type of a pcapng file from its first interface alone, and meets hostile IPv6 options with
an IndexError; none of them comes with a place. The tests write their files with dpkt.

Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, the tcpdump.org list of link types;
RFC 791, RFC 8200 (fragments), RFC 9293 (sequence numbers).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.errors import DecodeError, PacketError
from hepsw.hep import StreamSplitter, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

SKIPS: Final = {
    "link-type": "of an unknown link type",
    "not-ip": "without IP",
    "not-transport": "neither UDP nor TCP",
    "not-hep": "not HEP",
    "malformed": "with a broken IP, UDP or TCP header",
    "cut": "cut by the capture",
    "fragment": "fragments without the rest",
    "tcp-gap": "TCP segments with a gap before them",
    "tcp-partial": "TCP frames without an end",
}
"""Why packets of a capture are passed over, with words for people."""

_UDP: Final = 17
_TCP: Final = 6
_MAX_WAITING: Final = 256
"""TCP segments that a connection keeps for want of an earlier one."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What a capture file holds for us."""

    frames: tuple[bytes, ...]
    """The payloads of datagrams, and the frames of TCP connections, in the order of the file."""
    skipped: dict[str, int]
    """How many packets were passed over, by the keys of `SKIPS`."""


def is_capture(data: bytes) -> bool:
    """Return whether a file opens as pcap or pcapng."""
    return data[:4] in _PCAP_MAGICS or data[:4] == _PCAPNG_MAGIC


def read(data: bytes) -> Capture:
    """Return the HEP frames of a capture file.

    Args:
        data: the whole file.

    Raises:
        DecodeError: pcap-magic, pcap-truncated, pcap-malformed: the file itself is broken, at the
            octet given. A broken packet inside it is only counted.
    """
    frames: list[bytes] = []
    skipped: Counter[str] = Counter()
    transport = _Transport(skipped)
    for record in _records(data):
        try:
            frames += transport.frames_of(_ip_packet(record))
        except PacketError as error:
            skipped[error.reason] += 1
    transport.end()
    return Capture(tuple(frames), dict(skipped))


# The file


class _Record(NamedTuple):
    """One captured packet."""

    link_type: int
    octets: bytes
    is_whole: bool
    """False if the capture kept only its beginning."""


_PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
_PCAP_MAGICS: Final = {  # byte order, octets of a record header
    b"\xa1\xb2\xc3\xd4": (">", 16),
    b"\xd4\xc3\xb2\xa1": ("<", 16),
    b"\xa1\xb2\x3c\x4d": (">", 16),  # nanoseconds
    b"\x4d\x3c\xb2\xa1": ("<", 16),
    b"\xa1\xb2\xcd\x34": (">", 24),  # Kuznetzov's
    b"\x34\xcd\xb2\xa1": ("<", 24),
}
_PCAP_HEADER_SIZE: Final = 24
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 1, 2, 3, 6


def _records(data: bytes) -> Iterator[_Record]:
    if data[:4] == _PCAPNG_MAGIC:
        return _pcapng_records(data)
    if data[:4] in _PCAP_MAGICS:
        return _pcap_records(data)
    raise DecodeError("pcap-magic", 0, "octet 0: neither pcap nor pcapng")


def _pcap_records(data: bytes) -> Iterator[_Record]:
    order, header_size = _PCAP_MAGICS[data[:4]]
    if len(data) < _PCAP_HEADER_SIZE:
        raise _broken("truncated", len(data), "the file header is cut short")
    lengths = Struct(order + "II")
    link_type = Struct(order + "I").unpack_from(data, 20)[0] & 0xFFFF  # above: what a CRC adds
    offset = _PCAP_HEADER_SIZE
    while offset < len(data):
        start = offset + header_size
        if start > len(data):
            raise _broken("truncated", offset, "a record header is cut short")
        kept, original = lengths.unpack_from(data, offset + 8)
        end = start + kept
        if end > len(data):
            raise _broken("truncated", offset, f"a record of {kept} octets is cut short")
        yield _Record(link_type, data[start:end], kept >= original)
        offset = end


def _pcapng_records(data: bytes) -> Iterator[_Record]:
    order = "<"
    interfaces: list[tuple[int, int]] = []  # link type, snap length; 0 is none
    offset = 0
    while offset < len(data):
        if len(data) - offset < 12:
            raise _broken("truncated", offset, "a block header is cut short")
        if data[offset : offset + 4] == _PCAPNG_MAGIC:  # the same in both byte orders
            order = _byte_order(data, offset)
            interfaces = []  # of this section from here on
        number = Struct(order + "I")
        kind, length = Struct(order + "II").unpack_from(data, offset)
        if length < 12 or length % 4:
            raise _broken("malformed", offset + 4, f"a block of {length} octets")
        end = offset + length
        if end > len(data):
            raise _broken("truncated", offset, f"a block of {length} octets is cut short")
        if number.unpack_from(data, end - 4)[0] != length:
            raise _broken("malformed", end - 4, "the two lengths of a block differ")
        body = data[offset + 8 : end - 4]
        if kind == _INTERFACE:
            if len(body) < 8:
                raise _broken("malformed", offset, "a short interface block")
            interfaces.append(
                (Struct(order + "H").unpack_from(body)[0], number.unpack_from(body, 4)[0])
            )
        elif kind in _PACKET_HEADERS:
            yield _pcapng_packet(kind, body, offset, order, interfaces)
        offset = end


_PACKET_HEADERS: Final = {  # interface, octets kept, octets on the wire; x is a time or unused
    _OLD_PACKET: "HxxxxxxxxxxII",
    _SIMPLE_PACKET: "I",
    _ENHANCED_PACKET: "IxxxxxxxxII",
}


def _pcapng_packet(
    kind: int, body: bytes, offset: int, order: str, interfaces: list[tuple[int, int]]
) -> _Record:
    header = Struct(order + _PACKET_HEADERS[kind])
    if len(body) < header.size:
        raise _broken("malformed", offset, "a short packet block")
    numbers = header.unpack_from(body)
    interface = 0 if kind == _SIMPLE_PACKET else numbers[0]
    if interface >= len(interfaces):
        raise _broken("malformed", offset, f"a packet of the unknown interface {interface}")
    link_type, snap_length = interfaces[interface]
    original = numbers[-1]
    kept = min(original, snap_length or original) if kind == _SIMPLE_PACKET else numbers[1]
    if kept > len(body) - header.size:
        raise _broken("malformed", offset, f"a packet of {kept} octets in a smaller block")
    return _Record(link_type, body[header.size : header.size + kept], kept >= original)


def _byte_order(data: bytes, offset: int) -> str:
    """Return how the numbers of a section are written."""
    match data[offset + 8 : offset + 12]:
        case b"\x4d\x3c\x2b\x1a":
            return "<"
        case b"\x1a\x2b\x3c\x4d":
            return ">"
    raise _broken("malformed", offset + 8, "no byte order mark")


def _broken(reason: str, offset: int, detail: str) -> DecodeError:
    return DecodeError(f"pcap-{reason}", offset, f"octet {offset}: {detail}")


# Link and IP


class _Link(NamedTuple):
    """Where a link header ends, and where it says what follows."""

    size: int
    ether_type: int | None
    """Offset; None where only the IP version itself tells."""


_LINKS: Final = {
    0: _Link(4, None),  # NULL: a family, numbered as the capturing system pleases
    108: _Link(4, None),  # LOOP
    1: _Link(14, 12),  # Ethernet
    12: _Link(0, None),  # RAW, and below, by number and system
    14: _Link(0, None),
    101: _Link(0, None),
    228: _Link(0, None),  # IPV4
    229: _Link(0, None),  # IPV6
    113: _Link(16, 14),  # LINUX_SLL
    276: _Link(20, 0),  # LINUX_SLL2
}
_VLANS: Final = frozenset({0x8100, 0x88A8, 0x9100})
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_UINT16: Final = Struct("!H").unpack_from


class _IpPacket(NamedTuple):
    """One IP packet without its headers."""

    protocol: int
    source: bytes
    destination: bytes
    payload: bytes
    fragment: tuple[bytes, int, bool] | None
    """Of which packet, at which octet, and whether more follow; None for a whole packet."""


def _ip_packet(record: _Record) -> _IpPacket:
    """Return the IP packet in a record.

    Raises:
        PacketError: why there is none, a key of `SKIPS`.
    """
    link = _LINKS.get(record.link_type)
    if link is None:
        raise PacketError("link-type")
    octets = record.octets
    start = link.size
    if len(octets) <= start:
        raise PacketError("not-ip" if record.is_whole else "cut")
    if link.ether_type is not None:
        ether_type = _UINT16(octets, link.ether_type)[0]
        while ether_type in _VLANS:
            if len(octets) < start + 4:
                raise PacketError("not-ip")
            ether_type = _UINT16(octets, start + 2)[0]
            start += 4
        if ether_type not in {_IPV4, _IPV6}:
            raise PacketError("not-ip")
    octets = octets[start:]
    version = octets[0] >> 4 if octets else 0
    if version == 4:
        return _ipv4(octets, is_whole=record.is_whole)
    if version == 6:
        return _ipv6(octets, is_whole=record.is_whole)
    raise PacketError("not-ip")


def _ipv4(octets: bytes, *, is_whole: bool) -> _IpPacket:
    header_size = (octets[0] & 0x0F) * 4
    if header_size < 20 or len(octets) < header_size:
        raise PacketError("malformed" if is_whole else "cut")
    # 0 from a network card that cuts the packet only after the capture has seen it.
    total = _UINT16(octets, 2)[0] or len(octets)
    if total < header_size:
        raise PacketError("malformed")
    if total > len(octets):
        raise PacketError("malformed" if is_whole else "cut")
    flags = _UINT16(octets, 6)[0]
    position, more = (flags & 0x1FFF) * 8, bool(flags & 0x2000)
    fragment = (octets[4:6], position, more) if position or more else None
    payload = octets[header_size:total]  # what is behind it pads an Ethernet frame
    return _IpPacket(octets[9], octets[12:16], octets[16:20], payload, fragment)


def _ipv6(octets: bytes, *, is_whole: bool) -> _IpPacket:
    if len(octets) < 40:
        raise PacketError("malformed" if is_whole else "cut")
    end = 40 + _UINT16(octets, 4)[0]
    if end == 40:
        end = len(octets)  # as with IPv4
    if end > len(octets):
        raise PacketError("malformed" if is_whole else "cut")
    protocol, start = octets[6], 40
    fragment = None
    while protocol in {0, 43, 44, 51, 60}:
        if end - start < 8:
            raise PacketError("malformed")
        size = 8
        if protocol == 44:
            position = _UINT16(octets, start + 2)[0]
            fragment = (octets[start + 4 : start + 8], position & 0xFFF8, bool(position & 1))
        elif protocol == 51:
            size = (octets[start + 1] + 2) * 4
        else:
            size = (octets[start + 1] + 1) * 8
        protocol = octets[start]
        start += size
        if start > end:
            raise PacketError("malformed")
        if fragment is not None:
            break  # what follows may be in another fragment
    if fragment is not None and fragment[1:] == (0, False):
        fragment = None  # one that is the whole packet (RFC 6946)
    return _IpPacket(protocol, octets[8:24], octets[24:40], octets[start:end], fragment)


# UDP and TCP


@dataclass(slots=True)
class _Fragments:
    """What has come of one IP packet."""

    parts: dict[int, bytes] = field(default_factory=dict)
    received: int = 0
    total: int | None = None
    """Octets of the whole, known once the last fragment is there."""


@dataclass(slots=True)
class _Direction:
    """What one end of a TCP connection sends."""

    expected: int | None = None
    """The next sequence number; None until a place to start is found."""
    waiting: dict[int, bytes] = field(default_factory=dict)
    splitter: StreamSplitter = field(default_factory=StreamSplitter)


class _Transport:
    """Puts packets together until they are payloads."""

    def __init__(self, skipped: Counter[str]) -> None:
        self._skipped = skipped
        self._fragments: dict[tuple[bytes, bytes, int, bytes], _Fragments] = {}
        self._directions: dict[bytes, _Direction] = {}

    def frames_of(self, packet: _IpPacket) -> list[bytes]:
        """Return the frames that a packet completes.

        Raises:
            PacketError: why it was passed over, a key of `SKIPS`.
        """
        if packet.protocol not in {_UDP, _TCP}:
            raise PacketError("not-transport")
        payload = packet.payload if packet.fragment is None else self._reassembled(packet)
        if payload is None:
            return []
        if packet.protocol == _TCP:
            return self._tcp(packet.source + packet.destination, payload)
        return [_udp_payload(payload)]

    def end(self) -> None:
        """Count what was never completed."""
        for fragments in self._fragments.values():
            self._skipped["fragment"] += len(fragments.parts)
        for direction in self._directions.values():
            self._close(direction)

    def _reassembled(self, packet: _IpPacket) -> bytes | None:
        assert packet.fragment is not None  # noqa: S101 - our caller has looked
        name, position, more = packet.fragment
        key = (packet.source, packet.destination, packet.protocol, name)
        fragments = self._fragments.setdefault(key, _Fragments())
        if position in fragments.parts:
            return None  # captured twice
        fragments.parts[position] = packet.payload
        fragments.received += len(packet.payload)
        if not more:
            fragments.total = position + len(packet.payload)
        if fragments.total is None or fragments.received < fragments.total:
            return None
        del self._fragments[key]
        whole = bytearray()
        for start, part in sorted(fragments.parts.items()):
            if start != len(whole):  # overlapping: nobody sends that in good faith
                self._skipped["malformed"] += len(fragments.parts) - 1
                raise PacketError("malformed")
            whole += part
        return bytes(whole)

    def _tcp(self, addresses: bytes, segment: bytes) -> list[bytes]:
        if len(segment) < 20:
            raise PacketError("malformed")
        header_size = (segment[12] >> 4) * 4
        if not 20 <= header_size <= len(segment):
            raise PacketError("malformed")
        sequence = int.from_bytes(segment[4:8], "big")
        key = addresses + segment[:4]
        payload = segment[header_size:]
        opens = bool(segment[13] & 0x02)
        direction = self._directions.get(key)
        if opens:
            sequence = (sequence + 1) & 0xFFFFFFFF
            if direction is None or direction.expected != sequence:
                if direction is not None:
                    self._close(direction)
                direction = _Direction(expected=sequence)
        elif direction is None:
            direction = _Direction()
        self._directions[key] = direction
        return self._segment(direction, sequence, payload) if payload else []

    def _segment(self, direction: _Direction, sequence: int, payload: bytes) -> list[bytes]:
        """Return the frames that a segment completes, with those that waited for it."""
        if direction.splitter.error is not None:
            raise PacketError("not-hep")
        if direction.expected is None:
            # Captured from the middle on: nothing but the start of a segment can be a frame's.
            if payload[:4] not in {b"HEP3", b"EEP3", b"EEP1"}:
                raise PacketError("tcp-gap")
            direction.expected = sequence
        waiting = direction.waiting
        if len(waiting) == _MAX_WAITING:
            raise PacketError("tcp-gap")
        if len(payload) > len(waiting.get(sequence, b"")):
            waiting[sequence] = payload
        frames: list[bytes] = []
        while waiting:
            # How far each lies behind what is expected; more than half the numbers means: before.
            behind = {(direction.expected - start) & 0xFFFFFFFF: start for start in waiting}
            known = min(behind)
            if known >= 1 << 31:
                break
            part = waiting.pop(behind[known])
            if len(part) <= known:
                continue  # sent again
            direction.expected = (direction.expected + len(part) - known) & 0xFFFFFFFF
            frames += direction.splitter.feed(part[known:])
            if direction.splitter.error is not None:
                self._skipped["not-hep"] += 1 + len(waiting)
                waiting.clear()
        return frames

    def _close(self, direction: _Direction) -> None:
        self._skipped["tcp-gap"] += len(direction.waiting)
        if direction.splitter.eof() is not None:
            self._skipped["tcp-partial"] += 1


def _udp_payload(datagram: bytes) -> bytes:
    """Return the payload of a UDP datagram that carries HEP.

    Raises:
        PacketError: malformed, not-hep.
    """
    if len(datagram) < 8:
        raise PacketError("malformed")
    length = _UINT16(datagram, 4)[0] or len(datagram)
    if not 8 <= length <= len(datagram):
        raise PacketError("malformed")
    payload = datagram[8:length]
    if not is_hep(payload):
        raise PacketError("not-hep")
    return payload


def is_hep(payload: bytes) -> bool:
    """Return whether octets begin like HEP, whole or not, or like a gzip member with HEP inside."""
    if payload.startswith((b"HEP3", b"EEP3", b"EEP1", b"\x1f\x8b")):
        return True
    if payload[:1] not in {b"\x01", b"\x02"}:
        return False
    try:
        decode(payload)
    except DecodeError:
        return False  # a first octet of 1 or 2 says little: STUN has it too
    return True
