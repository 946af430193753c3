"""`[maps.x]`: from what is written to a field that looks up.

Exact values beat the longest prefix, and that beats ranges; so that no fourth rule is needed,
ranges may not overlap.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hepsw.config.conditions import Between, Equal, Within
from hepsw.config.names import UnknownFieldError
from hepsw.config.values import value_test
from hepsw.fields import Field, Kind, map_field
from hepsw.fields.lookups import Entries

if TYPE_CHECKING:
    from hepsw.config import models
    from hepsw.config.conditions import Test
    from hepsw.config.models.values import MapValue
    from hepsw.config.names import Names
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path
    from hepsw.fields import Reading, Value


def read_map(name: str, written: models.Map, names: Names, report: Report) -> Field | None:
    """Return the field of a map; what is wrong is reported."""
    path = ("maps", name)
    if written.key.startswith("map."):
        report.error("HEP106", "a map is not looked up by another map", (*path, "key"))
        return None
    try:
        key = names.field(written.key)
    except UnknownFieldError as error:
        report.error(error.code, str(error), (*path, "key"), error.hint)
        return None
    values = [*written.entries.values()]
    if written.default is not None:
        values.append(written.default)
    whole = [isinstance(value, int) for value in values]
    if any(whole) and not all(whole):
        report.error("HEP105", "a map gives numbers or texts, not both", (*path, "entries"))
        return None
    exact: dict[Value, Reading] = {}
    networks: dict[tuple[int, int], dict[bytes, Reading]] = {}
    ranges: list[tuple[float, float, Reading, str]] = []
    for text, value in written.entries.items():
        place = (*path, "entries", text)
        test = _test(key, text, place, report)
        match test:
            case Equal(points):
                for point in points:
                    if point in exact:
                        report.key_error("HEP119", f"`{text}` is in the map twice", place)
                    exact[point] = _reading(value)
            case Within(first, last):
                by_first = networks.setdefault((len(first), _bits(first, last)), {})
                if first in by_first:
                    report.key_error("HEP119", f"`{text}` is in the map twice", place)
                by_first[first] = _reading(value)
            case Between(low, high):
                ranges.append((low, high, _reading(value), text))
            case _:
                pass
    ranges.sort(key=lambda one: one[:2])
    for before, after in pairwise(ranges):
        if after[0] <= before[1]:
            report.key_error(
                "HEP119",
                f"the ranges `{before[3]}` and `{after[3]}` overlap",
                (*path, "entries", after[3]),
            )
    entries = Entries(
        exact=exact,
        networks=[(octets, bits, networks[octets, bits]) for octets, bits in _longest(networks)],
        bounds=[low for low, *_ in ranges],
        ranges=[(high, reading) for _, high, reading, _ in ranges],
        default=None if written.default is None else _reading(written.default),
    )
    kind = Kind.NUMBER if any(whole) else Kind.TEXT
    several = any(isinstance(value, list) for value in values)
    doc = f"What `{key.name}` stands for in `[maps.{name}]`."
    return map_field(name, key, entries, kind, doc, several=several)


def names_in(written: models.Map) -> list[tuple[str, Path]]:
    """Return every name that a map may give, with its place below the map."""
    found: list[tuple[str, Path]] = []
    places: list[tuple[MapValue, Path]] = [
        (value, ("entries", key)) for key, value in written.entries.items()
    ]
    if written.default is not None:
        places.append((written.default, ("default",)))
    for value, place in places:
        if isinstance(value, list):
            found += [(name, (*place, at)) for at, name in enumerate(value)]
        else:
            found.append((str(value), place))
    return found


def _test(key: Field, text: str, place: Path, report: Report) -> Test | None:
    try:
        return value_test(key, text)
    except ValueError as error:
        report.key_error("HEP106", str(error), place)
        return None


def _reading(value: MapValue) -> Reading:
    if isinstance(value, int):
        return value
    if isinstance(value, list):
        return tuple(name.encode() for name in value)
    return value.encode()


def _bits(first: bytes, last: bytes) -> int:
    """Return the length of a network's prefix."""
    return len(first) * 8 - (int.from_bytes(first) ^ int.from_bytes(last)).bit_length()


def _longest(networks: dict[tuple[int, int], dict[bytes, Reading]]) -> list[tuple[int, int]]:
    return sorted(networks, key=lambda one: one[1], reverse=True)
