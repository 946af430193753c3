"""Where each key and value of a TOML document stands.

`tomllib` gives values without positions, and a diagnostic needs a line and a column. The scanner
here stands beside it: it walks the same text once, decides nothing about values, and keeps the
position of everything that a path through tomllib's result can name. `config.toml` runs both;
diagnostics look their places up here.

It accepts more than TOML 1.0 allows, because tomllib is the judge, and stops without a word at what
it cannot read. Two things it refuses itself, since tomllib does not: nesting that would exhaust the
stack of whoever walks the result, and inline tables over several lines, which the tomllib of a
later Python may accept (TOML 1.1).

Source: TOML 1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH: Final = 64  # steps in a path; no table of ours is deeper than ten

_BASIC: Final = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
_LITERAL: Final = r"'[^'\n]*'"
_QUOTES: Final = "\"'"
_BLANK: Final = re.compile(r"[ \t]*")
_GAP: Final = re.compile(r"[ \t\r\n]*(?:#[^\n]*[ \t\r\n]*)*")
_NAME: Final = re.compile(rf"[ \t]*([A-Za-z0-9_-]+|{_BASIC}|{_LITERAL})[ \t]*")
_SCALAR: Final = re.compile(
    # A closing delimiter may have two quotes of the string itself in front of it.
    r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"{3,5}'
    r"|'''[^']*(?:'(?!'')[^']*)*'{3,5}"
    rf'|(?!"""){_BASIC}'
    rf"|(?!'''){_LITERAL}"
    r"|\d{4}-\d\d-\d\d \d\d:[0-9:.]+(?:[Zz]|[+-][0-9:]+)?"  # a date and a time parted by a space
    r"|[A-Za-z0-9_+.:-]+",
    re.DOTALL,
)

Path: TypeAlias = tuple[str | int, ...]
"""The steps from the root of tomllib's result to a value: keys of tables, indices of arrays."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one line."""

    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    length: int
    """In characters, at least 1; what goes on over several lines ends here with its first."""

    @property
    def end(self) -> int:
        """The first column behind the span."""
        return self.column + self.length


class Place(NamedTuple):
    """Where one path stands."""

    key: Span | None
    """Its own name: the last one of a dotted key or a header. None for an element of an array."""
    value: Span
    """The value; of a table with a header, the header; of a table only implied, its name."""


Spans: TypeAlias = dict[Path, Place]


class Name(NamedTuple):
    """One part of a dotted key."""

    text: str
    span: Span


class Conflict(NamedTuple):
    """A path given twice."""

    path: Path
    first: Span
    second: Span


class Refusal(NamedTuple):
    """What tomllib might accept and hepsw does not."""

    text: str
    span: Span


@dataclass(slots=True)
class Opened:
    """A bracket or a quote that still waits for its end."""

    mark: str
    """The opening character."""
    start: int
    """Its offset in the text."""
    path: Path
    key: Span | None
    count: int = 0
    """Elements or keys met so far."""


class _Kind(Enum):
    """How a path came to be, which decides who may add to it."""

    VALUE = auto()
    TABLE = auto()
    ARRAY = auto()  # of tables
    IMPLIED = auto()  # by a longer header
    DOTTED = auto()  # by a longer dotted key


_CLOSED_TO: Final = {
    _Kind.IMPLIED: frozenset({_Kind.VALUE}),
    _Kind.DOTTED: frozenset({_Kind.VALUE, _Kind.TABLE, _Kind.ARRAY}),
}
"""What a header, or a dotted key, must not lead through."""


class _StopError(Exception):
    """The text is not TOML from here on; tomllib says why."""


def scan(text: str) -> Spans:
    """Return the place of every path in a document that tomllib accepted.

    The root itself, `()`, has no place. Of other text it returns what stands before the trouble.
    """
    return Scanner(text).places


class Scanner:
    """One walk over one text, over when the constructor returns.

    Besides the places it keeps what helps to explain a text that tomllib rejects.
    """

    def __init__(self, text: str) -> None:
        self.places: Spans = {}
        self.opened: list[Opened] = []
        """What was not closed where the walk ended, outermost first."""
        self.conflict: Conflict | None = None
        """The first path given twice."""
        self.refusal: Refusal | None = None
        self._text = text
        self._pos = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._kinds: dict[Path, _Kind] = {}
        self._sizes: dict[Path, int] = {}  # of arrays of tables
        with suppress(_StopError):
            self._document()

    def span(self, start: int, end: int) -> Span:
        """Return the span of the characters from `start` up to `end`."""
        line = bisect_right(self._line_starts, start)
        line_start = self._line_starts[line - 1]
        if line < len(self._line_starts):
            line_end = self._line_starts[line] - 1
            if line_end > line_start and self._text[line_end - 1] == "\r":
                line_end -= 1
            end = min(end, line_end)
        return Span(line, start - line_start + 1, max(1, end - start))

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a line and column, both from 1."""
        return self._line_starts[line - 1] + column - 1

    def _document(self) -> None:
        header: Path = ()
        while True:
            self._skip(_GAP)
            if self._pos >= len(self._text):
                return
            if self._text[self._pos] == "[":
                header = self._header()
            else:
                self._assignment(header)
                while self.opened:
                    self._go_on(self.opened[-1])

    # Statements

    def _header(self) -> Path:
        start = self._pos
        mark, end = ("[[", "]]") if self._text.startswith("[[", start) else ("[", "]")
        self._pos += len(mark)
        *names, last = self._key()
        self._expect(end)
        place = Place(last.span, self.span(start, self._pos))
        path = self._step(self._descend((), names, _Kind.IMPLIED), last.text, last.span)
        if mark == "[":
            self._claim(path, _Kind.TABLE, last.span)
            self.places[path] = place
            return path
        if self._kinds.get(path) is not _Kind.ARRAY:
            self._claim(path, _Kind.ARRAY, last.span)
            self.places[path] = place
        index = self._sizes.get(path, 0)
        self._sizes[path] = index + 1
        element = self._step(path, index, last.span)
        self.places[element] = place
        return element

    def _assignment(self, table: Path) -> None:
        *names, last = self._key()
        self._expect("=")
        path = self._step(self._descend(table, names, _Kind.DOTTED), last.text, last.span)
        self._claim(path, _Kind.VALUE, last.span)
        self._skip(_BLANK)
        self._begin(path, last.span)

    def _key(self) -> list[Name]:
        names: list[Name] = []
        while True:
            found = _NAME.match(self._text, self._pos)
            if found is None:
                self._skip(_BLANK)
                raise self._stop()
            span = self.span(*found.span(1))
            if len(names) == MAX_DEPTH:  # before its end is seen: tomllib is slow at long keys
                raise self._too_deep(span)
            names.append(Name(_unquote(found[1]), span))
            self._pos = found.end()
            if not self._take("."):
                return names

    # Values

    def _begin(self, path: Path, key: Span | None) -> None:
        """Read a scalar, or open a bracket: nesting takes `self.opened`, not Python's stack."""
        start = self._pos
        if (mark := self._text[start : start + 1]) in ("[", "{"):
            self._pos += 1
            self.opened.append(Opened(mark, start, path, key))
            return
        found = _SCALAR.match(self._text, start)
        if found is None:
            raise self._stop(path, key)
        self._pos = found.end()
        self.places[path] = Place(key, self.span(start, self._pos))

    def _go_on(self, bracket: Opened) -> None:
        """Read the next element of the innermost bracket, or its end."""
        if bracket.mark == "[":
            self._go_on_array(bracket)
        else:
            self._go_on_inline_table(bracket)

    def _go_on_array(self, bracket: Opened) -> None:
        self._skip(_GAP)
        if self._take("]"):
            self._close(bracket)
            return
        if bracket.count:
            self._expect(",")
            self._skip(_GAP)
            if self._take("]"):
                self._close(bracket)
                return
        path = self._step(bracket.path, bracket.count, self.span(self._pos, self._pos + 1))
        bracket.count += 1
        self._begin(path, None)

    def _go_on_inline_table(self, bracket: Opened) -> None:
        self._skip_in_line(bracket)
        if self._take("}"):
            self._close(bracket)
            return
        if bracket.count:
            comma = self._pos
            self._expect(",")
            self._skip_in_line(bracket)
            if self._text.startswith("}", self._pos):
                raise self._refuse(
                    "TOML 1.0 does not allow a comma after the last key of an inline table",
                    self.span(comma, comma + 1),
                )
        bracket.count += 1
        self._assignment(bracket.path)

    def _close(self, bracket: Opened) -> None:
        self.opened.pop()
        self.places[bracket.path] = Place(bracket.key, self.span(bracket.start, self._pos))

    # Paths

    def _descend(self, path: Path, names: Sequence[Name], kind: _Kind) -> Path:
        """Follow all names but the last of a header or key, making the tables they imply."""
        for name in names:
            path = self._step(path, name.text, name.span)
            known = self._kinds.setdefault(path, kind)
            if path not in self.places:
                self.places[path] = Place(name.span, name.span)
            elif known in _CLOSED_TO[kind]:
                self._note_conflict(path, name.span)
            if known is _Kind.ARRAY:  # its newest element is meant
                path = self._step(path, self._sizes[path] - 1, name.span)
        return path

    def _step(self, path: Path, step: str | int, span: Span) -> Path:
        if len(path) == MAX_DEPTH:
            raise self._too_deep(span)
        return (*path, step)

    def _claim(self, path: Path, kind: _Kind, key: Span) -> None:
        """Take a path for a value or a table; only a header may take over what was implied."""
        known = self._kinds.get(path)
        if known is not None and (known, kind) != (_Kind.IMPLIED, _Kind.TABLE):
            self._note_conflict(path, key)
        self._kinds[path] = kind

    def _note_conflict(self, path: Path, second: Span) -> None:
        if self.conflict is None:
            first = self.places[path]
            self.conflict = Conflict(path, first.key or first.value, second)

    # Characters

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._pos)
        if found is not None:
            self._pos = found.end()

    def _skip_in_line(self, bracket: Opened) -> None:
        self._skip(_BLANK)
        if self._text.startswith(("\n", "\r\n", "#"), self._pos):
            raise self._refuse(
                "TOML 1.0 does not allow line breaks between the keys of an inline table",
                self.span(bracket.start, self._pos),
            )

    def _take(self, token: str) -> bool:
        if not self._text.startswith(token, self._pos):
            return False
        self._pos += len(token)
        return True

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._stop()

    def _stop(self, path: Path = (), key: Span | None = None) -> _StopError:
        """Give up here; a quote that starts here has no end."""
        mark = self._text[self._pos : self._pos + 1]
        if mark and mark in _QUOTES:
            self.opened.append(Opened(mark, self._pos, path, key))
        return _StopError()

    def _too_deep(self, span: Span) -> _StopError:
        return self._refuse(f"nested deeper than {MAX_DEPTH} levels", span)

    def _refuse(self, text: str, span: Span) -> _StopError:
        self.refusal = Refusal(text, span)
        return _StopError()


def _unquote(name: str) -> str:
    """Return the key that a bare or quoted name stands for."""
    if name[0] not in _QUOTES:
        return name
    if name[0] == "'" or "\\" not in name:
        return name[1:-1]
    try:
        unquoted: str = tomllib.loads(f"name = {name}")["name"]
    except tomllib.TOMLDecodeError:  # an unknown escape: tomllib rejects the document as well
        return name[1:-1]
    return unquoted
