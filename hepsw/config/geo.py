"""`[geo]`: databases of places and networks in MaxMind's format.

Opened by `load`, asked by the geo fields once a packet and rule. A database is read into memory: a
file that is mapped and then written over in place would kill the process. `maxminddb` is the extra
`geo`; without it only a configuration that names a database is refused.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REMEMBERED: Final = 65_536
"""Addresses whose record is kept: looking one up takes longer than all else that a rule does."""


DAMAGE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What `maxminddb` raises of damaged files beside its own error: not all of it is checked there."""


class Database:
    """One database; a `hepsw.fields.Geo`."""

    def __init__(self, file: Path) -> None:
        """Open it.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no such database, or the package that reads it is not installed.
        """
        try:
            import maxminddb  # noqa: PLC0415 - an extra that few configurations need
        except ImportError:
            raise ValueError("hepsw is installed without its extra `geo`") from None
        try:
            reader = maxminddb.open_database(str(file), maxminddb.MODE_MEMORY)
        except (maxminddb.InvalidDatabaseError, *DAMAGE) as error:
            raise ValueError(f"not a database: {error}") from None
        damage: Final = (maxminddb.InvalidDatabaseError, *DAMAGE)
        only_v4: Final = reader.metadata().ip_version == 4

        def record(address: bytes) -> dict[str, Any]:
            if only_v4 and len(address) == 16:
                return {}
            try:
                found = reader.get(_text(address))
            except damage:
                return {}  # a damaged record: this address has no place
            return found if isinstance(found, dict) else {}

        self._record: Callable[[bytes], dict[str, Any]] = lru_cache(REMEMBERED)(record)

    def country(self, address: bytes) -> bytes | None:
        """Return the ISO code of the country."""
        return _encoded(_inside(self._record(address), "country", "iso_code"))

    def city(self, address: bytes) -> bytes | None:
        """Return the English name of the city."""
        return _encoded(_inside(self._record(address), "city", "names", "en"))

    def asn(self, address: bytes) -> int | None:
        """Return the number of the autonomous system."""
        number = self._record(address).get("autonomous_system_number")
        return number if isinstance(number, int) and 0 <= number < 1 << 32 else None


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def _inside(record: object, *steps: str) -> object:
    for step in steps:
        record = record.get(step) if isinstance(record, dict) else None
    return record


def _encoded(text: object) -> bytes | None:
    return text.encode("utf-8", "replace") if isinstance(text, str) and text else None
