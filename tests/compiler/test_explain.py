"""Which clause failed, which fields decided, and what would turn a condition over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import matches, packets, program, tables

from hepsw.compiler.explain import (
    clauses,
    deciding,
    failing,
    fields_of,
    flips,
    judged,
    reading_words,
    there,
)
from hepsw.compiler.predicates import predicate
from hepsw.fields import CATALOGUE
from hepsw.hep import build
from hepsw.view import Peer, View

PEER = Peer(bytes([192, 0, 2, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")
DOCUMENT = {
    "destinations": {"a": "udp://192.0.2.1", "b": "udp://192.0.2.2"},
    "sets": {"some": ["10.0.0.0/24", "2001:db8::/32"]},
    "matchers": {"known": {"capture_id": [7, 2001], "not": {"vlan": 5}}},
}


def condition(match):
    """Return what a match block means."""
    rules = {"main": [{"name": "r", "match": match, "relay": ["a", "b"]}]}
    return program({**DOCUMENT, "rules": rules}).trees["main"].branches[0].rule.condition


def view(**chunks):
    """Return the view of a packet."""
    return View(build(**chunks), PEER, 0)


def failed(match, seen):
    """Return the clauses of a match block that a view does not meet."""
    whole = condition(match)
    return failing(clauses(whole, predicate(whole)), seen)


@given(matches(), st.lists(packets(), min_size=2, max_size=6))
def test_what_decides_decides(match, several):
    """What is judged is what the compiled code says; packets alike in those fields agree in it."""
    whole = condition(match)
    holds = predicate(whole)
    views = [View(packet, PEER, 0) for packet in several]
    for one in views:
        found = judged(whole, one)
        assert found.holds == holds(one)
        assert found.fields.keys() == deciding(whole, one).keys()
        assert found.fields.keys() <= fields_of(whole).keys()
        for other in views:
            if all(field.read(one) == field.read(other) for field in found.fields.values()):
                assert holds(other) == found.holds


@given(matches(), packets())
def test_clauses_make_the_condition(match, packet):
    """A condition holds just where none of its clauses fails."""
    whole = condition(match)
    seen = View(packet, PEER, 0)
    assert (failing(clauses(whole, predicate(whole)), seen) == []) == predicate(whole)(seen)


@given(tables(), packets())
def test_changes_are_bounded(table, packet):
    """A few changes of single fields are thought of, whatever the condition."""
    made = program({**DOCUMENT, "rules": {"main": table}}).trees["main"]
    for branch in made.branches:
        found = flips(branch.rule.condition, View(packet, PEER, 0))
        assert len(found) <= 8
        assert all(not flip.field.made_of for flip in found)


def test_failing():
    """The clauses at fault come in the order in which they were written."""
    match = {"src_port": 5060, "vlan": 5, "all": [{"capture_id": 7}, {"node_name": "pbx"}]}
    seen = view(src_port=5060, vlan=4, capture_id=7)
    assert [clause.field.name for clause in failed(match, seen)] == ["vlan", "node_name"]
    assert failed({}, seen) == []


@pytest.mark.parametrize(
    ("match", "fields"),
    [
        ({"vlan": 1, "capture_id": 1}, {"vlan"}),
        ({"vlan": 4, "capture_id": 7}, {"vlan", "capture_id"}),
        ({"any": [{"vlan": 4}, {"capture_id": 7}]}, {"vlan"}),
        ({"any": [{"vlan": 1}, {"capture_id": 1}]}, {"vlan", "capture_id"}),
        ({"any": [{"vlan": 4, "src_port": 5060}, {"capture_id": 7}]}, {"capture_id"}),
        ({"not": {"vlan": 4, "capture_id": 1}}, {"capture_id"}),
        ({"not": {"any": [{"vlan": 4}, {"capture_id": 1}]}}, {"vlan"}),
        ({"node_name": {"exists": False}}, {"node_name"}),
        ({"node_name": {"not": "x"}}, {"node_name"}),
    ],
)
def test_deciding(match, fields):
    """The fewest fields are named that suffice."""
    assert deciding(condition(match), view(vlan=4, capture_id=7, src_port=5060)).keys() == fields


def test_there():
    """What a packet has is written as it is matched; of `ip` and `port`, both ends."""
    seen = view(
        src_ip="203.0.113.9", src_port=5060, node_name="a\n", proto_type=5, auth_key="s3cret"
    )
    words = there([CATALOGUE["ip"], CATALOGUE["src_ip"], CATALOGUE["node_name"]], seen)
    assert words == 'src_ip is 203.0.113.9, dst_ip missing, node_name is "a\\n"'
    assert there([CATALOGUE["proto_type"]], seen) == "proto_type is RTCP"
    assert there([CATALOGUE["sip.method"]], seen) == "sip.method missing (not read as SIP)"
    assert there([CATALOGUE["auth_key"]], seen) == "auth_key is ***"


def test_many_values():
    """Of many values a few are written."""
    port = CATALOGUE["port"]
    assert reading_words(port, (1, 2)) == "1, 2"
    assert reading_words(port, tuple(range(1, 11))) == "1, 2, 3, 4, 5, 6, 7, 8, … and 2 more"
    assert reading_words(port, None) == "missing"


TEST_NET = bytes([192, 0, 2, 1])
Z = [("node_name", b"z")]


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ({"vlan": 9}, [("vlan", 9)]),
        ({"vlan": [8, 9, 10]}, [("vlan", 8), ("vlan", 9)]),
        ({"vlan": 4}, [("vlan", 5), ("vlan", 3), ("vlan", None)]),
        ({"vlan": "0-65535"}, [("vlan", None)]),
        ({"vlan": {"not": 4}}, [("vlan", 5), ("vlan", 3)]),
        ({"vlan": {"not": 9}}, [("vlan", 9), ("vlan", None)]),
        ({"vlan": {"exists": False}}, [("vlan", None)]),
        ({"node_name": {"exists": True}}, [("node_name", b""), ("node_name", b"-")]),
        ({"src_port": 1, "dst_port": 1}, []),
        ({"any": [{"vlan": 9}, {"capture_id": 1}]}, [("vlan", 9), ("capture_id", 1)]),
        ({"any": [{"vlan": 4}, {"capture_id": 7}]}, []),
        ({"not": {"vlan": 4, "capture_id": 1}}, [("capture_id", 1)]),
        ({"port": 1}, [("src_port", 1), ("dst_port", 1)]),
        ({"port": 5060}, [("src_port", 5061), ("src_port", 5059), ("src_port", None)]),
        ({"port": {"not": 5060}}, [("src_port", 5061), ("src_port", 5059)]),
        ({"port": {"exists": False}}, [("src_port", None)]),
        ({"ip": {"not": "10.0.0.1"}}, [("src_ip", TEST_NET), ("src_ip", b"\xc6\x33\x64\1")]),
        ({"peer_transport": "tcp"}, [("peer_transport", b"tcp")]),
        ({"proto_type": {"not": "SIP"}}, [("proto_type", 5), ("proto_type", 100)]),
        (
            {"node_name": {"prefix": "a", "suffix": "z"}},
            [("node_name", b"az")],
        ),
        ({"node_name": {"re": "[0-9]+x"}}, []),
        ({"node_name": [{"re": "(?i)^abc"}, {"suffix": "z"}]}, [*Z, ("node_name", b"abc")]),
    ],
)
def test_flips(match, found):
    """Values are made of the tests themselves; where several fields would have to change, none."""
    seen = view(vlan=4, capture_id=7, src_port=5060, proto_type=1)
    assert [(field.name, reading) for field, reading in flips(condition(match), seen)] == found


def test_flips_keep_the_family():
    """An address of the packet's own family comes first."""
    match = {"src_ip": ["10.0.0.0/8", "2001:db8::/32"]}
    first = flips(condition(match), view(src_ip="2001:db9::1"))[0]
    assert first.reading == b"\x20\x01\x0d\xb8" + bytes(12)
