"""The daemon: wiring, signals, hot reload.

Everything that lives is held here and nowhere else: the ledger, the switch, the listeners and the
sinks. A batch comes from a listener, is judged by the switch in the same turn of the loop, and is
given to the sinks. A reload is loaded and compiled beside all that, in a thread, and put into
service between two batches. What only that thread sees must not hold up the loop either: no call
into C that takes long, and nothing large that is freed at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hepsw import __version__
from hepsw.accounting import Ledger
from hepsw.config.diagnostics import render
from hepsw.control import report
from hepsw.control.aside import aside
from hepsw.control.collector import no_full_collections, settle
from hepsw.control.logs import LAST_WRITE, LogWriter, heard
from hepsw.hep import COMPILED
from hepsw.net.listeners import Listeners
from hepsw.net.machine import ThisMachine
from hepsw.pieces import dismantle
from hepsw.prove import prove
from hepsw.sinks.sinks import Sinks
from hepsw.switch import MOST, WINDOW, Switch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hepsw.compiler import Program
    from hepsw.config.configuration import Configuration
    from hepsw.hep import Packet
    from hepsw.view import Peer

DRAIN: Final = 7.0
"""Seconds that outputs have to deliver what they hold, at the end and when a reload retires them.

The end takes 10 s at most, after which a container is killed: before the drain listeners read what
has arrived, for 0.5 s, and after it a store has 1.5 s for a batch that is being written."""
SWITCH_INTERVAL: Final = 0.0002
"""Seconds after which a waiting thread gets the interpreter: with Python's 5 ms a busy loop leaves
the store's writer, and a reload, next to nothing."""
WATCH_AGAIN: Final = 5.0
"""Seconds until files are watched again after that failed."""
LINES: Final = {"lines": True}
"""Marks what we say in several lines; in all else a line's end is a packet's trick."""
AGENTS: Final = 4096
"""Agents remembered as announced."""
ACCOUNTS: Final = 200
"""Accounts of rules opened at once, before packets have their turn."""

log = logging.getLogger("hepsw")
rule_log = logging.getLogger("hepsw.rules")


class Daemon:
    """One running switch."""

    def __init__(self, path: Path, configuration: Configuration, program: Program) -> None:
        self.ledger = Ledger()
        self._path = path
        self._configuration = configuration
        self._logs = LogWriter(configuration.log)
        self._switch = Switch(program, self.ledger.switch)
        self._switch.heard = heard(configuration.log.level)
        self._switch.guard_loops(wanted=configuration.switch.loop_guard)
        self._listeners = Listeners(self.ledger, self._take, self._meet)
        self._sinks = Sinks(self.ledger, DRAIN, self._listeners.is_own, self._listeners.push_back)
        self._agents: set[tuple[object, ...]] = set()
        self._generation = 1
        self._written = True
        self._reporting: threading.Thread | None = None
        self._report_again = False
        self._reloading = asyncio.Lock()
        self._reload_wanted = asyncio.Event()
        self._stop_wanted = asyncio.Event()

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; return whether all that is to be said was written.

        Raises:
            OSError: a listener cannot be opened.
        """
        try:
            await self._run()
        finally:
            self._written &= self._logs.close()
        return self._written

    async def _run(self) -> None:
        configuration = self._configuration
        build = "compiled" if COMPILED else "plain Python"
        log.info("hepsw %s, %s build, %s", __version__, build, self._path)
        bound = self._listeners.bind(configuration.listeners)
        self._sinks.replace(configuration)
        self._introduce(configuration)
        await self._listeners.start(configuration.listeners, bound)
        self._hear_signals()
        from hepsw.control.watch import Watch  # noqa: PLC0415 - slow, and the sockets are open by now

        self._watch = Watch(self._path)
        self._watch.settle(configuration.files)
        # The loop's threads are made of files too: a reload must not be the first to want one.
        await asyncio.to_thread(sys.setswitchinterval, SWITCH_INTERVAL)
        settle()
        log.info("ready")
        helpers = [
            asyncio.create_task(self._reload_when_wanted()),
            asyncio.create_task(self._watch_files()),
        ]
        try:
            await self._stop_wanted.wait()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        await self._stop()

    # --- the way of a packet ---

    def _take(self, packets: list[Packet], peers: list[Peer]) -> None:
        """Judge a batch and give every output its part."""
        effects = self._switch.receive_lists(packets, peers, time.time())
        if effects.outputs:
            self._sinks.enqueue(effects.outputs)
        for line in effects.lines:
            rule_log.log(_LEVELS[line.level], "%s: %s", line.rule, line.text)
        if effects.loop is not None:
            peer = effects.loop
            log.warning(
                "loop: the same packet came more than %d times in %.0f s, last from %s, port %d, "
                "over %s; it is dropped. Who sends it back?",
                MOST,
                WINDOW,
                ipaddress.ip_address(peer.ip),
                peer.port,
                peer.transport,
            )

    def _meet(self, peer: Peer, packet: Packet) -> None:
        """Announce an agent with its first packet."""
        agent = (peer.ip, peer.transport, packet.version, packet.capture_id)
        if agent in self._agents or len(self._agents) >= AGENTS:
            return
        self._agents.add(agent)
        log.info(
            "first packet from %s over %s: HEP %d, capture id %s",
            ipaddress.ip_address(peer.ip),
            peer.transport,
            packet.version,
            "none" if packet.capture_id is None else packet.capture_id,
        )

    # --- signals ---

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        loop.add_signal_handler(signal.SIGUSR1, self._on_report)
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, self._on_stop, stop)
        # Signals that come too fast are merged; Python would warn of it on a standard error that
        # may be stuck, in the middle of whatever runs.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._stop_wanted.is_set():
            os._exit(128 + number)
        self._stop_wanted.set()

    def _report(self) -> threading.Thread:
        """Print all counters, beside the packets: whoever reads them may be slow, or gone.

        JSON goes to standard output unless that is a terminal, tables to standard error.
        """
        self._measure()
        ledger = self.ledger.as_dict()
        loop = asyncio.get_running_loop()

        def report() -> None:
            _print(ledger)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._reported)

        self._reporting = threading.Thread(target=report, daemon=True)
        self._reporting.start()
        return self._reporting

    def _on_report(self) -> None:
        # Who asks faster than it is read gets one more answer, not a thread for each question.
        if self._reporting is None:
            self._report()
        else:
            self._report_again = True

    def _reported(self) -> None:
        self._reporting = None
        if self._report_again:
            self._report_again = False
            self._report()

    def _measure(self) -> None:
        self._listeners.measure()
        self._sinks.measure()
        self._switch.measure()

    async def _stop(self) -> None:
        """Stop accepting, deliver what is held, tell what became of everything."""
        log.info("stopping; a second signal stops at once")
        await self._listeners.stop()
        await self._sinks.close()
        printing = self._report()
        await asyncio.to_thread(printing.join, LAST_WRITE)
        self._written &= not printing.is_alive()

    # --- reload ---

    async def _watch_files(self) -> None:
        while True:
            if not self._configuration.reload.watch:
                await asyncio.sleep(1)
                continue
            try:
                await self._watch.changed()
            except Exception:
                # Out of files or watches, or a bug: SIGHUP still reloads, and this tries again.
                log.exception("cannot watch the configuration; trying again")
                await asyncio.sleep(WATCH_AGAIN)
                continue
            log.info("the configuration changed on disk")
            await self._reload()

    async def _reload_when_wanted(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Load beside the packets; then swap, or keep what is in service and say why."""
        async with self._reloading:
            with no_full_collections():
                began = time.monotonic()
                verdict = None
                try:
                    verdict = await aside(lambda: _verdict(self._path))
                    self._watch.settle(verdict.files)
                    await self._carry_out(verdict, began)
                except OSError as error:
                    log.error(  # noqa: TRY400 - the operator's turn: a traceback would say nothing
                        "reload refused, generation %d stays in service: %s",
                        self._generation,
                        error.strerror or error,
                    )
                except Exception:
                    # A bug of ours must not be the end of all reloads.
                    log.exception(
                        "reload refused, generation %d stays in service: hepsw failed",
                        self._generation,
                    )
                if verdict is not None:
                    # Without a thread it is freed all the same, if at once.
                    with suppress(RuntimeError):
                        await aside(lambda: dismantle(verdict.parts))

    async def _carry_out(self, verdict: _Verdict, began: float) -> None:
        """Swap if the verdict allows it.

        Raises:
            OSError: a new listener cannot be opened; nothing was changed.
        """
        if not verdict.is_ready:
            log.error(
                "reload refused, generation %d stays in service:\n%s",
                self._generation,
                verdict.problems,
                extra=LINES,
            )
            return
        await self._swap(verdict.parts)
        if verdict.problems:
            log.warning("%s", verdict.problems, extra=LINES)
        log.info(
            "generation %d in service after %.0f ms: %s",
            self._generation,
            1000 * (time.monotonic() - began),
            verdict.summary,
        )

    async def _swap(self, parts: list[Any]) -> None:
        """Put a configuration and its program into service.

        Args:
            parts: both; holds those that they replaced when this returns.

        Raises:
            OSError: a new listener cannot be opened; nothing was changed.
        """
        configuration: Configuration
        program: Program
        configuration, program = parts
        # The name of a listener is looked up here, and a resolver may take its time.
        bound = await aside(lambda: self._listeners.bind(configuration.listeners))
        try:
            prepared = self._sinks.prepare(configuration)
        except Exception:
            for made in bound.values():
                made.close()
            raise
        await self._open_accounts(program)
        # While the old tables are in force: what a closing listener still holds was sent to them.
        await self._listeners.stop_others(configuration.listeners)
        # No await between these: a batch meets the old names, tables and sinks, or the new ones.
        parts[:] = self._configuration, self._switch.program
        self._sinks.adopt(prepared)
        self._switch.replace(program)
        self._listeners.settle(configuration.listeners)
        self._configuration = configuration
        self._generation += 1
        self._logs.settle(configuration.log)
        self._switch.heard = heard(configuration.log.level)
        self._switch.guard_loops(wanted=configuration.switch.loop_guard)
        await self._listeners.start(configuration.listeners, bound)

    async def _open_accounts(self, program: Program) -> None:
        """Open the accounts of all rules, a few at a time, so that the swap finds them there."""
        for tree in program.trees.values():
            for number, branch in enumerate(tree.branches, 1):
                self.ledger.switch.rule(branch.path)
                if number % ACCOUNTS == 0:
                    await asyncio.sleep(0)

    # --- words ---

    @staticmethod
    def _introduce(configuration: Configuration) -> None:
        for name, table in configuration.tables.items():
            rules = ", ".join(rule.name for rule in table.rules)
            log.info("table %s: %s", name, rules or "no rules")
        for name, destination in configuration.destinations.items():
            urls = ", ".join(map(str, destination.urls))
            which = f"{destination.policy} of " if len(destination.urls) > 1 else ""
            log.info("destination %s: %s%s", name, which, urls)
        for name, store in configuration.stores.items():
            log.info("store %s: %s", name, store.shown)
        log.info("%s", configuration.summary)


_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def _print(ledger: dict[str, Any]) -> None:
    """Write a snapshot; runs in a thread, because a full pipe would wait."""
    with suppress(OSError, ValueError):
        if not sys.stdout.isatty():
            sys.stdout.write(report.as_json(ledger) + "\n")
            sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.write(report.as_tables(ledger, None if sys.stderr.isatty() else 160))
        sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a reload needs to know of a configuration that was proven."""

    parts: list[Any]
    """It and its program, as far as there are any."""
    is_ready: bool
    """Whether it may run."""
    files: Mapping[Path, str]
    problems: str
    """All that was found, as it is told."""
    summary: str


def _verdict(path: Path) -> _Verdict:
    """Do everything of a reload that takes time; runs in a thread."""
    proven = prove(path, ThisMachine(), running=True)
    loaded = proven.loaded
    verdict = _Verdict(
        parts=[part for part in (loaded.configuration, proven.program) if part is not None],
        is_ready=proven.ready is not None,
        files=loaded.files,
        problems=render(loaded.problems.sorted(), loaded.texts),
        summary=proven.summary if loaded.configuration is not None else "",
    )
    loaded.sources.let_go()
    return verdict
