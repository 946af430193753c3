"""Octets to packets.

`net` calls `decode_datagram` for what a datagram brings and `decode` for each frame that the
`StreamSplitter` cuts. A frame is either whole and usable, perhaps with warnings, or it raises.

Source: HEP3 rev. 37; the verdicts are those of hepsw's notes on the wire.
"""

from __future__ import annotations

from typing import Final

from hepsw.errors import DecodeError
from hepsw.hep import _octets
from hepsw.hep._legacy import decode_legacy
from hepsw.hep._scan import HEADER_SIZE
from hepsw.hep.inflate import GZIP_MAGIC, gunzip_frames
from hepsw.hep.packet import Packet

MAGICS: Final = frozenset({b"HEP3", b"EEP3", b"EEP1"})
"""What opens a frame of the HEP3 layout; EEP1 is from the draft, EEP3 from the specification."""

FRAMES: Final = 256
"""Frames of one datagram that are decoded at most; 65507 octets hold 10,917 empty ones."""


def decode(data: bytes) -> Packet:
    """Return the first frame of a datagram.

    Args:
        data: the whole datagram; what follows a HEP3 frame is left out and noted as a warning.

    Raises:
        DecodeError: too-short, bad-magic, gzip-frame, v12-truncated, v12-family, total-too-small,
            total-exceeds-datagram, chunk-too-short, chunk-overrun, chunk-header-truncated.
    """
    if len(data) < HEADER_SIZE:
        raise DecodeError("too-short", len(data))
    if not _octets.is_hep3(data):
        return _decode_other(data)
    total = _octets.uint16(data, 4)
    if total != len(data):
        return _decode_first(data, total)
    packet = Packet.__new__(Packet)
    packet.read(data)
    return packet


def decode_datagram(data: bytes, *, gzip_frames: bool = False) -> list[Packet | DecodeError]:
    """Return every frame of a datagram, each judged on its own.

    Args:
        data: the whole datagram.
        gzip_frames: whether to look inside a gzip member (heplify 2, `payload_zip`); what it
            inflates to, at most 65535 octets, is then the datagram.

    Returns:
        Packets, and an error in the place of each frame that is malformed, or of all that follow
        the first `FRAMES`; never an empty list.
    """
    if gzip_frames and data.startswith(GZIP_MAGIC) and len(data) >= HEADER_SIZE:
        try:
            data = gunzip_frames(data)
        except DecodeError as error:
            return [error]
    exact = len(data) >= HEADER_SIZE and data[4] << 8 | data[5] == len(data)
    ends = [] if exact else frame_ends(data)
    if not ends:
        try:
            return [decode(data)]
        except DecodeError as error:
            return [error]
    found: list[Packet | DecodeError] = []
    start = 0
    for end in ends[:FRAMES]:
        try:
            # The first one is given the datagram, so that it carries the warning multi-frame.
            found.append(decode(data if start == 0 else data[start:end]))
        except DecodeError as error:
            found.append(DecodeError(error.reason, start + error.offset))
        start = end
    if len(ends) > FRAMES:
        found.append(DecodeError("too-many-frames", start))
    return found


def frame_ends(data: bytes) -> list[int]:
    """Return where each frame of a run of HEP3 frames ends.

    Only the frame headers are read. One that fits the datagram exactly gives one offset.

    Returns:
        Empty unless `data` is whole frames to its last octet; never more than `FRAMES` and one.
    """
    ends: list[int] = []
    offset = 0
    # Who sends more than are decoded is not worth the look at what follows.
    while offset < len(data) and len(ends) <= FRAMES:
        header = data[offset : offset + HEADER_SIZE]
        if len(header) < HEADER_SIZE or header[:4] not in MAGICS:
            return []
        total = header[4] << 8 | header[5]
        offset += total
        if total < HEADER_SIZE or offset > len(data):
            return []
        ends.append(offset)
    return ends


def _decode_first(data: bytes, total: int) -> Packet:
    """Return the first frame of a datagram that its total does not fill."""
    if total < HEADER_SIZE:
        raise DecodeError("total-too-small", 4, f"total length {total}")
    if total > len(data):
        # Cut short by somebody's buffer: nothing behind the header can be trusted.
        raise DecodeError("total-exceeds-datagram", 4, f"total length {total} of {len(data)}")
    note = "multi-frame" if frame_ends(data[total:]) else "trailing-bytes"
    packet = Packet.__new__(Packet)
    packet.read(data[:total])
    packet.notes = (note,)
    return packet


def _decode_other(data: bytes) -> Packet:
    """Return the packet of a datagram that is no HEP3 frame."""
    if data[0] in {1, 2}:
        return decode_legacy(data)
    if data.startswith(GZIP_MAGIC):
        raise DecodeError("gzip-frame", 0)
    raise DecodeError("bad-magic", 0)
