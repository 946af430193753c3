"""Rules that can never match, and outputs that never get what a rule would send them.

An earlier rule covers a later one if every packet that satisfies the later one satisfies the
earlier, and if it always decides then. It must hold as the packet stood when it came by: between
the two nothing may edit what it compares. The later rule then stands where no packet comes that it
would match.

`witness.py` finds the few pairs that are worth the question, `implies.py` answers it, `touched.py`
knows of edits. All of it is counted in steps: a table that is too entangled is left alone at some
point, never reported wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from hepsw.compiler.forest import Fork, Leaf, gather, outside
from hepsw.compiler.grow import Asking, Grower
from hepsw.compiler.implies import Formula, Literal, Prover, formula
from hepsw.compiler.keys import KeyReader, parts_of
from hepsw.compiler.touched import Touched
from hepsw.compiler.witness import may_hold, readings_of, witness
from hepsw.config.conditions import (
    All,
    Both,
    Condition,
    Equal,
    Exists,
    Has,
    Lacks,
    Negation,
    OneOf,
    Some,
    Test,
)
from hepsw.config.words import listed_words
from hepsw.pieces import let_go

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hepsw.compiler.witness import Readings
    from hepsw.config.configuration import Rule, Table
    from hepsw.fields import Field
    from hepsw.view import View

STEPS_PER_RULE: Final = 20
STEPS: Final = 20_000
"""What one table may take: so many steps for each rule, and so many besides. A step looks at one
pair of rules, at one value of a list, or tries one alternative of a question."""

NAMED: Final = 3
"""So many earlier rules are named."""


@dataclass(frozen=True, slots=True)
class Because:
    """What an earlier rule of the table has to do with it."""

    position: int
    text: str
    """Ends with the rule's path; who prints it adds the place."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something odd about one rule."""

    code: str
    table: str
    position: int
    """Of the rule, among those that are not switched off."""
    text: str
    where: tuple[str, ...] = ("name",)
    """What to point at: `match`, `match` and a field, `output` and its name, or `name`."""
    because: tuple[Because, ...] = ()
    hint: str | None = None


class Choice(NamedTuple):
    """A part of a condition that is a list of values, or of alternatives."""

    field: Field | None
    """None where it is alternatives."""
    values: tuple[Test, ...]
    """Of the list."""
    narrowed: Iterator[Formula]
    """The whole condition, with one of them at a time."""


class Reach:
    """Judges the rules of one table; `steps` tells what it took."""

    def __init__(self, table: Table, tables: Mapping[str, Table]) -> None:
        self.table = table
        self.steps = 0
        self.most_steps = STEPS_PER_RULE * len(table.rules) + STEPS
        self._judged = [_Judged(rule) for rule in table.rules]
        self._touched = Touched(table, tables)
        self._prover = Prover()
        reader = KeyReader()
        grower = Grower(
            [
                Asking(position, reader.wants(parts_of(rule.condition)))
                for position, rule in enumerate(table.rules)
            ]
        )
        self._root = grower.root
        self._slots = list(grower.slots.values())

    def let_go(self) -> None:
        """Forget the rules, a piece at a time; nothing can be asked any more."""
        let_go(self._judged)

    @property
    def listed(self) -> Sequence[int]:
        """Positions of the rules that no index leads to: every packet is tried on them."""
        return outside(self._root)

    def findings(self) -> Iterator[Finding]:
        """Yield what is odd, at most one thing of each rule.

        The questions that are cheap to answer come first, since the steps may not suffice for all.
        """
        left: Sequence[int] = [
            position for position, judged in enumerate(self._judged) if not judged.waits_for_a_set
        ]
        for judge in (self._unreachable, self._partly_unreachable, self._unsent):
            found = {position: judge(position) for position in left}
            yield from (finding for finding in found.values() if finding is not None)
            left = [position for position, finding in found.items() if finding is None]

    # --- rules that never match ---

    def _unreachable(self, position: int) -> Finding | None:
        judged = self._judged[position]
        if may_hold(judged.formula, judged.witness) is not True and self._contradict(
            judged.formula
        ):
            hint = "its conditions exclude each other"
            return self._finding("HEP301", position, "can never match", ("match",), hint=hint)
        by = self._cover(judged.formula, judged.witness, position)
        if by is not None:
            where, because = self._inside(position, by)
            return self._finding("HEP301", position, "can never match", where, because)
        return None

    def _partly_unreachable(self, position: int) -> Finding | None:
        judged = self._judged[position]
        for choice in _choices(judged.rule.condition):
            found = self._by_value(position, choice)
            if found is not None:
                return found
        return None

    def _by_value(self, position: int, choice: Choice) -> Finding | None:
        """Look at each value of a list, or at each alternative, by itself."""
        covers: list[int | None] = []
        for narrowed in choice.narrowed:
            self.steps += 1
            if self.steps > self.most_steps:
                return None
            covers.append(self._cover(narrowed, witness(narrowed), position))
            if choice.field is None and covers[-1] is None:
                return None
        by = list(dict.fromkeys(cover for cover in covers if cover is not None))
        if not by or self.steps > self.most_steps:
            return None
        hint = f"and {len(by) - NAMED} more rules" if len(by) > NAMED else None
        if choice.field is None:
            because = tuple(Because(at, f"taken by {self._path(at)}") for at in by[:NAMED])
            return self._finding(
                "HEP301", position, "can never match", ("match",), *because, hint=hint
            )
        field, where = choice.field, ("match", choice.field.name)

        def listed(cover: int | None) -> str:
            values = zip(choice.values, covers, strict=True)
            return listed_words(field, [value for value, its in values if its == cover])

        because = tuple(Because(at, f"{listed(at)} taken by {self._path(at)}") for at in by[:NAMED])
        if None not in covers:
            return self._finding("HEP301", position, "can never match", where, *because, hint=hint)
        reach = "reaches" if covers.count(None) == 1 else "reach"
        text = f"is half shadowed: of `{field.name}` only {listed(None)} still {reach} it"
        return self._finding("HEP302", position, text, where, *because, hint=hint)

    def _cover(self, wanted: Formula, readings: Readings, position: int) -> int | None:
        """Return the first rule that takes all that satisfies a formula before it comes here."""
        for earlier in self._candidates(readings, position):
            judged = self._judged[earlier]
            if not judged.takes_all:
                continue
            self.steps += 1
            if self.steps > self.most_steps:
                return None
            if (
                may_hold(judged.formula, readings) is not False
                and not self._touched.between(judged.fields, earlier + 1, position)
                and self._contradict(wanted, judged.negation)
            ):
                return earlier
        return None

    def _candidates(self, readings: Readings, end: int) -> Sequence[int]:
        """Return the rules before `end` that may hold for these values, in order."""
        if not isinstance(self._root, Fork):
            return range(end)
        found: list[int | Leaf] = []
        # Every slot is filled: there is no packet, and none is asked.
        gather(
            self._root,
            cast("View", None),
            [readings_of(field, readings) for field in self._slots],
            found,
        )
        leaves = (one if isinstance(one, tuple) else (one,) for one in found)
        return sorted({position for leaf in leaves for position in leaf if position < end})

    def _contradict(self, *formulas: Formula) -> bool:
        before = self._prover.steps
        answer = self._prover.contradict(formulas)
        self.steps += self._prover.steps - before
        return answer

    def _inside(self, position: int, by: int) -> tuple[tuple[str, ...], Because]:
        """Return the condition to point at, and what the earlier rule has that it lies in."""
        judged, earlier = self._judged[position], self._judged[by]
        path = self._path(by)
        if not earlier.fields:
            return ("name",), Because(by, f"every packet is taken by {path}")
        if earlier.rule.condition == judged.rule.condition:
            return ("match",), Because(by, f"the same as {path}")
        asked = _asked(judged.rule)
        wanted = {name: test for name, test in _asked(earlier.rule).items() if name in asked}
        fields = {field.name: field for field in judged.fields}
        for name, test in wanted.items():
            if test == asked[name]:
                continue
            inner = Literal(fields[name], asked[name], passes=True)
            for value in values_of(test):
                if self._contradict(inner, Literal(fields[name], value, passes=False)):
                    value_text = listed_words(fields[name], [value])
                    return ("match", name), Because(by, f"inside {value_text} of {path}")
        for name, test in wanted.items():
            return ("match", name), Because(
                by, f"{listed_words(fields[name], [test])} taken by {path}"
            )
        shared = [field.name for field in earlier.fields if field.name in fields]
        return ("match", *shared[:1]), Because(by, f"taken by {path}")

    # --- outputs that have the packet already ---

    @cached_property
    def _naming(self) -> dict[str, list[int]]:
        """By output, the rules that name it, match without fail and let the packet go on."""
        naming: dict[str, list[int]] = {}
        for position, judged in enumerate(self._judged):
            if not judged.rule.flow.decides and judged.always_matches:
                for name in judged.rule.outputs:
                    naming.setdefault(name, []).append(position)
        return naming

    def _unsent(self, position: int) -> Finding | None:
        """Find an output that has the packet already, as it stood before an edit."""
        judged = self._judged[position]
        for name in judged.rule.outputs:
            for at in self._naming.get(name, ()):
                if at >= position or self.steps > self.most_steps:
                    break
                self.steps += 1
                earlier = self._judged[at]
                if (
                    may_hold(earlier.formula, judged.witness) is not False
                    # Its own edits count: what it matched is not what comes here.
                    and not self._touched.between(earlier.fields, at, position)
                    and self._contradict(judged.formula, earlier.negation)
                    and self._is_edited(judged, at + 1, position)
                ):
                    return self._finding(
                        "HEP307",
                        position,
                        f"sends nothing to `{name}`, which has the packet as it was before an edit",
                        ("output", name),
                        Because(at, f"sent by {self._path(at)}"),
                        hint="an output gets a packet once",
                    )
        return None

    def _is_edited(self, judged: _Judged, first: int, position: int) -> bool:
        """Tell whether a packet that matches here may have been edited on its way, or is here."""
        if judged.rule.edits:
            return True
        for at in self._touched.positions:
            if first <= at < position and self.steps <= self.most_steps:
                self.steps += 1
                if not self._contradict(judged.formula, self._judged[at].formula):
                    return True
        return False

    # --- words ---

    def _path(self, position: int) -> str:
        return self._judged[position].rule.path

    def _finding(
        self,
        code: str,
        position: int,
        text: str,
        where: tuple[str, ...],
        *because: Because,
        hint: str | None = None,
    ) -> Finding:
        text = f"rule `{self._path(position)}` {text}"
        return Finding(code, self.table.name, position, text, where, because, hint)


class _Judged:
    """A rule with what is worked out of it, each thing at most once."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.always_matches = rule.sample is None and not (rule.limit and rule.limit.over_next)
        self.waits_for_a_set = any(_is_empty(test) for test in _tests_of(rule.condition))
        """It asks for a set with nothing in it, as a list of the banned may be today."""
        self.takes_all = (
            self.always_matches
            and not self.waits_for_a_set
            and rule.flow.decides
            # Both take what matches as well, and more or less of it besides: hard to explain.
            and rule.scope is None
            and rule.dedupe is None
        )

    @cached_property
    def formula(self) -> Formula:
        return formula(self.rule.condition)

    @cached_property
    def negation(self) -> Formula:
        return formula(self.rule.condition, negated=True)

    @cached_property
    def witness(self) -> Readings:
        return witness(self.formula)

    @cached_property
    def fields(self) -> list[Field]:
        """What it compares, each field once."""
        return list({field.name: field for field in _fields_of(self.rule.condition)}.values())


def _tests_of(condition: Condition) -> Iterator[Test]:
    match condition:
        case Has(_, test) | Lacks(_, test):
            yield test
        case All(parts) | Some(parts):
            for part in parts:
                yield from _tests_of(part)
        case Negation(part):
            yield from _tests_of(part)


def _is_empty(test: Test) -> bool:
    """Tell whether a test holds no value where it could: only a set may do so."""
    match test:
        case Equal(values):
            return not values
        case OneOf(tests) | Both(tests):
            return any(map(_is_empty, tests))
        case _:
            return False


def _fields_of(condition: Condition) -> Iterator[Field]:
    if isinstance(condition, (Has, Lacks, Exists)):
        yield condition.field
    elif isinstance(condition, Negation):
        yield from _fields_of(condition.part)
    else:
        for part in condition.parts:
            yield from _fields_of(part)


def _asked(rule: Rule) -> dict[str, Test]:
    """Return by field the tests that some value must pass."""
    parts = [part for part in parts_of(rule.condition) if isinstance(part, Has)]
    return {part.field.name: part.test for part in parts}


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


def _choices(condition: Condition) -> Iterator[Choice]:
    """Yield every part of a condition that is a list, or alternatives."""
    parts = parts_of(condition)
    for part in parts:
        if not isinstance(part, (Has, Some)):
            continue
        values = tuple(values_of(part.test)) if isinstance(part, Has) else ()
        ones: Sequence[Condition] = (
            [Has(part.field, value) for value in values] if isinstance(part, Has) else part.parts
        )
        if len(ones) > 1:
            rest = All(tuple(other for other in parts if other is not part))
            field = part.field if isinstance(part, Has) else None
            yield Choice(field, values, _narrowed(ones, rest))


def _narrowed(ones: Sequence[Condition], rest: Condition) -> Iterator[Formula]:
    # One at a time: the list may be long, and the first may be all that is looked at.
    for one in ones:
        yield formula(All((one, rest)))
