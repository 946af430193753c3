"""Stores: what their settings name and need, and what they mean."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Final

from hepsw.concealed import Concealed
from hepsw.config.columns import MOST, is_column_name, is_taken
from hepsw.config.configuration import Keep, StoreSettings
from hepsw.config.database_url import check_database_url, has_password
from hepsw.config.meaning import meaning
from hepsw.config.models.block import NAME
from hepsw.config.spelling import did_you_mean
from hepsw.fields.profiles import PROFILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.config import models
    from hepsw.config.environment import Environment
    from hepsw.config.problems import Report
    from hepsw.config.rules import RuleReader
    from hepsw.config.spans import Path
    from hepsw.config.template import Template

LETTERS: Final = "deadletters"
"""The folder in `state_dir` that has a file for each store."""
LONGEST_NAME: Final = 100
"""Characters of a store's name, which is part of the name of a file."""


class StoreReader:
    """Reads the stores of one configuration; what is wrong is reported, and left out."""

    def __init__(
        self, reader: RuleReader, environment: Environment, state: FilePath | None
    ) -> None:
        """Begin.

        Args:
            reader: knows the fields.
            environment: reads secrets and folders.
            state: the folder where state is kept; None where it can be none.
        """
        self._reader = reader
        self._report: Report = reader.report
        self._environment = environment
        self._letters = None if state is None else state / LETTERS

    def read(self, stores: Mapping[str, models.Store]) -> dict[str, StoreSettings]:
        """Return what the stores mean; no two of them write to one file."""
        if stores and self._letters is not None:
            self._environment.can_write(self._letters, ("switch", "state_dir"))
        read: dict[str, StoreSettings] = {}
        for name, written in stores.items():
            found = self._one(name, written)
            for other in read.values():
                # One name made of the same parts is one file at any time; of others nobody knows.
                if found.file != FilePath() and other.file == found.file:
                    self._report.error(
                        "HEP102",
                        f"two stores write to {found.file.name}",
                        ("stores", name, "url"),
                        f"`{other.name}` is the other",
                    )
                    break
            read[name] = found
        return read

    def _one(self, name: str, written: models.Store) -> StoreSettings:
        path: Path = ("stores", name)
        letters = self._letters
        if not re.fullmatch(NAME, name) or len(name) > LONGEST_NAME:
            # It becomes the name of a file, and must not lead out of its folder.
            self._report.key_error(
                "HEP106",
                f"`{name}` cannot name a store",
                path,
                f"letters, digits and _ . -, at most {LONGEST_NAME} of them, no . or - first",
            )
            letters = None
        spool = written.spool
        if spool is not None:
            place = (*path, "spool", "path")
            folder = self._environment.folder(spool.path, place)
            if folder is not None:
                self._environment.can_write(folder, place)
                spool = spool.model_copy(update={"path": str(folder)})
        columns = self._columns(written, (*path, "columns"))
        is_database = written.scheme == "postgres"
        is_unread = self._report.is_unread((*path, "url"))
        return StoreSettings(
            name=name,
            scheme=written.scheme,
            file=(
                FilePath()
                if is_database or is_unread
                else self._file(str(written.url), (*path, "url"))
            ),
            batch=written.batch,
            url=(
                database_url(written.url, self._environment, (*path, "url"))
                if is_database and not is_unread
                else None
            ),
            layout=written.layout,
            partition=written.partition,
            keep=self._keep(written.keep, (*path, "keep")),
            rotate=written.rotate,
            spool=spool,
            columns=columns,
            meaning=meaning(
                [written.columns],
                [field for _, template in columns for field in template.fields],
                self._report.sources,
            ),
            letters=None if letters is None else letters / f"{name}.jsonl",
        )

    def _file(self, url: str, path: Path) -> FilePath:
        """Return the file of a store, made absolute; parts of the time stay in it."""
        written = url.partition("://")[2]
        sources = self._report.sources
        try:
            file = (sources.folder(path) / written).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            self._report.error("HEP106", f"no file {written}: {error}", path)
            return FilePath()
        if file in {source.resolve() for source in sources.files}:
            self._report.error("HEP106", f"{written} is a file of this configuration", path)
        folder = file.parent
        while "%" in str(folder):  # made when its time has come
            folder = folder.parent
        self._environment.can_write(folder, path)
        return file

    def _keep(self, written: float | dict[str, float] | None, path: Path) -> Keep:
        if written is None:
            return Keep()
        if not isinstance(written, dict):
            # A size is whole, and a duration is not.
            return (
                Keep(octets=written) if isinstance(written, int) else Keep(seconds=float(written))
            )
        for name in written:
            if name not in PROFILES:
                meant = did_you_mean(name, PROFILES, foreign={})
                self._report.key_error(
                    "HEP104",
                    f"unknown profile `{name}`",
                    (*path, name),
                    f"did you mean `{meant}`?" if meant else f"profiles: {' '.join(PROFILES)}",
                )
        return Keep(profiles=tuple(written.items()))

    def _columns(self, store: models.Store, path: Path) -> tuple[tuple[str, Template], ...]:
        written = store.columns
        is_known_layout = not self._report.is_unread((*path[:-1], "layout"))
        if len(written) > MOST:
            self._report.key_error("HEP106", f"more than {MOST} columns", path)
        found: dict[str, tuple[str, Template]] = {}
        for name, source in written.items():
            place = (*path, name)
            template = self._reader.template(source, place)
            if not is_column_name(name):
                self._report.key_error(
                    "HEP106",
                    f"`{name}` cannot name a column",
                    place,
                    "letters, digits and _, at most 63 of them, no digit first",
                )
            elif is_known_layout and is_taken(name, store.layout):
                self._report.key_error(
                    "HEP102", f"`{name}` is a column already", place, "give it another name"
                )
            elif name.lower() in found:
                self._report.key_error(
                    "HEP102",
                    f"`{name}` and `{found[name.lower()][0]}` are one column to a database",
                    place,
                )
            elif template is not None:
                found[name.lower()] = (name, template)
        return tuple(found.values())


def database_url(
    url: str | models.Secret, environment: Environment, path: Path
) -> Concealed | None:
    """Return where a database is, and who logs in; None offline, and where that was reported."""
    report = environment.report
    if isinstance(url, str):
        if has_password(url):
            report.warning(
                "HEP405",
                "a secret stands in the configuration",
                path,
                'write the url as { env = "X" } or { file = "…" }',
            )
        return None if environment.offline else Concealed(url.encode())
    secret = environment.secret(url, path)
    if secret is None:
        return None
    try:
        check_database_url(secret.reveal().decode())
    except ValueError as error:
        # What a codec says of octets would show some of them.
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        report.error("HEP106", f"the secret is no url of a database: {why}", path)
        return None
    return secret
