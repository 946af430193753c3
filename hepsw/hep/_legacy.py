"""HEP1 and HEP2: a fixed header in front of one SIP message, no chunks.

Only `decode` and `encode` call this module. There is no specification left; the C structures of
captagent's hep-c, Kamailio (sipcapture hep.h) and OpenSIPS (proto_hep) are the definition.
"""

from __future__ import annotations

from typing import Final

from hepsw.errors import DecodeError
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
    packet = Packet.__new__(Packet)
    if family == FAMILY_IPV4:
        time_at = HEADER_SIZE_IPV4
    elif family == FAMILY_IPV6 or family in FAMILIES_IPV6_ELSEWHERE:
        time_at = HEADER_SIZE_IPV6
    else:
        raise DecodeError("v12-family", 2, f"address family {family}")
    payload_at = time_at + time_size
    if len(data) < payload_at:
        raise DecodeError("v12-truncated", len(data))
    byte_order: ByteOrder = _time_byte_order(data, time_at) if version == 2 else "big"
    # The copy that rstrip makes is the one allocation here; nothing else finds the last non-NUL
    # octet in C.
    payload_end = max(payload_at, len(data.rstrip(b"\0")))
    packet.read_legacy(data, version, byte_order, (payload_at, payload_end))
    packet.place(0x0001, 2, 3)
    packet.place(0x0002, 3, 4)
    packet.place(0x0007, 4, 6)
    packet.place(0x0008, 6, 8)
    if time_at == HEADER_SIZE_IPV4:
        packet.place(0x0003, 8, 12)
        packet.place(0x0004, 12, 16)
    else:
        packet.place(0x0005, 8, 24)
        packet.place(0x0006, 24, 40)
    if version == 2:
        packet.place(0x0009, time_at, time_at + 4)
        packet.place(0x000A, time_at + 4, time_at + 8)
        packet.place(0x000C, time_at + 8, time_at + 10)
    return packet


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
