"""Which admin knows which scheme; see `writers` for who writes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.admin import Admin

ADMINS: Final = {
    "sqlite": ("hepsw.sinks.stores.sqlite.admin", "SqliteAdmin"),
    "postgres": ("hepsw.sinks.stores.postgres.admin", "PostgresAdmin"),
    "pcap": ("hepsw.sinks.stores.files.admin", "FilesAdmin"),
    "jsonl": ("hepsw.sinks.stores.files.admin", "FilesAdmin"),
}
"""Module and class by scheme; each is made of the settings alone."""


def admin_of(settings: StoreSettings) -> Admin:
    """Return the admin of a store; nothing is opened yet."""
    module, name = ADMINS[settings.scheme]
    return cast("Admin", getattr(import_module(module), name)(settings))
