"""Conditions written back in the language's words, for people to read.

What an operator sees of a condition (in `hepsw graph` and wherever else one is shown) is made here
from its meaning, not from the text of the file: sets, matchers and ranges stand resolved. It is
text to read, not TOML to load. Long lists are folded, and the key that travels in packets is never
printed.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import TYPE_CHECKING, Final

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
from hepsw.fields import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hepsw.fields import Field, Value

MOST_VALUES: Final = 8
"""Values of a list that are shown."""
MOST_PARTS: Final = 100
"""Conditions that are shown of one. Matchers that use each other twice double with every step, so
the whole is bounded, not each list."""
LONGEST_TEXT: Final = 80
"""Characters that are shown of one text."""
HIDDEN: Final = "***"
"""Stands for what is never printed."""

_SECRETS: Final = frozenset({"auth_key"})
"""Fields whose values are never printed."""
_LARGEST: Final = (1 << 64) - 1


def words(condition: Condition) -> str:
    """Write a condition as `src_ip in 10.0.0.0/8, 192.168.0.0/16 and not (…)`.

    `x not …` is the operator `{ not }`, which asks for the field to be there; `not (…)` is the
    block, plain negation.
    """
    return _Writer().condition(condition)


def test_words(field: Field, test: Test) -> str:
    """Write a test of one value, without the name of its field: `in 5060-5090`, `prefix "pbx"`."""
    if field.name in _SECRETS:
        return f"= {HIDDEN}"
    if isinstance(test, Both):
        return _joined(" and ", [test_words(field, part) for part in _narrowed(test)])
    alternatives = list(_alternatives(test))
    plain = [part for part in alternatives if isinstance(part, (Equal, Between, Within))]
    others = [part for part in alternatives if part not in plain]
    written = [_values(field, plain)] if plain else []
    written += [_piece(field, part) for part in others[:MOST_VALUES]]
    if len(others) > MOST_VALUES:
        written.append(_more(len(others) - MOST_VALUES))
    return _joined(" or ", written)


def listed_words(field: Field, tests: Sequence[Test]) -> str:
    """Write tests of one value as a list of values, for a sentence around it: `5060, 5080-5090`."""
    return test_words(field, OneOf(tuple(tests))).removeprefix("in ").removeprefix("= ")


def value_words(field: Field, value: Value) -> str:
    """Write one value of a field, unless it is a secret."""
    return HIDDEN if field.name in _SECRETS else _value(field, value)


def octets_words(octets: bytes) -> str:
    """Write octets as a text in quotes, or as hexadecimal where they are none."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return f'hex "{_cut(octets.hex())}"'
    if all(char.isprintable() or char in _ESCAPES for char in text):
        return text_words(text)
    return f'hex "{_cut(octets.hex())}"'


def text_words(text: str) -> str:
    """Write a text in quotes; what cannot be seen in it is escaped as in TOML."""
    return f'"{_cut("".join(_ESCAPES.get(char) or _seen(char) for char in text))}"'


def _seen(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\r": "\\r", "\n": "\\n"}


# --- conditions ----------------------------------------------------------------------------------


class _Writer:
    """Writes one condition, and stops where it gets too long to be read."""

    def __init__(self) -> None:
        self._left = MOST_PARTS

    def condition(self, condition: Condition) -> str:
        condition = _unwrapped(condition)
        self._left -= 1
        match condition:
            case Has(field, test):
                return f"{field.name} {test_words(field, test)}"
            case Lacks(field, test):
                return f"{field.name} not {test_words(field, test).removeprefix('= ')}"
            case Exists(field, wanted):
                return f"{field.name} {'exists' if wanted else 'is missing'}"
            case Negation(part):
                return f"not ({self.condition(part)})"
            case All(parts):
                return self._parts(" and ", parts, All) or "always"
            case Some(parts):
                return self._parts(" or ", parts, Some) or "never"

    def _parts(self, word: str, parts: Sequence[Condition], around: type[All | Some]) -> str:
        written: list[str] = []
        for at, wrapped in enumerate(parts):
            if self._left <= 0:
                written.append(_more(len(parts) - at))
                break
            part = _unwrapped(wrapped)
            text = self.condition(part)
            # `and` and `or` side by side are read wrongly by half of all people.
            several = isinstance(part, (All, Some)) and bool(part.parts)
            apart = several and not isinstance(part, around)
            written.append(f"({text})" if apart else text)
        return word.join(written)


def _unwrapped(condition: Condition) -> Condition:
    """Return the only part of what has one."""
    while isinstance(condition, (All, Some)) and len(condition.parts) == 1:
        condition = condition.parts[0]
    return condition


def _more(number: int) -> str:
    return f"… and {number} more"


def _joined(word: str, written: Sequence[str]) -> str:
    return written[0] if len(written) == 1 else f"({word.join(written)})"


# --- tests of one value --------------------------------------------------------------------------


def _alternatives(test: Test) -> Iterable[Test]:
    if not isinstance(test, OneOf):
        yield test
        return
    for part in test.tests:
        yield from _alternatives(part)


def _narrowed(test: Both) -> list[Test]:
    """Return the parts, all bounds of a number as one range."""
    bounds = [part for part in test.tests if isinstance(part, Between)]
    others: list[Test] = [part for part in test.tests if not isinstance(part, Between)]
    if not bounds:
        return others
    low, high = max(part.low for part in bounds), min(part.high for part in bounds)
    return [Between(low, high), *others]


def _values(field: Field, tests: Sequence[Test]) -> str:
    """Write single values, ranges and networks as one list."""
    exact = {value for test in tests if isinstance(test, Equal) for value in test.values}
    ranges = [test for test in tests if not isinstance(test, Equal)]
    if not ranges and len(exact) == 1:
        return f"= {_value(field, *exact)}"
    if len(ranges) == 1 and not exact and isinstance(ranges[0], Between):
        return _range(field, ranges[0])
    number = len(exact) + len(ranges)
    if number == 0:
        return "in nothing"
    written = [_value(field, value) for value in _sorted(field, exact)[:MOST_VALUES]]
    written += [_listed(field, test) for test in ranges[: MOST_VALUES - len(written)]]
    if number > len(written):
        written.append(_more(number - len(written)))
    return f"in {', '.join(written)}"


def _sorted(field: Field, values: Iterable[Value]) -> list[Value]:
    """Numbers before texts, IPv4 before IPv6."""
    numbers = sorted(value for value in values if not isinstance(value, bytes))
    texts = sorted(value for value in values if isinstance(value, bytes))
    if field.kind is Kind.IP:
        texts.sort(key=len)
    return [*numbers, *texts]


def _value(field: Field, value: Value) -> str:
    if isinstance(value, bytes) and field.kind is not Kind.IP:
        return octets_words(value)
    return field.render(value).decode("utf-8", "replace")


def _listed(field: Field, test: Test) -> str:
    if isinstance(test, Within):
        return _network(test)
    return _range(field, test).removeprefix("in ").removeprefix("= ")  # type: ignore[arg-type] # `_values` gives no other


def _network(test: Within) -> str:
    first, last = int.from_bytes(test.first), int.from_bytes(test.last)
    length = len(test.first) * 8 - (first ^ last).bit_length()
    return str(ipaddress.ip_network((test.first, length)))


def _range(field: Field, test: Between) -> str:
    """Write a range as an operator does: with a hyphen between numbers, else with `ge` and `le`."""
    low, high = test.low, test.high
    highest = {Kind.NUMBER: field.largest, Kind.TIME: _LARGEST, Kind.MAC: _LARGEST}.get(
        field.kind, math.inf
    )
    if low == high:
        return f"= {_value(field, low)}"
    if field.kind is Kind.NUMBER:
        return f"in {low}-" if high >= highest and low else f"in {low}-{high}"
    lowest = 0 if field.kind in {Kind.TIME, Kind.MAC} else -math.inf
    ends = []
    if low > lowest or high >= highest:
        ends.append(_bound(field, low, "ge", "gt", math.inf))
    if high < highest:
        ends.append(_bound(field, high, "le", "lt", -math.inf))
    return _joined(" and ", ends)


def _bound(field: Field, number: float, closed: str, unclosed: str, towards: float) -> str:
    """Write one end of a range; a fraction next to a round number is that number left out."""
    if isinstance(number, float):
        near = float(f"{number:.10g}")
        operator = unclosed if number == math.nextafter(near, towards) else closed
        return f"{operator} {near:.10g}"
    return f"{closed} {_value(field, number)}"


def _piece(field: Field, test: Test) -> str:
    match test:
        case Starts(octets):
            return f"prefix {octets_words(octets)}"
        case Ends(octets):
            return f"suffix {octets_words(octets)}"
        case Contains(octets):
            return f"contains {octets_words(octets)}"
        case Search(expression):
            return f"re /{_expression(expression)}/"
        case _:
            return test_words(field, test)


def _expression(expression: bytes) -> str:
    """Write a regular expression between slashes: those in it escaped, and what cannot be seen."""
    text = expression.decode("utf-8", "backslashreplace")
    text = re.sub(r"(?s)\\.|/", lambda found: r"\/" if found[0] == "/" else found[0], text)
    return _cut("".join(char if char.isprintable() else f"\\x{{{ord(char):x}}}" for char in text))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
