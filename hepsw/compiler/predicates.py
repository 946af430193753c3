"""Conditions as functions of a view.

Whatever can be worked out once is worked out here: networks are pairs of packed addresses,
expressions are compiled, a list of a thousand values is one set. What is left for the packet is a
read and a comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from hepsw.config.conditions import (
    All,
    Between,
    Both,
    Condition,
    Contains,
    Ends,
    Equal,
    Exists,
    Has,
    Lacks,
    Negation,
    OneOf,
    Search,
    Some,
    Starts,
    Test,
    Within,
)
from hepsw.config.template import compile_re
from hepsw.fields import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.fields import Field, Value
    from hepsw.view import View

    Predicate = Callable[[View], bool]
    Check = Callable[[Any], bool]
    """Only ever meets values of its field's kind: `match.py` has seen to that."""


def predicate(condition: Condition) -> Predicate:
    """Return the function that says whether the condition holds for a view."""
    match condition:
        case Has(field, Equal(values)):
            return _is_one_of(field, values)
        case Has(field, test):
            return _has(field, check_of(field, test))
        case Lacks(field, test):
            return _lacks(field, check_of(field, test))
        case Exists(field, wanted):
            read = field.read
            return lambda view: (read(view) is not None) is wanted
        case All(parts):
            return _all([predicate(part) for part in parts])
        case Some(parts):
            inner = [predicate(part) for part in parts]
            return lambda view: any(holds(view) for holds in inner)
        case Negation(part):
            holds = predicate(part)
            return lambda view: not holds(view)
        case _:
            assert_never(condition)


def _all(parts: list[Predicate]) -> Predicate:
    # Most rules test nothing, one or two things: these shapes call no generator.
    if not parts:
        return lambda view: True  # noqa: ARG005 - it always holds
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda view: first(view) and second(view)
    return lambda view: all(holds(view) for holds in parts)


def _is_one_of(field: Field, values: frozenset[Value]) -> Predicate:
    """Do what `_has` does, for the test that is most frequent, without a call of its own."""
    read = field.read

    def holds(view: View) -> bool:
        reading = read(view)
        if isinstance(reading, tuple):
            return not values.isdisjoint(reading)
        return reading in values  # None is in no set

    return holds


def _has(field: Field, passes: Check) -> Predicate:
    read = field.read

    def holds(view: View) -> bool:
        reading = read(view)
        if reading is None:
            return False
        if isinstance(reading, tuple):
            return any(passes(value) for value in reading)
        return passes(reading)

    return holds


def _lacks(field: Field, passes: Check) -> Predicate:
    read = field.read

    def holds(view: View) -> bool:
        reading = read(view)
        if reading is None:
            return False
        if isinstance(reading, tuple):
            return not any(passes(value) for value in reading)
        return not passes(reading)

    return holds


def check_of(field: Field, test: Test) -> Check:
    """Return the function that says whether one value of a field passes the test."""
    return _check_of_any(test) if field.kind is Kind.JSON else check(test)


def _check_of_any(test: Test) -> Check:
    """Return a check that meets texts and numbers: what is of the other type does not pass."""
    match test:
        case Equal():
            return check(test)
        case OneOf(tests):
            checks = [_check_of_any(part) for part in tests]
            return lambda value: any(passes(value) for passes in checks)
        case Both(tests):
            checks = [_check_of_any(part) for part in tests]
            return lambda value: all(passes(value) for passes in checks)
        case _:
            passes = check(test)
            wants_text = not isinstance(test, Between)
            return lambda value: isinstance(value, bytes) is wants_text and passes(value)


def check(test: Test) -> Check:
    """Return the function that says whether one value passes the test."""
    match test:
        case Equal(values):
            return values.__contains__
        case Between(low, high):
            return lambda value: low <= value <= high
        case Within(first, last):
            octets = len(first)
            # Packed addresses of one family sort as the addresses do.
            return lambda value: len(value) == octets and first <= value <= last
        case Starts(octets):
            return lambda value: value.startswith(octets)
        case Ends(octets):
            return lambda value: value.endswith(octets)
        case Contains(octets):
            return lambda value: octets in value
        case Search(expression):
            search = compile_re(expression.decode()).search
            return lambda value: search(value) is not None
        case OneOf(tests):
            checks = [check(part) for part in tests]
            return lambda value: any(passes(value) for passes in checks)
        case Both(tests):
            checks = [check(part) for part in tests]
            return lambda value: all(passes(value) for passes in checks)
        case _:
            assert_never(test)
