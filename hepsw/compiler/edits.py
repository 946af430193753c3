"""A rule's `set` and `unset`, prepared for the packets to come.

All values are computed before any is written. One that comes out empty, or does not fit its chunk,
sets nothing and is counted; the others are set all the same.

What the rule says is encoded here, once; for a packet only its templates are rendered, and the
chunks written between those that stay (`hepsw.hep.splice`). What that cannot do is done the long
way, by `hepsw.hep.edit`, with the same outcome wherever both can.

The text is compiled with the types in `edits.pxd`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.config.template import Template
from hepsw.errors import EditError
from hepsw.fields import Kind
from hepsw.hep import edit
from hepsw.hep.chunks import SPEC_BY_ID
from hepsw.hep.splice import piece, pieces_of, spliced

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from hepsw.config.configuration import Edit
    from hepsw.config.rendering import Part
    from hepsw.fields import Field, Value
    from hepsw.hep import ChunkKey
    from hepsw.hep.splice import Piece
    from hepsw.view import View

_OCTETS: Final = frozenset({Kind.TEXT, Kind.OCTETS})
_DIGITS: Final = 20
"""Of the largest number that a chunk holds; `Field.parse` takes no more either."""


class Write:
    """One chunk that a rule sets or removes."""

    __slots__ = (
        "field",
        "is_plain",
        "largest",
        "name",
        "pieces",
        "size",
        "template",
        "type_id",
        "vendor_id",
    )

    def __init__(self, wanted: Edit) -> None:
        """Prepare it.

        Raises:
            EditError: the chunk cannot hold what the rule says.
            ValueError: what is written depends on the packet.
        """
        self.field = wanted.field
        self.name = _name(wanted)
        value = wanted.value
        self.template: Part | None = None
        if isinstance(value, Template):
            self.template = value.running
            value = None
        pieces = pieces_of(self.name, _on_wire(wanted.field, value))
        if pieces is None:
            raise ValueError(f"{self.field.name} is not written by itself")
        self.pieces = pieces
        """What is written; with a template, the numbers of the chunks alone."""
        self.vendor_id = pieces[0].vendor_id
        self.type_id = pieces[0].type_id
        kind = self.field.kind
        self.is_plain = kind in _OCTETS and len(pieces) == 1 and self._has_no_size()
        """Whether what the template makes is the chunk's body as it is."""
        is_decimal = kind is Kind.NUMBER and not self.field.names
        self.size = (
            self.field.bits // 8
            if is_decimal and (isinstance(self.name, str) or self._has_no_size())
            else 0
        )
        """Octets of a number that is read as nothing but digits; 0 for all else."""
        self.largest = self.field.largest if self.size else 0

    def _has_no_size(self) -> bool:
        """Tell whether any octets are a body of the chunk, as far as HEP knows it."""
        spec = None if self.vendor_id else SPEC_BY_ID.get(self.type_id)
        return spec is None or spec.type.size is None

    def written(self, octets: bytes) -> list[Piece]:
        """Return what a template made as the chunks to be written.

        Raises:
            ValueError: it is no value of the field.
            EditError: its chunk cannot hold it.
        """
        if self.size and len(octets) <= _DIGITS and octets.isdigit():
            number = int(octets)
            if number > self.largest:
                raise ValueError(f"{number} is more than {self.largest}")
            return [piece(self.vendor_id, self.type_id, number.to_bytes(self.size))]
        made = pieces_of(self.name, _on_wire(self.field, value_of(self.field, octets)))
        assert made is not None  # noqa: S101 - that depends on the name alone, and was asked
        return made


class Edits:
    """All that one rule sets and removes."""

    __slots__ = ("_edits", "_fixed", "_writes")

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = tuple(edits)
        self._writes: tuple[Write, ...] = ()
        """Empty where the long way is the only one."""
        self._fixed: list[Piece] | None = None
        """What is written into every packet, where no template is among it."""
        try:
            writes = tuple(Write(wanted) for wanted in edits)
        except (EditError, ValueError):
            return
        pieces = [one for write in writes for one in write.pieces]
        if len({(one.vendor_id, one.type_id) for one in pieces}) < len(pieces):
            return  # two names for one chunk
        self._writes = writes
        if not any(write.template for write in writes):
            self._fixed = pieces

    def carried_out(self, view: View, refused: Counter[str]) -> View:
        """Return the view with its packet edited, or the same view where nothing changes.

        Args:
            view: before the rule.
            refused: counts, by reason, the edits that were not made.
        """
        packet = view.packet
        if not self._writes or packet.version != 3 or packet.namespace:
            return self._the_long_way(view, refused)
        pieces = self._fixed
        empty = unfit = 0
        if pieces is None:
            pieces = []
            for write in self._writes:
                if write.template is None:
                    pieces.extend(write.pieces)
                    continue
                octets = write.template.render(view)
                if not octets:
                    empty += 1
                elif write.is_plain:
                    pieces.append(piece(write.vendor_id, write.type_id, octets))
                else:
                    try:
                        pieces.extend(write.written(octets))
                    except ValueError:
                        unfit += 1
                    except EditError:
                        return self._the_long_way(view, refused)
        edited = spliced(packet, pieces)
        if edited is None:
            # Nothing was counted yet: the long way counts for itself.
            return self._the_long_way(view, refused)
        if empty:
            refused["empty"] += empty
        if unfit:
            refused["does-not-fit"] += unfit
        return view if edited is packet or not pieces else view.edited(edited)

    def _the_long_way(self, view: View, refused: Counter[str]) -> View:
        """Do what `carried_out` does, for any packet and any edit."""
        changes: dict[str | ChunkKey, int | bytes | None] = {}
        for wanted in self._edits:
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
            changes[_name(wanted)] = _on_wire(wanted.field, value)
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
    if field.kind in _OCTETS:
        return octets
    value = field.parse(octets.decode("ascii", "replace"))
    if isinstance(value, bytes) and field.octets not in {0, len(value)}:
        raise ValueError(f"{field.name} holds {field.octets} octets, not {len(value)}")
    return value


def _name(wanted: Edit) -> str | ChunkKey:
    name = wanted.field.edit
    assert name is not None  # noqa: S101 - `load` refuses to set what is no chunk
    return name


def _on_wire(field: Field, value: Value | None) -> int | bytes | None:
    assert not isinstance(value, float)  # noqa: S101 - no chunk holds fractions
    # A chunk of the operator's own is written by its octets: `hep.edit` knows no type for it.
    if isinstance(field.edit, tuple) and isinstance(value, int):
        return value.to_bytes(field.bits // 8)
    return value
