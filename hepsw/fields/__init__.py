"""The field catalogue: every name that a rule can match, set or print.

One row per field: its kind, what it means, how it is read from a `View`, which chunk holds it and
what else is read from the same octets. Validation, the compiler, templates and `man/hepsw-fields.7`
are all made from this one table, so a field that is added here exists everywhere at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.fields.chunks import chunk_field, chunk_fields, packet_fields, raw_chunk_key
from hepsw.fields.field import (
    EPOCH,
    Field,
    Kind,
    Reading,
    Value,
    octets_of,
    time_text,
    time_us,
)
from hepsw.fields.lookups import GEO, Geo, geo_field, map_field
from hepsw.fields.payload import HEADER, JSON, header_field, json_field, payload_fields
from hepsw.fields.transport import transport_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CATALOGUE",
    "EPOCH",
    "GEO",
    "GROUPS",
    "HEADER",
    "JSON",
    "Field",
    "Geo",
    "Kind",
    "Reading",
    "Value",
    "chunk_field",
    "geo_field",
    "header_field",
    "json_field",
    "map_field",
    "octets_of",
    "raw_chunk_key",
    "time_text",
    "time_us",
]

CATALOGUE: Final[Mapping[str, Field]] = {
    row.name: row
    for row in (*chunk_fields(), *packet_fields(), *payload_fields(), *transport_fields())
}
"""Every built-in field by name, in the order of the man page."""

GROUPS: Final = ("sip", "rtcp", "vq", "json", "map", "geo")
"""First words of dotted names."""
