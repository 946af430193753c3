"""A view as octets: what a spool and the dead letters of a store keep of a packet.

A frame alone does not say who sent it and when it came, and both are stored. `encode` is called by
the event loop, `decode` by the store's thread and by commands; the files may be damaged, or written
by somebody else, so every field is checked.

All numbers are in network order: a version, flags, when it was received, the length of the peer,
perhaps a mark, then the peer, then the frame to the end. Peers are few and packets many: both ways
they are remembered.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from hepsw.errors import DecodeError
from hepsw.hep import decode as decode_frame
from hepsw.view import Peer, View

VERSION: Final = 1
"""The first octet of every envelope; raised when an older hepsw could not read a newer one's."""
RESUMED: Final = 1
"""A flag: a rule said to read the payload as SIP."""
MARKED: Final = 2
"""A flag: a mark stands before the peer."""
LONGEST: Final = 1000
"""Octets of a name; what is longer is cut off."""
PEERS: Final = 4096
"""Peers that are remembered."""
LATEST_US: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999, and of what Python and databases call a time."""

_HEAD: Final = struct.Struct("!BBqH")
"""Version, flags, microseconds since the epoch, octets of the peer."""
_MARK: Final = struct.Struct("!16sII")
"""Key of the batch, position in it, packets that it has."""
_PORTS: Final = struct.Struct("!HH")
_LENGTH: Final = struct.Struct("!H")
_FAMILIES: Final = frozenset({0, 4, 16})
"""Octets that an address may have; none where a socket has no addresses."""
_NO_NAME: Final = 0xFFFF
"""The length in the place of a name that is not known."""
_LONGEST_PEER: Final = _PORTS.size + 2 * (1 + 16) + 3 * (_LENGTH.size + LONGEST)

_encoded: dict[int, tuple[Peer, bytes]] = {}
"""By the identity of a peer, which it keeps as long as it is held here."""


class Mark(NamedTuple):
    """Whence a packet is: a batch of which it is not known whether it was committed.

    As a whole and with the same key it can be tried again, and a ledger recognises it.
    """

    key: bytes
    at: int
    """Its position."""
    packets: int
    """How many the batch has."""


def encode(view: View, mark: Mark | None = None) -> bytes:
    """Return the envelope of a packet as it is stored."""
    known = _encoded.get(id(view.peer))
    if known is None:
        known = view.peer, _encode_peer(view.peer)
        if len(_encoded) >= PEERS:
            _encoded.clear()
        _encoded[id(view.peer)] = known
    peer = known[1]
    flags = RESUMED if view.resumed else 0
    received_us = max(0, min(view.received_us, LATEST_US))
    if mark is not None:
        head = _HEAD.pack(VERSION, flags | MARKED, received_us, len(peer)) + _MARK.pack(*mark)
        return head + peer + view.packet.data
    return _HEAD.pack(VERSION, flags, received_us, len(peer)) + peer + view.packet.data


def mark_of(octets: bytes) -> Mark | None:
    """Return the mark of an envelope, None where it has none; what is damaged `decode` tells."""
    if len(octets) < _HEAD.size + _MARK.size or octets[0] != VERSION or not octets[1] & MARKED:
        return None
    mark = Mark(*_MARK.unpack_from(octets, _HEAD.size))
    return mark if mark.at < mark.packets else None


def decode(octets: bytes) -> View:
    """Return the view that an envelope was made of.

    Raises:
        DecodeError: it is not whole, not ours, or holds no frame; `offset` counts from its start.
            The reasons of a frame are those of `hepsw.hep.decode`, the others begin `envelope-`.
    """
    if len(octets) < _HEAD.size:
        raise DecodeError("envelope-cut", len(octets))
    version, flags, received_us, length = _HEAD.unpack_from(octets)
    if version != VERSION:
        raise DecodeError("envelope-version", 0, f"envelope of version {version}")
    if flags & ~(RESUMED | MARKED):
        raise DecodeError("envelope-flags", 1)
    if not 0 <= received_us <= LATEST_US:
        raise DecodeError("envelope-time", 2)
    if length > _LONGEST_PEER:
        raise DecodeError("envelope-peer", _HEAD.size - _LENGTH.size)
    head = _HEAD.size
    if flags & MARKED:
        if mark_of(octets) is None:
            raise DecodeError("envelope-mark", head)
        head += _MARK.size
    start = head + length
    if len(octets) < start:
        raise DecodeError("envelope-cut", len(octets))
    try:
        peer = _decode_peer(octets[head:start])
    except DecodeError as error:
        raise DecodeError(error.reason, head + error.offset) from None
    frame = octets[start:]
    try:
        packet = decode_frame(frame)
    except DecodeError as error:
        raise DecodeError(error.reason, start + error.offset) from error
    if len(packet.data) != len(frame):
        raise DecodeError("envelope-trailing", start + len(packet.data))
    return View(packet, peer, received_us, resumed=bool(flags & RESUMED))


def _encode_peer(peer: Peer) -> bytes:
    return b"".join(
        (
            _PORTS.pack(peer.port, peer.local_port),
            bytes((len(peer.ip),)),
            peer.ip,
            bytes((len(peer.local_ip),)),
            peer.local_ip,
            _encode_text(peer.transport),
            _encode_text(peer.listener),
            _LENGTH.pack(_NO_NAME) if peer.name is None else _encode_text(peer.name),
        )
    )


def _encode_text(text: str) -> bytes:
    octets = text.encode(errors="replace")[:LONGEST]
    if len(octets) == LONGEST:
        octets = octets.decode(errors="ignore").encode()  # not in the middle of a character
    return _LENGTH.pack(len(octets)) + octets


@lru_cache(maxsize=PEERS)
def _decode_peer(octets: bytes) -> Peer:
    """Return a peer, the same object for the same octets."""
    reader = _Reader(octets)
    port, local_port = _PORTS.unpack(reader.take(_PORTS.size))
    ip, local_ip = reader.address(), reader.address()
    transport, listener, name = reader.text(), reader.text(), reader.text()
    if transport is None or listener is None:
        raise DecodeError("envelope-text", reader.at)
    if reader.at != len(octets):
        raise DecodeError("envelope-peer", reader.at)
    return Peer(ip, port, transport, local_ip, local_port, listener, name)


class _Reader:
    """Goes through the octets of a peer."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.at = 0

    def take(self, count: int) -> bytes:
        """Return the next octets."""
        if len(self._octets) - self.at < count:
            raise DecodeError("envelope-peer", self.at)
        taken = self._octets[self.at : self.at + count]
        self.at += count
        return taken

    def address(self) -> bytes:
        """Return a packed address."""
        length = self.take(1)[0]
        if length not in _FAMILIES:
            raise DecodeError("envelope-address", self.at - 1)
        return self.take(length)

    def text(self) -> str | None:
        """Return a text, None where there is none."""
        (length,) = _LENGTH.unpack(self.take(_LENGTH.size))
        if length == _NO_NAME:
            return None
        if length > LONGEST:
            raise DecodeError("envelope-text", self.at - _LENGTH.size)
        start = self.at
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise DecodeError("envelope-text", start + error.start) from None
