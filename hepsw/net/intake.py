"""What every listener does with the octets it reads: decode, count, hand on.

The only place where a frame becomes `accepted` or `rejected`. Whatever the transport, packets leave
here in batches of at most `BATCH` and what one datagram holds, in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.errors import DecodeError
from hepsw.hep import _octets
from hepsw.hep.decoding import decode_datagram
from hepsw.hep.packet import Packet
from hepsw.net.admission import Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.accounting import ListenerAccount
    from hepsw.config.configuration import Listener
    from hepsw.view import Peer

    Take = Callable[[list[Packet], list[Peer]], None]
    """Judges a batch: packets, and who sent each; never raises."""
    Meet = Callable[[Peer, Packet], None]
    """Told of the first packet of each peer."""

BATCH: Final = 256
"""Packets judged at once at most: a datagram or a read can hold thousands of tiny frames."""

_FULL = BATCH  # compiled, an int of C


class Intake:
    """Octets of one listener in, accepted packets out.

    What is counted stands in numbers of its own until `flush` writes it into the account, once a
    batch.
    """

    def __init__(
        self, listener: Listener, account: ListenerAccount, take: Take, meet: Meet
    ) -> None:
        self._take = take
        self._meet = meet
        self._packets: list[Packet] = []
        self._peers: list[Peer] = []
        """What was accepted, and who sent it."""
        self._met: Peer | None = None
        """Who was met last: most often it is the next one's sender as well."""
        self._rejected = 0
        self.settle(listener, account)

    def settle(self, listener: Listener, account: ListenerAccount) -> None:
        """Take the settings of a listener, and perhaps its new account, from the next packet on."""
        self.listener = listener
        self.account = account
        self._versions = 0
        for version in listener.versions:
            self._versions |= 1 << version
        self._gzip_frames = listener.gzip_frames
        self._hears_all = listener.from_ is None
        self._admission = Admission(listener)
        # A listener that asks nothing pays nothing for those that do.
        self._unasked = 0 if self._admission.asks else self._versions

    def datagrams(self, datagrams: list[bytes], peers: list[Peer]) -> None:
        """Take datagrams with who sent each, and have judged what they hold."""
        if not self._hears_all:
            datagrams, peers = self._heard(datagrams, peers)
        total = 0
        for at in range(len(datagrams)):
            octets = datagrams[at]
            total += len(octets)
            if _octets.is_frame(octets, len(octets)):
                self._frame(octets, peers[at])
            else:
                self._other(octets, peers[at])
            if len(self._packets) >= _FULL:
                self.flush()
        self.account.octets += total
        self.flush()

    def frames(self, frames: list[bytes], peer: Peer) -> None:
        """Take frames of a stream as `StreamSplitter` cuts them, and have them judged."""
        total = 0
        for octets in frames:
            total += len(octets)
            self._frame(octets, peer)
            if len(self._packets) >= _FULL:
                self.flush()
        self.account.octets += total
        self.flush()

    def flush(self) -> None:
        """Write down what was counted, and have judged what was taken."""
        account = self.account
        account.seen += len(self._packets) + self._rejected
        account.accepted += len(self._packets)
        self._rejected = 0
        if self._packets:
            packets, self._packets = self._packets, []
            peers, self._peers = self._peers, []
            self._take(packets, peers)

    def _frame(self, octets: bytes, peer: Peer) -> None:
        """Take a HEP3 frame, of which its magic and its total are known to be right."""
        packet = Packet.__new__(Packet)
        try:
            packet.read(octets)
        except DecodeError as error:
            self._reject(error.reason)
        else:
            self._accept(packet, peer)

    def _other(self, octets: bytes, peer: Peer) -> None:
        """Take a datagram that is something else: many frames, HEP1 or HEP2, gzip, or no HEP."""
        for found in decode_datagram(octets, gzip_frames=self._gzip_frames):
            if isinstance(found, Packet):
                self._accept(found, peer)
            else:
                self._reject(found.reason)

    def _heard(self, datagrams: list[bytes], peers: list[Peer]) -> tuple[list[bytes], list[Peer]]:
        """Return the datagrams of those who are heard; each other one is a frame, not looked at."""
        heard: list[bytes] = []
        senders: list[Peer] = []
        for octets, peer in zip(datagrams, peers, strict=True):
            if peer.heard:
                heard.append(octets)
                senders.append(peer)
            else:
                self.account.octets += len(octets)
                self._reject(Reason.NOT_ALLOWED)
        return heard, senders

    def _reject(self, reason: str) -> None:
        self._rejected += 1
        self.account.rejected[reason] += 1

    def _accept(self, packet: Packet, peer: Peer) -> None:
        admitted: Packet | None = packet
        if not self._unasked >> packet.version & 1:
            admitted = self._admitted(packet)
        if admitted is not None:
            if not admitted.is_ordinary():
                for warning in admitted.warnings:
                    self.account.warnings[warning.partition(":")[0]] += 1
            if peer is not self._met:
                self._met = peer
                if not peer.met:
                    peer.met = True
                    self._meet(peer, admitted)
            self._packets.append(admitted)
            self._peers.append(peer)

    def _admitted(self, packet: Packet) -> Packet | None:
        """Return a packet of which something is asked, without its key; None: it was rejected."""
        if not self._versions >> packet.version & 1:
            self._reject(Reason.HEP_VERSION)
            return None
        judged = self._admission.judge(packet)
        if isinstance(judged, Packet):
            return judged
        self._reject(judged)
        return None
