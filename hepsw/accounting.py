"""What became of every packet: the counters, and the identities that hold between them.

Listeners, the switch and the sinks each own one account and write nothing else. An account outlives
a reload, by name. `Ledger.unaccounted` is the proof: zero whenever it is read between two batches;
any other number is a bug in hepsw, and every integration test asserts that it is zero.

- listener: seen = kernel_dropped + rejected + shed + accepted
- switch: accepted = routed + dropped + ended + missed
- switch to sinks: fan_out + sum of taken_over = sum of enqueued + shed
- sink: recovered + enqueued
  = delivered + dropped + dead_lettered + handed_over + in_memory + in_spool + in_flight
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any, Final

from hepsw.rule_account import RuleAccount


class Reason(StrEnum):
    """Why a listener turned a frame away, the switch dropped a packet, or a sink gave one up.

    Frames that are not HEP carry the slug of their `DecodeError` instead, and packets that a rule
    dropped the operator's own word.
    """

    HEP_VERSION = "hep-version"
    """The listener does not take this HEP version."""
    NOT_ALLOWED = "not-allowed"
    """The listener's `from` does not hear this sender."""
    AUTH_KEY = "auth-key"
    """The packet carries none of the listener's keys."""
    INTERNAL = "internal-error"
    """hepsw itself failed on this packet: a bug, logged with its traceback."""
    DUPLICATE = "duplicate"
    """A copy of a packet that another agent reported before."""
    OVER_LIMIT = "over-limit"
    """More than the rule's limit lets pass."""
    LOOP = "loop"
    """The same frame came back too often: somebody sends it in a circle."""
    OVERFLOW = "overflow"
    """The queue was full, and so was the spool, where there is one."""
    MEMORY = "memory"
    """All queues together hold what `[switch] memory` allows."""
    EXPIRED = "expired"
    """Longer in the spool than its `age` allows."""
    CORRUPT = "corrupt"
    """The disk did not give back what was written to it."""
    TOO_BIG = "too-big"
    """More octets than the listener takes, or than the transport carries."""
    VERSION_ON_STREAM = "version-on-stream"
    """HEP 1 and 2 have no length: a stream cannot carry them."""
    PRIVACY = "privacy"
    """The privacy profile cannot read it, and what it cannot read does not leave."""
    NOT_SIP = "not-sip"
    """For `sip://`: the payload is no SIP message."""
    INFLATE_FAILED = "inflate-failed"
    """The payload does not inflate, or not within bounds, and was to leave inflated."""
    CANNOT_CONVERT = "cannot-convert"
    """HEP 1 and 2 cannot say what the packet says: no addresses or of two families, no protocol, a
    payload that is neither SIP nor RTCP as JSON, a capture id of more than 16 bits."""
    CANNOT_STAMP = "cannot-stamp"
    """The frame cannot carry the authentication key that it was to leave with."""
    SHUTDOWN = "shutdown"
    """Still waiting when the time to drain was over."""
    RETIRED = "retired"
    """Still waiting when a reload had removed the destination and the time to drain was over."""
    UNSTORABLE = "unstorable"
    """The store refused this packet, and it could not be written to the dead letters either."""


@dataclass(slots=True)
class ListenerAccount:
    """Frames, from the socket to the switch."""

    seen: int = 0
    """Frames read, and datagrams that the kernel says it dropped."""
    kernel_dropped: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    shed: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    octets: int = 0
    """Octets of the frames read."""
    warnings: Counter[str] = field(default_factory=Counter)
    """Oddities of accepted packets, by slug without its argument; none of them is fatal."""
    connections: int = 0
    """Streams open now."""
    connected: int = 0
    """Streams accepted so far."""
    broken: Counter[str] = field(default_factory=Counter)
    """Streams that were not let in or were closed, by the reason, and that ended inside a frame."""

    @property
    def unaccounted(self) -> int:
        """Frames that were seen and of which nothing else is known."""
        told = self.kernel_dropped + self.rejected.total() + self.shed.total() + self.accepted
        return self.seen - told


Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted."""

BOUNDS: Final = (
    *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500),
    *(1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000),
)
"""Upper ends of a histogram's buckets; what is more is in the last one."""


@dataclass(slots=True)
class Observed:
    """A number that packets told, as a gauge and a histogram."""

    count: int = 0
    sum: float = 0.0
    last: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """How many were at most each of `BOUNDS`, and more than the one before."""

    def add(self, number: float) -> None:
        """Take one number."""
        self.count += 1
        self.sum += number
        self.last = number
        self.buckets[bisect_left(BOUNDS, number)] += 1


@dataclass(slots=True)
class SwitchAccount:
    """Packets, from acceptance to their one fate."""

    accepted: int = 0
    routed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    missed: int = 0
    fan_out: int = 0
    """Copies that routed packets were given to sinks in."""
    rules: dict[str, RuleAccount] = field(default_factory=dict)
    """By `table/name`; a rule keeps its account over reloads."""
    counters: dict[str, dict[Labels, int]] = field(default_factory=dict)
    """What `count` counted, by name and labels."""
    observed: dict[str, dict[Labels, Observed]] = field(default_factory=dict)
    """What `observe` kept track of, by name and labels."""
    calls: int = 0
    """Calls that `scope` holds now."""
    forgotten: Counter[str] = field(default_factory=Counter)
    """What had to make room in a full table of the switch: `calls`, `copies`, `buckets`."""

    @property
    def unaccounted(self) -> int:
        """Packets that were accepted and met no fate."""
        return self.accepted - self.routed - self.dropped.total() - self.ended - self.missed

    def rule(self, path: str) -> RuleAccount:
        """Return the account of the rule `table/name`, opened at its first mention."""
        account = self.rules.get(path)
        if account is None:
            account = self.rules[path] = RuleAccount()
        return account


@dataclass(slots=True)
class TableAccount:
    """Rows of one table of a store."""

    rows_in: int = 0
    """Rows of the batches that were begun; what is neither committed nor dead-lettered of them is
    being tried."""
    committed: int = 0
    retried: int = 0
    """Rows written once more, because an attempt failed or its outcome was not heard of."""
    dead_lettered: Counter[str] = field(default_factory=Counter)
    """Rows that the table refused, by reason."""
    last_commit: float = 0.0
    """When rows were last committed, in seconds since the epoch."""


@dataclass(slots=True)
class SinkAccount:
    """Packets, from a sink's queue to the far side."""

    kind: str = ""
    """Scheme of the sink's url."""
    recovered: int = 0
    enqueued: int = 0
    shed: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    """UDP: taken by the kernel. TCP and TLS: acknowledged by the far side's. Stores: committed."""
    dropped: Counter[str] = field(default_factory=Counter)
    dead_lettered: Counter[str] = field(default_factory=Counter)
    """Refused by a store that took their neighbours, by reason; kept in its dead letters."""
    handed_over: int = 0
    """Too big, and given to the destination that `oversize` names."""
    taken_over: int = 0
    """Those among the enqueued and shed that another destination handed over."""
    resent: int = 0
    """Frames sent once more, because it was not known that the far side has them. They stand apart:
    each is counted once in all else."""
    in_memory: int = 0
    """Held at this moment; measured just before the account is read, like the two below."""
    in_spool: int = 0
    in_flight: int = 0
    octets: int = 0
    """Octets of the frames delivered."""
    errors: Counter[str] = field(default_factory=Counter)
    """What went wrong and was tried again: no packet was lost by it."""
    batch_age: float = 0.0
    """Seconds that the oldest packet which a store holds in memory has waited, when measured."""
    altered: Counter[str] = field(default_factory=Counter)
    """Rows changed so that the store takes them, by what stood in the way: `nul`, `utf-8` …"""
    misplaced: Counter[str] = field(default_factory=Counter)
    """Rows kept elsewhere than their time says, because it is too far from now."""
    tables: dict[str, TableAccount] = field(default_factory=dict)
    """Of a store."""
    state: str = ""
    """What the sink is doing, for a reader: `up`, `connecting`, `down: refused` …"""

    @property
    def unaccounted(self) -> int:
        """Packets that were taken and of which nothing else is known."""
        told = self.delivered + self.dropped.total() + self.dead_lettered.total() + self.handed_over
        held = self.in_memory + self.in_spool + self.in_flight
        return self.recovered + self.enqueued - told - held


@dataclass(slots=True)
class Ledger:
    """All accounts of one process, by name."""

    listeners: dict[str, ListenerAccount] = field(default_factory=dict)
    switch: SwitchAccount = field(default_factory=SwitchAccount)
    sinks: dict[str, SinkAccount] = field(default_factory=dict)

    def listener(self, name: str) -> ListenerAccount:
        """Return the account of a listener, opened at its first mention."""
        return self.listeners.setdefault(name, ListenerAccount())

    def sink(self, name: str, kind: str) -> SinkAccount:
        """Return the account of a destination or store, opened at its first mention."""
        account = self.sinks.setdefault(name, SinkAccount())
        account.kind = kind
        return account

    @property
    def differences(self) -> dict[str, int]:
        """Every identity that does not hold, by name, with what it is off by."""
        accepted = sum(account.accepted for account in self.listeners.values())
        taken = sum(
            account.enqueued + account.shed.total() - account.taken_over
            for account in self.sinks.values()
        )
        found = {
            **{f"listener {name}": account.unaccounted for name, account in self.listeners.items()},
            "listeners to switch": accepted - self.switch.accepted,
            "switch": self.switch.unaccounted,
            "switch to sinks": self.switch.fan_out - taken,
            **{f"sink {name}": account.unaccounted for name, account in self.sinks.items()},
        }
        return {name: number for name, number in found.items() if number}

    @property
    def unaccounted(self) -> int:
        """How many packets no identity explains: 0, or hepsw has a bug."""
        return sum(abs(number) for number in self.differences.values())

    def as_dict(self) -> dict[str, Any]:
        """Return every counter as plain values, `unaccounted` among them, ready for JSON."""
        return {**_plain(self), "unaccounted": self.unaccounted, "differences": self.differences}


def _key(key: object) -> str:
    """Return a key as text; labels as `name="value",…`."""
    if isinstance(key, tuple):
        return ",".join(f'{name}="{value}"' for name, value in key)
    return str(key)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever an account holds
    """Return accounts as dictionaries; `dataclasses.asdict` counts the items of a `Counter`."""
    if isinstance(value, RuleAccount):
        return value.as_dict()
    if is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, dict):
        return {_key(key): _plain(inner) for key, inner in value.items()}
    return value
