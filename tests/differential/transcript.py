"""What a build says of a block of datagrams: everything, as plain values, and digests of that.

A process of its own for each build, because one process has only one (PYTHONPATH=tests:.):

    python tests/differential/transcript.py BUILD FIRST LAST       a line of digests for a block
    python tests/differential/transcript.py BUILD BLOCK --in-full  a line for each thing said

BUILD is `compiled`, `plain`, or `oracle`: then only what the switch does is told, by the oracle.
The two builds are told to differ by the environment (HEPSW_PURE); here it is checked.

Parts of a transcript: `read` is what decoding and every field say, `switch` what became of the
packets, `counted` what the switch kept count of, `stream` what the splitter made of the octets and
the loop guard of packets that come again.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import marshal
import random as randomness
import sys
import tomllib
from collections import Counter
from functools import lru_cache
from typing import Final

import tomli_w
from differential.frames import BLOCKS_A_POOL, block
from documents import Maker
from oracle import Oracle
from tables import program

from hepsw.accounting import Ledger
from hepsw.fields import CATALOGUE
from hepsw.hep import COMPILED, GENERIC, DecodeError, StreamSplitter, decode_datagram
from hepsw.payload import SipMessage
from hepsw.switch import Switch
from hepsw.switch.guard import Guard
from hepsw.view import View

DOCUMENTS: Final = 12
"""Configurations that take turns, block by block; the next pool of frames has others."""
RULES: Final = 24
"""Rules that each table of theirs has beyond what `documents` gives it: enough to be indexed."""
PARTS: Final = ("read", "switch", "counted", "stream")

ABOUT_PACKET: Final = (
    *dict.fromkeys(spec.name for spec in GENERIC),
    *("magic", "namespace", "header_length", "time_byte_order", "transport", "seconds"),
    *("microseconds", "time_us", "src_address", "dst_address", "payload_span", "has_repeats"),
)
ABOUT_SIP: Final = (
    *("kind", "verdict", "method", "status", "reason", "ruri", "ruri_user", "ruri_domain"),
    *("version", "start_line", "is_complete", "from_user", "from_domain", "from_tag", "to_user"),
    *("to_domain", "to_tag", "call_id", "cseq", "cseq_method", "via_branch", "contact_user"),
    *("user_agent", "content_type", "body", "message", "content_length", "available"),
)
HEADERS: Final = ("Via", "v", "X-Leg", "contact", "Record-Route")


def _orders(items: list[object]) -> list[list[object]]:
    """Return the items in sixteen orders."""
    return [randomness.Random(at).sample(items, len(items)) for at in range(16)]


PACKET_ORDERS: Final = _orders([name for name in ABOUT_PACKET if not name.endswith("_ip")])
FIELD_ORDERS: Final = _orders([field.read for field in CATALOGUE.values()])
SIP_ORDERS: Final = _orders(list(ABOUT_SIP))


def document_of(number: int) -> int:
    """Return the number of the configuration that a block is judged by."""
    return number // BLOCKS_A_POOL * DOCUMENTS + number % DOCUMENTS


@lru_cache(DOCUMENTS)
def document(number: int) -> dict:
    """Return a configuration: what `documents` makes, and so many rules that they are indexed."""
    maker = Maker(randomness.Random(f"document {number}"))
    made = maker.document()
    for table, rules in made["rules"].items():
        # In front, or the first rules would decide about all that comes.
        rules[:0] = [maker.rule(f"more{at}", table) for at in range(RULES)]
        for rule in rules:
            if not rule["match"] and not rule.get("continue"):
                rule["match"] = {"capture_id": 7}  # not everything is to end here
    return tomllib.loads(tomli_w.dumps(made))


@lru_cache(DOCUMENTS)
def _program(number: int) -> object:
    return program(document(number))


class Build:
    """What this build makes of one block."""

    def __init__(self, number: int, *, every: int) -> None:
        self.switch = Switch(_program(document_of(number)), Ledger().switch)
        self.account = self.switch.account
        self.every = every
        self.at = 0
        self.splitter = StreamSplitter()
        self.guard = Guard()

    def group(self, group):
        """Yield the parts of a group, by name."""
        decoded = [decode_datagram(datagram, gzip_frames=True) for datagram in group.datagrams]
        batch = [
            (packet, peer)
            for found, peer in zip(decoded, group.peers, strict=True)
            for packet in found
            if not isinstance(packet, DecodeError)
        ]
        before = fates(self.account)
        effects = self.switch.receive(batch, group.now)
        after = fates(self.account)
        # They are read once they were judged, as a sink does that renders rows.
        for found, peer in zip(decoded, group.peers, strict=True):
            yield "read", [self.read(frame, peer, group) for frame in found]
        yield (
            "switch",
            (
                sorted(
                    (name, [view.packet.data for view in views])
                    for name, views in effects.outputs.items()
                ),
                [(fate, after[fate] - before[fate]) for fate in sorted(after)],
                [tuple(line) for line in effects.lines],
            ),
        )
        yield "stream", self.stream(group)
        # The switch itself has no guard here: the oracle knows none.
        again = [packet for packet, _ in batch for _ in range(1 + group.order % 10)]
        yield "stream", sorted(self.guard.looping(again, group.now) or ())

    def read(self, found, peer, group):
        """Return what is said of a frame, malformed or not."""
        if isinstance(found, DecodeError):
            return found.reason, found.offset, str(found)
        self.at += 1
        return said(found, peer, group, in_full=not self.at % self.every)

    def stream(self, group):
        """Return what the splitter says of the same octets, in slices."""
        octets = b"".join(group.datagrams)
        told = []
        for size in [*group.cuts, len(octets)]:
            told.append(self.splitter.feed(octets[:size]))
            octets = octets[size:]
        error = self.splitter.error
        state = self.splitter.consumed, self.splitter.buffered, self.splitter.excerpt
        end = self.splitter.eof()
        if error is not None:
            self.splitter = StreamSplitter()
        return (
            told,
            state,
            *((wrong.reason, wrong.offset, str(wrong)) for wrong in (error, end) if wrong),
        )

    def counted(self):
        """Return what was counted by the end of the block, and what of it the oracle counts too."""
        account = self.account
        assert account.unaccounted == 0
        rules = {path: rule for path, rule in account.rules.items() if rule.packets}
        yield (
            "counted",
            (
                {path: rule.packets for path, rule in sorted(rules.items())},
                {
                    name: sorted(counter.items())
                    for name, counter in sorted(account.counters.items())
                },
                {
                    name: sorted((labels, seen.count) for labels, seen in gauge.items())
                    for name, gauge in sorted(account.observed.items())
                },
            ),
        )
        self.switch.measure()
        yield (
            "read",
            [
                (path, rule.octets, rule.last_us, told(rule.dropped), told(rule.edits_refused))
                for path, rule in sorted(rules.items())
            ],
        )
        yield (
            "read",
            [
                (name, labels, seen.sum, seen.last, seen.buckets)
                for name, gauge in sorted(account.observed.items())
                for labels, seen in sorted(gauge.items())
            ],
        )
        yield "read", (account.fan_out, account.calls, told(account.forgotten))


class Judge:
    """What the oracle makes of one block; it only knows what becomes of packets."""

    def __init__(self, number: int) -> None:
        self.oracle = Oracle(document(document_of(number)))
        self.fates = Counter(dict.fromkeys(("routed", "ended", "missed"), 0))
        self.rules, self.counters, self.observed = Counter(), Counter(), Counter()

    def group(self, group):
        """Yield the parts of a group that the oracle knows."""
        outputs, lines = {}, []
        before = self.fates.copy()
        for datagram, peer in zip(group.datagrams, group.peers, strict=True):
            for packet in decode_datagram(datagram, gzip_frames=True):
                if isinstance(packet, DecodeError):
                    continue
                outcome = self.oracle.judge(packet, peer, group.now)
                for name, octets in outcome.outputs:
                    outputs.setdefault(name, []).append(octets)
                lines += outcome.lines
                self.fates[outcome.fate] += 1
                self.rules.update(outcome.path)
                self.counters.update(outcome.counts)
                self.observed.update((name, labels) for name, labels, _ in outcome.observed)
        yield (
            "switch",
            (
                sorted(outputs.items()),
                [(fate, self.fates[fate] - before[fate]) for fate in sorted(self.fates)],
                lines,
            ),
        )

    def counted(self):
        """Yield what was counted by the end of the block."""
        yield (
            "counted",
            (dict(sorted(self.rules.items())), by_name(self.counters), by_name(self.observed)),
        )


def by_name(counted):
    """Return numbers by name and labels as accounts keep them."""
    found = {}
    for (name, labels), number in sorted(counted.items()):
        found.setdefault(name, []).append((labels, number))
    return found


def fates(account):
    """Return the number of packets by fate."""
    dropped = {f"dropped {reason}": number for reason, number in account.dropped.items()}
    plain = {"routed": account.routed, "ended": account.ended, "missed": account.missed}
    return Counter(plain | dropped)


def told(counter):
    """Return a counter as plain values."""
    return sorted((str(key), number) for key, number in counter.items())


def said(packet, peer, group, *, in_full):
    """Return what a packet says; in full, everything that can be asked of it."""
    view = View(packet, peer, int(group.now * 1_000_000))
    brief = (packet.version, packet.data, packet.warnings, packet.time_us, packet.proto_type)
    if not in_full:
        return (*brief, packet.payload)
    order = group.order
    return (
        *brief,
        [plain(getattr(packet, name)) for name in PACKET_ORDERS[order]],
        [read(view) for read in FIELD_ORDERS[order]],
        [(chunk.vendor_id, chunk.type_id, chunk.body) for chunk in packet.chunks()],
        sip_said(packet.payload or b"", order),
        packet.warnings,
    )


def sip_said(payload, order):
    """Return what a payload says as SIP, whether or not it is."""
    message = SipMessage(payload)
    values = [plain(getattr(message, name)) for name in SIP_ORDERS[order]]
    return values, [message.header(name) for name in HEADERS], [tuple(h) for h in message.headers]


def plain(value):
    """Return a value as one that can be written down."""
    return value if value is None or isinstance(value, (int, bytes, tuple)) else str(value)


def transcript(build, number, every):
    """Yield the parts of a block, by name, each with the datagrams that it is about."""
    made = Judge(number) if build == "oracle" else Build(number, every=every)
    for group in block(number):
        single = iter(group.datagrams)  # each is read on its own
        for part, value in made.group(group):
            yield part, value, [next(single)] if part == "read" else group.datagrams
    for part, value in made.counted():
        yield part, value, []


def main():
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("build", choices=["compiled", "plain", "oracle"])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, nargs="?")
    parser.add_argument("--every", type=int, default=1, help="packets of which one is read in full")
    parser.add_argument("--in-full", action="store_true")
    options = parser.parse_args()
    if options.build != "oracle" and COMPILED is not (options.build == "compiled"):
        parser.error(f"COMPILED is {COMPILED}")
    logging.disable()  # what fails inside the switch is a fate, and told as such
    for number in range(options.first, (options.last or options.first) + 1):
        digests = {part: hashlib.blake2b(digest_size=8) for part in PARTS}
        for part, value, datagrams in transcript(options.build, number, options.every):
            if options.in_full:
                shown = [part, repr(value), *(datagram.hex() for datagram in datagrams)]
                sys.stdout.write("\t".join(shown) + "\n")
            else:
                # Version 2 writes equal values alike, whoever else refers to them.
                digests[part].update(marshal.dumps(value, 2))
        if not options.in_full:
            told_of = [digests[part].hexdigest() for part in PARTS]
            sys.stdout.write(" ".join([str(number), *told_of]) + "\n")


if __name__ == "__main__":
    main()
