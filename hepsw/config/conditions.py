"""What a match block means: conditions on fields, as values without behaviour.

`match.py` makes them from TOML, the compiler makes code of them. A test looks at one value of a
field; a condition looks at the packet. Fields with several values match if one value passes (`Has`)
and are refused by `{ not }` if one does (`Lacks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hepsw.fields import Field, Value

# --- tests of one value --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Equal:
    """The value is one of these."""

    values: frozenset[Value]


@dataclass(frozen=True, slots=True)
class Between:
    """The number is in the range; both ends count."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Within:
    """The address is in the network: packed first and last address, of one family."""

    first: bytes
    last: bytes


@dataclass(frozen=True, slots=True)
class Starts:
    """The octets begin with these."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Ends:
    """The octets end with these."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Contains:
    """The octets have these somewhere."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Search:
    """The RE2 expression is found anywhere in the octets."""

    expression: bytes


@dataclass(frozen=True, slots=True)
class OneOf:
    """At least one of the tests passes."""

    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """All of the tests pass, on the same value."""

    tests: tuple[Test, ...]


Test = Equal | Between | Within | Starts | Ends | Contains | Search | OneOf | Both

# --- conditions on the packet --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Has:
    """A value of the field passes the test; false where the packet lacks the field."""

    field: Field
    test: Test


@dataclass(frozen=True, slots=True)
class Lacks:
    """The packet has the field, and no value of it passes the test."""

    field: Field
    test: Test


@dataclass(frozen=True, slots=True)
class Exists:
    """The packet has the field, or with `wanted` false, has not."""

    field: Field
    wanted: bool


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; without parts it always does."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold: plain negation, also of what is missing."""

    part: Condition


Condition = Has | Lacks | Exists | All | Some | Negation

ALWAYS = All(())
