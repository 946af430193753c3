"""All listeners in service; a reload opens and closes only those that changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hepsw.net.intake import Intake
from hepsw.net.sockets import ask_receive_buffer, granted_receive_buffer, listening_socket
from hepsw.net.tcp import TcpListener
from hepsw.net.udp import UdpListener

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from hepsw.accounting import Ledger
    from hepsw.config.configuration import Listener
    from hepsw.net.intake import Meet, Take

log = logging.getLogger("hepsw.net")

Place = tuple[str, str]
"""What a socket is known by: its listener's name and its url. Any other setting changes under it.
"""


def _place(listener: Listener) -> Place:
    return listener.name, str(listener.url)


class Listeners:
    """Opens sockets, keeps those whose name and url stay, closes the others."""

    def __init__(self, ledger: Ledger, take: Take, meet: Meet) -> None:
        self._ledger = ledger
        self._take = take
        self._meet = meet
        self._live: dict[Place, UdpListener | TcpListener] = {}
        self._sockets: dict[Place, socket.socket] = {}

    def bind(self, wanted: Sequence[Listener]) -> dict[Place, socket.socket]:
        """Return bound sockets for the listeners that are new; nothing else changes yet.

        Raises:
            OSError: one of them cannot be had; all are closed again.
        """
        on_v4 = {
            (listener.url.scheme, listener.url.port)
            for listener in wanted
            if listener.url.address is not None and listener.url.address.version == 4
        }
        taken = {url for _, url in self._live}
        bound: dict[Place, socket.socket] = {}
        try:
            for listener in wanted:
                place = _place(listener)
                if place in self._live or place[1] in taken:
                    continue
                key = (listener.url.scheme, listener.url.port)
                bound[place] = listening_socket(listener, v6_only=key in on_v4)
        except OSError as error:
            for made in bound.values():
                made.close()
            raise OSError(error.errno, f"{listener.url}: {error.strerror or error}") from error
        return bound

    async def stop_others(self, wanted: Sequence[Listener]) -> None:
        """Read what the listeners hold that are no longer wanted, and close them."""
        places = {_place(listener) for listener in wanted}
        for place in [place for place in self._live if place not in places]:
            await self._live.pop(place).stop()
            del self._sockets[place]
            log.info("no longer listening on %s", place[1])

    async def serve(self, wanted: Sequence[Listener], bound: dict[Place, socket.socket]) -> None:
        """Give the kept listeners their new settings, and start the new ones."""
        for listener in wanted:
            place = _place(listener)
            if place in self._live:
                self._settle(place, listener)
                continue
            # A listener that only changed its name could not be bound while the old one had the
            # port.
            made = bound.get(place) or listening_socket(listener, v6_only=False)
            intake = Intake(listener, self._ledger.listener(listener.name), self._take, self._meet)
            self._sockets[place] = made
            if listener.url.scheme == "udp":
                udp = UdpListener(made, intake)
                self._live[place] = udp
                udp.start()
            else:
                tcp = TcpListener(made, intake)
                self._live[place] = tcp
                await tcp.start()
            self._tell(place, listener)

    def _settle(self, place: Place, listener: Listener) -> None:
        live = self._live[place]
        if (
            live.intake.listener.receive_buffer != listener.receive_buffer
            and listener.url.scheme == "udp"
        ):
            ask_receive_buffer(self._sockets[place], listener.receive_buffer)
        live.intake.listener = listener

    def _tell(self, place: Place, listener: Listener) -> None:
        enters = f"table {listener.entry}" if listener.entry else "every destination and store"
        log.info("listening on %s → %s", listener.url, enters)
        if listener.url.scheme != "udp":
            return
        granted = granted_receive_buffer(self._sockets[place])
        if granted < listener.receive_buffer:
            log.warning(
                "%s: receive buffer of %d octets asked, %d granted; raise net.core.rmem_max",
                listener.url,
                listener.receive_buffer,
                granted,
            )

    def measure(self) -> None:
        """Write what the kernel dropped, and the open connections, into the accounts."""
        for account in self._ledger.listeners.values():
            account.connections = 0
        for live in self._live.values():
            live.measure()

    async def stop(self) -> None:
        """Accept no more, read what has arrived, close everything."""
        for live in self._live.values():
            await live.stop()
        self._live.clear()
        self._sockets.clear()
