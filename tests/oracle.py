"""The slow, obvious evaluator: a table read from top to bottom, straight from the TOML.

It shares nothing with the match reader or the compiler: it looks at the rule as it is written, one
key after the other, with the plainest code there is. Where the fast code and this differ, one of
them is wrong.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from dataclasses import dataclass, field

from hepsw.hep import PROTO_TYPES

NUMBERS = {
    "ip_family", "ip_protocol", "src_port", "dst_port", "proto_type", "capture_id", "keep_alive",
    "vlan", "hep_version", "size", "payload_size", "mos", "port", "peer_port", "local_port",
}  # fmt: skip
ADDRESSES = {"src_ip", "dst_ip", "ip", "peer_ip", "local_ip"}


@dataclass
class Outcome:
    """What became of a packet."""

    path: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    fate: str = ""


def values(name, packet, peer):
    """Every value that a packet has for a field, in plain Python."""
    if name == "ip":
        return values("src_ip", packet, peer) + values("dst_ip", packet, peer)
    if name == "port":
        return values("src_port", packet, peer) + values("dst_port", packet, peer)
    if name == "hep_version":
        return [packet.version]
    if name == "size":
        return [len(packet.data)]
    if name == "payload_size":
        return [] if packet.payload is None else [len(packet.payload)]
    if name.startswith(("peer_", "local_")) or name == "listener":
        value = getattr(peer, name.removeprefix("peer_") if name.startswith("peer_") else name)
        if name in ADDRESSES:
            return [ipaddress.ip_address(value)]
        return [] if value is None else [value if isinstance(value, int) else value.encode()]
    if ":" in name:
        vendor, type_id = (int(part, 16) for part in name.split(":"))
        bodies = [c.body for c in packet.chunks() if (c.vendor_id, c.type_id) == (vendor, type_id)]
        return bodies[-1:]
    value = getattr(packet, name)
    if value is None:
        return []
    if isinstance(value, bytes) and name not in {"payload", "compressed_payload"}:
        value = value.rstrip(b"\0")
    return [value]


def matches(block, packet, peer, sets=None, matchers=None):
    """Whether every key of a match block holds."""
    for key, written in block.items():
        if key == "any":
            held = any(matches(part, packet, peer, sets, matchers) for part in written)
        elif key == "all":
            held = all(matches(part, packet, peer, sets, matchers) for part in written)
        elif key == "not":
            held = not matches(written, packet, peer, sets, matchers)
        elif key == "is":
            names = written if isinstance(written, list) else [written]
            held = all(matches((matchers or {})[n], packet, peer, sets, matchers) for n in names)
        else:
            held = compare(key, written, packet, peer, sets)
        if not held:
            return False
    return True


def compare(name, written, packet, peer, sets):
    """Whether a field passes what was written for it."""
    found = values(name, packet, peer)
    if not isinstance(written, dict):
        return any(is_value(name, written, value, sets) for value in found)
    operators = dict(written)
    if "exists" in operators and bool(found) is not operators.pop("exists"):
        return False
    if "not" in operators:
        refused = operators.pop("not")
        if not found or any(passes(name, refused, value, sets) for value in found):
            return False
    return not operators or any(passes(name, operators, value, sets) for value in found)


def passes(name, written, value, sets):
    """Whether one value passes a value, a list, or all of some operators."""
    if not isinstance(written, dict):
        return is_value(name, written, value, sets)
    return all(operator(name, key, operand, value, sets) for key, operand in written.items())


def operator(name, key, operand, value, sets):
    """Whether one value passes one operator."""
    octets = operand.encode() if isinstance(operand, str) else b""
    if isinstance(operand, dict):
        octets = bytes.fromhex(operand["hex"])
    match key:
        case "prefix":
            return value[: len(octets)] == octets
        case "suffix":
            return octets == b"" or value[-len(octets) :] == octets
        case "contains":
            return value.find(octets) >= 0
        case "hex":
            return value == bytes.fromhex(operand)
        case "glob":
            return fnmatch.fnmatchcase(value.decode("latin-1"), octets.decode("latin-1"))
        case "re":
            return re.search(octets, value) is not None
        case "ge":
            return value >= operand
        case "gt":
            return value > operand
        case "le":
            return value <= operand
        case "lt":
            return value < operand
        case "eq":
            return is_value(name, operand, value, sets, literal=True)
        case "in":
            return is_value(name, operand, value, sets)
    raise AssertionError(key)


def is_value(name, written, value, sets, *, literal=False):
    """Whether a value is what was written: itself, in a list, a range, a network or a set."""
    if isinstance(written, list):
        return any(passes(name, item, value, sets) for item in written)
    if isinstance(written, str) and written.startswith("@") and not literal:
        return any(
            is_value(name, item, value, sets, literal=True) for item in (sets or {})[written[1:]]
        )
    if name in ADDRESSES:
        if "/" in written:
            return value in ipaddress.ip_network(written)
        return value == ipaddress.ip_address(written)
    if name in NUMBERS:
        if isinstance(written, str):
            if name == "proto_type" and written.upper() in PROTO_TYPES:
                return value == PROTO_TYPES[written.upper()]
            if "-" in written:
                low, high = written.split("-")
                return value >= int(low) and (not high or value <= int(high))
            return value == int(written)
        return value == written
    return value == written.encode()


def walk(rules, packet, peer, sets=None, matchers=None):
    """Return the names of the rules of one table that match, in order, without carrying any out."""
    return [
        rule["name"]
        for rule in rules
        if rule.get("enabled", True)
        and matches(rule.get("match", {}), packet, peer, sets, matchers)
    ]


def judge(tables, entry, packet, peer, edit, sets=None, matchers=None, misses=None):
    """Carry a packet through the tables and return what became of it.

    Args:
        edit: a function that makes a rule's edits on a packet and returns the new one.
        misses: the outputs of a table that decides nothing, by table.
    """
    outcome = Outcome()
    table = entry
    while True:
        decided = None
        for rule in tables[table]:
            if not rule.get("enabled", True) or not matches(
                rule.get("match", {}), packet, peer, sets, matchers
            ):
                continue
            outcome.path.append(f"{table}/{rule['name']}")
            packet = edit(rule, packet)
            for output in [*listed(rule.get("store", [])), *listed(rule.get("relay", []))]:
                if output not in [name for name, _ in outcome.outputs]:
                    outcome.outputs.append((output, packet.data))
            if not rule.get("continue"):
                decided = rule
                break
        if decided is not None and "goto" in decided:
            table = decided["goto"]
            continue
        if decided is None:
            for output in (misses or {}).get(table, []):
                if output not in [name for name, _ in outcome.outputs]:
                    outcome.outputs.append((output, packet.data))
        if outcome.outputs:
            outcome.fate = "routed"
        elif decided is None:
            outcome.fate = "missed"
        elif "drop" in decided:
            outcome.fate = f"dropped {decided['drop']}"
        else:
            outcome.fate = "ended"
        return outcome


def listed(written):
    """A name or a list of names, as a list."""
    return written if isinstance(written, list) else [written]
