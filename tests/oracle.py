"""The slow, obvious evaluator: tables read from top to bottom, straight from the TOML.

It shares nothing with the configuration's readers, the compiler or the switch: it looks at each
rule as it is written, one key after the other, with the plainest code there is, and keeps what it
remembers between packets in dictionaries that are never cleaned. Where the fast code and this
differ, one of them is wrong.

`Oracle(document)` judges packets one by one, in the order in which they come; `walk` and `matches`
answer for one table and one block.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from slow_fields import Seen
from slow_match import matches as block_matches
from slow_templates import rendered, set_value

from hepsw.hep import ChunkKey, EditError, edit

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
DEDUPE_KEY = ["payload", "src_ip", "dst_ip", "src_port", "dst_port"]
LINE = 1024
"""Octets of a log line."""


@dataclass
class Outcome:
    """What became of a packet."""

    path: list[str] = field(default_factory=list)
    """`table/rule` of every rule that matched, in order."""
    outputs: list[tuple[str, bytes]] = field(default_factory=list)
    """Each output with the octets that it gets."""
    fate: str = ""
    """`routed`, `dropped REASON`, `ended` or `missed`."""
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    """Level, `table/rule` and text."""
    traces: list[str] = field(default_factory=list)
    """Traces that are switched on, in the order in which they were named."""
    counts: list[tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=list)
    """Name and labels of each counter that was raised by one."""
    observed: list[tuple[str, tuple[tuple[str, str], ...], float]] = field(default_factory=list)
    """Name, labels and number of each observation."""
    packet: object = None
    """As it stood at the end."""
    notes: Counter = field(default_factory=Counter)
    """What happened on the way that the path does not tell, so that tests can see it was tried."""


@dataclass
class Call:
    """What is remembered of a call."""

    last: float
    """When a packet of it last entered a table that holds a scoped rule."""
    dialogs: set = field(default_factory=set)
    """Rules that matched with scope `dialog`."""
    transactions: set = field(default_factory=set)
    """CSeq numbers with the rules that matched with scope `transaction`."""


class Oracle:
    """Judges packets by one document, and remembers what rules remember between packets."""

    def __init__(self, document):
        self.document = document
        self.ttl = seconds(document.get("switch", {}).get("dialog_ttl", "2h"))
        self.calls = {}
        self.kept = {}
        """By rule and key: agent, capture time, arrival and number of the packet last kept."""
        self.buckets = {}
        """By rule and value: tokens, and when they were counted."""
        self.number = 0

    def rules(self, table):
        """Return the rules of a table that are switched on."""
        rules = self.document.get("rules", {}).get(table, [])
        return [rule for rule in rules if rule.get("enabled", True)]

    def entry(self, peer):
        """Return the table that a listener's packets enter."""
        for listen in self.document.get("listen", []):
            if listen.get("name") == peer.listener:
                return listen.get("entry", "main")
        return "main"

    def judge(self, packet, peer, now):
        """Carry a packet through the tables and return what became of it.

        Args:
            packet: as it arrived.
            peer: who sent it.
            now: when it arrived, in seconds; never earlier than the packet before.
        """
        self.number += 1
        self.now = now
        self.outcome = outcome = Outcome()
        self.seen = Seen(packet, peer, self.document)
        if any(self.document.get("rules", {}).values()):
            decided = self.go_through(self.entry(peer))
        else:
            decided = {}  # no rules at all: everything goes everywhere
            self.take([*self.document.get("stores", {}), *self.document.get("destinations", {})])
        outcome.packet = self.seen.packet
        if outcome.outputs:
            outcome.fate = "routed"
        elif decided is None:
            outcome.fate = "missed"
        elif "drop" in decided:
            outcome.fate = f"dropped {decided['drop']}"
        else:
            outcome.fate = "ended"
        return outcome

    # --- tables ---

    def go_through(self, table):
        """Walk a table and those that it leads to; return the rule that decided, None without."""
        while True:
            decided = self.walk(table)
            if decided is None:
                miss = self.document.get("tables", {}).get(table, {}).get("miss", "drop")
                if miss != "drop":
                    self.take([*self.names(miss.get("store")), *self.names(miss.get("relay"))])
                return None
            if "goto" in decided:
                table = decided["goto"]
            elif "resume" in decided:
                table = decided["resume"]
                self.seen = replace(self.seen, resumed=True)
                self.outcome.notes["resumed"] += 1
            else:
                return decided

    def walk(self, table):
        """Try the rules of one table in order; return the one that decided, None without."""
        self.keep_call(table)
        for rule in self.rules(table):
            path = f"{table}/{rule['name']}"
            answer = self.is_met(rule, path)
            if answer == "no":
                continue
            self.outcome.path.append(path)
            if answer != "yes":
                self.outcome.notes[answer] += 1
                return {"drop": answer}
            self.carry_out(rule, path)
            if rule.get("continue"):
                continue
            if "call" in rule:
                decided = self.walk(rule["call"])
                if decided is not None:
                    return decided
                self.outcome.notes["came back"] += 1
                continue
            return rule
        return None

    # --- what comes before a rule is carried out, in this order ---

    def is_met(self, rule, path):
        """Return `yes`, `no`, or the reason for which a rule that matches drops the packet."""
        scope = rule.get("scope", "message")
        if not block_matches(rule.get("match", {}), self.seen):
            if not self.is_held(scope, path):
                return "no"
            self.outcome.notes[f"held by {scope}"] += 1
        if "sample" in rule and not self.is_sampled(rule["sample"], path):
            self.outcome.notes["not sampled"] += 1
            return "no"
        self.hold(scope, path)
        if "dedupe" in rule and self.is_copy(rule["dedupe"], path):
            return "duplicate"
        if "limit" in rule and not self.has_token(rule["limit"], path):
            limit = rule["limit"]
            if isinstance(limit, dict) and limit.get("over") == "next":
                self.outcome.notes["over, next"] += 1
                return "no"
            return "over-limit"
        return "yes"

    def call(self):
        """Return what is remembered of the packet's call, None where nothing is or no longer."""
        call = self.calls.get(self.seen.first("call"))
        if call is not None and self.now - call.last > self.ttl:
            self.outcome.notes["forgotten"] += 1
            return None
        return call

    def transaction(self):
        """Return the packet's CSeq number; only SIP with a Call-ID has transactions."""
        return self.seen.first("sip.cseq") if self.seen.first("sip.call_id") else None

    def keep_call(self, table):
        """Note that a packet of the call entered a table that holds a scoped rule."""
        scopes = [rule.get("scope", "message") for rule in self.rules(table)]
        call = self.call()
        if call is not None and set(scopes) - {"message"}:
            call.last = self.now

    def is_held(self, scope, path):
        """Whether a rule matched the packet's transaction or call before."""
        call = self.call()
        if call is None or scope == "message":
            return False
        if scope == "dialog":
            return path in call.dialogs
        return (self.transaction(), path) in call.transactions

    def hold(self, scope, path):
        """Remember that a rule matched, for the packets to come."""
        name = self.seen.first("call")
        number = self.transaction()
        if scope == "message" or name is None or (scope == "transaction" and number is None):
            return
        if self.call() is None:
            self.calls[name] = Call(self.now)
        call = self.calls[name]
        call.last = self.now
        if scope == "dialog":
            call.dialogs.add(path)
        else:
            call.transactions.add((number, path))

    def is_sampled(self, sample, path):
        """Whether the hash of the rule and of a field is below the share that is kept."""
        keep, by = sample, "call"
        if isinstance(sample, dict):
            keep, by = sample["keep"], sample.get("by", "call")
        share = float(keep.removesuffix("%")) / 100 if isinstance(keep, str) else keep
        value = self.seen.first(by)
        octets = self.seen.packet.data if value is None else octets_of(value)
        digest = hashlib.blake2b(path.encode() + b"\0" + octets, digest_size=8).digest()
        return int.from_bytes(digest) < share * 2**64

    def is_copy(self, dedupe, path):
        """Whether another agent, or the same one twice, reported this packet within the window."""
        seen = self.seen
        names = dedupe.get("key", DEDUPE_KEY)
        key = (path, *[tuple(map(octets_of, seen.values(name))) for name in listed(names)])
        agent = [seen.values(name) for name in ("peer_ip", "capture_id", "node_name")]
        time = seen.first("time")
        if key in self.kept:
            other, other_time, when, number = self.kept[key]
            within = self.now - when <= seconds(dedupe["window"])
            if number == self.number:
                # A packet that comes to the rule again, by another `call`, is no copy of itself.
                self.outcome.notes["met again"] += 1
            elif within and (agent != other or (time is not None and time == other_time)):
                return True  # of HEP 1, which has no time, one agent sends no copies
        self.kept[key] = (agent, time, self.now, self.number)
        return False

    def has_token(self, limit, path):
        """Take a token out of the rule's bucket, or out of the one of a field's value."""
        if isinstance(limit, str):
            limit = {"rate": limit}
        number, _, unit = limit["rate"].partition("/")
        rate = float(number) / SECONDS[unit]
        burst = limit.get("burst", max(1, rate))
        value = self.seen.first(limit["per"]) if "per" in limit else None
        key = (path, None if value is None else octets_of(value))
        tokens, when = self.buckets.get(key, (burst, self.now))
        tokens = min(burst, tokens + (self.now - when) * rate)
        enough = tokens >= 1
        self.buckets[key] = (tokens - 1 if enough else tokens, self.now)
        return enough

    # --- what a rule does, in this order ---

    def carry_out(self, rule, path):
        """Edit, log, count and take outputs as a rule asks for."""
        self.edit(rule)
        outcome, seen = self.outcome, self.seen
        if "log" in rule:
            log = rule["log"] if isinstance(rule["log"], dict) else {"text": rule["log"]}
            text = rendered(log["text"], seen)[:LINE].decode("utf-8", "backslashreplace")
            outcome.lines.append((log.get("level", "info"), path, text))
        for name, labels in rule.get("count", {}).items():
            outcome.counts.append((name, self.labels(labels)))
        for name, written in rule.get("observe", {}).items():
            self.observe(name, written)
        self.take(self.names(rule.get("store")))
        self.take(self.names(rule.get("relay")))
        for name in self.names(rule.get("trace")):
            trace = self.document["traces"][name]
            if trace.get("enabled", True):
                self.take(listed(trace["to"]))
                if name not in outcome.traces:
                    outcome.traces.append(name)

    def edit(self, rule):
        """Set and unset: all values are computed first, and those that can be made are."""
        changes = {}
        for name, written in rule.get("set", {}).items():
            value = set_value(name, written, self.seen)
            if value is None:
                self.outcome.notes["set nothing"] += 1
            else:
                changes[self.edit_key(name)] = value
        for name in listed(rule.get("unset")):
            changes[self.edit_key(name)] = None
        try:
            self.change(changes)
        except EditError:
            # Together they cannot be made; one by one, those that can are.
            for name, value in changes.items():
                try:
                    self.change({name: value})
                except EditError:
                    self.outcome.notes["set nothing"] += 1

    def change(self, changes):
        """Edit the packet from here on."""
        packet = edit(self.seen.packet, changes, int(self.now * 1_000_000))
        if packet != self.seen.packet:
            self.outcome.notes["edited"] += 1
        self.seen = self.seen.edited(packet)

    def edit_key(self, name):
        """Return what `hepsw.hep.edit` calls a field."""
        chunk = self.document.get("chunks", {}).get(name)
        if chunk is not None:
            return ChunkKey(chunk["vendor"], chunk["id"])
        return ChunkKey(*(int(part, 0) for part in name.split(":"))) if ":" in name else name

    def labels(self, written):
        """Return labels in the order of their names, each with its text."""
        return tuple(
            (label, rendered(template, self.seen).decode("utf-8", "backslashreplace"))
            for label, template in sorted(written.items())
        )

    def observe(self, name, written):
        """Note a number found in the packet; what is no number is not noted."""
        labels = {label: text for label, text in written.items() if label != "value"}
        try:
            number = float(rendered(written["value"], self.seen))
        except ValueError:
            return
        self.outcome.observed.append((name, self.labels(labels), number))

    def names(self, written):
        """Return the names that `store`, `relay` or `trace` asks for."""
        if isinstance(written, dict):
            return [value.decode() for value in self.seen.values(f"map.{written['map']}")]
        return listed(written)

    def take(self, names):
        """Give the packet as it stands to outputs, each of which gets it once."""
        for name in names:
            if name not in [taken for taken, _ in self.outcome.outputs]:
                self.outcome.outputs.append((name, self.seen.packet.data))


def listed(written):
    """Return a name, a list of names or nothing as a list."""
    if written is None:
        return []
    return written if isinstance(written, list) else [written]


def seconds(written):
    """Return a duration in seconds."""
    unit = written.lstrip("0123456789.")
    return float(written.removesuffix(unit)) * SECONDS[unit]


def octets_of(value):
    """Return a value as it is hashed: numbers in decimal, addresses packed, texts as they are."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (IPv4Address, IPv6Address)):
        return value.packed
    return str(int(value) if value == int(value) else value).encode()


def matches(block, packet, peer, sets=None, matchers=None):
    """Whether every key of a match block holds."""
    return block_matches(
        block, Seen(packet, peer, {"sets": sets or {}, "matchers": matchers or {}})
    )


def walk(rules, packet, peer, sets=None, matchers=None):
    """Return the names of the rules of one table that match, in order, without carrying any out."""
    return [
        rule["name"]
        for rule in rules
        if rule.get("enabled", True)
        and matches(rule.get("match", {}), packet, peer, sets, matchers)
    ]
