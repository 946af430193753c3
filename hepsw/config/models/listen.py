"""`[[listen]]`: where HEP arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from hepsw.config.models.block import (
    SIZE,
    Block,
    Duration,
    Secret,
    Strings,
    as_written,
    listed,
    one_of,
    or_unread,
    read_urls,
)
from hepsw.config.units import size

if TYPE_CHECKING:
    from hepsw.config.units import Url

    ListenUrl = Url
else:
    ListenUrl = one_of("udp", "tcp", "tls", verb="listen on")


def _version(written: object) -> object:
    if isinstance(written, bool):
        raise ValueError("a HEP version is 1, 2 or 3")
    return written


def _receive_buffer(written: object) -> int:
    asked = size(written)
    if not 4096 <= asked <= 1 << 30:
        raise ValueError(f"a receive buffer has 4KiB to 1GiB: {written!r}")
    return asked


class ListenTls(Block):
    """`tls = { cert, key, client_ca, names }` of a listener."""

    cert: Annotated[str, or_unread(lambda _: "")]
    """The certificate chain, PEM."""
    key: Annotated[str, or_unread(lambda _: "")]
    """Its key, PEM."""
    client_ca: str | None = None
    """Whose certificates clients must show; none are asked for without it."""
    names: Strings = []
    """Names of client certificates that are let in [all that `client_ca` signed]."""


class Listen(Block):
    """`[[listen]]`: a socket that HEP arrives on."""

    name: Annotated[str, Field(min_length=1)] | None = None
    """What rules and counters call it [the url]."""
    url: Annotated[
        list[ListenUrl], BeforeValidator(listed), Field(min_length=1), or_unread(read_urls)
    ]
    """`udp://host:port`, `tcp://host:port` or `tls://host:port`; one or a list [port 9060, TLS
    9061]."""
    entry: str = "main"
    """The table that its packets enter first [`main`]."""
    from_: Annotated[list[str] | None, BeforeValidator(listed), Field(alias="from")] = None
    """Networks, or `"@set"`, that are heard; others are rejected [all]."""
    auth_key: Annotated[
        Annotated[list[Secret], Field(min_length=1)] | None, BeforeValidator(listed)
    ] = None
    """Secrets, one of which chunk 0x000e must hold; it is not passed on [not asked for]."""
    versions: Annotated[
        list[Annotated[Literal[1, 2, 3], BeforeValidator(_version)]], Field(min_length=1)
    ] = [1, 2, 3]
    """HEP versions that are taken; others are rejected and counted [`[1, 2, 3]`]."""
    gzip_frames: bool = False
    """Take datagrams that are a gzip member around a whole packet, as heplify 2 sends with
    `payload_zip` [false]."""
    tls: ListenTls | None = None
    """Certificate and key of a `tls://` url, and what is asked of clients."""
    max_packet: Annotated[int, Field(ge=64, le=65535)] = 65535
    """Octets of the largest packet that is taken [65535]."""
    idle: Annotated[Duration, Field(gt=0)] | None = None
    """A connection that is silent for so long is closed [none]."""
    receive_buffer: Annotated[int, BeforeValidator(_receive_buffer), as_written(SIZE)] = 4 << 20
    """Asked of the kernel for each socket; less than that is granted with a warning [`4MiB`]."""
