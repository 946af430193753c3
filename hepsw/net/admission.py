"""Which packets a listener lets in: their size, and the key that they carry.

Asked only where `[[listen]]` says so; every other listener never comes here. Who may send at all
(`from`) is asked before anything is decoded: `Intake` asks for each datagram, `TcpListener` for
each connection.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from hepsw.accounting import Reason
from hepsw.hep import ChunkKey, Packet, decode
from hepsw.hep.chunks import MAX_TOTAL_LENGTH
from hepsw.hep.encode import chunk_header
from hepsw.hep.splice import piece, spliced

if TYPE_CHECKING:
    from hepsw.config.configuration import Listener

AUTH_KEY = 0x000E


class Admission:
    """The questions of one listener."""

    def __init__(self, listener: Listener) -> None:
        self._keys = tuple(secret.reveal() for secret in listener.auth_keys)
        self._most = listener.max_packet
        self.asks = bool(self._keys) or self._most < MAX_TOTAL_LENGTH
        """Whether there is any question."""

    def judge(self, packet: Packet) -> Packet | Reason:
        """Return the packet as it may go on, without its key; or why it may not."""
        if len(packet.data) > self._most:
            return Reason.TOO_BIG
        if not self._keys:
            return packet
        if not self._is_key(packet.auth_key):
            return Reason.AUTH_KEY
        return without_key(packet)

    def _is_key(self, octets: bytes | None) -> bool:
        """Compare with every key, so that the time tells neither which one it is nor how much."""
        found = False
        for key in self._keys:
            found |= compare_digest(key, octets or b"")
        return found


def without_key(packet: Packet) -> Packet:
    """Return a packet without its authentication key, whose every copy goes."""
    key = packet.key_of(AUTH_KEY)
    made = spliced(packet, [piece(*key, None)]) if packet.version == 3 else None
    if made is None:
        made = _rewritten(packet, key)
    # What the decoder noted of the datagram is still so, and is counted with the packet.
    made.notes = packet.notes
    return made


def _rewritten(packet: Packet, key: ChunkKey) -> Packet:
    """Return a packet without a chunk, also where that makes another reading of the others."""
    chunks = b"".join(
        chunk_header(chunk.vendor_id, chunk.type_id, 6 + len(chunk.body)) + chunk.body
        for chunk in packet.chunks()
        if (chunk.vendor_id, chunk.type_id) != key
    )
    return decode(packet.magic + (6 + len(chunks)).to_bytes(2, "big") + chunks)
