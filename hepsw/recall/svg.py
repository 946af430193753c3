"""A ladder as an SVG picture: one file, no fonts or scripts from elsewhere.

It follows the colours that the reader's page is set to, light or dark. Texts of packets are
escaped; what XML cannot hold at all, `shown` has written out already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from hepsw.recall.shown import cut, width
from hepsw.recall.text import about_node, clock, leg_mark, leg_name, seen_by, tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.recall.ladder import Ladder, Message

_LETTER: Final = 7
"""Width of a letter of the fixed-width font, in pixels; generous, so that nothing overlaps."""
_ROW: Final = 20
_HALF: Final = 12
"""Between a message and its details."""
_TIME: Final = 150
_NARROWEST: Final = 190
_WIDEST: Final = 420
_MARGIN: Final = 16

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#222}"
    ".s{fill:#777}.l{stroke:#bbb}.m{stroke:#236;stroke-width:1.3}.h{fill:#236}"
    ".r{stroke:#080;stroke-dasharray:5 2}.rh{fill:#080}.b{stroke:#b00}.bh{fill:#b00}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#999}.l{stroke:#555}"
    ".m{stroke:#8bf}.h{fill:#8bf}.r{stroke:#6d6}.rh{fill:#6d6}.b{stroke:#f77}.bh{fill:#f77}}"
)


def svg(ladder: Ladder) -> str:
    """Return the picture."""
    return "".join(f"{line}\n" for line in _Picture(ladder).lines())


class _Picture:
    """Where everything stands."""

    def __init__(self, ladder: Ladder) -> None:
        self.ladder = ladder
        ends = len(ladder.participants)
        longest = max((width(_label(message)) for message in ladder.messages), default=0)
        self.gap = min(_WIDEST, max(_NARROWEST, _LETTER * (longest + 4)))
        self.first = _TIME + _MARGIN + _LETTER * width(ladder.participants[0]) // 2
        self.nodes_at = self.first + (ends - 1) * self.gap + self.gap // 2 + _MARGIN
        self.width = self.nodes_at + _MARGIN
        if len(ladder.nodes) > 1:
            names = max(width(seen_by(ladder, message)) for message in ladder.messages)
            self.width += _LETTER * min(names, 60)

    def lines(self) -> Iterator[str]:
        head = [*_head(self.ladder)]
        top = _MARGIN + _ROW * (len(head) + 2)
        rows = [*self._rows(top)]
        bottom = rows[-1][0] + _ROW if rows else top
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" '
            f'height="{bottom + _MARGIN}" viewBox="0 0 {self.width} {bottom + _MARGIN}">'
        )
        yield f"<title>{escape(head[0])}</title>"
        yield f"<style>{_STYLE}</style>"
        for at, line in enumerate(head):
            # A line longer than the picture is broken nowhere: it is cut.
            fits = cut(line, (self.width - 2 * _MARGIN) // _LETTER)
            yield _text(_MARGIN, _MARGIN + _ROW * (at + 1) - 6, fits)
        for at, name in enumerate(self.ladder.participants):
            x = self.first + at * self.gap
            yield f'<path class="l" d="M{x} {top - 8}V{bottom}"/>'
            yield _text(x, top - 14, cut(name, self.gap // _LETTER), anchor="middle")
        for _, line in rows:
            yield line
        yield "</svg>"

    def _rows(self, top: int) -> Iterator[tuple[int, str]]:
        """Yield what is drawn of each message, with how far down that reaches."""
        y = top
        for at, message in enumerate(self.ladder.messages):
            y += _ROW + 6
            moment = (
                clock(message.time_us)
                if at == 0
                else f"+{(message.time_us - self.ladder.start_us) / 1_000_000:.3f}"
            )
            leg = f" {leg_mark(message.leg)}" if len(self.ladder.legs) > 1 else ""
            yield y, _text(_MARGIN, y + 4, f"{moment}{leg}", kind="s")
            yield y, self._message(message, y)
            if len(self.ladder.nodes) > 1:
                names = cut(seen_by(self.ladder, message), 60)
                yield y, _text(self.nodes_at, y + 4, names, kind="s")
            x = min(self._x(message.sender), self._x(message.receiver)) + 8
            for detail in message.said.details:
                y += _HALF
                fits = cut(detail, (self.nodes_at - x) // _LETTER)
                yield y, _text(x, y + 4, fits, kind="s")

    def _x(self, participant: int) -> int:
        return self.first + participant * self.gap

    def _message(self, message: Message, y: int) -> str:
        start, stop = self._x(message.sender), self._x(message.receiver)
        if start == stop:
            fits = cut(_label(message), max(8, (self.nodes_at - start) // _LETTER))
            return f'<circle class="h" cx="{start}" cy="{y}" r="3"/>' + _text(
                start + 8, y + 4, fits
            )
        kind = {"malformed": "b"}.get(message.said.kind, "m" if message.said.is_sip else "r")
        back = -7 if stop > start else 7
        head = "h" if kind == "m" else f"{kind}h"
        label = cut(_label(message), (abs(stop - start) - 8) // _LETTER)
        return (
            f'<path class="{kind}" d="M{start} {y}H{stop}"/>'
            f'<path class="{head}" d="M{stop} {y}l{back} -4v8z"/>'
            + _text((start + stop) // 2, y - 4, label, anchor="middle")
        )


def _head(ladder: Ladder) -> Iterator[str]:
    for at, leg in enumerate(ladder.legs[:32]):
        mark = f"leg {leg_mark(at)} " if len(ladder.legs) > 1 else "call "
        yield f"{mark}{leg_name(leg)}"
    yield f"{clock(ladder.start_us, date=True)} UTC"
    for node in ladder.nodes:
        yield about_node(node)


def _label(message: Message) -> str:
    return f"{message.said.text}{tag(message)}"


def _text(x: int, y: int, words: str, *, anchor: str = "", kind: str = "") -> str:
    place = f' text-anchor="{anchor}"' if anchor else ""
    looks = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{place}{looks}>{escape(words)}</text>'
