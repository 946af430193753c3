"""A switch between agents and collectors that fail: what each fault test sets up, and its account.

Every look at the counters asserts that nothing is unaccounted; the end of the stage does so too.
"""

import time
from contextlib import ExitStack
from functools import partial

import pytest
from agents import Agents
from collector import Collector
from databases import Postgres
from faultproxy import FaultProxy
from loopback import free_port
from running import Hepsw, wait_until

PATIENCE = 120
"""Seconds until something is missed: another build is tested beside, on the same processors."""

HEAD = """
[[listen]]
name = "in"
url = ["udp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}"]
receive_buffer = "64MiB"

[reload]
watch = false
"""


class Stage:
    """What is set up for one test; all of it ends with `close`."""

    def __init__(self, folder):
        self.folder = folder
        self._stack = ExitStack()

    def close(self):
        """End everything; what a switch says at its end is asserted."""
        self._stack.close()

    def collector(self, name, scheme="tcp", *, away=False, **more):
        """Return a collector; one that is away has a port and nobody there."""
        made = Collector(self.folder / name, scheme, **more)
        self._stack.callback(made.close)
        return made if away else made.start()

    def proxy(self, collector, **more):
        """Return a proxy in front of a collector, or of a database server."""
        return self._stack.enter_context(FaultProxy(collector.port, **more))

    def postgres(self, **settings):
        """Return a database server of this test's own; skips where there is none."""
        try:
            return self._stack.enter_context(Postgres(**settings))
        except LookupError as error:
            pytest.skip(str(error))

    def switch(self, destinations, more="", *, name="switch", port=None, **options):
        """Return a switch that is ready, and copies whatever comes to all destinations.

        Args:
            destinations: by name, what stands in the table of each.
            more: other tables.
            name: of its folder.
            port: where it listens, unless any will do.
            options: of `Hepsw`.
        """
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        port = port or free_port()
        tables = "".join(f"[destinations.{key}]\n{text}\n" for key, text in destinations.items())
        made = Switch(folder, HEAD.format(port=port) + tables + more, **options)
        made.port = port
        self._stack.callback(made.end)
        wait_until(
            lambda: "ready" in made.texts(),
            lambda: made.errors,
            alive=made.process,
            patience=PATIENCE,
        )
        return made

    def agents(self, switch, **more):
        """Return agents that send to a switch from now on."""
        return self._stack.enter_context(Agents(switch.port, **more))


class Switch(Hepsw):
    """A running switch, and questions about its account."""

    port = 0
    was_killed = False

    def end(self):
        """Stop it, unless a test killed it."""
        if not self.was_killed and self.process.poll() is None:
            self.stop()

    def kill(self):
        """End it as a crash would."""
        self.was_killed = True
        self.process.kill()
        self.process.wait()

    def wait(self, holds, patience=PATIENCE, step=0.1):
        """Return the counters as soon as `holds(counters)`, without asking too often."""

        def ask():
            counters = self.counters()
            if holds(counters):
                return counters
            time.sleep(step)
            return None

        return wait_until(
            ask, lambda: f"{self.counters()}\n{self.errors[-3000:]}", patience=patience
        )

    def wait_seen(self, sent, patience=PATIENCE):
        """Return the counters when every packet that was sent has been seen."""
        return self.wait(partial(_has_seen, sum(sent.values())), patience)

    def settled(self, sent, *names, patience=PATIENCE):
        """Return the counters when all was seen, and destinations, or all of them, hold nothing."""
        self.wait_seen(sent, patience)
        return self.wait(partial(_holds_nothing, names), patience)


def _has_seen(count, counters):
    assert counters["listeners"]["in"]["seen"] <= count
    return counters["listeners"]["in"]["seen"] == count


def _holds_nothing(names, counters):
    return all(
        held(account) == 0
        for name, account in counters["sinks"].items()
        if not names or name in names
    )


def held(account):
    """Return how many packets a destination holds."""
    return account["in_memory"] + account["in_spool"] + account["in_flight"]


def shed(counters, name):
    """Return how many packets are told to be lost on the way to a destination."""
    listener, account = counters["listeners"]["in"], counters["sinks"][name]
    return (
        listener["kernel_dropped"]
        + sum(listener["shed"].values())
        + sum(account["shed"].values())
        + sum(account["dropped"].values())
    )


def assert_told(counters, name, verdict, lost_at_peer=0):
    """Assert that what is missing is what was told to be lost, and that nothing else is wrong.

    Args:
        counters: of the switch, which holds nothing any more.
        name: of the destination.
        verdict: on what its collector was given.
        lost_at_peer: packets that the kernel of the collector may have had when it died.
    """
    account = counters["sinks"][name]
    assert held(account) == 0
    told = shed(counters, name)
    # What is sent again may be given up, and have come the first time.
    least = told - account["resent"]
    assert least <= len(verdict.missing) <= told + lost_at_peer, (verdict.sent, told, account)
    # Delivered is what the far kernel acknowledged: more than came only by what died with it.
    assert account["delivered"] - verdict.unique == len(verdict.missing) - told
    assert verdict.duplicates <= account["resent"]
