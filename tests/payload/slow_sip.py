"""The slow, obvious reader of SIP headers that the fast one is held against.

Imports nothing of hepsw: regular expressions over text, one question at a time.
"""

from __future__ import annotations

import re

COMPACT = {
    "c": "content-type",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "m": "contact",
    "s": "subject",
    "t": "to",
    "v": "via",
}
LISTS = {"via", "contact", "supported"}
ELEMENT = re.compile(r'(?:"(?:\\.|[^"\\])*"|<[^>]*>|[^,"<])+', re.DOTALL)


def headers(payload):
    """Return (name, value) of every header line, folding undone."""
    text = payload.decode("latin-1").replace("\r\n", "\n")
    section = text.partition("\n\n")[0].partition("\n")[2]
    section = re.sub(r"(?:[ \t]*\n[ \t]+)+", " ", section)
    found = []
    for line in section.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip(" \t").lower()
            found.append((COMPACT.get(name, name), value.strip(" \t")))
    return found


def header(payload, name):
    """Return every value of a header, lists cut into their elements."""
    name = COMPACT.get(name.lower(), name.lower())
    values = []
    for found, value in headers(payload):
        if found != name:
            continue
        if name in LISTS and "," in value:
            parts = [part.strip(" \t") for part in ELEMENT.findall(value)]
            values += [part for part in parts if part]
        else:
            values.append(value)
    return tuple(value.encode("latin-1") for value in values)
