"""Whether one condition holds wherever another does: what the lint of a table rests on.

A condition becomes a formula of literals: some value of a field passes a test, or none does; a
field that exists has some value, whatever it is, one that is missing has none. `ip` and `port` are
both ends, so "some end passes" is a choice between two literals and "none does" is both.

`a` implies `b` if `a` and not `b` contradict each other, so one question is enough: can all of
these formulas hold at once? Literals are collected by field, choices are tried one by one, until
some field has no value left. A field may have several values: two literals speak of the same value
only where the catalogue says that there is just one.

Every step only follows what holds for all packets, so a yes is certain. A no is not: two
expressions are not compared, and a search that takes too long is given up.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from hepsw.compiler.keys import Span, meeting, test_spans
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
from hepsw.fields import CATALOGUE, Field, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hepsw.fields import Value

PATIENCE: Final = 500
"""Alternatives that are tried before a question is given up; each takes microseconds."""

FEW: Final = 1000
"""So many single values are tried one after the other."""

NUMBERS: Final = frozenset({Kind.NUMBER, Kind.TIME, Kind.MAC})
TEXTS: Final = frozenset({Kind.TEXT, Kind.OCTETS})
SPANNED: Final = NUMBERS | TEXTS | {Kind.IP}
"""Kinds whose values are all whole numbers, or all octets: they have an order, and spans. Of the
values of any other kind nothing is taken for granted."""


class Literal(NamedTuple):
    """Some value of a field passes a test, or none does."""

    field: Field
    """None that is made of others."""
    test: Test | None
    """None: any value passes."""
    passes: bool


class Every(NamedTuple):
    """All parts hold."""

    parts: tuple[Formula, ...]


class Either(NamedTuple):
    """At least one part holds."""

    parts: tuple[Formula, ...]


Formula = Literal | Every | Either


def formula(condition: Condition, *, negated: bool = False) -> Formula:
    """Return what a condition says of fields, or what its negation says."""
    match condition:
        case Has(field, test):
            return _literal(field, test, passes=not negated)
        case Exists(field, wanted):
            return _literal(field, None, passes=wanted is not negated)
        case Lacks(field, test):
            parts = (
                _literal(field, None, passes=not negated),
                _literal(field, test, passes=negated),
            )
            return Either(parts) if negated else Every(parts)
        case All(conditions):
            inner = tuple(formula(part, negated=negated) for part in conditions)
            return Either(inner) if negated else Every(inner)
        case Some(conditions):
            inner = tuple(formula(part, negated=negated) for part in conditions)
            return Every(inner) if negated else Either(inner)
        case Negation(part):
            return formula(part, negated=not negated)
        case _:
            assert_never(condition)


def _literal(field: Field, test: Test | None, *, passes: bool) -> Formula:
    if not field.made_of:
        return Literal(field, test, passes)
    parts = tuple(Literal(CATALOGUE[name], test, passes) for name in field.made_of)
    return Either(parts) if passes else Every(parts)


def implies(one: Condition, other: Condition) -> bool:
    """Tell whether every packet that satisfies `one` satisfies `other`; False also if unsure."""
    return Prover().contradict([formula(one), formula(other, negated=True)])


def contradicts_itself(condition: Condition) -> bool:
    """Tell whether no packet at all satisfies a condition; False also if unsure."""
    return Prover().contradict([formula(condition)])


class Prover:
    """Answers questions, and counts what that takes."""

    def __init__(self) -> None:
        self.steps = 0
        """Alternatives tried so far."""
        self._end = 0

    def contradict(self, formulas: Iterable[Formula]) -> bool:
        """Tell whether no packet satisfies all of these; False also if unsure."""
        self._end = self.steps + PATIENCE
        return self._closed(formulas, {})

    def _closed(self, formulas: Iterable[Formula], known: dict[str, _Known]) -> bool:
        """Tell whether formulas contradict each other or what is known, which may be added to."""
        self.steps += 1
        waiting = list(formulas)
        choices: list[Either] = []
        touched: set[str] = set()
        while waiting:
            part = waiting.pop()
            if isinstance(part, Literal):
                name = part.field.name
                known[name] = known.get(name, _Known(part.field, (), ())).with_(part)
                touched.add(name)
            elif isinstance(part, Every):
                waiting.extend(part.parts)
            else:
                choices.append(part)
        if any(known[name].is_impossible() for name in touched):
            return True
        if not choices:
            return False
        choices.sort(key=_number_of_parts)
        first, rest = choices[0], choices[1:]
        for part in first.parts:
            if self.steps >= self._end or not self._closed([part, *rest], dict(known)):
                return False
        return True


def _number_of_parts(choice: Either) -> int:
    return len(choice.parts)


# --- what is known of one field ------------------------------------------------------------------


class _Known(NamedTuple):
    """Tests of which each is passed by some value of a field, and tests that no value passes."""

    field: Field
    passed: tuple[Test | None, ...]
    refused: tuple[Test | None, ...]

    def with_(self, literal: Literal) -> _Known:
        if literal.passes:
            return self._replace(passed=(*self.passed, literal.test))
        return self._replace(refused=(*self.refused, literal.test))

    def is_impossible(self) -> bool:
        """Tell whether no values can be like that."""
        if not self.passed:
            return False
        refused = [test for test in self.refused if test is not None]
        if len(refused) < len(self.refused):
            return True  # it exists and is missing
        asked = [test for test in self.passed if test is not None]
        if not self.field.several:
            return _is_empty(self.field, asked, refused)
        return any(_is_empty(self.field, [test], refused) for test in asked) or (
            # Whatever value it is that exists.
            len(asked) < len(self.passed) and _is_empty(self.field, [], refused)
        )


def _is_empty(field: Field, asked: Sequence[Test], refused: Sequence[Test]) -> bool:
    """Tell whether no value passes all the tests asked and none of those refused."""
    if not asked and not refused:
        return False
    if field.kind not in SPANNED:
        return _is_empty_of_any_kind(asked, refused)
    if any(_follows(asked, test) for test in refused):
        return True
    if len(asked) == 1 and isinstance(asked[0], Equal) and len(refused) == 1:
        return False  # nothing is left to find out, and lists may be long
    if field.kind in TEXTS and (_ends_differ(asked) or any(map(_passes_all_texts, refused))):
        return True
    left = _left(field, asked, refused)
    if left is None:
        return False
    return not left or (
        field.kind in TEXTS
        and len(left) <= FEW
        and all(end == start + b"\0" for _, start, end in left)
        and not any(_is_left(start, asked, refused) for _, start, _ in left)
    )


def _is_left(value: Value, asked: Sequence[Test], refused: Sequence[Test]) -> bool:
    return all(passes(test, value) for test in asked) and not any(
        passes(test, value) for test in refused
    )


def _is_empty_of_any_kind(asked: Sequence[Test], refused: Sequence[Test]) -> bool:
    """Tell the same of values that may be numbers with fractions, texts and truth values mixed."""
    written = {repr(test) for test in asked}
    # Equal to Python are 1, 1.0 and true; to a packet they are not.
    if any(repr(test) in written for test in refused):
        return True
    asked = [test for test in asked if not _names_truth(test)]
    refused = [test for test in refused if not _names_truth(test)]
    bounds = [test for test in asked if isinstance(test, Between)]
    if bounds and max(test.low for test in bounds) > min(test.high for test in bounds):
        return True
    for test in asked:
        if isinstance(test, Equal) and len(test.values) <= FEW:
            return not any(_is_left(value, asked, refused) for value in test.values)
    return any(_follows(asked, test) for test in refused)


def _names_truth(test: Test) -> bool:
    match test:
        case Equal(values):
            return any(isinstance(value, bool) for value in values)
        case OneOf(tests) | Both(tests):
            return any(map(_names_truth, tests))
        case _:
            return False


# --- tests of one value --------------------------------------------------------------------------


def _follows(asked: Sequence[Test], wanted: Test) -> bool:
    """Tell whether a value that passes all the tests asked is seen to pass another."""
    match wanted:
        case Both(tests):
            return all(_follows(asked, test) for test in tests)
        case OneOf(tests) if any(_follows(asked, test) for test in tests):
            return True
        case _:
            return any(_is_narrower(test, wanted) for test in asked)


def _is_narrower(one: Test, other: Test) -> bool:
    """Tell whether every value that passes `one` is seen to pass `other`."""
    if one == other:
        return True
    match one, other:
        case Equal(values), Equal(others):
            return values <= others
        case Equal(values), _:
            return len(values) <= FEW and all(passes(other, value) for value in values)
        case OneOf(tests), _:
            return all(_follows([test], other) for test in tests)
        case Both(tests), _:
            return _follows(tests, other)
        case Between(low, high), Between(lowest, highest):
            return lowest <= low and high <= highest
        case Within(first, last), Within(lowest, highest):
            return len(first) == len(lowest) and lowest <= first and last <= highest
        case Starts(octets), Starts(part):
            return octets.startswith(part)
        case Ends(octets), Ends(part):
            return octets.endswith(part)
        case ((Starts(octets) | Ends(octets) | Contains(octets)), Contains(part)):
            return part in octets
        case _:
            return False


def passes(test: Test, value: object) -> bool:
    """Tell whether one value, of whatever type, passes a test."""
    match test:
        case Equal(values):
            return value in values
        case Between(low, high):
            return isinstance(value, (int, float)) and low <= value <= high
        case Within(first, last):
            return isinstance(value, bytes) and len(value) == len(first) and first <= value <= last
        case Starts(octets):
            return isinstance(value, bytes) and value.startswith(octets)
        case Ends(octets):
            return isinstance(value, bytes) and value.endswith(octets)
        case Contains(octets):
            return isinstance(value, bytes) and octets in value
        case Search(expression):
            return isinstance(value, bytes) and _search(expression)(value) is not None
        case OneOf(tests):
            return any(passes(part, value) for part in tests)
        case Both(tests):
            return all(passes(part, value) for part in tests)
        case _:
            assert_never(test)


@cache
def _search(expression: bytes) -> Callable[[bytes], object]:
    search: Callable[[bytes], object] = compile_re(expression.decode()).search
    return search


def _ends_differ(asked: Iterable[Test]) -> bool:
    """Tell whether a text would have to end in two ways."""
    ends = sorted({part.octets for part in _parts(asked) if isinstance(part, Ends)}, key=len)
    return any(not longer.endswith(shorter) for shorter, longer in pairwise(ends))


def _parts(asked: Iterable[Test]) -> Iterable[Test]:
    for test in asked:
        if isinstance(test, Both):
            yield from _parts(test.tests)
        else:
            yield test


def _passes_all_texts(test: Test) -> bool:
    return isinstance(test, (Starts, Ends, Contains, Search)) and not (
        test.expression if isinstance(test, Search) else test.octets
    )


# --- values as spans -----------------------------------------------------------------------------


def _left(field: Field, asked: Sequence[Test], refused: Sequence[Test]) -> list[Span] | None:
    """Return spans outside which no value passes; None where nothing is known of it."""
    spans = _all_values(field)
    for test in asked:
        found = test_spans(field, test)
        if found is not None:
            spans = found[0] if spans is None else meeting(spans, found[0])
    if spans is None:
        return None
    for test in refused:
        found = test_spans(field, test)
        if found is not None and found[1]:
            spans = _without(spans, found[0])
    return spans


_ALL_ADDRESSES: Final[list[Span]] = [
    (octets, bytes(octets), b"\xff" * octets + b"\0") for octets in (4, 16)
]


def _all_values(field: Field) -> list[Span] | None:
    """Return all that a field can be; None where it is not known, or any text."""
    if field.words:
        words = sorted(word.encode() for word in field.words)
        return [(0, word, word + b"\0") for word in words]
    match field.kind:
        case Kind.IP:
            return _ALL_ADDRESSES
        case Kind.TIME:
            return [(0, 0, 1 << 64)]
        case Kind.NUMBER | Kind.MAC if field.largest:
            return [(0, 0, field.largest + 1)]
        case _:
            return None


def _without(spans: list[Span], cuts: list[Span]) -> list[Span]:
    """Return what of some spans lies in none of the cuts; each is sorted and without overlaps."""
    left: list[Span] = []
    at = 0
    for domain, start, end in spans:
        while at < len(cuts) and (cuts[at][0], cuts[at][2]) <= (domain, start):
            at += 1
        begin = start
        cut = at
        while cut < len(cuts) and (cuts[cut][0], cuts[cut][1]) < (domain, end):
            if begin < cuts[cut][1]:
                left.append((domain, begin, cuts[cut][1]))
            begin = max(begin, cuts[cut][2])
            cut += 1
        if begin < end:
            left.append((domain, begin, end))
    return left
