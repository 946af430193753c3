"""All sinks in service, by name, and those that a reload has retired and that still drain."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.accounting import Reason
from hepsw.config.configuration import StoreSettings
from hepsw.sinks.budget import Budget
from hepsw.sinks.destination import Around, Destination
from hepsw.sinks.resolve import nothing_is_own
from hepsw.sinks.stores import store
from hepsw.sinks.stores.store import Store
from hepsw.sinks.stores.writers import writer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hepsw.accounting import Ledger
    from hepsw.config.configuration import Configuration, DestinationSettings
    from hepsw.sinks.resolve import IsOwn
    from hepsw.sinks.sink import Sink
    from hepsw.view import View

CLOSE_SECONDS: Final = 5.0
"""How long sinks may take to stop, over what they have for draining; the slowest, a store that
hangs, takes 1.5 s, and if its spool hangs too, 2.5 s more."""
HIGH: Final = 0.7
LOW: Final = 0.5
"""Parts of the budget at which TCP and TLS are pushed back, and at which they may go on."""
LEAST_MOVING: Final = 0.1
"""Part of the budget that must be with outputs which deliver, for pushing back to be of use: the
rest would wait for ever."""
LOOK_AGAIN: Final = 0.02
"""Seconds between two looks whether what was pushed back may go on."""

log = logging.getLogger("hepsw.sinks")


class Prepared(NamedTuple):
    """The sinks of a configuration that is about to come into service."""

    wanted: Mapping[str, DestinationSettings | StoreSettings]
    """The settings of all of them."""
    made: dict[str, Sink]
    """Those that are new or changed, started; their spools are not open yet."""
    memory: int
    """Octets that all queues may hold together."""


class Sinks:
    """Makes sinks from their settings, and keeps those whose settings did not change."""

    def __init__(
        self,
        ledger: Ledger,
        drain_seconds: float,
        is_own: IsOwn = nothing_is_own,
        push_back: Callable[..., None] = lambda *, wanted: None,  # noqa: ARG005 - nobody listens
    ) -> None:
        """Begin without sinks.

        Args:
            ledger: where each sink finds its account.
            drain_seconds: what a sink has to deliver what it holds, before it is stopped.
            is_own: whether a transport, an address and a port are those of one of our listeners.
                A destination whose name leads there is not followed.
            push_back: told whether it is `wanted` that senders which can wait are not read from.
        """
        self._ledger = ledger
        self._drain_seconds = drain_seconds
        self._is_own = is_own
        self._push_back = push_back
        self._pushing: asyncio.TimerHandle | None = None
        """The next look whether senders may go on, while they are pushed back."""
        self._budget = Budget(0)
        self._left: dict[Path, tuple[str, int]] = {}
        """What sinks that have ended left in their spools: whose, and how many packets."""
        self._folders: set[Path | None] = set()
        """The spools of those in service."""
        self._live: dict[str, Sink] = {}
        self._settings: dict[str, DestinationSettings | StoreSettings] = {}
        self._retiring: dict[asyncio.Task[None], tuple[str, Sink]] = {}

    def prepare(self, configuration: Configuration) -> Prepared:
        """Make and start the sinks that are new; nothing that is in service changes.

        Raises:
            Exception: one of them cannot be made, for want of a thread or by a bug of ours; those
                made before it are stopped again.
        """
        wanted: Mapping[str, DestinationSettings | StoreSettings] = {
            **configuration.destinations,
            **configuration.stores,
        }
        prepared = Prepared(wanted, {}, configuration.switch.memory)
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
        kept = [sink for name, sink in self._live.items() if name not in prepared.made]
        self._folders = {sink.folder for sink in (*kept, *prepared.made.values())}
        for name in [name for name in self._live if name not in prepared.wanted]:
            self._retire(name, self._live.pop(name))
        for name, sink in prepared.made.items():
            if name in self._live:
                self._retire(name, self._live[name])
            self._live[name] = sink
        for sink in prepared.made.values():
            self._open_spool(sink)
        self._settings = dict(prepared.wanted)
        self._budget.limit = prepared.memory

    def abandon(self, prepared: Prepared) -> None:
        """Stop prepared sinks that will not come into service."""
        for name, sink in prepared.made.items():
            self._retire(name, sink)

    def replace(self, configuration: Configuration) -> None:
        """Take the sinks of a configuration into service."""
        self.adopt(self.prepare(configuration))

    def _open_spool(self, sink: Sink) -> None:
        """Let a sink open its spool, as soon as whoever has it now has ended."""
        if (before := self._before(sink)) is not None:
            before.add_done_callback(lambda _: sink.open_spool())
        else:
            sink.open_spool()

    def _before(self, sink: Sink) -> asyncio.Task[None] | None:
        """Return the end of the last of those that are before a sink in line for its spool."""
        before = None
        if sink.folder is not None:
            for task, (_, other) in self._retiring.items():
                if other.folder == sink.folder:
                    before = task
        return before

    def _retire(self, name: str, sink: Sink) -> None:
        # Whoever takes its spool over is waiting for it; there what waits is safe.
        is_wanted = sink.folder is not None and sink.folder in self._folders
        before = self._before(sink)
        end = self._end(name, sink, Reason.RETIRED, before, hurry=is_wanted)
        task = asyncio.create_task(end, name=f"retiring {name}")
        self._retiring[task] = (name, sink)
        task.add_done_callback(lambda task: self._retiring.pop(task, None))

    def enqueue(self, outputs: Mapping[str, Sequence[View]]) -> None:
        """Give each sink its part of a batch."""
        for name, views in outputs.items():
            self._live[name].enqueue(views)
        if self._budget.used > self._budget.limit * HIGH and self._pushing is None:
            self._look(HIGH)

    def _look(self, mark: float) -> None:
        """Push senders back while too much waits, or let them go on."""
        limit = self._budget.limit
        moving = sum(sink.waiting for sink in self._live.values() if sink.is_moving)
        if self._budget.used > limit * mark and moving > limit * LEAST_MOVING:
            if self._pushing is None:
                self._push_back(wanted=True)
            loop = asyncio.get_running_loop()
            self._pushing = loop.call_later(LOOK_AGAIN, self._look, LOW)
        elif self._pushing is not None:
            self._pushing = None
            self._push_back(wanted=False)

    def _take_over(self, name: str, view: View) -> None:
        """Give a sink what is too big for another."""
        sink = self._live[name]
        sink.account.taken_over += 1
        sink.enqueue([view])

    def measure(self) -> None:
        """Write what is held now into the accounts."""
        for account in self._ledger.sinks.values():
            account.in_memory = account.in_spool = account.in_flight = 0
            account.batch_age = 0.0
        for name, sink in (*self._live.items(), *self._retiring.values()):
            account = self._ledger.sinks[name]
            held = sink.held
            account.in_memory += held.in_memory
            account.in_spool += held.in_spool
            account.in_flight += held.in_flight
            if isinstance(sink, Store):
                account.batch_age = max(account.batch_age, sink.age)
        for name, sink in self._live.items():
            # One that a reload has retired has the same account, and may have had the last word.
            self._ledger.sinks[name].state = sink.state
        for name, count in self._left.values():
            self._ledger.sinks[name].in_spool += count

    async def close(self) -> None:
        """Drain all sinks at once and stop them; those that a reload retired have begun already.

        There is one end for all: a sink that does not come to it is left behind.
        """
        ending = [
            asyncio.create_task(
                self._end(name, sink, Reason.SHUTDOWN, self._before(sink)),
                name=f"stopping {name}",
            )
            for name, sink in self._live.items()
        ]
        if self._pushing is not None:
            self._pushing.cancel()
        if tasks := [*ending, *self._retiring]:
            _, late = await asyncio.wait(tasks, timeout=self._drain_seconds + CLOSE_SECONDS)
            for task in late:
                log.error("%s: not done in time", task.get_name())

    async def _end(
        self,
        name: str,
        sink: Sink,
        reason: Reason,
        before: asyncio.Task[None] | None,
        *,
        hurry: bool = False,
    ) -> None:
        """Let a sink deliver what it holds for some time, and stop it.

        Args:
            name: its own.
            sink: in service, or retired.
            reason: what is dropped is counted so.
            before: the end of whoever has its spool; it is waited for.
            hurry: nothing that can go to the spool is to be waited for.
        """
        try:
            try:
                await sink.drain(self._drain_seconds, hurry=hurry)
                if before is not None:
                    await asyncio.wait([before])  # then it has its spool, for what is left
            finally:
                await sink.close(reason)
                # From here on it is asked no more what it holds.
                task = asyncio.current_task()
                if task in self._retiring:
                    del self._retiring[task]
                    if sink.folder is not None and sink.held.in_spool:
                        self._left[sink.folder] = name, sink.held.in_spool
        except Exception:
            log.exception("%s: a bug in hepsw, while it was stopped", name)

    def _recovered(self, name: str, folder: Path, n: int) -> None:
        """Count what a sink found in its spool.

        What one of another name left there is not sent, but kept beside: it is lost to that one.
        """
        account = self._ledger.sinks[name]
        before, left = self._left.pop(folder, (name, 0))
        if before != name:
            self._ledger.sinks[before].dropped[Reason.RETIRED] += left
            account.recovered += n
        elif n >= left:
            account.recovered += n - left
        else:
            account.dropped[Reason.CORRUPT] += left - n

    def _made(self, name: str, settings: DestinationSettings | StoreSettings) -> Sink:
        folder = Path(settings.spool.path if settings.spool is not None else "")

        def recovered(n: int) -> None:
            self._recovered(name, folder, n)

        if isinstance(settings, StoreSettings):
            return Store(
                name,
                settings,
                self._ledger.sink(name, settings.scheme),
                partial(writer_of, settings),
                store.Around(self._budget, recovered),
            )
        return Destination(
            name,
            settings,
            self._ledger.sink(name, settings.url.scheme),
            Around(
                budget=self._budget,
                is_own=self._is_own,
                hand_over=self._take_over,
                recovered=recovered,
            ),
        )
