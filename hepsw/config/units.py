"""Durations, sizes and urls: the small notations that values are written in."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_OCTETS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

HEP_PORT: Final = 9060
"""Where HEP is spoken when a url names no port; OpenSIPS' `hep_relay` would take 5060."""


def duration(written: object) -> float:
    """Read `"500ms"`, `"5s"`, `"2h"` as seconds.

    Raises:
        ValueError: it is not a duration.
    """
    if isinstance(written, str) and (
        found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", written)
    ):
        return float(found[1]) * _SECONDS[found[2]]
    raise ValueError(f'not a duration such as "500ms", "5s", "2h": {written!r}')


def size(written: object) -> int:
    """Read `"4MiB"`, `"512KiB"` as octets.

    Raises:
        ValueError: it is not a size.
    """
    if isinstance(written, str) and (found := re.fullmatch(r"(\d+)(B|KiB|MiB|GiB|TiB)", written)):
        return int(found[1]) * _OCTETS[found[2]]
    raise ValueError(f'not a size such as "512KiB", "16MiB": {written!r}')


@dataclass(frozen=True, slots=True)
class Url:
    """Where to listen or to send."""

    scheme: str
    host: str
    """An address or a name; IPv6 addresses without brackets."""
    port: int

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an address; None for a name that must be looked up."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def url(written: object) -> Url:
    """Read `scheme://host:port`; the port may be left out.

    Raises:
        ValueError: it is not such a url.
    """
    if not isinstance(written, str) or "://" not in written:
        raise ValueError(f'not a url such as "udp://192.0.2.1:9060": {written!r}')
    try:
        parts = urlsplit(written)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"not a url: {written!r} ({error})") from None
    if not host or not re.fullmatch(r"[0-9A-Za-z._:%-]+", host):
        raise ValueError(f"no host in the url {written!r}")
    if port == 0:
        raise ValueError(f"port 0 in the url {written!r}")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"nothing may follow the port in the url {written!r}")
    return Url(parts.scheme, host, port or HEP_PORT)
