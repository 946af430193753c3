"""HEP over UDP: one socket, drained in batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hepsw.net.sockets import kernel_drops, packed
from hepsw.view import Peer

if TYPE_CHECKING:
    import socket

    from hepsw.accounting import ListenerAccount
    from hepsw.config.configuration import Listener
    from hepsw.net.intake import Intake

DATAGRAMS: Final = 64
"""Datagrams read in one wake-up; then the loop's other sockets have their turn."""
LARGEST: Final = 65535
PEERS: Final = 8192
"""Senders remembered; an agent that uses a new port for every datagram must not fill the memory."""
LAST_READ: Final = 0.3
"""Seconds that a stopping listener reads on at most: a flood never ends by itself."""


class UdpListener:
    """Reads datagrams, and knows how many the kernel had no room for."""

    def __init__(self, sock: socket.socket, intake: Intake) -> None:
        self.intake = intake
        self.socket = sock
        self._buffer = bytearray(LARGEST)
        self._peers: dict[tuple[object, ...], Peer] = {}
        host, port = sock.getsockname()[:2]
        self._local = (packed(host), port)
        self._drops = kernel_drops(sock)

    async def start(self) -> None:
        """Begin to read."""
        asyncio.get_running_loop().add_reader(self.socket, self._read)

    def settle(self, listener: Listener, account: ListenerAccount) -> None:
        """Take new settings, and perhaps a new name, under the open socket."""
        self.measure()
        if listener.name != self.intake.listener.name:
            self._peers.clear()
        self.intake.listener = listener
        self.intake.account = account

    def measure(self) -> None:
        """Write what the kernel dropped so far into the account."""
        drops = kernel_drops(self.socket)
        since = (drops - self._drops) & 0xFFFFFFFF  # the kernel's counter is 32 bits wide
        self._drops = drops
        self.intake.account.kernel_dropped += since
        self.intake.account.seen += since

    async def stop(self) -> None:
        """Read what has arrived, for a moment, then close; the rest is lost with the socket."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LAST_READ
        while self._read() and loop.time() < end:
            await asyncio.sleep(0)
        self.measure()
        loop.remove_reader(self.socket)
        self.socket.close()

    def _read(self) -> bool:
        """Read and have judged some datagrams; return whether there may be more."""
        receive, buffer, peers, intake = (
            self.socket.recvfrom_into,
            self._buffer,
            self._peers,
            self.intake,
        )
        more = True
        for _ in range(DATAGRAMS):
            try:
                octets, address = receive(buffer)
            except BlockingIOError:
                more = False
                break
            except OSError:
                # An error that the network reported for the socket; the next datagram is another
                # matter.
                continue
            peer = peers.get(address)
            if peer is None:
                peer = self._stranger(address)
            intake.datagram(bytes(memoryview(buffer)[:octets]), peer)
            if intake.is_full:
                break
        intake.flush()
        return more

    def _stranger(self, address: tuple[object, ...]) -> Peer:
        if len(self._peers) >= PEERS:
            self._peers.clear()
        local_ip, local_port = self._local
        peer = Peer(
            ip=packed(str(address[0])),
            port=int(str(address[1])),
            transport="udp",
            local_ip=local_ip,
            local_port=local_port,
            listener=self.intake.listener.name,
        )
        self._peers[address] = peer
        return peer
