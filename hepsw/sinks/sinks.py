"""All sinks in service, by name, and those that a reload has retired and that still drain."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.accounting import Reason
from hepsw.config.configuration import StoreSettings
from hepsw.sinks.resolve import nothing_is_own
from hepsw.sinks.sqlite import SqliteStore
from hepsw.sinks.tcp import TcpDestination
from hepsw.sinks.udp import UdpDestination

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepsw.accounting import Ledger
    from hepsw.config.configuration import Configuration
    from hepsw.config.models import Destination
    from hepsw.sinks.resolve import IsOwn
    from hepsw.sinks.sink import Sink
    from hepsw.view import View

CLOSE_SECONDS: Final = 2.0
"""How long sinks may take to stop, over what they have for draining; the slowest, a store whose
disk hangs, takes 1.5 s."""

log = logging.getLogger("hepsw.sinks")


class Prepared(NamedTuple):
    """The sinks of a configuration that is about to come into service."""

    wanted: Mapping[str, Destination | StoreSettings]
    """The settings of all of them."""
    made: dict[str, Sink]
    """Those that are new or changed, started."""


class Sinks:
    """Makes sinks from their settings, and keeps those whose settings did not change."""

    def __init__(
        self, ledger: Ledger, drain_seconds: float, is_own: IsOwn = nothing_is_own
    ) -> None:
        """Begin without sinks.

        Args:
            ledger: where each sink finds its account.
            drain_seconds: what a sink has to deliver what it holds, before it is stopped.
            is_own: whether a transport, an address and a port are those of one of our listeners.
                A destination whose name leads there is not followed.
        """
        self._ledger = ledger
        self._drain_seconds = drain_seconds
        self._is_own = is_own
        self._live: dict[str, Sink] = {}
        self._settings: dict[str, Destination | StoreSettings] = {}
        self._retiring: dict[asyncio.Task[None], tuple[str, Sink]] = {}

    def prepare(self, configuration: Configuration) -> Prepared:
        """Make and start the sinks that are new; nothing that is in service changes.

        Raises:
            Exception: one of them cannot be made, for want of a thread or by a bug of ours; those
                made before it are stopped again.
        """
        wanted: Mapping[str, Destination | StoreSettings] = {
            **configuration.destinations,
            **configuration.stores,
        }
        prepared = Prepared(wanted, {})
        try:
            for name, settings in wanted.items():
                if self._settings.get(name) != settings:
                    prepared.made[name] = self._made(name, settings)
                    prepared.made[name].start()
        except Exception:
            self.abandon(prepared)
            raise
        return prepared

    def adopt(self, prepared: Prepared) -> None:
        """Take prepared sinks into service; those they replace drain in the background.

        Connections and queues of sinks whose settings are the same are not touched.
        """
        for name in [name for name in self._live if name not in prepared.wanted]:
            self._retire(name, self._live.pop(name))
        for name, sink in prepared.made.items():
            if name in self._live:
                self._retire(name, self._live[name])
            self._live[name] = sink
        self._settings = dict(prepared.wanted)

    def abandon(self, prepared: Prepared) -> None:
        """Stop prepared sinks that will not come into service."""
        for name, sink in prepared.made.items():
            self._retire(name, sink)

    def replace(self, configuration: Configuration) -> None:
        """Take the sinks of a configuration into service."""
        self.adopt(self.prepare(configuration))

    def _retire(self, name: str, sink: Sink) -> None:
        task = asyncio.create_task(self._end(name, sink, Reason.RETIRED), name=f"retiring {name}")
        self._retiring[task] = (name, sink)
        task.add_done_callback(self._retiring.pop)

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
        """Drain all sinks at once and stop them; those that a reload retired have begun already.

        There is one end for all: a sink that does not come to it is left behind.
        """
        ending = [
            asyncio.create_task(self._end(name, sink, Reason.SHUTDOWN), name=f"stopping {name}")
            for name, sink in self._live.items()
        ]
        if tasks := [*ending, *self._retiring]:
            _, late = await asyncio.wait(tasks, timeout=self._drain_seconds + CLOSE_SECONDS)
            for task in late:
                log.error("%s: not done in time", task.get_name())

    async def _end(self, name: str, sink: Sink, reason: Reason) -> None:
        """Let a sink deliver what it holds, and stop it."""
        try:
            try:
                await sink.drain(self._drain_seconds)
            finally:
                await sink.close(reason)
        except Exception:
            log.exception("%s: a bug in hepsw, while it was stopped", name)

    def _made(self, name: str, settings: Destination | StoreSettings) -> Sink:
        if isinstance(settings, StoreSettings):
            return SqliteStore(name, settings, self._ledger.sink(name, "sqlite"))
        account = self._ledger.sink(name, settings.url.scheme)
        if settings.url.scheme == "tcp":
            return TcpDestination(name, settings, account, self._is_own)
        return UdpDestination(name, settings, account, self._is_own)
