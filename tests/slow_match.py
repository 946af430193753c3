"""Match blocks read the slow way: as they are written, one key after the other.

Shares nothing with the match reader or the compiler. `matches` is all that the oracle asks.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from datetime import datetime

from slow_fields import GROUPS, number_of


def matches(block, seen):
    """Whether every key of a match block holds for a packet."""
    for key, written in block.items():
        if key == "any":
            held = any(matches(part, seen) for part in written)
        elif key == "all":
            held = all(matches(part, seen) for part in written)
        elif key == "not":
            held = not matches(written, seen)
        elif key == "is":
            names = written if isinstance(written, list) else [written]
            held = all(matches(seen.document["matchers"][name], seen) for name in names)
        else:
            held = all(compare(name, value, seen) for name, value in fields_of(key, written))
        if not held:
            return False
    return True


def fields_of(key, written):
    """Return the fields below a key: TOML nests what is written with a dot."""
    if key not in GROUPS:
        return [(key, written)]
    found = []
    for inner, value in written.items():
        if (key, inner) == ("sip", "header"):
            found += [(f"sip.header.{header}", wanted) for header, wanted in value.items()]
        else:
            found.append((f"{key}.{inner}", value))
    return found


def compare(name, written, seen):
    """Whether a field passes what was written for it."""
    found = seen.values(name)
    if not isinstance(written, dict):
        return any(is_value(name, written, value, seen) for value in found)
    operators = dict(written)
    if "exists" in operators and bool(found) is not operators.pop("exists"):
        return False
    if "not" in operators:
        refused = operators.pop("not")
        if not found or any(passes(name, refused, value, seen) for value in found):
            return False
    return not operators or any(passes(name, operators, value, seen) for value in found)


def passes(name, written, value, seen):
    """Whether one value passes a value, a list, or all of some operators."""
    if not isinstance(written, dict):
        return is_value(name, written, value, seen)
    return all(operator(name, key, operand, value, seen) for key, operand in written.items())


def operator(name, key, operand, value, seen):
    """Whether one value passes one operator."""
    if key == "in":
        return is_value(name, operand, value, seen)
    if key == "eq":
        return is_value(name, operand, value, seen, literal=True)
    if key in {"ge", "gt", "le", "lt"}:
        return is_number(value) and bound(key, value, plain_number(name, operand, seen))
    return isinstance(value, bytes) and text_operator(key, operand, value)


def bound(key, value, limit):
    """Whether a number is on the right side of a limit."""
    match key:
        case "ge":
            return value >= limit
        case "gt":
            return value > limit
        case "le":
            return value <= limit
    return value < limit


def text_operator(key, operand, value):
    """Whether octets pass an operator for texts."""
    if key == "hex":
        return value == bytes.fromhex(operand)
    octets = bytes.fromhex(operand["hex"]) if isinstance(operand, dict) else operand.encode()
    match key:
        case "prefix":
            return value[: len(octets)] == octets
        case "suffix":
            return octets == b"" or value[-len(octets) :] == octets
        case "contains":
            return value.find(octets) >= 0
        case "glob":
            return fnmatch.fnmatchcase(value.decode("latin-1"), octets.decode("latin-1"))
        case "re":
            return re.search(octets, value) is not None
    raise AssertionError(key)


def is_number(value):
    """Whether a value is a number."""
    return isinstance(value, (int, float))


def plain_number(name, written, seen):
    """Return the number that was written, whatever it was written as."""
    if isinstance(written, datetime):
        return round(written.timestamp() * 1_000_000)
    if not isinstance(written, str):
        return written
    if seen.kind(name) == "mac":
        return int(written.replace(":", "").replace("-", ""), 16)
    if seen.kind(name) == "time" and not written.isdigit():
        return plain_number(name, datetime.fromisoformat(written), seen)
    return number_of(seen.document, name, written)


def is_value(name, written, value, seen, *, literal=False):
    """Whether a value is what was written: itself, in a list, a range, a network or a set."""
    if isinstance(written, list):
        return any(passes(name, item, value, seen) for item in written)
    if isinstance(written, str) and written.startswith("@") and not literal:
        named = seen.document["sets"][written[1:]]
        return any(is_value(name, item, value, seen, literal=True) for item in named)
    match seen.kind(name):
        case "address":
            if "/" in written:
                return value in ipaddress.ip_network(written)
            return value == ipaddress.ip_address(written)
        case "number" | "decimal" as kind:
            if isinstance(written, str) and "-" in written:
                low, high = written.split("-")
                read = int if kind == "number" else float
                return value >= read(low) and (not high or value <= read(high))
            return value == plain_number(name, written, seen)
        case "time" | "mac":
            return value == plain_number(name, written, seen)
        case "json":
            # A number is compared with numbers, a text with texts; a boolean is a text here.
            if isinstance(written, bool):
                written = "true" if written else "false"
            if isinstance(written, str):
                return value == written.encode()
            return is_number(value) and value == written
    if isinstance(written, dict):
        return value == bytes.fromhex(written["hex"])
    return value == written.encode()
