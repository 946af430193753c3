"""What a field is: its kind, its values, and how an operator writes and reads them.

Values inside hepsw are plain: int for numbers, times (microseconds since the epoch) and MAC
addresses; float for decimals; packed octets (4 or 16) for IP addresses; bytes for texts and octets.
A field that the packet lacks reads as None, one with several values as a tuple.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hepsw.hep import ChunkKey
    from hepsw.view import View

Value = int | float | bytes
Reading = Value | tuple[Value, ...] | None

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(Enum):
    """What sort of value a field has, and so which forms an operator may write for it."""

    NUMBER = "number"
    DECIMAL = "decimal"
    """A number that may have a fraction."""
    IP = "ip"
    TEXT = "text"
    """Octets that people read; NULs at their end do not count."""
    OCTETS = "octets"
    TIME = "time"
    MAC = "mac"
    JSON = "json"
    """Whatever the payload has there: a text, a number, a boolean."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the catalogue."""

    name: str
    kind: Kind
    doc: str
    """One sentence for the man page."""
    read: Callable[[View], Reading]
    bits: int = 0
    """Width of a number; 0 where the field is none."""
    most: int = 0
    """The largest number that means anything, where that is less than the width allows."""
    words: tuple[str, ...] = ()
    """All that a text can be, where that is known."""
    octets: int = 0
    """Octets that a chunk of the operator's own must have; 0 for any number."""
    key: ChunkKey | None = None
    """The chunk that holds the field; None for fields that are no single chunk."""
    edit: str | ChunkKey | None = None
    """What `hepsw.hep.edit` calls it; None where it cannot be set."""
    derived_from: frozenset[str] = frozenset()
    """Fields whose edit changes this one."""
    names: Mapping[str, int] | None = None
    """Words an operator may write for a number, upper case."""
    labels: Mapping[int, str] | None = None
    """The words that are printed for a number."""
    several: bool = False
    """Whether a packet may have more than one value of it."""
    made_of: tuple[str, ...] = ()
    """Fields whose values are those of this one, all of them."""
    parses: bool = False
    """Whether reading it looks into the payload."""

    @property
    def largest(self) -> int:
        """The largest number that the field holds."""
        return self.most or (1 << self.bits) - 1

    def parse(self, text: str) -> Value:
        """Read one value as an operator writes it in TOML or a template makes it.

        Raises:
            ValueError: with a message that says what the text is not.
        """
        match self.kind:
            case Kind.IP:
                return _parse_ip(text)
            case Kind.MAC:
                return _parse_mac(text)
            case Kind.TIME:
                return _parse_time(text)
            case Kind.NUMBER:
                return self._parse_number(text)
            case Kind.DECIMAL:
                return _parse_decimal(text)
            case _:
                return text.encode()

    def _parse_number(self, text: str) -> int:
        if self.names and (number := self.names.get(text.upper())) is not None:
            return number
        if not re.fullmatch(r"[0-9]{1,20}", text):
            what = "payload type" if self.names else "number"
            raise ValueError(f"not a {what}: {text!r}")
        return self.checked(int(text))

    def checked(self, number: int) -> int:
        """Return `number` if the field can hold it.

        Raises:
            ValueError: it is negative or too large.
        """
        if not 0 <= number <= self.largest:
            raise ValueError(f"{number} is outside 0 to {self.largest}")
        return number

    def render(self, value: Value) -> bytes:
        """Write one value as a template prints it."""
        if isinstance(value, float):
            return f"{value:.10g}".encode()
        if isinstance(value, bytes):
            return str(ipaddress.ip_address(value)).encode() if self.kind is Kind.IP else value
        if self.kind is Kind.MAC:
            octets = value.to_bytes(8)
            return (octets if octets[:2] != b"\0\0" else octets[2:]).hex(":").encode()
        if self.kind is Kind.TIME:
            return time_text(value).encode()
        if self.labels is not None:
            return self.labels.get(value, str(value)).encode()
        return str(value).encode()


def octets_of(value: Value) -> bytes:
    """Return what a value is hashed and told apart by: equal values are the same octets."""
    if isinstance(value, bytes):
        return value
    # JSON writes 3 and 3.0 for one number.
    return b"%d" % value if value == int(value) else repr(value).encode()


def time_text(time_us: int) -> str:
    """Write a time as RFC 3339 in UTC, to the microsecond; beyond the year 9999 as a number."""
    try:
        moment = EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return str(time_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_us(moment: datetime) -> int:
    """Return a moment in microseconds since the epoch; one without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def _parse_ip(text: str) -> bytes:
    if "%" in text:
        raise ValueError(f"packets carry no zone: {text!r}")
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise ValueError(f"not an address: {text!r}") from None


def _parse_mac(text: str) -> int:
    # The chunk is 64 bits wide: six octets stand at its end, but agents were seen to fill all
    # eight.
    if not re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}([:-][0-9A-Fa-f]{2}){0,2}", text):
        raise ValueError(f"not a MAC address: {text!r}")
    return int(text.replace(":", "").replace("-", ""), 16)


def _parse_time(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text)
    try:
        return time_us(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(f"not a time (RFC 3339, or microseconds): {text!r}") from None


def _parse_decimal(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", text):
        raise ValueError(f"not a number: {text!r}")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"not a number: {text!r}")
    return number
