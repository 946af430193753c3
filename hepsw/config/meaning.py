"""What templates and fields are made of, as a text that a reload can compare.

Fields and filters are functions, made anew at each reload and never equal: a destination or a store
would be closed and opened again whatever changed. Two texts alike mean the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hepsw.config.sources import Sources
    from hepsw.fields import Field


def meaning(written: Iterable[object], fields: Iterable[Field], sources: Sources) -> str:
    """Return what was written and the fields that it names, with all that these depend on.

    Args:
        written: as it stands in the configuration.
        fields: those that it reads or sets.
        sources: where entries of maps and sets come from.
    """
    told = list(written)
    for field in fields:
        if field.name.startswith(("map.", "geo.")):
            # Their entries may come from sets and files, and be looked up by any field.
            blocks = ("maps", "sets", "chunks", "proto_types", "geo")
            told += [sources.data.get(block) for block in blocks]
            told += [(str(file), held) for file, held in sources.files.items() if _is_data(file)]
            break
        told += [field.name, field.kind, field.key, field.edit, field.octets, field.names]
    return repr(told)


def _is_data(file: Path) -> bool:
    """Tell what sets and databases are read from, from the files of the language."""
    return file.suffix != ".toml"
