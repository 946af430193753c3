"""Durations, sizes and urls: the small notations that values are written in."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_OCTETS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

LONGEST: Final = 10 * 366 * 86400
"""Seconds of the longest duration that means anything here."""
HEP_PORT: Final = 9060
"""Where HEP is spoken when a url names no port; OpenSIPS' `hep_relay` would take 5060."""
_PORTS: Final = {"tls": 9061, "sip": 5060}
"""Ports of the schemes that have another."""


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


def rate(written: object) -> float:
    """Read `"200/s"`, `"30/m"`, `"5/h"` as a number a second.

    Raises:
        ValueError: it is not a rate.
    """
    pattern = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)/(s|m|h)"
    if isinstance(written, str) and (found := re.fullmatch(pattern, written)):
        number = float(found[1])
        if number <= 0:
            raise ValueError("a rate is more than 0; `drop` lets nothing pass")
        return number / _SECONDS[found[2]]
    raise ValueError(f'not a rate such as "200/s", "30/m": {written!r}')


def share(written: object) -> float:
    """Read `"10%"` as a number from 0 to 1.

    Raises:
        ValueError: it is not a share.
    """
    pattern = r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%"
    if isinstance(written, str) and (found := re.fullmatch(pattern, written)):
        percent = float(found[1])
        if not 0 < percent <= 100:
            raise ValueError(f"a share is more than 0% and at most 100%: {written!r}")
        return percent / 100
    raise ValueError(f'not a share such as "10%", "0.5%": {written!r}')


def rate_text(per_s: float) -> str:
    """Write a number a second as `rate` reads it: exactly, and in whole numbers if it can be."""
    texts = [f"{per_s * _SECONDS[unit]:.3f}".rstrip("0").rstrip(".") + f"/{unit}" for unit in "smh"]
    exact = [text for text in texts if _reads(rate, text, per_s)]
    return next((text for text in exact if "." not in text), (exact or texts)[0])


def share_text(part: float) -> str:
    """Write a number from 0 to 1 as `share` reads it."""
    return f"{100 * part:.6f}".rstrip("0").rstrip(".") + "%"


def _reads(reader: Callable[[str], float], text: str, number: float) -> bool:
    try:
        return reader(text) == number
    except ValueError:
        return False


def duration_text(seconds: float) -> str:
    """Write seconds as `duration` reads them, in the largest unit that leaves no fraction."""
    for unit, length in reversed(_SECONDS.items()):
        number = seconds / length
        if number >= 1 and number == int(number):
            return f"{int(number)}{unit}"
    # Not "e-07": nine decimals are what `duration` takes.
    return f"{seconds * 1000:.9f}".rstrip("0").rstrip(".") + "ms"


def size_text(octets: int) -> str:
    """Write octets as `size` reads them, in the largest unit that leaves no fraction."""
    unit = next(unit for unit, length in reversed(_OCTETS.items()) if octets % length == 0)
    return f"{octets // _OCTETS[unit]}{unit}" if octets else "0B"


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


def shown(written: object) -> str:
    """Return what was written for a url, fit for a message: who logs in, and how, is left out."""
    text = re.sub(r"""(?<=[/'"])[^\s/'"][^'"]*@""", "***@", repr(written))
    return re.sub(r"""\?[^'"]+""", "?***", text)


def url(written: object) -> Url:
    """Read `scheme://host:port`; the port may be left out.

    Raises:
        ValueError: it is not such a url.
    """
    if not isinstance(written, str) or "://" not in written:
        raise ValueError(f'not a url such as "udp://192.0.2.1:9060": {shown(written)}')
    try:
        parts = urlsplit(written)
        host, port = parts.hostname, parts.port
    except ValueError:
        if written.count(":") > 2 and "[" not in written:
            raise ValueError(f"an IPv6 address wants brackets: {shown(written)}") from None
        raise ValueError(f"no port from 1 to 65535 in the url {shown(written)}") from None
    if host == "*":
        raise ValueError(f'all addresses are "0.0.0.0" or "[::]": {shown(written)}')
    if host and re.fullmatch(r"[0-9.]+", host) and not _is_address(host):
        raise ValueError(f"not an address: {host!r}")
    if not host or not re.fullmatch(r"[0-9A-Za-z._:%-]+", host):
        raise ValueError(f"no host in the url {shown(written)}")
    if port == 0:
        raise ValueError(f"port 0 in the url {shown(written)}")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"nothing may follow the port in the url {shown(written)}")
    return Url(parts.scheme, host, port or _PORTS.get(parts.scheme, HEP_PORT))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
