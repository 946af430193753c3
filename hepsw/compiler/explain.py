"""Why a condition holds for a packet or not: the clause at fault, what decides, and the way out.

`hepsw.simulator.explain` asks this of every rule that a packet met. A clause is what must hold
among others: a condition without its `all`s. Each is tried by the very code that the tables run
(`predicates.py`); what is worked out here is only what that code does not say.

Three answers:

- `failing`: the clauses that are not met. One of several is a near miss.
- `judged`: whether a condition holds, and fields that suffice for it: as long as they stay as they
  are, whatever else changes, it comes out the same.
- `flips`: single fields with values under which it comes out the other way. They are guesses made
  of the tests themselves; who asks tries them on the engine.
"""

from __future__ import annotations

import math
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.compiler.keys import parts_of
from hepsw.compiler.predicates import check_of, predicate
from hepsw.compiler.witness import samples
from hepsw.config.conditions import (
    All,
    Between,
    Both,
    Condition,
    Equal,
    Exists,
    Has,
    Lacks,
    Negation,
    OneOf,
    Search,
    Some,
    Test,
)
from hepsw.config.words import MOST_VALUES, value_words
from hepsw.fields import CATALOGUE, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hepsw.compiler.checks import Check, Predicate
    from hepsw.fields import Field, Reading, Value
    from hepsw.view import View

VALUES: Final = 2
"""So many values are thought of for one test of one field."""

FLIPS: Final = 8
"""So many changes are thought of for one clause; a list of a thousand alternatives has no more."""

Fields = dict[str, "Field"]
"""Fields by their names, in the order in which they were met."""


class Clause(NamedTuple):
    """One of the conditions that must all hold."""

    condition: Condition
    holds: Predicate


class Judged(NamedTuple):
    """What came of a condition."""

    holds: bool
    fields: Fields
    """They suffice for it: no other field can change it."""


class Flip(NamedTuple):
    """A field with a reading under which a condition would come out the other way."""

    field: Field
    reading: Reading
    """None: without the field."""


def clauses(condition: Condition, holds: Predicate) -> tuple[Clause, ...]:
    """Take a condition apart into what must all hold; `always` has no clauses.

    Args:
        condition: of a rule.
        holds: the code of the whole, which is that of a single clause too.
    """
    parts = parts_of(condition)
    if len(parts) == 1:
        return (Clause(parts[0], holds),)
    return tuple(Clause(part, predicate(part)) for part in parts)


def failing(asked: Iterable[Clause], view: View) -> list[Condition]:
    """Return the clauses that a packet does not meet, in their order."""
    return [clause.condition for clause in asked if not clause.holds(view)]


def judged(condition: Condition, view: View) -> Judged:
    """Tell whether a condition holds, and which fields suffice to say so.

    Where one of several parts would do, the one that needs the fewest fields is named.
    """
    match condition:
        case Has(field) | Lacks(field) | Exists(field):
            return Judged(predicate(condition)(view), {field.name: field})
        case Negation(part):
            inner = judged(part, view)
            return Judged(not inner.holds, inner.fields)
        case All(parts) | Some(parts):
            decides = isinstance(condition, Some)
            found = [judged(part, view) for part in parts]
            deciding = [part.fields for part in found if part.holds is decides]
            if deciding:
                return Judged(decides, min(deciding, key=len))
            return Judged(not decides, merged(part.fields for part in found))


def deciding(condition: Condition, view: View) -> Fields:
    """Return fields that suffice for what came of a condition, as `judged` does."""
    if isinstance(condition, (Has, Lacks, Exists)):
        return {condition.field.name: condition.field}
    return judged(condition, view).fields


def merged(several: Iterable[Fields]) -> Fields:
    """Return all fields of some."""
    return dict(chain.from_iterable(fields.items() for fields in several))


def fields_of(condition: Condition) -> Fields:
    """Return every field that a condition asks for."""
    match condition:
        case Has(field) | Lacks(field) | Exists(field):
            return {field.name: field}
        case Negation(part):
            return fields_of(part)
        case All(parts) | Some(parts):
            return merged(map(fields_of, parts))


def there(fields: Iterable[Field], view: View) -> str:
    """Write what a packet has in some fields: `src_ip is 203.0.113.9, dst_ip missing`."""
    ends = chain.from_iterable(
        (CATALOGUE[name] for name in field.made_of) if field.made_of else (field,)
        for field in fields
    )
    return ", ".join(_there(field, view) for field in {end.name: end for end in ends}.values())


def _there(field: Field, view: View) -> str:
    reading = field.read(view)
    if reading is not None:
        return f"{field.name} is {reading_words(field, reading)}"
    unread = field.name.startswith("sip.") and view.sip is None
    return f"{field.name} missing{' (not read as SIP)' if unread else ''}"


def reading_words(field: Field, reading: Reading) -> str:
    """Write all values of a field, or that it is missing."""
    if reading is None:
        return "missing"
    values = reading if isinstance(reading, tuple) else (reading,)
    written = [value_words(field, value) for value in values[:MOST_VALUES]]
    if len(values) > MOST_VALUES:
        written.append(f"… and {len(values) - MOST_VALUES} more")
    return ", ".join(written)


# --- the way out ---------------------------------------------------------------------------------


def flips(condition: Condition, view: View) -> list[Flip]:
    """Return single changes that probably turn a condition over; without any, it takes several."""
    return list(islice(_flips(condition, view, wanted=not judged(condition, view).holds), FLIPS))


def _flips(condition: Condition, view: View, *, wanted: bool) -> Iterator[Flip]:
    """Yield changes after which a condition is as wanted, which it is not now."""
    match condition:
        case Has(field, test):
            yield from _to_pass(field, test, view) if wanted else _to_fail(field, test, view)
        case Lacks(field, test):
            if wanted:
                yield from _others(field, test, view)
            else:
                yield from _to_pass(field, test, view)
                yield from _without(field, view)
        case Exists(field, present):
            if present is wanted:
                for value in samples(field, None)[:VALUES]:
                    yield Flip(_ends(field)[0], value)
            else:
                yield from _without(field, view)
        case Negation(part):
            yield from _flips(part, view, wanted=not wanted)
        case All(parts) | Some(parts):
            one_is_enough = isinstance(condition, Some) is wanted
            others = [part for part in parts if judged(part, view).holds is not wanted]
            if one_is_enough or len(others) == 1:
                for part in others:
                    yield from islice(_flips(part, view, wanted=wanted), FLIPS // 2)


def _to_pass(field: Field, test: Test, view: View) -> Iterator[Flip]:
    values = [value for value in _passing(field, test) if _fits(field, value)]
    reading = field.read(view)
    # An address of the other family turns more than one chunk over: it comes last.
    if field.kind is Kind.IP and reading is not None:
        one = reading[0] if isinstance(reading, tuple) else reading
        values.sort(key=lambda value: _size(value) != _size(one))
    for value in values[:VALUES]:
        for end in _ends(field):
            yield Flip(end, value)


def _to_fail(field: Field, test: Test, view: View) -> Iterator[Flip]:
    yield from _others(field, test, view)
    passes = check_of(field, test)
    at_fault = [end for end in _ends(field) if _passes(passes, end.read(view))]
    if len(at_fault) == 1:  # else both ends would have to change
        yield Flip(at_fault[0], None)


def _without(field: Field, view: View) -> Iterator[Flip]:
    """Yield what removes a field, where just one end has it."""
    known = [end for end in _ends(field) if end.read(view) is not None]
    if len(known) == 1:
        yield Flip(known[0], None)


def _others(field: Field, test: Test, view: View) -> Iterator[Flip]:
    """Yield values that do not pass a test, in place of the one that does."""
    passes = check_of(field, test)
    at_fault = [end for end in _ends(field) if _passes(passes, end.read(view))]
    if len(at_fault) > 1:
        return
    end = at_fault[0] if at_fault else _ends(field)[0]
    fitting = (
        value
        for value in _near(end, test, end.read(view))
        if _fits(end, value) and not _passes(passes, value)
    )
    yield from (Flip(end, value) for value in islice(fitting, VALUES))


def _passing(field: Field, test: Test) -> list[Value]:
    """Return values that do pass a test: its own, and the text that an expression consists of."""
    passes = check_of(field, test)
    plain = [part for part in _searches(test) if part]
    return [value for value in [*samples(field, test), *plain] if _passes(passes, value)]


def _searches(test: Test) -> Iterator[bytes]:
    match test:
        case Search(expression):
            yield expression.removeprefix(b"(?i)").removeprefix(b"^").removesuffix(b"$")
        case OneOf(tests) | Both(tests):
            for part in tests[:FLIPS]:
                yield from _searches(part)


def _passes(passes: Check, reading: Reading) -> bool:
    if reading is None:
        return False
    values = reading if isinstance(reading, tuple) else (reading,)
    return any(passes(value) for value in values)


_ADDRESSES: Final = {
    4: (bytes([192, 0, 2, 1]), bytes([198, 51, 100, 1]), bytes([203, 0, 113, 1])),
    16: (b"\x20\x01\x0d\xb8" + bytes(11) + b"\1", b"\x20\x01\x0d\xb8\xff\xff" + bytes(9) + b"\1"),
}
"""Addresses that are nobody's: RFC 5737 and 3849."""


_USUAL: Final = (1, 5, 100)
"""Payload types that most agents send: SIP, RTCP, log."""


def _near(field: Field, test: Test, reading: Reading) -> Iterator[Value]:
    """Yield values next to what a test asks for, then any others."""
    now = reading[0] if isinstance(reading, tuple) else reading
    if field.words:
        yield from (word.encode() for word in field.words)
        return
    if field.kind is Kind.IP:
        sizes = [_size(now)] if isinstance(now, bytes) else [4]
        for size in sizes:
            yield from _ADDRESSES.get(size, ())
    elif field.names is not None:
        yield from (*_USUAL, *sorted(set(field.names.values())))
    elif field.kind in {Kind.TEXT, Kind.OCTETS} or isinstance(now, bytes):
        yield from (b"other", b"another", b"")
    else:
        for low, high in _bounds(test):
            yield from (_step(high, 1), _step(low, -1))
        if isinstance(now, (int, float)):
            yield from (now + 1, now - 1)
        yield from (0, 1, 2)


def _bounds(test: Test) -> Iterator[tuple[float, float]]:
    match test:
        case Between(low, high):
            yield low, high
        case Equal(values):
            numbers = [value for value in values if isinstance(value, (int, float))]
            if numbers:
                yield min(numbers), max(numbers)
        case OneOf(tests) | Both(tests):
            for part in tests[:FLIPS]:
                yield from _bounds(part)
        case _:
            return


def _step(number: float, by: int) -> float:
    """Return the next whole number; of a fraction, in the direction of the step."""
    if isinstance(number, int) or math.isinf(number):
        return number + by
    return float(math.floor(number) + 1 if by > 0 else math.ceil(number) - 1)


def _ends(field: Field) -> list[Field]:
    return [CATALOGUE[name] for name in field.made_of] or [field]


def _size(value: object) -> int:
    return len(value) if isinstance(value, bytes) else 0


def _fits(field: Field, value: Value) -> bool:
    """Tell whether a field can have a value."""
    match field.kind:
        case Kind.NUMBER:
            return isinstance(value, int) and 0 <= value <= field.largest
        case Kind.TIME | Kind.MAC:
            return isinstance(value, int) and 0 <= value < 1 << 64
        case Kind.DECIMAL:
            return not isinstance(value, bytes) and math.isfinite(value)
        case Kind.JSON:
            return isinstance(value, bytes) or math.isfinite(value)
        case _:
            return isinstance(value, bytes) and field.octets in {0, len(value)}
