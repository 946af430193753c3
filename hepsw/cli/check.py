"""`hepsw check`: the daemon's own loader, without the daemon."""

from __future__ import annotations

import os
import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from hepsw.cli import exits
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.config.diagnostics import Severity, render, to_json
from hepsw.config.load import load
from hepsw.net.machine import ThisMachine

if TYPE_CHECKING:
    from hepsw.config.configuration import Configuration


class Format(Enum):
    """How the findings are written."""

    TEXT = "text"
    JSON = "json"


def command(
    config: ConfigOption = None,
    output: Annotated[
        Format, typer.Option("--format", help="text for people, json for programs.")
    ] = Format.TEXT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Leave out what depends on this machine: names, addresses, set files."
        ),
    ] = False,
) -> None:
    """Prove a configuration before it runs: every problem in one pass, each at its place.

    Exit status: 0 fine, 1 warnings with --strict, 78 the configuration is invalid.
    """
    loaded = load(config_file(config), None if offline else ThisMachine())
    found = loaded.problems.sorted()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # main() gives a TextIOWrapper
    if output is Format.JSON:
        sys.stdout.write(to_json(found).decode() + "\n")
    else:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        if found:
            sys.stdout.write(render(found, loaded.texts, color=color) + "\n\n")
        errors = sum(problem.severity is Severity.ERROR for problem in found)
        sys.stdout.write(summary(loaded.configuration, errors, len(found) - errors) + "\n")
    if loaded.configuration is None:
        raise typer.Exit(exits.CONFIG)
    if strict and found:
        raise typer.Exit(exits.FINDINGS)


def summary(configuration: Configuration | None, errors: int, warnings: int) -> str:
    """Return the last line of a check: what was found, and what would run."""
    findings = ", ".join(
        f"{number} {what}{'s' if number != 1 else ''}"
        for number, what in ((errors, "error"), (warnings, "warning"))
        if number
    )
    if configuration is None:
        return findings
    return f"{findings or 'fine'}: {configuration.summary}"
