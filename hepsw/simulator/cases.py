"""Running the tests of a configuration, and saying what came instead of what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hepsw.compiler.predicates import predicate
from hepsw.config.words import words
from hepsw.simulator.packets import GivenError, view_of
from hepsw.simulator.walk import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepsw.compiler import Program
    from hepsw.config.configuration import Case, Configuration
    from hepsw.simulator.walk import Walked


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was expected and did not come."""

    key: str
    """Of `expect`, or `given`, or empty for the test as a whole."""
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test."""

    case: Case
    failures: tuple[Failure, ...]
    met: frozenset[str]
    """`table/name` of every rule that one of its packets matched."""
    path: tuple[str, ...] = ()
    """The rules that the last packet matched, in order."""


def run_cases(
    configuration: Configuration, program: Program, cases: Sequence[Case] | None = None
) -> list[Result]:
    """Run tests, all unless some are named; each begins with rules that remember nothing."""
    simulator = Simulator(configuration, program)
    chosen = configuration.cases if cases is None else cases
    return [_run(simulator, case) for case in chosen]


def _run(simulator: Simulator, case: Case) -> Result:
    simulator.forget()
    met: set[str] = set()
    walked = None
    for number, given in enumerate(case.given, 1):
        try:
            view = view_of(given, simulator.configuration)
        except GivenError as error:
            which = f"packet {number}: " if len(case.given) > 1 else ""
            return Result(case, (Failure("given", f"{which}{error}"),), frozenset(met))
        for _ in range(given.times):
            walked = simulator.judge(view, case.table)
            met.update(walked.path)
    assert walked is not None  # noqa: S101 - a test gives at least one packet
    failures = tuple(_compare(simulator, case, walked))
    return Result(case, failures, frozenset(met), tuple(walked.path))


def _compare(simulator: Simulator, case: Case, walked: Walked) -> Iterator[Failure]:
    if case.rule is not None and case.rule not in walked.path:
        yield Failure("", f"`{case.rule}` is not on the path: {_path(walked.path)}")
    expect = case.expect
    if expect.rule is not None and expect.rule != (walked.path[-1] if walked.path else None):
        yield Failure("rule", f"the path is {_path(walked.path)}")
    if expect.path is not None and expect.path != tuple(walked.path):
        yield Failure("path", f"the path is {_path(walked.path)}")
    # What a trace took is told by the trace.
    relay = {name for name in walked.named if name in simulator.configuration.destinations}
    store = {name for name in walked.named if name in simulator.configuration.stores}
    for key, expected, came in (
        ("relay", expect.relay, relay),
        ("store", expect.store, store),
        ("trace", expect.trace, set(walked.traces)),
    ):
        if expected is not None and expected != came:
            yield Failure(key, f"it went to {', '.join(sorted(came)) or 'none'}")
    if expect.drop is not None and expect.drop != walked.drop:
        yield Failure("drop", f"it was {_fate(walked)}")
    if expect.missed is not None and expect.missed is not walked.missed:
        yield Failure("missed", f"it was {_fate(walked)}")
    texts = [line.text for line in walked.lines]
    if expect.log is not None and expect.log not in texts:
        said = ", ".join(repr(text) for text in texts) or "nothing"
        yield Failure("log", f"the log says {said}")
    if expect.after is not None:
        assert walked.last is not None  # noqa: S101 - every walk ends
        if not predicate(expect.after)(walked.last):
            yield Failure("after", f"at the end it is not so that {words(expect.after)}")


def _path(path: Sequence[str]) -> str:
    return " → ".join(path) or "empty: no rule matched"


def _fate(walked: Walked) -> str:
    if walked.drop is not None:
        return f"dropped: {walked.drop}"
    if walked.missed:
        return "missed"
    return walked.fate


def coverage(configuration: Configuration, results: Sequence[Result]) -> tuple[list[str], int]:
    """Return the rules that no test met, in order, and how many rules there are."""
    met = {path for result in results for path in result.met}
    rules = [rule.path for table in configuration.tables.values() for rule in table.rules]
    return [path for path in rules if path not in met], len(rules)
