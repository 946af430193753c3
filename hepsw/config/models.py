"""The blocks of the language as Pydantic models: what may be written, before anything is looked up.

Each model is the shape of one block in its long form; the short forms (`"udp://…"` for a
destination, one name for a list of names) are made long before they are validated, so that one
mistake gives one error. References, field names and templates are judged later, by `load.py`.

The docstring under a field is its description in the man page. `NOT_YET` names what the language
has and this release has not: writing it is an error that says so, never a key that is silently
accepted.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hepsw.config.units import Url, duration, size, url


def _listed(written: object) -> object:
    return written if isinstance(written, list) else [written]


def _not_yet(what: str) -> PydanticCustomError:
    return PydanticCustomError("not_yet", "{what} is not yet supported", {"what": what})


def _names(written: object) -> object:
    if isinstance(written, dict) and set(written) == {"map"}:
        raise _not_yet("`{ map = … }`")
    return _listed(written)


def _listen_url(written: object) -> Url:
    read = url(written)
    if read.scheme == "tls":
        raise _not_yet("listening on `tls://`")
    if read.scheme not in {"udp", "tcp"}:
        raise ValueError(f"cannot listen on `{read.scheme}://`: udp or tcp")
    return read


def _destination_url(written: object) -> Url:
    read = url(written)
    if read.scheme in {"tls", "sip"}:
        raise _not_yet(f"sending to `{read.scheme}://`")
    if read.scheme not in {"udp", "tcp"}:
        raise ValueError(f"cannot send to `{read.scheme}://`: udp or tcp")
    return read


def _store_url(written: object) -> str:
    if isinstance(written, dict):
        raise _not_yet("a url from a secret")
    scheme, separator, path = written.partition("://") if isinstance(written, str) else ("", "", "")
    if not separator:
        raise ValueError(f'not a url such as "sqlite://state/hep.db": {written!r}')
    if scheme in {"postgres", "postgresql", "pcap", "jsonl"}:
        raise _not_yet(f"storing to `{scheme}://`")
    if scheme != "sqlite":
        raise ValueError(f"cannot store to `{scheme}://`: sqlite")
    if not path or path.endswith("/") or "\0" in path:
        raise ValueError(f"no file in the url {written!r}")
    if "%" in path:
        raise _not_yet("a file name with parts of the time")
    if path.startswith(("~", ":")) or "?" in path:
        raise ValueError(f"not a plain file name in the url {written!r}")
    return path


def _version(written: object) -> object:
    if isinstance(written, bool):
        raise ValueError("a HEP version is 1, 2 or 3")
    return written


def _receive_buffer(written: object) -> int:
    asked = size(written)
    if not 4096 <= asked <= 1 << 30:
        raise ValueError(f"a receive buffer has 4KiB to 1GiB: {written!r}")
    return asked


Names = Annotated[list[str], BeforeValidator(_names)]
Duration = Annotated[float, BeforeValidator(duration)]
Size = Annotated[int, BeforeValidator(size)]
ListenUrl = Annotated[Url, BeforeValidator(_listen_url)]
DestinationUrl = Annotated[Url, BeforeValidator(_destination_url)]


class Block(BaseModel):
    """A block of the language: no key that is not named here, and no change once it is read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        populate_by_name=False,
        arbitrary_types_allowed=True,
    )


class Listen(Block):
    """`[[listen]]`: a socket that HEP arrives on."""

    name: Annotated[str, Field(min_length=1)] | None = None
    """What rules and counters call it [the url]."""
    url: Annotated[list[ListenUrl], BeforeValidator(_listed), Field(min_length=1)]
    """`udp://host:port` or `tcp://host:port`; one or a list [port 9060]."""
    entry: str = "main"
    """The table that its packets enter first [`main`]."""
    versions: Annotated[
        list[Annotated[Literal[1, 2, 3], BeforeValidator(_version)]], Field(min_length=1)
    ] = [1, 2, 3]
    """HEP versions that are taken; others are rejected and counted [`[1, 2, 3]`]."""
    gzip_frames: bool = False
    """Take datagrams that are a gzip member around a whole packet, as heplify 2 sends with
    `payload_zip` [false]."""
    receive_buffer: Annotated[int, BeforeValidator(_receive_buffer)] = 4 << 20
    """Asked of the kernel for each socket; less than that is granted with a warning [`4MiB`]."""


class Queue(Block):
    """`queue = { packets, bytes }`: what waits in memory for a destination."""

    packets: PositiveInt = 8192
    """Packets [8192]."""
    bytes: Annotated[Size, Field(gt=0)] = 16 << 20
    """Octets of those packets [`16MiB`]."""


class Destination(Block):
    """`[destinations]`: where packets are relayed to.

    Delivery class: UDP is best effort; TCP keeps what the kernel has not taken whole, and sends it
    on the next connection.
    """

    url: DestinationUrl
    """`udp://host:port` or `tcp://host:port` [port 9060]."""
    queue: Queue = Queue()
    """What waits in memory while the far side is away or slow."""
    overflow: Literal["drop-old", "drop-new"] = "drop-old"
    """Which packet goes when the queue is full [`drop-old`]."""
    timeout: Annotated[Duration, Field(gt=0, le=3600)] = 5.0
    """Longest time to connect, and longest time without progress in sending [`5s`]."""

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, written: object) -> object:
        if isinstance(written, str):
            return {"url": written}
        if not isinstance(written, dict):
            raise ValueError("a destination is a url or a table")
        if isinstance(written.get("url"), list):
            if not written["url"]:
                raise ValueError("an empty list is no url")
            if len(written["url"]) > 1:
                raise _not_yet("a destination with several urls")
            return {**written, "url": written["url"][0]}
        return written


class Batch(Block):
    """`batch = { rows, every }`: how a store groups its writes."""

    rows: PositiveInt = 2000
    """Rows written at once [2000]."""
    every: Annotated[Duration, Field(gt=0)] = 1.0
    """Longest time that a row waits for others [`1s`]."""


class Store(Block):
    """`[stores.x]`: where packets are kept."""

    url: Annotated[str, BeforeValidator(_store_url)]
    """`sqlite://file`; a relative file starts at the folder of the TOML file."""
    batch: Batch = Batch()
    """How writes are grouped."""


class SetFile(Block):
    """`[sets] x = { file, type }`: one value a line, `#` begins a comment."""

    file: str
    """The file; a relative one starts at the folder of the TOML file."""
    type: Literal["ip", "number", "string"]
    """What its lines are."""


class ChunkName(Block):
    """`[chunks] x = { vendor, id, type }`: a chunk named once; then `x` is a field."""

    vendor: Annotated[int, Field(ge=0, le=0xFFFF)]
    """Vendor id."""
    id: Annotated[int, Field(ge=0, le=0xFFFF)]
    """Type id."""
    type: Literal["uint8", "uint16", "uint32", "uint64", "inet4", "inet6", "utf8", "octets"]
    """What its octets are."""


class Outputs(Block):
    """`miss = { relay, store }`: where packets go that no rule decided."""

    relay: Names = []
    """Destinations."""
    store: Names = []
    """Stores."""


def _miss(written: object) -> object:
    if written == "drop":
        return {}
    if isinstance(written, dict) and written:
        return written
    raise ValueError('not "drop" and not `{ relay, store }`')


class Table(Block):
    """`[tables.t]`: settings of a rule table."""

    miss: Annotated[Outputs, BeforeValidator(_miss)] = Outputs()
    """What becomes of a packet that leaves the table undecided: `drop`, or outputs [drop, counted
    `missed`]."""
    doc: str = ""
    """A note."""


class LogLine(Block):
    """`log = { level, text }`: one line for each packet that matches."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Its level [`info`]."""
    text: str
    """A template."""


class Rule(Block):
    """`[[rules.t]]`: one rule of table t."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    """What counters and the log call it; unique in its table."""
    match: dict[str, Any] = {}
    """Conditions, all of which must hold; without any the rule always matches."""
    set: dict[str, Any] = {}
    """Chunks to write: a value or a template for each field."""
    unset: Annotated[list[str], BeforeValidator(_listed)] = []
    """Chunks to remove, every occurrence."""
    log: LogLine | None = None
    """A template, or `{ level, text }`."""
    store: Names = []
    """A store, or a list."""
    relay: Names = []
    """A destination, or a list: each gets a copy."""
    continue_: Annotated[bool, Field(alias="continue")] = False
    """Go on with the next rule instead of stopping here [false]."""
    goto: str | None = None
    """Go on in this table, and do not come back."""
    drop: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """End here; the text is the reason that is counted."""
    enabled: bool = True
    """False switches the rule off [true]."""
    doc: str = ""
    """A note."""

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, written: object) -> object:
        if isinstance(written, dict) and isinstance(written.get("log"), str):
            return {**written, "log": {"text": written["log"]}}
        return written


class Reload(Block):
    """`[reload]`: when a changed configuration is taken into service."""

    watch: bool = True
    """Reload when a file changes; SIGHUP always does [true]."""


class Log(Block):
    """`[log]`: what hepsw says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is said [`info`]."""
    format: Literal["auto", "text", "json"] = "auto"
    """`auto` is text on a terminal and JSON elsewhere [`auto`]."""


NOT_YET: Final[dict[type[Block] | None, frozenset[str]]] = {
    None: frozenset(
        {"traces", "maps", "privacy", "geo", "proto_types", "tests", "switch", "control", "http"}
    ),
    Listen: frozenset({"from", "auth_key", "tls", "max_packet", "idle"}),
    Destination: frozenset(
        {
            "policy",
            "key",
            "hep",
            "tls",
            "bind",
            "compress",
            "privacy",
            "set",
            "unset",
            "auth_key",
            "spool",
            "oversize",
        }
    ),
    Store: frozenset({"layout", "partition", "keep", "spool", "columns"}),
    Table: frozenset({"parse"}),
    Rule: frozenset(
        {
            "scope",
            "sample",
            "dedupe",
            "limit",
            "count",
            "observe",
            "trace",
            "call",
            "resume",
            "test",
        }
    ),
    Reload: frozenset({"tests"}),
}
"""Keys of the language that this release refuses by name; None stands for the top of a file."""

BLOCKS: Final = (
    "listen",
    "destinations",
    "stores",
    "sets",
    "matchers",
    "chunks",
    "tables",
    "rules",
)
"""What may stand at the top of a file beside `reload` and `log`."""
