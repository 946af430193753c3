"""From conditions as an operator wrote them to the objects that packets are put to.

Whatever can be worked out once is worked out here: networks are pairs of packed addresses,
expressions are compiled, a list of a thousand values is one set.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, assert_never

from hepsw.compiler.checks import (
    Always,
    Among,
    AnyCheck,
    AnyOf,
    EndsWith,
    Every,
    EveryCheck,
    HasInside,
    Is,
    IsBetween,
    IsInNetwork,
    IsInRange,
    IsOneOf,
    IsWithin,
    Matches,
    Not,
    OfType,
    Passes,
    PassesNot,
    Present,
    StartsWith,
)
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
from hepsw.fields.readers import reader_of

if TYPE_CHECKING:
    from hepsw.compiler.checks import Check, Predicate
    from hepsw.fields import Field


def predicate(condition: Condition) -> Predicate:
    """Return what says whether the condition holds for a view."""
    match condition:
        case Has(field, Equal(values)):
            return Among(reader_of(field.read), values)
        case Has(field, test):
            return Passes(reader_of(field.read), check_of(field, test))
        case Lacks(field, test):
            return PassesNot(reader_of(field.read), check_of(field, test))
        case Exists(field, wanted):
            return Present(reader_of(field.read), wanted=wanted)
        case All(parts):
            return every([predicate(part) for part in parts])
        case Some(parts):
            return AnyOf(tuple(predicate(part) for part in parts))
        case Negation(part):
            return Not(predicate(part))
        case _:
            assert_never(condition)


def every(parts: list[Predicate]) -> Predicate:
    """Return what holds where all parts do."""
    if not parts:
        return Always()
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def check_of(field: Field, test: Test) -> Check:
    """Return what says whether one value of a field passes the test."""
    if field.kind is Kind.JSON:
        return _check_of_any(test)
    if isinstance(test, Between) and field.kind is Kind.NUMBER and field.bits < 64:
        most = (1 << field.bits) - 1
        return IsInRange(max(0, math.ceil(test.low)), min(most, math.floor(test.high)))
    return check(test)


def _check_of_any(test: Test) -> Check:
    """Return a check that meets texts and numbers: what is of the other type does not pass."""
    match test:
        case Equal():
            return check(test)
        case OneOf(tests):
            return AnyCheck(tuple(_check_of_any(part) for part in tests))
        case Both(tests):
            return EveryCheck(tuple(_check_of_any(part) for part in tests))
        case _:
            return OfType(check(test), wants_text=not isinstance(test, Between))


def check(test: Test) -> Check:
    """Return what says whether one value passes the test."""
    match test:
        case Equal(values):
            return Is(next(iter(values))) if len(values) == 1 else IsOneOf(values)
        case Between(low, high):
            return IsBetween(low, high)
        case Within(first, last):
            return IsInNetwork(first, last) if len(first) == 4 else IsWithin(first, last)
        case Starts(octets):
            return StartsWith(octets)
        case Ends(octets):
            return EndsWith(octets)
        case Contains(octets):
            return HasInside(octets)
        case Search(expression):
            return Matches(compile_re(expression.decode()).search)
        case OneOf(tests):
            return AnyCheck(tuple(check(part) for part in tests))
        case Both(tests):
            return EveryCheck(tuple(check(part) for part in tests))
        case _:
            assert_never(test)
