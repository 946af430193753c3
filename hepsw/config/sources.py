"""The files of one configuration: read, merged, and still able to say where everything stood.

`hepsw.toml` comes first, then `rules/*.toml` beside it in name order. Arrays of tables are joined;
a block or a scalar that is given twice is an error, because which of the two counts would hide in
file names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hepsw.config.diagnostics import Problems
from hepsw.config.files import read_file
from hepsw.config.toml import TomlSyntax, read_toml
from hepsw.pieces import let_go

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as FilePath

    from hepsw.config.spans import Path, Place, Span, Spans

JOINED: Final = frozenset({"listen", "tests"})
"""Arrays of tables at the top of a file; those under `rules` are joined table by table."""

SCHEMA: Final = "$schema"
"""The key by which a file tells editors its schema: each file may, and nothing follows from it."""


class Where(NamedTuple):
    """A place in a file."""

    file: str
    span: Span | None


@dataclass(slots=True)
class Sources:
    """What was read, as one document."""

    data: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """The files' texts by the name that diagnostics print."""
    files: dict[FilePath, str] = field(default_factory=dict)
    """SHA-256 of every file read, by its path."""
    places: dict[Path, tuple[str, Place]] = field(default_factory=dict)
    folders: dict[str, FilePath] = field(default_factory=dict)
    """The folder that a file's relative paths start at, by the file's printed name."""
    main: str = ""
    """The printed name of `hepsw.toml`."""
    tables: dict[str, str] = field(default_factory=dict)
    """For each rule table the file in which its rules began."""
    problems: Problems = field(default_factory=Problems)

    def where(self, path: Path, *, key: bool = False) -> Where:
        """Return where a path of the merged data stands, or the nearest place around it.

        Args:
            path: steps from the root.
            key: point at the key rather than the value.
        """
        for length in range(len(path), 0, -1):
            found = self.places.get(path[:length])
            if found is not None:
                file, place = found
                return Where(file, (place.key if key else None) or place.value)
        return Where(self.main, None)

    def folder(self, path: Path) -> FilePath:
        """Return the folder that a file name written at this path is relative to."""
        return self.folders[self.where(path).file]

    def let_go(self) -> None:
        """Forget what was read, a piece at a time; the texts, files and problems stay."""
        for block in self.data.values():
            if isinstance(block, dict):
                let_go(*(inner for inner in block.values() if isinstance(inner, (dict, list))))
        let_go(self.data, self.places)


def read_sources(path: FilePath) -> Sources:
    """Read `hepsw.toml` and the rules beside it; what is wrong is in `problems`, never raised."""
    sources = Sources(main=printed(path))
    rules = path.parent / "rules"
    try:
        beside = rule_files(rules)
    except OSError as error:
        # Without its rules a switch would send everything everywhere.
        sources.problems.error(
            "HEP103", f"cannot read the folder: {error.strerror}", printed(rules)
        )
        beside = []
    for file in (path, *beside):
        read = _read(file, sources)
        if read is not None:
            data, spans = read
            _Merge(sources, printed(file), spans).document(data)
            let_go(spans)
    return sources


def printed(file: FilePath) -> str:
    """Return a file's name as text, whatever octets it is made of."""
    return str(file).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def rule_files(folder: FilePath) -> list[FilePath]:
    """Return the TOML files of a folder in name order; none where there is no folder.

    Hidden files are an editor's, not the operator's.

    Raises:
        OSError: it cannot be listed, or is no folder.
    """
    if not folder.is_symlink() and not folder.exists():
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix == ".toml" and not file.name.startswith(".")
    )


def _read(file: FilePath, sources: Sources) -> tuple[dict[str, Any], Spans] | None:
    name = printed(file)
    where = Where(name, None)
    sources.folders[name] = file.parent.resolve()
    try:
        octets = read_file(file)
    except OSError as error:
        hint = "-c names the file" if name == sources.main else None
        text = f"cannot read the file: {error.strerror}"
        sources.problems.error("HEP103", text, *where, hint=hint)
        sources.files[file] = ""
        return None
    sources.files[file] = hashlib.sha256(octets).hexdigest()
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        sources.problems.error(
            "HEP103",
            f"the file is not UTF-8: octet 0x{octets[error.start]:02x} in line {line}",
            *where,
        )
        return None
    sources.texts[name] = text
    try:
        return read_toml(text)
    except TomlSyntax as error:
        sources.problems.error("HEP101", error.message, *Where(name, error.span))
        return None


@dataclass(slots=True)
class _Merge:
    """Adds one file to what was read before it."""

    sources: Sources
    file: str
    spans: Spans

    def document(self, data: dict[str, Any]) -> None:
        for block, written in data.items():
            if block == SCHEMA:
                continue
            if block in JOINED and isinstance(written, list):
                self._join((block,), written)
            elif block == "rules" and isinstance(written, dict):
                self._place(("rules",), ("rules",))
                self.sources.data.setdefault("rules", {})
                for table, rules in written.items():
                    self._rules(table, rules)
            elif isinstance(written, dict) and isinstance(self.sources.data.get(block, {}), dict):
                self._place((block,), (block,))
                self.sources.data.setdefault(block, {})
                for name, value in written.items():
                    self._once((block, name), value)
            else:
                self._once((block,), written)

    def _rules(self, table: str, rules: object) -> None:
        if not isinstance(rules, list):
            self._once(("rules", table), rules)
            return
        first = self.sources.tables.setdefault(table, self.file)
        if first != self.file:
            self.sources.problems.warning(
                "HEP308",
                f"table `{table}` has rules in {first} too: their order hides in the file names",
                self.file,
                _key_span(self.spans.get(("rules", table))),
            )
        self._join(("rules", table), rules)

    def _join(self, path: Path, written: list[Any]) -> None:
        holder: Any = self.sources.data
        for step in path[:-1]:
            holder = holder[step]
        before = holder.setdefault(path[-1], [])
        self._place(path, path)
        if not isinstance(before, list):
            self._twice(path)
            return
        for at, item in enumerate(written):
            self._tree((*path, at), (*path, len(before)), item)
            before.append(item)

    def _once(self, path: Path, value: object) -> None:
        holder: Any = self.sources.data
        for step in path[:-1]:
            holder = holder[step]
        if path[-1] in holder:
            self._twice(path)
            return
        holder[path[-1]] = value
        self._tree(path, path, value)

    def _twice(self, path: Path) -> None:
        first = self.sources.where(path, key=True)
        line = f":{first.span.line}" if first.span else ""
        self.sources.problems.error(
            "HEP102",
            f"`{'.'.join(map(str, path))}` is given a second time",
            self.file,
            _key_span(self.spans.get(path)),
            hint=f"the first is at {first.file}{line}",
        )

    def _tree(self, own: Path, merged: Path, value: object) -> None:
        for steps in _paths(value):
            self._place((*own, *steps), (*merged, *steps))

    def _place(self, own: Path, merged: Path) -> None:
        place = self.spans.get(own)
        if place is not None:
            self.sources.places.setdefault(merged, (self.file, place))


def _key_span(place: Place | None) -> Span | None:
    return None if place is None else place.key or place.value


def _paths(value: object) -> Iterator[Path]:
    """Yield the path of everything in a value, itself first."""
    yield ()
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for step, inner in items:
        for steps in _paths(inner):
            yield (step, *steps)
