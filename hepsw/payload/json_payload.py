"""A payload read as JSON: values at dotted paths.

The field catalogue makes one `JsonPayload` a packet when a rule first asks for a `json.` field;
`rtcp` takes its objects from here as well. Parsed once; whatever the octets are, nothing raises,
and what cannot be read is None.

Bounds: `MAX_SIZE` octets, `MAX_DOCUMENTS` objects, and the parser's own nesting limit of 1,024,
which it keeps without recursion in Python.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Final

import orjson

MAX_SIZE: Final = 1 << 20
MAX_DOCUMENTS: Final = 64
"""Objects in one payload; rtpproxy writes one behind the other for a compound RTCP packet."""
MAX_INDEX_DIGITS: Final = 6

MAX_LOSSY: Final = 1 << 16
"""Octets of a text that is not UTF-8 and still read: replacing what is wrong costs time."""

_NOTHING: Final = object()
_FILLER: Final = b"\0 \t\r\n"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_BOUNDARY: Final = re.compile(rb"\}[\0 \t\r\n]{0,16}(?=\{)")
"""One object's end before another's start; the repetition is bounded, so the search is linear."""

Path = tuple[str, ...]


def parse_path(text: str) -> Path:
    """Cut `a.b.0.c` into its steps. A key that holds a dot itself cannot be named."""
    return tuple(text.split("."))


def documents(payload: bytes) -> list[object]:
    """Parse every JSON document of a payload; those that are not whole are left out."""
    text = payload.removeprefix(_BYTE_ORDER_MARK).strip(_FILLER)
    if not text or len(text) > MAX_SIZE:
        return []
    found = _load(text)
    if found is not _NOTHING:
        return [found]
    pieces = _objects(text)
    if len(pieces) == 1:
        return []
    return [document for document in map(_load, pieces) if document is not _NOTHING]


def _load(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    if text.isascii() or len(text) > MAX_LOSSY:
        return _NOTHING
    try:
        # Agents that cut a text inside a character leave octets that no strict parser takes.
        return orjson.loads(text.decode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return _NOTHING


def _objects(text: bytes) -> list[bytes]:
    """Cut objects apart that stand one behind the other.

    Inside one JSON text a closing brace is never followed by an opening one, except within a
    string; such a string is seen in no agent's reports, and costs only its own object.
    """
    objects: list[bytes] = []
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        objects.append(text[start : boundary.end()])
        start = boundary.end()
        if len(objects) == MAX_DOCUMENTS - 1:
            break
    objects.append(text[start:])
    return [piece.strip(_FILLER) for piece in objects]


class JsonPayload:
    """One payload, looked at as JSON."""

    __slots__ = ("_documents", "_payload")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._documents: list[object] | None = None

    def value(self, path: str | Path) -> bytes | int | float | None:
        """Return what stands at a path.

        Args:
            path: keys and, for arrays, indexes from 0, joined by dots; or `parse_path` of that.

        Returns:
            Strings as UTF-8, numbers as they are, booleans as b"true" and b"false". None for null,
            objects, arrays, numbers without end and whatever is not there. Of several objects in
            one payload the first one that has the path answers.
        """
        if self._documents is None:
            self._documents = documents(self._payload)
        steps = parse_path(path) if isinstance(path, str) else path
        for document in self._documents:
            value = _scalar(_walk(document, steps))
            if value is not None:
                return value
        return None


def _walk(value: object, steps: Path) -> object:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list):
            if not (step.isascii() and step.isdigit() and len(step) <= MAX_INDEX_DIGITS):
                return None
            index = int(step)
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def _scalar(value: object) -> bytes | int | float | None:
    match value:
        case bool():
            return b"true" if value else b"false"
        case int():
            return value
        case float():
            return value if isfinite(value) else None
        case str():
            return value.encode("utf-8", "replace")
        case _:
            return None
