"""The ledger for people and for programs: a table, a line, and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from hepsw.accounting import Ledger


def one_line(ledger: Ledger) -> str:
    """Return what became of everything, in one line."""
    seen = sum(account.seen for account in ledger.listeners.values())
    lost = sum(account.kernel_dropped for account in ledger.listeners.values())
    rejected = sum(account.rejected.total() for account in ledger.listeners.values())
    switch = ledger.switch
    delivered = sum(account.delivered for account in ledger.sinks.values())
    given_up = sum(
        account.dropped.total() + account.shed.total() for account in ledger.sinks.values()
    )
    return (
        f"{seen:,} seen: {lost:,} dropped by the kernel, {rejected:,} rejected, "
        f"{switch.routed:,} routed, {switch.dropped.total():,} dropped, {switch.ended:,} ended, "
        f"{switch.missed:,} missed; {delivered:,} delivered, {given_up:,} given up by outputs; "
        f"unaccounted {ledger.unaccounted}"
    )


def as_json(ledger: Ledger) -> str:
    """Return every counter as one line of JSON."""
    return orjson.dumps(ledger.as_dict()).decode()


def print_tables(ledger: Ledger, console: Console) -> None:
    """Print every counter as tables."""
    from rich.table import Table  # noqa: PLC0415 - only who asks for tables pays

    def table(title: str, *columns: str) -> Table:
        made = Table(title=title, title_justify="left", box=None, pad_edge=False)
        made.add_column(columns[0])
        for column in columns[1:]:
            made.add_column(column, justify="right")
        return made

    listeners = table("listeners", "", "seen", "accepted", "rejected", "kernel", "shed", "warnings")
    for name, listener in ledger.listeners.items():
        listeners.add_row(
            name,
            f"{listener.seen:,}",
            f"{listener.accepted:,}",
            _reasons(listener.rejected),
            f"{listener.kernel_dropped:,}",
            _reasons(listener.shed),
            _reasons(listener.warnings),
        )
    rules = table("rules", "", "packets", "octets", "edits refused")
    for path, rule in ledger.switch.rules.items():
        rules.add_row(path, f"{rule.packets:,}", f"{rule.octets:,}", _reasons(rule.edits_refused))
    switch = table("switch", "accepted", "routed", "dropped", "ended", "missed", "copies")
    fate = ledger.switch
    switch.add_row(
        f"{fate.accepted:,}",
        f"{fate.routed:,}",
        _reasons(fate.dropped),
        f"{fate.ended:,}",
        f"{fate.missed:,}",
        f"{fate.fan_out:,}",
    )
    sinks = table(
        "outputs", "", "", "enqueued", "delivered", "waiting", "dropped", "shed", "errors", "state"
    )
    for name, sink in ledger.sinks.items():
        sinks.add_row(
            name,
            sink.kind,
            f"{sink.enqueued:,}",
            f"{sink.delivered:,}",
            f"{sink.in_memory + sink.in_flight + sink.in_spool:,}",
            _reasons(sink.dropped),
            _reasons(sink.shed),
            _reasons(sink.errors),
            sink.state,
        )
    for made in (listeners, rules, switch, sinks):
        console.print(made)
        console.print()
    console.print(one_line(ledger), highlight=False, soft_wrap=True)


def _reasons(counts: Mapping[str, int]) -> str:
    """Write `overflow 3, too-big 1`; nothing as 0."""
    return ", ".join(f"{reason} {number:,}" for reason, number in counts.items()) or "0"
