"""Loading the configuration for commands that show something of it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from hepsw.cli import exits
from hepsw.config.diagnostics import Severity, render
from hepsw.config.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from hepsw.config.configuration import Configuration
    from hepsw.config.load import Loaded


def loaded_or_exit(file: Path) -> tuple[Loaded, Configuration]:
    """Return a valid configuration, judged by its text alone.

    Raises:
        typer.Exit: with 78; what is wrong is on standard error, as `hepsw check` shows it.
    """
    loaded = load(file)
    if loaded.configuration is None:
        found = loaded.problems.sorted()
        color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        sys.stderr.write(render(found, loaded.texts, color=color) + "\n\n")
        errors = sum(problem.severity is Severity.ERROR for problem in found)
        sys.stderr.write(f"{errors} error{'s' if errors != 1 else ''}\n")
        raise typer.Exit(exits.CONFIG)
    return loaded, loaded.configuration


def print_text(text: str) -> None:
    """Write to standard output what may hold any character, whatever the terminal can show."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # main() gives a TextIOWrapper
    sys.stdout.write(text)
