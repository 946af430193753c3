"""A connected stream as a link sees it: whole frames go in, octets are counted as they travel.

Two kinds: plain here, encrypted in `tls`. Neither waits for anything.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final, Protocol

from hepsw.errors import DeliveryError
from hepsw.net.batches import unacknowledged, write_frames

READ: Final = 4096
"""Octets of the far side's that are thrown away in one turn of the loop."""
LEFT: Final = 64
"""How often more is read away before an orderly end: a far side that never stops talking is not
waited for."""


class ClosedError(DeliveryError):
    """The far side ended the connection in good order."""

    def __init__(self) -> None:
        super().__init__("closed by the far side")


class Channel(Protocol):
    """What `StreamLink` writes to."""

    sock: socket.socket
    by_frame: bool
    """Whether frames travel as they are, so that octets acknowledged tell which of them are."""

    @property
    def end(self) -> int:
        """Octets made since the connection began: where the next frame starts."""
        ...

    @property
    def sent(self) -> int:
        """How many of them the kernel has taken."""
        ...

    @property
    def pending(self) -> int:
        """How many it has not: made and kept here."""
        ...

    def write(self, frames: list[bytes], start: int, skip: int) -> int:
        """Take `frames[start:]`, the first from its octet `skip` on, as many as there is room for.

        Returns:
            How many octets of the frames were taken.

        Raises:
            BlockingIOError: there is no room.
            OSError: the stream is broken.
        """
        ...

    def flush(self) -> bool:
        """Give the kernel what is pending; return whether it took everything.

        Raises:
            OSError: the stream is broken.
        """
        ...

    def acknowledged(self) -> int:
        """Return how many octets the far side's kernel has acknowledged.

        Raises:
            OSError: the stream is broken.
        """
        ...

    def hear(self) -> None:
        """Read a little of what the far side says, and forget it.

        Raises:
            ClosedError: it has ended the connection.
            OSError: the stream is broken.
            DeliveryError: likewise.
        """
        ...

    def say_the_end(self) -> None:
        """Let the far side know that nothing more comes; to be called once, with nothing pending.

        Raises:
            OSError: the stream is broken.
        """
        ...


class PlainChannel:
    """Frames as they are: the kernel's count is the frames' own."""

    by_frame = True
    pending = 0

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.end = self.sent = 0
        self._descriptor = sock.fileno()
        self._scratch = bytearray(READ)

    def write(self, frames: list[bytes], start: int, skip: int) -> int:
        """See `Channel`."""
        octets = write_frames(self._descriptor, frames, start, len(frames), skip)
        self.end += octets
        self.sent = self.end
        return octets

    def flush(self) -> bool:
        """See `Channel`."""
        return True

    def acknowledged(self) -> int:
        """See `Channel`."""
        return self.end - unacknowledged(self._descriptor)

    def hear(self) -> None:
        """See `Channel`."""
        with suppress(BlockingIOError):
            if not self.sock.recv_into(self._scratch):
                raise ClosedError

    def say_the_end(self) -> None:
        """See `Channel`."""
        self.sock.shutdown(socket.SHUT_WR)


def read_away(sock: socket.socket) -> None:
    """Empty the receive buffer before an orderly end.

    The kernel resets a connection that is closed with something unread, and the reset may take
    from the far side what it has not read itself.
    """
    with suppress(OSError):
        for _ in range(LEFT):
            if not sock.recv(READ):
                return
