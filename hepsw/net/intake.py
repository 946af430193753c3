"""What every listener does with the octets it reads: decode, count, hand on.

The only place where a frame becomes `accepted` or `rejected`. Whatever the transport, packets leave
here in batches, in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.accounting import Reason
from hepsw.errors import DecodeError
from hepsw.hep import decode, decode_datagram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hepsw.accounting import ListenerAccount
    from hepsw.config.configuration import Listener
    from hepsw.hep import Packet
    from hepsw.view import Peer

    Take = Callable[[Sequence[tuple[Packet, Peer]]], None]
    """Judges a batch; never raises."""
    Meet = Callable[[Peer, Packet], None]
    """Told of the first packet of each peer."""


class Intake:
    """Octets of one listener in, accepted packets out."""

    def __init__(
        self, listener: Listener, account: ListenerAccount, take: Take, meet: Meet
    ) -> None:
        self.listener = listener
        self.account = account
        self._take = take
        self._meet = meet

    def datagrams(self, batch: Iterable[tuple[bytes, Peer]]) -> None:
        """Take the datagrams of one wake-up."""
        gzip_frames = self.listener.gzip_frames
        accepted: list[tuple[Packet, Peer]] = []
        for octets, peer in batch:
            self.account.octets += len(octets)
            for found in decode_datagram(octets, gzip_frames=gzip_frames):
                self._judge(found, peer, accepted)
        if accepted:
            self._take(accepted)

    def frames(self, frames: Iterable[bytes], peer: Peer) -> None:
        """Take the whole frames of one read from a stream."""
        accepted: list[tuple[Packet, Peer]] = []
        for octets in frames:
            self.account.octets += len(octets)
            try:
                found: Packet | DecodeError = decode(octets)
            except DecodeError as error:
                found = error
            self._judge(found, peer, accepted)
        if accepted:
            self._take(accepted)

    def _judge(
        self, found: Packet | DecodeError, peer: Peer, accepted: list[tuple[Packet, Peer]]
    ) -> None:
        account = self.account
        account.seen += 1
        if isinstance(found, DecodeError):
            account.rejected[found.reason] += 1
            return
        if found.version not in self.listener.versions:
            account.rejected[Reason.HEP_VERSION] += 1
            return
        account.accepted += 1
        for warning in found.warnings:
            account.warnings[warning.partition(":")[0]] += 1
        if not peer.met:
            peer.met = True
            self._meet(peer, found)
        accepted.append((found, peer))
