"""What is in force: the blocks as written, and beside them the default of every key left out.

The defaults come as an operator writes them. Written beside the rest they are judged by the same
models: what does not come out as the same block is not written. Nor are keys that this release does
not carry out: they are in force by nobody's word, and `hepsw run` would refuse the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from hepsw.config import models
from hepsw.config.forms import default_form
from hepsw.config.models import Block

SINGLE: Final = models.SETTINGS
"""Blocks of settings, which are in force whether they are written or not."""

NAMED: Final[dict[str, type[Block]]] = {
    "destinations": models.Destination,
    "stores": models.Store,
    "traces": models.Trace,
    "sets": models.SetFile,
    "maps": models.Map,
    "chunks": models.ChunkName,
    "privacy": models.Privacy,
    "tables": models.Table,
}
"""Blocks of named things."""

LISTED: Final[dict[str, type[Block]]] = {"listen": models.Listen}
"""Blocks that are given several times."""


def effective(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the blocks of a valid configuration with every default written out.

    What is left out where nothing stands for it (a note, a list of nothing, a name that is the url)
    stays left out.
    """
    whole = dict(data)
    rules = data.get("rules", {})
    tables = {**{name: {} for name in rules}, **data.get("tables", {})}
    if tables:
        whole["tables"] = {name: tables[name] for name in {**data.get("tables", {}), **tables}}
    for block, model in NAMED.items():
        if block in whole:
            whole[block] = {name: filled(model, value) for name, value in whole[block].items()}
    for block, model in LISTED.items():
        whole[block] = [filled(model, value) for value in whole.get(block, [])]
    for block, model in SINGLE.items():
        settings = filled(model, whole.get(block, {}))
        if settings or block in whole:
            whole[block] = settings
    if rules:
        whole["rules"] = {
            table: [filled(models.Rule, rule) for rule in listed] for table, listed in rules.items()
        }
    return {name: whole[name] for name in sorted(whole, key=_position)}


def _position(block: str) -> int:
    """Rules come last: they are the longest."""
    return 1 if block in {"rules", "tests"} else 0


def filled(model: type[Block], written: Any) -> Any:
    """Return a block in its long form, with the defaults of what was not written.

    A value that is no such block (a set's list), or has no long form, is returned as it is.
    """
    long = _long(model, written)
    if long is None:
        return written
    try:
        read = model.model_validate(long)
    except ValidationError:
        return written
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    whole = {key: _nested(getattr(read, names[key]), long[key]) for key in long}
    if not _means(model, whole, read):
        whole = dict(long)
    not_run = models.NOT_RUN.get(model, frozenset())
    defaults = {
        key: form
        for key, name in names.items()
        if key not in long
        and key not in not_run
        and (form := default_form(model, name)) is not None
    }
    # A key may be legal only beside another: those go in one by one.
    together = _means(model, whole | defaults, read)
    for step in [defaults] if together else [{key: form} for key, form in defaults.items()]:
        if _means(model, whole | step, read):
            whole |= step
    return whole if _means(model, whole, read) else written


def _long(model: type[Block], written: Any) -> Mapping[str, Any] | None:
    """Return a block as a table; None where it is written as a word that no table stands for."""
    if isinstance(written, Mapping):
        return written
    key = models.SHORT_FORMS.get(model)
    return None if key is None else {key: written}


def _nested(value: Any, written: Any) -> Any:
    """Fill the blocks within a block."""
    if isinstance(value, Block):
        return filled(type(value), written)
    if isinstance(value, dict) and isinstance(written, Mapping):
        return {key: _nested(value.get(key), inner) for key, inner in written.items()}
    return written


def _means(model: type[Block], written: Mapping[str, Any], read: Block) -> bool:
    try:
        return model.model_validate(written) == read
    except ValidationError:
        return False
