"""Reporting a problem by the path of what is wrong; the sources know where that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.config.spans import Span
from hepsw.config.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepsw.config.sources import Sources
    from hepsw.config.spans import Path


class Report:
    """Turns paths into places, and collects what was found there."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.problems = sources.problems
        self.unread: set[Path] = set()
        """What was wrong, reported and left out: whatever is there instead says nothing."""

    def is_unread(self, path: Path) -> bool:
        """Return whether something of a value was left out, or all of it."""
        return any(
            path == place[: len(path)] or place == path[: len(place)] for place in self.unread
        )

    def error(self, code: str, text: str, path: Path, hint: str | None = None) -> None:
        """Report an error at the value of a path."""
        self.problems.error(code, text, *self.sources.where(path), hint=hint)

    def error_inside(
        self,
        code: str,
        text: str,
        path: Path,
        string: tuple[str, int, int | None],
        hint: str | None = None,
    ) -> None:
        """Report an error inside a string, at its own column where the string stands as written.

        `string` is the string as TOML gave it, with the number of characters before the trouble,
        and of the trouble; None: all that follows.
        """
        written, column, length = string
        file, span = self.sources.where(path)
        if span is not None:
            line = self.sources.texts[file].split("\n")[span.line - 1]
            # With escapes, or over several lines, the whole string is what can be pointed at.
            if line[span.column : span.end - 2] == written:
                length = len(written) - column if length is None else length
                span = Span(span.line, span.column + 1 + column, max(1, length))
        self.problems.error(code, text, file, span, hint=hint)

    def key_error(self, code: str, text: str, path: Path, hint: str | None = None) -> None:
        """Report an error at the key of a path."""
        self.problems.error(code, text, *self.sources.where(path, key=True), hint=hint)

    def warning(self, code: str, text: str, path: Path, hint: str | None = None) -> None:
        """Report a warning at the value of a path."""
        self.problems.warning(code, text, *self.sources.where(path), hint=hint)

    def key_warning(self, code: str, text: str, path: Path, hint: str | None = None) -> None:
        """Report a warning at the key of a path."""
        self.problems.warning(code, text, *self.sources.where(path, key=True), hint=hint)

    def unknown(
        self,
        code: str,
        what: str,
        name: object,
        path: Path,
        legal: Iterable[str],
        *,
        because: str = "",
    ) -> None:
        """Report a name that nothing has, with what it may have been meant to be.

        Args:
            code: of the kind of name.
            what: it should name.
            name: as written.
            path: where.
            legal: the names there are.
            because: why it has to be one, where that is not seen at its place.
        """
        known = sorted(legal)
        meant = did_you_mean(str(name), known, foreign={})
        hint = f"did you mean `{meant}`?" if meant else None
        if hint is None:
            hint = f"known here: {', '.join(known[:8])}" if known else f"there is no {what} at all"
        self.error(code, f"unknown {what} `{name}`{because}", path, hint)
