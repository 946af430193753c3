"""Fields whose value is looked up: in a map of the configuration, in a geo database."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from hepsw.fields.field import Field, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hepsw.fields.field import Reading, Value
    from hepsw.view import View


class Geo(Protocol):
    """What a geo database can tell of a packed address; None where it does not know."""

    def country(self, address: bytes) -> bytes | None:
        """Return the ISO code of the country."""
        ...

    def city(self, address: bytes) -> bytes | None:
        """Return the English name of the city."""
        ...

    def asn(self, address: bytes) -> int | None:
        """Return the number of the autonomous system."""
        ...


_GEO: Final = {
    "country": (Kind.TEXT, 0, "The ISO code of the country of {end}, from `city` of `[geo]`."),
    "city": (Kind.TEXT, 0, "The English name of the city of {end}, from `city` of `[geo]`."),
    "asn": (Kind.NUMBER, 32, "The autonomous system of {end}, from `asn` of `[geo]`."),
}

GEO: Final = {f"geo.{end}.{what}": f"{end}_ip" for end in ("src", "dst") for what in _GEO}
"""Every geo field, with the field that is looked up."""


def geo_field(name: str, geo: Geo | None) -> Field:
    """Make a geo field.

    Args:
        name: one of `GEO`.
        geo: who is asked; None where there is no database (only tests can say then).
    """
    _, end, what = name.split(".")
    kind, bits, doc = _GEO[what]
    look_up: Callable[[bytes], Reading] | None = getattr(geo, what) if geo is not None else None
    source = end == "src"

    def read(view: View) -> Reading:
        told = view.geo
        if told is not None:
            return told.get(name)
        packet = view.packet
        address = packet.src_address if source else packet.dst_address
        return None if look_up is None or address is None else look_up(address)

    return Field(
        name,
        kind,
        doc.format(end=f"`{GEO[name]}`"),
        read,
        bits=bits,
        derived_from=frozenset({GEO[name]}),
    )


@dataclass(frozen=True, slots=True)
class Entries:
    """What a map holds, laid out for looking up."""

    exact: Mapping[Value, Reading]
    networks: Sequence[tuple[int, int, Mapping[bytes, Reading]]]
    """Octets and prefix length, longest first, with the values by the network's first address."""
    bounds: Sequence[Value]
    """First values of the ranges, sorted; they do not overlap."""
    ranges: Sequence[tuple[Value, Reading]]
    """Last value of each range, and what it stands for."""
    default: Reading

    def find(self, value: Value) -> Reading:
        """Return what a value stands for, None for nothing: exact, longest prefix, range."""
        found = self.exact.get(value)
        if found is not None:
            return found
        if isinstance(value, bytes):
            for octets, length, by_first in self.networks:
                if octets == len(value):
                    shift = octets * 8 - length
                    first = (int.from_bytes(value) >> shift << shift).to_bytes(octets)
                    if (found := by_first.get(first)) is not None:
                        return found
        elif self.bounds:
            at = bisect_right(self.bounds, value) - 1
            if at >= 0 and value <= self.ranges[at][0]:  # type: ignore[operator] # both are numbers
                return self.ranges[at][1]
        return None


def map_field(
    name: str, key: Field, entries: Entries, kind: Kind, doc: str, *, several: bool
) -> Field:
    """Make the field of `map.<name>`: what the first value of its key that has an entry stands for.

    A packet without the key, or without an entry for it, reads as the default.
    """
    read_key = key.read
    find = entries.find

    def read(view: View) -> Reading:
        reading = read_key(view)
        if reading is not None:
            for value in reading if isinstance(reading, tuple) else (reading,):
                found = find(value)
                if found is not None:
                    return found
        return entries.default

    return Field(
        f"map.{name}",
        kind,
        doc,
        read,
        bits=64 if kind is Kind.NUMBER else 0,
        derived_from=key.derived_from | ({key.name} if key.edit is not None else frozenset()),
        parses=key.parses,
        several=several,
    )
