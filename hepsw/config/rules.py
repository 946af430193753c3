"""One rule: from its model to what it means."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from hepsw.accounting import Reason
from hepsw.config.configuration import Edit, Flow, Rule, RuleLog
from hepsw.config.names import UnknownFieldError
from hepsw.config.template import Template, TemplateError, parse
from hepsw.fields import Field, Kind, Value, time_us

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hepsw.config import models
    from hepsw.config.match import MatchReader
    from hepsw.config.names import Names
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path


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
        tables: Collection[str],
    ) -> None:
        self.names = names
        self.matches = matches
        self.report = report
        self.destinations = destinations
        self.stores = stores
        self.tables = tables
        self.used: set[str] = set()
        """Destinations and stores that something names."""

    def read(self, written: models.Rule, table: str, path: Path) -> Rule:
        """Return what a rule means."""
        condition = self.matches.read(written.match, (*path, "match"))
        edits = (*self._sets(written, path), *self._unsets(written, path))
        log = None
        if written.log is not None:
            text = self._log(written.log.text, (*path, "log", "text"))
            log = RuleLog(written.log.level, text) if text is not None else None
        flow, target = self._flow(written, path)
        return Rule(
            table=table,
            name=written.name,
            condition=condition,
            edits=edits,
            log=log,
            outputs=self.outputs(written.relay, written.store, path),
            flow=flow,
            target=target,
        )

    def outputs(self, relay: Sequence[str], store: Sequence[str], path: Path) -> tuple[str, ...]:
        """Return the known names among those that a rule or a miss sends to, stores first."""
        found = [
            *self._known("store", store, self.stores, self.destinations, path),
            *self._known("relay", relay, self.destinations, self.stores, path),
        ]
        self.used.update(found)
        return tuple(dict.fromkeys(found))

    def _known(
        self,
        key: str,
        names: Sequence[str],
        legal: Collection[str],
        others: Collection[str],
        path: Path,
    ) -> list[str]:
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
        asked = [
            key
            for key, wanted in (
                ("continue", written.continue_),
                ("goto", written.goto is not None),
                ("drop", written.drop is not None),
            )
            if wanted
        ]
        if len(asked) > 1:
            self.report.key_error(
                "HEP111",
                f"`{asked[0]}` and `{asked[1]}` in one rule: a rule goes on in one way",
                (*path, asked[1]),
                "make it two rules",
            )
        if written.goto is not None:
            if written.goto not in self.tables:
                self.report.unknown("HEP202", "table", written.goto, (*path, "goto"), self.tables)
            return Flow.GOTO, written.goto
        if written.drop is not None:
            if written.drop == Reason.INTERNAL:
                self.report.error(
                    "HEP106", f"`{written.drop}` counts hepsw's own failures", (*path, "drop")
                )
            return Flow.DROP, written.drop
        return (Flow.CONTINUE if written.continue_ else Flow.STOP), ""

    def _log(self, source: str, path: Path) -> Template | None:
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

    def _template(self, source: str, path: Path) -> Template | None:
        try:
            return parse(source, self.names.field)
        except TemplateError as error:
            cause = error.__context__
            code, hint = "HEP113", None
            if isinstance(cause, UnknownFieldError):
                code, hint = cause.code, cause.hint
            self.report.error_inside(code, f"template: {error}", path, (source, error.column), hint)
            return None

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

    def _sets(self, written: models.Rule, path: Path) -> list[Edit]:
        edits = []
        for name, value in written.set.items():
            place = (*path, "set", name)
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

    def _unsets(self, written: models.Rule, path: Path) -> list[Edit]:
        edits = []
        for at, name in enumerate(written.unset):
            place = (*path, "unset", at)
            field = self._settable(name, place, "removed")
            if field is None:
                continue
            if name in written.set:
                self.report.error(
                    "HEP115", f"`{name}` is both set and unset", place, "make it two rules"
                )
                continue
            edits.append(Edit(field, None))
        return edits
