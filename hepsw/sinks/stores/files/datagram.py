"""One packet as a record of a capture file: what the agent saw, rebuilt from what it told.

`PcapWriter` keeps such records, `hepsw export` writes those of a call. Nothing here opens a file.

A record is an IP packet with no link header (LINKTYPE_RAW), so that no MAC address is invented, and
UDP within, whatever the call travelled over: only the payload is known, neither the segments of a
TCP connection nor the keys of a TLS one. What was not told is zero: an address is unspecified, a
port is 0. No port is invented either: Wireshark and sngrep know SIP by its text, whatever the port.

Source: draft-ietf-opsawg-pcap, the tcpdump.org list of link types; RFC 791, 8200, 768, 1071, 4291.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, cast

from hepsw.errors import CannotLeaveError
from hepsw.hep.inflate import inflate
from hepsw.hep.packet import is_ipv6_family

if TYPE_CHECKING:
    from hepsw.hep import Packet
    from hepsw.view import View

RECORD: Final = Struct("<IIII")
"""Opens a record: seconds, microseconds, octets that were kept, octets that there were."""
LINK_TYPE: Final = 101
"""LINKTYPE_RAW: an IP packet, whose first four bits tell the version."""
LONGEST: Final = 65507
"""Octets of a payload that a datagram of IPv4 carries."""
SNAP_LENGTH: Final = 262144
"""What tcpdump writes, and more than any of our packets has."""
LATEST_US: Final = (1 << 32) * 1_000_000 - 1
"""The seconds of a capture file have 32 bits."""

_IPV4: Final = Struct("!BBHHHBBH4s4s")
_IPV6: Final = Struct("!IHBB16s16s")
_UDP: Final = Struct("!HHHH")
_PSEUDO_IPV4: Final = Struct("!4s4sBBH")
_PSEUDO_IPV6: Final = Struct("!16s16sII")
_PROTOCOL: Final = 17
_HOPS: Final = 64
_NOT_CUT: Final = 0x4000
"""A packet that is not to be cut into fragments needs no identification (RFC 6864)."""
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""Opens the IPv6 address that stands for one of IPv4."""


def file_header() -> bytes:
    """Return what a capture file begins with."""
    from dpkt import pcap  # noqa: PLC0415 - a start without such a store does not pay for it

    return bytes(pcap.LEFileHdr(snaplen=SNAP_LENGTH, linktype=LINK_TYPE))


def make_record(view: View) -> bytes:
    """Return a packet as a record of a capture file, its header included.

    The time is that of the capture; of the arrival where none was told. One that a capture file
    cannot hold becomes the last one that it can.

    Raises:
        CannotLeaveError: see `make_datagram`.
    """
    octets = make_datagram(view.packet)
    seconds, microseconds = divmod(min(time_of(view), LATEST_US), 1_000_000)
    return RECORD.pack(seconds, microseconds, len(octets), len(octets)) + octets


def time_of(view: View) -> int:
    """Return when a packet was captured, or else when it arrived; microseconds since the epoch."""
    time_us = view.packet.time_us
    return view.received_us if time_us is None else time_us


def make_datagram(packet: Packet) -> bytes:
    """Return the IP packet that was captured, as far as it is known.

    Two addresses of different families stand as IPv6, the other one mapped into it.

    Raises:
        CannotLeaveError: too-big; inflate-failed: the payload is not there as it was captured.
    """
    payload = _payload_of(packet)
    if len(payload) > LONGEST:
        raise CannotLeaveError("too-big", f"{len(payload)} octets, a datagram takes {LONGEST}")
    source, destination = _addresses_of(packet)
    length = _UDP.size + len(payload)
    ports = packet.src_port or 0, packet.dst_port or 0
    is_ipv4 = len(source) == 4
    pseudo = (
        _PSEUDO_IPV4.pack(source, destination, 0, _PROTOCOL, length)
        if is_ipv4
        else _PSEUDO_IPV6.pack(source, destination, length, _PROTOCOL)
    )
    # 0 would say that there is no sum; `_sum_of` has 0xffff for it, which is the same number.
    checksum = _sum_of(pseudo + _UDP.pack(*ports, length, 0) + payload)
    datagram = _UDP.pack(*ports, length, checksum) + payload
    service = packet.tos or 0
    if not is_ipv4:
        opening = 6 << 28 | service << 20
        return _IPV6.pack(opening, length, _PROTOCOL, _HOPS, source, destination) + datagram
    total = _IPV4.size + length
    fields = (0x45, service, total, 0, _NOT_CUT, _HOPS, _PROTOCOL)
    checksum = _sum_of(_IPV4.pack(*fields, 0, source, destination)) % 0xFFFF
    return _IPV4.pack(*fields, checksum, source, destination) + datagram


def _addresses_of(packet: Packet) -> tuple[bytes, bytes]:
    """Return both addresses, packed, of one family."""
    source, destination = packet.src_address, packet.dst_address
    if source is None and destination is None:
        nowhere = bytes(16 if is_ipv6_family(packet.ip_family) else 4)
        return nowhere, nowhere
    if source is None:
        source = bytes(len(cast("bytes", destination)))
    if destination is None:
        destination = bytes(len(source))
    if len(source) == len(destination):
        return source, destination
    return _widened(source), _widened(destination)


def _widened(address: bytes) -> bytes:
    return _MAPPED + address if len(address) == 4 else address


def _payload_of(packet: Packet) -> bytes:
    """Return the payload as it was captured; empty where there is none.

    Not asked of `Packet.payload` where it is compressed: that remembers its answer, in a packet
    that other threads read, and holds more than a datagram takes.
    """
    body = packet.compressed_payload
    if body is None or packet.body_size(0x000F) is not None:
        span = packet.payload_span
        return b"" if span is None else packet.data[span[0] : span[1]]
    if not body:
        return b""
    known = inflate(body, LONGEST)
    if known.warning == "inflate-limit":
        raise CannotLeaveError("too-big", f"inflates to more than {LONGEST} octets")
    if known.warning is not None:
        raise CannotLeaveError("inflate-failed", "the payload does not inflate")
    return known.payload


def _sum_of(octets: bytes) -> int:
    """Return the Internet checksum of octets that are not all zero; 0xffff rather than 0.

    The sum of 16-bit words with its carries added back in is the whole number, modulo 0xffff: one
    division instead of a loop.
    """
    number = int.from_bytes(octets)
    if len(octets) % 2:
        number <<= 8
    return 0xFFFF - number % 0xFFFF
