"""Datagrams and frames by the batch: what a system call costs is paid once for many of them.

Compiled, one call of `recvmmsg`, `sendmmsg` or `writev` serves a batch (`_mmsg`); plain, each
datagram is a call of its own (`_one_by_one`). Both keep what is promised here. Sockets are not to
block, and nothing here waits for them.

`Receiver(sock, peer_of, most)` reads a bound UDP socket. `peer_of(host, port)` makes what stands
for a sender when it is first heard of; `most` of them are remembered, and `forget()` lets all be
made anew. `receive()` returns at most `BATCH` datagrams and, in a second list, who sent each.

Raises:
        BlockingIOError: there is nothing to read.
        OSError: an error that the network reported for the socket; nothing was read.

`send_datagrams(fd, frames, start, stop)` sends `frames[start:stop]` over a connected UDP socket and
returns how many of them the kernel took, from the first on without a gap.

Raises:
        BlockingIOError: there is no room for the first.
        OSError: the first cannot be sent, or an earlier datagram was refused.

`write_frames(fd, frames, start, stop, skip)` writes `frames[start:stop]` to a stream, the first one
from its octet `skip` on, and returns how many octets the kernel took; it may end within a frame.

Raises:
        BlockingIOError: there is no room.
        OSError: the stream is broken.

`unacknowledged(fd)` returns how many of the octets written to a TCP stream, and its end if that was
written, the far side's kernel has not acknowledged; 0 where the system does not tell.

Raises:
        OSError: it is no TCP stream.
"""

from hepsw.net._one_by_one import BATCH

try:
    from hepsw.net._mmsg import Receiver, send_datagrams, unacknowledged, write_frames
except ImportError:  # the plain build
    from hepsw.net._one_by_one import (  # type: ignore[assignment] # the same by another way
        Receiver,
        send_datagrams,
        unacknowledged,
        write_frames,
    )

__all__ = ["BATCH", "Receiver", "send_datagrams", "unacknowledged", "write_frames"]
