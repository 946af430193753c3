"""TOML text to data and places, or to one error that says what to change.

`tomllib` stays the judge of what TOML is. Its errors are terse ("Cannot overwrite a value") and
often point at the end of the document, so they are explained here from what the scanner in
`config.spans` knows: which bracket or quote is still open, which key was there before. Reading
files is the caller's.

Source: TOML 1.0.0; the messages are those of tomllib in Python 3.11 to 3.13.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hepsw.config.spans import Scanner, Span, Spans
from hepsw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.config.spans import Opened, Path

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOKEN: Final = re.compile(r"""[^\s,#=\[\]{}"']+""")
_STATEMENT: Final = re.compile(r"""\[{1,2}[A-Za-z_]|[A-Za-z0-9_."' \t-]+=""")
_REST_OF_LINE: Final = re.compile(r"[^\r\n#]*[^\s#]")
_HEX_ESCAPE: Final = re.compile(r"\\u[0-9A-Fa-f]{0,4}|\\U[0-9A-Fa-f]{0,8}")
WIDEST: Final = 256
"""Bits of an integer that is read, to be refused for what it is meant to be."""
_BYTE_ORDER_MARK: Final = "\ufeff"


class TomlSyntax(ConfigError):  # noqa: N818 - its message is what counts as the error
    """A text that is not TOML 1.0."""

    def __init__(self, message: str, span: Span) -> None:
        super().__init__(f"{span.line}:{span.column}: {message}")
        self.message = message
        """What is wrong, without its place."""
        self.span = span


def read_toml(text: str) -> tuple[dict[str, Any], Spans]:
    """Return the data of a TOML text, and the place of every path in it.

    Raises:
        TomlSyntax: it is not TOML 1.0, or nested deeper than `spans.MAX_DEPTH`.
    """
    # Before tomllib, which recurses at brackets and takes a minute for a key of 40,000 parts.
    scanner = Scanner(text)
    if scanner.refusal is not None:
        raise TomlSyntax(*scanner.refusal)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlSyntax(*locate_toml_error(error, text)) from error
    except ValueError as error:  # of int(), which tomllib lets through
        raise TomlSyntax("a number with too many digits", _long_number(text)) from error
    _check_integers(data, scanner.places)
    return data, scanner.places


def _check_integers(data: dict[str, Any], places: Spans) -> None:
    """Refuse integers that Python would not even print: in hexadecimal they may have no end."""
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, at), inner) for at, inner in enumerate(value)]
        elif isinstance(value, int) and value.bit_length() > WIDEST:
            near = next(places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places)
            raise TomlSyntax("a number with too many digits", near.value)


def locate_toml_error(error: tomllib.TOMLDecodeError, text: str) -> tuple[str, Span]:
    """Return what an operator should read about a text that tomllib rejected, and where to look."""
    reason = _PLACE.sub("", str(error))
    spot = _Spot.of(error, text)
    for start, explain in _EXPLANATIONS:
        if reason.startswith(start):
            return explain(spot)
    return reason[:1].lower() + reason[1:], spot.here()


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where tomllib gave up, and what the scanner knows about it."""

    text: str
    offset: int
    scanner: Scanner
    """Has walked the whole text as far as it could."""
    opened: Opened | None
    """The innermost bracket or quote that is open at the offset."""

    @classmethod
    def of(cls, error: tomllib.TOMLDecodeError, text: str) -> _Spot:
        scanner = Scanner(text)
        place = _PLACE.search(str(error))
        at_line = place is not None and place[1] is not None
        offset = scanner.offset(int(place[1]), int(place[2])) if place and at_line else len(text)
        # All before the offset is sound, so whatever ends a walk over it is open there.
        opened = Scanner(text[:offset]).opened
        return cls(text, offset, scanner, opened[-1] if opened else None)

    @property
    def char(self) -> str:
        """The character at the offset, empty at the end of the document."""
        return self.text[self.offset : self.offset + 1]

    def at_line_end(self) -> bool:
        return not self.char or self.text.startswith(("\n", "\r\n", "#"), self.offset)

    def here(self) -> Span:
        """Return the span of the offset; of the end of the document, where its text ends."""
        start = self.offset if self.char else len(self.text.rstrip())
        return self.scanner.span(start, start + 1)

    def rest(self, start: int) -> Span:
        """Return the span from `start` to the end of its line, or to a comment."""
        found = _REST_OF_LINE.match(self.text, start)
        return self.scanner.span(start, found.end() if found else start + 1)

    def token(self) -> tuple[str, Span] | None:
        """Return the bare word that the offset stands in, from its first character on."""
        start = self.offset
        while start and _TOKEN.fullmatch(self.text, start - 1, start):
            start -= 1
        found = _TOKEN.match(self.text, start)
        return (found[0], self.scanner.span(*found.span())) if found else None

    def inside_token(self) -> bool:
        """Tell whether tomllib stopped in the middle of a word, such as 10.0|.0.1."""
        around = self.text[self.offset - 1 : self.offset + 1]
        return len(around) == 2 and _TOKEN.fullmatch(around) is not None


def _given_twice(spot: _Spot) -> tuple[str, Span]:
    conflict = spot.scanner.conflict
    if conflict is None:
        return "given twice", spot.here()
    return (
        f"`{_dotted(conflict.path)}` is given twice, first on line {conflict.first.line}",
        conflict.second,
    )


def _not_a_value(spot: _Spot) -> tuple[str, Span]:
    token = spot.token()
    if token is not None:
        return f"not a TOML value: `{token[0]}` (text needs quotes)", token[1]
    if not spot.char and spot.opened is not None:
        return _never_closed(spot, spot.opened)
    return "a value is missing", spot.here()


def _text_behind(spot: _Spot) -> tuple[str, Span]:
    if spot.inside_token():
        return _not_a_value(spot)
    if spot.char == ",":
        return "several values need brackets around them: `[…, …]`", spot.rest(spot.offset)
    return "each key and each header needs a line of its own", spot.rest(spot.offset)


def _not_closed(spot: _Spot) -> tuple[str, Span]:
    """Tell a bracket without an end from elements without a comma."""
    bracket = spot.opened
    if bracket is None or spot.inside_token():
        return _not_a_value(spot)
    # An inline table that went on to the next line was refused before tomllib saw it.
    next_statement = bracket.mark == "[" and _STATEMENT.match(spot.text, spot.offset)
    if not spot.char or next_statement:
        return _never_closed(spot, bracket)
    return f"expected `,` or `{_ENDS[bracket.mark]}`", spot.here()


def _never_closed(spot: _Spot, bracket: Opened) -> tuple[str, Span]:
    return (
        f"`{bracket.mark}` is never closed",
        spot.scanner.span(bracket.start, bracket.start + 1),
    )


def _bad_character(spot: _Spot) -> tuple[str, Span]:
    """Explain a string without an end, or a control character in a string or comment."""
    quote = spot.opened
    if quote is not None and quote.mark in "\"'" and spot.at_line_end():
        where = "" if spot.text.startswith(quote.mark * 3, quote.start) else " on its line"
        return f"this string is not closed{where}", spot.rest(quote.start)
    return f"{_named(spot.char)} is not allowed here", spot.here()


def _bad_escape(spot: _Spot) -> tuple[str, Span]:
    start = spot.text.rfind("\\", 0, spot.offset)
    written = spot.text[start : start + 2]
    return (
        f"unknown escape `{written}`: double the backslash, or use single quotes",
        spot.scanner.span(start, start + 2),
    )


def _bad_code_point(spot: _Spot) -> tuple[str, Span]:
    start = spot.text.rfind("\\", 0, spot.offset)
    found = _HEX_ESCAPE.match(spot.text, start)
    end = found.end() if found else spot.offset
    return "not the number of a character", spot.scanner.span(start, end)


def _no_equals(spot: _Spot) -> tuple[str, Span]:
    if spot.char == ":":
        return "a key and its value are parted by `=`, not by `:`", spot.here()
    if spot.inside_token():
        return f"{_named(spot.char)} cannot stand in a key without quotes", spot.here()
    return "expected `=` after the key", spot.here()


def _no_name(spot: _Spot) -> tuple[str, Span]:
    if spot.char == _BYTE_ORDER_MARK:
        return "a byte order mark; save the file as UTF-8 without one", spot.here()
    if not spot.char and spot.opened is not None:
        return _never_closed(spot, spot.opened)
    if spot.at_line_end() or spot.char in "=]}.":
        return "a key is missing", spot.here()
    return f"{_named(spot.char)} cannot stand in a key without quotes", spot.here()


def _open_header(spot: _Spot) -> tuple[str, Span]:
    return "the header does not end with `]`", spot.here()


def _open_array_header(spot: _Spot) -> tuple[str, Span]:
    return "the header does not end with `]]`", spot.here()


def _no_date(spot: _Spot) -> tuple[str, Span]:
    token = spot.token()
    return "no such date or time", token[1] if token else spot.here()


_ENDS: Final = {"[": "]", "{": "}"}

_EXPLANATIONS: Final[tuple[tuple[str, Callable[[_Spot], tuple[str, Span]]], ...]] = (
    ("Cannot ", _given_twice),  # declare twice, overwrite, mutate, redefine
    ("Duplicate inline table key", _given_twice),
    ("Invalid value", _not_a_value),
    ("Invalid date", _no_date),
    ("Expected newline or end of document", _text_behind),
    ("Unclosed ", _not_closed),
    ("Unterminated string", _bad_character),
    ("Illegal character", _bad_character),
    ("Found invalid character", _bad_character),
    ("Expected \"'", _bad_character),
    ("Unescaped '\\'", _bad_escape),
    ("Invalid hex value", _bad_code_point),
    ("Escaped character is not", _bad_code_point),
    ("Expected '=' after a key", _no_equals),
    ("Invalid initial character for a key", _no_name),
    ("Invalid statement", _no_name),
    ("Expected ']]'", _open_array_header),
    ("Expected ']'", _open_header),
)
"""How a message of tomllib starts, and who explains it."""


def _dotted(path: Path) -> str:
    """Return a path as the operator would write it: without indices, odd names in quotes."""
    names = (step for step in path if isinstance(step, str))
    return ".".join(
        name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"' for name in names
    )


def _named(char: str) -> str:
    return f"`{char}`" if char.isprintable() and char != " " else f"U+{ord(char):04X}"


def _long_number(text: str) -> Span:
    limit = sys.get_int_max_str_digits()
    found = re.search(rf"[0-9](?:_?[0-9]){{{limit}}}[0-9_]*", text)
    return Scanner(text).span(*(found.span() if found else (0, 1)))
