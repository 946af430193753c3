"""What a rule's edits change of what later rules see.

A field changes with its own chunk, and with everything that it derives from. Names alone do not
tell: a chunk may have two of them, and in a frame all of whose chunks are of one vendor, that
vendor's low numbers are read as the generic fields. What is not known counts as changed.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from hepsw.config.configuration import Flow
from hepsw.fields import CATALOGUE, Field
from hepsw.hep import SPEC_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hepsw.config.configuration import Rule, Table

ANYTHING: Final = "*"
"""Changes with any edit, as in `Field.derived_from`."""

MADE_BY_UPGRADE: Final = frozenset({"time", "proto_type", "capture_id"})
"""Version 1 lacks some, and cannot say what its payload is: an edit that makes the packet version 3
gives it the chunks."""


def names_of(field: Field) -> frozenset[str]:
    """Return all that a field's chunk goes by."""
    names = {field.name}
    if field.key is not None and field.key.vendor_id:
        names.add(f"{field.key.vendor_id}:{field.key.type_id}")
        generic = SPEC_BY_ID.get(field.key.type_id)
        if generic is not None:
            names.add("time" if generic.name in {"seconds", "microseconds"} else generic.name)
    return frozenset(names)


def sources_of(field: Field) -> frozenset[str]:
    """Return the names of everything whose edit changes the field, its own among them."""
    found = set(names_of(field))
    waiting = [*found, *field.derived_from]
    while waiting:
        name = waiting.pop()
        found.add(name)
        row = CATALOGUE.get(name)
        if row is not None:
            waiting.extend(row.derived_from - found)
        elif name not in names_of(field):
            found.add(ANYTHING)  # a chunk of the operator's own, or what derives from one
    return frozenset(found if found.isdisjoint(MADE_BY_UPGRADE) else found | {ANYTHING})


class Touched:
    """Where in a table edits are made that a packet may carry on to the next rule."""

    def __init__(self, table: Table, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._called: dict[str, frozenset[str]] = {}
        edits = [
            (position, self._edited(rule))
            for position, rule in enumerate(table.rules)
            if not rule.flow.decides
        ]
        self._edits = [(position, names) for position, names in edits if names]
        self.positions = [position for position, _ in self._edits]
        """Rules that edit, or call what does, and then let the packet go on."""
        self._by_field: dict[str, list[int]] = {}

    def between(self, fields: Iterable[Field], first: int, end: int) -> bool:
        """Tell whether a rule from `first` on and before `end` may change one of the fields."""
        return any(
            (at := bisect_right(places, first - 1)) < len(places) and places[at] < end
            for places in map(self._places, fields)
        )

    def _places(self, field: Field) -> Sequence[int]:
        if field.name not in self._by_field:
            sources = sources_of(field)
            self._by_field[field.name] = [
                position
                for position, names in self._edits
                if ANYTHING in sources or not names.isdisjoint(sources)
            ]
        return self._by_field[field.name]

    def _edited(self, rule: Rule) -> frozenset[str]:
        edited = _own_edits(rule)
        return edited | self._of_called(rule.target) if rule.flow is Flow.CALL else edited

    def _of_called(self, name: str) -> frozenset[str]:
        """Return what a called table, and those that it calls, may edit before it comes back."""
        if name not in self._called:
            edited: set[str] = set()
            seen = {name}
            waiting = [name]
            while waiting:
                table = self._tables.get(waiting.pop())
                for rule in table.rules if table else ():
                    if rule.flow.decides:
                        continue
                    edited |= _own_edits(rule)
                    if rule.flow is Flow.CALL and rule.target not in seen:
                        seen.add(rule.target)
                        waiting.append(rule.target)
            self._called[name] = frozenset(edited)
        return self._called[name]


def _own_edits(rule: Rule) -> frozenset[str]:
    return frozenset(name for edit in rule.edits for name in names_of(edit.field))
