"""One table, compiled: which of its rules match a view, in the order in which they were written.

`first` is the door that packets take, `walk` the same for whoever wants all rules. What stands
behind them must meet the same rules in the same order as reading the table from top to bottom
(`tests/oracle.py` does just that), only without looking at most of them.

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

from heapq import merge
from typing import TYPE_CHECKING, Any

from hepsw.compiler import forest
from hepsw.compiler.edits import Edits
from hepsw.compiler.forest import UNREAD, Fork, furnish
from hepsw.compiler.grow import Asking, Grower
from hepsw.compiler.keys import KeyReader, parts_of
from hepsw.compiler.predicates import check_of, every, predicate
from hepsw.config.conditions import Has
from hepsw.config.configuration import Flow
from hepsw.fields.readers import reader_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hepsw.compiler.checks import Check, Predicate
    from hepsw.config.conditions import Condition
    from hepsw.config.configuration import Rule, Table
    from hepsw.fields import Reading
    from hepsw.view import View


class Branch:
    """A rule as the walk meets it: what it tests is code, what it does is data."""

    __slots__ = (
        "condition",
        "continues",
        "drops",
        "edits",
        "flow",
        "goes_on",
        "has_more",
        "is_gated",
        "is_quiet",
        "left",
        "log",
        "outputs",
        "path",
        "position",
        "rule",
        "scoped",
        "target",
    )

    def __init__(self, position: int, rule: Rule, outputs: tuple[str, ...]) -> None:
        self.position = position
        """In file order."""
        self.left: Left | None = None
        """What remains to be tested of it where an index has found it; None: being found says all.
        """
        self.path = rule.path
        """`table/name`."""
        self.condition: Predicate | None = None
        """What it tests, made when it is first asked for: an index asks by other means."""
        self.scoped = rule.scope is not None
        """It matches what it matched before as well: a candidate for every packet."""
        self.is_gated = any((rule.scope, rule.sample, rule.dedupe, rule.limit))
        """Whether more than conditions decides if it matches: scope, sample, dedupe or limit."""
        self.edits = Edits(rule.edits) if rule.edits else None
        self.log = rule.log
        self.outputs = outputs
        self.has_more = any(
            (rule.counts, rule.observes, rule.output_maps, rule.traces, rule.trace_maps)
        )
        """Whether it counts, or names outputs by maps or traces."""
        self.is_quiet = not (rule.edits or rule.log is not None or self.has_more)
        """Whether all that it does is to name outputs, as most rules do."""
        self.flow = rule.flow
        self.continues = rule.flow is Flow.CONTINUE
        self.drops = rule.flow is Flow.DROP
        self.goes_on = rule.flow in {Flow.GOTO, Flow.RESUME, Flow.CALL}
        """Whether another table follows."""
        self.target = rule.target
        self.rule = rule
        """As it was written; what only some rules have is read there."""

    def holds(self, view: View) -> bool:
        """Tell whether its conditions hold. A walk has asked, unless the rule is `scoped`."""
        return self.whole().holds(view)

    def whole(self) -> Predicate:
        """Return all that it tests."""
        if self.condition is None:
            self.condition = predicate(self.rule.condition)
        return self.condition


class Left:
    """What remains to be tested of a rule that was found."""

    __slots__ = ("check", "more", "others", "slot")

    def __init__(
        self, slot: int, check: Check | None, more: Left | None, others: Predicate | None
    ) -> None:
        # A chain and no tuples: with thousands of rules, each object is a wait for the memory.
        self.slot = slot
        """Of the reading that is tested first."""
        self.check = check
        """None where no reading is tested."""
        self.more = more
        """What is tested then."""
        self.others = others
        """What has to look at the view itself."""


class Found:
    """What a tree has looked up for a view: who goes on after a match looks nothing up again."""

    __slots__ = ("last", "readings", "rest", "tree", "view")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Let go of the view."""
        self.tree: Tree | None = None
        self.view: View | None = None
        self.readings: list[Reading] | None = None
        self.rest: Iterator[Branch] | None = None
        """Rules that were not looked at yet."""
        self.last = -1
        """The position that was looked at last."""


class Tree:
    """A compiled table."""

    __slots__ = (
        "_branches",
        "_fields",
        "_readers",
        "_root",
        "is_scoped",
        "miss",
        "miss_maps",
        "name",
    )

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.miss = table.miss
        """Outputs of what no rule decides; none means it is dropped."""
        # Rules that name the same outputs share them: one thing less that is somewhere else.
        outputs: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._branches = tuple(
            Branch(position, rule, outputs.setdefault(rule.outputs, rule.outputs))
            for position, rule in enumerate(table.rules)
        )
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
        self._readers = tuple(reader_of(field.read) for field in grower.slots.values())
        if self._root is not None:
            furnish(self._root, self._branches)
            for at, its_parts in enumerate(parts):
                settled = grower.settled_of(at)
                left = [part for n, part in enumerate(its_parts) if n not in settled]
                self._branches[at].left = _left(left, self._fields)

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
        found = Found()
        branch = self.first(view, start, found)
        while branch is not None:
            yield branch
            branch = self.first(view, branch.position + 1, found)

    def first(self, view: View, start: int, found: Found) -> Branch | None:
        """Return the first rule that matches, or has a scope, from a position on; None without.

        Args:
            view: the packet.
            start: the first position to look at.
            found: the caller's; it keeps what was looked up for the next call.
        """
        if self._root is None:
            while start < len(self._branches):
                branch = self._branches[start]
                if branch.scoped or branch.whole().holds(view):
                    return branch
                start += 1
            return None
        if found.view is not view or found.tree is not self or start <= found.last:
            found.view = view
            found.tree = self
            found.last = -1
            found.readings = [UNREAD] * len(self._fields)
            found.rest = iter(self._candidates(view, found.readings))
        for branch in found.rest:  # type: ignore[union-attr] # made above
            # A rule is found twice where two values of one field lead to it.
            if branch.position < start or branch.position == found.last:
                continue
            found.last = branch.position
            if branch.left is None or self._holds(branch.left, view, found.readings):  # type: ignore[arg-type] # as above
                return branch
        return None

    def _holds(self, left: Left | None, view: View, readings: list[Reading]) -> bool:
        """Tell whether what is left to be tested of a rule holds."""
        assert left is not None  # noqa: S101 - asked by the caller
        others = left.others
        while left is not None and left.check is not None:
            reading = readings[left.slot]
            if reading is UNREAD:
                reader = self._readers[left.slot]
                reading = readings[left.slot] = reader.read(view)
            if reading is None:
                return False
            if type(reading) is tuple:
                if not _any_passes(left.check, reading):
                    return False
            elif not left.check.passes(reading):
                return False
            left = left.more
        return others is None or others.holds(view)

    def candidates(self, view: View, start: int = 0) -> Iterable[int]:
        """Return the positions of the rules that a walk would test, in order; some come twice."""
        if self._root is None:
            return range(start, len(self._branches))
        readings: list[Reading] = [UNREAD] * len(self._fields)
        found = [branch.position for branch in self._candidates(view, readings)]
        return [position for position in found if position >= start]

    def _candidates(self, view: View, readings: list[Reading]) -> Iterable[Branch]:
        """Return the rules that a view may match, in order; some come twice."""
        found: list[Any] = []
        forest.gather(self._root, view, readings, found)  # type: ignore[arg-type] # asked before
        if len(found) < 2 and not (found and type(found[0]) is tuple):
            return found
        merged: list[Branch] = []
        for one in found:
            if type(one) is tuple:
                return merge(*map(_leaf, found), key=_position)
            # There are two or three: nothing sorts them faster.
            at = len(merged)
            while at and _stands_behind(merged[at - 1], one):
                at -= 1
            merged.insert(at, one)
        return merged


def _leaf(found: Any) -> tuple[Branch, ...]:  # noqa: ANN401 - a rule, or many in order
    return found if isinstance(found, tuple) else (found,)


def _position(branch: Branch) -> int:
    return branch.position


def _stands_behind(one: Branch, other: Branch) -> bool:
    return one.position > other.position


def _any_passes(check: Check, values: tuple[Any, ...]) -> bool:
    for value in values:  # noqa: SIM110 - `any` would make a generator
        if check.passes(value):
            return True
    return False


def _left(parts: list[Condition], fields: tuple[str, ...]) -> Left | None:
    """Return how to test parts that must all hold: first those on readings, then the others."""
    tests: list[tuple[int, Check]] = []
    others: list[Predicate] = []
    for part in parts:
        if isinstance(part, Has) and part.field.name in fields:
            tests.append((fields.index(part.field.name), check_of(part.field, part.test)))
        else:
            others.append(predicate(part))
    if not tests and not others:
        return None
    rest = every(others) if others else None
    left: Left | None = None
    for at in range(len(tests) - 1, -1, -1):
        left = Left(*tests[at], left, None if at else rest)
    return left or Left(-1, None, None, rest)
