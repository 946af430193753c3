"""Match blocks: from TOML to `conditions`.

One function for each form that a value may take. Everything that is wrong is reported at its own
key; what can be read is read all the same, so one pass finds every mistake.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

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
    Within,
)
from hepsw.config.names import UnknownFieldError
from hepsw.config.spelling import did_you_mean
from hepsw.config.template import compile_re
from hepsw.fields import Field, Kind, time_us

if TYPE_CHECKING:
    from hepsw.config.names import Names
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path

NUMERIC: Final = frozenset({Kind.NUMBER, Kind.TIME, Kind.MAC})
TEXTUAL: Final = frozenset({Kind.TEXT, Kind.OCTETS})

OPERATORS: Final = {
    "prefix": TEXTUAL,
    "suffix": TEXTUAL,
    "contains": TEXTUAL,
    "glob": TEXTUAL,
    "re": TEXTUAL,
    "hex": TEXTUAL,
    "ge": NUMERIC,
    "gt": NUMERIC,
    "le": NUMERIC,
    "lt": NUMERIC,
    "in": frozenset(Kind),
    "eq": frozenset(Kind),
    "not": frozenset(Kind),
    "exists": frozenset(Kind),
}
"""Every operator, with the kinds of field it can look at."""

LOOKS_LIKE_A_PATTERN: Final = re.compile(r"^\^.|.\$$|\.\*|\.\+|\(\?i\)|^\*[^*#]*\*$")
"""Plain strings are exact; one of these shapes is almost certainly not meant so. `*72` and `a?b`
are no patterns in telephony."""

NESTING: Final = 32
"""Deepest nesting of match blocks."""


class Unreadable(Exception):  # noqa: N818 - never leaves this module: the problem is already reported
    """This part gives no condition; why is in the report."""


class MatchReader:
    """Reads the match blocks of one configuration."""

    def __init__(self, names: Names, report: Report) -> None:
        self.names = names
        self.report = report

    def read(self, block: Any, path: Path, depth: int = 0) -> Condition:  # noqa: ANN401 - TOML
        """Return what a match block means; parts that cannot be read are reported and left out."""
        if not isinstance(block, dict):
            self.report.error("HEP105", "a match block is a table of conditions", path)
            return ALWAYS
        if depth > NESTING:
            self.report.error("HEP105", f"match blocks nest deeper than {NESTING}", path)
            return ALWAYS
        parts = []
        for key, written in block.items():
            try:
                parts.append(self._entry(key, written, (*path, key), depth))
            except Unreadable:
                continue
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _entry(self, key: str, written: Any, path: Path, depth: int) -> Condition:  # noqa: ANN401
        match key:
            case "any" | "all":
                if not isinstance(written, list) or not written:
                    self.report.error("HEP105", f"`{key}` wants a list of match blocks", path)
                    raise Unreadable
                parts = tuple(
                    self.read(part, (*path, at), depth + 1) for at, part in enumerate(written)
                )
                return Some(parts) if key == "any" else All(parts)
            case "not":
                return Negation(self.read(written, path, depth + 1))
            case "is":
                return self._matchers(written, path, depth)
            case _:
                return self._field(key, written, path)

    def _matchers(self, written: Any, path: Path, depth: int) -> Condition:  # noqa: ANN401
        wanted = written if isinstance(written, list) else [written]
        parts = []
        for name in wanted:
            if not isinstance(name, str) or name not in self.names.matchers:
                self.report.unknown("HEP204", "matcher", name, path, self.names.matchers)
                raise Unreadable
            self.names.used_matchers.add(name)
            # The depth also ends matchers that name each other in a circle.
            parts.append(self.read(self.names.matchers[name], ("matchers", name), depth + 1))
        return All(tuple(parts)) if len(parts) != 1 else parts[0]

    def _field(self, key: str, written: Any, path: Path) -> Condition:  # noqa: ANN401
        try:
            field = self.names.field(key)
        except UnknownFieldError as error:
            if isinstance(written, dict) and f"{key}." in {
                "sip.",
                "json.",
                "rtcp.",
                "vq.",
                "geo.",
                "map.",
            }:
                self.report.error("HEP108", f"fields of `{key}` are not yet supported", path)
            else:
                meant = did_you_mean(key, [*self.names.known, "any", "all", "not", "is"])
                hint = f"did you mean `{meant}`?" if meant else None
                self.report.key_error(error.code, str(error), path, hint)
            raise Unreadable from None
        if isinstance(written, dict):
            return self._operators(field, written, path)
        return Has(field, self._test(field, written, path))

    def _operators(self, field: Field, written: dict[str, Any], path: Path) -> Condition:
        conditions: list[Condition] = []
        tests: list[Test] = []
        if not written:
            self.report.error("HEP105", f"no operator for `{field.name}`", path)
            raise Unreadable
        for operator, operand in written.items():
            place = (*path, operator)
            if not self._fits(field, operator, place):
                raise Unreadable
            if operator == "exists":
                if not isinstance(operand, bool):
                    self.report.error("HEP105", "`exists` wants true or false", place)
                    raise Unreadable
                conditions.append(Exists(field, operand))
            elif operator == "not":
                conditions.append(Lacks(field, self._inner(field, operand, place)))
            else:
                tests.append(self._operator(field, operator, operand, place))
        if tests:
            conditions.insert(0, Has(field, tests[0] if len(tests) == 1 else Both(tuple(tests))))
        return conditions[0] if len(conditions) == 1 else All(tuple(conditions))

    def _fits(self, field: Field, operator: str, place: Path) -> bool:
        kinds = OPERATORS.get(operator)
        if kinds is None:
            meant = did_you_mean(operator, OPERATORS, foreign={})
            hint = f"did you mean `{meant}`?" if meant else "operators: " + " ".join(OPERATORS)
            self.report.key_error("HEP109", f"unknown operator `{operator}`", place, hint)
            return False
        if field.kind not in kinds:
            self.report.key_error(
                "HEP109",
                f"`{operator}` cannot look at `{field.name}`, which is {_A_KIND[field.kind]}",
                place,
            )
            return False
        return True

    def _inner(self, field: Field, written: Any, path: Path) -> Test:  # noqa: ANN401
        """Read a value, or a table of operators that look at one value."""
        if not isinstance(written, dict):
            return self._test(field, written, path)
        tests = []
        for operator, operand in written.items():
            place = (*path, operator)
            if not self._fits(field, operator, place):
                raise Unreadable
            if operator in {"not", "exists"}:
                self.report.key_error(
                    "HEP109", f"`{operator}` cannot stand here", place, "use `match.not = { … }`"
                )
                raise Unreadable
            tests.append(self._operator(field, operator, operand, place))
        if not tests:
            self.report.error("HEP105", f"no operator for `{field.name}`", path)
            raise Unreadable
        return tests[0] if len(tests) == 1 else Both(tuple(tests))

    def _operator(self, field: Field, operator: str, operand: Any, path: Path) -> Test:  # noqa: ANN401
        match operator:
            case "in" | "eq":
                if operator == "in" and not isinstance(operand, list):
                    if not (isinstance(operand, str) and operand.startswith("@")):
                        self.report.error("HEP105", '`in` wants a list or "@set"', path)
                        raise Unreadable
                elif operator == "eq" and isinstance(operand, list):
                    self.report.error(
                        "HEP105", "`eq` wants one value", path, "use `in` for several"
                    )
                    raise Unreadable
                return self._test(field, operand, path, literal=operator == "eq")
            case "ge" | "gt" | "le" | "lt":
                number = self._bound(field, operand, path)
                most = (1 << 64) - 1
                low = {"ge": number, "gt": number + 1}.get(operator, 0)
                high = {"le": number, "lt": number - 1}.get(operator, most)
                return Between(low, high)
            case "hex":
                return Equal(frozenset({self._hex(operand, path)}))
            case _:
                return self._text_operator(operator, operand, path)

    def _bound(self, field: Field, operand: Any, path: Path) -> int:  # noqa: ANN401
        if isinstance(operand, float) and field.kind is Kind.NUMBER:
            self.report.error("HEP105", f"`{field.name}` is a whole number", path)
            raise Unreadable
        (value,) = self._values(field, operand, path)
        if not isinstance(value, Equal):
            self.report.error("HEP105", "wants one number", path)
            raise Unreadable
        (number,) = value.values
        assert isinstance(number, int)  # noqa: S101 - only numeric fields have these operators
        return number

    def _text_operator(self, operator: str, operand: Any, path: Path) -> Test:  # noqa: ANN401
        if operator in {"glob", "re"}:
            if not isinstance(operand, str):
                self.report.error("HEP105", f"`{operator}` wants a text", path)
                raise Unreadable
            expression = _glob(operand) if operator == "glob" else operand
            try:
                compile_re(expression)
            except ValueError as error:
                self.report.error("HEP112", str(error), path)
                raise Unreadable from None
            return Search(expression.encode())
        if isinstance(operand, dict):
            octets = self._hex(operand, path)
        elif isinstance(operand, str):
            octets = operand.encode()
        else:
            self.report.error("HEP105", f"`{operator}` wants a text", path)
            raise Unreadable
        if operator == "contains":
            return Contains(octets)
        return Starts(octets) if operator == "prefix" else Ends(octets)

    def _hex(self, operand: Any, path: Path) -> bytes:  # noqa: ANN401
        text = operand.get("hex") if isinstance(operand, dict) and len(operand) == 1 else operand
        if isinstance(text, str):
            with suppress(ValueError):
                return bytes.fromhex(text)
        self.report.error("HEP106", f"not octets in hexadecimal: {text!r}", path)
        raise Unreadable

    def _test(self, field: Field, written: Any, path: Path, *, literal: bool = False) -> Test:  # noqa: ANN401
        """Read a value, a list of values or `"@set"`: any of them."""
        if isinstance(written, list):
            if not written:
                self.report.error("HEP105", "an empty list matches nothing", path)
                raise Unreadable
            items = [(item, (*path, at)) for at, item in enumerate(written)]
            tests = [
                test
                for item, place in items
                for test in (
                    [self._inner(field, item, place)]
                    if isinstance(item, dict)
                    else self._values(field, item, place)
                )
            ]
        else:
            tests = self._values(field, written, path, literal=literal)
        return _joined(tests)

    def _values(
        self,
        field: Field,
        written: Any,  # noqa: ANN401
        path: Path,
        *,
        literal: bool = False,
    ) -> list[Test]:
        if isinstance(written, str) and written.startswith("@") and not literal:
            return self._set(field, written, path)
        try:
            return [self._value(field, written, path, literal=literal)]
        except ValueError as error:
            self.report.error("HEP106", str(error), path)
            raise Unreadable from None

    def _set(self, field: Field, written: str, path: Path) -> list[Test]:
        named = self.names.sets.get(written[1:])
        if named is None:
            self.report.unknown("HEP203", "set", written[1:], path, self.names.sets)
            raise Unreadable
        named.used = True
        tests: list[Test] = []
        for value, place in named.values:
            try:
                # In a set every string is a value: "@" and patterns mean themselves there.
                tests.append(self._value(field, value, place, literal=field.kind in TEXTUAL))
            except ValueError as error:
                self.report.error("HEP106", f"set `{written[1:]}`: {error}", place)
                raise Unreadable from None
        return tests

    def _value(self, field: Field, written: Any, path: Path, *, literal: bool) -> Test:  # noqa: ANN401
        """Read one value in the form that its field's kind has.

        Raises:
            ValueError: with what it is not.
        """
        if field.kind in TEXTUAL:
            if not isinstance(written, str):
                raise ValueError(f"`{field.name}` is a text, not {_toml_type(written)}")
            if not literal and LOOKS_LIKE_A_PATTERN.search(written):
                self.report.warning(
                    "HEP404",
                    f"a plain string is exact: {written!r} looks like a pattern",
                    path,
                    "write { re = … } or { glob = … }, or { eq = … } if it is meant so",
                )
            return Equal(frozenset({written.encode()}))
        if field.kind is Kind.IP:
            return _address(written)
        if isinstance(written, datetime) and field.kind is Kind.TIME:
            return Equal(frozenset({time_us(written)}))
        if isinstance(written, bool) or not isinstance(written, (int, str)):
            raise ValueError(f"`{field.name}` is {_A_KIND[field.kind]}, not {_toml_type(written)}")
        if isinstance(written, int):
            return Equal(
                frozenset({written if field.kind is Kind.TIME else field.checked(written)})
            )
        if field.kind is Kind.NUMBER and (found := re.fullmatch(r"(\d{1,20})-(\d{0,20})", written)):
            low = field.checked(int(found[1]))
            high = field.checked(int(found[2])) if found[2] else field.largest
            if low > high:
                raise ValueError(f"the range {written!r} is empty")
            return Between(low, high)
        try:
            return Equal(frozenset({field.parse(written)}))
        except ValueError as error:
            meant = did_you_mean(written.upper(), field.names, foreign={}) if field.names else None
            raise ValueError(f"{error}; did you mean {meant!r}?" if meant else str(error)) from None


_A_KIND: Final = {
    Kind.NUMBER: "a number",
    Kind.IP: "an address",
    Kind.TEXT: "a text",
    Kind.OCTETS: "octets",
    Kind.TIME: "a time",
    Kind.MAC: "a MAC address",
}


def _toml_type(written: object) -> str:
    if isinstance(written, bool):
        return "a boolean"
    names = {
        int: "a number",
        float: "a number with a fraction",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(written), "a date or time")


def _address(written: object) -> Test:
    if not isinstance(written, str):
        raise ValueError(f"an address or network is a text, not {_toml_type(written)}")
    if "/" not in written:
        try:
            return Equal(frozenset({ipaddress.ip_address(written).packed}))
        except ValueError:
            raise ValueError(f"not an address or network: {written!r}") from None
    try:
        network = ipaddress.ip_network(written)
    except ValueError:
        try:
            meant = ipaddress.ip_network(written, strict=False)
        except ValueError:
            raise ValueError(f"not a network: {written!r}") from None
        raise ValueError(
            f"the network {written!r} has host bits set; did you mean {str(meant)!r}?"
        ) from None
    return Within(network.network_address.packed, network.broadcast_address.packed)


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
