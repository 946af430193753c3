"""To a connected channel: one address after the other, each with its part of the time."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.errors import DeliveryError
from hepsw.sinks.channel import PlainChannel
from hepsw.sinks.resolve import reachable_from
from hepsw.sinks.tls import opened
from hepsw.sinks.trouble import TlsError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from hepsw.sinks.channel import Channel
    from hepsw.sinks.resolve import Target

SEND_BUFFER: Final = 128 << 10
"""Octets asked for as the send buffer (Linux takes twice as many, for its own records too): what is
under way at once at most, so what is kept to be sent again and what a break makes go twice. The
kernel would let it grow to MiB by itself. A round trip of 100 ms allows about 10 Mbit/s with it."""
LONGEST_USER_TIMEOUT: Final = 2**31 - 1
"""Milliseconds that TCP_USER_TIMEOUT holds, 24 days."""
KEEPALIVE: Final = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""Seconds of silence before the far side is probed, between two probes, and how many of them: one
that went away without a word is noticed with nothing to send."""


class Way(NamedTuple):
    """How to connect."""

    timeout: float
    """Seconds for all addresses; one that answers fast leaves its part to the others."""
    bind: str | None
    """The address to send from: those of the other family cannot be reached."""
    context: ssl.SSLContext | None
    """Verifies the far side; None for a plain stream."""
    name: str
    """Whom it must be."""


async def connected(targets: Sequence[Target], way: Way) -> Channel:
    """Return a channel to the first address that answers and, over TLS, is whom it should be.

    Args:
        targets: in the order in which they are tried.
        way: how.

    Raises:
        DeliveryError: none of them does.
    """
    targets = reachable_from(way.bind, targets)
    loop = asyncio.get_running_loop()
    end = loop.time() + way.timeout
    why: Exception | None = None
    for at, target in enumerate(targets):
        part = (end - loop.time()) / (len(targets) - at)
        try:
            async with asyncio.timeout(part):
                return await _channel(target, way, part)
        except (OSError, TimeoutError, DeliveryError) as error:
            # A certificate wants a human's eye more than an address that is silent.
            if not isinstance(why, TlsError):
                why = error
    if isinstance(why, DeliveryError):
        raise why
    if isinstance(why, TimeoutError):
        raise DeliveryError("no answer")
    if isinstance(why, OSError):
        # asyncio writes words of its own where the system has some.
        raise DeliveryError(os.strerror(why.errno) if why.errno else str(why))
    raise DeliveryError("no address")


async def _channel(target: Target, way: Way, part: float) -> Channel:
    made = socket.socket(target.family, socket.SOCK_STREAM)
    try:
        made.settimeout(0)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            if number := getattr(socket, option, None):
                made.setsockopt(socket.IPPROTO_TCP, number, value)
        # A far side that went away without a word is noticed after the same time as a slow one.
        if number := getattr(socket, "TCP_USER_TIMEOUT", None):
            patience = min(max(int(way.timeout * 1000), 1), LONGEST_USER_TIMEOUT)
            made.setsockopt(socket.IPPROTO_TCP, number, patience)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if way.bind is not None:
            made.bind((way.bind, 0))
        await asyncio.get_running_loop().sock_connect(made, target.address)
        _refuse_itself(made)
        if way.context is None:
            return PlainChannel(made)
        return await opened(made, way.context, way.name, part / 2)
    except BaseException:
        made.close()
        raise


def _refuse_itself(connection: socket.socket) -> None:
    """See that somebody else is at the other end.

    Where nobody listens on a port that the kernel gives away, it may have given us that very
    one: TCP then connects the socket with itself, and every frame would come back.

    Raises:
        ConnectionRefusedError: nobody is.
    """
    if connection.getsockname() == connection.getpeername():
        # Closed in the ordinary way, the port would be kept from its owner for minutes.
        reset(connection)
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def reset(connection: socket.socket) -> None:
    """Close a connection so that nothing of what waits in the kernel is sent any more."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
