"""A configuration, from its files to what it means, with every problem on the way.

`hepsw check`, the start of the daemon and each reload all come through `load`. Nothing stops at the
first mistake: a block that cannot be read is reported and known by name, so what refers to it is
not reported again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hepsw.config import models
from hepsw.config.cases import CaseReader, names_of
from hepsw.config.certificates import check_served
from hepsw.config.configuration import Configuration, Listener, ListenerTls, Table
from hepsw.config.destinations import DestinationReader
from hepsw.config.environment import Environment
from hepsw.config.files import fingerprint
from hepsw.config.geo import Database
from hepsw.config.graph import check_graph
from hepsw.config.hiding import masked
from hepsw.config.loops import check_loops
from hepsw.config.maps import read_map
from hepsw.config.match import BLOCK_WORDS, MatchReader
from hepsw.config.names import Names, UnknownFieldError, check_not_generic, unread_field
from hepsw.config.networks import networks
from hepsw.config.not_run import refuse_what_does_not_run
from hepsw.config.outputs import (
    check_exposure,
    check_spools,
    check_traces,
    read_profiles,
)
from hepsw.config.payload import check_payload
from hepsw.config.problems import Report
from hepsw.config.rules import RuleReader
from hepsw.config.sets import read_sets
from hepsw.config.sources import read_sources
from hepsw.config.spelling import did_you_mean
from hepsw.config.stores import StoreReader
from hepsw.config.validate import salvaged, unknown_block
from hepsw.fields import CATALOGUE, GROUPS, chunk_field
from hepsw.hep import ChunkKey, ChunkType
from hepsw.pieces import dismantle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from hepsw.config.configuration import Case, Rule
    from hepsw.config.diagnostics import Problems
    from hepsw.config.loops import Machine
    from hepsw.config.sources import Sources
    from hepsw.config.spans import Path
    from hepsw.fields import Field


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading."""

    configuration: Configuration | None
    """None where any error was found."""
    problems: Problems
    texts: Mapping[str, str]
    """The files by the names that the problems carry, secrets masked."""
    files: Mapping[FilePath, str]
    """Every file that was read or that should have been there, with the SHA-256 of what it held."""
    sources: Sources
    """What was read, before it was judged."""
    not_run: tuple[str, ...]
    """What is written and this release does not carry out, each in a few words."""
    cases: CaseReader | None = None
    """Reads further packets and expectations by the names of this configuration; None where its
    files could not be read."""


def load(path: FilePath, machine: Machine | None = None, *, running: bool = False) -> Loaded:
    """Read and judge a configuration.

    Args:
        path: `hepsw.toml`; `rules/*.toml` beside it belong to it.
        machine: asked what depends on this machine; None leaves all of that out (`--offline`).
        running: it is to run: what this release does not carry out is an error.
    """
    sources = read_sources(path)
    configuration = None
    not_run: tuple[str, ...] = ()
    cases = None
    # Half a configuration would answer with references to what the other half defines.
    if not sources.problems.has_errors:
        loader = _Loader(sources, machine)
        configuration = loader.configuration()
        cases = loader.cases
        not_run = refuse_what_does_not_run(sources.data, loader.report, running=running)
    if sources.problems.has_errors:
        half, configuration = [configuration], None
        dismantle(half)
    return Loaded(
        configuration=configuration,
        problems=sources.problems,
        texts=masked(sources),
        files=sources.files,
        sources=sources,
        not_run=not_run,
        cases=cases,
    )


class _Loader:
    """Judges one set of sources."""

    def __init__(self, sources: Sources, machine: Machine | None) -> None:
        self.sources = sources
        self.machine = machine
        self.report = Report(sources)
        self.data = sources.data
        self.cases: CaseReader | None = None

    def configuration(self) -> Configuration:
        report = self.report
        offline = self.machine is None
        for block in self.data:
            if block not in {*models.BLOCKS, *models.SETTINGS}:
                unknown_block(block, report)
        settings = {block: self._single(block, model) for block, model in models.SETTINGS.items()}
        names = Names(
            chunks=self._chunks(),
            listeners=self._listener_names(),
            sets=read_sets(self._block("sets"), report, offline=offline),
            matchers=self._block("matchers"),
            proto_types=self._proto_types(),
            geo=self._geo(settings["geo"]),
        )
        matches = MatchReader(names, report)
        maps = self._named("maps", models.Map)
        # Fields of maps that cannot be read are known by name all the same.
        names.maps.update(dict.fromkeys(self._block("maps")))
        for name, map_ in maps.items():
            field = read_map(name, map_, names, report)
            # What half a map gives is not what it will.
            names.maps[name] = None if report.is_unread(("maps", name)) else field
        environment = Environment(report, offline=offline)
        destinations = self._named("destinations", models.Destination)
        written_stores = self._named("stores", models.Store)
        for name in self._block("stores").keys() & self._block("destinations").keys():
            report.key_error(
                "HEP102", f"a destination and a store are both called `{name}`", ("stores", name)
            )
        traces = self._named("traces", models.Trace)
        profiles = read_profiles(self._named("privacy", models.Privacy), environment)
        outputs = {**self._block("destinations"), **self._block("stores")}.keys()
        written = self._block("rules")
        reader = RuleReader(
            names,
            matches,
            report,
            destinations=self._block("destinations").keys(),
            stores=self._block("stores").keys(),
            traces=self._block("traces").keys(),
            maps=maps,
            tables={**self._block("tables"), **written}.keys(),
        )
        cases = self.cases = CaseReader(
            names,
            matches,
            report,
            rules=names_of(written),
            destinations=self._block("destinations").keys(),
            stores=self._block("stores").keys(),
            traces=self._block("traces").keys(),
        )
        found: list[Case] = []
        settings_of = self._named("tables", models.Table)
        read_tables = {
            name: self._table(
                name,
                settings_of.get(name),
                self._rules(name, written.get(name, []), reader, cases, found),
                reader,
            )
            for name in {**self._block("tables"), **written}
        }
        found += cases.path_tests(self.data.get("tests", []))
        for name in names.matchers:
            matches.matcher(name)  # judged even while nothing uses it
        listeners = self._listeners(written, matches, environment)
        check_graph(read_tables, listeners, report)
        check_payload(read_tables, report)
        check_loops(destinations, listeners, self.machine, report)
        check_traces(traces, outputs, reader, report)
        read_destinations = DestinationReader(
            reader,
            environment,
            self.machine,
            profiles=profiles,
            privacy=self._block("privacy").keys(),
        ).read(destinations)
        switch: models.Switch = settings["switch"]
        state = environment.folder(
            switch.state_dir,
            ("switch", "state_dir"),
            "keep state in",
            # Nobody else keeps any.
            tell=bool(written_stores) and not report.is_unread(("switch", "state_dir")),
        )
        if state is not None:
            switch = switch.model_copy(update={"state_dir": str(state)})
        stores = StoreReader(reader, environment, state).read(written_stores)
        check_spools(destinations, written_stores, environment, report)
        check_exposure(destinations, self.machine, report)
        # What could not be read may be just what uses the others.
        if not report.problems.has_errors:
            self._unused(names, reader)
        return Configuration(
            listeners=listeners,
            destinations=read_destinations,
            stores=stores,
            traces=traces,
            tables=read_tables,
            cases=tuple(found),
            switch=switch,
            reload=settings["reload"],
            log=settings["log"],
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
        """Return the named things of a block, as far as they can be read."""
        found = {
            name: salvaged(model, written, (block, name), self.report)
            for name, written in self._block(block).items()
        }
        return {name: value for name, value in found.items() if value is not None}

    def _single(self, block: str, model: type[models.Block]) -> Any:
        """Return the settings of a block; what is wrong is reported, and the defaults taken."""
        return salvaged(model, self.data.get(block, {}), (block,), self.report) or model()

    def _proto_types(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, number in self._block("proto_types").items():
            place = ("proto_types", name)
            if not re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,31}", name):
                self.report.key_error(
                    "HEP106", f"`{name}` names no payload type", place, "letters, digits and _"
                )
            elif isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 256:
                self.report.error("HEP105", "a payload type is a number from 0 to 255", place)
            elif name.upper() in found:
                self.report.key_error("HEP102", f"`{name.upper()}` is given twice", place)
            else:
                found[name.upper()] = number
        return found

    def _geo(self, settings: models.Geo) -> dict[str, Database | None]:
        """Open the databases that are named; offline, they are only known by name."""
        found: dict[str, Database | None] = {}
        for kind, name in (("city", settings.city), ("asn", settings.asn)):
            if name is None and not self.report.is_unread(("geo", kind)):
                continue
            found[kind] = None
            if self.machine is None or name is None:
                continue
            file = self.sources.folder(("geo", kind)) / name
            self.sources.files[file] = fingerprint(file)
            try:
                found[kind] = Database(file)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                self.report.error("HEP213", f"cannot read {name}: {why}", ("geo", kind))
        return found

    def _chunks(self) -> dict[str, Field]:
        # One that cannot be read was reported, and whatever is done with it fits.
        chunks = {
            name: unread_field(name, edit=name)
            for name in self._block("chunks")
            if name not in CATALOGUE
        }
        for name, chunk in self._named("chunks", models.ChunkName).items():
            place = ("chunks", name)
            key = ChunkKey(chunk.vendor, chunk.id)
            if name in CATALOGUE:
                self.report.key_error("HEP102", f"`{name}` is a field already", place)
            elif not re.fullmatch("[a-z][a-z0-9_]*", name) or name in BLOCK_WORDS or name in GROUPS:
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

    def _listeners(
        self, rules: Mapping[str, Any], matches: MatchReader, environment: Environment
    ) -> tuple[Listener, ...]:
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
            read = salvaged(models.Listen, block, path, self.report)
            if read is None:
                continue
            if read.name is not None and read.name in names:
                self.report.error(
                    "HEP102", f"two listeners are called `{read.name}`", (*path, "name")
                )
            names.add(read.name or "")
            entry = self._entry(read, rules, path)
            heard = None
            if read.from_ is not None:
                heard = matches.values(CATALOGUE["peer_ip"], read.from_, (*path, "from"))
            keys = [
                environment.secret(secret, (*path, "auth_key", number))
                for number, secret in enumerate(read.auth_key or ())
            ]
            tls = self._listen_tls(read, path, environment)
            for index, url in enumerate(read.url):
                if not url.host:  # it could not be read
                    continue
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
                        from_=None if heard is None else networks(heard),
                        auth_keys=tuple(key for key in keys if key is not None),
                        max_packet=read.max_packet,
                        idle=read.idle,
                        tls=tls if url.scheme == "tls" else None,
                    )
                )
        return tuple(listeners)

    def _listen_tls(
        self, listen: models.Listen, path: Path, environment: Environment
    ) -> ListenerTls | None:
        """Return what a listener serves TLS with; None where it does not, or that was reported."""
        wanted = any(url.scheme == "tls" for url in listen.url)
        if listen.tls is None:
            if wanted and not self.report.is_unread((*path, "tls")):
                self.report.key_error(
                    "HEP107", "a `tls://` url wants `tls = { cert, key }`", (*path, "url")
                )
            return None
        place = (*path, "tls")
        if listen.url and not wanted and all(url.scheme for url in listen.url):
            self.report.error("HEP106", "`tls` without a `tls://` url", place)
        is_unread = self.report.is_unread(place)
        if listen.tls.names and listen.tls.client_ca is None and not is_unread:
            self.report.error(
                "HEP107",
                "`names` wants `client_ca`: nobody is asked for a certificate",
                (*place, "names"),
            )
        written = {
            "cert": environment.file(listen.tls.cert or None, (*place, "cert")),
            "key": environment.file(listen.tls.key or None, (*place, "key"), is_key=True),
            "client_ca": environment.file(listen.tls.client_ca, (*place, "client_ca")),
        }
        if written["cert"] is None or written["key"] is None:
            return None
        tls = ListenerTls(
            cert=written["cert"],
            key=written["key"],
            client_ca=written["client_ca"],
            names=frozenset(listen.tls.names),
            digest=environment.digest(*written.values()),
        )
        if self.machine is not None:
            found = {file: fingerprint(file) for file in written.values() if file is not None}
            # A certificate is renewed under its old name, and nobody has to ask for a reload.
            self.sources.files.update(found)
            if all(found.values()):  # others were reported
                check_served(tls, place, self.report)
        return tls

    def _entry(self, listen: models.Listen, rules: Mapping[str, Any], path: Path) -> str | None:
        """Return the table that packets enter; None where there are no rules at all."""
        if not any(isinstance(written, list) and written for written in rules.values()):
            return None
        if self.report.is_unread((*path, "entry")):
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

    def _table(
        self,
        name: str,
        settings: models.Table | None,
        rules: tuple[Rule, ...],
        reader: RuleReader,
    ) -> Table:
        block = self._block("tables").get(name)
        # A block that could not be read says what it says all the same.
        said = isinstance(block, dict) and "miss" in block
        if settings is None:
            return Table(name=name, rules=rules, miss=(), miss_written=said)
        path = ("tables", name, "miss")
        miss, maps = reader.outputs(settings.miss.relay, settings.miss.store, path)
        return Table(
            name=name,
            rules=rules,
            miss=miss,
            reads_payload=settings.parse != "never",
            miss_maps=maps,
            miss_written=said,
        )

    def _rules(
        self,
        table: str,
        written: object,
        reader: RuleReader,
        cases: CaseReader,
        found: list[Case],
    ) -> tuple[Rule, ...]:
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
            read = salvaged(models.Rule, block, path, self.report)
            if read is None:
                continue
            if not self.report.is_unread((*path, "name")):
                if read.name in names:
                    self.report.error(
                        "HEP102",
                        f"two rules of table `{table}` are called `{read.name}`",
                        (*path, "name"),
                    )
                names.add(read.name)
            rule = reader.read(read, table, path)
            tests = [
                cases.rule_test(test, table, read.name, (*path, "test", number))
                for number, test in enumerate(read.test)
            ]
            if read.enabled:
                rules.append(rule)
                found += [test for test in tests if test is not None]
        if written and not rules and not self.report.problems.has_errors:
            self.report.key_warning(
                "HEP309", f"every rule of table `{table}` is switched off", ("rules", table)
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
            for block in ("destinations", "stores", "traces"):
                for name in self._block(block):
                    if name not in reader.used:
                        self.report.key_warning(
                            "HEP306", f"{block[:-1]} `{name}` is never used", (block, name)
                        )
        for name, named in names.sets.items():
            if not named.used:
                self.report.key_warning("HEP306", f"set `{name}` is never used", ("sets", name))
        for name in names.maps:
            if name not in names.used_maps:
                self.report.key_warning("HEP306", f"map `{name}` is never used", ("maps", name))
