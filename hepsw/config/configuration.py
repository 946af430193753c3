"""What a configuration means: every name resolved, every value read, nothing left to look up.

`load.py` makes a `Configuration` of the models, the compiler makes tables of it, the daemon
sockets. All of it compares by value, so a reload can tell what changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hepsw.concealed import Concealed
    from hepsw.config.conditions import Condition
    from hepsw.config.models import Batch, Log, Queue, Reload, Spool, Switch, Trace
    from hepsw.config.networks import Networks
    from hepsw.config.template import Template
    from hepsw.config.units import Url
    from hepsw.fields import Field, Reading, Value
    from hepsw.privacy import PrivacyProfile


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """What a listener serves TLS with, and whom it lets in."""

    cert: Path
    key: Path
    client_ca: Path | None
    """Whose certificates clients must show; None: they are not asked for one."""
    names: frozenset[str]
    """Names of client certificates that are let in; none: all of them."""
    digest: str
    """Of what the files held: a certificate that was renewed is another one."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket that HEP arrives on."""

    name: str
    url: Url
    entry: str | None
    """The table that packets enter; None where there are no rules at all."""
    versions: frozenset[int]
    gzip_frames: bool
    receive_buffer: int
    """Octets asked of the kernel."""
    from_: Networks | None = None
    """Who is heard; None: everybody."""
    auth_keys: tuple[Concealed, ...] = ()
    """One of which each packet must carry, unless there is none."""
    max_packet: int = 65535
    """Octets of the largest packet that is taken."""
    idle: float | None = None
    """Seconds of silence after which a connection is closed."""
    tls: ListenerTls | None = None


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What a destination believes and shows over TLS, its files made absolute."""

    ca: Path | None
    """None: the certificates of the system."""
    cert: Path | None
    key: Path | None
    name: str | None
    """None: the host of the url."""
    digest: str
    """Tells what the files held when they were looked at, so that a renewed certificate is a
    change; empty offline."""


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """A destination with every name resolved; secrets are absent where there is no machine."""

    name: str
    urls: tuple[Url, ...]
    policy: Literal["failover", "hash", "round-robin"]
    key: Field = field(compare=False)
    """What `hash` keeps together."""
    hep: Literal["keep", 1, 2, 3]
    tls: TlsSettings | None
    bind: str | None
    compress: Literal["keep", "payload", "inflate"]
    privacy: PrivacyProfile | None
    edits: tuple[Edit, ...] = field(compare=False)
    """`set` and `unset`."""
    meaning: str = field(repr=False)
    """All that `key` and `edits` are made of, as text: fields and filters are functions, which are
    made anew at each reload and never equal."""
    auth_key: Concealed | None
    queue: Queue
    spool: Spool | None
    """Its path is absolute."""
    overflow: Literal["drop-old", "drop-new"]
    oversize: str
    """`drop`, or the name of another destination."""
    timeout: float

    @property
    def url(self) -> Url:
        """The first url."""
        return self.urls[0]


@dataclass(frozen=True, slots=True)
class Keep:
    """How much a store keeps; nothing set: all."""

    seconds: float | None = None
    octets: int | None = None
    profiles: tuple[tuple[str, float], ...] = ()
    """Seconds by profile; the profiles not named here follow `default`, if that is."""

    def of(self, profile: str) -> float | None:
        """Return for how many seconds packets of a profile are kept; None: for ever."""
        if not self.profiles:
            return self.seconds
        named = dict(self.profiles)
        return named.get(profile, named.get("default"))


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """A store with every name resolved; a url is absent where there is no machine."""

    name: str
    scheme: str
    """`sqlite`, `pcap`, `jsonl` or `postgres`."""
    file: Path
    """Absolute, parts of the time in it for `pcap` and `jsonl`; an empty path for a database."""
    batch: Batch
    url: Concealed | None = None
    """Of a database."""
    layout: Literal["homer7", "hepsw"] = "hepsw"
    partition: float = 86400.0
    """Seconds that one partition of a database holds."""
    keep: Keep = Keep()
    rotate: int | None = None
    """Octets after which a file is followed by another."""
    spool: Spool | None = None
    """Its path is absolute."""
    columns: tuple[tuple[str, Template], ...] = field(default=(), compare=False)
    """Further columns, their names allowed in every medium."""
    meaning: str = field(default="", repr=False)
    """All that `columns` are made of, as text; see `DestinationSettings`."""
    letters: Path | None = None
    """The file of its dead letters, absolute; None: they are dropped."""

    @property
    def shown(self) -> str:
        """Where it keeps packets, for people; of a database nothing that its url says."""
        if self.scheme == "postgres":
            return f"a database on Postgres, layout {self.layout}"
        return str(self.file) if self.scheme == "sqlite" else f"{self.scheme}://{self.file}"


class Flow(Enum):
    """What comes after a rule that matched."""

    STOP = "stop"
    CONTINUE = "continue"
    GOTO = "goto"
    CALL = "call"
    """Comes back, unless a rule there decides."""
    RESUME = "resume"
    """Goes on in the target table, the payload read as SIP."""
    DROP = "drop"

    @property
    def decides(self) -> bool:
        """True where the rules behind it are not reached by a packet that matched."""
        return self not in {Flow.CONTINUE, Flow.CALL}


TO_TABLES: Final = frozenset({Flow.GOTO, Flow.CALL, Flow.RESUME})
"""Flows whose target is a table."""


class Scope(Enum):
    """What a rule that matched once matches again."""

    TRANSACTION = "transaction"
    """Packets with the same Call-ID and CSeq number."""
    DIALOG = "dialog"
    """All packets of the call."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`sample`: which share of the packets that match is kept."""

    keep: float
    """0 to 1."""
    by: Field
    """Packets with the same value are kept or not kept together."""


@dataclass(frozen=True, slots=True)
class Dedupe:
    """`dedupe`: copies of a packet that another agent reported are dropped."""

    window_s: float
    key: tuple[Field, ...]
    """What two copies have in common."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit`: a token bucket, or one for each value of a field."""

    per_s: float
    """Tokens that come back in a second."""
    burst: float
    """Tokens that a full bucket holds."""
    per: Field | None
    over_next: bool
    """True: what is over the limit goes on with the next rule; false: it is dropped."""


@dataclass(frozen=True, slots=True)
class Count:
    """`count.<name>`: a counter with labels."""

    name: str
    labels: tuple[tuple[str, Template], ...]


@dataclass(frozen=True, slots=True)
class Observe:
    """`observe.<name>`: a number found in the packet, with labels."""

    name: str
    value: Template
    labels: tuple[tuple[str, Template], ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """One chunk that a rule writes or removes."""

    field: Field
    value: Value | Template | None
    """None removes every occurrence."""


@dataclass(frozen=True, slots=True)
class RuleLog:
    """A line that a rule writes."""

    level: str
    text: Template


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, in the order in which things happen."""

    table: str
    name: str
    condition: Condition
    edits: tuple[Edit, ...]
    log: RuleLog | None
    outputs: tuple[str, ...]
    """Stores first, then destinations."""
    flow: Flow
    target: str = ""
    """The table of a goto, call or resume; the reason of a drop."""
    scope: Scope | None = None
    """None: each packet is judged by itself."""
    sample: Sample | None = None
    dedupe: Dedupe | None = None
    limit: Limit | None = None
    counts: tuple[Count, ...] = ()
    observes: tuple[Observe, ...] = ()
    output_maps: tuple[Field, ...] = ()
    """Map fields whose values name further outputs."""
    traces: tuple[str, ...] = ()
    """Names of `[traces.x]`."""
    trace_maps: tuple[Field, ...] = ()
    """Map fields whose values name further traces."""

    @property
    def path(self) -> str:
        """What counters call it: `table/name`."""
        return f"{self.table}/{self.name}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rules in file order, and what becomes of a packet that none of them decides."""

    name: str
    rules: tuple[Rule, ...]
    miss: tuple[str, ...]
    """Outputs; none means that the packet is dropped, counted `missed`."""
    reads_payload: bool = True
    """False with `parse = "never"`: no rule of it may ask what a payload says."""
    miss_maps: tuple[Field, ...] = ()
    """Map fields whose values name further outputs of a miss."""
    miss_written: bool = field(default=False, compare=False)
    """Whether the operator said what becomes of a packet that no rule decides. The default means
    the same, but nobody thought of it."""


@dataclass(frozen=True, slots=True)
class Given:
    """One packet of a test."""

    readings: tuple[tuple[Field, Reading], ...]
    """What its fields are; what is not named is missing."""
    frame: bytes | None
    """A whole HEP frame; then `readings` are context."""
    capture: tuple[Path, int] | None
    """A capture file and the number of the frame in it, from 1."""
    at_s: float
    """When it comes, in seconds from the first."""
    times: int = 1
    """So often it comes, all at once."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What must become of the last packet; None is not asked."""

    rule: str | None = None
    """`table/name` of the last rule that matched."""
    path: tuple[str, ...] | None = None
    """All rules that matched, in order."""
    relay: frozenset[str] | None = None
    store: frozenset[str] | None = None
    trace: frozenset[str] | None = None
    drop: str | None = None
    missed: bool | None = None
    log: str | None = None
    """One of the lines."""
    after: Condition | None = None
    """What holds of the packet at the end."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the configuration."""

    name: str
    place: tuple[str | int, ...]
    """Where it is written."""
    table: str | None
    """Where the packets enter; None: at the entry of their listener."""
    rule: str | None
    """The rule that must be on the path."""
    given: tuple[Given, ...]
    expect: Expect


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a daemon needs to run."""

    listeners: tuple[Listener, ...]
    destinations: Mapping[str, DestinationSettings]
    stores: Mapping[str, StoreSettings]
    traces: Mapping[str, Trace]
    tables: Mapping[str, Table]
    cases: tuple[Case, ...]
    switch: Switch
    reload: Reload
    log: Log
    files: Mapping[Path, str]
    """Every file that was read, with the SHA-256 of what it held."""

    @property
    def summary(self) -> str:
        """What this configuration does, in a few words."""
        rules = sum(len(table.rules) for table in self.tables.values())
        if any(listener.entry is not None for listener in self.listeners):
            does = f"{_count(rules, 'rule')} in {_count(len(self.tables), 'table')}"
        else:
            does = "no rules: every packet goes to every destination and store"
        outputs = len(self.destinations) + len(self.stores)
        return f"{_count(len(self.listeners), 'listener')}, {does}, {_count(outputs, 'output')}"

    @property
    def pass_through(self) -> tuple[str, ...]:
        """Where every packet goes when there are no rules at all."""
        return (*self.stores, *self.destinations)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
