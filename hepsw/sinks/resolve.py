"""Looking a destination up, off the loop, and never following a name back to ourselves.

A resolver can hang for longer than anything here may wait, and nothing stops a `getaddrinfo` that
has begun. So each look-up has a thread of its own that nobody waits for, and a destination has one
at most: the default thread pool would fill up, and with it hold up reloads and the end.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from hepsw.errors import DeliveryError

if TYPE_CHECKING:
    from hepsw.config.units import Url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

IsOwn = Callable[[str, Address, int], bool]
"""Tells whether one of our listeners has a transport (`udp` or `tcp`), an address and a port.

It is called on the loop and must not block; a v4-mapped address comes as the IPv4 address it is.
"""


def nothing_is_own(_transport: str, _address: Address, _port: int) -> bool:
    """Follow every name wherever it leads."""
    return False


class OwnListenerError(DeliveryError):
    """The name leads to one of our own listeners: every packet would come back for ever."""


class Target(NamedTuple):
    """An address to connect to."""

    family: int
    address: tuple[object, ...]

    @property
    def ip(self) -> Address:
        """The address alone, without port and zone."""
        ip = ipaddress.ip_address(str(self.address[0]).partition("%")[0])
        return (ip.version == 6 and ip.ipv4_mapped) or ip


def reachable_from(bind: str | None, targets: Sequence[Target]) -> Sequence[Target]:
    """Return the addresses that have the family of the one that is sent from; None: all of them.

    Raises:
        DeliveryError: there is none.
    """
    if bind is None:
        return targets
    version = ipaddress.ip_address(bind).version
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    if found := [target for target in targets if target.family == family]:
        return found
    raise DeliveryError(f"no IPv{version} address, and `bind` is one")


Answer = list[Target] | Exception
"""What a thread hands over; an exception nobody waits for any more must not be an error."""


class LookUp:
    """The look-ups of one destination, one after the other."""

    def __init__(self, url: Url, kind: socket.SocketKind, timeout: float, is_own: IsOwn) -> None:
        self._url = url
        self._kind = kind
        self._timeout = timeout
        self._is_own = is_own
        self._transport = "udp" if kind is socket.SOCK_DGRAM else "tcp"
        self._pending: asyncio.Future[Answer] | None = None
        """The look-up that a thread is at, or whose answer came after we had stopped waiting."""

    async def targets(self) -> list[Target]:
        """Return the addresses of the destination that are not our own, in the resolver's order.

        Raises:
            OwnListenerError: all of them are our own.
            DeliveryError: there are none, or the resolver did not answer in time.
        """
        url = self._url
        if url.address is not None:  # an address needs no look-up and no thread
            answer = _ask(url, self._kind, socket.AI_NUMERICHOST)
        else:
            answer = await self._answer()
        if isinstance(answer, (OSError, ValueError)):
            raise DeliveryError(f"cannot look up {url.host}: {answer}") from answer
        if isinstance(answer, Exception):
            raise answer
        others = [each for each in answer if not self._is_own(self._transport, each.ip, url.port)]
        if answer and not others:
            raise OwnListenerError(f"{answer[0].ip} port {url.port} is our own listener")
        return others

    async def _answer(self) -> Answer:
        """Wait for the look-up that is under way, or for a new one.

        Raises:
            DeliveryError: it takes too long; it goes on, and is asked for again next time.
        """
        pending = self._pending
        if pending is None:
            pending = self._pending = self._begun()
        # Neither a time that is over nor a cancellation reaches the future.
        done, _ = await asyncio.wait([pending], timeout=self._timeout)
        if not done:
            raise DeliveryError(f"cannot look up {self._url.host}: no answer")
        self._pending = None
        return pending.result()

    def _begun(self) -> asyncio.Future[Answer]:
        """Begin a look-up.

        Raises:
            DeliveryError: the system has no thread for it.
        """
        loop = asyncio.get_running_loop()
        pending: asyncio.Future[Answer] = loop.create_future()

        def run() -> None:
            answer = _ask(self._url, self._kind)
            with suppress(RuntimeError):  # the loop is gone, and with it whoever asked
                loop.call_soon_threadsafe(pending.set_result, answer)

        # A daemon thread: a resolver that hangs must not keep the process from ending.
        thread = threading.Thread(target=run, name=f"look-up {self._url.host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise DeliveryError(f"cannot look up {self._url.host}: {error}") from error
        return pending


def _ask(url: Url, kind: socket.SocketKind, flags: int = 0) -> Answer:
    try:
        found = socket.getaddrinfo(url.host, url.port, type=kind, flags=flags)
    except Exception as error:  # noqa: BLE001 - handed over to the task that waits, and raised there
        return error
    return [Target(entry[0], entry[4]) for entry in found]
