"""Where a payload is read: `parse = "never"` is a promise, and this is what keeps it.

Every condition, template and key of a rule is made of fields, and each field of the catalogue says
whether reading it looks into the payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.config.conditions import All, Negation, Some
from hepsw.config.configuration import Flow
from hepsw.config.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hepsw.config.conditions import Condition
    from hepsw.config.configuration import Rule, Table
    from hepsw.config.problems import Report
    from hepsw.fields import Field


def fields_in(condition: Condition) -> Iterator[Field]:
    """Yield the fields that a condition looks at."""
    waiting = [condition]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        # A matcher that is used twice stands there twice, and so do those it uses in turn.
        if id(part) in seen:
            continue
        seen.add(id(part))
        match part:
            case All(parts) | Some(parts):
                waiting.extend(reversed(parts))
            case Negation(inner):
                waiting.append(inner)
            case _:
                yield part.field


def fields_asked(rule: Rule) -> Iterator[tuple[Field, str]]:
    """Yield the fields that a rule reads, each with the key of the rule that asks."""
    for field in fields_in(rule.condition):
        yield field, "match"
    if rule.sample is not None:
        yield rule.sample.by, "sample"
    if rule.dedupe is not None:
        for field in rule.dedupe.key:
            yield field, "dedupe"
    if rule.limit is not None and rule.limit.per is not None:
        yield rule.limit.per, "limit"
    for key, template in _templates(rule):
        for field in template.fields:
            yield field, key
    for field in rule.output_maps:
        yield field, "relay"
    for field in rule.trace_maps:
        yield field, "trace"


def _templates(rule: Rule) -> Iterator[tuple[str, Template]]:
    for edit in rule.edits:
        if isinstance(edit.value, Template):
            yield "set", edit.value
    if rule.log is not None:
        yield "log", rule.log.text
    for count in rule.counts:
        for _, template in count.labels:
            yield "count", template
    for observe in rule.observes:
        yield "observe", observe.value
        for _, template in observe.labels:
            yield "observe", template


def check_payload(tables: Mapping[str, Table], report: Report) -> None:
    """Report rules that read the payload in a table that never does, or in one that it calls."""
    for name, table in tables.items():
        if table.reads_payload:
            continue
        _check_miss(table, report)
        for caller, inside in _reached(name, tables):
            for rule in inside.rules:
                _check_rule(rule, name, caller, report)


def _reached(name: str, tables: Mapping[str, Table]) -> Iterator[tuple[tuple[str, ...], Table]]:
    """Yield a table and all that it calls, each with the way to it."""
    waiting: list[tuple[str, ...]] = [(name,)]
    seen = set()
    while waiting:
        way = waiting.pop()
        table = tables.get(way[-1])
        if table is None or way[-1] in seen:
            continue
        seen.add(way[-1])
        yield way, table
        waiting += [(*way, rule.target) for rule in table.rules if rule.flow is Flow.CALL]


def _check_miss(table: Table, report: Report) -> None:
    """Report maps of a miss; that of a called table is never taken, so only its own counts."""
    for field in table.miss_maps:
        if field.parses:
            report.error(
                "HEP117",
                f"`{field.name}` reads the payload, and table `{table.name}` never does",
                ("tables", table.name, "miss"),
                "`resume` or `goto` a table that reads it",
            )


def _check_rule(rule: Rule, table: str, way: tuple[str, ...], report: Report) -> None:
    asked = [(f"`{field.name}`", key) for field, key in fields_asked(rule) if field.parses]
    if rule.scope is not None:
        asked.append((f'`scope = "{rule.scope.value}"`', "scope"))
    if not asked:
        return
    what, key = asked[0]
    if key == "sample":
        what = f"`sample` by {what}"
    never = f"and table `{table}` never does"
    if len(way) > 1:
        never = f"and `{way[-1]}` is called from table `{table}`, which never does"
    hint = "`resume` or `goto` a table that reads it"
    if key == "sample":
        hint = "sample by another field: sample = { keep = …, by = … }"
    at = next(
        at
        for at, block in enumerate(report.sources.data["rules"][rule.table])
        if isinstance(block, dict) and block.get("name") == rule.name
    )
    report.key_error(
        "HEP117",
        f"{what} reads the payload, {never}",
        ("rules", rule.table, at, key),
        hint,
    )
