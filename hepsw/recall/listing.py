"""A list of calls as a table, for a terminal or a ticket.

Call-IDs stand last and whole: they are there to be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.recall.calls import LONGEST_ID
from hepsw.recall.shown import cut, number, shown, width
from hepsw.recall.text import clock, lasted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepsw.recall.calls import Call

_HEAD: Final = (
    *("start (UTC)", "lasted", "method", "from → to", "state"),
    *("packets", "ends", "nodes", "loss", "jitter", "call"),
)
_MOST: Final = {3: 44, 4: 32, 7: 24}
"""Widths of columns whose texts packets choose."""
_RIGHT: Final = frozenset({1, 5, 6, 8, 9})
"""Columns of numbers."""


def table(calls: Sequence[Call]) -> str:
    """Return the table; columns that no call has anything for are left out."""
    rows = [[*map(str, _HEAD)], *map(_row, calls)]
    used = [at for at in range(len(_HEAD)) if any(row[at] for row in rows[1:])]
    widths = {at: max(width(row[at]) for row in rows) for at in used}
    lines = []
    for row, call in zip(rows, (None, *calls), strict=True):
        lines.append("  ".join(_padded(row[at], widths[at], at) for at in used).rstrip())
        if call is not None:
            before = sum(widths[at] + 2 for at in used[:-1])
            lines += [f"{'':{before}}{leg}" for leg in _further_legs(call)]
    return "".join(f"{line}\n" for line in lines)


def _row(call: Call) -> list[str]:
    ends = " → ".join(end for end in (call.source or "?", call.target or "?"))
    state = call.state
    if call.status is not None and call.status >= 300:
        state = f"{state} {call.status} {call.reason}".rstrip()
    found = [
        clock(call.start_us, date=True),
        lasted(call.duration_us),
        call.method,
        ends if call.source or call.target else "",
        state,
        str(call.packets),
        str(len(call.participants) or ""),
        ", ".join(call.nodes),
        "" if call.loss_pct is None else f"{number(call.loss_pct)} %",
        "" if call.jitter_ms is None else f"{number(call.jitter_ms)} ms",
        shown(call.name, LONGEST_ID),
    ]
    return [cut(text, _MOST.get(at, LONGEST_ID)) for at, text in enumerate(found)]


def _further_legs(call: Call) -> Iterator[str]:
    for leg in list(call.legs)[1:]:
        yield f"+ {shown(leg, LONGEST_ID)}"


def _padded(text: str, columns: int, at: int) -> str:
    blanks = " " * (columns - width(text))
    return f"{blanks}{text}" if at in _RIGHT else f"{text}{blanks}"
