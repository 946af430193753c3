"""Random documents and traffic try what they are meant to try; else all agreement is worthless."""

import random as randomness
import re
from collections import Counter

import pytest
from calls import any_traffic
from documents import READING_MAPS, READING_MATCHERS, TABLES, any_document
from oracle import Oracle
from reducing import reduced

DOCUMENTS = 250
HISTORIES = 4
"""Of each document; an oracle judges one history and begins anew with the next."""

SHARES = {
    "matched": 70,
    "matched thrice": 8,
    "routed": 45,
    "missed": 10,
    "dropped": 4,
    "ended": 3,
    "held by dialog": 0.6,
    "held by transaction": 0.15,
    "forgotten": 0.8,
    "not sampled": 4,
    "duplicate": 1,
    "met again": 0.05,
    "over-limit": 1.5,
    "over, next": 1,
    "came back": 4,
    "resumed": 4,
    "edited": 15,
    "set nothing": 5,
    "outputs differ": 2,
    "several outputs": 20,
    "lines": 12,
    "traces": 6,
    "counts": 15,
    "observed": 6,
}
"""At least so many of a hundred packets; about half of what there are."""


def told(outcome):
    """Return what an outcome is an example of."""
    yield from outcome.notes
    yield outcome.fate.split()[0]
    facts = {
        "matched": outcome.path,
        "matched thrice": len(outcome.path) > 2,
        "several outputs": len(outcome.outputs) > 1,
        "outputs differ": len({octets for _, octets in outcome.outputs}) > 1,
        "lines": outcome.lines,
        "traces": outcome.traces,
        "counts": outcome.counts,
        "observed": outcome.observed,
    }
    yield from (name for name, holds in facts.items() if holds)


def test_everything_is_tried():
    """Each thing that rules do happens to a fair share of the packets."""
    found = Counter()
    packets = 0
    for seed in range(DOCUMENTS):
        random = randomness.Random(seed)
        document = any_document(random)
        for _ in range(HISTORIES):
            judge = Oracle(document)
            for sent in any_traffic(random):
                found.update(told(judge.judge(*sent)))
                packets += 1
    shares = {name: found[name] * 100 / packets for name in SHARES}
    assert {name: share for name, share in shares.items() if share < SHARES[name]} == {}


def test_seeds_make_documents():
    """The same seed makes the same document and traffic; flow leads to later tables only."""
    once, again = (randomness.Random(7) for _ in range(2))
    assert any_document(once) == any_document(again)
    assert any_traffic(once) == any_traffic(again)
    for seed in range(DOCUMENTS):
        rules = any_document(randomness.Random(seed))["rules"]
        for table, written in rules.items():
            ways = [
                rule.keys() & {"goto", "call", "resume", "drop", "continue"} for rule in written
            ]
            assert max(map(len, ways)) <= 1
            targets = {rule.get(way) for rule in written for way in ("goto", "call", "resume")}
            assert targets - {None} <= set(TABLES[TABLES.index(table) + 1 :])


ASKS = {
    *("sip", "rtcp", "vq", "json", "call", "scope"),
    *(f"map.{name}" for name in READING_MAPS),
    *READING_MATCHERS,
}
"""What a table with `parse = "never"` may not name."""


def names(written):
    """Yield what a part of a rule names: keys, fields in templates, what keys like `by` name."""
    if isinstance(written, dict):
        for key, value in written.items():
            if key in {"is", "by", "per", "key", "map"}:
                for name in [value] if isinstance(value, str) else value:
                    yield from (name.split(".")[0], f"{key}.{name}")
            yield from (key, *names(value))
    elif isinstance(written, list):
        for item in written:
            yield from names(item)
    elif isinstance(written, str):
        for name in re.findall(r"\{([^{}|]+)", written):
            yield from (name, name.split(".")[0])


def test_silent_tables_ask_no_payload():
    """Nothing that `parse = "never"` forbids, nor in the tables that it calls."""
    silent = 0
    for seed in range(DOCUMENTS):
        document = any_document(randomness.Random(seed))
        settings = document["tables"]
        for table, rules in document["rules"].items():
            if settings.get(table, {}).get("parse") != "never":
                continue
            silent += 1
            assert not ASKS & set(names({"miss": settings[table].get("miss")}))
            for rule in rules:
                assert settings[rule.get("call", table)]["parse"] == "never"
                asked = {key: value for key, value in rule.items() if key not in {"call", "drop"}}
                assert not ASKS & set(names(asked)), rule
                assert "by" in rule.get("sample", {"by": ""})
    assert silent > DOCUMENTS // 4


# --- flaws that an engine might have -------------------------------------------------------------


class NeverHeld(Oracle):
    """Scope is not looked at."""

    def hold(self, *_):
        pass


class DialogForTransaction(Oracle):
    """All transactions of a call are one."""

    def transaction(self):
        return None if super().transaction() is None else 0


class NeverForgotten(Oracle):
    """Calls are kept for ever."""

    def call(self):
        return self.calls.get(self.seen.first("call"))


class NotKeptAlive(Oracle):
    """Only packets that match make a call last."""

    def keep_call(self, table):
        pass


class SampledByNameAlone(Oracle):
    """Rules of the same name in two tables keep the same calls."""

    def is_sampled(self, sample, path):
        return super().is_sampled(sample, path.split("/")[1])


class RetransmissionsAreCopies(Oracle):
    """The capture time is not looked at."""

    def is_copy(self, dedupe, path):
        before = dict(self.kept)
        return super().is_copy(dedupe, path) or any(
            key in before and self.now - before[key][2] <= 0.1 and before[key][3] != self.number
            for key in self.kept
            if self.kept[key][3] == self.number
        )


class CopiesAreRemembered(Oracle):
    """Every copy begins the window anew."""

    def is_copy(self, dedupe, path):
        found = super().is_copy(dedupe, path)
        if found:
            for key, (agent, time, when, number) in self.kept.items():
                if key[0] == path and when < self.now:
                    self.kept[key] = (agent, time, self.now, number)
        return found


class NeverRefilled(Oracle):
    """A bucket is empty for ever."""

    def has_token(self, limit, path):
        now, self.now = self.now, 0
        enough = super().has_token(limit, path)
        self.now = now
        return enough


class OneBucket(Oracle):
    """`per` is not looked at."""

    def has_token(self, limit, path):
        per = {"per"} & set(limit) if isinstance(limit, dict) else set()
        return super().has_token(
            {key: limit[key] for key in set(limit) - per} if per else limit, path
        )


class CallsNeverComeBack(Oracle):
    """A called table that decides nothing ends the walk."""

    def walk(self, table):
        self.depth = getattr(self, "depth", 0) + 1
        decided = super().walk(table)
        self.depth -= 1
        return {} if decided is None and self.depth else decided


class EditsUndoneAfterCall(Oracle):
    """A called table's edits are lost when it comes back."""

    def walk(self, table):
        before = self.seen
        decided = super().walk(table)
        if decided is None:
            self.seen = before
        return decided


class ResumedForOneTable(Oracle):
    """The second table after a resume reads no SIP."""

    def keep_call(self, table):
        super().keep_call(table)
        if self.seen.resumed:
            self.tables_resumed = getattr(self, "tables_resumed", 0) + 1
            if self.tables_resumed > 1:
                self.seen = type(self.seen)(self.seen.packet, self.seen.peer, self.document)


class LastOutputWins(Oracle):
    """An output gets the packet as the last rule that names it has it."""

    def take(self, names):
        taken = [output for output in self.outcome.outputs if output[0] not in names]
        self.outcome.outputs = taken + [(name, self.seen.packet.data) for name in names]


class OutputsAsTheyEnd(Oracle):
    """Outputs get the packet as it stands at the end."""

    def judge(self, packet, peer, now):
        outcome = super().judge(packet, peer, now)
        outcome.outputs = [(name, outcome.packet.data) for name, _ in outcome.outputs]
        return outcome


class TracesAlwaysOn(Oracle):
    """Traces cannot be switched off."""

    def names(self, written):
        self.document = {
            **self.document,
            "traces": {
                name: {"to": trace["to"]} for name, trace in self.document["traces"].items()
            },
        }
        return super().names(written)


class EditedOneByOne(Oracle):
    """A template sees what was set before it in its rule."""

    def edit(self, rule):
        for name, written in rule.get("set", {}).items():
            super().edit({"set": {name: written}})
        super().edit({"unset": rule.get("unset", [])})


def differ(flawed, document, traffic):
    """Whether a flaw shows."""
    judges = Oracle(document), flawed(document)
    return any(judges[0].judge(*sent) != judges[1].judge(*sent) for sent in traffic)


FLAWS = [flaw for flaw in Oracle.__subclasses__() if flaw.__module__ == __name__]


@pytest.mark.parametrize("flawed", FLAWS)
def test_flaws_show(flawed):
    """A switch with this flaw would be caught by a tenth of what CI tries."""
    packets = 0
    random = randomness.Random(1)
    while packets < 2000:
        document, traffic = any_document(random), any_traffic(random)
        packets += len(traffic)
        if differ(flawed, document, traffic):
            return
    pytest.fail(f"{flawed.__name__} was not noticed in {packets} packets")


def test_failures_are_reduced():
    """What is left fails still, and nothing of it can be left out."""
    random = randomness.Random(1)

    def fails(document, traffic):
        return differ(LastOutputWins, document, traffic)

    while not fails(document := any_document(random), traffic := any_traffic(random)):
        pass
    document, traffic = reduced(document, traffic, fails)
    assert fails(document, traffic)
    assert len(traffic) == 1
    # Two rules that name one output, or a rule and a miss; a third leads there, if they stand in
    # two tables.
    assert 1 <= len([rule for rules in document["rules"].values() for rule in rules]) <= 3
