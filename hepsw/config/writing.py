"""Blocks of a configuration as TOML text, laid out as an operator would.

Every key and value is written by `tomli_w`. The layout is ours because the order of keys is the
order of conditions and edits, while `tomli_w` moves tables behind everything else; and because
`match.src_ip = …` is how rules are written, not `[rules.main.match]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import tomli_w

WIDTH: Final = 100
"""Columns of a line, where it can be broken."""

HEADED: Final = frozenset({"stores", "tables", "traces", "maps", "privacy"})
"""Blocks of named things that get a heading each; of other blocks each thing is one line."""

_DOTTED: Final = frozenset({"match", "set", "count", "observe", "entries"})
"""Tables whose keys stand on lines of their own."""
_GROUPS: Final = frozenset({"sip", "header", "rtcp", "vq", "json", "geo", "map", "src", "dst"})
"""First words of fields, which TOML takes for tables."""


def toml_text(data: Mapping[str, Any]) -> str:
    """Write the blocks in the order they come in."""
    sections = [section for block, value in data.items() for section in _sections(block, value)]
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections)


def _sections(block: str, value: Any) -> Iterator[list[str]]:
    if _is_listed(value):
        for thing in value:
            yield from _listed((block,), thing)
    elif not isinstance(value, Mapping):
        yield list(_lines({block: value}, ()))
    elif block == "rules":
        empty = {table: rules for table, rules in value.items() if not rules}
        if empty or not value:
            yield [f"[{block}]", *_lines(empty, ())]
        for table, rules in value.items():
            for rule in rules:
                yield from _listed((block, table), rule)
    elif block in HEADED and value:
        for name, thing in value.items():
            yield [f"[{_dotted((block, name))}]", *_lines(thing, ())]
    else:
        yield [f"[{_key(block)}]", *_lines(value, ())]


def _listed(path: tuple[str, ...], thing: Mapping[str, Any]) -> Iterator[list[str]]:
    """Write one of several things of the same name; what is listed within it comes behind it."""
    tests = thing.get("test")
    own = {key: value for key, value in thing.items() if not (key == "test" and _is_listed(tests))}
    yield [f"[[{_dotted(path)}]]", *_lines(own, ())]
    if _is_listed(tests):
        for test in tests or ():
            yield [f"[[{_dotted((*path, 'test'))}]]", *_lines(test, ())]


def _is_listed(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)
    )


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key, value in table.items():
        place = (*path, key)
        line = f"{_dotted(place)} = {_inline(value)}"
        if isinstance(value, Mapping) and value:
            if key in _DOTTED or (path and key in _GROUPS) or len(line) > WIDTH:
                yield from _lines(value, place)
                continue
        elif isinstance(value, list) and len(line) > WIDTH:
            yield f"{_dotted(place)} = ["
            yield from (f"    {_inline(item)}," for item in value)
            yield "]"
            continue
        yield line


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_dotted(path)} = {_inline(inner)}" for path, inner in _pairs(value))
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").removesuffix("\n")


def _pairs(
    table: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what stands in an inline table, `sip.method` as one key."""
    for key, value in table.items():
        if key in _GROUPS and isinstance(value, Mapping) and value:
            yield from _pairs(value, (*path, key))
        else:
            yield (*path, key), value


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(_key, path))


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
