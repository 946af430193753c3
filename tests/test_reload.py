"""Reloading in this process: faults that no file of an operator makes."""

import asyncio
import logging
import os
import signal

from loopback import free_port

import hepsw.daemon
from hepsw.config.load import load
from hepsw.daemon import Daemon


async def test_a_bug_in_the_loader_is_not_the_end_of_reloading(tmp_path, monkeypatch, caplog):
    """A refused reload with its traceback; the generation stays, and the next reload works."""
    file = tmp_path / "hepsw.toml"
    file.write_text(
        f'[[listen]]\nurl = "udp://127.0.0.1:{free_port()}"\n[destinations]\na = "udp://127.0.0.1:9"\n'
    )
    daemon = Daemon(file, load(file).configuration)
    caplog.set_level(logging.INFO, "hepsw")
    logging.getLogger("hepsw").addHandler(caplog.handler)
    whole = hepsw.daemon._load_and_compile

    def broken(path):
        monkeypatch.setattr(hepsw.daemon, "_load_and_compile", whole)
        raise ZeroDivisionError

    running = asyncio.create_task(daemon.run())
    try:
        await until(lambda: "ready" in caplog.text)
        monkeypatch.setattr(hepsw.daemon, "_load_and_compile", broken)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "hepsw failed" in caplog.text)
        assert "ZeroDivisionError" in caplog.text
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "generation 2 in service" in caplog.text)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 15)
        logging.getLogger("hepsw").removeHandler(caplog.handler)
    assert daemon.ledger.unaccounted == 0


async def until(holds):
    """Wait until something holds."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)
