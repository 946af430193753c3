"""What the switch wants done for one batch: values, carried out by the sinks and the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hepsw.view import Peer, View


class Line(NamedTuple):
    """A line that a rule writes."""

    level: str
    rule: str
    """`table/name`."""
    text: str


@dataclass(slots=True)
class Effects:
    """Grouped by output, because a sink is called once a batch and not once a packet."""

    outputs: dict[str, list[View]] = field(default_factory=dict)
    """For each destination and store the views it gets, in the order in which they came."""
    lines: list[Line] = field(default_factory=list)
    loop: Peer | None = None
    """Who sent a packet that goes in a loop, when that is worth a line in the log."""
