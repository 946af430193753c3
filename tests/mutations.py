"""Every small change of a configuration, one at a time, to see what would notice it.

A mutant is the parsed TOML with one thing changed or taken away. Conditions are walked through
whatever they are made of: match blocks, matchers, nested blocks, operators, lists. What else a
rule, a map or a set says is changed more coarsely. Nothing here knows what a mutant means: that is
for who runs it.
"""

import copy
import ipaddress
import itertools
import re
from typing import Any, NamedTuple

from hepsw.config.names import flattened
from hepsw.hep import PROTO_TYPES

FLOWS = ("drop", "continue", "goto", "resume", "call")
OUTPUTS = {"relay": "destinations", "store": "stores", "trace": "traces"}
"""Keys of a rule that name outputs, with the block that defines them."""

GATES = ("scope", "sample", "limit", "dedupe")

SIDES = (("src_", "dst_"), ("sip.from_", "sip.to_"), ("geo.src.", "geo.dst."), ("local_", "peer_"))
"""Beginnings of fields that are easily taken for each other."""

NEVER = r"[^\s\S]"
"""An expression that matches nothing."""


class Mutant(NamedTuple):
    """A configuration with one change."""

    name: str
    """Where, and what was done there."""
    data: dict[str, Any]
    """The whole document."""
    files: dict[str, str]
    """The files beside it."""
    is_condition: bool
    """Whether it is a condition, or a part of one, that was changed."""
    swapped: tuple[str, int] | None = None
    """A table and the position of the rule in it that changed places with the next one."""


def mutants(data, files):
    """Yield every mutant of a configuration; two that come out the same are one."""
    seen = [(data, files)]
    for mutant in _mutants(data, files):
        if (mutant.data, mutant.files) not in seen:
            seen.append((mutant.data, mutant.files))
            yield mutant


def _mutants(data, files):
    for where, what, path, value in _conditions(data):
        yield Mutant(f"{where}: {what}", changed(data, path, value), files, is_condition=True)
    for where, what, path, value in (*_rules(data), *_blocks(data)):
        yield Mutant(f"{where}: {what}", changed(data, path, value), files, is_condition=False)
    for table, rules in data["rules"].items():
        for at, (one, two) in enumerate(itertools.pairwise(rules)):
            order = [*rules[:at], two, one, *rules[at + 2 :]]
            name = f"{table}/{one['name']}: behind {two['name']}"
            swapped = changed(data, ("rules", table), order)
            yield Mutant(name, swapped, files, is_condition=False, swapped=(table, at))
    for name, file in _set_files(data, files):
        yield Mutant(name, data, file, is_condition=False)


# --- changing one place --------------------------------------------------------------------------

GONE = object()
"""In place of a value: there is none."""

GROUPS = {"sip", "header", "rtcp", "vq", "json", "geo", "map", "src", "dst"}
"""First words of fields, which TOML takes for tables."""


def changed(data, path, value):
    """Return the data with one value replaced, or taken away with the tables left empty by it."""
    data = copy.deepcopy(data)
    holders = [data]
    for step in path[:-1]:
        holders.append(holders[-1][step])
    if value is GONE:
        del holders[-1][path[-1]]
        for holder, step in zip(reversed(holders[:-1]), reversed(path[:-1]), strict=True):
            if holder[step] or step not in {*GROUPS, "match", "set"}:
                break
            del holder[step]
    else:
        holders[-1][path[-1]] = copy.deepcopy(value)
    return data


def renamed(block, old, new):
    """Return a block with another name for one of its keys, in the same place."""
    return {new if key == old else key: value for key, value in block.items()}


# --- conditions ----------------------------------------------------------------------------------


def _conditions(data):
    """Yield place, deed, path and new value for each change of a condition."""
    for table, rules in data["rules"].items():
        for at, rule in enumerate(rules):
            if "match" not in rule:
                continue
            where, path = f"{table}/{rule['name']}", ("rules", table, at, "match")
            yield where, "without match", path, GONE
            yield where, "match negated", path, {"not": rule["match"]}
            yield from _block(rule["match"], path, where, data)
    for name, block in data.get("matchers", {}).items():
        path, where = ("matchers", name), f"matcher {name}"
        yield where, "negated", path, {"not": block}
        yield from _block(block, path, where, data)


def _block(block, path, where, data):
    """Yield the changes of one match block."""
    entries = list(flattened(block, path))
    if len(entries) > 1:
        yield where, "any instead of all", path, {"any": _apart(entries)}
    for name, written, place in entries:
        yield where, f"without {name}", place, GONE
        if name in {"any", "all"}:
            yield from _nested(name, written, place, block, path, where, data)
        elif name == "not":
            yield where, "not unwrapped", path, {**_without(block, "not"), "all": [written]}
            yield from _block(written, place, f"{where} not", data)
        elif name == "is":
            for other in data["matchers"]:
                yield where, f"is {other}", place, other
        else:
            for other in _other_fields(name):
                taken = [{n: w} for n, w, _ in entries if n != name]
                yield where, f"{other} instead of {name}", path, {"all": [*taken, {other: written}]}
            for what, value in _values(name, written, data):
                yield where, f"{name} {what}", place, value


def _apart(entries):
    """Return each entry of a block as a block of its own."""
    return [{name: written} for name, written, _ in entries]


def _without(table, key):
    return {name: value for name, value in table.items() if name != key}


def _nested(word, parts, place, block, path, where, data):
    other = "all" if word == "any" else "any"
    yield where, f"{other} instead of {word}", path, renamed(block, word, other)
    for at, part in enumerate(parts):
        of = f"{where} {word} {at + 1}"
        rest = [*parts[:at], *parts[at + 1 :]]
        yield of, "gone", place, rest or GONE
        yield of, "negated", (*place, at), {"not": part}
        yield from _block(part, (*place, at), of, data)


def _other_fields(name):
    if name in {"ip", "port"}:
        yield from (f"src_{name}", f"dst_{name}")
    if name.startswith("sip.header."):
        yield f"{name}x"
    for pair in SIDES:
        for one, two in (pair, pair[::-1]):
            if name.startswith(one):
                yield two + name.removeprefix(one)


def _values(name, written, data):
    """Yield changes of what a field is compared with, each with words for it."""
    if isinstance(written, dict):
        yield from _operators(name, written, data)
    elif isinstance(written, list):
        for at, value in enumerate(written):
            rest = [*written[:at], *written[at + 1 :]]
            yield f"without {value}", rest or GONE
            for what, other in _values(name, value, data):
                yield what, [*written[:at], other, *written[at + 1 :]]
    elif isinstance(written, str) and written.startswith("@"):
        yield f"not {written}", {"not": written}
        for other in data["sets"]:
            yield f"@{other} instead of {written}", f"@{other}"
    else:
        for other in _scalars(name, written):
            yield f"{other} instead of {written}", other


def _scalars(name, written):
    """Yield values near a value."""
    match written:
        case bool():
            yield not written
        case int():
            yield from (written - 1, written + 1)
        case float():
            yield from (round(written - 0.01, 2), round(written + 0.01, 2))
        case str() if name == "proto_type":
            number = PROTO_TYPES[written.upper()]
            yield from (number - 1, number + 1)
        case str():
            yield from _range(written) or _network(written) or _text(written)


def _range(written):
    found = re.fullmatch(r"([0-9]+)-([0-9]*)", written)
    if found is None:
        return []
    low, high = int(found[1]), int(found[2]) if found[2] else None
    ends = [(low - 1, high), (low + 1, high)]
    ends += [] if high is None else [(low, high - 1), (low, high + 1)]
    return [f"{one}-{'' if two is None else two}" for one, two in ends if two is None or one <= two]


def _network(written):
    """Return an address's neighbours, or a network wider, narrower, and moved to either side."""
    try:
        network = ipaddress.ip_network(written)
    except ValueError:
        return []
    if "/" not in written:
        address = network.network_address
        return [str(address - 1), str(address + 1)]
    size = network.num_addresses
    moved = [network.network_address + size, network.network_address - size]
    return [
        str(network.supernet()),
        f"{network.network_address}/{network.prefixlen + 1}",
        *(f"{address}/{network.prefixlen}" for address in moved),
    ]


def _text(written):
    """Return a text with a letter more, less, another one, and in the other case."""
    other = "x" if written[-1:] != "x" else "y"
    near = [f"{written}{other}", written[:-1], written[:-1] + other, written.swapcase()]
    return [text for text in near if text != written]


def _operators(name, written, data):
    for operator, operand in written.items():
        if len(written) > 1:
            yield f"without {operator}", _without(written, operator)
        for what, other in _operator(name, operator, operand, data):
            new = other if not isinstance(other, _Whole) else other.written
            yield what, new if isinstance(other, _Whole) else {**written, operator: new}


class _Whole(NamedTuple):
    """In place of all operators, not of one operand."""

    written: Any


def _operator(name, operator, operand, data):
    match operator:
        case "exists":
            yield f"exists = {not operand}", not operand
        case "not":
            yield "{ not } unwrapped", _Whole(operand)
            for what, other in _values(name, operand, data):
                yield f"not {what}", other
        case "ge" | "gt" | "le" | "lt":
            for step in (-1, -0.01, 0.01, 1) if name.startswith(("rtcp.", "vq.")) else (-1, 1):
                yield f"{operator} {operand + step}", operand + step
            strict = {"ge": "gt", "gt": "ge", "le": "lt", "lt": "le"}[operator]
            turned = {"ge": "le", "gt": "lt", "le": "ge", "lt": "gt"}[operator]
            for other in (strict, turned):
                yield f"{other} instead of {operator}", _Whole({other: operand})
        case "re":
            for other in _expressions(operand):
                yield f"re {other}", other
        case "prefix" | "suffix":
            for other in _text(operand):
                yield f"{operator} {other}", other
            for other in ("suffix" if operator == "prefix" else "prefix", "eq"):
                yield f"{other} instead of {operator}", _Whole({other: operand})
        case _:
            yield from _values(name, operand, data)


def _expressions(written):
    """Yield expressions near one: never, without a flag, an alternative, an optional part."""
    yield NEVER
    flags = re.match(r"\(\?[a-z]+\)", written)
    flag, rest = (flags[0], written[flags.end() :]) if flags else ("", written)
    if flag:
        yield rest
    alternatives = rest.split("|")
    if len(alternatives) > 1:
        for at in range(len(alternatives)):
            yield flag + "|".join(alternatives[:at] + alternatives[at + 1 :])
    for optional in re.finditer(r"([^\\])\?", rest):
        before, behind = rest[: optional.start()], rest[optional.end() :]
        yield flag + before + optional[1] + behind
        yield flag + before + behind


# --- what rules do -------------------------------------------------------------------------------


def _rules(data):
    for table, rules in data["rules"].items():
        for at, rule in enumerate(rules):
            where, path = f"{table}/{rule['name']}", ("rules", table, at)
            yield where, "gone", path, GONE
            for key in (*GATES, *FLOWS, "log"):
                if key in rule:
                    yield where, f"without {key}", (*path, key), GONE
            for what, key, value in _altered(rule, data):
                yield where, what, (*path, key), value
            yield from _edits(rule, where, path)
            yield from _outputs(rule, where, path, data)


def _altered(rule, data):
    """Yield other values for the keys of a rule that hold one."""
    for other in {"message", "transaction", "dialog"} - {rule.get("scope", "message")}:
        if "scope" in rule:
            yield f"scope {other}", "scope", other
    sample = rule.get("sample")
    if sample is not None:
        keep = sample["keep"] if isinstance(sample, dict) else sample
        share = int(keep.removesuffix("%"))
        for other in (100, share - 1, share + 1):
            new = {**sample, "keep": f"{other}%"} if isinstance(sample, dict) else f"{other}%"
            yield f"sample {other}%", "sample", new
    limit = rule.get("limit")
    if limit is not None:
        whole = limit if isinstance(limit, dict) else {"rate": limit}
        rate, unit = whole["rate"].split("/")
        burst = whole.get("burst", int(rate))
        for other in (burst - 1, burst + 1):
            yield f"burst {other}", "limit", {**whole, "burst": other}
        yield "a tenth of its rate", "limit", {**whole, "rate": f"{int(rate) // 10}/{unit}"}
        over = "next" if whole.get("over", "drop") == "drop" else "drop"
        yield f"over {over}", "limit", {**whole, "over": over}
        if "per" in whole:
            yield "without per", "limit", _without(whole, "per")
    if "drop" in rule:
        yield "another reason", "drop", f"{rule['drop']}x"
    for key in ("goto", "call", "resume"):
        for other in data["rules"].keys() - {rule.get(key)}:
            if key in rule:
                yield f"{key} {other}", key, other
    if "log" in rule:
        log = rule["log"]
        text = f"x{log['text']}" if isinstance(log, dict) else f"x{log}"
        yield "another log", "log", {**log, "text": text} if isinstance(log, dict) else text


def _edits(rule, where, path):
    for name, value, place in flattened(rule.get("set", {}), (*path, "set")):
        yield where, f"without set.{name}", place, GONE
        other = value + 1 if isinstance(value, int) else f"x{value}"
        yield where, f"another set.{name}", place, other
    for at, name in enumerate(rule.get("unset", [])):
        yield where, f"without unset {name}", (*path, "unset", at), GONE


def _outputs(rule, where, path, data):
    for key, block in OUTPUTS.items():
        if key not in rule:
            continue
        yield where, f"without {key}", (*path, key), GONE
        named = rule[key] if isinstance(rule[key], list) else [rule[key]]
        for at, name in enumerate(named):
            rest = [*named[:at], *named[at + 1 :]]
            if rest:
                yield where, f"{key} without {name}", (*path, key), rest
            for other in data[block]:
                if isinstance(name, str) and other not in named:
                    new = [*named[:at], other, *named[at + 1 :]]
                    yield where, f"{key} {other} instead of {name}", (*path, key), new


# --- what rules refer to -------------------------------------------------------------------------


def _blocks(data):
    for name, table in data.get("tables", {}).items():
        if "miss" in table:
            yield f"table {name}", "without miss", ("tables", name, "miss"), GONE
    for name, written in data.get("maps", {}).items():
        yield from _map(name, written, data)
    for name, values in data.get("sets", {}).items():
        if isinstance(values, list):
            for what, other in _values("", values, data):
                if other is not GONE:
                    yield f"set {name}", what, ("sets", name), other
    for name, trace in data.get("traces", {}).items():
        for at, output in enumerate(trace["to"]):
            yield f"trace {name}", f"without {output}", ("traces", name, "to", at), GONE


def _map(name, written, data):
    where, path = f"map {name}", ("maps", name)
    known = {*data.get("destinations", ()), *data.get("stores", ())}
    if "default" in written:
        yield where, "without default", (*path, "default"), GONE
        for other in _known(written["default"], known):
            yield where, f"default {other}", (*path, "default"), other
    for key, value in written["entries"].items():
        place = (*path, "entries")
        yield where, f"without {key}", (*place, key), GONE
        for other in _known(value, known):
            yield where, f"{key} is {other}", (*place, key), other
        for other in _scalars("", int(key) if key.isdecimal() else key):
            if str(other) not in written["entries"]:
                new = renamed(written["entries"], key, str(other))
                yield where, f"{other} instead of {key}", place, new


def _known(value, names):
    if isinstance(value, str):
        yield from sorted(names - {value})
    yield f"{value}x" if isinstance(value, str) else value + 1


def _set_files(data, files):
    """Yield what becomes of files of sets: a line less, or another."""
    for name, written in data.get("sets", {}).items():
        if not isinstance(written, dict):
            continue
        lines = files[written["file"]].splitlines()
        for at, line in enumerate(lines):
            value = line.partition("#")[0].strip()
            for other in ("", *(_scalars("", value) if value else ())):
                text = "\n".join([*lines[:at], other, *lines[at + 1 :]])
                what = f"{other} instead of {value}" if other else f"without {value}"
                if value:
                    yield f"set {name}: {what}", {**files, written["file"]: text}
