"""The whole language: random documents through the switch and through the oracle.

Every packet is compared in full: the rules that it met, its outputs with their octets, its fate and
the lines that were written; every history in what it counted and observed.

How many cases that makes: hypothesis tries 200 documents, 2,000 with `HYPOTHESIS_PROFILE=proof`.
Each is sent histories of one to twelve packets until it was sent at least 100 (`PACKETS`), each
history to a switch that remembers nothing; so CI tries 20,000 pairs of tables and packet, proof
200,000. Every other document is compiled as if look-ups cost nothing, which makes deep trees of
small tables.

Documents come from seeds, because hypothesis draws too slowly for whole ones; what fails is made
small by `reducing`, and printed as TOML.
"""

import random as randomness
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
import tomli_w
from calls import any_traffic
from documents import any_document
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracle import Oracle
from reducing import reduced
from tables import program, splitting_everything

from hepsw.accounting import Ledger
from hepsw.switch import Switch

PACKETS = 100


@dataclass
class Met:
    """What became of one packet, whoever says so."""

    path: list
    outputs: list
    fate: list
    lines: list
    traces: list
    at_end: bytes | None


class Witness:
    """Told by the switch of every step."""

    def __init__(self):
        self.path = []
        self.traces = []
        self.at_end = None

    def entered(self, _table, _view):
        """What tables a packet enters shows in its path."""

    def matched(self, path, _view):
        """Note a rule."""
        self.path.append(path)

    def named(self, _output):
        """What an output gets is compared as it leaves."""

    def traced(self, trace):
        """Note a trace, once."""
        if trace not in self.traces:
            self.traces.append(trace)

    def ended(self, view, _branch, _reason):
        """Note the packet as it stands at the end."""
        self.at_end = view.packet.data


class Watched:
    """A switch, asked for one packet at a time."""

    def __init__(self, program):
        self.account = Ledger().switch
        self.switch = Switch(program, self.account)

    def judge(self, packet, peer, now):
        """Return what becomes of a packet."""
        before = fates(self.account)
        self.switch.witness = witness = Witness()
        effects = self.switch.receive([(packet, peer)], now)
        assert self.account.unaccounted == 0
        after = fates(self.account)
        return Met(
            path=witness.path,
            outputs=sorted(
                (name, view.packet.data)
                for name, views in effects.outputs.items()
                for view in views
            ),
            fate=[fate for fate in after if after[fate] != before.get(fate, 0)],
            lines=[tuple(line) for line in effects.lines],
            traces=witness.traces,
            at_end=packet.data if witness.at_end is None else witness.at_end,
        )


def fates(account):
    """Return the number of packets by fate."""
    dropped = {f"dropped {reason}": number for reason, number in account.dropped.items()}
    return {"routed": account.routed, "ended": account.ended, "missed": account.missed, **dropped}


def expected(outcome):
    """Return what the oracle says became of a packet."""
    return Met(
        path=outcome.path,
        outputs=sorted(outcome.outputs),
        fate=[outcome.fate],
        lines=outcome.lines,
        traces=outcome.traces,
        at_end=outcome.packet.data,
    )


def counted(account):
    """Return what the switch counted: by counter and labels, which stand in order."""
    return {
        (name, labels): number
        for name, counter in account.counters.items()
        for labels, number in counter.items()
    }


def observed(account):
    """Return how often and what the switch observed: number and sum by gauge and labels."""
    return {
        (name, labels): (histogram.count, pytest.approx(histogram.sum))
        for name, gauge in account.observed.items()
        for labels, histogram in gauge.items()
    }


class Told:
    """What the oracle says was counted and observed, added up."""

    def __init__(self):
        self.counted = {}
        self.observed = {}

    def add(self, outcome):
        """Add one packet's."""
        for key in outcome.counts:
            self.counted[key] = self.counted.get(key, 0) + 1
        for name, labels, number in outcome.observed:
            times, total = self.observed.get((name, labels), (0, 0))
            self.observed[name, labels] = (times + 1, total + number)


def difference(made, document, traffic):
    """Return how the switch and the oracle differ over one history; None where they agree."""
    watched, judge, told = Watched(made), Oracle(document), Told()
    for at, sent in enumerate(traffic):
        outcome = judge.judge(*sent)
        met = watched.judge(*sent)
        if met != expected(outcome):
            return f"packet {at}:\n  switch {met}\n  oracle {expected(outcome)}"
        told.add(outcome)
    for what, found, wanted in (
        ("counted", counted(watched.account), told.counted),
        ("observed", observed(watched.account), told.observed),
    ):
        if found != wanted:
            return f"{what}:\n  switch {found}\n  oracle {wanted}"
    return None


def fail(compiled, document, traffic):
    """Fail with the smallest case that still differs."""

    def differs(document, traffic):
        return difference(compiled(document), document, traffic) is not None

    small, few = reduced(document, traffic, differs)
    packets = "\n".join(
        f"  {sent.now:.5f} {sent.peer.listener} {sent.packet.data.hex()}" for sent in few
    )
    told = difference(compiled(small), small, few)
    pytest.fail(f"{told}\n\n{tomli_w.dumps(small)}\n{packets}", pytrace=False)


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, (1 << 32) - 1))
def test_the_switch_agrees_with_the_oracle(seed):
    """The same rules, outputs, octets, fates, lines, counts, for every packet of every history."""
    random = randomness.Random(seed)
    document = any_document(random)

    def compiled(document):
        with splitting_everything() if seed % 2 else nullcontext():
            return program(document)

    made = compiled(document)
    packets = 0
    while packets < PACKETS:
        traffic = any_traffic(random)
        packets += len(traffic)
        if difference(made, document, traffic) is not None:
            fail(compiled, document, traffic)
