"""What a name stands for in this configuration: fields, sets and matchers.

The built-in catalogue, the chunks that the operator named, and raw chunks (`"0x0003:0x0065"`) are
all looked up here, so a match block, a template and `set` agree on what exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hepsw.config.spelling import did_you_mean
from hepsw.errors import ConfigError
from hepsw.fields import CATALOGUE, Field, chunk_field, is_coming, raw_chunk_key
from hepsw.hep import SPEC_BY_ID, ChunkType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepsw.config.spans import Path
    from hepsw.hep import ChunkKey


class UnknownFieldError(ConfigError, ValueError):
    """No field of that name; the message says so, `hint` what may have been meant."""

    def __init__(self, message: str, code: str, hint: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def check_not_generic(key: ChunkKey) -> None:
    """Refuse a second name for a chunk that is a field: two of its edits would contradict.

    Raises:
        UnknownFieldError: with the field's own name as its hint.
    """
    spec = SPEC_BY_ID.get(key.type_id) if key.vendor_id == 0 else None
    if spec is not None:
        name = "time" if spec.name in {"seconds", "microseconds"} else spec.name
        text = f"chunk 0x0000:0x{key.type_id:04x} has a name"
        raise UnknownFieldError(text, "HEP110", f"write `{name}`")


@dataclass(slots=True)
class NamedSet:
    """`[sets]`: values as written, each with the place it was written at."""

    values: Sequence[tuple[Any, Path, str]]
    """Each value with the place to point at and, out of a file, the words that name its line."""
    used: bool = False


@dataclass(slots=True)
class Names:
    """All names that match blocks and templates may use."""

    chunks: Mapping[str, Field] = field(default_factory=dict)
    listeners: Sequence[str] = ()
    """What the field `listener` can be; nothing where that could not be read."""
    sets: Mapping[str, NamedSet] = field(default_factory=dict)
    matchers: Mapping[str, Any] = field(default_factory=dict)
    used_matchers: set[str] = field(default_factory=set)

    def field(self, name: str) -> Field:
        """Return the field of a name.

        Raises:
            UnknownFieldError: there is none, or not yet.
        """
        if name == "listener" and self.listeners:
            return replace(CATALOGUE[name], words=tuple(self.listeners))
        found = self.chunks.get(name) or CATALOGUE.get(name)
        if found is not None:
            return found
        key = raw_chunk_key(name)
        if key is not None:
            check_not_generic(key)
            return chunk_field(name, key, ChunkType.OCTETS)
        if is_coming(name):
            raise UnknownFieldError(f"field `{name}` is not yet supported", "HEP108", None)
        meant = did_you_mean(name, self.known)
        raise UnknownFieldError(
            f"unknown field `{name}`", "HEP110", f"did you mean `{meant}`?" if meant else None
        )

    @property
    def known(self) -> list[str]:
        """Every field name there is."""
        return [*CATALOGUE, *self.chunks]
