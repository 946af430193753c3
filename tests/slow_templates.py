"""Templates rendered the slow way, and what a rule sets read back from their text.

Regular expressions over the source, a chain of comparisons for the filters: nothing is shared with
the templates of hepsw, neither how they are cut nor how they are filled.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from datetime import UTC, datetime, timedelta

from slow_fields import name_of, number_of

QUOTED = r"'[^']*'|\"[^\"]*\""
PART = re.compile(r"\{\{|\}\}|\{((?:" + QUOTED + r"|[^'\"}])*)\}")
"""A doubled brace, or a slot; quotes hold braces together."""
WORD = re.compile(r"(?:" + QUOTED + r"|[^'\"|])+")
ARGUMENT = re.compile(r":((?:" + QUOTED + r"|[^'\":])*)")
LARGEST = {
    **dict.fromkeys(("ip_family", "ip_protocol", "proto_type", "tcp_flags", "tos"), 0xFF),
    **dict.fromkeys(("capture_id", "jitter"), 0xFFFFFFFF),
    "uint8": 0xFF,
    "uint32": 0xFFFFFFFF,
    "uint64": (1 << 64) - 1,
}
"""What numbers may be at most that have not 16 bits, by field and by type of an own chunk."""


def rendered(template, seen):
    """Return the text of a template for one packet."""
    text = b""
    at = 0
    for found in PART.finditer(template):
        text += template[at : found.start()].encode()
        text += found[0][:1].encode() if found[1] is None else slot(found[1], seen)
        at = found.end()
    return text + template[at:].encode()


def slot(source, seen):
    """Return the first value of a field through its filters; empty where it is missing."""
    name, *filters = (word.strip() for word in WORD.findall(source))
    octets = printed(name, seen)
    for written in filters:
        what, colon, rest = written.partition(":")
        arguments = [argument.strip("'\"") for argument in ARGUMENT.findall(colon + rest)]
        octets = filtered(octets, what, arguments)
    return octets


def printed(name, seen):
    """Return the first value of a field as text."""
    value = seen.first(name)
    if value is None:
        return b""
    if isinstance(value, float):
        return f"{value:.10g}".encode()
    if isinstance(value, bytes):
        return value
    if name == "proto_type":
        return name_of(seen.document, value).encode()
    if name == "time":
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    if name.endswith("_mac"):
        return value.to_bytes(8).removeprefix(b"\0\0").hex(":").encode()
    return str(value).encode()


def filtered(octets, what, arguments):
    """Return octets through one filter."""
    first = arguments[0] if arguments else ""
    match what:
        case "select":
            parts = octets.split(arguments[1].encode())
            return parts[int(first)] if int(first) < len(parts) else b""
        case "lower":
            return octets.lower()
        case "upper":
            return octets.upper()
        case "default":
            return octets or first.encode()
        case "hash":
            return hashlib.sha256(octets).hexdigest()[:16].encode() if octets else b""
        case "mask":
            hidden = max(0, len(octets) - int(first))
            return b"*" * hidden + octets[hidden:]
        case "bucket":
            return bucket(octets, first.split(","))
        case "replace":
            return octets.replace(arguments[0].encode(), arguments[1].encode())
        case "re":
            found = re.search(first.encode(), octets)
            return b"" if found is None else (found.groups() or (found[0],))[0] or b""
        case "shr":
            return str(int(octets) // 2 ** int(first)).encode() if octets.isdigit() else b""
        case "json":
            text = octets.decode("utf-8", "replace")
            return json.dumps(text, ensure_ascii=False).encode()
    raise AssertionError(what)


def bucket(octets, edges):
    """Return the range that a number falls into; an edge belongs to the range above it."""
    try:
        number = float(octets)
    except ValueError:
        return b""
    low = "0"
    for edge in edges:
        if number < float(edge):
            return f"{low}-{edge}".encode()
        low = edge
    return f"{low}-".encode()


def set_value(name, written, seen):
    """Return what a field is set to, as `hepsw.hep.edit` takes it; None where nothing is set.

    A template that comes out empty sets nothing, nor does one whose text the chunk cannot hold.
    """
    kind = seen.kind(name)
    if isinstance(written, dict):
        return bytes.fromhex(written["hex"])
    if isinstance(written, str):
        text = rendered(written, seen)
        if not text:
            return None
        try:
            value = read_back(name, kind, text, seen)
        except ValueError:
            return None
    else:
        value = written
    chunk = seen.document.get("chunks", {}).get(name)
    if kind == "number":
        widest = LARGEST.get(name if chunk is None else chunk["type"], 0xFFFF)
        if value > widest:
            return None
        if chunk is not None:
            return value.to_bytes(widest.bit_length() // 8)
    if chunk is not None and chunk["type"] in {"inet4", "inet6"}:
        return value if len(value) == {"inet4": 4, "inet6": 16}[chunk["type"]] else None
    return value


def read_back(name, kind, text, seen):
    """Read a text as a value of a field.

    Raises:
        ValueError: it is none.
    """
    if kind in {"text", "octets"}:
        return text
    word = text.decode("ascii", "replace")
    if kind == "address":
        return ipaddress.ip_address(word).packed
    if kind == "time":
        if word.isdigit():
            return int(word)
        moment = datetime.fromisoformat(word) - datetime(1970, 1, 1, tzinfo=UTC)
        return moment // timedelta(microseconds=1)
    if name != "proto_type" and not re.fullmatch("[0-9]+", word):
        raise ValueError(word)
    return number_of(seen.document, name, word)
