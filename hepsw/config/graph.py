"""How the tables hang together: circles, and tables that nothing leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.config.configuration import TO_TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepsw.config.configuration import Listener, Table
    from hepsw.config.problems import Report


def check_graph(tables: Mapping[str, Table], listeners: Sequence[Listener], report: Report) -> None:
    """Report circles as errors, and tables that are never entered as warnings.

    A circle of calls comes back no more than one of `goto`; so all ways to a table count alike.
    """
    leads_to = {
        name: list(
            dict.fromkeys(
                rule.target
                for rule in table.rules
                if rule.flow in TO_TABLES and rule.target in tables
            )
        )
        for name, table in tables.items()
    }
    _circles(tables, leads_to, report)
    entered: set[str] = set()
    waiting = [listener.entry for listener in listeners if listener.entry in tables]
    while waiting:
        name = waiting.pop()
        if name is not None and name not in entered:
            entered.add(name)
            waiting.extend(leads_to[name])
    for name, table in tables.items():
        if name not in entered and not report.problems.has_errors:
            block = "rules" if name in report.sources.data.get("rules", {}) else "tables"
            hint = "by `entry`, `goto`, `call` or `resume`" if table.rules else "it has no rules"
            report.key_warning("HEP304", f"table `{name}` is never entered", (block, name), hint)


def _circles(
    tables: Mapping[str, Table], leads_to: Mapping[str, Sequence[str]], report: Report
) -> None:
    done: set[str] = set()
    for start in tables:
        # Without recursion: a chain of a thousand tables is legal.
        trail: list[str] = []
        waiting = [(start, False)]
        while waiting:
            name, leaving = waiting.pop()
            if leaving:
                done.add(trail.pop())
            elif name in trail:
                _report_circle([*trail[trail.index(name) :], name], tables, report)
            elif name not in done:
                trail.append(name)
                waiting.append((name, True))
                waiting.extend((target, False) for target in leads_to[name])


def _report_circle(circle: Sequence[str], tables: Mapping[str, Table], report: Report) -> None:
    table, target = circle[-2], circle[-1]
    rule = next(
        rule for rule in tables[table].rules if rule.flow in TO_TABLES and rule.target == target
    )
    key = rule.flow.value
    written = report.sources.data["rules"][table]
    at = next(
        at
        for at, block in enumerate(written)
        if isinstance(block, dict) and (block.get("name"), block.get(key)) == (rule.name, target)
    )
    report.error(
        "HEP305", f"tables go round in a circle: {' → '.join(circle)}", ("rules", table, at, key)
    )
