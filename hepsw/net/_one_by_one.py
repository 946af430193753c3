"""What `_mmsg` does in one system call, by one for each datagram: the plain build's twin."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

BATCH: Final = 64
"""Datagrams that one `receive` gives at most, here as in `_mmsg`."""
LARGEST: Final = 65536
PIECES: Final = 512


class Receiver:
    """One bound UDP socket."""

    def __init__(self, sock: socket.socket, peer_of: Callable[[str, int], Any], most: int) -> None:
        self._socket = sock
        self._peer_of = peer_of
        self._most = most
        self._peers: dict[tuple[Any, ...], Any] = {}

    def receive(self) -> tuple[list[bytes], list[Any]]:
        datagrams: list[bytes] = []
        peers: list[Any] = []
        receive, known = self._socket.recvfrom, self._peers
        try:
            for _ in range(BATCH):
                octets, address = receive(LARGEST)
                peer = known.get(address)
                if peer is None:
                    peer = self._stranger(address)
                datagrams.append(octets)
                peers.append(peer)
        except OSError:
            if not datagrams:
                raise
        return datagrams, peers

    def forget(self) -> None:
        self._peers.clear()

    def _stranger(self, address: tuple[Any, ...]) -> Any:  # noqa: ANN401 - whatever it is given
        if len(self._peers) >= self._most:
            self._peers.clear()
        peer = self._peers[address] = self._peer_of(address[0], address[1])
        return peer


def send_datagrams(fd: int, frames: list[bytes], start: int, stop: int) -> int:
    done = 0
    write = os.write
    try:
        for frame in islice(frames, start, stop):
            write(fd, frame)
            done += 1
    except OSError:
        if not done:
            raise
    return done


def write_frames(fd: int, frames: list[bytes], start: int, stop: int, skip: int) -> int:
    pieces: list[bytes | memoryview] = list(frames[start : min(stop, start + PIECES)])
    if not pieces:
        return 0
    if not 0 <= skip <= len(pieces[0]):
        raise ValueError(f"{skip} octets of the first frame")
    if skip:
        pieces[0] = memoryview(pieces[0])[skip:]
    return os.writev(fd, pieces)


def unacknowledged(fd: int) -> int:
    if not sys.platform.startswith("linux"):
        return 0  # elsewhere TIOCOUTQ speaks of terminals only
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
