"""Conditions and rules written back in the language's words."""

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from tables import configured, matches

from hepsw.config.conditions import (
    ALWAYS,
    All,
    Between,
    Contains,
    Equal,
    Exists,
    Has,
    Negation,
    OneOf,
    Search,
    Some,
    Starts,
)
from hepsw.config.configuration import (
    Count,
    Dedupe,
    Edit,
    Flow,
    Limit,
    Observe,
    Rule,
    RuleLog,
    Sample,
    Scope,
)
from hepsw.config.rule_words import flow_words, output_words, rule_words
from hepsw.config.template import parse
from hepsw.config.words import MOST_PARTS, words
from hepsw.config.words import test_words as words_of_test
from hepsw.fields import CATALOGUE, Field, Kind

BASE = {
    "destinations": {"a": "udp://192.0.2.1"},
    "sets": {"some": ["10.0.0.2", "2001:db8::/32"]},
    "matchers": {"known": {"capture_id": [7, 2001]}},
    "chunks": {"tenant": {"vendor": 3, "id": 0x66, "type": "utf8"}},
}
NAME = CATALOGUE["node_name"]
PORT = CATALOGUE["port"]


def condition(block):
    """Return what a match block means."""
    rules = {"main": [{"name": "r", "match": block, "relay": "a"}]}
    with tempfile.TemporaryDirectory() as folder:
        configuration = configured(Path(folder), {**BASE, "rules": rules})
    return configuration.tables["main"].rules[0].condition


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({}, "always"),
        ({"src_ip": "10.0.0.0/8"}, "src_ip in 10.0.0.0/8"),
        ({"src_ip": ["192.168.0.0/16", "10.0.0.0/8"]}, "src_ip in 192.168.0.0/16, 10.0.0.0/8"),
        ({"src_ip": "10.0.0.1"}, "src_ip = 10.0.0.1"),
        ({"ip": "0.0.0.0/0"}, "ip in 0.0.0.0/0"),
        ({"ip": "@some"}, "ip in 10.0.0.2, 2001:db8::/32"),
        (
            {"dst_ip": ["2001:db8::1", "9.0.0.1", "10.0.0.1"]},
            "dst_ip in 9.0.0.1, 10.0.0.1, 2001:db8::1",
        ),
        ({"proto_type": "sip"}, "proto_type = SIP"),
        ({"proto_type": ["log", 1, 77]}, "proto_type in SIP, 77, LOG"),
        ({"port": "5060-5090"}, "port in 5060-5090"),
        ({"port": "5060-5060"}, "port = 5060"),
        ({"port": "1024-"}, "port in 1024-"),
        ({"port": "0-"}, "port in 0-65535"),
        ({"port": [80, "5060-5090", 22]}, "port in 22, 80, 5060-5090"),
        ({"vlan": {"ge": 5, "lt": 10}}, "vlan in 5-9"),
        ({"vlan": {"gt": 5, "in": [7, 8]}}, "vlan (in 6- and in 7, 8)"),
        ({"vlan": {"le": 5, "not": 3}}, "vlan in 0-5 and vlan not 3"),
        ({"vlan": {"not": {"ge": 5}}}, "vlan not in 5-"),
        ({"src_ip": {"not": ["10.0.0.0/8", "10.0.0.1"]}}, "src_ip not in 10.0.0.1, 10.0.0.0/8"),
        ({"vlan": {"exists": True}}, "vlan exists"),
        ({"vlan": {"exists": False}}, "vlan is missing"),
        ({"node_name": "pbx"}, 'node_name = "pbx"'),
        ({"node_name": ""}, 'node_name = ""'),
        ({"node_name": 'a"b\\\r\n'}, r'node_name = "a\"b\\\r\n"'),
        ({"node_name": {"not": "pbx"}}, 'node_name not "pbx"'),
        ({"node_name": {"prefix": "p"}}, 'node_name prefix "p"'),
        ({"node_name": {"suffix": "7"}}, 'node_name suffix "7"'),
        ({"payload": {"contains": "sip:"}}, 'payload contains "sip:"'),
        ({"payload": {"prefix": {"hex": "ff00"}}}, 'payload prefix hex "ff00"'),
        ({"payload": {"hex": "494e"}}, 'payload = "IN"'),
        ({"node_name": "a\u202eb"}, 'node_name = hex "61e280ae62"'),
        ({"node_name": {"re": "^a/b$"}}, r"node_name re /^a\/b$/"),
        ({"node_name": {"re": "a\\/b\t"}}, r"node_name re /a\/b\x{9}/"),
        ({"node_name": {"prefix": "p", "suffix": "7"}}, 'node_name (prefix "p" and suffix "7")'),
        (
            {"node_name": ["sbc", {"prefix": "p"}, "*72"]},
            'node_name (in "*72", "sbc" or prefix "p")',
        ),
        ({"time": "2026-11-23T16:15:11Z"}, "time = 2026-11-23T16:15:11.000000Z"),
        ({"time": {"ge": 1_700_000_000_000_000}}, "time ge 2023-11-14T22:13:20.000000Z"),
        ({"time": {"lt": 1_700_000_000_000_000}}, "time le 2023-11-14T22:13:19.999999Z"),
        (
            {"time": {"ge": 0, "le": 1_700_000_000_000_000}},
            "time le 2023-11-14T22:13:20.000000Z",
        ),
        (
            {"time": {"ge": 1_700_000_000_000_000, "le": 1_700_000_000_000_001}},
            "time (ge 2023-11-14T22:13:20.000000Z and le 2023-11-14T22:13:20.000001Z)",
        ),
        ({"src_mac": "00:11:22:33:44:55"}, "src_mac = 00:11:22:33:44:55"),
        ({"0x0003:0x0065": {"hex": "0102"}}, '0x0003:0x0065 = hex "0102"'),
        ({"tenant": "acme"}, 'tenant = "acme"'),
        ({"is": "known"}, "capture_id in 7, 2001"),
        ({"is": "known", "vlan": 5}, "capture_id in 7, 2001 and vlan = 5"),
        ({"not": {"vlan": 5}}, "not (vlan = 5)"),
        ({"not": {"vlan": 5, "port": 1}}, "not (vlan = 5 and port = 1)"),
        ({"any": [{"vlan": 5}, {"port": 1}]}, "vlan = 5 or port = 1"),
        ({"any": [{"vlan": 5}, {}]}, "vlan = 5 or always"),
        (
            {"capture_id": 1, "any": [{"vlan": 5}, {"port": 1, "vlan": 6}]},
            "capture_id = 1 and (vlan = 5 or (port = 1 and vlan = 6))",
        ),
        (
            {"capture_id": 1, "all": [{"vlan": 5}, {"port": 1}]},
            "capture_id = 1 and vlan = 5 and port = 1",
        ),
        (
            {"capture_id": 1, "any": [{"any": [{"vlan": 5}, {"port": 1}]}]},
            "capture_id = 1 and (vlan = 5 or port = 1)",
        ),
        ({"auth_key": "s3cret"}, "auth_key = ***"),
        ({"auth_key": {"not": {"prefix": "s3"}}}, "auth_key not ***"),
    ],
)
def test_words(block, said):
    """A match block is said as an operator would."""
    assert words(condition(block)) == said


@given(matches())
def test_every_field_is_named(block):
    """Whatever is matched, it is put into words, and no field that is asked for is left out."""
    text = words(condition(block))
    assert text.isprintable()
    for name in fields(block):
        assert name in text


def fields(block):
    for key, written in block.items():
        if key == "is":
            yield "capture_id"
        elif key == "not":
            yield from fields(written)
        elif key in {"any", "all"}:
            for inner in written:
                yield from fields(inner)
        else:
            yield key


def test_long_lists_are_folded():
    """Of a list of thousands a few are shown, and how many more there are."""
    ports = Has(PORT, Equal(frozenset(range(1, 21))))
    assert words(ports) == "port in 1, 2, 3, 4, 5, 6, 7, 8, … and 12 more"
    mixed = OneOf((Equal(frozenset(range(7))), Between(10, 20), Between(30, 40)))
    assert words_of_test(PORT, mixed) == "in 0, 1, 2, 3, 4, 5, 6, 10-20, … and 1 more"
    pieces = OneOf(tuple(Starts(b"%d" % at) for at in range(10)))
    assert words_of_test(NAME, pieces).endswith('prefix "7" or … and 2 more)')


def test_long_texts_are_cut():
    """A text that fills the screen is cut."""
    assert words_of_test(NAME, Equal(frozenset({b"x" * 500}))) == f'= "{"x" * 80}…"'
    assert words_of_test(NAME, Contains(b"\xff" * 500)) == f'contains hex "{"ff" * 40}…"'
    assert words_of_test(NAME, Search(b"x" * 500)) == f"re /{'x' * 80}…/"


def test_conditions_that_double_are_bounded():
    """Matchers that use each other twice, thirty deep, are a text that can be read."""
    part = Has(PORT, Equal(frozenset({1})))
    for _ in range(30):
        part = Some((part, All((part, Exists(PORT, wanted=True)))))
    assert len(words(part)) < 100 * MOST_PARTS


def test_what_holds_always_and_never():
    """Blocks without parts are said too."""
    assert words(ALWAYS) == "always"
    assert words(Some(())) == "never"
    assert words(Negation(Some((ALWAYS,)))) == "not (always)"
    assert words(Has(PORT, Equal(frozenset()))) == "port in nothing"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (5.0, 5.0, "= 5"),
        (5.0, math.inf, "ge 5"),
        (math.nextafter(5, math.inf), math.inf, "gt 5"),
        (-math.inf, 2.5, "le 2.5"),
        (-math.inf, math.nextafter(2.5, 0), "lt 2.5"),
        (0.5, 2.5, "(ge 0.5 and le 2.5)"),
    ],
)
def test_fractions(low, high, said):
    """Numbers with a fraction have bounds, as they were written."""
    assert words_of_test(CATALOGUE["rtcp.loss_pct"], Between(low, high)) == said


# --- rules ---------------------------------------------------------------------------------------


def template(text):
    return parse(text, CATALOGUE.__getitem__)


def test_rule_words():
    """What a rule does is said in the order in which it happens."""
    rule = Rule(
        table="main",
        name="r",
        condition=ALWAYS,
        edits=(
            Edit(CATALOGUE["node_name"], template("{node_name|lower}/\x1b")),
            Edit(CATALOGUE["src_ip"], bytes([10, 0, 0, 1])),
            Edit(CATALOGUE["proto_type"], 5),
            Edit(CATALOGUE["auth_key"], b"s3cret"),
            Edit(CATALOGUE["vlan"], None),
        ),
        log=RuleLog("debug", template("{src_ip}")),
        outputs=("kept", "a", "b"),
        flow=Flow.RESUME,
        target="sip",
        scope=Scope.DIALOG,
        sample=Sample(0.1, CATALOGUE["call"]),
        dedupe=Dedupe(0.5, (CATALOGUE["payload"], CATALOGUE["src_ip"])),
        limit=Limit(200, 400, CATALOGUE["capture_id"], over_next=True),
        counts=(Count("bad", (("who", template("{node_name}")),)),),
        observes=(Observe("size", template("{size}"), ()),),
        output_maps=(Field("map.tenant", Kind.TEXT, "", lambda _: None),),
        traces=("bad-audio",),
        trace_maps=(Field("map.traced", Kind.TEXT, "", lambda _: None),),
    )
    assert list(rule_words(rule, {"kept"})) == [
        "scope dialog",
        "sample 10% by call",
        "drop copies within 500ms: same payload, src_ip",
        "limit 200/s, burst 400 for each capture_id, over it: the next rule",
        r'set node_name = "{node_name|lower}/\u001b"',
        'set src_ip = "10.0.0.1"',
        "set proto_type = RTCP",
        "set auth_key = ***",
        "unset vlan",
        'log debug: "{src_ip}"',
        'count bad by who = "{node_name}"',
        'observe size = "{size}"',
        "store kept",
        "relay a, b",
        "relay or store as map.tenant says",
        "trace bad-audio",
        "trace as map.traced says",
    ]
    assert flow_words(rule) == "⇒ resume sip: the payload read as SIP"


def test_outputs():
    """Stores are told from destinations."""
    assert list(output_words(("x", "y"), {"x"})) == ["store x", "relay y"]
    assert list(output_words((), {"x"})) == []
