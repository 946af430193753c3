"""The compiled tables against the oracle, which reads them from top to bottom."""

import random as randomness

import oracle
import pytest
import tables
from hypothesis import event, given, note
from hypothesis import strategies as st
from tables import any_packet, crowded_tables, matches, packets, splitting_everything

from bench import rules as bench
from hepsw.accounting import Ledger
from hepsw.compiler.forest import Fork
from hepsw.compiler.grow import PLACES, PLACES_PER_RULE, SMALL
from hepsw.compiler.tree import Tree
from hepsw.config.conditions import (
    All,
    Between,
    Contains,
    Equal,
    Has,
    Within,
)
from hepsw.config.configuration import Flow, Rule, Table
from hepsw.fields import CATALOGUE
from hepsw.hep import build
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
PACKETS_A_TABLE = 25
"""With 200 tables, 5,000 cases."""


def program(document):
    """Compile a document with the destinations, sets and matchers that all of them name."""
    return tables.program({**BASE, **document})


@given(matches(), packets())
def test_a_match_block_means_what_it_says(block, packet):
    """A compiled condition and the plain reading of the TOML agree on every packet."""
    note(block)
    tree = program({"rules": {"main": [{"name": "r", "match": block}]}}).trees["main"]
    met = [branch.path for branch in tree.walk(View(packet, PEER, 0))]
    assert bool(met) is oracle.matches(block, packet, PEER, SETS, MATCHERS)


@given(tables.tables(), st.lists(packets(), min_size=1, max_size=3))
def test_tree_agrees_with_table(rules, sent):
    """The tree meets the rules that reading the table top to bottom meets, in the same order."""
    tree = program({"rules": {"main": rules}}).trees["main"]
    for packet in sent:
        met = [branch.path.removeprefix("main/") for branch in tree.walk(View(packet, PEER, 0))]
        assert met == oracle.walk(rules, packet, PEER, SETS, MATCHERS)


@given(
    tables.tables(targets=["second"]),
    tables.tables(),
    st.booleans(),
    st.lists(packets(), min_size=1, max_size=3),
)
def test_fates_agree_with_the_oracle(main, second, has_miss, sent):
    """Edits, continue, goto, drop, miss: the same outputs, octets and fate."""
    assert_same_fates(main, second, has_miss, sent)


@given(crowded_tables(), st.randoms(use_true_random=True), st.integers(0, 60))
def test_large_tree_agrees_with_table(rules, random, start):
    """A table that is split by its fields meets the same rules, from any position on."""
    with splitting_everything():
        tree = program({"rules": {"main": rules}}).trees["main"]
    event("split" if tree.fields else "listed")
    for _ in range(PACKETS_A_TABLE):
        packet = any_packet(random)
        note(packet)
        view = View(packet, PEER, 0)
        expected = oracle.walk(rules, packet, PEER, SETS, MATCHERS)
        met = [branch.path.removeprefix("main/") for branch in tree.walk(view)]
        assert met == expected
        later = [branch.position for branch in tree.walk(view, start)]
        assert later == [at for name in expected if (at := int(name.removeprefix("r"))) >= start]


@given(
    crowded_tables(targets=["second"], most=24), tables.tables(), st.randoms(use_true_random=True)
)
def test_fates_of_large_tables_agree_with_the_oracle(main, second, random):
    """A rule behind an edit is found by what the edit made of the packet."""
    with splitting_everything():
        assert_same_fates(main, second, False, [any_packet(random) for _ in range(5)])


def table(conditions):
    """Return a table with a rule for each condition."""
    rules = [
        Rule("main", f"r{at}", condition, (), None, (), Flow.STOP)
        for at, condition in enumerate(conditions)
    ]
    return Table("main", tuple(rules), ())


def has(name, test):
    """Return a condition on a built-in field."""
    return Has(CATALOGUE[name], test)


def by_hand(tree, view):
    """Return the positions that reading the table from top to bottom meets."""
    return [branch.position for branch in tree.branches if branch.holds(view)]


def positions(tree, view, start=0):
    """Return the positions that a walk meets."""
    return [branch.position for branch in tree.walk(view, start)]


@pytest.fixture(scope="module")
def ten_thousand():
    """Mixed networks, ports, capture ids and agent names, and packets that satisfy some rule."""
    rules = bench.samples(10_000, seed=7)
    return Tree(bench.table(rules)), bench.views(rules, 500, seed=7)


def test_few_of_many_rules_are_tested(ten_thousand):
    """Of 10,000 rules a packet meets a handful before one matches, and not many more after it."""
    tree, views = ten_thousand
    before = bench.looked_at(tree, views)
    assert sum(before) / len(before) < 3
    assert max(before) <= 3 * SMALL
    assert max(len(list(tree.candidates(view))) for view in views) <= 6 * SMALL


def test_many_rules_meet_what_a_linear_scan_meets(ten_thousand):
    """Every packet meets the same rules in the same order as without indexes."""
    tree, views = ten_thousand
    assert len(tree.fields) >= 4
    for view in views[:25]:
        assert positions(tree, view) == by_hand(tree, view)


def test_small_table_has_no_indexes():
    """A few rules are tried one by one."""
    tree = Tree(table([has("capture_id", Equal(frozenset({n}))) for n in range(SMALL)]))
    assert not tree.fields
    assert positions(tree, View(build(capture_id=3), PEER, 0)) == [3]
    assert list(tree.candidates(View(build(capture_id=3), PEER, 0), 5)) == [5, 6, 7]


def test_fields_are_split_one_below_the_other():
    """Rules that two fields separate only together are found by both."""
    tree = Tree(
        table(
            All(
                (
                    has("capture_id", Equal(frozenset({number % 50}))),
                    has("vlan", Equal(frozenset({number // 50}))),
                )
            )
            for number in range(2500)
        )
    )
    assert set(tree.fields) == {"capture_id", "vlan"}
    view = View(build(capture_id=7, vlan=31), PEER, 0)
    assert list(tree.candidates(view)) == [31 * 50 + 7]
    assert positions(tree, view) == [31 * 50 + 7]
    assert positions(tree, View(build(capture_id=7), PEER, 0)) == []


def test_a_rule_is_met_once():
    """Both ends of a packet lead to the same rule, and it counts once."""
    tree = Tree(table([has("port", Between(number, number + 100)) for number in range(100)]))
    assert tree.fields == ("port",)
    view = View(build(src_port=50, dst_port=60), PEER, 0)
    assert positions(tree, view) == list(range(61))
    assert positions(tree, view, 40) == list(range(40, 61))


def test_rules_without_an_index_take_their_turn():
    """What no index can hold is tried in file order, between the others."""
    conditions = [has("payload", Contains(str(number).encode())) for number in range(300)]
    conditions += [has("capture_id", Equal(frozenset({number}))) for number in range(300)]
    conditions.insert(2, has("capture_id", Equal(frozenset({7}))))
    tree = Tree(table(conditions))
    assert tree.fields == ("capture_id",)
    view = View(build(capture_id=7, payload=b"none"), PEER, 0)
    assert next(tree.walk(view)).position == 2
    assert positions(tree, view) == [2, 308]
    assert positions(tree, view, 3) == [308]


def places(node):
    """Count the rules noted below a node, as often as they are stored."""
    seen = {}

    def look(node):
        if id(node) in seen:
            return
        # A leaf of one rule is that rule.
        seen[id(node)] = len(node) if isinstance(node, tuple) else not isinstance(node, Fork)
        if isinstance(node, Fork):
            for inner in (*node.leaves, *node.forks):
                look(inner)
            for index in node.indexes:
                for inner in index.points.values():
                    look(inner)
                for ranges in index.ranges.values():
                    for inner in ranges.nodes:
                        look(inner)

    look(node)
    return sum(seen.values())


def lists_within_lists(random):
    """Rules that name two long lists each."""
    return All(
        tuple(
            has(name, Equal(frozenset(random.sample(range(200), 60))))
            for name in ("capture_id", "vlan", "src_port")
        )
    )


def nested_networks(random):
    """Networks of any size around one address: all overlap."""
    length = random.randrange(1, 33)
    first = (10 << 24) >> (32 - length) << (32 - length)
    last = first | ((1 << (32 - length)) - 1)
    return has("src_ip", Within(first.to_bytes(4), last.to_bytes(4)))


def wide_ranges(random):
    """Ranges that overlap in every way."""
    low, high = sorted(random.sample(range(65536), 2))
    return has("src_port", Between(low, high))


def one_list_for_all(random):
    """The same thousand addresses, and one more."""
    shared = [number.to_bytes(4) for number in range(1000)]
    return has("src_ip", Equal(frozenset([*shared, random.randbytes(4)])))


@pytest.mark.parametrize(
    "condition", [lists_within_lists, nested_networks, wide_ranges, one_list_for_all]
)
def test_memory_is_bounded(condition):
    """Rules that overlap everywhere are not copied without end, and are found all the same."""
    random = randomness.Random(1)
    tree = Tree(table([condition(random) for _ in range(2000)]))
    assert places(tree._root) <= PLACES_PER_RULE * len(tree) + PLACES
    for _ in range(5):
        packet = build(
            src_ip=random.choice(["10.0.0.0", "10.1.2.3", "0.0.1.1", "99.9.9.9"]),
            src_port=random.randrange(300),
            capture_id=random.randrange(200),
            vlan=random.randrange(200),
        )
        view = View(packet, PEER, 0)
        assert positions(tree, view) == by_hand(tree, view)


def assert_same_fates(main, second, has_miss, sent):
    """Send packets through the switch and through the oracle."""
    document = {"rules": {"main": main, "second": second}}
    if has_miss:
        document["tables"] = {"main": {"miss": {"relay": "b"}}}
    ledger = Ledger()
    switch = Switch(program(document), ledger.switch)
    judge = oracle.Oracle({**BASE, **document})
    for packet in sent:
        before = {**vars_of(ledger.switch)}
        effects = switch.receive([(packet, PEER)], NOW)
        expected = judge.judge(packet, PEER, NOW)
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


def test_a_rule_of_a_thousand_conditions_on_an_indexed_field():
    """What is left to test of a rule that was found may be long."""
    rules = [has("src_port", Equal(frozenset({number}))) for number in range(40)]
    parts = tuple(has("src_port", Between(0, 60_000 - number)) for number in range(1500))
    tree = Tree(table([*rules, All((has("src_port", Between(100, 60_000)), *parts))]))
    assert tree.fields
    assert [branch.position for branch in tree.walk(View(build(src_port=58_501), PEER, 0))] == [40]
    assert not list(tree.walk(View(build(src_port=58_502), PEER, 0)))
