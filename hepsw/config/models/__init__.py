"""The blocks of the language as Pydantic models: what may be written, before anything is looked up.

Each model is the shape of one block in its long form; the short forms (`"udp://…"` for a
destination, one name for a list of names) are made long before they are validated, so that one
mistake gives one error. References, field names and templates are judged later, by `load.py`.

The docstring under a field is its description in the man page and the JSON schema
(`docstrings.py`). `NOT_RUN` names what is judged and tested by this release but not yet carried
out: `hepsw run` refuses it by name, so that no key is silently without effect.
"""

from __future__ import annotations

from typing import Final

from hepsw.config.models.block import Block, Mapped, Names, Secret
from hepsw.config.models.listen import Listen, ListenTls
from hepsw.config.models.outputs import (
    Batch,
    Destination,
    DestinationTls,
    Headers,
    Ips,
    Privacy,
    Queue,
    Spool,
    Store,
    Trace,
)
from hepsw.config.models.rules import (
    Dedupe,
    Limit,
    LogLine,
    Outputs,
    PathTest,
    Rule,
    RuleTest,
    Sample,
    Table,
)
from hepsw.config.models.settings import Control, Http, Log, Reload, Switch
from hepsw.config.models.values import ChunkName, Geo, Map, SetFile

__all__ = [
    "BLOCKS",
    "NOT_RUN",
    "SETTINGS",
    "SHORT_FORMS",
    "SHORT_WORDS",
    "Batch",
    "Block",
    "ChunkName",
    "Control",
    "Dedupe",
    "Destination",
    "DestinationTls",
    "Geo",
    "Headers",
    "Http",
    "Ips",
    "Limit",
    "Listen",
    "ListenTls",
    "Log",
    "LogLine",
    "Map",
    "Mapped",
    "Names",
    "Outputs",
    "PathTest",
    "Privacy",
    "Queue",
    "Reload",
    "Rule",
    "RuleTest",
    "Sample",
    "Secret",
    "SetFile",
    "Spool",
    "Store",
    "Switch",
    "Table",
    "Trace",
    "blocks",
]

BLOCKS: Final = (
    "listen",
    "destinations",
    "stores",
    "traces",
    "sets",
    "maps",
    "matchers",
    "chunks",
    "privacy",
    "proto_types",
    "tables",
    "rules",
    "tests",
)
"""What may stand at the top of a file beside the settings."""

SETTINGS: Final[dict[str, type[Block]]] = {
    "geo": Geo,
    "switch": Switch,
    "reload": Reload,
    "control": Control,
    "http": Http,
    "log": Log,
}
"""Blocks that there is one of, with their models."""

SHORT_FORMS: Final[dict[type[Block], str]] = {
    Destination: "url",
    LogLine: "text",
    Sample: "keep",
    Limit: "rate",
}
"""Blocks that may be written as one value, with the key that it stands for."""

SHORT_WORDS: Final[dict[type[Block], str]] = {Outputs: "drop"}
"""Blocks that a word may stand for."""

NOT_RUN: Final[dict[type[Block], frozenset[str]]] = {
    Control: frozenset({"socket"}),
    Http: frozenset({"listen"}),
}
"""Keys that this release judges and does not carry out: `hepsw run` refuses them by name."""


def blocks() -> list[type[Block]]:
    """Return every block of the language, those within others included."""
    found: list[type[Block]] = []
    waiting: list[type[Block]] = [Block]
    while waiting:
        inner = waiting.pop(0).__subclasses__()
        found += inner
        waiting += inner
    return found
