"""Destinations for tests: settings as a configuration would give them, and one that runs."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

from hepsw.accounting import Ledger, Reason
from hepsw.config import models
from hepsw.config.configuration import DestinationSettings
from hepsw.fields import CATALOGUE
from hepsw.sinks.budget import Budget
from hepsw.sinks.destination import Around, Destination
from hepsw.sinks.resolve import nothing_is_own


def settings(*urls, **more):
    """Return the settings of a destination; what a key allows is not asked."""
    model = models.Destination.model_validate({"url": list(urls)})
    made = DestinationSettings(
        name="far",
        urls=tuple(model.urls),
        policy=model.policy,
        key=CATALOGUE["call"],
        hep=model.hep,
        tls=None,
        bind=None,
        compress=model.compress,
        privacy=None,
        edits=(),
        meaning="",
        auth_key=None,
        queue=model.queue,
        spool=None,
        overflow=model.overflow,
        oversize=model.oversize,
        timeout=model.timeout,
    )
    return replace(made, **more)


def spool(folder, **more):
    """Return the settings of a spool in a folder."""
    return models.Spool.model_validate({"path": str(folder), **more})


class Running:
    """A destination with its account, and what it handed over."""

    def __init__(self, made, *, is_own=nothing_is_own, memory=1 << 30):
        self.ledger = Ledger()
        self.account = self.ledger.sink("far", made.url.scheme)
        self.budget = Budget(memory)
        self.handed_over = []
        around = Around(
            budget=self.budget,
            is_own=is_own,
            hand_over=lambda name, view: self.handed_over.append((name, view)),
            recovered=self._recovered,
        )
        self.sink = Destination("far", made, self.account, around)

    def _recovered(self, n):
        self.account.recovered += n

    def measure(self):
        """Return what of the account nothing is known; 0."""
        held = self.sink.held
        self.account.in_memory, self.account.in_spool, self.account.in_flight = held
        return self.account.unaccounted


@asynccontextmanager
async def running(made, **more):
    """Run a destination; everything it took is accounted for, at any time and at the end."""
    far = Running(made, **more)
    far.sink.start()
    far.sink.open_spool()

    async def watch():
        while True:
            assert far.measure() == 0
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    try:
        yield far
    finally:
        stopped = watching.done()
        watching.cancel()
        await far.sink.close(Reason.SHUTDOWN)
        if stopped:
            watching.result()
    assert far.sink.held.in_memory == far.sink.held.in_flight == 0
    assert far.measure() == 0
    assert far.budget.used == 0


async def until(condition, seconds=20):
    """Wait for what is to come."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
