"""A configuration as one TOML text, whatever files it came from.

The text means the same wherever it is kept, so names of files are made absolute. Secrets are
hidden: it is made to be read, sent and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hepsw.config.effective import effective
from hepsw.config.forms import default_form
from hepsw.config.hiding import hidden
from hepsw.config.models import Switch
from hepsw.config.writing import toml_text

if TYPE_CHECKING:
    from hepsw.config.sources import Sources
    from hepsw.config.spans import Path

FILE_NAMES: Final = (
    ("listen", "*", "tls", "cert"),
    ("listen", "*", "tls", "key"),
    ("listen", "*", "tls", "client_ca"),
    ("listen", "*", "auth_key", "file"),
    ("listen", "*", "auth_key", "*", "file"),
    ("destinations", "*", "tls", "ca"),
    ("destinations", "*", "tls", "cert"),
    ("destinations", "*", "tls", "key"),
    ("destinations", "*", "auth_key", "file"),
    ("destinations", "*", "spool", "path"),
    ("stores", "*", "url"),
    ("stores", "*", "url", "file"),
    ("stores", "*", "spool", "path"),
    ("sets", "*", "file"),
    ("privacy", "*", "key", "file"),
    ("geo", "city"),
    ("geo", "asn"),
    ("switch", "state_dir"),
    ("tests", "*", "given", "pcap"),
    ("tests", "*", "given", "*", "pcap"),
    ("rules", "*", "*", "test", "given", "pcap"),
    ("rules", "*", "*", "test", "given", "*", "pcap"),
    ("rules", "*", "*", "test", "*", "given", "pcap"),
    ("rules", "*", "*", "test", "*", "given", "*", "pcap"),
)
"""Where names of files stand; `*` is any name or number. A socket is in `state_dir`."""

FILE_SCHEMES: Final = frozenset({"sqlite", "pcap", "jsonl"})
"""Urls that are names of files."""


def dump(sources: Sources, *, defaults: bool = False) -> str:
    """Write a valid configuration as one text.

    Args:
        sources: what was read.
        defaults: write every default too.
    """
    data = effective(sources.data) if defaults else _placed(sources.data)
    absolute = {block: _absolute(value, (block,), sources) for block, value in data.items()}
    return toml_text(hidden(absolute))


def _placed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write where stores keep state: beside the main file unless somebody says otherwise."""
    switch = data.get("switch", {})
    if not data.get("stores") or "state_dir" in switch:
        return data
    return {**data, "switch": {**switch, "state_dir": default_form(Switch, "state_dir")}}


def _absolute(value: Any, path: Path, sources: Sources) -> Any:
    if isinstance(value, Mapping):
        return {key: _absolute(inner, (*path, key), sources) for key, inner in value.items()}
    if isinstance(value, list):
        return [_absolute(item, (*path, at), sources) for at, item in enumerate(value)]
    if isinstance(value, str) and any(_fits(path, places) for places in FILE_NAMES):
        scheme, separator, name = value.rpartition("://")
        if not separator or scheme in FILE_SCHEMES:
            return f"{scheme}{separator}{sources.folder(path) / name}"
    return value


def _fits(path: Path, places: tuple[str, ...]) -> bool:
    return len(path) == len(places) and all(
        place in {"*", step} for step, place in zip(path, places, strict=True)
    )
