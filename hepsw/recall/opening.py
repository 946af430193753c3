"""Which stores can be read back, and by whom."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from hepsw.errors import ConfigError

if TYPE_CHECKING:
    from hepsw.config.configuration import StoreSettings
    from hepsw.recall.archive import Archive

READABLE: Final = {"sqlite": "SQLite", "postgres": "Postgres"}
"""Schemes of stores that keep an index of calls, as people say them."""


def open_archive(settings: StoreSettings) -> Archive:
    """Return the reading end of a store.

    Raises:
        ConfigError: a store of this kind is not read back.
        StoreError: it cannot be opened.
    """
    if settings.scheme not in READABLE:
        raise ConfigError(
            f"store `{settings.name}` is {settings.scheme}, which is not read back; "
            f"calls are found in {' and '.join(READABLE.values())}"
        )
    # Each brings a driver along: only the one that is asked for is imported.
    module = import_module(f"hepsw.recall.{settings.scheme}")
    archive: Archive
    if settings.scheme == "sqlite":
        archive = module.SqliteArchive(settings.file)
    else:
        archive = module.PostgresArchive(settings)
    return archive
