"""What a field of a packet under way was made of, in terms of the packet that came in.

A rule's `set` may copy one field into another, and a later rule that looks at the second depends on
the first. `explain` names what the fate depends on, so it follows every edit back. What cannot be
told counts as made of more, never of less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.compiler.touched import ANYTHING, names_of, sources_of
from hepsw.config.template import Template
from hepsw.fields import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepsw.config.configuration import Edit
    from hepsw.fields import Field

_UPGRADED: Final = ("hep_version", "payload")
"""What an edit makes of a packet of HEP 1 or 2 depends on these: its version becomes 3, and its
payload says what type that is."""


class Origins:
    """Follows the edits of one walk."""

    def __init__(self, version: int) -> None:
        """Begin with a packet that nobody has edited.

        Args:
            version: of HEP, as it came in.
        """
        self._was_legacy = version < 3
        self._edited: dict[str, frozenset[str]] = {}
        """By each name of a chunk that was written, the fields that its value was made of."""
        self._written: set[str] = set()

    def edit(self, edits: Iterable[Edit]) -> None:
        """Take note of what a rule sets; all of its templates are computed before any is set."""
        made = [
            (edit.field, self.of(edit.value.fields) if isinstance(edit.value, Template) else ())
            for edit in edits
        ]
        for field, fields in made:
            self._written.add(field.name)
            for name in names_of(field):
                self._edited[name] = self._edited.get(name, frozenset()) | frozenset(fields)

    def of(self, fields: Iterable[Field]) -> frozenset[str]:
        """Return the fields of the packet that came in which these are made of."""
        found: set[str] = set()
        for field in fields:
            found |= self._of_one(field)
        return frozenset(found)

    def _of_one(self, field: Field) -> set[str]:
        found = {field.name}
        if not self._edited:
            return found
        sources = sources_of(field)
        anything = ANYTHING in field.derived_from
        if ANYTHING in sources:
            found.update(_UPGRADED if self._was_legacy else _UPGRADED[:1])
        if anything:
            found |= self._written
        for name, fields in self._edited.items():
            if anything or name in sources:
                # Whatever else it is read from was not written, and counts as it came in.
                found |= fields
                found.update(source for source in sources if source in CATALOGUE)
            elif ANYTHING in sources and self._was_legacy:
                found |= fields  # whether the edit was made at all
        return found
