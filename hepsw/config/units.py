"""Durations, sizes and urls: the small notations that values are written in."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_OCTETS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

LONGEST: Final = 10 * 366 * 86400
"""Seconds of the longest duration that means anything here."""
HEP_PORT: Final = 9060
"""Where HEP is spoken when a url names no port; OpenSIPS' `hep_relay` would take 5060."""


def duration(written: object) -> float:
    """Read `"500ms"`, `"5s"`, `"2h"` as seconds.

    Raises:
        ValueError: it is not a duration.
    """
    pattern = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)"
    if isinstance(written, str) and (found := re.fullmatch(pattern, written)):
        seconds = float(found[1]) * _SECONDS[found[2]]
        if seconds > LONGEST:
            raise ValueError(f"longer than ten years: {written!r}")
        return seconds
    raise ValueError(f'not a duration such as "500ms", "5s", "2h": {written!r}')


def size(written: object) -> int:
    """Read `"4MiB"`, `"512KiB"` as octets.

    Raises:
        ValueError: it is not a size.
    """
    pattern = r"([0-9]{1,12})(B|KiB|MiB|GiB|TiB)"
    if isinstance(written, str) and (found := re.fullmatch(pattern, written)):
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
        return ipaddress.ip_address(self.host) if _is_address(self.host) else None

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
    except ValueError:
        if written.count(":") > 2 and "[" not in written:
            raise ValueError(f"an IPv6 address wants brackets: {written!r}") from None
        raise ValueError(f"no port from 1 to 65535 in the url {written!r}") from None
    if host == "*":
        raise ValueError(f'all addresses are "0.0.0.0" or "[::]": {written!r}')
    if host and re.fullmatch(r"[0-9.]+", host) and not _is_address(host):
        raise ValueError(f"not an address: {host!r}")
    if not host or not re.fullmatch(r"[0-9A-Za-z._:%-]+", host):
        raise ValueError(f"no host in the url {written!r}")
    if port == 0:
        raise ValueError(f"port 0 in the url {written!r}")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"nothing may follow the port in the url {written!r}")
    return Url(parts.scheme, host, port or HEP_PORT)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
