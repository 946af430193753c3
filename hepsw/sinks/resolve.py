"""Looking names up, off the loop."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, NamedTuple

from hepsw.errors import DeliveryError

if TYPE_CHECKING:
    from hepsw.config.units import Url


class Target(NamedTuple):
    """An address to connect to."""

    family: int
    address: tuple[object, ...]


async def resolve(url: Url, kind: socket.SocketKind, timeout: float) -> list[Target]:  # noqa: ASYNC109
    """Return the addresses of a destination, in the resolver's order.

    Raises:
        DeliveryError: there are none, or the resolver did not answer in time.
    """
    loop = asyncio.get_running_loop()
    numeric = socket.AI_NUMERICHOST if url.address is not None else 0
    try:
        async with asyncio.timeout(timeout):
            # getaddrinfo runs in the loop's thread pool; an address needs no look-up and no thread.
            if numeric:
                found = socket.getaddrinfo(url.host, url.port, type=kind, flags=numeric)
            else:
                found = await loop.getaddrinfo(url.host, url.port, type=kind)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"cannot look up {url.host}: {error}") from error
    except TimeoutError as error:
        raise DeliveryError(f"cannot look up {url.host}: no answer") from error
    return [Target(entry[0], entry[4]) for entry in found]
