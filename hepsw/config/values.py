"""One value as an operator writes it, read as a test by the kind of its field.

An exact value, a range of numbers (`"5060-5090"`, `"1024-"`), an address or a network. Strings are
exact. What cannot be read raises ValueError with what it is not; who asked knows where it stands.
"""

from __future__ import annotations

import ipaddress
import math
import re
from datetime import date, datetime
from typing import Final

from hepsw.config.conditions import Between, Equal, Test, Within
from hepsw.config.spelling import did_you_mean
from hepsw.fields import Field, Kind, Value, time_us

TEXTUAL: Final = frozenset({Kind.TEXT, Kind.OCTETS})
NUMERIC: Final = frozenset({Kind.NUMBER, Kind.DECIMAL, Kind.TIME, Kind.MAC})

A_KIND: Final = {
    Kind.NUMBER: "a number",
    Kind.IP: "an address",
    Kind.TEXT: "a text",
    Kind.OCTETS: "octets",
    Kind.TIME: "a time",
    Kind.MAC: "a MAC address",
    Kind.DECIMAL: "a number",
    Kind.JSON: "whatever the payload has there",
}


def toml_type(written: object) -> str:
    """Return what TOML calls a value."""
    if isinstance(written, bool):
        return "a boolean"
    if isinstance(written, datetime):
        return "a date with a time"
    names = {
        int: "a number",
        float: "a number with a fraction",
        str: "a text",
        list: "a list",
        dict: "a table",
        date: "a date without a time",
    }
    return names.get(type(written), "a time without a date")


def value_test(field: Field, written: object, *, literal: bool = False) -> Test:
    """Read one value.

    Args:
        field: what it is compared with.
        written: as TOML gave it.
        literal: it means itself, whatever it looks like: no range, no network (`eq`).

    Raises:
        ValueError: with what it is not.
    """
    if field.kind in TEXTUAL:
        if not isinstance(written, str):
            raise ValueError(f"`{field.name}` is a text, not {toml_type(written)}")
        return Equal(frozenset({_known_word(field, written).encode()}))
    if field.kind is Kind.IP:
        return _address(written, literal=literal)
    if field.kind is Kind.JSON:
        return Equal(frozenset({_json_value(field, written)}))
    if field.kind is Kind.DECIMAL:
        return _decimal(field, written, literal=literal)
    if (
        not literal
        and field.kind is Kind.NUMBER
        and isinstance(written, str)
        and (found := re.fullmatch(r"([0-9]{1,20})-([0-9]{0,20})", written))
    ):
        low = field.checked(int(found[1]))
        high = field.checked(int(found[2])) if found[2] else field.largest
        if low > high:
            raise ValueError(f"the range {written!r} is empty")
        return Between(low, high)
    return Equal(frozenset({number_of(field, written)}))


def _json_value(field: Field, written: object) -> Value:
    """Return a text, number or boolean as the payload's readers give it."""
    if isinstance(written, bool):
        return b"true" if written else b"false"
    if isinstance(written, str):
        return written.encode()
    if isinstance(written, (int, float)) and math.isfinite(written):
        return written
    raise ValueError(
        f"`{field.name}` is a text, a number or a boolean of JSON, not {toml_type(written)}"
    )


def _decimal(field: Field, written: object, *, literal: bool) -> Test:
    """Read a number that may have a fraction, or a range of them."""
    one = r"([0-9]{1,20}(?:\.[0-9]{1,20})?)"
    if (
        not literal
        and isinstance(written, str)
        and (found := re.fullmatch(rf"{one}-{one}?", written))
    ):
        low, high = float(found[1]), float(found[2]) if found[2] else math.inf
        if low > high:
            raise ValueError(f"the range {written!r} is empty")
        return Between(low, high)
    return Equal(frozenset({decimal_of(field, written)}))


def decimal_of(field: Field, written: object) -> float:
    """Read one number that may have a fraction.

    Raises:
        ValueError: with what it is not.
    """
    if isinstance(written, str) and field.kind is Kind.DECIMAL:
        read = field.parse(written)
        assert isinstance(read, float)  # noqa: S101 - that is how decimals are read
        return read
    if isinstance(written, bool) or not isinstance(written, (int, float)):
        raise ValueError(f"`{field.name}` wants a number, not {toml_type(written)}")
    if not math.isfinite(written):
        raise ValueError(f"not a number: {written}")
    return float(written)


def number_of(field: Field, written: object) -> int:
    """Read one number, time or MAC address.

    Raises:
        ValueError: with what it is not.
    """
    if isinstance(written, datetime) and field.kind is Kind.TIME:
        return time_us(written)
    if isinstance(written, bool) or not isinstance(written, (int, str)):
        raise ValueError(f"`{field.name}` is {A_KIND[field.kind]}, not {toml_type(written)}")
    if isinstance(written, int):
        if field.kind is Kind.TIME and written < 0:
            raise ValueError(f"{written} is before 1970")
        return written if field.kind is Kind.TIME else field.checked(written)
    try:
        read = field.parse(written)
    except ValueError as error:
        meant = did_you_mean(written.upper(), field.names, foreign={}) if field.names else None
        raise ValueError(f"{error}; did you mean {meant!r}?" if meant else str(error)) from None
    assert isinstance(read, int)  # noqa: S101 - only the kinds above come here
    return read


def _known_word(field: Field, written: str) -> str:
    """Return a text, unless the field can never hold it."""
    if field.words and written not in field.words:
        meant = did_you_mean(written.lower(), field.words, foreign={})
        hint = f"did you mean {meant!r}?" if meant else f"it is one of {', '.join(field.words)}"
        raise ValueError(f"`{field.name}` is never {written!r}; {hint}")
    return written


def _address(written: object, *, literal: bool) -> Test:
    if not isinstance(written, str):
        raise ValueError(f"an address or network is a text, not {toml_type(written)}")
    if "%" in written:
        raise ValueError(f"packets carry no zone: {written!r}")
    if "/" not in written or literal:
        try:
            return Equal(frozenset({ipaddress.ip_address(written).packed}))
        except ValueError:
            what = "an address" if literal else "an address or network"
            raise ValueError(f"not {what}: {written!r}") from None
    if not re.fullmatch(r"[^/]+/[0-9]{1,3}", written):
        raise ValueError(f"not a network: {written!r}; its length is a number of bits, as in /24")
    try:
        network = ipaddress.ip_network(written)
    except ValueError:
        try:
            meant = ipaddress.ip_network(written, strict=False)
        except ValueError:
            raise ValueError(f"not a network: {written!r}") from None
        raise ValueError(
            f"the network {written!r} has host bits set; did you mean {str(meant)!r}?"
        ) from None
    return Within(network.network_address.packed, network.broadcast_address.packed)
