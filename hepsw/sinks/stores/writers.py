"""Which writer knows which scheme.

Called by the thread of a store: what a writer imports, a driver perhaps, costs no packet a moment,
and a daemon without such a store nothing at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.writer import Writer

WRITERS: Final = {
    "sqlite": ("hepsw.sinks.stores.sqlite.writer", "SqliteWriter"),
    "postgres": ("hepsw.sinks.stores.postgres.writer", "PostgresWriter"),
    "pcap": ("hepsw.sinks.stores.files.pcap", "PcapWriter"),
    "jsonl": ("hepsw.sinks.stores.files.jsonl", "JsonLinesWriter"),
}
"""Module and class by scheme; each is made of the settings alone."""


def writer_of(settings: StoreSettings) -> Writer:
    """Return a writer for a store; nothing is opened yet."""
    module, name = WRITERS[settings.scheme]
    return cast("Writer", getattr(import_module(module), name)(settings))
