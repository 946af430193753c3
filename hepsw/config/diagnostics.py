"""What `hepsw check` and a refused reload tell the operator, and how it looks.

Every part that reads the configuration reports into one `Problems`, so that a single run shows
every mistake, each once and sorted by place. Text comes from `render`, machines get `to_json`.
Nothing here knows what a code means to the configuration or reads a file: sources are passed in.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hepsw.config.spans import Span

TAB_WIDTH: Final = 4
LINE_WIDTH: Final = 160  # columns of source shown; a longer line is cut around its caret
HINT_WIDTH: Final = 60  # a longer hint gets a line of its own

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories that move a terminal's cursor, or show text in another order than it is read."""
_RESET: Final = "\x1b[0m"
_BOLD: Final = "\x1b[1m"
_BLUE: Final = "\x1b[1;34m"


class Severity(Enum):
    """Whether the configuration can run."""

    ERROR = "error"
    WARNING = "warning"


_SEVERITY_COLORS: Final = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m"}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake at one place."""

    code: str
    """What it is known by in `hepsw.config.codes`."""
    severity: Severity
    text: str
    file: str
    """As the operator should read it; the key of the text in `render`'s sources."""
    span: Span | None
    """None: it is about the file as a whole."""
    hint: str | None

    @property
    def place(self) -> tuple[str, int, int]:
        """File, line and column; what is about the whole file comes before its first line."""
        return (self.file, self.span.line, self.span.column) if self.span else (self.file, 0, 0)


@dataclass(slots=True)
class Problems:
    """Collects diagnostics, one for each mistake.

    What lies inside the span of an error reported before is taken for its consequence and dropped,
    so the parts that report should go from the outside to the inside.
    """

    _diagnostics: list[Diagnostic] = field(default_factory=list)
    _error_spans: dict[tuple[str, int], list[Span]] = field(default_factory=dict)
    _seen: set[tuple[object, ...]] = field(default_factory=set)

    def error(
        self, code: str, text: str, file: str, span: Span | None = None, *, hint: str | None = None
    ) -> None:
        """Report what keeps the configuration from running."""
        self.add(Diagnostic(code, Severity.ERROR, text, file, span, hint))

    def warning(
        self, code: str, text: str, file: str, span: Span | None = None, *, hint: str | None = None
    ) -> None:
        """Report what runs, though probably not as meant."""
        self.add(Diagnostic(code, Severity.WARNING, text, file, span, hint))

    def add(self, diagnostic: Diagnostic) -> None:
        """Take a diagnostic, unless its mistake was reported before."""
        span = diagnostic.span
        # Without a place the text tells two mistakes apart.
        identity = (diagnostic.file, span or diagnostic.text, diagnostic.code)
        if identity in self._seen or (span and self._is_inside_error(diagnostic.file, span)):
            return
        self._seen.add(identity)
        self._diagnostics.append(diagnostic)
        if span and diagnostic.severity is Severity.ERROR:
            self._error_spans.setdefault((diagnostic.file, span.line), []).append(span)

    def sorted(self) -> list[Diagnostic]:
        """Return all diagnostics by file, line and column."""
        return sorted(self._diagnostics, key=lambda diagnostic: diagnostic.place)

    @property
    def errors(self) -> list[Diagnostic]:
        """The errors, by file, line and column."""
        return [found for found in self.sorted() if found.severity is Severity.ERROR]

    @property
    def has_errors(self) -> bool:
        """Whether the configuration must not run."""
        return any(found.severity is Severity.ERROR for found in self._diagnostics)

    def _is_inside_error(self, file: str, span: Span) -> bool:
        return any(
            outer.column <= span.column and span.end <= outer.end
            for outer in self._error_spans.get((file, span.line), ())
        )


def to_json(diagnostics: Iterable[Diagnostic]) -> bytes:
    """Return a JSON array with one flat object a diagnostic; its keys are a stable interface."""
    return orjson.dumps(
        [
            {
                "code": found.code,
                "severity": found.severity.value,
                "text": found.text,
                "file": found.file,
                "line": found.span and found.span.line,
                "column": found.span and found.span.column,
                "length": found.span and found.span.length,
                "hint": found.hint,
            }
            for found in diagnostics
        ]
    )


def render(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], *, color: bool = False
) -> str:
    """Return the diagnostics as text for a terminal, an empty line between two of them.

    Args:
        diagnostics: in the order in which to show them.
        sources: the text of each file, as it was scanned. Without its source a diagnostic shows
            its place only.
        color: paint with ANSI escape sequences.
    """
    lines = {file: text.split("\n") for file, text in sources.items()}
    return "\n\n".join(
        "\n".join(_block(found, lines.get(found.file, ()), color=color)) for found in diagnostics
    )


def _block(found: Diagnostic, lines: Sequence[str], *, color: bool) -> list[str]:
    def paint(sequence: str, text: str) -> str:
        return f"{sequence}{text}{_RESET}" if color else text

    severity_color = _SEVERITY_COLORS[found.severity]
    hint = _printable(found.hint or "")
    place = _printable(found.file)
    number = ""
    excerpt: list[str] = []
    if found.span is not None:
        place += f":{found.span.line}:{found.span.column}"
        number = str(found.span.line)
        if found.span.line <= len(lines):
            source, before, carets = _excerpt(lines[found.span.line - 1].rstrip("\r"), found.span)
            label = carets
            if hint and len(hint) <= HINT_WIDTH:
                label, hint = f"{carets} {hint}", ""
            bar = paint(_BLUE, f"{' ' * len(number)} |")
            excerpt = [
                bar,
                f"{paint(_BLUE, f'{number} |')} {source}".rstrip(),
                f"{bar} {before}{paint(severity_color, label)}",
            ]
    margin = " " * max(1, len(number))
    return [
        paint(severity_color, f"{found.severity.value}[{found.code}]")
        + paint(_BOLD, f": {_printable(found.text)}"),
        f"{margin}{paint(_BLUE, '-->')} {place}",
        *excerpt,
        *([f"{margin} {paint(_BLUE, '=')} help: {hint}"] if hint else []),
    ]


def _excerpt(line: str, span: Span) -> tuple[str, str, str]:
    """Return a source line as shown, the blanks that lead to the carets, and the carets."""
    cells: list[tuple[str, int]] = []  # what is shown for each character, and where it starts
    width = 0
    for char in line:
        shown, columns = _cell(char, width)
        cells.append((shown, width))
        width += columns
    starts = [start for _, start in cells]
    starts.append(width)

    def column_at(index: int) -> int:
        return starts[index] if index < len(starts) else width + index - len(line)

    first = column_at(span.column - 1)
    end = max(first + 1, column_at(span.end - 1))
    left, right = _window(first, end, width)
    source = "".join(shown for shown, start in cells if left <= start < right)
    cut_left, cut_right = left > 0, right < width
    # A wide character may straddle the left edge; what is shown then starts behind it.
    origin = next((start for start in starts if start >= left), left) - cut_left
    return (
        "…" * cut_left + source + "…" * cut_right,
        " " * (first - origin),
        "^" * (min(end, max(right, first + 1)) - first),
    )


def _window(first: int, end: int, width: int) -> tuple[int, int]:
    """Return the columns of a line to show: all, or as many as fit with the carets inside."""
    if width <= LINE_WIDTH:
        return 0, width
    room = LINE_WIDTH - 2  # for an ellipsis at either end
    spare = max(0, room - (end - first))
    left = max(0, min(first - spare // 2, width - room))
    return left, left + room


def _cell(char: str, column: int) -> tuple[str, int]:
    """Return what a terminal should show for a character at a column, and how wide that is."""
    if char == "\t":
        columns = TAB_WIDTH - column % TAB_WIDTH
        return " " * columns, columns
    if char.isascii():
        return (char if char.isprintable() else "·"), 1
    category = unicodedata.category(char)
    if category in _UNSEEN:
        return "·", 1
    if category in ("Mn", "Me"):
        return char, 0
    return char, 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _printable(text: str) -> str:
    """Return a message fit for one line of a terminal: it may quote what the file holds."""
    return "".join(_cell(char, 0)[0] if char != "\t" else " " for char in text)
