"""The ledger for people and for programs: tables, a line, and JSON.

All of it is made from one snapshot, `Ledger.as_dict`, so it can be rendered and written by a thread
while the packets go on.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table

    Snapshot = dict[str, Any]
    """What `Ledger.as_dict` returns."""

RULES: Final = 100
"""Rules shown at most; of more, those that matched are shown first."""


def one_line(ledger: Snapshot) -> str:
    """Return what became of everything, in one line."""

    def total(accounts: str, *counters: str) -> int:
        found = (account[counter] for account in ledger[accounts].values() for counter in counters)
        return sum(sum(count.values()) if isinstance(count, dict) else count for count in found)

    switch = ledger["switch"]
    dead = total("sinks", "dead_lettered")
    return (
        f"{total('listeners', 'seen'):,} seen: "
        f"{total('listeners', 'kernel_dropped'):,} dropped by the kernel, "
        f"{total('listeners', 'rejected'):,} rejected, "
        f"{switch['routed']:,} routed, {sum(switch['dropped'].values()):,} dropped, "
        f"{switch['ended']:,} ended, {switch['missed']:,} missed; "
        f"{total('sinks', 'delivered'):,} delivered, "
        f"{total('sinks', 'dropped', 'shed'):,} given up by outputs"
        f"{f', {dead:,} dead-lettered' if dead else ''}; "
        f"unaccounted {ledger['unaccounted']}"
    )


def as_json(ledger: Snapshot) -> str:
    """Return every counter as one line of JSON."""
    return orjson.dumps(ledger).decode()


def as_tables(ledger: Snapshot, width: int | None) -> str:
    """Return every counter as tables, with the one line under them.

    Args:
        ledger: the snapshot.
        width: columns of the terminal; None to ask it.
    """
    from rich.console import Console  # noqa: PLC0415 - only who asks for tables pays

    # Names are the operator's and reasons may be a packet's: nothing in them is markup.
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False)
    tables = (
        _listeners(ledger["listeners"]),
        _rules(ledger["switch"]["rules"]),
        _switch(ledger["switch"]),
        *_counted(ledger["switch"]),
        _sinks(ledger["sinks"]),
        *_stores(ledger["sinks"]),
    )
    with console.capture() as text:
        for table in tables:
            console.print(table)
            console.print()
        console.print(one_line(ledger), soft_wrap=True)
    return text.get()


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table  # noqa: PLC0415 - as above

    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    made.add_column(columns[0])
    for column in columns[1:]:
        made.add_column(column, justify="right")
    return made


def _listeners(accounts: Snapshot) -> Table:
    table = _table("listeners", "", "seen", "accepted", "rejected", "kernel", "shed", "warnings")
    for name, account in accounts.items():
        table.add_row(
            name,
            f"{account['seen']:,}",
            f"{account['accepted']:,}",
            _reasons(account["rejected"]),
            f"{account['kernel_dropped']:,}",
            _reasons(account["shed"]),
            _reasons(account["warnings"]),
        )
    return table


def _rules(accounts: Snapshot) -> Table:
    shown = accounts
    title = "rules"
    if len(accounts) > RULES:
        by_hits = sorted(accounts, key=lambda path: -accounts[path]["packets"])
        shown = {path: accounts[path] for path in by_hits[:RULES]}
        title = f"rules, the {RULES} of {len(accounts):,} that matched most"
    columns = ["packets", "octets", "edits refused"]
    drops = any(account["dropped"] for account in shown.values())
    table = _table(title, "", *columns, *(["copies and excess dropped"] if drops else []))
    for path, account in shown.items():
        table.add_row(
            path,
            f"{account['packets']:,}",
            f"{account['octets']:,}",
            _reasons(account["edits_refused"]),
            *([_reasons(account["dropped"])] if drops else []),
        )
    return table


def _switch(account: Snapshot) -> Table:
    table = _table("switch", "accepted", "routed", "dropped", "ended", "missed", "copies")
    table.add_row(
        f"{account['accepted']:,}",
        f"{account['routed']:,}",
        _reasons(account["dropped"]),
        f"{account['ended']:,}",
        f"{account['missed']:,}",
        f"{account['fan_out']:,}",
    )
    return table


def _counted(account: Snapshot) -> Iterator[Table]:
    """Yield what rules counted and observed, the largest series first; nothing if there is none."""
    counters = [
        (f"{name}{{{labels}}}" if labels else name, number)
        for name, series in account["counters"].items()
        for labels, number in series.items()
    ]
    if counters:
        counters.sort(key=lambda one: -one[1])
        table = _table(_first("counters", counters), "", "packets")
        for name, number in counters[:RULES]:
            table.add_row(name, f"{number:,}")
        yield table
    observed = [
        (f"{name}{{{labels}}}" if labels else name, numbers)
        for name, series in account["observed"].items()
        for labels, numbers in series.items()
    ]
    if observed:
        observed.sort(key=lambda one: -one[1]["count"])
        table = _table(_first("observed", observed), "", "packets", "average", "last")
        for name, numbers in observed[:RULES]:
            average = numbers["sum"] / numbers["count"]
            table.add_row(
                name, f"{numbers['count']:,}", f"{average:,.6g}", f"{numbers['last']:,.6g}"
            )
        yield table


def _first(title: str, rows: Sequence[object]) -> str:
    return title if len(rows) <= RULES else f"{title}, the first {RULES} of {len(rows):,}"


def _sinks(accounts: Snapshot) -> Table:
    table = _table(
        "outputs", "", "", "enqueued", "delivered", "waiting", "dropped", "shed", "errors", "state"
    )
    for name, account in accounts.items():
        waiting = account["in_memory"] + account["in_flight"] + account["in_spool"]
        table.add_row(
            name,
            account["kind"],
            f"{account['enqueued']:,}",
            f"{account['delivered']:,}",
            f"{waiting:,}" + (f", {on_disk:,} on disk" if (on_disk := account["in_spool"]) else ""),
            _reasons(account["dropped"]),
            _reasons(account["shed"]),
            _reasons(account["errors"]),
            account["state"],
        )
    return table


def _stores(accounts: Snapshot) -> Iterator[Table]:
    """Yield the tables of the stores that have written; nothing if there is none."""
    stores = {name: account for name, account in accounts.items() if account["tables"]}
    if not stores:
        return
    table = _table(
        "stores",
        "",
        "rows in",
        "committed",
        "retried",
        "dead-lettered",
        "last commit (UTC)",
        "batch age",
        "altered",
        "misplaced",
    )
    for name, account in stores.items():
        of_store = (
            f"{account['batch_age']:,.1f} s",
            _reasons(account["altered"]),
            _reasons(account["misplaced"]),
        )
        for title, rows in account["tables"].items():
            table.add_row(
                f"{name}/{title}",
                f"{rows['rows_in']:,}",
                f"{rows['committed']:,}",
                f"{rows['retried']:,}",
                _reasons(rows["dead_lettered"]),
                _when(rows["last_commit"]),
                *of_store,
            )
            of_store = ("", "", "")  # said once, of all its tables
    yield table


def _when(seconds: float) -> str:
    """Write a moment; nothing as `never`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else "never"


def _reasons(counts: Mapping[str, int]) -> str:
    """Write `overflow 3, too-big 1`; nothing as 0."""
    return ", ".join(f"{reason} {number:,}" for reason, number in counts.items()) or "0"
