"""What a walk looks at: indexes that lead from a packet's values to the rules that may match.

Runs per packet, so it is plain: a leaf is a tuple of positions, a hash is a dict, a search is one
`bisect`. `grow.py` builds it and says why it has this shape. Compiled with `forest.pxd`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from hepsw.compiler import _search
from hepsw.hep import _octets

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from hepsw.fields import Reading, Value
    from hepsw.fields.readers import Reader
    from hepsw.view import View

Leaf = tuple[Any, ...]
"""Positions of rules, in order; in a furnished tree the rules themselves."""

LONG: Final = 64
"""Of a leaf that is longer than this the first rules may suffice: it is not sorted in with others.
"""

UNREAD: Final = ()
"""Stands for a field that was not read yet; no field has an empty tuple of values."""


class Ranges:
    """Values cut into segments at every end of a range; each knows the rules that cover it."""

    __slots__ = ("bounds", "nodes", "numbers")

    def __init__(self, bounds: list[Any], nodes: list[Node], numbers: array[int] | None) -> None:
        self.bounds = bounds
        """Sorted; segment n lies before bound n."""
        self.nodes = nodes
        """One more than there are bounds."""
        self.numbers = numbers
        """The bounds as numbers, where the values are IPv4 addresses or small enough numbers: they
        are searched faster."""


class Index:
    """The rules that ask something of one field, by its values."""

    __slots__ = ("is_address", "points", "ranges", "reader", "slot")

    def __init__(
        self,
        *,
        slot: int,
        reader: Reader,
        is_address: bool,
        points: dict[Value, Node],
        ranges: dict[int, Ranges],
    ) -> None:
        self.slot = slot
        """Where a walk keeps the field's reading."""
        self.reader = reader
        self.is_address = is_address
        self.points = points
        """The node of a value."""
        self.ranges = ranges
        """By domain: see `keys.Span`."""


class Fork:
    """Several places to look at; every one of them may hold rules that match."""

    __slots__ = ("forks", "indexes", "leaves")

    def __init__(
        self, leaves: tuple[Leaf, ...], forks: tuple[Fork, ...], indexes: tuple[Index, ...]
    ) -> None:
        self.leaves = leaves
        self.forks = forks
        self.indexes = indexes


Node = Leaf | Fork


def outside(node: Node) -> Leaf:
    """Return the rules that every packet is tried on, whatever its values."""
    if isinstance(node, tuple):
        return node
    return tuple(position for leaf in node.leaves for position in leaf)


def furnish(fork: Fork, rules: Sequence[Any]) -> None:
    """Put the rules themselves in place of their positions, once it is grown.

    A packet that finds one then need not look up what it has found: with thousands of rules each
    step is a wait for the memory.
    """
    done: dict[int, tuple[Node, Any]] = {}
    _furnished(fork, rules, done)


def _furnished(node: Node, rules: Sequence[Any], done: dict[int, tuple[Node, Any]]) -> Any:  # noqa: ANN401 - a rule, a leaf or a fork
    """Return a furnished node; nodes that are shared stay so."""
    known = done.get(id(node))
    if known is not None:
        return known[1]
    furnished: Any = node
    if isinstance(node, tuple):
        # One rule, as most leaves are, is its own leaf.
        furnished = rules[node[0]] if len(node) == 1 else tuple(rules[at] for at in node)
    done[id(node)] = (node, furnished)  # the first is kept, so that its id stays its own
    if isinstance(node, Fork):
        node.leaves = tuple(_furnished(leaf, rules, done) for leaf in node.leaves)
        for inner in node.forks:
            _furnished(inner, rules, done)
        for index in node.indexes:
            for value, below in index.points.items():
                index.points[value] = _furnished(below, rules, done)
            for ranges in index.ranges.values():
                ranges.nodes[:] = [_furnished(below, rules, done) for below in ranges.nodes]
    return furnished


def gather(fork: Fork, view: View, readings: list[Reading], found: list[Any]) -> None:
    """Append every rule that the packet's values lead to.

    Args:
        fork: where to begin.
        view: the packet.
        readings: one slot for each field, `UNREAD` until somebody needs it.
        found: what is appended to: rules, in no order, and some twice; a leaf of more than `LONG`
            rules is appended as it is.
    """
    for leaf in fork.leaves:
        _add(leaf, view, readings, found)
    for inner in fork.forks:
        gather(inner, view, readings, found)
    for index in fork.indexes:
        reading = readings[index.slot]
        if reading is UNREAD:
            reading = readings[index.slot] = index.reader.read(view)
        if reading is None:
            continue
        if type(reading) is tuple:
            for value in reading:
                _look_up(index, value, view, readings, found)
        else:
            _look_up(index, reading, view, readings, found)


def _look_up(
    index: Index,
    value: Any,  # noqa: ANN401 - octets or a number
    view: View,
    readings: list[Reading],
    found: list[Any],
) -> None:
    """Append the rules that one value of a field leads to."""
    if index.points:
        node = index.points.get(value)
        if node is not None:
            _add(node, view, readings, found)
    if index.ranges:
        domain = index.ranges.get(len(value) if index.is_address else 0)
        if domain is not None:
            if domain.numbers is None:
                at = bisect_right(domain.bounds, value)
            else:
                number = _octets.number(value, 0, 4) if index.is_address else value
                at = _search.above(domain.numbers, number)
            _add(domain.nodes[at], view, readings, found)


def _add(
    node: Any,  # noqa: ANN401 - a rule, a leaf or a fork
    view: View,
    readings: list[Reading],
    found: list[Any],
) -> None:
    if type(node) is tuple:
        if len(node) <= LONG:
            found += node
        else:
            found.append(node)
    elif type(node) is Fork:
        gather(node, view, readings, found)
    else:
        found.append(node)
