"""The commands, one module each, imported only when that command runs.

`hepsw --help` and `hepsw check` must not pay for what `hepsw run` needs: the modules are named here
and the one that is asked for is imported.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from hepsw import __version__

COMMANDS: Final = {
    "init": "Begin with a configuration that does a known job.",
    "run": "Run the switch.",
    "check": "Prove a configuration before it runs.",
    "test": "Run the tests that a configuration holds.",
    "explain": "Tell where a packet goes, and why.",
    "graph": "Draw tables, rules and outputs, and where payloads are first read.",
    "dump": "Print the merged configuration as one text.",
    "store": "Look after a store: create it, look at it, and see to what it refused.",
    "schema": "Print the JSON schema of configuration files, for editors.",
    "calls": "List the calls in a store.",
    "flow": "Draw a call as a ladder.",
    "export": "Write a call as a pcap file.",
    "send": "Send demo traffic, or packets from a file, to a listener.",
}
"""Every command with the line that `hepsw --help` shows; `cli/NAME.py` has a function `command`."""


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        # Only here: importing the library takes longer than printing this.
        build = "compiled" if import_module("hepsw.hep").COMPILED else "plain Python"
        sys.stdout.write(f"hepsw {__version__} ({build} build)\n")
        raise typer.Exit


def _hepsw(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and which build is live.",
            callback=_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """A switch for HEP (Homer Encapsulation Protocol), configured in TOML.

    Edit hepsw.toml, run `hepsw check`, reload with SIGHUP or by saving the file.
    """


def _placeholder() -> None:
    """Stand for a command that was not asked for: only its name and line are shown."""


def main() -> None:
    """Run the command named on the command line."""
    # Started without them (`>&-`), they are None, and the first word would be an error.
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open to the end
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_hepsw)
    # Modules stay: looking at them again and again while they come is a twentieth of a start.
    gc.disable()
    for name, line in COMMANDS.items():
        command = import_module(f"hepsw.cli.{name}").command if name == asked else _placeholder
        app.command(name, help=line if command is _placeholder else None)(command)
    gc.freeze()
    gc.enable()
    app(prog_name="hepsw")
