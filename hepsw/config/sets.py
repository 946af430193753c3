"""`[sets]`: named values, from lists and files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from hepsw.config import models
from hepsw.config.files import read_file
from hepsw.config.names import NamedSet
from hepsw.config.validate import validated
from hepsw.config.values import value_test
from hepsw.fields import CATALOGUE, chunk_field
from hepsw.hep import ChunkKey, ChunkType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.config.problems import Report
    from hepsw.config.spans import Path

SetValue = tuple[Any, "Path", str]
"""A value, the place to point at, and the words that name its line in a file."""

SET_KINDS: Final = {
    "ip": CATALOGUE["src_ip"],
    "number": chunk_field("number", ChunkKey(0, 0), ChunkType.UINT64),
    "string": CATALOGUE["node_name"],
}
"""A field that has the kind of each type of set."""


def read_sets(block: Mapping[str, Any], report: Report, *, offline: bool) -> dict[str, NamedSet]:
    """Return every set with its values; offline, a file that is not there is an empty one."""
    sets = {}
    for name, written in block.items():
        path: Path = ("sets", name)
        if isinstance(written, list):
            values: list[SetValue] = [(value, (*path, at), "") for at, value in enumerate(written)]
            for value, place, _ in values:
                if isinstance(value, bool) or not isinstance(value, (str, int)):
                    report.error("HEP105", "a set holds texts and whole numbers", place)
            sets[name] = NamedSet(values)
        else:
            settings = validated(models.SetFile, written, path, report)
            values = _set_file(settings, path, report, offline=offline) if settings else []
            sets[name] = NamedSet(values)
    return sets


def _set_file(
    settings: models.SetFile, path: Path, report: Report, *, offline: bool
) -> list[SetValue]:
    file = report.sources.folder(path) / settings.file
    place = (*path, "file")
    try:
        octets = read_file(file)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        report.sources.files[file] = ""
        if not offline:
            why = error.strerror if isinstance(error, OSError) else error
            report.error("HEP208", f"cannot read {settings.file}: {why}", place)
        return []
    report.sources.files[file] = hashlib.sha256(octets).hexdigest()
    try:
        lines = octets.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        report.error("HEP208", f"{settings.file} is not UTF-8", place)
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
            report.error("HEP208", f"{origin}{error}", place)
            return []
        values.append((text, place, origin))
    return values
