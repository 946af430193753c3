"""Rule tables: what 10, 100, 1,000 and 10,000 rules cost to compile and to walk.

The rules mix networks (IPv4 and IPv6, nested in each other), ports (one, a list, a range), capture
ids and agent names (whole or a prefix), one to three of them a rule. Each packet is made to satisfy
a rule drawn at random, so that matches lie all over the table; an earlier rule may take it all the
same.

    python bench/rules.py [--rules 10 100 1000 10000] [--packets 2000] [--rounds 15] [--seed 1]

compile s      process time from rules in memory to the tree, without reading TOML
memory MiB     what the tree holds; peak: at most during compilation (tracemalloc, a further run)
candidates     rules looked at until the first one matches, mean and highest
us/walk        process time to the first match, median of the rounds, and over the first table's
us/packet      the same for all of a packet but the sockets: decoding, the switch, its effects
linear us      a walk that reads the same table from top to bottom
lint s         process time to find what is odd about the table, with the steps it took

Then the largest table as files, each step once in a process of its own:

load s         from TOML to rules in memory, judged
lint s         what is odd about the rules
compile s      from rules in memory to what runs
explain ms     where one packet goes and why, mean
RSS MiB        resident memory when all that is held, and the most there was
"""

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any, Final

from hepsw.accounting import Ledger
from hepsw.compiler import Program, compile_program
from hepsw.compiler.lint import findings
from hepsw.compiler.reach import Reach
from hepsw.compiler.tree import Branch, Tree
from hepsw.config.conditions import All, Between, Condition, Equal, Has, Starts, Within
from hepsw.config.configuration import Configuration, Flow, Given, Rule, Table
from hepsw.config.load import load
from hepsw.config.writing import toml_text
from hepsw.fields import CATALOGUE
from hepsw.hep import Packet, build, decode
from hepsw.simulator.explain import Explainer
from hepsw.switch import Switch
from hepsw.view import Peer, View

MIB: Final = 1 << 20
BATCH: Final = 32
PEER: Final = Peer(bytes([192, 0, 2, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")
Walk = Callable[[View], Iterator[Branch]]
SITES: Final = 40  # agent names are site and number: "fra3-sbc17"
EXPLAINED: Final = 20


@dataclass(frozen=True)
class Sample:
    """One rule, and values of a packet that satisfies it."""

    condition: Condition
    match: dict[str, Any]
    """The condition as an operator writes it."""
    values: dict[str, Any]


def network(draw: random.Random, name: str) -> Sample:
    """A network under 10.0.0.0/8 or 2001:db8::/32: many lie in others."""
    kind: type[IPv4Network | IPv6Network]
    if draw.random() < 0.75:
        length = draw.choice([12, 16, 20, 24, 24, 24, 28, 32])
        kind, bits, base = IPv4Network, 32, (10 << 24) | draw.getrandbits(24)
    else:
        length = draw.choice([40, 48, 48, 56, 64, 64])
        kind, bits, base = IPv6Network, 128, (0x20010DB8 << 96) | draw.getrandbits(96)
    found = kind((base, length), strict=False)
    inside = int(found.network_address) + draw.getrandbits(bits - length)
    octets = bits // 8
    test = Within(found.network_address.packed, found.broadcast_address.packed)
    address = ip_address(inside.to_bytes(octets))
    return Sample(Has(CATALOGUE[name], test), {name: str(found)}, {name: str(address)})


def port(draw: random.Random, name: str) -> Sample:
    """One port, a few, or a range."""
    first = draw.choice([5060, 5061, 5080, draw.randrange(1024, 65000)])
    has = CATALOGUE[name]
    match draw.randrange(3):
        case 0:
            return Sample(Has(has, Equal(frozenset({first}))), {name: first}, {name: first})
        case 1:
            ports = [first, draw.randrange(1024, 65000), draw.randrange(1024, 65000)]
            condition = Has(has, Equal(frozenset(ports)))
            return Sample(condition, {name: ports}, {name: draw.choice(ports)})
        case _:
            last = min(first + draw.choice([1, 10, 100, 1000]), 65535)
            value = draw.randint(first, last)
            return Sample(Has(has, Between(first, last)), {name: f"{first}-{last}"}, {name: value})


def capture_id(draw: random.Random, most: int) -> Sample:
    """One capture id of as many as there are rules."""
    number = draw.randrange(1, most + 10)
    block = {"capture_id": number}
    return Sample(Has(CATALOGUE["capture_id"], Equal(frozenset({number}))), block, block)


def node_name(draw: random.Random, most: int) -> Sample:
    """An agent by its name, now and then all of one site."""
    site, number = f"site{draw.randrange(SITES)}-", f"sbc{draw.randrange(most)}"
    name = CATALOGUE["node_name"]
    values = {"node_name": site + number}
    if draw.random() < 0.1:
        prefix = site + number[:4]
        match = {"node_name": {"prefix": prefix}}
        return Sample(Has(name, Starts(prefix.encode())), match, values)
    return Sample(Has(name, Equal(frozenset({(site + number).encode()}))), values, values)


def sample(draw: random.Random, most: int) -> Sample:
    """One rule of one to three conditions."""
    makers = [
        lambda: network(draw, draw.choice(["src_ip", "src_ip", "dst_ip"])),
        lambda: port(draw, "dst_port"),
        lambda: capture_id(draw, most),
        lambda: node_name(draw, most),
    ]
    number = draw.choice([1, 2, 2, 3])
    parts = [maker() for maker in draw.sample(makers, number)]
    if number == 1:
        # By itself a port would take a share of all packets; the rules behind it would be idle.
        parts = [draw.choice([makers[0], makers[2], makers[3]])()]
    values = {name: value for part in parts for name, value in part.values.items()}
    match = {name: written for part in parts for name, written in part.match.items()}
    return Sample(All(tuple(part.condition for part in parts)), match, values)


def samples(number: int, seed: int) -> list[Sample]:
    """The rules of one table; the same for the same seed."""
    draw = random.Random(f"{seed}/{number}")
    return [sample(draw, number) for _ in range(number)]


def table(rules: list[Sample]) -> Table:
    """Return the table of some rules."""
    return Table(
        "main",
        tuple(
            Rule("main", f"r{at}", rule.condition, (), None, ("sink",), Flow.STOP)
            for at, rule in enumerate(rules)
        ),
        (),
    )


def views(rules: list[Sample], number: int, seed: int) -> list[View]:
    """Return packets, each satisfying a rule drawn at random."""
    draw = random.Random(seed)
    return [View(packet(draw, draw.choice(rules).values), PEER, 0) for _ in range(number)]


def packet(draw: random.Random, values: dict[str, Any]) -> Packet:
    """Return a packet with these values, and others where nothing was said."""
    other = {
        "src_ip": f"172.16.{draw.randrange(256)}.{draw.randrange(256)}",
        "dst_ip": f"172.17.{draw.randrange(256)}.{draw.randrange(256)}",
        "src_port": draw.randrange(1024, 65535),
        "dst_port": draw.randrange(1024, 65535),
        "ip_protocol": 17,
        "time": 1_700_000_000_000_000,
        "proto_type": 1,
        "capture_id": draw.randrange(1 << 31, 1 << 32),
        "node_name": f"other{draw.randrange(1000)}",
        "payload": b"OPTIONS sip:probe@192.0.2.1 SIP/2.0\r\n\r\n",
    }
    both = other | values
    if (":" in both["src_ip"]) is not (":" in both["dst_ip"]):
        # One family a packet: the end that no rule asked about follows.
        free = "dst_ip" if "src_ip" in values else "src_ip"
        both[free] = "2001:db8:ffff::1" if ":" in both["src_ip"] + both["dst_ip"] else other[free]
    return build(**both)


def compile_s(rules: Table) -> tuple[Tree, float]:
    gc.collect()
    started = time.process_time()
    tree = Tree(rules)
    return tree, time.process_time() - started


def lint_s(rules: Table) -> tuple[float, int, int]:
    """Return what the lint takes, in seconds and in steps, and how much it finds."""
    gc.collect()
    started = time.process_time()
    reach = Reach(rules, {rules.name: rules})
    found = len(list(reach.findings()))
    return time.process_time() - started, reach.steps, found


def memory(rules: Table) -> tuple[float, float]:
    """Return what a tree holds and what its making takes at most, in MiB."""
    gc.collect()
    tracemalloc.start()
    tree = Tree(rules)
    peak = tracemalloc.get_traced_memory()[1]
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del tree
    return held / MIB, peak / MIB


def looked_at(tree: Tree, packets: list[View]) -> list[int]:
    """Return for each packet how many rules stood before it was decided, that one included."""
    counts = []
    for view in packets:
        decided = next(tree.walk(view), None)
        last = len(tree) if decided is None else decided.position
        counts.append(len({at for at in tree.candidates(view) if at <= last}))
    return counts


def us_per_walk(walk: Walk, packets: list[View]) -> float:
    """Return the microseconds of a walk to its first match."""
    started = time.process_time()
    for view in packets:
        next(walk(view), None)
    return (time.process_time() - started) / len(packets) * 1e6


def linear(tree: Tree) -> Walk:
    """Return a walk that reads the table from top to bottom."""
    branches = tree.branches
    return lambda view: (branch for branch in branches if branch.holds(view))


def us_per_packet(tree: Tree, packets: list[View]) -> float:
    """Return the microseconds from octets to effects, in batches as the daemon makes them."""
    program = Program(
        trees={"main": tree},
        entries={"in": tree},
        pass_through=(),
        traces={},
        gated=(),
        dialog_ttl=0.0,
    )
    switch = Switch(program, Ledger().switch)
    frames = [view.packet.data for view in packets]
    started = time.process_time()
    for at in range(0, len(frames), BATCH):
        switch.receive([(decode(frame), PEER) for frame in frames[at : at + BATCH]], now=0.0)
    return (time.process_time() - started) / len(frames) * 1e6


# --- from files ----------------------------------------------------------------------------------


def document(rules: list[Sample]) -> dict[str, Any]:
    """Return a configuration with these rules."""
    return {
        "listen": [{"name": "in", "url": "udp://127.0.0.1"}],
        "destinations": {"sink": "udp://127.0.0.2"},
        "tables": {"main": {"miss": "drop"}},
        "rules": {
            "main": [
                {"name": f"r{at}", "match": rule.match, "relay": "sink"}
                for at, rule in enumerate(rules)
            ]
        },
    }


def measure_files(file: Path, number: int, seed: int) -> dict[str, float]:
    """Load, look over and compile a configuration; each step once, its results kept."""
    measured: dict[str, float] = {}
    loaded, measured["load s"] = timed(lambda: load(file))
    configuration = loaded.configuration
    assert configuration is not None, loaded.problems.sorted()
    found, measured["lint s"] = timed(lambda: list(findings(configuration)))
    program, measured["compile s"] = timed(lambda: compile_program(configuration))
    measured["findings"] = len(found)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    measured["RSS MiB"] = int(status["VmRSS"].split()[0]) / 1024
    measured["peak MiB"] = int(status["VmHWM"].split()[0]) / 1024
    measured["explain ms"] = explain_ms(configuration, program, samples(number, seed), seed)
    return measured


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a piece of work gives, and its process time."""
    gc.collect()
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def explain_ms(
    configuration: Configuration, program: Program, rules: list[Sample], seed: int
) -> float:
    """Return the milliseconds in which `hepsw explain` judges a packet, mean of a few."""
    explainer = Explainer(configuration, program)
    packets = [Given((), view.packet.data, None, 0.0) for view in views(rules, EXPLAINED, seed)]
    _, seconds = timed(lambda: [explainer.explain(given) for given in packets])
    return seconds / EXPLAINED * 1e3


def in_a_process(rules: list[Sample], seed: int) -> dict[str, float]:
    """Measure files in a process that holds nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "hepsw.toml")
        file.write_text(toml_text(document(rules)))
        run = subprocess.run(
            [sys.executable, __file__, "--files", file, f"--rules={len(rules)}", f"--seed={seed}"],
            check=True,
            capture_output=True,
        )
    measured: dict[str, float] = json.loads(run.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--packets", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)  # the process of its own
    chosen = parser.parse_args()
    if chosen.files:
        print(json.dumps(measure_files(chosen.files, chosen.rules[0], chosen.seed)))
        return
    print(
        f"{'rules':>7} {'compile s':>10} {'MiB':>6} {'peak':>6} {'candidates':>12} "
        f"{'us/walk':>8} {'x 10':>5} {'us/packet':>10} {'x 10':>5} {'linear us':>10}  split by"
    )
    trees = []
    for number in chosen.rules:
        rules = samples(number, chosen.seed)
        rule_table = table(rules)
        tree, seconds = compile_s(rule_table)
        trees.append((tree, views(rules, chosen.packets, chosen.seed), seconds, memory(rule_table)))
    # In turns: all tables meet the same weather.
    walks: list[list[float]] = [[] for _ in trees]
    wholes: list[list[float]] = [[] for _ in trees]
    for _ in range(chosen.rounds):
        for at, (tree, packets, _, _) in enumerate(trees):
            walks[at].append(us_per_walk(tree.walk, packets))
            wholes[at].append(us_per_packet(tree, packets))
    for at, (tree, packets, seconds, (held, peak)) in enumerate(trees):
        counts = looked_at(tree, packets)
        walk, whole = statistics.median(walks[at]), statistics.median(wholes[at])
        print(
            f"{len(tree):7} {seconds:10.3f} {held:6.1f} {peak:6.1f} "
            f"{statistics.mean(counts):6.2f} {max(counts):5} "
            f"{walk:8.2f} {walk / statistics.median(walks[0]):5.2f} "
            f"{whole:10.2f} {whole / statistics.median(wholes[0]):5.2f} "
            f"{us_per_walk(linear(tree), packets[:100]):10.1f}  {' '.join(tree.fields) or '-'}"
        )
    most = max(chosen.rules)
    seconds, steps, found = lint_s(table(samples(most, chosen.seed)))
    print(f"lint s {seconds:.3f} for {most} rules: {steps} steps, {found} findings")
    files = in_a_process(samples(most, chosen.seed), chosen.seed)
    print(f"\n{most} rules from files, in a process of their own")
    print("  ".join(f"{name} {files[name]:.3f}" for name in ("load s", "lint s", "compile s")))
    print("  ".join(f"{name} {files[name]:.1f}" for name in ("RSS MiB", "peak MiB", "explain ms")))


if __name__ == "__main__":
    main()
