"""What is odd about the tables of a configuration: nothing that keeps it from running.

`findings` judges tables as values; `lint` says it where the operator wrote the rule. What a single
rule shows by itself was reported when it was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hepsw.compiler.implies import implies
from hepsw.compiler.reach import Because, Finding, Reach
from hepsw.config.conditions import ALWAYS
from hepsw.config.configuration import Flow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hepsw.config.configuration import Configuration, Rule, Table
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path

MANY: Final = 100
"""So many rules may be tried one by one: a packet feels more of them."""


def findings(configuration: Configuration) -> Iterator[Finding]:
    """Yield what is odd about the tables, one after the other."""
    tables = configuration.tables
    entered = {listener.entry for listener in configuration.listeners} | {
        rule.target
        for table in tables.values()
        for rule in table.rules
        if rule.flow in {Flow.GOTO, Flow.RESUME}
    }
    for name, table in tables.items():
        yield from table_findings(table, tables, is_entered=name in entered)


def table_findings(
    table: Table, tables: Mapping[str, Table], *, is_entered: bool
) -> Iterator[Finding]:
    """Yield what is odd about one table.

    Args:
        table: its rules in order, without those that are switched off.
        tables: all there are: its rules may call them.
        is_entered: whether a walk may end here, as it does not in a table that is only called.
    """
    reach = Reach(table, tables)
    yield from reach.findings()
    if len(reach.listed) > MANY:
        first = table.rules[reach.listed[0]]
        yield Finding(
            "HEP501",
            table.name,
            reach.listed[0],
            f"{len(reach.listed)} rules of table `{table.name}` are tried one by one, "
            f"`{first.path}` is the first",
            hint="an exact value, a range, a network or a prefix beside the other conditions "
            "sorts a rule in",
        )
    if is_entered and table.rules and not table.miss_written and not _always_decides(table, tables):
        yield Finding(
            "HEP303",
            table.name,
            len(table.rules) - 1,
            f"table `{table.name}` has no catch-all: what no rule decides is dropped, "
            "counted `missed`",
            hint="write `miss`, or a last rule without `match`",
        )
    reach.let_go()


def _always_decides(table: Table, tables: Mapping[str, Table]) -> bool:
    """Tell whether some rule decides whatever comes to it."""
    waiting = [table.name]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in tables:
            continue
        seen.add(name)
        for rule in tables[name].rules:
            if not _takes_every_packet(rule):
                continue
            if rule.flow.decides:
                return True
            if rule.flow is Flow.CALL:
                waiting.append(rule.target)
    return False


def _takes_every_packet(rule: Rule) -> bool:
    return (
        rule.sample is None
        and not (rule.limit and rule.limit.over_next)
        and (rule.condition == ALWAYS or implies(ALWAYS, rule.condition))
    )


# --- saying it -----------------------------------------------------------------------------------


def lint(configuration: Configuration, report: Report) -> None:
    """Report what is odd, each at the rule that it is about.

    Call it once nothing else is wrong: what an error left out would make the rest look odd.
    """
    places = _Places(configuration.tables, report)
    for finding in findings(configuration):
        hints = [places.because(because, finding) for because in finding.because]
        if finding.hint is not None:
            hints.append(finding.hint)
        report.warning(finding.code, finding.text, places.of(finding), "; ".join(hints) or None)


class _Places:
    """Where the rules of tables were written, among them those that are switched off."""

    def __init__(self, tables: Mapping[str, Table], report: Report) -> None:
        self._sources = report.sources
        self._written = {
            table: {block["name"]: (at, block) for at, block in enumerate(blocks)}
            for table, blocks in report.sources.data.get("rules", {}).items()
        }
        self._names = {name: [rule.name for rule in table.rules] for name, table in tables.items()}

    def of(self, finding: Finding) -> Path:
        """Return the path of what a finding points at, or of the nearest that is written."""
        path, block = self._rule(finding.table, finding.position)
        kind, *rest = finding.where
        if kind == "output":
            return (*path, *_output(block, rest[0]))
        if kind == "match" and rest:
            return (*path, *_condition(block, rest[0]))
        return (*path, kind if kind in block else "name")

    def because(self, because: Because, finding: Finding) -> str:
        """Return what an earlier rule has to do with it, and where that rule is."""
        own = self._sources.where(self._rule(finding.table, finding.position)[0])
        path, _ = self._rule(finding.table, because.position)
        where = self._sources.where((*path, "name"))
        line = where.span.line if where.span is not None else 1
        place = f"line {line}" if where.file == own.file else f"{where.file}:{line}"
        return f"{because.text}, {place}"

    def _rule(self, table: str, position: int) -> tuple[Path, Mapping[str, Any]]:
        at, block = self._written[table][self._names[table][position]]
        return ("rules", table, at), block


def _output(block: Mapping[str, Any], name: str) -> Path:
    for key in ("store", "relay"):
        named = block.get(key)
        if named == name:
            return (key,)
        if isinstance(named, list) and name in named:
            return (key, named.index(name))
    return ("name",)


def _condition(block: Mapping[str, Any], field: str) -> Path:
    # `sip.method` may be one key, or a table within a table.
    for steps in ([field], field.split(".", 1), field.split(".")):
        inner: Any = block.get("match", {})
        for step in steps:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if inner is not None:
            return ("match", *steps)
    return ("match",) if "match" in block else ("name",)
