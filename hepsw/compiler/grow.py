"""Growing the indexes of one table.

A node takes rules and chooses the fields that separate them. Each rule goes into the index of one
field only, the one on which it has the fewest neighbours; what asks nothing of the chosen fields
stays in a list beside them. What ends up under one value is a node again, grown by the other
fields.

The choice weighs tests against look-ups. In a list a packet meets half of the rules before one
matches, or all of them if none does; under a value it meets half of the rule's neighbours there,
taking each rule to be hit equally often. Fields are taken greedily, the one that saves most first,
as long as it saves more than looking into one more index costs.

Ranges and networks make a segment tree: the ends of all of them cut the values into segments, a
range is noted at no more than 2 log2 n nodes, and a segment's rules are those on its way to the
root. Small ones are copied into the segment (`COPIED` at most), so n networks, however deeply
nested, take O(n log n) time and memory.

Growing is bounded as a whole, in memory and in time. Every place at which a rule is noted comes out
of an allowance of `PLACES_PER_RULE` places a rule, and every value that is weighed for a choice out
of another of the same size. A rule for which they do not suffice, because of long lists within long
lists, stays in the list of its node.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hepsw.compiler.forest import Fork, Index, Leaf, Node, Ranges
from hepsw.compiler.keys import after, domain_of
from hepsw.fields import Kind
from hepsw.fields.readers import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hepsw.compiler.keys import Keys, Want
    from hepsw.fields import Field, Value

SMALL: Final = 8
"""So many rules are tried one by one: looking anything up would cost as much."""

LISTED: Final = 0.6
FOUND: Final = 0.5
"""What a rule in a list costs a packet, in tests: half of what stands there is met before a rule
matches, and one packet in ten matches none. Under a value, half of it is met."""

INDEX_COST: Final = 4.0
"""What it costs to look into an index, in tests of a rule; `bench/rules.py` shows both."""

IPV4: Final = 4
"""Octets of an address, which is also its domain."""
BITS: Final = 32
"""Of the numbers that are searched as such."""

COPIED: Final = 16
"""A segment holds so many rules itself; with more, it points to the nodes on its way."""

OWN_NODE: Final = 32
"""So many rules that ask the same get a node of their own, shared by all values they name."""

PLACES_PER_RULE: Final = 64
PLACES: Final = 65_536
"""The allowance of the whole table: so many places for each rule, and so many besides."""


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """One rule and what it asks of fields, by their names."""

    position: int
    wants: Mapping[str, Want]


class Grower:
    """Grows one table; afterwards `settled_of` says what need not be tested any more."""

    def __init__(self, rules: Sequence[Asking]) -> None:
        self.slots: dict[str, Field] = {}
        """The fields that some index looks at; their order numbers the slots of a walk."""
        self._settled: dict[int, frozenset[int]] = {}
        self._allowance = self._patience = PLACES_PER_RULE * len(rules) + PLACES
        self.root = self._grow(rules, ())

    def settled_of(self, position: int) -> frozenset[int]:
        """Return the parts of a rule that hold wherever the rule was found."""
        return self._settled.get(position, frozenset())

    def _grow(self, rules: Sequence[Asking], path: tuple[str, ...]) -> Node:
        """Grow a node of rules, in order; `path` names the fields looked at on the way to it."""
        if len(rules) <= SMALL:
            return self._leaf(rules, path)
        chosen = self._affordable(_choose(self._weighable(rules, path), len(rules)))
        if not chosen:
            return self._leaf(rules, path)
        placed = {rule.position for members in chosen.values() for rule in members}
        rest = [rule for rule in rules if rule.position not in placed]
        return Fork(
            leaves=(self._leaf(rest, path),) if rest else (),
            forks=(),
            indexes=tuple(self._index(name, members, path) for name, members in chosen.items()),
        )

    def _leaf(self, rules: Sequence[Asking], path: tuple[str, ...]) -> Leaf:
        for rule in rules:
            settled = frozenset(rule.wants[name].part for name in path)
            # Elsewhere it may be found by fewer fields: only what every way to it tells is settled.
            self._settled[rule.position] = self._settled.get(rule.position, settled) & settled
        return tuple(rule.position for rule in rules)

    def _weighable(self, rules: Sequence[Asking], path: tuple[str, ...]) -> dict[str, list[Asking]]:
        """Return by field the rules that ask something of it; long lists only while it lasts."""
        asking: dict[str, list[Asking]] = {}
        sizes: dict[Keys, int] = {}
        for rule in rules:
            for name, want in rule.wants.items():
                if name not in path:
                    asking.setdefault(name, []).append(rule)
                    sizes[want.keys] = len(want.keys)
        total = sum(sizes.values())
        if total > self._patience:
            total = 0
            weighed = set()
            for keys in sorted(sizes, key=sizes.__getitem__):
                if total + sizes[keys] > self._patience:
                    break
                total += sizes[keys]
                weighed.add(keys)
            few = {
                name: [rule for rule in members if rule.wants[name].keys in weighed]
                for name, members in asking.items()
            }
            asking = {name: members for name, members in few.items() if members}
        self._patience -= total
        return asking

    def _affordable(self, chosen: dict[str, list[Asking]]) -> dict[str, list[Asking]]:
        """Leave out rules that the allowance does not suffice for, and take the others from it."""
        afforded: dict[str, list[Asking]] = {}
        for name, members in chosen.items():
            groups = _groups(name, members)
            price = 2 * (2 * sum(len(keys.ranges) for keys in groups) + 1).bit_length()
            costs = {
                keys: (len(keys.points) + price * len(keys.ranges)) * min(len(group), OWN_NODE)
                + len(group)
                for keys, group in groups.items()
            }
            kept = []
            for keys in sorted(costs, key=costs.__getitem__):
                if costs[keys] > self._allowance:
                    break
                self._allowance -= costs[keys]
                kept += groups[keys]
            if kept:
                afforded[name] = sorted(kept, key=_position)
        return afforded

    def _index(self, name: str, rules: list[Asking], path: tuple[str, ...]) -> Index:
        field = self.slots.setdefault(name, rules[0].wants[name].field)
        slot = list(self.slots).index(name)
        groups = list(_groups(name, rules).items())
        node = _Nodes(self._grow, [group for _, group in groups], (*path, name)).of
        at_points: dict[Value, list[int]] = {}
        at_ranges: dict[int, list[tuple[Any, Any, int]]] = {}
        for number, (keys, _) in enumerate(groups):
            for value in keys.points:
                at_points.setdefault(value, []).append(number)
            for domain, start, end in keys.ranges:
                at_ranges.setdefault(domain, []).append((start, end, number))
        if at_ranges and len(at_points) <= sum(map(len, at_ranges.values())):
            # Where ranges are searched anyway, a look-up of points would be one more place to go.
            for value, at in at_points.items():
                ranges = at_ranges.setdefault(domain_of(field, value), [])
                ranges += [(value, after(value), number) for number in at]
            at_points.clear()
        return Index(
            slot=slot,
            reader=reader_of(field.read),
            is_address=field.kind is Kind.IP,
            points={value: node(tuple(at)) for value, at in at_points.items()},
            ranges={
                domain: _segments(field, domain, ranges, node)
                for domain, ranges in at_ranges.items()
            },
        )


class _Nodes:
    """The nodes of one index; values that lead to the same groups of rules share one.

    No function within `_index`: one that calls itself is a cycle, which only the collector frees.
    """

    def __init__(
        self,
        grow: Callable[[Sequence[Asking], tuple[str, ...]], Node],
        members: list[list[Asking]],
        path: tuple[str, ...],
    ) -> None:
        self._grow = grow
        self._members = members
        self._path = path
        self._grown: dict[tuple[int, ...], Node] = {}

    def of(self, numbers: tuple[int, ...]) -> Node:
        """Return the node of some groups."""
        if numbers not in self._grown:
            self._grown[numbers] = self._made(numbers)
        return self._grown[numbers]

    def _made(self, numbers: tuple[int, ...]) -> Node:
        members = self._members
        if len(numbers) == 1:
            return self._grow(members[numbers[0]], self._path)
        large = [number for number in numbers if len(members[number]) > OWN_NODE]
        small = [rule for n in numbers if len(members[n]) <= OWN_NODE for rule in members[n]]
        nodes = [self.of((number,)) for number in large]
        if small:
            nodes.append(self._grow(sorted(small, key=_position), self._path))
        return _joined(nodes)


def _position(rule: Asking) -> int:
    return rule.position


def _groups(name: str, rules: Iterable[Asking]) -> dict[Keys, list[Asking]]:
    """Return the rules that ask the same of a field together."""
    groups: dict[Keys, list[Asking]] = {}
    for rule in rules:
        groups.setdefault(rule.wants[name].keys, []).append(rule)
    return groups


def _choose(asking: dict[str, list[Asking]], number: int) -> dict[str, list[Asking]]:
    """Return the fields worth an index, each with the rules that go there.

    Args:
        asking: by field, the rules that ask something of it.
        number: how many rules there are, those that ask nothing counted as well.
    """
    costs = {
        name: {position: FOUND * met / number for position, met in _neighbours(name, members)}
        for name, members in asking.items()
    }
    cheapest: dict[int, float] = {}
    place: dict[int, str] = {}
    while costs:
        gains = {
            name: sum(max(0.0, cheapest.get(at, LISTED) - cost) for at, cost in by_rule.items())
            - INDEX_COST
            for name, by_rule in costs.items()
        }
        best = max(gains, key=gains.__getitem__)
        if gains[best] <= 0:
            break
        for at, cost in costs.pop(best).items():
            if cost < cheapest.get(at, LISTED):
                cheapest[at] = cost
                place[at] = best
        # What another field takes over is gone for good: gains only fall.
        costs = {name: by_rule for name, by_rule in costs.items() if gains[name] > 0}
    chosen: dict[str, list[Asking]] = {}
    for name, members in asking.items():
        placed = [rule for rule in members if place.get(rule.position) == name]
        if placed:
            chosen[name] = placed
    return chosen


def _neighbours(name: str, rules: list[Asking]) -> list[tuple[int, float]]:
    """Return by position how many rules are met where a rule is, on average over its keys."""
    field = rules[0].wants[name].field
    groups = _groups(name, rules)
    points: list[tuple[int, Value]] = []
    starts: list[tuple[int, Value]] = []
    ends: list[tuple[int, Value]] = []
    for keys, group in groups.items():
        points += [(domain_of(field, value), value) for value in keys.points] * len(group)
        for domain, start, end in keys.ranges:
            starts += [(domain, start)] * len(group)
            ends += [(domain, end)] * len(group)
    points.sort()
    starts.sort()
    ends.sort()

    def met(first: tuple[int, Value], behind: tuple[int, Value]) -> int:
        """Count the ranges and points that overlap with a range."""
        return (
            bisect_left(starts, behind)
            - bisect_right(ends, first)
            + bisect_left(points, behind)
            - bisect_left(points, first)
        )

    counted: list[tuple[int, float]] = []
    for keys, group in groups.items():
        number = sum(met((d, start), (d, end)) for d, start, end in keys.ranges)
        for value in keys.points:
            at = (domain_of(field, value), value)
            number += bisect_right(points, at) - bisect_left(points, at)
            number += bisect_right(starts, at) - bisect_right(ends, at)
        average = number / len(keys) if len(keys) else 0.0
        counted += [(rule.position, average) for rule in group]
    return counted


def _segments(
    field: Field,
    domain: int,
    ranges: list[tuple[Any, Any, int]],
    node: Callable[[tuple[int, ...]], Node],
) -> Ranges:
    """Lay a segment tree over the ends of all ranges, and write down each segment's way up."""
    bounds = sorted({bound for start, end, _ in ranges for bound in (start, end)})
    number = {bound: at for at, bound in enumerate(bounds)}
    size = len(bounds) + 1
    noted: list[list[int]] = [[] for _ in range(2 * size)]
    for start, end, group in ranges:
        # Segment n lies before bound n, so what starts at bound n begins with segment n + 1.
        left, right = number[start] + 1 + size, number[end] + 1 + size
        while left < right:
            if left & 1:
                noted[left].append(group)
                left += 1
            if right & 1:
                right -= 1
                noted[right].append(group)
            left >>= 1
            right >>= 1
    joined: dict[tuple[int, ...], Node] = {}
    nodes: list[Node] = []
    for segment in range(size):
        way = []
        at = segment + size
        while at:
            if noted[at]:
                way.append(at)
            at >>= 1
        key = tuple(way)
        if key not in joined:
            joined[key] = _joined([node(tuple(noted[at])) for at in way])
        nodes.append(joined[key])
    return Ranges(bounds, nodes, _numbers(field, domain, bounds))


def _numbers(field: Field, domain: int, bounds: list[Any]) -> array[int] | None:
    """Return sorted bounds as numbers of 32 bits, None where values have more.

    One that is more than any value can be is left out: nothing lies behind it.
    """
    if field.kind is Kind.IP and domain == IPV4:
        # What lies behind an address is that address with a NUL: see `keys`.
        bounds = [int.from_bytes(one[:IPV4]) + (len(one) > IPV4) for one in bounds]
    elif field.kind is not Kind.NUMBER or field.bits > BITS:
        return None
    return array("I", (bound for bound in bounds if bound >> BITS == 0))


def _joined(nodes: list[Node]) -> Node:
    """Return one node for several."""
    if len(nodes) == 1:
        return nodes[0]
    leaves = [node for node in nodes if isinstance(node, tuple)]
    forks = tuple(node for node in nodes if isinstance(node, Fork))
    if sum(map(len, leaves)) <= COPIED:
        leaf = tuple(sorted(position for leaf in leaves for position in leaf))
        if not forks:
            return leaf
        leaves = [leaf] if leaf else []
    return Fork(tuple(leaves), forks, ())
