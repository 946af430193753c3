"""Reloading in this process: faults that no file of an operator makes."""

import asyncio
import logging
import os
import signal
import socket
import threading
from types import SimpleNamespace

import pytest
from loopback import free_port

import hepsw.daemon
from hepsw.daemon import Daemon
from hepsw.hep import build
from hepsw.prove import prove
from hepsw.sinks.destination import Destination


@pytest.fixture
async def daemon(tmp_path, caplog):
    """A running daemon with one listener and one destination, stopped when the test ends."""
    port = free_port()
    file = tmp_path / "hepsw.toml"
    file.write_text(
        f'[[listen]]\nname = "in"\nurl = "udp://127.0.0.1:{port}"\n'
        '[destinations]\na = "udp://127.0.0.1:9"\n[reload]\nwatch = false\n'
    )
    made = Daemon(file, *prove(file).ready)
    caplog.set_level(logging.INFO, "hepsw")
    logging.getLogger("hepsw").addHandler(caplog.handler)
    running = asyncio.create_task(made.run())
    await until(lambda: "ready" in caplog.text)
    yield SimpleNamespace(daemon=made, file=file, port=port, running=running)
    if not running.done():
        os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 15)
    logging.getLogger("hepsw").removeHandler(caplog.handler)
    assert made.ledger.unaccounted == 0


def once(monkeypatch, owner, name, replacement):
    """Replace something for its next call only."""
    whole = getattr(owner, name)

    def called(*arguments):
        monkeypatch.setattr(owner, name, whole)
        return replacement(*arguments)

    monkeypatch.setattr(owner, name, called)


async def test_a_bug_in_the_loader_is_not_the_end_of_reloading(daemon, monkeypatch, caplog):
    """A refused reload with its traceback; the generation stays, and the next reload works."""

    def broken(_):
        raise ZeroDivisionError

    once(monkeypatch, hepsw.daemon, "_verdict", broken)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: "hepsw failed" in caplog.text)
    assert "ZeroDivisionError" in caplog.text
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: "generation 2 in service" in caplog.text)


async def test_a_sink_that_cannot_be_made_changes_nothing(daemon, monkeypatch, caplog):
    """No thread, no socket, a bug: the reload is refused whole, and packets go on as before."""

    def broken(_):
        raise RuntimeError("can't start new thread")

    daemon.file.write_text(daemon.file.read_text().replace("a = ", "b = "))
    once(monkeypatch, Destination, "start", broken)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: "hepsw failed" in caplog.text)
    with socket.socket(type=socket.SOCK_DGRAM) as agent:
        agent.sendto(build(proto_type=1, payload=b"x").data, ("127.0.0.1", daemon.port))
    await until(lambda: daemon.daemon.ledger.sinks["a"].delivered == 1)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: "generation 2 in service" in caplog.text)


async def test_a_resolver_that_hangs_does_not_hold_up_the_end(daemon, monkeypatch):
    """A reload that waits for it is left behind; packets never noticed."""
    hung, answer = threading.Event(), threading.Event()

    def hanging(_):
        hung.set()
        answer.wait(30)
        raise ZeroDivisionError

    once(monkeypatch, hepsw.daemon, "_verdict", hanging)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(hung.is_set)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(daemon.running, 5)
    answer.set()


async def test_asking_fast_gets_fewer_answers_not_more_threads(daemon, monkeypatch):
    """While one report is being written, the next waits; the last question is answered."""
    reports, release = [], threading.Event()

    def slow(ledger):
        reports.append(ledger)
        release.wait(10)

    monkeypatch.setattr(hepsw.daemon, "_print", slow)
    for _ in range(50):
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0)
    await until(lambda: reports)
    assert len(reports) == 1
    release.set()
    await until(lambda: len(reports) == 2)


async def until(holds):
    """Wait until something holds."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)
