"""Packets with a number, so that whoever receives them knows what came, and what is missing.

The number stands in the correlation chunk and in the Call-ID, and all the rest follows from it, the
capture time and the size: a frame is right if it is, octet for octet, the frame of its own number.
Made without hepsw, so that hepsw is not its own witness.
"""

import struct
from typing import NamedTuple

IDENTITY = "{:08x}-{:010x}@faults.test"
_ID = len(IDENTITY.format(0, 0))
_HEAD = struct.Struct(f"!4sH HHHB HHHB HHHI HHHI HHHH HHHH HHHI HHHI HHHB HHHI HHH{_ID}s HHH")
_SIP = (
    b"MESSAGE sip:fault@faults.test SIP/2.0\r\nCall-ID: %s\r\nCSeq: 1 MESSAGE\r\n"
    b"Content-Type: text/plain\r\n\r\n"
)
_LEAST = _HEAD.size + len(_SIP) - 2 + _ID
HEAD = _HEAD.size
"""Octets of a frame before its payload."""
SIZE = 500
"""Octets of a frame, unless a test wants another size."""


class Number(NamedTuple):
    """Which packet it is."""

    source: int
    """Who sent it: the capture id. Each source counts from 0."""
    at: int
    time_us: int


def frame(source, at, time_us, size=SIZE):
    """Return the frame of a number; `size` is the whole frame's, at least 300."""
    identity = IDENTITY.format(source, at).encode()
    payload = _payload(identity, size - _HEAD.size)
    seconds, microseconds = divmod(time_us, 1_000_000)
    chunks = (
        *(0, 0x01, 7, 2),
        *(0, 0x02, 7, 17),
        *(0, 0x03, 10, 0xC000020A),
        *(0, 0x04, 10, 0xC6336414),
        *(0, 0x07, 8, 5060),
        *(0, 0x08, 8, 5062),
        *(0, 0x09, 10, seconds),
        *(0, 0x0A, 10, microseconds),
        *(0, 0x0B, 7, 1),
        *(0, 0x0C, 10, source),
        *(0, 0x11, 6 + _ID, identity),
        *(0, 0x0F, 6 + len(payload)),
    )
    return _HEAD.pack(b"HEP3", _HEAD.size + len(payload), *chunks) + payload


def payload_of(source, at, size):
    """Return the payload of the frame of a number; `size` is the payload's."""
    return _payload(IDENTITY.format(source, at).encode(), size)


def _payload(identity, size):
    text = _SIP % identity
    filler = size - len(text)
    return text + (identity * (filler // _ID + 1))[:filler]


def identified(identity):
    """Return source and number of an identity, which may be anything; None if it is no such."""
    try:
        source, at = (int(part, 16) for part in identity.partition("@")[0].split("-"))
    except ValueError:
        return None
    return (source, at) if IDENTITY.format(source, at) == identity else None


def number_of(octets):
    """Return the number of a frame, or None unless it is whole and unaltered."""
    if len(octets) < _LEAST:
        return None
    fields = _HEAD.unpack_from(octets)
    identity = fields[-4]
    try:
        source, at = (int(part, 16) for part in identity.partition(b"@")[0].split(b"-"))
    except ValueError:
        return None
    number = Number(source, at, fields[-20] * 1_000_000 + fields[-16])
    made = frame(source, at, number.time_us, len(octets))
    return number if made == octets else None
