"""Packets from values.

`encode` writes chunks as they are given, `build` makes a HEP3 packet out of named values, `to_v3`
is what a HEP1 or HEP2 packet becomes where its own format will not do. Nothing is ever cut to fit.

Source: HEP3 rev. 37; the order of the chunks is that of captagent's header structure.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from hepsw.errors import EditError
from hepsw.hep._scan import HEADER, HEADER_SIZE
from hepsw.hep.chunks import (
    FAMILY_IPV4,
    FAMILY_IPV6,
    MAX_TOTAL_LENGTH,
    PROTO_RTCP,
    PROTO_SIP,
    SPEC_BY_ID,
    SPECS_BY_NAME,
    Chunk,
)
from hepsw.hep.decoding import MAGICS, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hepsw.hep.packet import ByteOrder, Packet

MICROSECONDS: Final = 1_000_000
"""In a second."""

Address = IPv4Address | IPv6Address | str | bytes
"""Text or octets, or an object of the ipaddress module; octets are the packed form."""
Value = int | str | bytes | IPv4Address | IPv6Address

_ADDRESSES: Final = frozenset({"src_ip", "dst_ip"})
_FIRST: Final = (  # captagent, Kamailio, OpenSIPS and Asterisk all open with these
    *("ip_family", "ip_protocol", "src_port", "dst_port"),
    *("seconds", "microseconds", "proto_type", "capture_id", "src_ip", "dst_ip"),
)
_LAST: Final = ("compressed_payload", "payload")
_ORDER: Final = (
    *_FIRST,
    *(name for name in SPECS_BY_NAME if name not in {*_FIRST, *_LAST}),
    *_LAST,
)

_RTCP_KEYS: Final = (b'"sender_information"', b'"report_blocks"', b'"report_count"')


def encode(chunks: Iterable[Chunk], magic: bytes = b"HEP3") -> bytes:
    """Return the frame of these chunks, in the order given.

    Raises:
        EditError: "too-big", more than 65535 octets.
        ValueError: a magic that is none.
    """
    if magic not in MAGICS:
        raise ValueError(f"not the magic of a HEP3 frame: {magic!r}")
    parts = [magic, b""]
    total = HEADER_SIZE
    for chunk in chunks:
        length = HEADER_SIZE + len(chunk.body)
        total += length
        if total > MAX_TOTAL_LENGTH:
            # captagent stores the low 16 bits instead, and its receiver loses the stream.
            raise EditError("too-big", f"more than {MAX_TOTAL_LENGTH} octets")
        parts.append(chunk_header(chunk.vendor_id, chunk.type_id, length))
        parts.append(chunk.body)
    parts[1] = total.to_bytes(2, "big")
    return b"".join(parts)


def build(*, magic: bytes = b"HEP3", **values: Value | None) -> Packet:
    """Return a HEP3 packet made of named values.

    Args:
        magic: HEP3, EEP3 or EEP1.
        values: by the names of the registry, and `time`: microseconds since the epoch. Addresses
            are `ipaddress` objects, text, or packed octets; text goes out as UTF-8. None counts as
            not given. The address family follows from the addresses unless it is given.

    Raises:
        EditError: "does-not-fit", a value that its chunk cannot hold; "too-big".
        KeyError: a name that is not in the registry.
        ValueError: text that is not an address.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if "time" in given:
        given["seconds"], given["microseconds"] = split_time(given.pop("time"))
    for name in _ADDRESSES & given.keys():
        given[name] = packed_address(given[name])
    source = given.get("src_ip", given.get("dst_ip"))
    if isinstance(source, bytes):
        given.setdefault("ip_family", family_of(source))
    unknown = given.keys() - SPECS_BY_NAME.keys()
    if unknown:
        raise KeyError(f"not in the chunk registry: {', '.join(sorted(unknown))}")
    return decode(encode(_chunks_of(given), magic))


def _chunks_of(given: dict[str, Value]) -> Iterator[Chunk]:
    for name in _ORDER:
        if name not in given:
            continue
        value = given[name]
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, (int, bytes)):
            raise EditError("does-not-fit", f"{value} as {name}")
        specs = SPECS_BY_NAME[name]
        is_ipv6 = name in _ADDRESSES and isinstance(value, bytes) and len(value) == 16
        spec = specs[1] if is_ipv6 else specs[0]
        yield Chunk(0, spec.type_id, spec.type.pack(value))


def encode_v1(
    *,
    src_ip: Address,
    dst_ip: Address,
    src_port: int,
    dst_port: int,
    ip_protocol: int,
    payload: bytes,
) -> bytes:
    """Return a HEP1 frame.

    Raises:
        EditError: "family", addresses of two families; "does-not-fit".
        ValueError: text that is not an address.
    """
    header = _legacy_header(
        1,
        src_ip=src_ip,
        dst_ip=dst_ip,
        src_port=src_port,
        dst_port=dst_port,
        ip_protocol=ip_protocol,
    )
    return _checked(header, payload)


def encode_v2(
    *,
    src_ip: Address,
    dst_ip: Address,
    src_port: int,
    dst_port: int,
    ip_protocol: int,
    payload: bytes,
    time: int,
    capture_id: int = 0,
) -> bytes:
    """Return a HEP2 frame, its time header little-endian, as captagent and Kamailio write it.

    Args:
        src_ip: see `Address`, as is dst_ip.
        dst_ip: of the family of src_ip.
        src_port: 0 without a socket.
        dst_port: 0 without a socket.
        ip_protocol: 17 = UDP, 6 = TCP, ...
        payload: must not end with NULs, which readers take for padding.
        time: microseconds since the epoch.
        capture_id: 16 bits.

    Raises:
        EditError: "family", addresses of two families; "does-not-fit", also for a time so far off
            that readers would take it for a big-endian one.
        ValueError: text that is not an address.
    """
    header = _legacy_header(
        2,
        src_ip=src_ip,
        dst_ip=dst_ip,
        src_port=src_port,
        dst_port=dst_port,
        ip_protocol=ip_protocol,
    )
    seconds, microseconds = split_time(time)
    header += packed_number(seconds, 4, "little") + packed_number(microseconds, 4, "little")
    header += packed_number(capture_id, 2, "little") + bytes(2)
    data = _checked(header, payload)
    if decode(data).time_byte_order != "little":
        raise EditError("does-not-fit", f"time {time} in HEP2")
    return data


def to_v3(packet: Packet, received_us: int) -> Packet:
    """Return a packet as HEP3, for streams and for edits that its own version cannot carry.

    Args:
        packet: of any version; HEP3 comes back unchanged.
        received_us: when it arrived, microseconds since the epoch: the time of a HEP1 packet.

    Raises:
        EditError: "too-big", the result would pass 65535 octets.
    """
    if packet.version == 3:
        return packet
    time_us = packet.time_us
    payload = packet.payload or b""
    return build(
        ip_protocol=packet.ip_protocol,
        src_ip=packet.src_address,
        dst_ip=packet.dst_address,
        src_port=packet.src_port,
        dst_port=packet.dst_port,
        # Not joined: a sender's microseconds beyond a second stay as they are.
        seconds=received_us // MICROSECONDS if time_us is None else packet.seconds,
        microseconds=received_us % MICROSECONDS if time_us is None else packet.microseconds,
        proto_type=PROTO_RTCP if is_rtcp_json(payload) else PROTO_SIP,
        # HEP1 has none; Kamailio and the collectors want the chunk all the same.
        capture_id=packet.capture_id or 0,
        payload=payload,
    )


def is_rtcp_json(payload: bytes) -> bool:
    """Return whether a payload looks like an RTCP report as captagent or rtpengine write it.

    Looked at, not parsed: the payload is hostile, and its JSON may be cut.
    """
    return payload.startswith(b"{") and any(key in payload for key in _RTCP_KEYS)


def body_of(type_id: int | None, value: int | bytes) -> bytes:
    """Return a value as the body of a chunk.

    Args:
        type_id: of the registry; None for a chunk of unknown type, which takes any octets.
        value: as `ChunkType.pack` wants it.

    Raises:
        EditError: "does-not-fit".
    """
    if type_id is not None:
        return SPEC_BY_ID[type_id].type.pack(value)
    if isinstance(value, int):
        raise EditError("does-not-fit", f"{value} in a chunk of unknown type")
    return value


def chunk_header(vendor_id: int, type_id: int, length: int) -> bytes:
    """Return the six octets in front of a chunk's body.

    Raises:
        EditError: "does-not-fit", numbers that are not 16 bits wide.
    """
    if not (0 <= vendor_id <= 0xFFFF and 0 <= type_id <= 0xFFFF and length <= MAX_TOTAL_LENGTH):
        raise EditError("does-not-fit", f"chunk {vendor_id}:{type_id} of {length} octets")
    return HEADER.pack(vendor_id, type_id, length)


def split_time(value: Value) -> tuple[int, int]:
    """Return the seconds and the microseconds of a time in microseconds.

    Raises:
        EditError: "does-not-fit", not a number, or before the epoch.
    """
    if not isinstance(value, int) or value < 0:
        raise EditError("does-not-fit", f"{value!r} as time")
    return divmod(value, MICROSECONDS)


def packed_address(value: Value) -> bytes:
    """Return an address packed, 4 or 16 octets.

    Raises:
        EditError: "does-not-fit", octets that are not 4 or 16, or a number.
        ValueError: text that is not an address.
    """
    if isinstance(value, str):
        value = ip_address(value)
    if isinstance(value, (IPv4Address, IPv6Address)):
        return value.packed
    if not isinstance(value, bytes) or len(value) not in {4, 16}:
        raise EditError("does-not-fit", f"{value!r} as an address")
    return value


def packed_number(value: Value | None, size: int, byte_order: ByteOrder = "big") -> bytes:
    """Return a number of the fixed header of HEP1 and HEP2.

    Raises:
        EditError: "does-not-fit", not a number, or one that needs more than `size` octets.
    """
    if not isinstance(value, int) or value < 0 or value.bit_length() > 8 * size:
        raise EditError("does-not-fit", f"{value!r} in {size} octets")
    return value.to_bytes(size, byte_order)


def family_of(address: bytes) -> int:
    """Return the family number of a packed address, as HEP writes it."""
    return FAMILY_IPV4 if len(address) == 4 else FAMILY_IPV6


def _legacy_header(
    version: int,
    *,
    src_ip: Address,
    dst_ip: Address,
    src_port: int,
    dst_port: int,
    ip_protocol: int,
) -> bytes:
    """Return the part that HEP1 and HEP2 share; the header length leaves the time header out."""
    source, destination = packed_address(src_ip), packed_address(dst_ip)
    if len(source) != len(destination):
        raise EditError("family", "addresses of two families")
    header_length = 8 + 2 * len(source)
    return b"".join(
        (
            bytes((version, header_length, family_of(source))),
            packed_number(ip_protocol, 1),
            packed_number(src_port, 2),
            packed_number(dst_port, 2),
            source,
            destination,
        )
    )


def _checked(header: bytes, payload: bytes) -> bytes:
    """Return the whole HEP1 or HEP2 frame."""
    if payload.endswith(b"\0"):
        raise EditError("does-not-fit", "trailing NULs of a payload")
    if len(header) + len(payload) > MAX_TOTAL_LENGTH:
        raise EditError("too-big", f"more than {MAX_TOTAL_LENGTH} octets")
    return header + payload
