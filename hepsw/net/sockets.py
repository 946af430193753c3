"""Making sockets: addresses looked up, buffers asked for, IPv4 seen as IPv4."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hepsw.config.configuration import Listener

SPARE_FILES: Final = 64
"""Descriptors that connections leave to everything else."""
SO_RCVBUFFORCE: Final = 33
"""Linux's number: the receive buffer beyond net.core.rmem_max, for who may administer the network.
"""
SO_MEMINFO: Final = 55
"""Linux's number: the socket's memory account, readable at any time."""
DROPS_AT: Final = 8 * 4
"""Where SO_MEMINFO holds the count of dropped datagrams (SK_MEMINFO_DROPS), 32 bits in host order.
"""


def packed(host: str) -> bytes:
    """Return an address as a socket tells it, packed; a v4-mapped one as the IPv4 address it is."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).packed


def connections_allowed() -> int:
    """Return how many connections there may be: files, stores and reloads need some too."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, limit - SPARE_FILES) if limit != resource.RLIM_INFINITY else 1 << 20


def listening_socket(listener: Listener, *, v6_only: bool) -> socket.socket:
    """Return a bound socket for a listener, not yet read from.

    Args:
        listener: whose url says where.
        v6_only: keep an IPv6 socket off IPv4, because another listener has that port there.

    Raises:
        OSError: the name does not resolve, the address is not ours, or the port is taken.
    """
    kind = socket.SOCK_DGRAM if listener.url.scheme == "udp" else socket.SOCK_STREAM
    try:
        family, _, _, _, address = socket.getaddrinfo(
            listener.url.host, listener.url.port, type=kind, flags=socket.AI_PASSIVE
        )[0]
    except UnicodeError as error:
        raise OSError(errno.EINVAL, f"no host name: {error}") from error
    made = socket.socket(family, kind)
    try:
        made.settimeout(0)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            ask_receive_buffer(made, listener.receive_buffer)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def is_v6_only(sock: socket.socket) -> bool | None:
    """Tell whether an IPv6 socket keeps off IPv4; None for one that is of IPv4."""
    if sock.family != socket.AF_INET6:
        return None
    return bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def ask_receive_buffer(sock: socket.socket, octets: int) -> None:
    """Ask for a receive buffer; what is granted is for `granted_receive_buffer` to say."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, octets)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def granted_receive_buffer(sock: socket.socket) -> int:
    """Return the receive buffer in octets; Linux keeps and tells twice what was asked for."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def kernel_drops(sock: socket.socket) -> int:
    """Return how many datagrams the kernel dropped on this socket, modulo 2^32.

    0 where it cannot say.
    """
    try:
        told = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
    except OSError:
        return 0
    return int.from_bytes(told[DROPS_AT : DROPS_AT + 4], _HOST_ORDER)


_HOST_ORDER: Final[Any] = "little" if socket.htons(1) != 1 else "big"
