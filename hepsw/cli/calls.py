"""`hepsw calls`: which calls a store holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from hepsw.cli import exits
from hepsw.cli.loading import print_text
from hepsw.cli.paths import ConfigOption  # noqa: TC001 - typer reads the annotations
from hepsw.cli.progress import watched
from hepsw.cli.stored import Stored, StoreOption
from hepsw.cli.where import condition
from hepsw.config.units import duration
from hepsw.fields import CATALOGUE
from hepsw.recall.calls import MOST_CALLS, Calls
from hepsw.recall.listing import table

if TYPE_CHECKING:
    from hepsw.compiler.checks import Predicate

AHEAD_S: Final = 86400
"""Capture clocks that are ahead of ours by up to a day are looked at where no end is given."""


def command(
    *,
    config: ConfigOption = None,
    store: StoreOption = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From when: 1h ago, or RFC 3339.")
    ] = "1h",
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="To when, likewise [now].", show_default=False),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Calls of which a packet matches: 'sip.from_user = \"112\"', as in a rule.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The latest N of them.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the calls in a store, legs that belong together as one.

    Exit status: 0 listed, 2 a time, condition or store that there is none of, 69 the database is
    not to be reached, 74 the store cannot be read, 78 the configuration is invalid.
    """
    stored = Stored("calls", config, store, looks=bool(where))
    now = time.time()
    since_us = _moment(stored, "--since", since, now)
    until_us = _moment(stored, "--until", until, now) if until else int((now + AHEAD_S) * 1e6)
    if since_us >= until_us:
        stored.refuse("--since is not before --until", exits.USAGE)
    asked = condition(where, stored.loaded) if where else None
    calls = _read(stored, since_us, until_us, asked)
    listed = calls.listed()
    shown = listed[-limit:]
    if json:
        told = {
            "calls": [call.as_json() for call in shown],
            "found": len(listed),
            "forgotten": calls.forgotten,
            "packets": calls.packets,
            "nameless": calls.nameless,
        }
        print_text(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    if shown:
        print_text(table(shown))
    else:
        stored.say(f"no call among {calls.packets} packets since {since}")
    if len(shown) < len(listed):
        stored.say(f"{len(listed) - len(shown)} earlier calls left out; --limit N shows more")
    if calls.forgotten:
        stored.say(
            f"{calls.forgotten} calls left out: {MOST_CALLS} are kept at most, those that were "
            "silent longest are given up; a shorter time has fewer"
        )


def _read(stored: Stored, since_us: int, until_us: int, asked: Predicate | None) -> Calls:
    """Go through the packets of the time."""
    calls = Calls()
    with stored.archive() as archive:
        total = archive.count(since_us, until_us)
        for view in watched(archive.scan(since_us, until_us), "packets read", total):
            calls.add(view, matches=asked is None or asked.holds(view))
    return calls


def _moment(stored: Stored, option: str, written: str, now: float) -> int:
    """Return a moment in microseconds since the epoch; a duration reaches back from now."""
    try:
        return int((now - duration(written)) * 1_000_000)
    except ValueError:
        pass
    try:
        moment = CATALOGUE["time"].parse(written)
    except ValueError:
        stored.refuse(
            f'{option}: neither a duration such as "90m" nor a time such as '
            f'"2026-01-31T23:59:00Z": {written!r}',
            exits.USAGE,
        )
    assert isinstance(moment, int)  # noqa: S101 - that is how times are read
    return moment
