"""One packet that a condition holds for: whatever covers the condition must hold for it as well.

Asking of each pair of rules whether the one covers the other takes the square of their number. A
witness sorts nearly all of them out: its values are looked up in the indexes of `forest.py`, as a
packet's would be. What is not found there covers nothing.

A value that cannot be thought of, such as one that an expression finds, is `UNKNOWN`; what depends
on it may hold or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hepsw.compiler.implies import Every, Formula, Literal, passes
from hepsw.config.conditions import (
    Between,
    Both,
    Contains,
    Ends,
    Equal,
    OneOf,
    Search,
    Starts,
    Test,
    Within,
)
from hepsw.fields import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.fields import Field

UNKNOWN: Final = None
"""In place of values: there are some."""

Readings = dict[str, tuple[Any, ...] | None]
"""The values of fields by their names; a field that is not named is missing."""

SAMPLES: Final = 8
"""So many values of a list are tried."""


def witness(formula: Formula) -> Readings:
    """Return values that satisfy a formula, if thinking of some is easy; see `may_hold`."""
    literals: dict[str, list[Literal]] = {}
    for literal in _first_choice(formula):
        literals.setdefault(literal.field.name, []).append(literal)
    found: Readings = {}
    for name, its_literals in literals.items():
        asked = [literal.test for literal in its_literals if literal.passes]
        refused = [
            literal.test
            for literal in its_literals
            if not literal.passes and literal.test is not None
        ]
        if asked:
            found[name] = _values(its_literals[0].field, asked, refused)
    return found


def _first_choice(formula: Formula) -> Iterator[Literal]:
    if isinstance(formula, Literal):
        yield formula
    elif isinstance(formula, Every):
        for part in formula.parts:
            yield from _first_choice(part)
    elif formula.parts:
        yield from _first_choice(formula.parts[0])


def _values(field: Field, asked: list[Test | None], refused: list[Test]) -> tuple[Any, ...] | None:
    """Return a value for each test asked, or one for all of them where there is just one."""
    if not field.several:
        for test in asked:
            for value in samples(field, test):
                if _suits(value, asked, refused):
                    return (value,)
        return UNKNOWN
    values = []
    for test in asked:
        suits = [value for value in samples(field, test) if _suits(value, [test], refused)]
        if not suits:
            return UNKNOWN
        values.append(suits[0])
    return tuple(values)


def _suits(value: object, asked: list[Test | None], refused: list[Test]) -> bool:
    return all(test is None or passes(test, value) for test in asked) and not any(
        passes(test, value) for test in refused
    )


def samples(field: Field, test: Test | None) -> list[Any]:
    """Return some values that probably pass a test."""
    match test:
        case None:
            return _any_values(field)
        case Equal(values):
            try:  # sorted, since the order of a set changes from run to run
                return sorted(values)[:SAMPLES] if len(values) <= SAMPLES else [min(values)]
            except TypeError:
                return list(values)  # of different types
        case Between(low, high):
            return [low, high]
        case Within(first, last):
            return [first, last]
        case Starts(octets) | Ends(octets) | Contains(octets):
            return [octets]
        case Search(_):
            return []
        case OneOf(tests):
            return [value for part in tests[:SAMPLES] for value in samples(field, part)[:2]]
        case Both(tests):
            starts = b"".join(part.octets for part in tests if isinstance(part, Starts))
            ends = b"".join(part.octets for part in tests if isinstance(part, Ends))
            joined = [starts + ends] if starts and ends else []
            return [value for part in tests for value in samples(field, part)] + joined


def _any_values(field: Field) -> list[Any]:
    if field.words:
        return [word.encode() for word in field.words[:SAMPLES]]
    match field.kind:
        case Kind.NUMBER | Kind.TIME | Kind.MAC:
            return [0, 1, field.largest]
        case Kind.IP:
            return [bytes(4), b"\xff" * 4, bytes(16)]
        case Kind.TEXT | Kind.OCTETS:
            return [b"", b"-"]
        case _:
            return []


def readings_of(field: Field, readings: Readings) -> tuple[Any, ...] | None:
    """Return the values of any field, as an index looks them up: None without any it could find."""
    if not field.made_of:
        return readings.get(field.name)
    ends = [value for name in field.made_of for value in readings.get(name) or ()]
    return tuple(ends) or None


def may_hold(formula: Formula, readings: Readings) -> bool | None:
    """Tell whether a formula holds for these values; None if that depends on an unknown one."""
    if isinstance(formula, Literal):
        if formula.field.name not in readings:
            return not formula.passes
        values = readings[formula.field.name]
        test = formula.test
        if test is None:
            return formula.passes
        if values is UNKNOWN:
            return None
        return any(passes(test, value) for value in values) is formula.passes
    decided = not isinstance(formula, Every)
    holds: bool | None = not decided
    for part in formula.parts:
        inner = may_hold(part, readings)
        if inner is decided:
            return decided
        if inner is None:
            holds = None
    return holds
