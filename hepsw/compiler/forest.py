"""What a walk looks at: indexes that lead from a packet's values to the rules that may match.

Runs per packet, so it is plain: a leaf is a tuple of positions, a hash is a dict, a search is one
`bisect`. `grow.py` builds it and says why it has this shape.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.fields import Reading, Value
    from hepsw.view import View

Leaf = tuple[int, ...]
"""Positions of rules, in order."""

UNREAD: Final = ()
"""Stands for a field that was not read yet; no field has an empty tuple of values."""


class Ranges(NamedTuple):
    """Values cut into segments at every end of a range; each knows the rules that cover it."""

    bounds: list[Any]
    """Sorted; segment n lies before bound n."""
    nodes: list[Node]
    """One more than there are bounds."""


class Index(NamedTuple):
    """The rules that ask something of one field, by its values.

    A tuple, since taking one apart costs less than looking at two attributes.
    """

    slot: int
    """Where a walk keeps the field's reading."""
    read: Callable[[View], Reading]
    is_address: bool
    at_point: Callable[[Value], Node | None]
    """`get` of a dict: the node of a value."""
    ranges: dict[int, Ranges]
    """By domain: see `keys.Span`."""


@dataclass(frozen=True, slots=True, eq=False)
class Fork:
    """Several places to look at; every one of them may hold rules that match."""

    leaves: tuple[Leaf, ...]
    forks: tuple[Fork, ...]
    indexes: tuple[Index, ...]


Node = Leaf | Fork


def outside(node: Node) -> Leaf:
    """Return the rules that every packet is tried on, whatever its values."""
    if isinstance(node, tuple):
        return node
    return tuple(position for leaf in node.leaves for position in leaf)


def gather(fork: Fork, view: View, readings: list[Reading], found: list[Leaf]) -> None:
    """Append every leaf that the packet's values lead to.

    Args:
        fork: where to begin.
        view: the packet.
        readings: one slot for each field, `UNREAD` until somebody needs it.
        found: what is appended to; a rule may come more than once.
    """
    found += fork.leaves
    for inner in fork.forks:
        gather(inner, view, readings, found)
    for slot, read, is_address, at_point, ranges in fork.indexes:
        reading = readings[slot]
        if reading is UNREAD:
            reading = readings[slot] = read(view)
        if reading is None:
            continue
        values: tuple[Any, ...] = reading if type(reading) is tuple else (reading,)
        for value in values:
            node = at_point(value)
            if node is not None:
                # Nearly every node is a leaf: asking for it saves a call.
                if isinstance(node, tuple):
                    found.append(node)
                else:
                    gather(node, view, readings, found)
            if ranges:
                domain = ranges.get(len(value) if is_address else 0)
                if domain is not None:
                    bounds, nodes = domain
                    node = nodes[bisect_right(bounds, value)]
                    if isinstance(node, Fork):
                        gather(node, view, readings, found)
                    elif node:
                        found.append(node)
