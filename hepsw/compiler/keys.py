"""What a rule asks of one field, as spans of values: what an index can be built on.

A span is half open. Octets sort as texts do, so a point ends at the next longer text, a prefix is a
span, and a network is one among the addresses of its length. Numbers, networks, prefixes and lists
thus become one thing, and `{ ge, le }` is a meeting of spans.

A test that has no spans (a suffix, an expression) gives none; a rule without any is tried in place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hepsw.config.conditions import (
    All,
    Between,
    Both,
    Condition,
    Equal,
    Has,
    OneOf,
    Some,
    Starts,
    Test,
    Within,
)
from hepsw.fields import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.fields import Field, Value

Span = tuple[int, Any, Any]
"""Domain, first value, first value behind it.

The domain is the length of an address, since v4 and v6 do not sort among each other; else 0.
"""


def domain_of(field: Field, value: Value) -> int:
    """Return the domain of a value."""
    if field.kind is Kind.IP and isinstance(value, bytes):
        return len(value)
    # What JSON holds is of any type: texts and numbers do not sort among each other.
    return 1 if field.kind is Kind.JSON and not isinstance(value, bytes) else 0


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Where a field's value must lie. Rules that ask the same share one object."""

    points: tuple[Value, ...]
    ranges: tuple[Span, ...]
    """Sorted, and like the points, apart from each other: a value lies in one at most."""

    def __len__(self) -> int:
        return len(self.points) + len(self.ranges)


@dataclass(frozen=True, slots=True)
class Want:
    """What one rule asks of one field."""

    field: Field
    keys: Keys
    part: int
    """The part of the rule that is settled once the value is found; -1: none is."""


def parts_of(condition: Condition) -> list[Condition]:
    """Return what must all hold, nested `all` and matchers taken apart."""
    if isinstance(condition, All):
        return [inner for part in condition.parts for inner in parts_of(part)]
    return [condition]


class KeyReader:
    """Finds the keys of rules; equal tests are read once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, Test], tuple[Keys, bool] | None] = {}

    def wants(self, parts: Sequence[Condition]) -> dict[str, Want]:
        """Return by field what parts that must all hold ask of it; the first part speaks for it."""
        wants: dict[str, Want] = {}
        for at, part in enumerate(parts):
            if isinstance(part, Has):
                if part.field.name not in wants and (found := self._keys(part.field, part.test)):
                    keys, settles = found
                    wants[part.field.name] = Want(part.field, keys, at if settles else -1)
            elif isinstance(part, Some) and part.parts:
                for name, want in self._alternatives(part).items():
                    wants.setdefault(name, want)
        return wants

    def _alternatives(self, some: Some) -> dict[str, Want]:
        """Return the fields that every alternative asks something of, and all that they allow."""
        wants = [self.wants(parts_of(part)) for part in some.parts]
        found = {}
        for name, want in wants[0].items():
            if all(name in other for other in wants) and want.field.kind is not Kind.JSON:
                spans = [span for other in wants for span in _spans_of(other[name])]
                found[name] = Want(want.field, _as_keys(_union(spans)), -1)
        return found

    def _keys(self, field: Field, test: Test) -> tuple[Keys, bool] | None:
        asked = (field.name, test)
        if asked not in self._read:
            if isinstance(test, Equal):  # lists may be long: they need no sorting
                self._read[asked] = Keys(tuple(test.values), ()), True
                return self._read[asked]
            found = None if field.kind is Kind.JSON else test_spans(field, test)
            self._read[asked] = found and (_as_keys(found[0]), found[1])
        return self._read[asked]


def test_spans(field: Field, test: Test) -> tuple[list[Span], bool] | None:
    """Return where the value must lie, sorted, and whether that is all the test asks.

    None where a test says nothing about it.
    """
    match test:
        case Equal(values):
            return sorted((domain_of(field, value), value, after(value)) for value in values), True
        case Between(low, high):
            return [(0, low, after(high))] if low <= high else [], True
        case Within(first, last):
            return [(len(first), first, last + b"\0")], True
        case Starts(octets):
            end = _after_prefix(octets)
            return None if end is None else ([(0, octets, end)], True)
        case OneOf(tests):
            found = [test_spans(field, part) for part in tests]
            known = [one for one in found if one is not None]
            if len(known) < len(found):
                return None
            return _union([span for spans, _ in known for span in spans]), all(
                settles for _, settles in known
            )
        case Both(tests):
            found = [test_spans(field, part) for part in tests]
            known = [one for one in found if one is not None]
            if not known:
                return None
            spans = known[0][0]
            for other, _ in known[1:]:
                spans = meeting(spans, other)
            return spans, len(known) == len(found) and all(settles for _, settles in known)
        case _:
            return None


def after(value: Value) -> Value:
    """Return the first value behind one."""
    if isinstance(value, bytes):
        return value + b"\0"
    return value + 1 if isinstance(value, int) else math.nextafter(value, math.inf)


def _after_prefix(octets: bytes) -> bytes | None:
    """Return the first text behind all that begin so; None where there is none."""
    kept = octets.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def _union(spans: list[Span]) -> list[Span]:
    """Sort spans and join those that overlap.

    Those that merely touch stay apart: 5060 and 5061 are two points for a hash, not a range.
    """
    joined: list[Span] = []
    for domain, start, end in sorted(spans):
        if joined and joined[-1][0] == domain and start < joined[-1][2]:
            joined[-1] = (domain, joined[-1][1], max(end, joined[-1][2]))
        else:
            joined.append((domain, start, end))
    return joined


def meeting(ones: list[Span], others: list[Span]) -> list[Span]:
    """Return what lies in both; each is sorted and without overlaps."""
    met: list[Span] = []
    one = other = 0
    while one < len(ones) and other < len(others):
        domain, start, end = ones[one]
        its_domain, its_start, its_end = others[other]
        if domain == its_domain and max(start, its_start) < min(end, its_end):
            met.append((domain, max(start, its_start), min(end, its_end)))
        if (domain, end) < (its_domain, its_end):
            one += 1
        else:
            other += 1
    return met


def _as_keys(spans: list[Span]) -> Keys:
    points = tuple(start for _, start, end in spans if end == after(start))
    ranges = tuple(span for span in spans if span[2] != after(span[1]))
    return Keys(points, ranges)


def _spans_of(want: Want) -> list[Span]:
    points = [(domain_of(want.field, value), value, after(value)) for value in want.keys.points]
    return [*points, *want.keys.ranges]
