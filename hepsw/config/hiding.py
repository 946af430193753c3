"""A configuration to be shown: what is secret in it is hidden, where it comes from is not.

Secret are the values of `auth_key` wherever it is written, the key of a privacy profile, and the
password in a url. `{ env = … }` and `{ file = … }` only say where a secret is. Diagnostics show
lines of the files themselves, in a terminal and, after a reload, in the log: `masked` makes these
safe to show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from hepsw.config.words import HIDDEN

if TYPE_CHECKING:
    from hepsw.config.sources import Sources
    from hepsw.config.spans import Path, Span

SECRET_KEY: Final = "auth_key"  # noqa: S105 - the name of the key, not its value

_WHERE: Final = ({"env"}, {"file"})
"""Keys of a table that says where a secret is."""
_MEANT: Final = re.compile("pass|secret|token|auth.?ke|key.")
"""In a name that hepsw does not know: most likely what was meant holds a secret."""
_OF_COUNTERS: Final = frozenset({"count", "observe"})
"""Their keys are names of an operator's own."""
_PASSWORD: Final = re.compile(r"(?<=://)([^\s/@:]*:)[^\s/@]*(?=@)")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^\s/@:]*:).*(?=@)")
"""In what is a url, a password may hold anything: the last `@` ends it."""
_AFTER_KEY: Final = re.compile(r"(?<=auth_key)\s*=.*|(?<=://)[^\s/@]*:[^\s]*(?=@)")
_NO_SCHEME: Final = re.compile(r"(?<=:)[^\s/@:][^@]*(?=@)")
_QUERY: Final = re.compile(r"(?<=\?).+")
_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER: Final = re.compile(r"([?&](?:ssl)?password=)[^\s&#]*", re.IGNORECASE)


def hidden(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the blocks of a configuration with every secret replaced by `***`."""
    return _Hiding(data).mapping(data, ())


def masked(sources: Sources) -> dict[str, str]:
    """Return the texts of the files with a star for each character of a secret.

    Nothing moves, so that places found in the files are places in what is returned.
    """
    lines = {file: text.split("\n") for file, text in sources.texts.items()}
    for path, before, after in _differences(sources.data, hidden(sources.data), ()):
        file, span = sources.where(path, key=after is None)
        if span is not None:
            line = lines[file][span.line - 1]
            lines[file][span.line - 1] = _starred(line, span, before, after)
    for problem in sources.problems.sorted():
        if problem.code == "HEP101" and problem.span is not None:
            # What is no TOML has no places: all that may be a key in this line is taken for one.
            line = lines[problem.file][problem.span.line - 1]
            lines[problem.file][problem.span.line - 1] = _AFTER_KEY.sub(_all_stars, line)
    return {file: "\n".join(text) for file, text in lines.items()}


def _all_stars(found: re.Match[str]) -> str:
    return re.sub(r"""[^\s"'\[\]{},=]""", "*", found[0])


def _differences(before: Any, after: Any, path: Path) -> Iterator[tuple[Path, str, str | None]]:
    """Yield what was hidden, with what stands for it; None where it is the key that was."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in before.items():
            if key in after:
                yield from _differences(value, after[key], (*path, key))
            else:
                yield (*path, key), key, None
    elif isinstance(before, list) and isinstance(after, list):
        for at, value in enumerate(before):
            yield from _differences(value, after[at], (*path, at))
    elif repr(before) != repr(after):  # TOML has nan, which is not itself
        yield path, str(before), str(after)


def _starred(line: str, span: Span, before: str, after: str | None) -> str:
    """Return a line with stars for what was hidden in a span: all of it, or a password in a url."""
    start, end = span.column - 1, span.end - 1
    if line[start:end][1:-1] == before:
        first = _in_common(before, after or "")
        last = _in_common(before[first:][::-1], (after or "")[::-1])
        start, end = start + 1 + first, end - 1 - last
    return f"{line[:start]}{'*' * (end - start)}{line[end:]}"


def _in_common(one: str, other: str) -> int:
    """Return with how many equal characters two texts begin."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class _Hiding:
    """Knows which sets hold keys, because a match on `auth_key` names them."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.sets = {
            text[1:]
            for path, value in _paths(data, ())
            if _is_secret(path) and not _is_setting(path)
            for text in _texts(value)
            if text.startswith("@")
        }

    def mapping(self, table: Mapping[str, Any], path: Path) -> dict[str, Any]:
        if len(path) == 2 and path[0] == "maps" and table.get("key") == SECRET_KEY:
            table = {**table, "entries": _hidden_keys(table.get("entries"))}
        return {key: self.value(value, (*path, key)) for key, value in table.items()}

    def value(self, value: Any, path: Path) -> Any:
        if path[0] == "stores" and path[2:] == ("url",) and isinstance(value, Mapping):
            return _secret(value, sets=False)
        if _is_secret(path) or (path[0] == "sets" and len(path) == 2 and path[1] in self.sets):
            return _secret(value, sets=not _is_setting(path))
        if isinstance(value, Mapping):
            return self.mapping(value, path)
        if isinstance(value, list):
            return [self.value(item, (*path, at)) for at, item in enumerate(value)]
        return _without_password(value, path) if isinstance(value, str) else value


def _is_secret(path: Path) -> bool:
    """Tell whether a path leads to a secret; one to a thing that is called so does not."""
    if len(path) < 3:
        return path == ("privacy", "key")  # the name of the profile was forgotten
    if path[-1] == SECRET_KEY:
        return path[-2] not in _OF_COUNTERS
    name = str(path[-1]).lower()
    if path[0] == "privacy":
        return len(path) == 3 and (name == "key" or _MEANT.search(name) is not None)
    if path[0] not in {"listen", "destinations", "stores"} or path[2] in {"columns", "set"}:
        return False
    return _MEANT.search(name) is not None


def _is_setting(path: Path) -> bool:
    """Tell whether a secret is one of hepsw's own, where `@` begins no set."""
    return path[0] in {"listen", "destinations", "stores", "privacy"}


def _secret(value: Any, *, sets: bool) -> Any:
    if isinstance(value, bool) or (sets and isinstance(value, str) and value.startswith("@")):
        return value
    if isinstance(value, list):
        return [_secret(item, sets=sets) for item in value]
    if isinstance(value, Mapping) and set(value) in _WHERE:
        name = value.get("env", "X")
        # What is no name of a variable may be the secret itself.
        return dict(value) if isinstance(name, str) and _NAME.fullmatch(name) else {"env": HIDDEN}
    if isinstance(value, Mapping) and set(value) != {"hex"}:
        # Operators of a match, or the file of a set.
        return {
            key: inner if sets and key in {"type", "file"} else _secret(inner, sets=sets)
            for key, inner in value.items()
        }
    return HIDDEN


def _without_password(text: str, path: Path) -> str:
    is_url = "url" in path or (path[0] == "destinations" and len(path) == 2)
    pattern = _URL_PASSWORD if is_url else _PASSWORD
    if is_url and "://" not in text:
        text = _NO_SCHEME.sub(HIDDEN, text)
    if is_url and path[0] in {"listen", "destinations"}:
        text = _QUERY.sub(HIDDEN, text)  # none is legal there
    return _PARAMETER.sub(rf"\g<1>{HIDDEN}", pattern.sub(rf"\g<1>{HIDDEN}", text))


def _hidden_keys(entries: Any) -> Any:
    """Return the entries of a map from keys to names, the keys numbered instead."""
    if not isinstance(entries, Mapping):
        return entries
    return {f"{HIDDEN} {at}": value for at, value in enumerate(entries.values(), 1)}


def _paths(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for step, inner in items:
        yield (*path, step), inner
        yield from _paths(inner, (*path, step))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for _, inner in _paths(value, ()):
        if isinstance(inner, str):
            yield inner
