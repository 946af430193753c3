"""What a name stands for in this configuration: fields, sets and matchers.

The built-in catalogue, the chunks that the operator named, and raw chunks (`"0x0003:0x0065"`) are
all looked up here, so a match block, a template and `set` agree on what exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hepsw.config.spelling import did_you_mean
from hepsw.errors import ConfigError
from hepsw.fields import (
    CATALOGUE,
    GEO,
    GROUPS,
    HEADER,
    JSON,
    Field,
    Kind,
    chunk_field,
    geo_field,
    header_field,
    json_field,
    raw_chunk_key,
)
from hepsw.hep import SPEC_BY_ID, ChunkType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hepsw.config.spans import Path
    from hepsw.fields import Geo
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


def unread_field(name: str, edit: str | None = None) -> Field:
    """Return what stands for a field whose definition is wrong: everything goes with it."""
    return Field(name, Kind.JSON, "", lambda _: None, edit=edit, bits=64)


_DEPTH: Final = {"sip": 1, "rtcp": 1, "vq": 1, "map": 1, "json": 1, "geo": 2}
"""How many keys follow the first word of a dotted name; `sip.header` has one more."""


def flattened(block: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any, Path]]:
    """Yield the names of a block that is keyed by fields, with what was written and where.

    TOML reads `sip.method = …` as a table in a table: here it is one name again. A name may as well
    stand in quotes as a whole.
    """
    for key, written in block.items():
        if key in _DEPTH and isinstance(written, dict) and written:
            yield from _inside(key, written, (*path, key), _DEPTH[key])
        else:
            yield key, written, (*path, key)


def _inside(
    name: str, block: Mapping[str, Any], path: Path, depth: int
) -> Iterator[tuple[str, Any, Path]]:
    for key, written in block.items():
        inner = f"{name}.{key}"
        further = depth > 1 or inner == "sip.header"
        if further and isinstance(written, dict) and written:
            yield from _inside(inner, written, (*path, key), depth - 1)
        else:
            yield inner, written, (*path, key)


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
    proto_types: Mapping[str, int] = field(default_factory=dict)
    """Names of payload types of the operator's own, upper case."""
    maps: dict[str, Field | None] = field(default_factory=dict)
    """The fields of maps by their names; None for one that cannot be read."""
    used_maps: set[str] = field(default_factory=set)
    geo: Mapping[str, Geo | None] = field(default_factory=dict)
    """The databases that are configured, `city` and `asn`; None where one was not opened."""
    _made: dict[str, Field] = field(default_factory=dict)
    """One field for a name, however often it is asked for."""

    def field(self, name: str) -> Field:
        """Return the field of a name.

        Raises:
            UnknownFieldError: there is none.
        """
        # Where a name is a text, in a template or under `by`, TOML has not taken the quotes off.
        if name.startswith(f'{JSON}"') and name.endswith('"'):
            name = JSON + name[len(JSON) + 1 : -1]
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = self._field(name)
        if name.startswith("map."):
            self.used_maps.add(name.removeprefix("map."))
        return found

    def _field(self, name: str) -> Field:
        if name == "listener" and self.listeners:
            return replace(CATALOGUE[name], words=tuple(self.listeners))
        if name == "proto_type" and self.proto_types:
            return self._proto_type()
        found = self.chunks.get(name) or CATALOGUE.get(name)
        if found is not None:
            return found
        key = raw_chunk_key(name)
        if key is not None:
            check_not_generic(key)
            return chunk_field(name, key, ChunkType.OCTETS)
        return self._looked_up(name) or self._read_from_payload(name) or self._unknown(name)

    def _looked_up(self, name: str) -> Field | None:
        group, _, rest = name.partition(".")
        if group == "map":
            if rest not in self.maps:
                meant = did_you_mean(rest, self.maps, foreign={})
                hint = f"did you mean `map.{meant}`?" if meant else f"write `[maps.{rest}]`"
                raise UnknownFieldError(f"unknown map `{rest}`", "HEP210", hint)
            # One that cannot be read was reported, and whatever is compared with it fits.
            return self.maps[rest] or unread_field(name)
        if name in GEO:
            kind = "asn" if name.endswith(".asn") else "city"
            if kind not in self.geo:
                raise UnknownFieldError(
                    f"`{name}` is looked up in a database that `[geo]` does not name",
                    "HEP213",
                    f"write `[geo]` with `{kind}` = the mmdb file",
                )
            return geo_field(name, self.geo[kind])
        return None

    @staticmethod
    def _read_from_payload(name: str) -> Field | None:
        if name.startswith(HEADER):
            return header_field(name)
        if name.startswith(JSON) and name != JSON:
            return json_field(name)
        return None

    def _unknown(self, name: str) -> Field:
        group = name.partition(".")[0]
        meant: str | None
        if name.startswith(HEADER):
            meant = f"{HEADER}<Name>"
        elif group in GROUPS:
            inside = [known for known in self.known if known.startswith(f"{group}.")]
            meant = did_you_mean(name, inside, foreign={}) if "." in name else None
        else:
            meant = did_you_mean(name, self.known)
        raise UnknownFieldError(
            f"unknown field `{name}`", "HEP110", f"did you mean `{meant}`?" if meant else None
        )

    def _proto_type(self) -> Field:
        """Return the field with the operator's names beside the built-in ones, and before them."""
        built_in = CATALOGUE["proto_type"]
        names = {**(built_in.names or {}), **self.proto_types}
        labels = {
            **{number: name for name, number in names.items()},
            **{number: name for name, number in self.proto_types.items()},
        }
        return replace(built_in, names=names, labels=labels)

    @property
    def known(self) -> list[str]:
        """Every field name there is, but for headers and JSON paths, which are any."""
        maps = [f"map.{name}" for name in self.maps]
        return [*CATALOGUE, *self.chunks, *maps, *GEO]
