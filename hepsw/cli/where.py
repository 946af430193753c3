"""Conditions that are given on the command line, in the language of rules.

Each `--where` is a line of a match block. They are read as a rule's are, with the sets, matchers
and chunks of the configuration, so that a mistake is shown as one in a file would be: at its place,
with what may have been meant.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import typer

from hepsw.cli import exits
from hepsw.compiler.predicates import predicate
from hepsw.config.diagnostics import render
from hepsw.config.problems import Report
from hepsw.config.sources import Sources
from hepsw.config.toml import TomlSyntax, read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.compiler.checks import Predicate
    from hepsw.config.load import Loaded

PLACE: Final = "--where"
"""Where mistakes are, in place of the name of a file."""


def condition(words: Sequence[str], loaded: Loaded) -> Predicate:
    """Return what the words ask for.

    Args:
        words: lines of a match block; all of them must hold.
        loaded: a valid configuration.

    Raises:
        typer.Exit: with 2; what is wrong with them is on standard error.
    """
    sources = Sources(main=PLACE)
    sources.texts[PLACE] = "\n".join(words)
    found = None
    try:
        data, spans = read_toml(sources.texts[PLACE])
    except TomlSyntax as error:
        sources.problems.error("HEP101", error.message, PLACE, error.span)
    else:
        sources.places.update({path: (PLACE, place) for path, place in spans.items()})
        assert loaded.cases is not None  # noqa: S101 - a valid configuration has been read
        matches = loaded.cases.matches
        matches.report = Report(sources)
        found = matches.read(data, ())
    problems = sources.problems
    if problems.sorted():
        color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        sys.stderr.write(render(problems.sorted(), sources.texts, color=color) + "\n")
    if found is None or problems.has_errors:
        raise typer.Exit(exits.USAGE)
    return predicate(found)
