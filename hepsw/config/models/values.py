"""Named values: sets, maps, chunks, geo databases."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hepsw.config.models.block import Block, as_written


class SetFile(Block):
    """`[sets] x = { file, type }`: one value a line, `#` begins a comment."""

    file: str
    """The file; a relative one starts at the folder of the TOML file."""
    type: Literal["ip", "number", "string"]
    """What its lines are."""


class ChunkName(Block):
    """`[chunks] x = { vendor, id, type }`: a chunk named once; then `x` is a field."""

    vendor: Annotated[int, Field(ge=0, le=0xFFFF)]
    """Vendor id."""
    id: Annotated[int, Field(ge=0, le=0xFFFF)]
    """Type id."""
    type: Literal["uint8", "uint16", "uint32", "uint64", "inet4", "inet6", "utf8", "octets"]
    """What its octets are."""


def _map_value(written: object) -> object:
    if isinstance(written, bool) or not isinstance(written, (str, int, list)):
        raise ValueError("a map gives texts, whole numbers, or lists of names")
    if isinstance(written, list) and not all(isinstance(name, str) for name in written):
        raise ValueError("a list in a map has names")
    if written in ("", []):
        raise ValueError("nothing is no value; leave the entry out")
    return written


MapValue = Annotated[
    str | int | list[str],
    BeforeValidator(_map_value),
    as_written(
        {"type": "string", "title": "a text, or a name", "minLength": 1},
        {"type": "integer", "title": "a number"},
        {"type": "array", "title": "names", "items": {"type": "string"}, "minItems": 1},
    ),
]


class Map(Block):
    """`[maps.x]`: from a field to a value."""

    key: str
    """The field that is looked up."""
    entries: dict[str, MapValue]
    """A value, range or network of the field, and what it stands for."""
    default: MapValue | None = None
    """What everything else stands for [nothing]."""


class Geo(Block):
    """`[geo]`: databases of places and networks, in MaxMind's format."""

    city: str | None = None
    """The file with countries and cities."""
    asn: str | None = None
    """The file with autonomous systems."""
