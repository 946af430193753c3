"""A configuration, proven: loaded, compiled, looked over and tested.

`hepsw check`, the start of the daemon and each reload come through here, so that they cannot
disagree. What is found is added to the problems that loading found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hepsw.compiler import Program, compile_program
from hepsw.compiler.lint import lint
from hepsw.config.load import Loaded, load
from hepsw.config.problems import Report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hepsw.config.configuration import Configuration
    from hepsw.config.loops import Machine
    from hepsw.simulator.cases import Result


@dataclass(frozen=True, slots=True)
class Proven:
    """What came of it."""

    loaded: Loaded
    program: Program | None
    """None where the configuration is invalid."""
    results: Sequence[Result]
    """Of its tests."""

    @property
    def failed(self) -> int:
        """How many tests failed."""
        return sum(bool(result.failures) for result in self.results)

    @property
    def summary(self) -> str:
        """What the configuration does, and how its tests went, in a few words."""
        assert self.loaded.configuration is not None  # noqa: S101 - asked of a valid one
        passed = len(self.results) - self.failed
        words = self.loaded.configuration.summary
        if self.results:
            words += f", {passed} test{'s' if passed != 1 else ''} passed"
            words += f", {self.failed} failed" if self.failed else ""
        return words

    @property
    def ready(self) -> tuple[Configuration, Program] | None:
        """What may run; None where anything forbids it, a test that failed among it."""
        configuration = self.loaded.configuration
        if configuration is None or self.program is None or self.loaded.problems.has_errors:
            return None
        return configuration, self.program


def prove(path: Path, machine: Machine | None = None, *, running: bool = False) -> Proven:
    """Prove a configuration.

    Args:
        path: as for `load`, like the other two.
        machine: asked what depends on this machine.
        running: it is to run.
    """
    loaded = load(path, machine, running=running)
    configuration = loaded.configuration
    if configuration is None:
        return Proven(loaded, None, ())
    report = Report(loaded.sources)
    lint(configuration, report)
    program = compile_program(configuration)
    results = _results(configuration, program)
    tell = report.error if configuration.reload.tests == "required" else report.warning
    for result in results:
        for failure in result.failures:
            place = result.case.place
            if failure.key == "given":
                place = (*place, "given")
            elif failure.key:
                place = (*place, "expect", failure.key)
            text = f"test failed: {failure.text}"
            hint = f"`hepsw test -k '{result.case.name}'` runs it alone"
            tell("HEP120", text, place, hint)
    return Proven(loaded, program, results)


def _results(configuration: Configuration, program: Program) -> Sequence[Result]:
    if not configuration.cases:
        return ()
    from hepsw.simulator.cases import run_cases  # noqa: PLC0415 - a start without tests is faster

    return run_cases(configuration, program)
