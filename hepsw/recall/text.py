"""A ladder in characters, for a terminal or a ticket.

One line a message: its time, an arrow between two lifelines with what it says, and who saw it where
there is more than one capture node. Where the lifelines do not fit into the width, the ends are
numbered and each line names two of them. Plain text: no colour, nothing that a terminal obeys.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from hepsw.fields import EPOCH
from hepsw.recall.shown import cells, cut, milliseconds, number, shown, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.recall.ladder import Ladder, Message
    from hepsw.recall.sightings import Node

NARROWEST: Final = 18
"""Columns between two lifelines; less, and no arrow could say anything."""
WIDEST: Final = 60
_TIME: Final = 12
_SHORTEST_NOTE: Final = 30
_MOST_LEGS: Final = 32

_ASCII: Final = str.maketrans("│─═┬▶◀…▪↺→·", "|-=+><~*@>.")


def text(ladder: Ladder, columns: int, *, ascii_only: bool = False) -> str:
    """Draw a ladder.

    Args:
        ladder: what to draw; it has messages.
        columns: the width of the page, at least 40.
        ascii_only: draw with ASCII alone; other characters are question marks.
    """
    page = max(40, columns)
    lines = [line for long in _head(ladder) for line in _wrapped(long, page)]
    lines.append("")
    lines += _Drawing.of(ladder, page).lines()
    drawn = "".join(f"{line.rstrip()}\n" for line in lines)
    if ascii_only:
        drawn = drawn.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return drawn


def clock(us: int, *, date: bool = False) -> str:
    """Write a moment, in UTC: `10:31:07.104`; with its date where that is wanted."""
    try:
        moment = EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return str(us)
    written = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
    return f"{moment:%Y-%m-%d} {written}" if date else written


def lasted(us: int) -> str:
    """Write how long something took: `24.3 s`, `1 h 02 min`."""
    seconds = us / 1_000_000
    if seconds < 120:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def leg_mark(leg: int) -> str:
    """Return what a leg is called in a ladder that has several: A to Z, then numbers."""
    return chr(ord("A") + leg) if leg < 26 else str(leg + 1)


def tag(message: Message) -> str:
    """Return what is added to a message that was sent before."""
    return f" retransmission {message.retransmission}" if message.retransmission else ""


def _fitting(message: Message, room: int) -> str:
    """Return the longest way to write a message that fits, or else the shortest."""
    again = f" (again {message.retransmission})" if message.retransmission else ""
    brief = message.said.brief or message.said.text
    ways = (message.said.text + tag(message), message.said.text + again, brief + again)
    return next((way for way in ways if width(way) <= room), ways[-1])


def leg_name(leg: bytes) -> str:
    """Return what a leg is known by."""
    return shown(leg) or "(no Call-ID)"


def seen_by(ladder: Ladder, message: Message) -> str:
    """Name the nodes that saw a message, with the difference of their times."""
    first = message.seen[0]
    names = [ladder.nodes[first.node].name]
    for seen in message.seen[1:]:
        later = milliseconds(seen.time_us - first.time_us)
        names.append(f"{ladder.nodes[seen.node].name} {later}")
    return ", ".join(names)


def about_node(node: Node) -> str:
    """Say of a node what its clock is worth."""
    match node.known_by:
        case "reference":
            said = "times are by its clock"
        case "shared":
            said = f"its clock {milliseconds(node.skew_us)}"
        case "arrival":
            said = f"its clock about {milliseconds(node.skew_us)}, by arrival"
        case _:
            said = "its clock is taken to agree"
    late = milliseconds(abs(node.late_us)).removeprefix("+")
    heard = f"heard {late} {'after' if node.late_us >= 0 else 'before'} capture"
    packets = "1 packet" if node.packets == 1 else f"{node.packets} packets"
    known_as = "" if str(node.capture_id) in {"None", node.name} else f"id {node.capture_id}, "
    return f"{node.name} ({known_as}{node.peer}): {packets}, {said}, {heard}"


def _head(ladder: Ladder) -> Iterator[str]:
    if len(ladder.legs) == 1:
        yield f"call   {leg_name(ladder.legs[0])}"
    else:
        for number_, leg in enumerate(ladder.legs[:_MOST_LEGS]):
            yield f"leg {leg_mark(number_):2} {leg_name(leg)}"
        if len(ladder.legs) > _MOST_LEGS:
            yield f"       and {len(ladder.legs) - _MOST_LEGS} more"
    count = len(ladder.messages)
    messages = "1 message" if count == 1 else f"{count} messages"
    yield f"start  {clock(ladder.start_us, date=True)} UTC"
    yield f"       {messages} in {lasted(ladder.duration_us)}"
    for at, node in enumerate(ladder.nodes):
        yield f"{'' if at else 'nodes':6} {about_node(node)}"
    if ladder.repeated:
        packets = "1 packet" if ladder.repeated == 1 else f"{ladder.repeated} packets"
        yield f"       {packets} that came twice left out"


@dataclass(slots=True)
class _Drawing:
    """The lines of one ladder, and where everything stands in them."""

    ladder: Ladder
    page: int
    body: int
    """Columns in front of those that name the nodes."""
    lifelines: list[int]
    """The column of each; none where they do not fit."""

    @classmethod
    def of(cls, ladder: Ladder, page: int) -> _Drawing:
        body = page
        if len(ladder.nodes) > 1:
            names = max(width(seen_by(ladder, message)) for message in ladder.messages)
            body = page - min(names, page // 3) - 2
        left = _TIME + 2 + (3 if len(ladder.legs) > 1 else 0)
        labels = [width(label) for label in ladder.participants]
        first = max(left, min(labels[0], 2 * left) // 2)
        spaces = len(labels) - 1
        if spaces == 0:
            return cls(ladder, page, body, [first])
        room = (body - first - 1 - min(labels[-1], NARROWEST) // 2) // spaces
        gap = min(room, WIDEST, max(NARROWEST, _wanted(ladder)))
        if gap < NARROWEST:
            return cls(ladder, page, body, [])
        return cls(ladder, page, body, [first + at * gap for at in range(len(labels))])

    def lines(self) -> Iterator[str]:
        """Yield the lines."""
        if not self.lifelines:
            yield from self._list()
            return
        yield from self._labels()
        for at, message in enumerate(self.ladder.messages):
            yield self._line(message, is_first=at == 0)
            for detail in message.said.details:
                yield self._detail(message, detail)

    def _time(self, message: Message, *, is_first: bool) -> str:
        if is_first:
            moment = clock(message.time_us)
        else:
            moment = f"+{(message.time_us - self.ladder.start_us) / 1_000_000:.3f}"
        leg = f" {leg_mark(message.leg):2}" if len(self.ladder.legs) > 1 else ""
        return f"{moment:>{_TIME}}{leg}"

    def _nodes(self, message: Message, line: str) -> str:
        """Put behind a line who saw its message."""
        if len(self.ladder.nodes) == 1:
            return line
        names = cut(seen_by(self.ladder, message), self.page - self.body - 2)
        return f"{line}{' ' * (self.body + 2 - width(line))}{names}"

    # --- with lifelines ---

    def _labels(self) -> Iterator[str]:
        """Yield the names of the ends, each over its lifeline and no wider than its place."""
        gap = self.lifelines[1] - self.lifelines[0] if len(self.lifelines) > 1 else self.body
        pieces = [_folded(label, gap - 2) for label in self.ladder.participants]
        for row in range(max(map(len, pieces))):
            line = [" "] * self.body
            for column, rows in zip(self.lifelines, pieces, strict=True):
                # They stand on their lifeline: a short name ends where a long one does.
                at = row - (max(map(len, pieces)) - len(rows))
                if at >= 0:
                    start = column - len(rows[at]) // 2
                    self._put(line, max(0, min(start, self.body - len(rows[at]))), rows[at])
            yield "".join(line)
        yield "".join(self._empty(mark="┬"))

    def _empty(self, mark: str = "│") -> list[str]:
        line = [" "] * self.body
        for column in self.lifelines:
            line[column] = mark
        return line

    def _line(self, message: Message, *, is_first: bool) -> str:
        line = self._empty()
        self._put(line, 0, self._time(message, is_first=is_first))
        label = f"{message.said.text}{tag(message)}"
        if message.sender == message.receiver:
            mark = "▪" if message.said.is_note else "↺"
            self._beside(line, self.lifelines[message.sender], f"{mark} {label}")
        else:
            self._arrow(line, message)
        return self._nodes(message, "".join(line))

    def _arrow(self, line: list[str], message: Message) -> None:
        ends = self.lifelines[message.sender], self.lifelines[message.receiver]
        left, right = min(ends) + 1, max(ends)
        stroke = "─" if message.said.is_sip or message.said.kind == "keep-alive" else "═"
        line[left:right] = stroke * (right - left)
        leads_right = ends[0] < ends[1]
        line[right - 1 if leads_right else left] = "▶" if leads_right else "◀"
        room = right - left - 5
        self._put(line, left + 2, f" {cut(_fitting(message, room), room)} ")

    def _detail(self, message: Message, detail: str) -> str:
        line = self._empty()
        column = min(self.lifelines[message.sender], self.lifelines[message.receiver])
        self._beside(line, column, f" {detail}")
        return "".join(line)

    def _beside(self, line: list[str], column: int, words: str) -> None:
        """Write beside a lifeline: to its right, or to its left if there is more room."""
        room = self.body - column - 2
        if room >= min(width(words), _SHORTEST_NOTE) or room >= column - _TIME:
            self._put(line, column + 2, cut(words, room))
            return
        words = cut(words, column - _TIME - 4)
        self._put(line, column - 1 - width(words), words)

    @staticmethod
    def _put(line: list[str], column: int, words: str) -> None:
        found = cells(words)
        line[column : column + len(found)] = found

    # --- without ---

    def _list(self) -> Iterator[str]:
        """Yield the ends with their numbers, then a line for each message."""
        marks = [str(at) for at in range(1, len(self.ladder.participants) + 1)]
        wide = len(marks[-1])
        for mark, label in zip(marks, self.ladder.participants, strict=True):
            yield cut(f"{mark:>{wide}}  {label}", self.page)
        yield ""
        for at, message in enumerate(self.ladder.messages):
            time = self._time(message, is_first=at == 0)
            sender = marks[message.sender]
            if message.sender == message.receiver:
                ends = f"{sender:>{wide}}   {'':{wide}}"
            else:
                ends = f"{sender:>{wide}} → {marks[message.receiver]:<{wide}}"
            line = f"{time}  {ends}  {message.said.text}{tag(message)}"
            yield self._nodes(message, cut(line, self.body))
            for detail in message.said.details:
                yield cut(f"{'':{width(time) + 2 * wide + 7}}{detail}", self.body)


def _wrapped(line: str, page: int) -> list[str]:
    """Break a line of the head at its blanks; what has none is cut."""
    found = wrap(line, page, subsequent_indent=" " * 9, break_long_words=False)
    return [cut(part, page) for part in found] or [line]


def _wanted(ladder: Ladder) -> int:
    """Return how many columns between two lifelines show every message whole."""
    widest = max(width(label) for label in ladder.participants) + 3
    for message in ladder.messages:
        spaces = abs(message.sender - message.receiver)
        if spaces:
            widest = max(widest, (width(message.said.text + tag(message)) + 7) // spaces)
            details = max((width(detail) + 5 for detail in message.said.details), default=0)
            widest = max(widest, details // spaces)
    return widest


def _folded(label: str, room: int) -> list[str]:
    """Cut a name into lines; the port stays whole if it can."""
    if len(label) <= room:
        return [label]
    host, colon, port = label.rpartition(":")
    if len(host) <= room and len(port) < room:
        return [host, f"{colon}{port}"]
    return [label[at : at + room] for at in range(0, len(label), room)]
