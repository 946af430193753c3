"""One table, compiled: which of its rules match a view, in the order in which they were written.

`walk` is the only door. What stands behind it must meet the same rules in the same order as reading
the table from top to bottom (`tests/oracle.py` does just that), only without looking at most of
them.

A table of a few rules is read from top to bottom indeed: nothing is faster. A larger one becomes a
tree of indexes. A plain decision tree, one field a level, would have to copy each rule that does
not ask for that field under every value of it; tables mix networks, ports, capture ids and names of
agents, so that with 10,000 rules nearly every rule would be copied thousands of times. Here a node
may look into several indexes instead, one a field, and each rule stands in only one of them: the
one on which it has the fewest neighbours. Rules that meet under one value are separated further by
the other fields. What asks for nothing that can be indexed (an expression, a negation) stays in a
list beside the indexes and is tried in its turn.

So a packet costs one look-up for each field that the table is split by, however many rules there
are, and then the test of the few rules found, merged into file order. An index says no more than
"not elsewhere": a rule found is still tested, without the parts that being found has settled. That
keeps the rare cases easy:

- a packet without the field finds none of the index's rules, as `Has` is false of what is missing;
- a field with several values (`ip`, `port`) is looked up once for each, and a rule found twice is
  yielded once;
- after an edit the switch asks again with the new view, which is looked up afresh. Conditions on
  edited fields need no special place.

`keys.py` says what can be indexed, `grow.py` how the fields are chosen and why memory is bounded,
`forest.py` is what runs for each packet.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING, Final

from hepsw.compiler.forest import UNREAD, Fork, Leaf, gather
from hepsw.compiler.grow import Asking, Grower
from hepsw.compiler.keys import KeyReader, parts_of
from hepsw.compiler.predicates import check_of, predicate
from hepsw.config.conditions import All, Has

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hepsw.compiler.predicates import Check, Predicate
    from hepsw.config.conditions import Condition
    from hepsw.config.configuration import Edit, Flow, Rule, RuleLog, Table
    from hepsw.fields import Reading
    from hepsw.view import View

    Left = tuple[tuple[tuple[int, Check], ...], Predicate | None]
    """Tests of readings, each with its slot, and what has to look at the view itself."""

LONG: Final = 64
"""A list longer than this is not sorted in with the others: the first match may come early."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A rule as the walk meets it: what it tests is code, what it does is data."""

    position: int
    """In file order."""
    path: str
    """`table/name`."""
    holds: Predicate
    """Whether its conditions hold. The walk has asked, unless the rule is `scoped`."""
    scoped: bool
    """It matches what it matched before as well: a candidate for every packet."""
    is_gated: bool
    """Whether more than conditions decides if it matches: scope, sample, dedupe or limit."""
    edits: tuple[Edit, ...]
    log: RuleLog | None
    outputs: tuple[str, ...]
    has_more: bool
    """Whether it counts, or names outputs by maps or traces."""
    flow: Flow
    target: str
    rule: Rule
    """As it was written; what only some rules have is read there."""


class Tree:
    """A compiled table."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.miss = table.miss
        """Outputs of what no rule decides; none means it is dropped."""
        self._branches = tuple(_branch(position, rule) for position, rule in enumerate(table.rules))
        self.is_scoped = any(branch.scoped for branch in self._branches)
        """Whether calls are remembered here."""
        self.miss_maps = table.miss_maps
        # A rule with a scope is met by every packet: only the switch knows which calls it holds.
        parts = [[] if rule.scope is not None else parts_of(rule.condition) for rule in table.rules]
        reader = KeyReader()
        grower = Grower([Asking(at, reader.wants(its_parts)) for at, its_parts in enumerate(parts)])
        self._root = grower.root if isinstance(grower.root, Fork) else None
        """None where the rules are tried one by one."""
        self._fields = tuple(grower.slots)
        """The fields looked at; a walk keeps their readings in this order."""
        self._reads = tuple(field.read for field in grower.slots.values())
        self._left: list[Left] = []
        """By position, what remains to be tested of a rule that was found."""
        if self._root is not None:
            self._left = [
                _left(
                    [part for n, part in enumerate(its_parts) if n not in grower.settled_of(at)],
                    self._fields,
                )
                for at, its_parts in enumerate(parts)
            ]

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All rules, in order."""
        return self._branches

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the tree is split by; none where the rules are tried one by one."""
        return self._fields

    def walk(self, view: View, start: int = 0) -> Iterator[Branch]:
        """Yield the rules that match, in order, and those with a scope, whether they do or not.

        Args:
            view: the packet; who edits it asks anew with the new view and the next position.
            start: the first position to look at.
        """
        branches = self._branches
        if self._root is None:
            for branch in branches[start:] if start else branches:
                if branch.scoped or branch.holds(view):
                    yield branch
            return
        readings: list[Reading] = [UNREAD] * len(self._fields)
        left = self._left
        last = -1
        for position in self._candidates(self._root, view, readings, start):
            if position == last:
                continue  # found by two values of one field
            last = position
            tests, holds = left[position]
            for slot, passes in tests:
                reading = readings[slot]
                if reading is UNREAD:
                    reading = readings[slot] = self._reads[slot](view)
                if reading is None:
                    break
                if type(reading) is tuple:
                    if not any(map(passes, reading)):
                        break
                elif not passes(reading):
                    break
            else:
                if holds is None or holds(view):
                    yield branches[position]

    def candidates(self, view: View, start: int = 0) -> Iterable[int]:
        """Return the positions of the rules that a walk would test, in order; some come twice."""
        if self._root is None:
            return range(start, len(self._branches))
        return self._candidates(self._root, view, [UNREAD] * len(self._fields), start)

    def _candidates(
        self, root: Fork, view: View, readings: list[Reading], start: int
    ) -> Iterable[int]:
        found: list[Leaf] = []
        gather(root, view, readings, found)
        if start:
            found = [leaf[bisect_left(leaf, start) :] for leaf in found]
        if len(found) == 1:
            return found[0]
        merged: list[int] = []
        for leaf in found:
            if len(leaf) > LONG:
                return merge(*found)
            merged += leaf
        merged.sort()
        return merged


def _left(parts: list[Condition], fields: tuple[str, ...]) -> Left:
    """Return how to test parts that must all hold: first those on readings, then the others."""
    tests: list[tuple[int, Check]] = []
    others: list[Condition] = []
    for part in parts:
        if isinstance(part, Has) and part.field.name in fields:
            tests.append((fields.index(part.field.name), check_of(part.field, part.test)))
        else:
            others.append(part)
    return tuple(tests), predicate(All(tuple(others))) if others else None


def _branch(position: int, rule: Rule) -> Branch:
    return Branch(
        position=position,
        path=rule.path,
        holds=predicate(rule.condition),
        scoped=rule.scope is not None,
        is_gated=any((rule.scope, rule.sample, rule.dedupe, rule.limit)),
        edits=rule.edits,
        log=rule.log,
        outputs=rule.outputs,
        has_more=any((rule.counts, rule.observes, rule.output_maps, rule.traces, rule.trace_maps)),
        flow=rule.flow,
        target=rule.target,
        rule=rule,
    )
