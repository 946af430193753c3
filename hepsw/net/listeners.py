"""All listeners in service; a reload opens and closes only those whose url changed."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from typing import TYPE_CHECKING

from hepsw.config.certificates import CertificateError, server_context
from hepsw.net.intake import Intake
from hepsw.net.machine import ThisMachine
from hepsw.net.sockets import (
    ask_receive_buffer,
    granted_receive_buffer,
    is_v6_only,
    listening_socket,
    packed,
)
from hepsw.net.tcp import Connections, TcpListener
from hepsw.net.tls import Terms
from hepsw.net.udp import UdpListener

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from hepsw.accounting import Ledger
    from hepsw.config.configuration import Listener, ListenerTls
    from hepsw.config.units import Url
    from hepsw.net.intake import Meet, Take
    from hepsw.net.machine import Address

log = logging.getLogger("hepsw.net")


class Listeners:
    """Sockets by url: any other setting, the name among them, changes under an open socket."""

    def __init__(self, ledger: Ledger, take: Take, meet: Meet) -> None:
        self._ledger = ledger
        self._take = take
        self._meet = meet
        self._live: dict[Url, UdpListener | TcpListener] = {}
        self._leaving: set[UdpListener | TcpListener] = set()
        """Those that are being stopped: the end of hepsw may come before theirs."""
        self._connections = Connections()
        self._terms: dict[ListenerTls, Terms] = {}
        """Of those that serve TLS; a certificate that was renewed has terms of its own."""
        self._is_pushed_back = False

    def bind(self, wanted: Sequence[Listener]) -> dict[Url, socket.socket]:
        """Return bound sockets for the listeners that are new; nothing else changes yet.

        Raises:
            OSError: one of them, or a certificate, cannot be had; all are closed again.
        """
        self._read_certificates(wanted)
        on_v4 = {
            (listener.url.scheme, listener.url.port)
            for listener in wanted
            if listener.url.address is not None and listener.url.address.version == 4
        }
        bound: dict[Url, socket.socket] = {}
        try:
            for listener in wanted:
                url = listener.url
                v6_only = (url.scheme, url.port) in on_v4
                if url not in self._live:
                    bound[url] = listening_socket(listener, v6_only=v6_only)
                else:
                    _check_v6_only(self._live[url].socket, v6_only=v6_only)
        except OSError as error:
            for made in bound.values():
                made.close()
            raise OSError(error.errno, f"{url}: {error.strerror or error}") from error
        return bound

    def _read_certificates(self, wanted: Sequence[Listener]) -> None:
        """Read those that are new or renewed.

        Raises:
            OSError: since they were checked, they have become another thing.
        """
        for listener in wanted:
            if listener.tls is None or listener.tls in self._terms:
                continue
            try:
                context = server_context(listener.tls)
            except CertificateError as error:
                raise OSError(errno.EINVAL, f"{listener.url}: {error}") from error
            except OSError as error:
                raise OSError(error.errno, f"{listener.url}: {error.strerror or error}") from error
            self._terms[listener.tls] = Terms(listener.tls, context)

    def push_back(self, wanted: bool) -> None:  # noqa: FBT001 - called back with one or the other
        """Read no streams, or read them again: who sends is then told by TCP to wait.

        UDP goes on, since nobody can be told. Nothing is lost or counted by this alone.
        """
        self._is_pushed_back = wanted
        for live in (*self._live.values(), *self._leaving):
            if isinstance(live, TcpListener):
                live.push_back(wanted=wanted)

    async def stop_others(self, wanted: Sequence[Listener]) -> None:
        """Read what the listeners hold that are no longer wanted, and close them."""
        urls = {listener.url for listener in wanted}
        for url in [url for url in self._live if url not in urls]:
            self._leaving.add(self._live.pop(url))
            log.info("no longer listening on %s", url)
        await asyncio.gather(*(self._stop(live) for live in list(self._leaving)))

    async def _stop(self, live: UdpListener | TcpListener) -> None:
        await live.stop()
        self._leaving.discard(live)

    def settle(self, wanted: Sequence[Listener]) -> None:
        """Give the listeners that stay their new settings."""
        for listener in wanted:
            live = self._live.get(listener.url)
            if live is None:
                continue
            before = live.intake.listener
            changed = before.receive_buffer != listener.receive_buffer
            if isinstance(live, UdpListener) and changed:
                ask_receive_buffer(live.socket, listener.receive_buffer)
            if isinstance(live, TcpListener) and listener.tls is not None:
                live.terms = self._terms[listener.tls]
            live.settle(listener, self._ledger.listener(listener.name))
            if isinstance(live, UdpListener) and changed:
                _tell_receive_buffer(live)

    async def start(self, wanted: Sequence[Listener], bound: Mapping[Url, socket.socket]) -> None:
        """Start the listeners that are new."""
        for listener in wanted:
            made = bound.get(listener.url)
            if made is None:
                continue
            intake = Intake(listener, self._ledger.listener(listener.name), self._take, self._meet)
            live: UdpListener | TcpListener
            if listener.url.scheme == "udp":
                live = UdpListener(made, intake)
            else:
                terms = None if listener.tls is None else self._terms[listener.tls]
                live = TcpListener(made, intake, self._connections, terms)
                live.push_back(wanted=self._is_pushed_back)
            self._live[listener.url] = live
            await live.start()
            enters = f"table {listener.entry}" if listener.entry else "every destination and store"
            log.info("listening on %s → %s", listener.url, enters)
            if isinstance(live, UdpListener):
                _tell_receive_buffer(live)
        served = {listener.tls for listener in wanted}
        for tls in [tls for tls in self._terms if tls not in served]:
            del self._terms[tls]

    def is_own(self, transport: str, address: Address, port: int) -> bool:
        """Tell whether one of the open listeners has an address: a name can come to lead back."""
        for url, live in self._live.items():
            host, own_port = live.socket.getsockname()[:2]
            if ("udp" if url.scheme == "udp" else "tcp", own_port) != (transport, port):
                continue
            own = ipaddress.ip_address(packed(host))
            here = address.is_loopback or address.is_unspecified
            if own == address or (own.is_unspecified and (here or ThisMachine.is_own(address))):
                return True
        return False

    def measure(self) -> None:
        """Write what the kernel dropped, and the open connections, into the accounts."""
        for account in self._ledger.listeners.values():
            account.connections = 0
        for live in self._live.values():
            live.measure()

    async def stop(self) -> None:
        """Accept no more, read what has arrived, close everything."""
        await self.stop_others(())


def _check_v6_only(sock: socket.socket, *, v6_only: bool) -> None:
    """Refuse what only a new socket could do.

    Raises:
        OSError: it is an IPv6 socket that takes IPv4 and should not, or the other way round.
    """
    if is_v6_only(sock) not in {None, v6_only}:
        text = "it cannot begin or cease to take IPv4 while it is open; restart hepsw"
        raise OSError(errno.EADDRINUSE, text)


def _tell_receive_buffer(live: UdpListener) -> None:
    """Warn where the kernel gave less than was asked for."""
    asked, granted = live.intake.listener.receive_buffer, granted_receive_buffer(live.socket)
    if granted < asked:
        log.warning(
            "%s: receive buffer of %d octets asked, %d granted; raise net.core.rmem_max",
            live.intake.listener.url,
            asked,
            granted,
        )
