"""Conditions as objects that a packet is put to: what the compiled tables hold.

`predicates.py` makes them of what an operator wrote, and works out whatever can be worked out
once. What is left for the packet is a read and a comparison. A `Check` looks at one value, a
`Predicate` at the packet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepsw.hep import _octets

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.fields.readers import Reader
    from hepsw.view import View

# --- tests of one value --------------------------------------------------------------------------


class Check:
    """A test of one value, which is of its field's kind: `match.py` has seen to that."""

    __slots__ = ()

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - octets, a number
        """Tell whether the value passes."""
        raise NotImplementedError

    def __call__(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return self.passes(value)


class IsOneOf(Check):
    """It is one of these."""

    __slots__ = ("_values",)

    def __init__(self, values: frozenset[Any]) -> None:
        self._values = values

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return value in self._values


class Is(Check):
    """It is this value: what `IsOneOf` does for one, which most rules ask for."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:  # noqa: ANN401 - as above
        self._value = value

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return bool(value == self._value)


class IsInRange(Check):
    """The whole number is in the range: what `IsBetween` does for fields of less than 64 bits.

    Compiled, both ends are in the object itself: with thousands of rules each object more is a wait
    for the memory.
    """

    __slots__ = ("_high", "_low")

    def __init__(self, low: int, high: int) -> None:
        self._low = low
        self._high = high

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        number: int = value
        return self._low <= number <= self._high


class IsInNetwork(Check):
    """The packed address is in the IPv4 network: what `IsWithin` does, with numbers."""

    __slots__ = ("_first", "_last")

    def __init__(self, first: bytes, last: bytes) -> None:
        self._first = int.from_bytes(first)
        self._last = int.from_bytes(last)

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        if len(value) != 4:
            return False
        number = _octets.number(value, 0, 4)
        return self._first <= number <= self._last


class IsBetween(Check):
    """The number is in the range."""

    __slots__ = ("_high", "_low")

    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._high = high

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return bool(self._low <= value <= self._high)


class IsWithin(Check):
    """The packed address is in the network: those of one family sort as the addresses do."""

    __slots__ = ("_first", "_last")

    def __init__(self, first: bytes, last: bytes) -> None:
        self._first = first
        self._last = last

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return len(value) == len(self._first) and self._first <= value <= self._last


class StartsWith(Check):
    """It begins with these octets."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return bool(value.startswith(self._octets))


class EndsWith(Check):
    """It ends with these octets."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return bool(value.endswith(self._octets))


class HasInside(Check):
    """It has these octets somewhere."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return self._octets in value


class Matches(Check):
    """An expression is found in it."""

    __slots__ = ("_search",)

    def __init__(self, search: Callable[[bytes], object]) -> None:
        self._search = search

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return self._search(value) is not None


class AnyCheck(Check):
    """One of the tests passes."""

    __slots__ = ("_checks",)

    def __init__(self, checks: tuple[Check, ...]) -> None:
        self._checks = checks

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        for check in self._checks:  # noqa: SIM110 - `any` would make a generator
            if check.passes(value):
                return True
        return False


class EveryCheck(Check):
    """All of the tests pass."""

    __slots__ = ("_checks",)

    def __init__(self, checks: tuple[Check, ...]) -> None:
        self._checks = checks

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        for check in self._checks:  # noqa: SIM110 - as above
            if not check.passes(value):
                return False
        return True


class OfType(Check):
    """The value is a text, or is none, and passes: what JSON holds is of any type."""

    __slots__ = ("_check", "_wants_text")

    def __init__(self, check: Check, *, wants_text: bool) -> None:
        self._check = check
        self._wants_text = wants_text

    def passes(self, value: Any) -> bool:  # noqa: ANN401 - as above
        return isinstance(value, bytes) is self._wants_text and self._check.passes(value)


# --- conditions on the packet --------------------------------------------------------------------


class Predicate:
    """A condition that holds for a packet, or does not."""

    __slots__ = ()

    def holds(self, view: View) -> bool:
        """Tell whether it holds."""
        raise NotImplementedError

    def __call__(self, view: View) -> bool:
        return self.holds(view)


class Always(Predicate):
    """Holds for every packet."""

    __slots__ = ()

    def holds(self, view: View) -> bool:  # noqa: ARG002 - whatever it is
        return True


class Among(Predicate):
    """The field is one of these: what `Passes` does, for the test that is most frequent."""

    __slots__ = ("_reader", "_values")

    def __init__(self, reader: Reader, values: frozenset[Any]) -> None:
        self._reader = reader
        self._values = values

    def holds(self, view: View) -> bool:
        reading = self._reader.read(view)
        if type(reading) is tuple:
            return not self._values.isdisjoint(reading)
        return reading in self._values  # None is in no set


class Passes(Predicate):
    """A value of the field passes the test; false where the packet lacks the field."""

    __slots__ = ("_check", "_reader")

    def __init__(self, reader: Reader, check: Check) -> None:
        self._reader = reader
        self._check = check

    def holds(self, view: View) -> bool:
        reading = self._reader.read(view)
        if reading is None:
            return False
        if type(reading) is tuple:
            for value in reading:  # noqa: SIM110 - `any` would make a generator
                if self._check.passes(value):
                    return True
            return False
        return self._check.passes(reading)


class PassesNot(Predicate):
    """The packet has the field, and no value of it passes the test."""

    __slots__ = ("_check", "_reader")

    def __init__(self, reader: Reader, check: Check) -> None:
        self._reader = reader
        self._check = check

    def holds(self, view: View) -> bool:
        reading = self._reader.read(view)
        if reading is None:
            return False
        if type(reading) is tuple:
            for value in reading:  # noqa: SIM110 - as above
                if self._check.passes(value):
                    return False
            return True
        return not self._check.passes(reading)


class Present(Predicate):
    """The packet has the field, or with `wanted` false, has not."""

    __slots__ = ("_reader", "_wanted")

    def __init__(self, reader: Reader, *, wanted: bool) -> None:
        self._reader = reader
        self._wanted = wanted

    def holds(self, view: View) -> bool:
        return (self._reader.read(view) is not None) is self._wanted


class Every(Predicate):
    """All parts hold."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[Predicate, ...]) -> None:
        self._parts = parts

    def holds(self, view: View) -> bool:
        for part in self._parts:  # noqa: SIM110 - as above
            if not part.holds(view):
                return False
        return True


class AnyOf(Predicate):
    """One part holds."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[Predicate, ...]) -> None:
        self._parts = parts

    def holds(self, view: View) -> bool:
        for part in self._parts:  # noqa: SIM110 - as above
            if part.holds(view):
                return True
        return False


class Not(Predicate):
    """The part does not hold."""

    __slots__ = ("_part",)

    def __init__(self, part: Predicate) -> None:
        self._part = part

    def holds(self, view: View) -> bool:
        return not self._part.holds(view)
