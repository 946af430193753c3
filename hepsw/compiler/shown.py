"""Tests as an operator would write them, for messages about rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

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
    from collections.abc import Iterator, Sequence

    from hepsw.fields import Field, Value

LISTED: Final = 8
"""So many values are named; of the others their number."""


def shown(field: Field, test: Test) -> str:
    """Return what a test asks of a value."""
    if field.name == "auth_key":
        return "a key"  # a secret, even where an operator wrote it
    match test:
        case Equal(values) if len(values) == 1:
            return _value(field, next(iter(values)))
        case Equal() | OneOf():
            return shown_list(field, list(values_of(test)))
        case Between(low, high):
            return f"{_value(field, low)}-{_value(field, high)}"
        case Within(first, last):
            differ = int.from_bytes(first) ^ int.from_bytes(last)
            return f"{_value(field, first)}/{8 * len(first) - differ.bit_length()}"
        case Starts(octets):
            return f"prefix {_text(octets)}"
        case Ends(octets):
            return f"suffix {_text(octets)}"
        case Contains(octets):
            return f"contains {_text(octets)}"
        case Search(expression):
            return f"re {_text(expression)}"
        case Both(tests):
            return " and ".join(shown(field, part) for part in tests)
        case _:
            assert_never(test)


def shown_list(field: Field, tests: Sequence[Test]) -> str:
    """Return the first of several tests, and how many more there are."""
    text = ", ".join(shown(field, test) for test in tests[:LISTED])
    return text if len(tests) <= LISTED else f"{text} and {len(tests) - LISTED} more"


def values_of(test: Test) -> Iterator[Test]:
    """Yield the values of a list one by one; anything else is itself."""
    match test:
        case Equal(values):
            # By type first: a JSON field may have texts and numbers in one list.
            for value in sorted(values, key=lambda value: (isinstance(value, bytes), value)):
                yield Equal(frozenset({value}))
        case OneOf(tests):
            for part in tests:
                yield from values_of(part)
        case _:
            yield test


def _value(field: Field, value: Value) -> str:
    if isinstance(value, bytes) and field.kind is not Kind.IP:
        return _text(value)
    return field.render(value).decode("utf-8", "backslashreplace")


def _text(octets: bytes) -> str:
    return '"' + octets.decode("utf-8", "backslashreplace") + '"'
