"""HEP over UDP: one socket, drained in batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hepsw.net.sockets import granted_receive_buffer, kernel_drops, packed
from hepsw.view import Peer

if TYPE_CHECKING:
    import socket

    from hepsw.net.intake import Intake

BATCH: Final = 64
"""Datagrams read in one wake-up; then the loop's other sockets have their turn."""
DATAGRAM: Final = 65535
PEERS: Final = 8192
"""Senders remembered; an agent that uses a new port for every datagram must not fill the memory."""


class UdpListener:
    """Reads datagrams, and knows how many the kernel had no room for."""

    def __init__(self, sock: socket.socket, intake: Intake) -> None:
        self.intake = intake
        self._socket = sock
        self._buffer = bytearray(DATAGRAM)
        self._peers: dict[tuple[object, ...], Peer] = {}
        host, port = sock.getsockname()[:2]
        self._local = (packed(host), port)
        self._drops = kernel_drops(sock)
        self.granted = granted_receive_buffer(sock)
        """Octets of receive buffer that the kernel gave."""

    def start(self) -> None:
        """Begin to read."""
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def measure(self) -> None:
        """Write what the kernel dropped so far into the account."""
        drops = kernel_drops(self._socket)
        since = (drops - self._drops) & 0xFFFFFFFF  # the kernel's counter is 32 bits wide
        self._drops = drops
        self.intake.account.kernel_dropped += since
        self.intake.account.seen += since

    async def stop(self) -> None:
        """Read what has arrived, then close."""
        while self._read_batch():
            await asyncio.sleep(0)
        self.close()

    def close(self) -> None:
        """Stop reading; what is still in the kernel is lost with the socket."""
        if self._socket.fileno() >= 0:
            self.measure()
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        self._read_batch()

    def _read_batch(self) -> bool:
        """Read at most `BATCH` datagrams; return whether there may be more."""
        batch: list[tuple[bytes, Peer]] = []
        receive, buffer = self._socket.recvfrom_into, self._buffer
        peers = self._peers
        more = True
        for _ in range(BATCH):
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
            batch.append((bytes(memoryview(buffer)[:octets]), peer))
        self.intake.datagrams(batch)
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
