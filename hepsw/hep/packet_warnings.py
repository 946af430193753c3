"""What is odd about a frame that is usable all the same: its warnings, as slugs.

`Packet.warnings` calls this once, when somebody looks: warnings are counted, never fatal. Each slug
stands for something that a real agent sends. There are at most a few per known chunk, so a hostile
frame cannot make the list long.

Source: the programs named in the comments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.hep.chunks import (
    FAMILIES_IPV6_ELSEWHERE,
    FAMILY_IPV4,
    FAMILY_IPV6,
    GENERIC,
    ChunkType,
)

if TYPE_CHECKING:
    from hepsw.hep.packet import Packet

_FIXED: Final = tuple((spec.type_id, spec.type.size) for spec in GENERIC if spec.type.size)
_TEXTS: Final = tuple(spec.type_id for spec in GENERIC if spec.type is ChunkType.UTF8)
_IDS: Final = tuple(spec.type_id for spec in GENERIC)


def warnings_of(packet: Packet) -> tuple[str, ...]:
    """Return the warnings of a packet, sorted."""
    found = list(packet.notes)
    if packet.version == 3:
        _add_chunks(packet, found)
        _add_frame(packet, found)
    else:
        _add_legacy(packet, found)
    _add_addresses(packet, found)
    _add_payload(packet, found)
    if packet.seconds == 0:
        found.append("zero-time")  # the ping of heplify 1
    if (packet.microseconds or 0) >= 1_000_000:
        found.append("usec-range")  # hepagent.rs: little-endian numbers
    found.sort()
    return tuple(found)


def _add_chunks(packet: Packet, found: list[str]) -> None:
    """Add what is wrong with single chunks of a HEP3 frame."""
    size_of = packet.body_size
    found += [
        f"bad-size:{type_id:04x}"
        for type_id, size in _FIXED
        if size_of(type_id) not in {size, None}
    ]
    if packet.has_repeats:
        found += [f"dup:{type_id:04x}" for type_id in _IDS if packet.is_repeated(type_id)]
    if any(size_of(type_id) and (packet.body(type_id) or b"")[-1] == 0 for type_id in _TEXTS):
        found.append("nul-in-text")


def _add_frame(packet: Packet, found: list[str]) -> None:
    """Add what a HEP3 frame lacks, and what is unusual about it as a whole."""
    if packet.body_size(0x0000) is not None:
        found.append("type-zero")  # Kamailio refuses such a frame
    if packet.seconds is None:
        found.append("missing:time")
    proto_type = packet.proto_type
    if proto_type is None:
        found.append("missing:proto-type")
    elif proto_type == 0:
        found.append("proto-zero")
    capture_id = packet.capture_id
    # A 16-bit swap on a 32-bit field (sngrep, sipgrep, rtpproxy); 65536 * n is legal, so: a hint.
    if capture_id and capture_id & 0xFFFF == 0:
        found.append("capture-id-shifted")
    if packet.magic != b"HEP3":
        found.append("alt-magic")
    if packet.namespace:
        found.append(f"vendor-namespace:{packet.namespace}")


def _add_legacy(packet: Packet, found: list[str]) -> None:
    """Add what is unusual about a HEP1 or HEP2 frame."""
    header_length = packet.header_length
    base = 16 if packet.ip_family == FAMILY_IPV4 else 40
    # Sofia counts the time header; sngrep writes the high octet of the frame length.
    if header_length != base and not (packet.version == 2 and header_length == base + 12):
        found.append(f"hdr-len:{header_length}")
    if packet.time_byte_order == "big":
        found.append("be-timestamp")  # hep-erlang, Kazoo
    span = packet.payload_span
    if span is not None:
        if span[1] < len(packet.data):
            found.append("trailing-nul")  # OpenSIPS counts the addresses twice
        if packet.data.startswith(b"{", *span):
            found.append("json-in-v12")  # captagent: RTCP


def _add_addresses(packet: Packet, found: list[str]) -> None:
    """Add what is odd about the addresses and the declared family."""
    family = packet.ip_family
    declares_ipv6 = family == FAMILY_IPV6
    if family in FAMILIES_IPV6_ELSEWHERE:
        found.append(f"family-os:{family}")
        declares_ipv6 = True
    elif family is not None and family not in {FAMILY_IPV4, FAMILY_IPV6}:
        found.append(f"unknown-family:{family}")
    source, destination = packet.src_address, packet.dst_address
    if source is None or destination is None:
        found.append("missing:addr")
    addresses = (source or b"") + (destination or b"")
    if addresses and not addresses.strip(b"\0"):
        found.append("zero-address")  # Sofia, for every IPv6 call
    size_of = packet.body_size
    any_ipv4 = size_of(0x0003) == 4 or size_of(0x0004) == 4
    any_ipv6 = size_of(0x0005) == 16 or size_of(0x0006) == 16
    if any_ipv4 and any_ipv6:
        found.append("both-families")
    elif (any_ipv6 and family == FAMILY_IPV4) or (any_ipv4 and declares_ipv6):
        found.append("family-mismatch")


def _add_payload(packet: Packet, found: list[str]) -> None:
    """Add what is odd about the payload, of inflating only what is known already."""
    span = packet.payload_span
    if span is None:
        found.append("missing:payload")  # the correlation frames of OpenSIPS
        return
    if packet.body_size(0x000F) is not None and packet.body_size(0x0010) is not None:
        found.append("both-payloads")
    inflated = packet.inflated
    if inflated is not None and inflated.warning:
        found.append(inflated.warning)
    elif span[0] == span[1] or (inflated is not None and not inflated.payload):
        found.append("empty-payload")
