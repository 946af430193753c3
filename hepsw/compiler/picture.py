"""How packets go through the tables: what a listener leads to, and where payloads are first read.

The walk behind `hepsw graph`, over a `Configuration` and without a word of text: `drawing.py` makes
that. A payload is read when a rule first asks for something in it, so the first rule on a path that
does so is where a packet begins to cost more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hepsw.config.conditions import ALWAYS
from hepsw.config.configuration import TO_TABLES, Flow
from hepsw.config.payload import fields_asked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hepsw.config.configuration import Configuration, Listener, Rule, Table

GATES: Final = ("sample", "dedupe", "limit")
"""Keys that are judged of every packet for which the condition holds, in this order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Listeners whose packets enter the same table."""

    table: str | None
    """None where there are no rules at all: every packet goes everywhere."""
    listeners: tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of the paths through a configuration."""

    entries: tuple[Entry, ...]
    unreachable: tuple[str, ...]
    """Tables that no path from a listener enters, in the order they were written."""
    first_reads: frozenset[str]
    """`table/name` of each rule that is the first to read the payload on some path from a
    listener."""


def picture(configuration: Configuration) -> Picture:
    """Follow every path from the listeners."""
    groups: dict[str | None, list[Listener]] = {}
    for listener in configuration.listeners:
        groups.setdefault(listener.entry, []).append(listener)
    tables = configuration.tables
    starts = [name for name in groups if name is not None]
    entered = _entered(tables, starts)
    return Picture(
        entries=tuple(Entry(table, tuple(listeners)) for table, listeners in groups.items()),
        unreachable=tuple(name for name in tables if name not in entered),
        first_reads=_first_reads(tables, starts),
    )


def always_matches(rule: Rule) -> bool:
    """Tell whether no packet that comes to the rule goes past it."""
    limited = rule.limit is not None and rule.limit.over_next
    return rule.condition == ALWAYS and rule.sample is None and not limited


def can_miss(table: Table) -> bool:
    """Tell whether a packet can leave the table without a rule that decides."""
    return not any(rule.flow.decides and always_matches(rule) for rule in table.rules)


def _entered(tables: Mapping[str, Table], starts: Iterable[str]) -> set[str]:
    entered: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name in entered or name not in tables:
            continue
        entered.add(name)
        waiting += [rule.target for rule in tables[name].rules if rule.flow in TO_TABLES]
    return entered


# --- where payloads are read ---------------------------------------------------------------------


def _first_reads(tables: Mapping[str, Table], starts: Iterable[str]) -> frozenset[str]:
    """Follow the packets whose payload nobody has read yet.

    What comes back of a called table is known once that table was walked, so all is walked until
    nothing changes: without recursion, since a chain of a thousand tables is legal.
    """
    first: set[str] = set()
    entered = {name for name in starts if name in tables}
    unread: set[str] = set()
    """Tables that a packet can leave undecided with its payload not read."""
    while True:
        before = (len(first), len(entered), len(unread))
        for name in [name for name in tables if name in entered]:
            if _walk(tables[name], tables, first, entered, unread):
                unread.add(name)
        if before == (len(first), len(entered), len(unread)):
            return frozenset(first)


def _walk(
    table: Table,
    tables: Mapping[str, Table],
    first: set[str],
    entered: set[str],
    unread: set[str],
) -> bool:
    """Tell whether a packet whose payload is not read can come out at the end of a table so."""
    for rule in table.rules:
        reading = {key for field, key in fields_asked(rule) if field.parses}
        judging = rule.scope is not None or "match" in reading or _gate_reads(rule, reading)
        acting = bool(reading - {"match"}) or rule.flow is Flow.RESUME
        if judging or acting:
            first.add(rule.path)
        if judging:
            return False
        if rule.flow in TO_TABLES and not acting and rule.target in tables:
            entered.add(rule.target)
        comes_back = not acting and (
            rule.flow is Flow.CONTINUE or (rule.flow is Flow.CALL and rule.target in unread)
        )
        if always_matches(rule) and not comes_back:
            return False
    return True


def _gate_reads(rule: Rule, reading: Collection[str]) -> bool:
    """Tell whether every packet that comes to a rule is read by the first of its gates."""
    asked = (rule.sample, rule.dedupe, rule.limit)
    first = next((key for key, gate in zip(GATES, asked, strict=True) if gate is not None), None)
    return rule.condition == ALWAYS and first in reading
