"""A destination that is one of our own listeners would send every packet round for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from hepsw.config.configuration import Listener
    from hepsw.config.models import Destination
    from hepsw.config.problems import Report
    from hepsw.config.units import Url


class Machine(Protocol):
    """What only the machine that it runs on can tell."""

    def addresses(self, host: str) -> Sequence[IPv4Address | IPv6Address]:
        """Return the addresses of a name; none where it cannot be looked up."""
        ...

    def is_own(self, address: IPv4Address | IPv6Address) -> bool:
        """Tell whether an address is one of this machine's."""
        ...


def check_loops(
    destinations: Mapping[str, Destination],
    listeners: Sequence[Listener],
    machine: Machine | None,
    report: Report,
) -> None:
    """Report destinations that lead back to a listener.

    Without a `machine` only what the text shows is found: the same address, the same name, or a
    loopback address where a listener has all addresses.
    """
    for name, destination in destinations.items():
        for at, url in enumerate(destination.urls):
            if not url.host:  # it could not be read
                continue
            path = ("destinations", name, "url", at)
            if machine is not None and not _addresses(url, machine):
                report.warning(
                    "HEP209",
                    f"`{url.host}` cannot be looked up",
                    path,
                    "packets wait in the queue until it can",
                )
            for listener in listeners:
                if _leads_to(url, listener.url, machine):
                    report.error(
                        "HEP401",
                        f"destination `{name}` is our own listener {listener.url}",
                        path,
                        "every packet would come back for ever",
                    )
                    break


def _leads_to(url: Url, listener: Url, machine: Machine | None) -> bool:
    """Tell whether what is sent to a url arrives at a listener."""
    if (url.scheme, url.port) != (listener.scheme, listener.port):
        return False
    if url.host == listener.host:
        return True
    here = {_plain(address) for address in _addresses(listener, machine)}
    everywhere = any(address.is_unspecified for address in here)
    for address in map(_plain, _addresses(url, machine)):
        if address in here or address.is_unspecified:
            return True
        if everywhere and (
            address.is_loopback or (machine is not None and machine.is_own(address))
        ):
            return True
    return everywhere and url.host == "localhost"


def _addresses(url: Url, machine: Machine | None) -> Sequence[IPv4Address | IPv6Address]:
    if url.address is not None:
        return (url.address,)
    return machine.addresses(url.host) if machine is not None else ()


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return a v4-mapped address as the IPv4 address it is."""
    return getattr(address, "ipv4_mapped", None) or address
