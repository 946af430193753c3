"""One rule: from its model to what it means."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from hepsw.accounting import Reason
from hepsw.config import models
from hepsw.config.configuration import (
    Count,
    Dedupe,
    Edit,
    Flow,
    Limit,
    Observe,
    Rule,
    RuleLog,
    Sample,
    Scope,
)
from hepsw.config.maps import names_in
from hepsw.config.names import UnknownFieldError, flattened
from hepsw.config.template import Template, TemplateError, parse
from hepsw.fields import Field, Kind, Value, time_us

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hepsw.config.match import MatchReader
    from hepsw.config.names import Names
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path


RESERVED: Final = {
    Reason.INTERNAL: "hepsw's own failures",
    Reason.DUPLICATE: "what `dedupe` drops",
    Reason.OVER_LIMIT: "what `limit` drops",
    Reason.LOOP: "what the loop guard drops",
}
"""Reasons that are not the operator's, with what they count."""

LAST_TIME: Final = (1 << 32) * 1_000_000
"""Microseconds that 32 bits of seconds can hold."""


class RuleReader:
    """Reads the rules of one configuration; what is wrong is reported, and left out."""

    def __init__(
        self,
        names: Names,
        matches: MatchReader,
        report: Report,
        *,
        destinations: Collection[str],
        stores: Collection[str],
        traces: Collection[str],
        maps: Mapping[str, models.Map | None],
        tables: Collection[str],
    ) -> None:
        self.names = names
        self.matches = matches
        self.report = report
        self.destinations = destinations
        self.stores = stores
        self.traces = traces
        self.maps = maps
        self.tables = tables
        self.used: set[str] = set()
        """Destinations, stores and traces that something names."""
        self._metrics: dict[str, tuple[str, tuple[str, ...], str]] = {}
        """Of every counter its kind and labels, which are the same wherever it is counted, and the
        rule that named it first."""

    def read(self, written: models.Rule, table: str, path: Path) -> Rule:
        """Return what a rule means."""
        condition = self.matches.read(written.match, (*path, "match"))
        edits = self.edits(written.set, written.unset, path)
        log = None
        if written.log is not None:
            text = self._printed(written.log.text, (*path, "log", "text"))
            log = RuleLog(written.log.level, text) if text is not None else None
        flow, target = self._flow(written, path)
        outputs, output_maps = self.outputs(written.relay, written.store, path)
        traces, trace_maps = self._traces(written.trace, path)
        return Rule(
            table=table,
            name=written.name,
            condition=condition,
            edits=edits,
            log=log,
            outputs=outputs,
            flow=flow,
            target=target,
            scope=None if written.scope == "message" else Scope(written.scope),
            sample=self._sample(written.sample, path),
            dedupe=self._dedupe(written.dedupe, path),
            limit=self._limit(written.limit, path),
            counts=self._counts(written, path),
            observes=self._observes(written, path),
            output_maps=output_maps,
            traces=traces,
            trace_maps=trace_maps,
        )

    # --- where packets go ---

    def outputs(
        self, relay: models.Names, store: models.Names, path: Path
    ) -> tuple[tuple[str, ...], tuple[Field, ...]]:
        """Return the outputs that a rule or a miss names, stores first, and the maps that do."""
        found = [
            *self._known("store", store, self.stores, self.destinations, path),
            *self._known("relay", relay, self.destinations, self.stores, path),
        ]
        self.used.update(found)
        maps = [
            field
            for key, names in (("store", store), ("relay", relay))
            if isinstance(names, models.Mapped)
            and (field := self._map(key, names, path)) is not None
        ]
        return tuple(dict.fromkeys(found)), tuple(maps)

    def _traces(self, names: models.Names, path: Path) -> tuple[tuple[str, ...], tuple[Field, ...]]:
        if isinstance(names, models.Mapped):
            field = self._map("trace", names, path)
            return (), () if field is None else (field,)
        for at, name in enumerate(names):
            if name not in self.traces:
                self.report.unknown("HEP211", "trace", name, (*path, "trace", at), self.traces)
        found = tuple(dict.fromkeys(name for name in names if name in self.traces))
        self.used.update(found)
        return found, ()

    def _map(self, key: str, mapped: models.Mapped, path: Path) -> Field | None:
        """Return the field of a map that names outputs; all that it gives must be there."""
        place = (*path, key, "map")
        try:
            field = self.names.field(f"map.{mapped.map}")
        except UnknownFieldError as error:
            self.report.unknown(error.code, "map", mapped.map, place, self.names.maps)
            return None
        legal = {"store": self.stores, "relay": self.destinations, "trace": self.traces}[key]
        what = {"store": "store", "relay": "destination", "trace": "trace"}[key]
        written = self.maps.get(mapped.map)
        for name, below in names_in(written) if written is not None else ():
            if name not in legal:
                self.report.unknown(
                    "HEP214",
                    what,
                    name,
                    ("maps", mapped.map, *below),
                    legal,
                    because=f", and a rule has `{key} = {{ map = … }}`",
                )
            self.used.add(name)
        return field

    def _known(
        self,
        key: str,
        names: models.Names,
        legal: Collection[str],
        others: Collection[str],
        path: Path,
    ) -> list[str]:
        if isinstance(names, models.Mapped):
            return []
        what, code = ("store", "HEP207") if key == "store" else ("destination", "HEP201")
        for at, name in enumerate(names):
            if name in legal:
                continue
            place = (*path, key, at)
            if name in others:
                other = "relay" if key == "store" else "store"
                kind = "destination" if key == "store" else "store"
                self.report.error(code, f"`{name}` is a {kind}", place, f"write `{other}`")
            else:
                self.report.unknown(code, what, name, place, legal)
        return [name for name in names if name in legal]

    def _flow(self, written: models.Rule, path: Path) -> tuple[Flow, str]:
        targets = {"goto": written.goto, "call": written.call, "resume": written.resume}
        asked = ["continue"] if written.continue_ else []
        asked += [key for key, target in targets.items() if target is not None]
        asked += ["drop"] if written.drop is not None else []
        if len(asked) > 1:
            self.report.key_error(
                "HEP111",
                f"`{asked[0]}` and `{asked[1]}` in one rule: a rule goes on in one way",
                (*path, asked[1]),
                "make it two rules",
            )
        for key, target in targets.items():
            if target is not None:
                if target not in self.tables:
                    self.report.unknown("HEP202", "table", target, (*path, key), self.tables)
                return Flow(key), target
        if written.drop is not None:
            if written.drop in RESERVED:
                counts = RESERVED[Reason(written.drop)]
                self.report.error(
                    "HEP106",
                    f"the reason `{written.drop}` counts {counts}",
                    (*path, "drop"),
                    "use another word",
                )
            return Flow.DROP, written.drop
        return (Flow.CONTINUE if written.continue_ else Flow.STOP), ""

    # --- how often, and which ---

    def field(self, name: str, path: Path) -> Field | None:
        """Return the field of a name that packets are held together by."""
        try:
            field = self.names.field(name)
        except UnknownFieldError as error:
            self.report.error(error.code, str(error), path, error.hint)
            return None
        if field.name == "auth_key":
            self.report.error("HEP403", "`auth_key` is a secret and is not kept", path)
            return None
        return field

    def _sample(self, written: models.Sample | None, path: Path) -> Sample | None:
        if written is None:
            return None
        by = self.field(written.by, (*path, "sample", "by"))
        return None if by is None else Sample(written.keep, by)

    def _dedupe(self, written: models.Dedupe | None, path: Path) -> Dedupe | None:
        if written is None:
            return None
        place = (*path, "dedupe", "key")
        key = [self.field(name, (*place, at)) for at, name in enumerate(written.key)]
        return Dedupe(written.window, tuple(field for field in key if field is not None))

    def _limit(self, written: models.Limit | None, path: Path) -> Limit | None:
        if written is None:
            return None
        per = None
        if written.per is not None:
            per = self.field(written.per, (*path, "limit", "per"))
        return Limit(
            per_s=written.rate,
            burst=float(written.burst or max(1.0, written.rate)),
            per=per,
            over_next=written.over == "next",
        )

    # --- what is counted ---

    def _counts(self, written: models.Rule, path: Path) -> tuple[Count, ...]:
        return tuple(
            Count(name, self._labels(name, "count", labels, (*path, "count", name)))
            for name, labels in written.count.items()
        )

    def _observes(self, written: models.Rule, path: Path) -> tuple[Observe, ...]:
        found = []
        for name, keys in written.observe.items():
            place = (*path, "observe", name)
            labels = {label: text for label, text in keys.items() if label != "value"}
            read = self._labels(name, "observe", labels, place)
            if "value" not in keys:
                self.report.key_error("HEP107", f"`value` is missing in `observe.{name}`", place)
                continue
            value = self._printed(keys["value"], (*place, "value"))
            if value is not None:
                found.append(Observe(name, value, read))
        return tuple(found)

    def _labels(
        self, name: str, kind: str, written: Mapping[str, str], path: Path
    ) -> tuple[tuple[str, Template], ...]:
        labels = tuple(sorted(written))
        rule = self.report.sources.data["rules"][path[1]][path[2]].get("name", "")
        first = self._metrics.setdefault(name, (kind, labels, f"{path[1]}/{rule}"))
        if kind != first[0]:
            text = f"`{name}` is fed by `{first[0]}` in rule `{first[2]}`, and here by `{kind}`"
            self.report.key_error("HEP118", text, path, "give one of them another name")
        elif labels != first[1]:
            text = (
                f"`{name}` has {_listed(first[1])} in rule `{first[2]}`, and here {_listed(labels)}"
            )
            self.report.key_error("HEP118", text, path, "write the same labels, or another name")
        read = [(label, self._printed(text, (*path, label))) for label, text in written.items()]
        return tuple((label, template) for label, template in read if template is not None)

    # --- what is written ---

    def _printed(self, source: str, path: Path) -> Template | None:
        """Read a template whose text people or programs outside get to see."""
        text = self._template(source, path)
        if text is not None and any(field.name == "auth_key" for field in text.fields):
            self.report.error("HEP403", "`auth_key` is a secret and is never printed", path)
            return None
        return text

    def _keeps_secret(self, field: Field, template: Template, path: Path) -> bool:
        """Tell whether a template leaves the key where it is; any other chunk may be printed."""
        if field.name != "auth_key" and any(read.name == "auth_key" for read in template.fields):
            self.report.error("HEP403", "`auth_key` is a secret: no other chunk may hold it", path)
            return False
        return True

    def template(self, source: str, path: Path) -> Template | None:
        """Read a template; what is wrong with it is reported."""
        return self._printed(source, path)

    def _template(self, source: str, path: Path) -> Template | None:
        try:
            template = parse(source, self.names.field)
        except TemplateError as error:
            cause = error.__context__
            code, hint = "HEP113", None
            if isinstance(cause, UnknownFieldError):
                code, hint = cause.code, cause.hint
            place = (source, error.column, error.length)
            self.report.error_inside(code, f"template: {error}", path, place, hint)
            return None
        for field in template.fields:
            if field.name.startswith("map.") and field.several:
                self.report.error(
                    "HEP113",
                    f"template: `{field.name}` gives lists, and a template prints one value",
                    path,
                    "use a map without lists",
                )
                return None
        return template

    def _settable(self, name: str, path: Path, verb: str) -> Field | None:
        try:
            field = self.names.field(name)
        except UnknownFieldError as error:
            self.report.key_error(error.code, str(error), path, error.hint)
            return None
        if field.edit is None:
            self.report.key_error("HEP114", f"`{name}` is no chunk and cannot be {verb}", path)
            return None
        return field

    def edits(self, set_: Mapping[str, Any], unset: Sequence[str], path: Path) -> tuple[Edit, ...]:
        """Return what is written and removed."""
        return (*self._sets(set_, path), *self._unsets(unset, set_, path))

    def _sets(self, written: Mapping[str, Any], path: Path) -> list[Edit]:
        edits = []
        for name, value, place in flattened(written, (*path, "set")):
            field = self._settable(name, place, "set")
            if field is None:
                continue
            try:
                read = self._value(field, value, place)
            except ValueError as error:
                self.report.error("HEP106", str(error), place)
                continue
            if read is not None:
                edits.append(Edit(field, read))
        return edits

    def _value(self, field: Field, written: Any, path: Path) -> Value | Template | None:
        """Read what a chunk is set to; None where that was reported already.

        Raises:
            ValueError: with what it is not.
        """
        value: Value
        if isinstance(written, str):
            template = self._template(written, path)
            if template is None:
                return None
            if not template.is_literal:
                return template if self._keeps_secret(field, template, path) else None
            text = b"".join(part for part in template.parts if isinstance(part, bytes)).decode()
            if not text:
                raise ValueError(f"`{field.name}` cannot be set to nothing; `unset` removes it")
            value = field.parse(text)
        elif isinstance(written, dict) and set(written) == {"hex"}:
            try:
                value = bytes.fromhex(written["hex"])
            except (TypeError, ValueError):
                raise ValueError(f"not octets in hexadecimal: {written['hex']!r}") from None
            if field.kind not in {Kind.TEXT, Kind.OCTETS}:
                raise ValueError(f"`{field.name}` is not set by its octets")
        elif isinstance(written, datetime) and field.kind is Kind.TIME:
            value = time_us(written)
        elif isinstance(written, int) and not isinstance(written, bool):
            if field.kind in {Kind.IP, Kind.TEXT, Kind.OCTETS}:
                raise ValueError(f'`{field.name}` wants a text: "{written}"')
            value = written if field.kind is Kind.TIME else field.checked(written)
        else:
            raise ValueError(f"`{field.name}` cannot be set to {written!r}")
        if isinstance(value, bytes) and field.octets not in {0, len(value)}:
            raise ValueError(f"`{field.name}` holds {field.octets} octets, not {len(value)}")
        if field.kind is Kind.TIME and isinstance(value, int) and not 0 <= value < LAST_TIME:
            raise ValueError(f"{value} is no time that a packet can hold: 1970 to 2106")
        return value

    def _unsets(
        self, written: Sequence[str], also_set: Mapping[str, Any], path: Path
    ) -> list[Edit]:
        edits = []
        for at, name in enumerate(written):
            place = (*path, "unset", at)
            field = self._settable(name, place, "removed")
            if field is None:
                continue
            if name in also_set:
                self.report.error(
                    "HEP115", f"`{name}` is both set and unset", place, "make it two rules"
                )
                continue
            edits.append(Edit(field, None))
        return edits


def _listed(labels: Sequence[str]) -> str:
    """Return the names of labels as words."""
    names = ", ".join(f"`{label}`" for label in labels)
    return f"the label{'s' if len(labels) > 1 else ''} {names}" if labels else "no labels"
