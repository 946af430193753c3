"""What only this machine can tell about an address: who a name is, and whether that is us."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address


class ThisMachine:
    """Asks the resolver and the kernel; blocks while it does, so call it off the loop."""

    def __init__(self) -> None:
        self.addresses = lru_cache(maxsize=None)(self._addresses)
        """Each name is looked up once in the life of this object."""

    @staticmethod
    def _addresses(host: str) -> tuple[Address, ...]:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return ()
        return tuple({ipaddress.ip_address(entry[4][0]) for entry in found})

    @staticmethod
    def is_own(address: Address) -> bool:
        """Tell whether an address is one of this machine's: the kernel lets only those be bound."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((str(address), 0))
            except OSError:
                return False
        return True
