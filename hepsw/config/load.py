"""A configuration, from its files to what it means, with every problem on the way.

`hepsw check`, the start of the daemon and each reload all come through `load`. Nothing stops at the
first mistake: a block that cannot be read is reported and known by name, so what refers to it is
not reported again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from hepsw.config import models
from hepsw.config.configuration import Configuration, Listener, StoreSettings, Table
from hepsw.config.files import read_file
from hepsw.config.graph import check_graph
from hepsw.config.loops import check_loops
from hepsw.config.match import BLOCK_WORDS, MatchReader
from hepsw.config.names import NamedSet, Names, UnknownFieldError, check_not_generic
from hepsw.config.problems import Report
from hepsw.config.rules import RuleReader
from hepsw.config.sources import Sources, read_sources
from hepsw.config.spelling import did_you_mean
from hepsw.config.validate import salvaged, unknown_block, validated
from hepsw.config.values import value_test
from hepsw.fields import CATALOGUE, chunk_field, is_coming
from hepsw.hep import ChunkKey, ChunkType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from hepsw.config.configuration import Rule
    from hepsw.config.diagnostics import Problems
    from hepsw.config.loops import Machine
    from hepsw.config.spans import Path
    from hepsw.fields import Field


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading."""

    configuration: Configuration | None
    """None where any error was found."""
    problems: Problems
    texts: Mapping[str, str]
    """The files by the names that the problems carry."""
    files: Mapping[FilePath, str]
    """Every file that was read or that should have been there, with the SHA-256 of what it held."""


def load(path: FilePath, machine: Machine | None = None) -> Loaded:
    """Read and judge a configuration.

    Args:
        path: `hepsw.toml`; `rules/*.toml` beside it belong to it.
        machine: asked what depends on this machine; None leaves all of that out (`--offline`).
    """
    sources = read_sources(path)
    configuration = None
    # Half a configuration would answer with references to what the other half defines.
    if not sources.problems.has_errors:
        configuration = _Loader(sources, machine).configuration()
    return Loaded(
        configuration=None if sources.problems.has_errors else configuration,
        problems=sources.problems,
        texts=sources.texts,
        files=sources.files,
    )


SetValue = tuple[Any, "Path", str]
"""A value, the place to point at, and the words that name its line in a file."""

SET_KINDS: Final = {
    "ip": CATALOGUE["src_ip"],
    "number": chunk_field("number", ChunkKey(0, 0), ChunkType.UINT64),
    "string": CATALOGUE["node_name"],
}
"""A field that has the kind of each type of set."""


class _Loader:
    """Judges one set of sources."""

    def __init__(self, sources: Sources, machine: Machine | None) -> None:
        self.sources = sources
        self.machine = machine
        self.report = Report(sources)
        self.data = sources.data

    def configuration(self) -> Configuration:
        for block in self.data:
            if block not in {*models.BLOCKS, "reload", "log"}:
                unknown_block(block, self.report)
        names = Names(
            chunks=self._chunks(),
            listeners=self._listener_names(),
            sets=self._sets(),
            matchers=self._block("matchers"),
        )
        matches = MatchReader(names, self.report)
        destinations = self._named("destinations", models.Destination)
        stores = self._stores()
        for name in self._block("stores").keys() & self._block("destinations").keys():
            self.report.key_error(
                "HEP102", f"a destination and a store are both called `{name}`", ("stores", name)
            )
        settings = self._named("tables", models.Table)
        written = self._block("rules")
        reader = RuleReader(
            names,
            matches,
            self.report,
            destinations=self._block("destinations").keys(),
            stores=self._block("stores").keys(),
            tables={**self._block("tables"), **written}.keys(),
        )
        tables = {
            name: Table(
                name=name,
                rules=self._rules(name, written.get(name, []), reader),
                miss=self._miss(name, settings.get(name), reader),
            )
            for name in {**self._block("tables"), **written}
        }
        for name in names.matchers:
            matches.matcher(name)  # judged even while nothing uses it
        listeners = self._listeners(written)
        check_graph(tables, listeners, self.report)
        check_loops(destinations, listeners, self.machine, self.report)
        # What could not be read may be just what uses the others.
        if not self.report.problems.has_errors:
            self._unused(names, reader)
        return Configuration(
            listeners=listeners,
            destinations=destinations,
            stores=stores,
            tables=tables,
            reload=self._single("reload", models.Reload) or models.Reload(),
            log=self._single("log", models.Log) or models.Log(),
            files=self.sources.files,
        )

    # --- blocks ---

    def _block(self, name: str) -> dict[str, Any]:
        """Return a block of named things; what is no table was reported as such."""
        block = self.data.get(name, {})
        if isinstance(block, dict):
            return block
        shape = "`[[rules.main]]`" if name == "rules" else f"`[{name}]`"
        self.report.key_error("HEP105", f"`{name}` wants {shape}", (name,))
        return {}

    def _named(self, block: str, model: type[models.Block]) -> dict[str, Any]:
        """Return the valid ones among the named things of a block."""
        found = {
            name: validated(model, written, (block, name), self.report)
            for name, written in self._block(block).items()
        }
        return {name: value for name, value in found.items() if value is not None}

    def _single(self, block: str, model: type[models.Block]) -> Any:
        return validated(model, self.data.get(block, {}), (block,), self.report)

    def _chunks(self) -> dict[str, Field]:
        chunks: dict[str, Field] = {}
        for name, chunk in self._named("chunks", models.ChunkName).items():
            place = ("chunks", name)
            key = ChunkKey(chunk.vendor, chunk.id)
            if name in CATALOGUE:
                self.report.key_error("HEP102", f"`{name}` is a field already", place)
            elif (
                not re.fullmatch("[a-z][a-z0-9_]*", name) or name in BLOCK_WORDS or is_coming(name)
            ):
                self.report.key_error(
                    "HEP106", f"`{name}` cannot name a chunk", place, "small letters, digits and _"
                )
            elif any(field.key == key for field in chunks.values()):
                self.report.key_error("HEP102", f"`{name}` is a chunk that has a name", place)
            else:
                try:
                    check_not_generic(key)
                except UnknownFieldError as error:
                    self.report.key_error("HEP102", str(error), place, error.hint)
                    continue
                chunks[name] = chunk_field(name, key, ChunkType(chunk.type))
        return chunks

    def _sets(self) -> dict[str, NamedSet]:
        sets = {}
        for name, written in self._block("sets").items():
            path: Path = ("sets", name)
            if isinstance(written, list):
                values: list[SetValue] = [
                    (value, (*path, at), "") for at, value in enumerate(written)
                ]
                for value, place, _ in values:
                    if isinstance(value, bool) or not isinstance(value, (str, int)):
                        self.report.error("HEP105", "a set holds texts and whole numbers", place)
                sets[name] = NamedSet(values)
            else:
                settings = validated(models.SetFile, written, path, self.report)
                sets[name] = NamedSet(self._set_file(settings, path) if settings else [])
        return sets

    def _set_file(self, settings: models.SetFile, path: Path) -> list[SetValue]:
        file = self.sources.folder(path) / settings.file
        place = (*path, "file")
        try:
            octets = read_file(file)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            self.sources.files[file] = ""
            if self.machine is not None:
                why = error.strerror if isinstance(error, OSError) else error
                self.report.error("HEP208", f"cannot read {settings.file}: {why}", place)
            return []
        self.sources.files[file] = hashlib.sha256(octets).hexdigest()
        try:
            lines = octets.decode("utf-8").splitlines()
        except UnicodeDecodeError:
            self.report.error("HEP208", f"{settings.file} is not UTF-8", place)
            return []
        values: list[SetValue] = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            origin = f"{settings.file}:{number}: "
            try:
                value_test(SET_KINDS[settings.type], text)
            except ValueError as error:
                self.report.error("HEP208", f"{origin}{error}", place)
                return []
            values.append((text, place, origin))
        return values

    def _stores(self) -> dict[str, StoreSettings]:
        stores: dict[str, StoreSettings] = {}
        for name, store in self._named("stores", models.Store).items():
            path = ("stores", name)
            try:
                file = (self.sources.folder(path) / store.url).resolve()
            except (OSError, RuntimeError) as error:
                self.report.error("HEP106", f"no file {store.url}: {error}", (*path, "url"))
                continue
            if file in {read.resolve() for read in self.sources.files}:
                self.report.error("HEP106", f"{store.url} is a file of this configuration", path)
            if any(other.file == file for other in stores.values()):
                self.report.error("HEP102", f"two stores write to {store.url}", (*path, "url"))
            stores[name] = StoreSettings(file=file, batch=store.batch)
        return stores

    def _listeners(self, rules: Mapping[str, Any]) -> tuple[Listener, ...]:
        listeners: list[Listener] = []
        names: set[str] = set()
        written = self.data.get("listen", [])
        if not isinstance(written, list):
            self.report.key_error(
                "HEP105", "`listen` wants `[[listen]]`, two brackets", ("listen",)
            )
            return ()
        if not written:
            self.report.key_error(
                "HEP107", "there is no `[[listen]]`: nothing can arrive", ("listen",)
            )
        for at, block in enumerate(written):
            path: Path = ("listen", at)
            read = validated(models.Listen, block, path, self.report)
            if read is None:
                continue
            if read.name is not None and read.name in names:
                self.report.error(
                    "HEP102", f"two listeners are called `{read.name}`", (*path, "name")
                )
            names.add(read.name or "")
            entry = self._entry(read, rules, path)
            for index, url in enumerate(read.url):
                if any(other.url == url for other in listeners):
                    self.report.error(
                        "HEP102", f"{url} is listened on twice", (*path, "url", index)
                    )
                    continue
                listeners.append(
                    Listener(
                        name=read.name or str(url),
                        url=url,
                        entry=entry,
                        versions=frozenset(read.versions),
                        gzip_frames=read.gzip_frames,
                        receive_buffer=read.receive_buffer,
                    )
                )
        return tuple(listeners)

    def _entry(self, listen: models.Listen, rules: Mapping[str, Any], path: Path) -> str | None:
        """Return the table that packets enter; None where there are no rules at all."""
        if not any(isinstance(written, list) and written for written in rules.values()):
            return None
        if not rules.get(listen.entry):
            meant = did_you_mean(listen.entry, rules, foreign={})
            self.report.error(
                "HEP206",
                f"there are rules, but none in table `{listen.entry}`, where this listener enters",
                (*path, "entry"),
                f"did you mean `{meant}`?" if meant else f"tables with rules: {', '.join(rules)}",
            )
        return listen.entry

    # --- tables ---

    def _miss(
        self, name: str, settings: models.Table | None, reader: RuleReader
    ) -> tuple[str, ...]:
        if settings is None:
            return ()
        miss = settings.miss
        return reader.outputs(miss.relay, miss.store, ("tables", name, "miss"))

    def _rules(self, table: str, written: object, reader: RuleReader) -> tuple[Rule, ...]:
        if not isinstance(written, list):
            self.report.key_error(
                "HEP105",
                f"`rules.{table}` wants `[[rules.{table}]]`, two brackets",
                ("rules", table),
            )
            return ()
        rules: list[Rule] = []
        names: set[str] = set()
        for at, block in enumerate(written):
            path: Path = ("rules", table, at)
            if not isinstance(block, dict):
                self.report.error("HEP105", "a rule is a table", path)
                continue
            read, whole = salvaged(models.Rule, block, path, self.report)
            if read is None:
                continue
            if read.name in names and whole:
                self.report.error(
                    "HEP102",
                    f"two rules of table `{table}` are called `{read.name}`",
                    (*path, "name"),
                )
            names.add(read.name)
            rule = reader.read(read, table, path)
            if read.enabled:
                rules.append(rule)
        if written and not rules and not self.report.problems.has_errors:
            self.report.key_warning(
                "HEP303", f"every rule of table `{table}` is switched off", ("rules", table)
            )
        return tuple(rules)

    def _listener_names(self) -> list[str]:
        """Return what listeners are called; nothing where that cannot be read."""
        names: list[str] = []
        try:
            for block in self.data.get("listen", []):
                read = models.Listen.model_validate(block)
                names.extend([read.name] if read.name else [str(url) for url in read.url])
        except (ValidationError, TypeError):
            return []
        return names

    def _unused(self, names: Names, reader: RuleReader) -> None:
        if any(self._block("rules").values()):
            for block in ("destinations", "stores"):
                for name in self._block(block):
                    if name not in reader.used:
                        self.report.key_warning(
                            "HEP306", f"{block[:-1]} `{name}` is never used", (block, name)
                        )
        for name, named in names.sets.items():
            if not named.used:
                self.report.key_warning("HEP306", f"set `{name}` is never used", ("sets", name))
