"""Rule tables, their rules, and the tests of both."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hepsw.config.models.block import (
    NAME,
    Block,
    Duration,
    Names,
    Rate,
    Share,
    Strings,
    listed,
    or_unread,
)


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
    raise ValueError('`miss` is "drop" or `{ relay, store }`')


class Table(Block):
    """`[tables.t]`: settings of a rule table."""

    parse: Literal["lazy", "never"] = "lazy"
    """Whether its rules may ask what a payload says [`lazy`]."""
    miss: Annotated[Outputs, BeforeValidator(_miss)] = Outputs()
    """What becomes of a packet that leaves the table undecided: `drop`, or outputs [drop, counted
    `missed`]."""
    doc: str = ""
    """A note."""


class LogLine(Block):
    """`log = { level, text }`: one line for each packet that matches."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Its level [`info`]."""
    text: Annotated[str, or_unread(lambda _: "")]
    """A template."""


class Sample(Block):
    """`sample = { keep, by }`: a share of the packets that match."""

    keep: Annotated[Share, or_unread(lambda _: 1.0)]
    """The share, as `"10%"`."""
    by: str = "call"
    """The field whose packets are kept or not kept together [call]."""


class Dedupe(Block):
    """`dedupe = { window, key }`: copies that a second agent reports are dropped."""

    window: Annotated[Duration, Field(gt=0, le=60)] = 0.5
    """How long a copy may come after the packet [`500ms`]."""
    key: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)] = [
        "payload",
        "src_ip",
        "dst_ip",
        "src_port",
        "dst_port",
    ]
    """What copies have in common [payload, addresses, ports]."""


class Limit(Block):
    """`limit = { rate, burst, per, over }`: how many packets pass."""

    rate: Annotated[Rate, or_unread(lambda _: 1.0)]
    """So many a second, minute or hour: `"200/s"`."""
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """So many at once [those of one second]."""
    per: str | None = None
    """A limit of its own for each value of this field [one for all]."""
    over: Literal["drop", "next"] = "drop"
    """What is too much is dropped, or goes on with the next rule [`drop`]."""


Name = Annotated[str, Field(pattern=NAME)]
Metric = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class RuleTest(Block):
    """`[[rules.t.test]]`: one test of the rule it stands under."""

    name: str = ""
    """What it shows; a note."""
    given: Annotated[Any, or_unread(lambda _: {})]
    """Fields of a packet, `{ hex }`, `{ pcap, frame }`, or a list of these with `at`; `times` says
    how often one comes."""
    expect: Annotated[dict[str, Any], or_unread(lambda _: {})]
    """What must become of the last packet."""


class PathTest(RuleTest):
    """`[[tests]]`: one test of a whole path, from the entry of its listener."""


class Rule(Block):
    """`[[rules.t]]`: one rule of table t."""

    name: Annotated[Name, or_unread(lambda _: "unnamed")]
    """What counters and the log call it; unique in its table."""
    match: dict[str, Any] = {}
    """Conditions, all of which must hold; without any the rule always matches."""
    scope: Literal["message", "transaction", "dialog"] = "message"
    """What a rule that matched once matches again [`message`]."""
    sample: Sample | None = None
    """A share of what matches, as `"10%"` or `{ keep, by }` [all]."""
    dedupe: Dedupe | None = None
    """Drops the copies that other agents report [none]."""
    limit: Limit | None = None
    """How many packets pass, as `"200/s"` or `{ rate, burst, per, over }` [all]."""
    set: dict[str, Any] = {}
    """Chunks to write: a value or a template for each field."""
    unset: Strings = []
    """Chunks to remove, every occurrence."""
    log: LogLine | None = None
    """A template, or `{ level, text }`."""
    count: dict[Metric, dict[Metric, str]] = {}
    """`count.<name> = { label = template }`: counts the packets that match, by labels."""
    observe: dict[Metric, dict[Metric, str]] = {}
    """`observe.<name> = { value = template, label = template }`: keeps track of a number."""
    store: Names = []
    """A store, a list, or `{ map = "m" }`."""
    relay: Names = []
    """A destination, a list, or `{ map = "m" }`: each gets a copy."""
    trace: Names = []
    """A trace, a list, or `{ map = "m" }`."""
    continue_: Annotated[bool, Field(alias="continue")] = False
    """Go on with the next rule instead of stopping here [false]."""
    goto: str | None = None
    """Go on in this table, and do not come back."""
    call: str | None = None
    """Go on in this table, and come back unless a rule there decides."""
    resume: str | None = None
    """Read the payload as SIP and go on in this table, without coming back."""
    drop: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """End here; the text is the reason that is counted."""
    enabled: bool = True
    """False switches the rule off [true]."""
    doc: str = ""
    """A note."""
    test: Annotated[list[RuleTest], BeforeValidator(listed)] = []
    """Tests of the rule."""

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, written: object) -> object:
        if not isinstance(written, dict):
            return written
        short = {
            key: {inner: written[key]}
            for key, inner in (("log", "text"), ("sample", "keep"), ("limit", "rate"))
            if isinstance(written.get(key), str)
        }
        return {**written, **short} if short else written
