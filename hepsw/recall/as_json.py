"""A ladder for programs: what `hepsw flow --json` prints. Its shape is described in hepsw(1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepsw.fields import time_text
from hepsw.recall.shown import shown

if TYPE_CHECKING:
    from hepsw.recall.ladder import Ladder, Message


def as_json(ladder: Ladder) -> dict[str, Any]:
    """Return the ladder as what JSON can hold; keys are a stable interface."""
    return {
        "legs": [shown(leg) for leg in ladder.legs],
        "start": time_text(ladder.start_us),
        "duration_us": ladder.duration_us,
        "participants": list(ladder.participants),
        "nodes": [
            {
                "name": node.name,
                "capture_id": node.capture_id,
                "peer": node.peer,
                "packets": node.packets,
                "skew_us": node.skew_us,
                "known_by": node.known_by,
                "late_us": node.late_us,
            }
            for node in ladder.nodes
        ],
        "repeated": ladder.repeated,
        "messages": [_message(message, ladder) for message in ladder.messages],
    }


def _message(message: Message, ladder: Ladder) -> dict[str, Any]:
    return {
        "time": time_text(message.time_us),
        "offset_us": message.time_us - ladder.start_us,
        "from": message.sender,
        "to": message.receiver,
        "leg": message.leg,
        "kind": message.said.kind,
        "text": message.said.text,
        "details": list(message.said.details),
        "retransmission": message.retransmission,
        "seen": [{"node": seen.node, "time": time_text(seen.time_us)} for seen in message.seen],
        **{name: value for name, value in message.said.facts.items() if name != "text"},
    }
