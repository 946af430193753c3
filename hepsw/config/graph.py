"""How the tables hang together: circles, and tables that nothing leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.config.configuration import TO_TABLES, Flow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepsw.config.configuration import Listener, Rule, Table
    from hepsw.config.problems import Report


WALKS: Final = 10_000
"""Tables that one packet may walk; more of them would take longer than packets take to come."""


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
    if not _circles(tables, leads_to, report):
        _check_walks(tables, leads_to, report)
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


def _check_walks(
    tables: Mapping[str, Table], leads_to: Mapping[str, Sequence[str]], report: Report
) -> None:
    """Report tables whose calls add up: two calls of the next table double with every step."""
    walks: dict[str, int] = {}
    """By table, how many tables a packet that enters it may walk at most, itself among them."""
    waiting = list(tables)
    while waiting:
        name = waiting[-1]
        missing = [target for target in leads_to[name] if target not in walks]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if name in walks:
            continue
        leading = [rule for rule in tables[name].rules if rule.target in tables]
        calls = [walks[rule.target] for rule in leading if rule.flow is Flow.CALL]
        others = [walks[rule.target] for rule in leading if rule.flow in {Flow.GOTO, Flow.RESUME}]
        number = 1 + sum(calls) + max(others, default=0)
        if number > WALKS and calls:
            rule = next(rule for rule in leading if rule.flow is Flow.CALL)
            report.error(
                "HEP106",
                f"a packet may walk {number} tables from `{name}` on: {WALKS} at most",
                ("rules", name, _written_at(name, rule, report), "call"),
                "every call is walked by itself; call a table once",
            )
            return  # said once, not again by each table that leads here
        walks[name] = number


def _circles(
    tables: Mapping[str, Table], leads_to: Mapping[str, Sequence[str]], report: Report
) -> bool:
    """Report circles; return whether there are any."""
    found = False
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
                found = True
                _report_circle([*trail[trail.index(name) :], name], tables, report)
            elif name not in done:
                trail.append(name)
                waiting.append((name, True))
                waiting.extend((target, False) for target in leads_to[name])
    return found


def _report_circle(circle: Sequence[str], tables: Mapping[str, Table], report: Report) -> None:
    table, target = circle[-2], circle[-1]
    rule = next(
        rule for rule in tables[table].rules if rule.flow in TO_TABLES and rule.target == target
    )
    at = _written_at(table, rule, report)
    key = rule.flow.value
    report.error(
        "HEP305", f"tables go round in a circle: {' → '.join(circle)}", ("rules", table, at, key)
    )


def _written_at(table: str, rule: Rule, report: Report) -> int:
    """Return which of a table's rules, as written, one is; those switched off count too."""
    key = rule.flow.value
    return next(
        at
        for at, block in enumerate(report.sources.data["rules"][table])
        if isinstance(block, dict)
        and (block.get("name"), block.get(key)) == (rule.name, rule.target)
    )
