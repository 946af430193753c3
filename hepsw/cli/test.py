"""`hepsw test`: the tests of a configuration, each with what came of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from hepsw.cli import exits
from hepsw.cli.loading import loaded_or_exit, print_text
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.compiler import compile_program
from hepsw.simulator.cases import coverage, run_cases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepsw.config.load import Loaded
    from hepsw.simulator.cases import Result


def command(
    config: ConfigOption = None,
    keyword: Annotated[
        str,
        typer.Option("-k", metavar="TEXT", help="Only tests whose name or rule has this text."),
    ] = "",
    show_coverage: Annotated[
        bool, typer.Option("--coverage", help="Say which rules no test meets.")
    ] = False,
    fail_under: Annotated[
        int,
        typer.Option("--fail-under", metavar="N", min=0, max=100, help="Least percent of rules."),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Run the tests that a configuration holds.

    They are judged by the compiled tables, and need nothing of this machine. Exit status: 0 all
    passed, 1 a test failed or fewer rules are met than asked for, 78 the configuration is invalid.
    """
    loaded, configuration = loaded_or_exit(config_file(config))
    cases = [case for case in configuration.cases if keyword in f"{case.name} {case.rule or ''}"]
    results = run_cases(configuration, compile_program(configuration), cases)
    failed = [result for result in results if result.failures]
    unmet, rules = coverage(configuration, results)
    percent = 100 * (rules - len(unmet)) / rules if rules else 100.0
    if as_json:
        print_text(_json(loaded, results, unmet, percent))
    else:
        print_text("".join(f"{line}\n" for line in _lines(loaded, results)))
        if show_coverage or fail_under:
            print_text(f"{rules - len(unmet)} of {rules} rules met: {percent:.0f} %\n")
            print_text("".join(f"  never met: {path}\n" for path in unmet))
    sys.stdout.flush()
    if failed or percent < fail_under or (keyword and not cases):
        raise typer.Exit(exits.FINDINGS)


def _lines(loaded: Loaded, results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        yield f"{'FAIL' if result.failures else 'ok  '} {result.case.name}"
        for failure in result.failures:
            yield f"       {failure.text}"
        if result.failures:
            yield f"       path: {' → '.join(result.path) or 'no rule matched'}"
            yield f"       {_place(loaded, result)}"
    failed = sum(bool(result.failures) for result in results)
    if not results:
        yield "no tests"
    elif failed:
        yield f"{len(results) - failed} passed, {failed} failed"
    else:
        yield f"{len(results)} passed"


def _place(loaded: Loaded, result: Result) -> str:
    file, span = loaded.sources.where(result.case.place)
    return f"{file}:{span.line}" if span is not None else file


def _json(loaded: Loaded, results: Sequence[Result], unmet: Sequence[str], percent: float) -> str:
    told = {
        "tests": [
            {
                "name": result.case.name,
                "place": _place(loaded, result),
                "passed": not result.failures,
                "failures": [
                    {"expected": failure.key, "text": failure.text} for failure in result.failures
                ],
                "rules": sorted(result.met),
            }
            for result in results
        ],
        "coverage": {"percent": round(percent, 1), "never_met": list(unmet)},
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n"
