"""How a field is read off a packet: one small object for each way.

A field of the catalogue is read through `Field.read`, which is the method of such an object. The
compiled tables hold the objects themselves (`reader_of`) and call them without Python between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.fields.field import Reading
    from hepsw.view import View


class Reader:
    """Reads one field."""

    __slots__ = ()

    def read(self, view: View) -> Reading:
        """Return what the packet says; None where it lacks the field, a tuple of several values."""
        raise NotImplementedError


class Function(Reader):
    """Whatever a function of the view returns."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[View], Reading]) -> None:
        self._function = function

    def read(self, view: View) -> Reading:
        return self._function(view)


class Number(Reader):
    """The number in a chunk."""

    __slots__ = ("_size", "_type_id")

    def __init__(self, type_id: int, size: int) -> None:
        self._type_id = type_id
        self._size = size

    def read(self, view: View) -> Reading:
        return view.packet.number(self._type_id, self._size)


class ProtoType(Reader):
    """What the payload is."""

    __slots__ = ()

    def read(self, view: View) -> Reading:
        return view.packet.type_of_payload()


class Octets(Reader):
    """The body of a chunk."""

    __slots__ = ("_type_id",)

    def __init__(self, type_id: int) -> None:
        self._type_id = type_id

    def read(self, view: View) -> Reading:
        return view.packet.octets(self._type_id)


class Text(Reader):
    """The body of a chunk, without the NULs at its end."""

    __slots__ = ("_type_id",)

    def __init__(self, type_id: int) -> None:
        self._type_id = type_id

    def read(self, view: View) -> Reading:
        body = view.packet.octets(self._type_id)
        return None if body is None else body.rstrip(b"\0")


class Address(Reader):
    """One end's address."""

    __slots__ = ("_ipv4_id", "_ipv6_id")

    def __init__(self, ipv4_id: int, ipv6_id: int) -> None:
        self._ipv4_id = ipv4_id
        self._ipv6_id = ipv6_id

    def read(self, view: View) -> Reading:
        return view.packet.address(self._ipv4_id, self._ipv6_id)


class Payload(Reader):
    """The payload, inflated if need be."""

    __slots__ = ()

    def read(self, view: View) -> Reading:
        return view.packet.content()


class Attribute(Reader):
    """An attribute of the packet."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, view: View) -> Reading:
        reading: Reading = getattr(view.packet, self._name)
        return reading


class Both(Reader):
    """The values of two fields, those that the packet has."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Reader, second: Reader) -> None:
        self._first = first
        self._second = second

    def read(self, view: View) -> Reading:
        first: Any = self._first.read(view)
        second: Any = self._second.read(view)
        if second is None:
            return None if first is None else (first,)
        return (second,) if first is None else (first, second)


class SipPart(Reader):
    """A property of the SIP message."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, view: View) -> Reading:
        sip = view.sip
        if sip is None:
            return None
        reading: Reading = getattr(sip, self._name)
        return reading


def reader_of(read: Callable[[View], Reading]) -> Reader:
    """Return the object whose method a field is read by; one is made for a plain function."""
    owner = getattr(read, "__self__", None)
    return owner if isinstance(owner, Reader) else Function(read)
