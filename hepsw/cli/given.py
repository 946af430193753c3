"""A packet that is given on the command line: words, read as the tests of a configuration are.

Each `FIELD=VALUE` is a line of TOML, save that a word needs no quotes. `hepsw.config.cases` reads
what comes of it, so that a mistake is shown as one in a file would be: at its place, with what may
have been meant.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hepsw.config.names import UnknownFieldError
from hepsw.config.sources import Sources
from hepsw.config.spans import Place, Span
from hepsw.fields import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.config import spans
    from hepsw.config.names import Names

COMMAND_LINE: Final = "command line"
"""Where mistakes are, in place of the name of a file."""

_TEXTUAL: Final = frozenset({Kind.TEXT, Kind.OCTETS, Kind.IP})
_LISTED: Final = frozenset({"relay", "store", "trace", "path"})


class WordError(Exception):
    """A word of the command line cannot be read; the message says which, and why."""


@dataclass(slots=True)
class Words:
    """What was given and expected, with the place of each word."""

    names: Names
    given: dict[str, Any] = field(default_factory=dict)
    expect: dict[str, Any] = field(default_factory=dict)
    sources: Sources = field(default_factory=lambda: Sources(main=COMMAND_LINE))

    def __post_init__(self) -> None:
        self.sources.folders[COMMAND_LINE] = Path.cwd()
        self.sources.texts[COMMAND_LINE] = ""

    def field(self, word: str) -> None:
        """Take `FIELD=VALUE`.

        Raises:
            WordError: it is no such thing, or the field was given before.
        """
        keys, written = _assignment(word)
        value = _value(written, is_text=self._is_text(keys))
        self._put(self.given, keys, value, word)
        self._place(("given", *keys), word, len(word) - len(written) - 1)

    def option(self, key: str, value: object, word: str) -> None:
        """Take something that is given by an option of its own.

        Raises:
            WordError: it was given before.
        """
        self._put(self.given, (key,), value, word)
        self._place(("given", key), word, len(word) - len(str(value)) - 1)

    def expected(self, word: str) -> None:
        """Take `KEY=VALUE` of what is expected.

        Raises:
            WordError: it is no such thing, or was given before.
        """
        key, equals, written = word.partition("=")
        if not equals:
            raise WordError(f"not KEY=VALUE: {word!r}")
        value: object = written
        if key in _LISTED:
            value = [name.strip() for name in written.split(",") if name.strip()]
        elif key == "missed":
            value = {"true": True, "false": False}.get(written, written)
        self._put(self.expect, (key,), value, word)
        self._place(("expect", key), word, len(key))

    def _is_text(self, keys: tuple[str, ...]) -> bool:
        """Whether digits mean a text here, as in `sip.ruri_user=112`."""
        try:
            return self.names.field(".".join(keys)).kind in _TEXTUAL
        except UnknownFieldError:
            return False  # it is reported with all else

    @staticmethod
    def _put(block: dict[str, Any], keys: tuple[str, ...], value: object, word: str) -> None:
        for key in keys[:-1]:
            block = block.setdefault(key, {})
            if not isinstance(block, dict):
                raise WordError(f"given twice: {word}")
        if keys[-1] in block:
            raise WordError(f"given twice: {word}")
        block[keys[-1]] = value

    def _place(self, path: spans.Path, word: str, key: int) -> None:
        """Write the word down as a line of its own, and remember where its parts stand."""
        text = self.sources.texts[COMMAND_LINE]
        shown = re.sub(r"\s", " ", word)
        self.sources.texts[COMMAND_LINE] = f"{text}{shown}\n"
        line = text.count("\n") + 1
        place = Place(Span(line, 1, max(1, key)), Span(line, key + 2, max(1, len(word) - key - 1)))
        for length in range(2, len(path) + 1):
            self.sources.places.setdefault(path[:length], (COMMAND_LINE, place))


def _assignment(word: str) -> tuple[tuple[str, ...], str]:
    """Cut a word at the first equals sign that has a key in front of it."""
    for cut in _cuts(word):
        keys = _keys(word[:cut])
        if keys is not None:
            return keys, word[cut + 1 :]
    raise WordError(f"not FIELD=VALUE: {word!r}")


def _cuts(word: str) -> Iterator[int]:
    return (found.start() for found in re.finditer("=", word))


def _keys(written: str) -> tuple[str, ...] | None:
    """Read a dotted key; the name of a raw chunk, `0x0003:0x0065`, needs no quotes."""
    if re.fullmatch(r"[0-9A-Za-z]+:[0-9A-Za-z]+", written):
        return (written,)
    try:
        read: Any = tomllib.loads(f"{written} = 0")
    except tomllib.TOMLDecodeError:
        return None
    keys: list[str] = []
    while isinstance(read, dict):
        (key, read) = next(iter(read.items()))
        keys.append(key)
    return tuple(keys)


def _value(written: str, *, is_text: bool) -> object:
    """Read a value of TOML; what is none is the text as it stands."""
    try:
        read = tomllib.loads(f"x = {written}")
    except tomllib.TOMLDecodeError:
        return written
    value: object = read["x"]
    if len(read) > 1 or (is_text and not isinstance(value, (str, list, dict))):
        return written
    return value
