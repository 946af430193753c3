"""All sinks in service, by name, and those that a reload has retired and that still drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hepsw.accounting import Reason
from hepsw.config.configuration import StoreSettings
from hepsw.sinks.sqlite import SqliteStore
from hepsw.sinks.tcp import TcpDestination
from hepsw.sinks.udp import UdpDestination

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hepsw.accounting import Ledger
    from hepsw.config.configuration import Configuration
    from hepsw.config.models import Destination
    from hepsw.sinks.sink import Sink
    from hepsw.view import View


class Sinks:
    """Makes sinks from their settings, and keeps those whose settings did not change."""

    def __init__(self, ledger: Ledger, drain_seconds: float) -> None:
        self._ledger = ledger
        self._drain_seconds = drain_seconds
        self._live: dict[str, Sink] = {}
        self._settings: dict[str, Destination | StoreSettings] = {}
        self._retiring: dict[asyncio.Task[None], tuple[str, Sink]] = {}

    def replace(self, configuration: Configuration) -> None:
        """Take the sinks of a configuration into service; the others drain in the background.

        Connections and queues of sinks whose settings are the same are not touched.
        """
        wanted: Mapping[str, Destination | StoreSettings] = {
            **configuration.destinations,
            **configuration.stores,
        }
        leaving = [name for name in self._live if wanted.get(name) != self._settings[name]]
        coming = {
            name: settings
            for name, settings in wanted.items()
            if self._settings.get(name) != settings
        }
        for name in leaving:
            sink = self._live.pop(name)
            task = asyncio.create_task(self._retire(sink), name=f"retiring {name}")
            self._retiring[task] = (name, sink)
            task.add_done_callback(self._retiring.pop)
        for name, settings in coming.items():
            self._live[name] = self._made(name, settings)
            self._live[name].start()
        self._settings = dict(wanted)

    def enqueue(self, outputs: Mapping[str, Sequence[View]]) -> None:
        """Give each sink its part of a batch."""
        for name, views in outputs.items():
            self._live[name].enqueue(views)

    def measure(self) -> None:
        """Write what is held now into the accounts."""
        for account in self._ledger.sinks.values():
            account.in_memory = account.in_spool = account.in_flight = 0
        for name, sink in (*self._live.items(), *self._retiring.values()):
            account = self._ledger.sinks[name]
            held = sink.held
            account.in_memory += held.in_memory
            account.in_spool += held.in_spool
            account.in_flight += held.in_flight

    async def close(self) -> None:
        """Drain all sinks at once, for as long as is given, then stop them."""
        sinks = list(self._live.values())
        await asyncio.gather(*(sink.drain(self._drain_seconds) for sink in sinks))
        await asyncio.gather(*(sink.close(Reason.SHUTDOWN) for sink in sinks))
        await self._gone(self._retiring)

    async def _gone(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        await asyncio.gather(*tasks)

    async def _retire(self, sink: Sink) -> None:
        await sink.drain(self._drain_seconds)
        await sink.close(Reason.RETIRED)

    def _made(self, name: str, settings: Destination | StoreSettings) -> Sink:
        if isinstance(settings, StoreSettings):
            return SqliteStore(name, settings, self._ledger.sink(name, "sqlite"))
        account = self._ledger.sink(name, settings.url.scheme)
        if settings.url.scheme == "tcp":
            return TcpDestination(name, settings, account)
        return UdpDestination(name, settings, account)
