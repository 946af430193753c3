"""A rule's `set` and `unset`, carried out on one packet.

All values are computed before any is written. One that comes out empty, or does not fit its chunk,
sets nothing and is counted; the others are set all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.config.template import Template
from hepsw.errors import EditError
from hepsw.fields import Kind
from hepsw.hep import edit

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from hepsw.config.configuration import Edit
    from hepsw.fields import Field, Value
    from hepsw.hep import ChunkKey
    from hepsw.view import View


def edited(view: View, edits: Sequence[Edit], refused: Counter[str]) -> View:
    """Return the view with its packet edited, or the same view where nothing could be.

    Args:
        view: before the rule.
        edits: what the rule writes and removes.
        refused: counts, by reason, the edits that were not made.
    """
    changes: dict[str | ChunkKey, int | bytes | None] = {}
    for wanted in edits:
        assert wanted.field.edit is not None  # noqa: S101 - `load` refuses to set what is no chunk
        value = wanted.value
        if isinstance(value, Template):
            octets = value.render(view)
            if not octets:
                refused["empty"] += 1
                continue
            try:
                value = value_of(wanted.field, octets)
            except ValueError:
                refused["does-not-fit"] += 1
                continue
        changes[wanted.field.edit] = _on_wire(wanted.field, value)
    if not changes:
        return view
    try:
        return view.edited(edit(view.packet, changes, view.received_us))
    except EditError as error:
        if len(changes) == 1:
            refused[error.reason] += 1
            return view
    # Together they cannot be made; one by one, those that can are.
    for name, value in changes.items():
        try:
            view = view.edited(edit(view.packet, {name: value}, view.received_us))
        except EditError as error:
            refused[error.reason] += 1
    return view


def value_of(field: Field, octets: bytes) -> Value:
    """Read what a template made as a value of the field.

    Raises:
        ValueError: it is none.
    """
    if field.kind in {Kind.TEXT, Kind.OCTETS}:
        return octets
    value = field.parse(octets.decode("ascii", "replace"))
    if isinstance(value, bytes) and field.octets not in {0, len(value)}:
        raise ValueError(f"{field.name} holds {field.octets} octets, not {len(value)}")
    return value


def _on_wire(field: Field, value: Value | None) -> int | bytes | None:
    assert not isinstance(value, float)  # noqa: S101 - no chunk holds fractions
    # A chunk of the operator's own is written by its octets: `hep.edit` knows no type for it.
    if isinstance(field.edit, tuple) and isinstance(value, int):
        return value.to_bytes(field.bits // 8)
    return value
