"""`hepsw run`: the switch, in the foreground."""

from __future__ import annotations

import asyncio
import os
import sys

import typer

from hepsw.cli import exits
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.config.diagnostics import render
from hepsw.control.collector import no_full_collections
from hepsw.daemon import Daemon
from hepsw.net.machine import ThisMachine
from hepsw.prove import prove


def command(config: ConfigOption = None) -> None:
    """Run the switch until SIGTERM or SIGINT.

    SIGHUP reloads the configuration (so does saving a file of it), SIGUSR1 prints all counters.
    Exit status: 0 stopped by a signal, 74 a listener cannot be opened, 78 the configuration is
    invalid.
    """
    path = config_file(config)
    with no_full_collections():
        proven = prove(path, ThisMachine(), running=True)
    loaded = proven.loaded
    found = loaded.problems.sorted()
    if found:
        color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        sys.stderr.write(render(found, loaded.texts, color=color) + "\n\n")
    if proven.ready is None:
        sys.stderr.write("hepsw run: the configuration is invalid, nothing was started\n")
        raise typer.Exit(exits.CONFIG)
    daemon = Daemon(path, *proven.ready)
    # What else is known of the first configuration would stay for as long as this function runs.
    del proven, loaded, found
    try:
        written = asyncio.run(daemon.run())
    except OSError as error:
        sys.stderr.write(f"hepsw run: {error.strerror or error}\n")
        raise typer.Exit(exits.IO) from None
    if not written:
        # A thread still waits for a reader of our output: an orderly exit would wait with it.
        os._exit(exits.OK)
