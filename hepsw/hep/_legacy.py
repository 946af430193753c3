"""HEP1 and HEP2: a fixed header in front of one SIP message, no chunks.

Only `decode` and `encode` call this module. There is no specification left; the C structures of
captagent's hep-c, Kamailio (sipcapture hep.h) and OpenSIPS (proto_hep) are the definition.
"""

from __future__ import annotations

from typing import Final

from hepsw.errors import DecodeError
from hepsw.hep._scan import KNOWN_IDS
from hepsw.hep.chunks import FAMILIES_IPV6_ELSEWHERE, FAMILY_IPV4, FAMILY_IPV6
from hepsw.hep.packet import ByteOrder, Packet

HEADER_SIZE_IPV4: Final = 16
HEADER_SIZE_IPV6: Final = 40
TIME_HEADER_SIZE: Final = 12
"""Seconds, microseconds, capture id and two octets of whatever was in the sender's memory."""

_PLAUSIBLE_SECONDS: Final = range(1_000_000_000, 4_102_444_800)  # 2001 to 2100


def decode_legacy(data: bytes) -> Packet:
    """Return the HEP1 or HEP2 packet that a whole datagram is.

    The header length it states is not looked at: captagent and Kamailio leave the time header out,
    Sofia counts it, sngrep writes something else. Version and family give the layout.

    Args:
        data: at least six octets, the first of them 1 or 2.

    Raises:
        DecodeError: v12-truncated, v12-family.
    """
    version = data[0]
    time_size = TIME_HEADER_SIZE if version == 2 else 0
    if len(data) < HEADER_SIZE_IPV4 + time_size:
        raise DecodeError("v12-truncated", len(data))
    family = data[2]
    starts = [0] * KNOWN_IDS
    ends = [0] * KNOWN_IDS
    if family == FAMILY_IPV4:
        time_at = HEADER_SIZE_IPV4
        starts[0x0003], ends[0x0003], starts[0x0004], ends[0x0004] = 8, 12, 12, 16
    elif family == FAMILY_IPV6 or family in FAMILIES_IPV6_ELSEWHERE:
        time_at = HEADER_SIZE_IPV6
        starts[0x0005], ends[0x0005], starts[0x0006], ends[0x0006] = 8, 24, 24, 40
    else:
        raise DecodeError("v12-family", 2, f"address family {family}")
    payload_at = time_at + time_size
    if len(data) < payload_at:
        raise DecodeError("v12-truncated", len(data))
    starts[0x0001], ends[0x0001] = 2, 3
    starts[0x0002], ends[0x0002] = 3, 4
    starts[0x0007], ends[0x0007] = 4, 6
    starts[0x0008], ends[0x0008] = 6, 8
    byte_order: ByteOrder = "big"
    if version == 2:
        byte_order = _time_byte_order(data, time_at)
        starts[0x0009], ends[0x0009] = time_at, time_at + 4
        starts[0x000A], ends[0x000A] = time_at + 4, time_at + 8
        starts[0x000C], ends[0x000C] = time_at + 8, time_at + 10
    # The copy that rstrip makes is the one allocation here; nothing else finds the last non-NUL
    # octet in C.
    payload_end = max(payload_at, len(data.rstrip(b"\0")))
    return Packet(
        data,
        version,
        starts,
        ends,
        byte_order=byte_order,
        payload_span=(payload_at, payload_end),
    )


def _time_byte_order(data: bytes, offset: int) -> ByteOrder:
    """Tell how the time header is written.

    It is in the sender's host order, so little-endian in practice, unlike the ports (Kamailio
    hep.h, `to_le`); hep-erlang and Kazoo write it in network order.
    """
    if not _is_plausible(data, offset, "little") and _is_plausible(data, offset, "big"):
        return "big"
    return "little"


def _is_plausible(data: bytes, offset: int, byte_order: ByteOrder) -> bool:
    seconds = int.from_bytes(data[offset : offset + 4], byte_order)
    microseconds = int.from_bytes(data[offset + 4 : offset + 8], byte_order)
    return seconds in _PLAUSIBLE_SECONDS and microseconds < 1_000_000
