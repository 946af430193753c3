"""The compiled tables against the oracle, which reads them from top to bottom."""

import tempfile
from pathlib import Path

import oracle
from hypothesis import given, note
from hypothesis import strategies as st
from tables import compiled, matches, packets, tables

from hepsw.accounting import Ledger
from hepsw.hep import edit
from hepsw.switch import Switch
from hepsw.view import Peer, View

SETS = {"some": ["10.0.0.2", "2001:db8::/32"]}
MATCHERS = {"known": {"capture_id": [7, 2001]}}
PEER = Peer(bytes([10, 0, 0, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")
BASE = {
    "destinations": {"a": "udp://192.0.2.1", "b": "tcp://192.0.2.2"},
    "sets": SETS,
    "matchers": MATCHERS,
}
NOW = 1_700_000_100.0


def program(document):
    """Compile a document; every example has a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return compiled(Path(folder), {**BASE, **document})


@given(matches(), packets())
def test_a_match_block_means_what_it_says(block, packet):
    """A compiled condition and the plain reading of the TOML agree on every packet."""
    note(block)
    tree = program({"rules": {"main": [{"name": "r", "match": block}]}}).trees["main"]
    met = [branch.path for branch in tree.walk(View(packet, PEER, 0))]
    assert bool(met) is oracle.matches(block, packet, PEER, SETS, MATCHERS)


@given(tables(), st.lists(packets(), min_size=1, max_size=3))
def test_tree_agrees_with_table(rules, sent):
    """The tree meets the rules that reading the table top to bottom meets, in the same order."""
    tree = program({"rules": {"main": rules}}).trees["main"]
    for packet in sent:
        met = [branch.path.removeprefix("main/") for branch in tree.walk(View(packet, PEER, 0))]
        assert met == oracle.walk(rules, packet, PEER, SETS, MATCHERS)


@given(
    tables(targets=["second"]), tables(), st.booleans(), st.lists(packets(), min_size=1, max_size=3)
)
def test_fates_agree_with_the_oracle(main, second, has_miss, sent):
    """Edits, continue, goto, drop, miss: the same outputs, octets and fate."""
    document = {"rules": {"main": main, "second": second}}
    misses = {}
    if has_miss:
        document["tables"] = {"main": {"miss": {"relay": "b"}}}
        misses = {"main": ["b"]}
    ledger = Ledger()
    switch = Switch(program(document), ledger.switch)
    for packet in sent:
        before = {**vars_of(ledger.switch)}
        effects = switch.receive([(packet, PEER)], NOW)
        expected = oracle.judge(
            {"main": main, "second": second}, "main", packet, PEER, edits, SETS, MATCHERS, misses
        )
        outputs = [
            (name, view.packet.data) for name, views in effects.outputs.items() for view in views
        ]
        assert sorted(outputs) == sorted(expected.outputs)
        after = vars_of(ledger.switch)
        changed = [fate for fate, number in after.items() if number != before.get(fate, 0)]
        assert changed == [expected.fate]
        assert ledger.switch.unaccounted == 0


def vars_of(account):
    """Return the number of packets by fate."""
    dropped = {f"dropped {reason}": number for reason, number in account.dropped.items()}
    fates = {"routed": account.routed, "ended": account.ended, "missed": account.missed, **dropped}
    return {fate: number for fate, number in fates.items() if number}


def edits(rule, packet):
    """Make a rule's literal edits, one after the other."""
    for name, value in rule.get("set", {}).items():
        packet = edit(packet, {key(name): on_wire(name, value)}, int(NOW * 1_000_000))
    for name in oracle.listed(rule.get("unset", [])):
        packet = edit(packet, {key(name): None}, int(NOW * 1_000_000))
    return packet


def key(name):
    """Return what `edit` calls a field."""
    from hepsw.hep import ChunkKey

    return ChunkKey(*(int(part, 16) for part in name.split(":"))) if ":" in name else name


def on_wire(name, value):
    """Return a value as it stands in the packet."""
    import ipaddress

    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if name.endswith("_ip"):
        return ipaddress.ip_address(value).packed
    if name == "proto_type":
        return oracle.PROTO_TYPES[value]
    return value.encode() if isinstance(value, str) else value
