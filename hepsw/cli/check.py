"""`hepsw check`: the daemon's own loader, without the daemon."""

from __future__ import annotations

import os
import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from hepsw.cli import exits
from hepsw.cli.databases import ask_databases
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.config.codes import CODES, explanation
from hepsw.config.diagnostics import Severity, render, to_json
from hepsw.config.problems import Report
from hepsw.config.spelling import did_you_mean
from hepsw.control.collector import no_full_collections
from hepsw.net.machine import ThisMachine
from hepsw.prove import prove

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
            "--offline",
            help="Leave out what depends on this machine: names, addresses, files, databases.",
        ),
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="CODE",
            help="Print cause, example and cure of a code such as HEP301, and check nothing.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Prove a configuration before it runs: every problem in one pass, each at its place.

    Its tests are run as well. Exit status: 0 fine, 1 a test failed, or warnings with --strict, 2
    --explain of a code that there is none of, 78 the configuration is invalid.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # main() gives a TextIOWrapper
    if explain is not None:
        _explain(explain)
        return
    with no_full_collections():
        proven = prove(config_file(config), None if offline else ThisMachine())
    loaded = proven.loaded
    if not offline and loaded.configuration is not None:
        ask_databases(loaded.configuration, Report(loaded.sources))
    found = loaded.problems.sorted()
    if output is Format.JSON:
        sys.stdout.write(to_json(found).decode() + "\n")
    else:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        if found:
            sys.stdout.write(render(found, loaded.texts, color=color) + "\n\n")
        errors = sum(problem.severity is Severity.ERROR for problem in found)
        sys.stdout.write(summary(loaded.configuration, errors, len(found) - errors))
        if proven.results:
            passed = len(proven.results) - proven.failed
            sys.stdout.write(f", {passed} test{'s' if passed != 1 else ''} passed")
            sys.stdout.write(f", {proven.failed} failed" if proven.failed else "")
        sys.stdout.write("\n")
        if loaded.not_run:
            said = ", ".join(loaded.not_run)
            sys.stdout.write(f"hepsw run refuses what this release does not carry out: {said}\n")
    if loaded.configuration is None:
        raise typer.Exit(exits.CONFIG)
    if proven.failed or (strict and found):
        raise typer.Exit(exits.FINDINGS)


def _explain(wanted: str) -> None:
    code = CODES.get(wanted.upper())
    if code is not None:
        sys.stdout.write(explanation(code))
        return
    meant = did_you_mean(wanted, CODES, foreign={})
    hint = f"; did you mean `{meant}`?" if meant else ""
    # What was wrong comes last, where a terminal still shows it.
    sys.stderr.write("".join(f"{code.code}  {code.title}\n" for code in CODES.values()))
    sys.stderr.write(f"\nhepsw check: unknown code `{wanted}`{hint}\n")
    raise typer.Exit(exits.USAGE)


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
