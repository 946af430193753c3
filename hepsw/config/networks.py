"""The networks that a listener hears, ready to be asked for an address."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hepsw.config.conditions import Equal, OneOf, Within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepsw.config.conditions import Test

MAPPED: Final = bytes(10) + b"\xff\xff"
"""How an IPv6 address begins that is an IPv4 one."""

Range = tuple[int, bytes, bytes]
"""Length of an address in octets, the first address, the last one."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Addresses, as ranges in order that do not touch each other."""

    ranges: tuple[Range, ...]

    def __contains__(self, address: bytes) -> bool:
        """Tell whether a packed address is in one of them; IPv4 has four octets."""
        at = bisect_right(self.ranges, (len(address), address, b"\xff" * 17))
        if not at:
            return False
        size, _, last = self.ranges[at - 1]
        return size == len(address) and address <= last


def networks(test: Test) -> Networks:
    """Return the networks that a test of an address means."""
    merged: list[Range] = []
    for size, first, last in sorted(map(_plain, _ranges(test))):
        if merged and merged[-1][0] == size and first <= merged[-1][2]:
            merged[-1] = (size, merged[-1][1], max(last, merged[-1][2]))
        else:
            merged.append((size, first, last))
    return Networks(tuple(merged))


def _ranges(test: Test) -> Iterable[Range]:
    if isinstance(test, Within):
        yield len(test.first), test.first, test.last
    elif isinstance(test, Equal):
        for address in test.values:
            if isinstance(address, bytes):
                yield len(address), address, address
    elif isinstance(test, OneOf):
        for one in test.tests:
            yield from _ranges(one)


def _plain(one: Range) -> Range:
    """Return IPv4 written as IPv6 as what it is: so peers are told of by `net.sockets.packed`."""
    size, first, last = one
    if size == 16 and first.startswith(MAPPED) and last.startswith(MAPPED):
        return 4, first[12:], last[12:]
    return one
