"""What every listener does with the octets it reads: decode, count, hand on.

The only place where a frame becomes `accepted` or `rejected`. Whatever the transport, packets leave
here in batches of at most `BATCH`, in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.errors import DecodeError
from hepsw.hep import decode, decode_datagram

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.accounting import ListenerAccount
    from hepsw.config.configuration import Listener
    from hepsw.hep import Packet
    from hepsw.view import Peer

    Take = Callable[[Sequence[tuple[Packet, Peer]]], None]
    """Judges a batch; never raises."""
    Meet = Callable[[Peer, Packet], None]
    """Told of the first packet of each peer."""

BATCH: Final = 256
"""Packets judged at once at most: a datagram or a read can hold thousands of tiny frames."""


class Intake:
    """Octets of one listener in, accepted packets out."""

    def __init__(
        self, listener: Listener, account: ListenerAccount, take: Take, meet: Meet
    ) -> None:
        self.listener = listener
        self.account = account
        self._take = take
        self._meet = meet
        self._accepted: list[tuple[Packet, Peer]] = []

    @property
    def is_full(self) -> bool:
        """True when a whole batch waits for `flush`."""
        return len(self._accepted) >= BATCH

    def datagram(self, octets: bytes, peer: Peer) -> None:
        """Take a datagram; what it holds is judged with the next `flush`."""
        self.account.octets += len(octets)
        for found in decode_datagram(octets, gzip_frames=self.listener.gzip_frames):
            self._sort(found, peer)

    def frame(self, octets: bytes, peer: Peer) -> None:
        """Take a whole frame of a stream; it is judged with the next `flush`."""
        self.account.octets += len(octets)
        try:
            found: Packet | DecodeError = decode(octets)
        except DecodeError as error:
            found = error
        self._sort(found, peer)

    def flush(self) -> None:
        """Have judged what was taken."""
        if self._accepted:
            batch, self._accepted = self._accepted, []
            self._take(batch)

    def _sort(self, found: Packet | DecodeError, peer: Peer) -> None:
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
        self._accepted.append((found, peer))
