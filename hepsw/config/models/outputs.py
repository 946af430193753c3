"""Where packets go: destinations, stores, traces, and what privacy leaves of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from hepsw.config.models.block import (
    DURATION,
    SIZE,
    Block,
    Duration,
    Secret,
    Size,
    Strings,
    as_written,
    listed,
    one_of,
    one_shape,
)
from hepsw.config.units import duration, shown, size

if TYPE_CHECKING:
    from hepsw.config.units import Url

    DestinationUrl = Url
else:
    DestinationUrl = one_of("udp", "tcp", "tls", "sip", verb="send to")


class Queue(Block):
    """`queue = { packets, bytes }`: what waits in memory for a destination."""

    packets: PositiveInt = 8192
    """Packets [8192]."""
    bytes: Annotated[Size, Field(gt=0)] = 16 << 20
    """Octets of those packets [`16MiB`]."""


def _sync(written: object) -> object:
    return written if written in ("always", "never") else duration(written)


class Spool(Block):
    """`spool = { path, max, sync, age }`: the disk takes what does not fit, or cannot be sent."""

    path: Annotated[str, Field(min_length=1)]
    """Its folder, which belongs to one output alone."""
    max: Annotated[Size, Field(gt=0)] = 1 << 30
    """Octets that it may take [`1GiB`]."""
    sync: Annotated[
        Literal["always", "never"] | float,
        BeforeValidator(_sync),
        as_written({"enum": ["always", "never"], "title": "a word"}, DURATION),
    ] = 0.2
    """How often it is made durable: `always`, `never`, or a duration [`200ms`]."""
    age: Annotated[Duration, Field(gt=0)] | None = None
    """Packets older than that are given up [none]."""


class DestinationTls(Block):
    """`tls = { ca, cert, key, name }` of a destination."""

    ca: str | None = None
    """Whose certificates are believed [those of the system]."""
    cert: str | None = None
    """The certificate chain that is shown, PEM."""
    key: str | None = None
    """Its key, PEM."""
    name: str | None = None
    """The name that the certificate of the far side must have [the host of the url]."""


class Destination(Block):
    """`[destinations]`: where packets are relayed to.

    Delivery class by scheme: UDP and `sip://` are best effort. TCP and TLS are at least once, up to
    the far side's kernel: what a break leaves unacknowledged is sent again, on the next connection,
    and what a dying far side had acknowledged and not read is lost.
    """

    urls: Annotated[list[DestinationUrl], BeforeValidator(listed), Field(alias="url", min_length=1)]
    """`udp://host:port`, `tcp://host:port`, `tls://host:port` or `sip://host:port`; one or a list
    [port 9060, TLS 9061, SIP 5060]."""
    policy: Literal["failover", "hash", "round-robin"] = "failover"
    """Which of several urls takes a packet [`failover`]."""
    key: str = "call"
    """The field that `hash` keeps together [call]."""
    hep: Literal["keep", 1, 2, 3] = "keep"
    """The HEP version that leaves [`keep`]."""
    tls: DestinationTls | None = None
    """What is believed and shown over TLS."""
    bind: str | None = None
    """The address to send from [the system's choice]."""
    compress: Literal["keep", "payload", "inflate"] = "keep"
    """Whether payloads leave as they came, compressed or inflated [`keep`]."""
    privacy: str | None = None
    """The privacy profile that rewrites whatever leaves here [none]."""
    set: dict[str, Any] = {}
    """Chunks to write on the way out: a value or a template for each field."""
    unset: Strings = []
    """Chunks to remove on the way out."""
    auth_key: Secret | None = None
    """The key that is stamped on the way out [none]."""
    queue: Queue = Queue()
    """What waits in memory while the far side is away or slow."""
    spool: Spool | None = None
    """Where on disk waits what does not fit the queue [nowhere]."""
    overflow: Literal["drop-old", "drop-new"] = "drop-old"
    """Which packet goes when the last place is full [`drop-old`]."""
    oversize: str = "drop"
    """What becomes of a packet that the transport cannot carry: `drop`, or another destination
    [`drop`]."""
    timeout: Annotated[Duration, Field(gt=0, le=3600)] = 5.0
    """Longest time to connect, and longest time without progress in sending [`5s`]."""

    @property
    def url(self) -> Url:
        """The first url."""
        return self.urls[0]

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, written: object) -> object:
        if isinstance(written, str):
            return {"url": written}
        if not isinstance(written, dict):
            raise ValueError("a destination is a url or a table")
        return written


class Batch(Block):
    """`batch = { rows, every }`: how a store groups its writes."""

    rows: PositiveInt = 2000
    """Rows written at once [2000]."""
    every: Annotated[Duration, Field(gt=0)] = 1.0
    """Longest time that a row waits for others [`1s`]."""


FILE_SCHEMES: Final = ("sqlite", "pcap", "jsonl")


def _store_url(written: object) -> object:
    scheme, separator, path = written.partition("://") if isinstance(written, str) else ("", "", "")
    if not separator:
        raise ValueError(f'not a url such as "sqlite://state/hep.db": {shown(written)}')
    if scheme in {"postgres", "postgresql"}:
        _check_database(str(written))
        return written
    if scheme not in FILE_SCHEMES:
        known = ", ".join(("postgres", *FILE_SCHEMES))
        raise ValueError(f"cannot store to `{scheme}://`: {known}")
    if not path or path.endswith("/") or "\0" in path:
        raise ValueError(f"no file in the url {shown(written)}")
    if path.startswith(("~", ":")) or "?" in path:
        raise ValueError(f"not a plain file name in the url {shown(written)}")
    wrong = re.search(r"%(?![YmdHMSjyUW%])", path)
    if wrong:
        raise ValueError(
            f"`{path[wrong.start() : wrong.start() + 2]}` is no part of the time: %Y %m %d %H %M %S"
        )
    return written


def _check_database(written: str) -> None:
    try:
        host = urlsplit(written).hostname
        _ = urlsplit(written).port
    except ValueError:
        host = None
    if not host:
        raise ValueError(
            f"no host in the url of a database: {written.partition('@')[2] or written}"
        )


def _keep(written: object) -> object:
    if isinstance(written, dict):
        if not written:
            raise ValueError("an empty table keeps nothing")
        return {name: duration(value) for name, value in written.items()}
    if isinstance(written, str) and written.endswith("B"):
        return size(written)
    return duration(written)


if TYPE_CHECKING:
    StoreUrl = str | Secret
else:
    StoreUrl = one_shape(
        Secret,
        Annotated[
            str,
            BeforeValidator(_store_url),
            as_written(
                {
                    "type": "string",
                    "title": "a url",
                    "pattern": r"^(postgres|postgresql|sqlite|pcap|jsonl)://[^~:]",
                    "examples": ["sqlite://state/packets.db", "pcap://calls-%Y%m%d-%H.pcap.gz"],
                }
            ),
        ],
    )


class Store(Block):
    """`[stores.x]`: where packets are kept."""

    url: StoreUrl
    """`sqlite://file`, `pcap://file`, `jsonl://file` or `postgres://host/database`; a relative file
    starts at the folder of the TOML file."""
    layout: Literal["homer7", "hepsw"] = "hepsw"
    """The tables of a database [`hepsw`]."""
    batch: Batch = Batch()
    """How writes are grouped."""
    partition: Annotated[Duration, Field(ge=60)] = 86400.0
    """The time that one partition of a database holds [`1d`]."""
    keep: Annotated[
        float | int | dict[str, float] | None,
        BeforeValidator(_keep),
        as_written(
            DURATION,
            SIZE,
            {
                "type": "object",
                "title": "a duration for each profile",
                "minProperties": 1,
                "additionalProperties": DURATION,
            },
        ),
    ] = None
    """How much is kept: a duration, a size, or a duration for each profile [all]."""
    spool: Spool | None = None
    """Where on disk waits what the store cannot take [nowhere]."""
    columns: dict[str, str] = {}
    """Further columns: a template for each name."""


class Trace(Block):
    """`[traces.x]`: outputs that are switched on and off together, as OpenSIPS' trace ids."""

    to: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
    """Destinations and stores."""
    enabled: bool = True
    """False switches the trace off [true]."""


class Ips(Block):
    """`ips = { v4, v6 }`: bits of an address that leave."""

    v4: Annotated[int, Field(ge=0, le=32)] = 32
    """Of an IPv4 address [32]."""
    v6: Annotated[int, Field(ge=0, le=128)] = 128
    """Of an IPv6 address [128]."""


class Headers(Block):
    """`headers = { drop = […] }`: headers of SIP that do not leave."""

    drop: Strings
    """Names of headers, in any case."""


class Privacy(Block):
    """`[privacy.x]`: what leaves through a destination."""

    users: Literal["hash", "mask", "drop", "keep"] = "hash"
    """Users in SIP URIs [`hash`]."""
    ips: Ips = Ips()
    """Addresses."""
    headers: Headers | None = None
    """Headers of SIP that do not leave [none]."""
    sdp: Literal["drop", "keep"] = "drop"
    """Session descriptions [`drop`]."""
    key: Secret | None = None
    """Of the keyed hash: same caller, same token."""
    other: Literal["drop", "keep"] = "drop"
    """A payload that the profile cannot read [`drop`]."""

    @model_validator(mode="after")
    def _hash_wants_a_key(self) -> Privacy:
        if self.users == "hash" and self.key is None:
            raise ValueError('`users = "hash"` wants a `key`: without one, numbers can be guessed')
        return self
