"""Where packets go: destinations, stores, traces, and what privacy leaves of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hepsw.config.database_url import DATABASE_SCHEMES, check_database_url
from hepsw.config.models.block import (
    DURATION,
    SIZE,
    Block,
    Duration,
    Secret,
    Size,
    Strings,
    UnfitError,
    as_written,
    listed,
    one_of,
    one_shape,
    or_unread,
    read_urls,
)
from hepsw.config.units import duration, duration_text, shown, size
from hepsw.fields.profiles import PROFILES

SCHEMES: Final = ("udp", "tcp", "tls", "sip")

if TYPE_CHECKING:
    from hepsw.config.units import Url

    DestinationUrl = Url
else:
    DestinationUrl = one_of(*SCHEMES, verb="send to")


Number = TypeVar("Number", int, float)


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

    urls: Annotated[
        list[DestinationUrl],
        BeforeValidator(listed),
        Field(alias="url", min_length=1),
        or_unread(read_urls),
    ]
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


MOST_ROWS: Final = 8192
"""Rows of a batch: as many packets as wait in memory for a store. What waits is bounded in octets
too, and counts in `[switch] memory` until its batch is done with."""
MOST_SECONDS: Final = 60.0
"""How long a row may wait for others: so much is lost with a process that is killed."""


def _batch_rows(written: object) -> object:
    if isinstance(written, int) and written > MOST_ROWS:
        raise UnfitError(
            f"`rows` must be at most {MOST_ROWS}",
            "so many packets wait in memory for a store: a larger batch is never met",
        )
    return written


def _batch_every(written: object) -> float:
    seconds = duration(written)
    if seconds > MOST_SECONDS:
        raise UnfitError(
            f"`every` must be at most {duration_text(MOST_SECONDS)}",
            "what waits for others is in memory alone: a crash loses it",
        )
    return seconds


class Batch(Block):
    """`batch = { rows, every }`: how a store groups its writes."""

    rows: Annotated[PositiveInt, Field(le=MOST_ROWS), BeforeValidator(_batch_rows)] = 2000
    """Rows written at once [2000]."""
    every: Annotated[
        float, Field(gt=0, le=MOST_SECONDS), BeforeValidator(_batch_every), as_written(DURATION)
    ] = 1.0
    """Longest time that a row waits for others [`1s`]."""


FILE_SCHEMES: Final = ("sqlite", "pcap", "jsonl")
TIMED_SCHEMES: Final = ("pcap", "jsonl")
"""Schemes of files that follow each other, by the time of the packets and by size."""

USED_BY: Final = {
    "layout": ("postgres",),
    "partition": ("postgres",),
    "rotate": TIMED_SCHEMES,
    "columns": ("postgres", "sqlite", "jsonl"),
    "a duration for each profile": ("postgres", "sqlite"),
}
"""What not every store has a use for: with which schemes it goes. All else goes with all."""


def _store_url(written: object) -> object:
    scheme, separator, path = written.partition("://") if isinstance(written, str) else ("", "", "")
    if not separator:
        raise ValueError(f'not a url such as "sqlite://state/hep.db": {shown(written)}')
    if scheme in DATABASE_SCHEMES:
        check_database_url(str(written))
        return written
    if scheme not in FILE_SCHEMES:
        known = ", ".join(("postgres", *FILE_SCHEMES))
        raise ValueError(f"cannot store to `{scheme}://`: {known}")
    if not path or path.endswith("/") or "\0" in path:
        raise ValueError(f"no file in the url {shown(written)}")
    if path.startswith(("~", ":")) or "?" in path:
        raise ValueError(f"not a plain file name in the url {shown(written)}")
    if "${" in path:
        raise UnfitError(
            f"no field of a packet stands in the name of a file: {shown(written)}",
            "take the ${ out: whoever sends packets would choose the file",
        )
    if scheme not in TIMED_SCHEMES and "%" in path:
        raise UnfitError(
            f"`{scheme}://` keeps all in one file: its name has no parts of the time",
            "take the % out; `keep` removes what is old",
        )
    wrong = re.search(r"%(?![YmdHMSjyUW%])", path)
    if wrong:
        raise ValueError(
            f"`{path[wrong.start() : wrong.start() + 2]}` is no part of the time: %Y %m %d %H %M %S"
        )
    return written


def _keep(written: object) -> object:
    if isinstance(written, dict):
        if not written:
            raise ValueError("an empty table keeps nothing")
        return {name: _kept(value) for name, value in written.items()}
    if isinstance(written, str) and written.endswith("B"):
        return _more_than_none(size(written), written)
    return _kept(written)


def _kept(written: object) -> float:
    return _more_than_none(duration(written), written)


def _more_than_none(number: Number, written: object) -> Number:
    if not number:
        raise ValueError(f"keeps nothing: {written!r}")
    return number


def _rotate(written: object) -> int:
    octets = size(written)
    if octets < LEAST_FILE:
        raise ValueError(f"a file has at least 64KiB before another is begun: {written!r}")
    return octets


def _scheme_alone(written: object) -> str:
    """Return what a url that cannot be read still says: with what the other keys must go."""
    scheme, separator, _ = written.partition("://") if isinstance(written, str) else ("", "", "")
    if isinstance(written, dict):
        return f"{DATABASE_SCHEMES[0]}://"
    known = separator and scheme in {*FILE_SCHEMES, *DATABASE_SCHEMES}
    return f"{scheme}://" if known else ""


LEAST_FILE: Final = 64 << 10
"""Octets: less would make a file of every few packets."""

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
                    "pattern": r"^((postgres|postgresql|pcap|jsonl)://[^~:]|sqlite://[^~:%][^%]*$)",
                    "examples": ["sqlite://state/packets.db", "pcap://calls-%Y%m%d-%H.pcap.gz"],
                }
            ),
        ],
    )


class Store(Block):
    """`[stores.x]`: where packets are kept.

    Delivery class by scheme: databases (`postgres://`, `sqlite://`) are effectively once, a batch
    that is tried again is recognised. Files (`pcap://`, `jsonl://`) are at least once: what was
    written last before the process was killed may be written again.
    """

    url: Annotated[StoreUrl, or_unread(_scheme_alone)]
    """`sqlite://file`, `pcap://file`, `jsonl://file` or `postgres://host/database`; a relative file
    starts at the folder of the TOML file. Names of pcap and jsonl files take parts of the packet's
    time, UTC."""
    layout: Literal["homer7", "hepsw"] = "hepsw"
    """The tables of a database on Postgres [`hepsw`]."""
    batch: Batch = Batch()
    """How writes are grouped."""
    partition: Annotated[Duration, Field(ge=60)] = 86400.0
    """The time that one partition of a database on Postgres holds [`1d`]."""
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
                "properties": {
                    name: {**DURATION, "title": name, "description": f"Of {holds}."}
                    for name, holds in PROFILES.items()
                },
                "additionalProperties": False,
            },
        ),
    ] = None
    """How much is kept: a duration, a size, or, in a database, a duration for each profile [all].
    """
    rotate: Annotated[int, BeforeValidator(_rotate), as_written(SIZE)] | None = None
    """After so many octets another pcap or jsonl file is begun [when the time in its name is over].
    """
    spool: Spool | None = None
    """Where on disk waits what the store cannot take [nowhere]."""
    columns: dict[str, str] = {}
    """Further columns, not of pcap files: a template for each name."""

    @property
    def scheme(self) -> str:
        """`sqlite`, `pcap`, `jsonl` or `postgres`; empty where the url does not tell."""
        return _scheme(self.url)

    # Before the value is looked at: of a key that is to be taken out it does not matter.
    @field_validator("layout", "partition", "keep", "rotate", "columns", mode="before")
    @classmethod
    def _goes_with_the_url(cls, value: Any, info: ValidationInfo) -> Any:
        # Where the url cannot be read, this is asked again with as much of it as can.
        scheme = _scheme(info.data.get("url", ""))
        if scheme and info.field_name is not None:
            per_profile = info.field_name == "keep" and isinstance(value, dict)
            key = "a duration for each profile" if per_profile else info.field_name
            users = USED_BY.get(key, (scheme,))
            if scheme not in users:
                named = key if per_profile else f"`{key}`"
                cure = "write one duration or a size" if per_profile else "take it out"
                only = " and ".join(f"{user}://" for user in users)
                raise UnfitError(
                    f"{named} does not go with `{scheme}://`",
                    f"{cure}; it goes with {only}",
                    at_key=True,
                )
        return value


def _scheme(url: str | Secret) -> str:
    # Only a database has something in its url that is worth keeping elsewhere.
    found = url.partition("://")[0] if isinstance(url, str) else "postgres"
    return "postgres" if found in DATABASE_SCHEMES else found


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
    key: Annotated[
        Secret | None, Field(validate_default=True), or_unread(lambda _: Secret.model_construct())
    ] = None
    """Of the keyed hash: same caller, same token."""
    other: Literal["drop", "keep"] = "drop"
    """A payload that the profile cannot read [`drop`]."""

    @field_validator("key")
    @classmethod
    def _hash_wants_a_key(cls, key: Secret | None, info: ValidationInfo) -> Secret | None:
        if info.data.get("users") == "hash" and key is None:
            raise ValueError('`users = "hash"` wants a `key`: without one, numbers can be guessed')
        return key
