"""Templates as they run: what `template.py` reads, rendered for each packet.

The text is compiled with the types in `rendering.pxd`; the dataclasses that describe a template
stay beside it.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from hepsw.fields import Kind
from hepsw.fields.readers import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.fields import Field
    from hepsw.view import View

REMEMBERED: Final = 1024
"""IPv6 addresses whose text is kept: writing one takes longer than all else that an edit does."""

_DECIMALS: Final = [str(octet).encode() for octet in range(256)]


class Part:
    """A piece of a template: the text itself, or a field's value in its place."""

    __slots__ = ()

    def render(self, view: View) -> bytes:
        """Return the text for one packet."""
        raise NotImplementedError


class Literal(Part):
    """Text that is the same for every packet."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def render(self, _view: View) -> bytes:
        """Return the text."""
        return self._text


class Filled(Part):
    """A field's first value through filters; empty where the packet lacks it."""

    __slots__ = ("_field", "_filters", "_is_address", "_is_decimal", "_reader")

    def __init__(self, field: Field, filters: Sequence[Callable[[bytes], bytes]]) -> None:
        self._field = field
        self._reader = reader_of(field.read)
        self._filters = tuple(filters)
        self._is_address = field.kind is Kind.IP
        self._is_decimal = field.kind is Kind.NUMBER and field.labels is None

    def render(self, view: View) -> bytes:
        """Return what the field says of one packet."""
        reading = self._reader.read(view)
        value = reading[0] if isinstance(reading, tuple) else reading
        if value is None:
            octets = b""
        elif type(value) is bytes:
            octets = _address(value) if self._is_address else value
        elif self._is_decimal and type(value) is int:
            octets = b"%d" % value
        else:
            octets = self._field.render(value)
        for apply in self._filters:
            octets = apply(octets)
        return octets


class Joined(Part):
    """Several parts, one after the other."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)

    def render(self, view: View) -> bytes:
        """Return the texts of all parts."""
        texts: list[bytes] = []
        for part in self._parts:
            texts.append(part.render(view))  # noqa: PERF401 - compiled, no list is made twice
        return b"".join(texts)


def _address(packed: bytes) -> bytes:
    """Return the text of an address, as `Field.render` writes it."""
    if len(packed) != 4:
        return _remembered(packed)
    decimals = _DECIMALS
    return b".".join(
        [decimals[packed[0]], decimals[packed[1]], decimals[packed[2]], decimals[packed[3]]]
    )


@lru_cache(maxsize=REMEMBERED)
def _remembered(packed: bytes) -> bytes:
    return str(ipaddress.ip_address(packed)).encode()
