"""Match blocks: from TOML to `conditions`.

One function for each form that a part of a block may take. Everything that is wrong is reported at
its own key; what can be read is read all the same, so one pass finds every mistake.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hepsw.config.conditions import (
    ALWAYS,
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
)
from hepsw.config.names import UnknownFieldError, flattened
from hepsw.config.spelling import OPERATOR_WORDS, did_you_mean
from hepsw.config.template import compile_re
from hepsw.config.values import A_KIND, NUMERIC, TEXTUAL, decimal_of, number_of, value_test
from hepsw.fields import JSON, Field, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hepsw.config.names import Names
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path

Item = TypeVar("Item")
Read = TypeVar("Read")

_TEXTS: Final = TEXTUAL | {Kind.JSON}
_NUMBERS: Final = NUMERIC | {Kind.JSON}

OPERATORS: Final = {
    "prefix": _TEXTS,
    "suffix": _TEXTS,
    "contains": _TEXTS,
    "glob": _TEXTS,
    "re": _TEXTS,
    "hex": _TEXTS,
    "ge": _NUMBERS,
    "gt": _NUMBERS,
    "le": _NUMBERS,
    "lt": _NUMBERS,
    "in": frozenset(Kind),
    "eq": frozenset(Kind),
    "not": frozenset(Kind),
    "exists": frozenset(Kind),
}
"""Every operator, with the kinds of field it can look at."""

LARGEST: Final = (1 << 64) - 1

LOOKS_LIKE_A_PATTERN: Final = re.compile(r"^\^.|.\$$|\.\*|\.\+|\(\?i\)|^\*[^*#]*\*$")
"""Plain strings are exact; one of these shapes is almost certainly not meant so. `*72` and `a?b`
are no patterns in telephony."""

NESTING: Final = 32
"""Deepest nesting of match blocks."""

PARTS: Final = 10_000
"""Conditions of one rule, those of its matchers among them: matchers that use each other twice
double with every step."""

BLOCK_WORDS: Final = ("any", "all", "not", "is")
"""Keys of a match block that are no fields."""


class Unreadable(Exception):  # noqa: N818 - never leaves this module: the problem is reported
    """This part gives no condition; why is in the report."""


class MatchReader:
    """Reads the match blocks of one configuration."""

    def __init__(self, names: Names, report: Report) -> None:
        self.names = names
        self.report = report
        self._matchers: dict[str, Condition] = {}
        self._sizes: dict[int, tuple[int, Condition]] = {}
        self._open: list[str] = []
        """Matchers being read, each named by the one before it."""

    def read(self, block: Any, path: Path) -> Condition:
        """Return what a match block means; parts that cannot be read are left out."""
        condition = self._read(block, path, 0)
        size = self._size(condition)
        if size > PARTS:
            self.report.error(
                "HEP105", f"{size} conditions, with those of matchers: {PARTS} at most", path
            )
            return ALWAYS
        return condition

    def _size(self, condition: Condition) -> int:
        """Return how many conditions a block comes to; what matchers share is looked at once."""
        known = self._sizes.get(id(condition))
        if known is not None:
            return known[0]
        match condition:
            case All(parts) | Some(parts):
                size = 1 + sum(map(self._size, parts))
            case Negation(part):
                size = 1 + self._size(part)
            case _:
                size = 1
        # With the condition itself: its id must not be another's while this is remembered.
        self._sizes[id(condition)] = size, condition
        return size

    def _read(self, block: Any, path: Path, depth: int) -> Condition:
        """Return what a block means, which may stand in another."""
        if not isinstance(block, dict):
            self.report.error("HEP105", "a match block is a table of conditions", path)
            return ALWAYS
        if depth > NESTING:
            self.report.error("HEP105", f"match blocks nest deeper than {NESTING}", path)
            return ALWAYS
        parts = []
        for key, written, place in flattened(block, path):
            with suppress(Unreadable):
                parts.append(self._entry(key, written, place, depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def matcher(self, name: str) -> Condition:
        """Return what a matcher means; each is read once, whoever uses it."""
        if name not in self._matchers:
            self._open.append(name)
            self._matchers[name] = self._read(self.names.matchers[name], ("matchers", name), 0)
            self._open.pop()
        return self._matchers[name]

    # --- parts of a block ---

    def _refuse(self, code: str, text: str, path: Path, hint: str | None = None) -> Unreadable:
        self.report.error(code, text, path, hint)
        return Unreadable()

    def _entry(self, key: str, written: Any, path: Path, depth: int) -> Condition:
        match key:
            case "any" | "all":
                if not isinstance(written, list) or not written:
                    raise self._refuse("HEP105", f"`{key}` wants a list of match blocks", path)
                parts = tuple(
                    self._read(part, (*path, at), depth + 1) for at, part in enumerate(written)
                )
                return Some(parts) if key == "any" else All(parts)
            case "not":
                if written == {}:
                    raise self._refuse("HEP105", "`not` of nothing never matches", path)
                return Negation(self._read(written, path, depth + 1))
            case "is":
                return self._is(written, path)
            case _:
                return self._field(key, written, path)

    def _is(self, written: Any, path: Path) -> Condition:
        if written == []:
            raise self._refuse("HEP105", "an empty list names no matcher", path)
        listed = isinstance(written, list)
        wanted = written if listed else [written]
        items = [(name, (*path, at) if listed else path) for at, name in enumerate(wanted)]
        parts = _each(items, lambda item: self._named(*item))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _named(self, name: Any, path: Path) -> Condition:
        if not isinstance(name, str) or name not in self.names.matchers:
            self.report.unknown("HEP204", "matcher", name, path, self.names.matchers)
            raise Unreadable
        self.names.used_matchers.add(name)
        if name in self._open:
            circle = [*self._open[self._open.index(name) :], name]
            raise self._refuse(
                "HEP305", f"matchers go round in a circle: {' → '.join(circle)}", path
            )
        return self.matcher(name)

    def _field(self, key: str, written: Any, path: Path) -> Condition:
        try:
            field = self.names.field(key)
        except UnknownFieldError as error:
            hint = error.hint
            if error.code == "HEP110" and "." not in key:
                meant = did_you_mean(key, [*self.names.known, *BLOCK_WORDS])
                hint = f"did you mean `{meant}`?" if meant else hint
            self.report.key_error(error.code, str(error), path, hint)
            raise Unreadable from None
        if isinstance(written, dict):
            return self._operators(field, written, path)
        return Has(field, self._test(field, written, path))

    # --- operators ---

    def _operators(self, field: Field, written: dict[str, Any], path: Path) -> Condition:
        if not written:
            raise self._refuse("HEP105", f"no operator for `{field.name}`", path)
        read = _each(written.items(), lambda item: self._condition(field, *item, (*path, item[0])))
        tests = [part for part in read if not isinstance(part, (Exists, Lacks))]
        conditions: list[Condition] = [part for part in read if isinstance(part, (Exists, Lacks))]
        if tests:
            conditions.insert(0, Has(field, self._both(field, tests, path)))
        return conditions[0] if len(conditions) == 1 else All(tuple(conditions))

    def _condition(
        self,
        field: Field,
        operator: str,
        operand: Any,
        place: Path,
    ) -> Test | Exists | Lacks:
        self._check_fit(field, operator, place)
        if operator == "exists":
            if not isinstance(operand, bool):
                raise self._refuse("HEP105", "`exists` wants true or false", place)
            return Exists(field, operand)
        if operator == "not":
            return Lacks(field, self._inner(field, operand, place))
        return self._operator(field, operator, operand, place)

    def _check_fit(self, field: Field, operator: str, place: Path) -> None:
        kinds = OPERATORS.get(operator)
        if kinds is None:
            meant = did_you_mean(operator, OPERATORS, foreign=OPERATOR_WORDS)
            hint = f"did you mean `{meant}`?" if meant else "operators: " + " ".join(OPERATORS)
            if field.kind is Kind.JSON and field.name.startswith(JSON) and not meant:
                path = f"{field.name.removeprefix(JSON)}.{operator}"
                hint = f'a path stands in quotes: `json."{path}"`'
            self.report.key_error("HEP109", f"unknown operator `{operator}`", place, hint)
            raise Unreadable
        if field.kind not in kinds:
            self.report.key_error(
                "HEP109",
                f"`{operator}` cannot look at `{field.name}`, which is {A_KIND[field.kind]}",
                place,
            )
            raise Unreadable

    def _inner(self, field: Field, written: Any, path: Path) -> Test:
        """Read a value, or a table of operators that look at one value."""
        if not isinstance(written, dict):
            return self._test(field, written, path)
        if not written:
            raise self._refuse("HEP105", f"no operator for `{field.name}`", path)

        def one(item: tuple[str, Any]) -> Test:
            operator, operand = item
            place = (*path, operator)
            self._check_fit(field, operator, place)
            if operator in {"not", "exists"}:
                self.report.key_error(
                    "HEP109", f"`{operator}` cannot stand here", place, "use `match.not = { … }`"
                )
                raise Unreadable
            return self._operator(field, operator, operand, place)

        return self._both(field, _each(written.items(), one), path)

    def _both(self, field: Field, tests: list[Test], path: Path) -> Test:
        """Join tests of one value; bounds that leave no number are a mistake."""
        bounds = [test for test in tests if isinstance(test, Between)]
        if bounds and max(test.low for test in bounds) > min(test.high for test in bounds):
            raise self._refuse("HEP106", f"no `{field.name}` is within these bounds", path)
        return tests[0] if len(tests) == 1 else Both(tuple(tests))

    def _operator(self, field: Field, operator: str, operand: Any, path: Path) -> Test:
        match operator:
            case "in":
                is_set = isinstance(operand, str) and operand.startswith("@")
                if not isinstance(operand, list) and not is_set:
                    raise self._refuse("HEP105", '`in` wants a list or "@set"', path)
                return self._test(field, operand, path)
            case "eq":
                if isinstance(operand, list):
                    raise self._refuse("HEP105", "`eq` wants one value", path, "use `in`")
                return self._value(field, operand, path, literal=True)
            case "ge" | "gt" | "le" | "lt":
                return self._bound(field, operator, operand, path)
            case "hex":
                return Equal(frozenset({self._hex(operand, path)}))
            case "glob" | "re":
                return self._expression(operator, operand, path)
            case _:
                return self._piece(operator, operand, path)

    def _bound(self, field: Field, operator: str, operand: Any, path: Path) -> Test:
        try:
            if field.kind in {Kind.DECIMAL, Kind.JSON}:
                return _decimal_bound(operator, decimal_of(field, operand))
            number = number_of(field, operand)
        except ValueError as error:
            raise self._refuse("HEP106", str(error), path) from None
        largest = LARGEST if field.kind is Kind.TIME else field.largest
        low = {"ge": number, "gt": number + 1}.get(operator, 0)
        high = {"le": number, "lt": number - 1}.get(operator, largest)
        if low > high:
            raise self._refuse("HEP106", f"no `{field.name}` is within these bounds", path)
        return Between(low, high)

    def _expression(self, operator: str, operand: Any, path: Path) -> Test:
        if not isinstance(operand, str):
            raise self._refuse("HEP105", f"`{operator}` wants a text", path)
        expression = _glob(operand) if operator == "glob" else operand
        try:
            compile_re(expression)
        except ValueError as error:
            # RE2 quotes the expression, and what the key is compared with is a secret.
            secret = "auth_key" in path
            text = "not an RE2 expression" if secret else str(error)
            raise self._refuse("HEP112", text, path) from None
        return Search(expression.encode())

    def _piece(self, operator: str, operand: Any, path: Path) -> Test:
        if isinstance(operand, dict):
            octets = self._hex(operand, path)
        elif isinstance(operand, str):
            octets = operand.encode()
        else:
            raise self._refuse("HEP105", f"`{operator}` wants a text", path)
        if operator == "contains":
            return Contains(octets)
        return Starts(octets) if operator == "prefix" else Ends(octets)

    def _hex(self, operand: Any, path: Path) -> bytes:
        text = operand.get("hex") if isinstance(operand, dict) and len(operand) == 1 else operand
        if isinstance(text, str):
            with suppress(ValueError):
                return bytes.fromhex(text)
        raise self._refuse("HEP106", f"not octets in hexadecimal: {text!r}", path)

    # --- values ---

    def values(self, field: Field, written: Any, path: Path) -> Test | None:
        """Return what values, lists or sets of a field mean; None where that was reported."""
        with suppress(Unreadable):
            return self._test(field, written, path)
        return None

    def _test(self, field: Field, written: Any, path: Path) -> Test:
        """Read a value, a list of values or `"@set"`: any of them."""
        if isinstance(written, str) and written.startswith("@"):
            return _joined(self._set(field, written[1:], path))
        if not isinstance(written, list):
            return self._value(field, written, path)
        if not written:
            raise self._refuse("HEP105", "an empty list matches nothing", path)

        def one(item: tuple[int, Any]) -> list[Test]:
            at, inner = item
            place = (*path, at)
            if isinstance(inner, str) and inner.startswith("@"):
                return self._set(field, inner[1:], place)
            if isinstance(inner, dict):
                return [self._inner(field, inner, place)]
            return [self._value(field, inner, place)]

        return _joined([test for tests in _each(enumerate(written), one) for test in tests])

    def _set(self, field: Field, name: str, path: Path) -> list[Test]:
        named = self.names.sets.get(name)
        if named is None:
            self.report.unknown("HEP203", "set", name, path, self.names.sets)
            raise Unreadable
        named.used = True

        def one(entry: tuple[Any, Path, str]) -> Test:
            value, place, origin = entry
            try:
                return value_test(field, value)
            except ValueError as error:
                raise self._refuse("HEP106", f"{origin}set `{name}`: {error}", place) from None

        return _each(named.values, one)

    def _value(self, field: Field, written: Any, path: Path, *, literal: bool = False) -> Test:
        try:
            test = value_test(field, written, literal=literal)
        except ValueError as error:
            raise self._refuse("HEP106", str(error), path) from None
        if (
            field.kind in _TEXTS
            and not literal
            and isinstance(written, str)
            and LOOKS_LIKE_A_PATTERN.search(written)
        ):
            self.report.warning(
                "HEP404",
                f"a plain string is exact: {written!r} looks like a pattern",
                path,
                "write { re = … } or { glob = … }, or { eq = … } if it is meant so",
            )
        return test


def _decimal_bound(operator: str, number: float) -> Between:
    low = {"ge": number, "gt": math.nextafter(number, math.inf)}.get(operator, -math.inf)
    high = {"le": number, "lt": math.nextafter(number, -math.inf)}.get(operator, math.inf)
    return Between(low, high)


def _each(items: Iterable[Item], read: Callable[[Item], Read]) -> list[Read]:
    """Read every item, so that each mistake is reported, before giving up on the whole."""
    done: list[Read] = []
    failed = False
    for item in items:
        try:
            done.append(read(item))
        except Unreadable:
            failed = True
    if failed:
        raise Unreadable
    return done


def _joined(tests: list[Test]) -> Test:
    """Fold single values into one `Equal`, so that a list of a thousand is one look-up."""
    values = frozenset(value for test in tests if isinstance(test, Equal) for value in test.values)
    others = [test for test in tests if not isinstance(test, Equal)]
    joined: tuple[Test, ...] = (Equal(values), *others) if values or not others else tuple(others)
    return joined[0] if len(joined) == 1 else OneOf(joined)


def _glob(pattern: str) -> str:
    """Write a glob (`*`, `?`, `[a-z]`, `[!a-z]`) as an RE2 expression for the whole value."""
    expression = ""
    at = 0
    while at < len(pattern):
        here = pattern[at]
        at += 1
        if here == "*":
            expression += ".*"
        elif here == "?":
            expression += "."
        elif here == "[" and (end := pattern.find("]", at + 1)) > 0:
            inside = pattern[at:end].replace("\\", r"\\")
            inside = "^" + inside[1:] if inside.startswith("!") else inside.replace("^", r"\^")
            expression += f"[{inside}]"
            at = end + 1
        else:
            expression += re.escape(here)
    return rf"(?s)\A{expression}\z"
