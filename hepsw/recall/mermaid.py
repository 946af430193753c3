"""A ladder as a Mermaid sequence diagram, for tickets and wikis that draw it.

What packets say is written with Mermaid's character codes wherever it is more than letters, digits
and a few harmless signs: in this language a semicolon ends a statement, and a number sign or an
angle bracket begins something.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hepsw.recall.text import clock, leg_mark, seen_by, tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.recall.ladder import Ladder, Message

_SPECIAL: Final = re.compile(r"(?<![\d\]]):|:(?!\d)|[^\w .,:+@()\[\]/?=…→-]", re.ASCII)
"""What is written as a code; a colon only where it does not stand before a port."""

ARROWS: Final = {"request": "->>", "reply": "-->>", "malformed": "-x"}
"""By kind of message; a report has an open head."""


def mermaid(ladder: Ladder) -> str:
    """Return the text of a sequence diagram."""
    return "".join(f"{line}\n" for line in _lines(ladder))


def _lines(ladder: Ladder) -> Iterator[str]:
    yield "sequenceDiagram"
    for at, name in enumerate(ladder.participants):
        yield f"    participant p{at} as {coded(name)}"
    for at, message in enumerate(ladder.messages):
        yield f"    {_arrow(message)}: {coded(_words(ladder, message, is_first=at == 0))}"
        for detail in message.said.details:
            yield f"    Note over {_over(message)}: {coded(detail)}"


def _arrow(message: Message) -> str:
    if message.said.is_note:
        return f"Note over p{message.sender}"
    arrow = ARROWS.get(message.said.kind, "-)")
    return f"p{message.sender}{arrow}p{message.receiver}"


def _over(message: Message) -> str:
    left, right = sorted((message.sender, message.receiver))
    return f"p{left}" if left == right else f"p{left},p{right}"


def _words(ladder: Ladder, message: Message, *, is_first: bool) -> str:
    if is_first:
        moment = f"{clock(message.time_us, date=True)} UTC"
    else:
        moment = f"+{(message.time_us - ladder.start_us) / 1_000_000:.3f}"
    leg = f" {leg_mark(message.leg)}" if len(ladder.legs) > 1 else ""
    nodes = f" ({seen_by(ladder, message)})" if len(ladder.nodes) > 1 else ""
    return f"{message.said.text}{tag(message)}{nodes}, {moment}{leg}"


def coded(text: str) -> str:
    """Write a text so that Mermaid takes none of it for its own."""
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)
