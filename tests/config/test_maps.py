"""`[maps.x]`: what is found for a value, and what is refused."""

import pytest
from tables import configured

from hepsw.config.load import load
from hepsw.hep import build
from hepsw.view import View

BASE = """
[[listen]]
name = "in"
url = "udp://127.0.0.1:9060"
[destinations]
a = "udp://192.0.2.1"
[stores.s]
url = "sqlite://s.db"
"""


@pytest.fixture
def looked_up(tmp_path, peer):
    """Make a map; return a function that asks it about a packet."""

    def make(**written):
        document = {
            "maps": {"m": written},
            "rules": {"main": [{"name": "r", "match": {"map": {"m": {"exists": True}}}}]},
        }
        rule = configured(tmp_path, document).tables["main"].rules[0]
        field = rule.condition.field

        def ask(**fields):
            return field.read(View(build(**fields), peer, 0))

        ask.field = field
        return ask

    return make


@pytest.fixture
def found(tmp_path):
    """Return what is found in a configuration, by code and text."""

    def ask(text):
        (tmp_path / "hepsw.toml").write_text(BASE + text)
        problems = load(tmp_path / "hepsw.toml").problems.sorted()
        return [(problem.code, problem.text) for problem in problems]

    return ask


def test_exact_beats_prefix_beats_shorter_prefix(looked_up):
    """Among addresses of either family; outside all of them there is nothing."""
    ask = looked_up(
        key="src_ip",
        entries={
            "0.0.0.0/1": "low",
            "10.0.0.0/8": "big",
            "10.0.0.0/24": "small",
            "10.0.0.2": "host",
            "10.0.0.3/32": "net of one",
            "2001:db8::/32": "six",
            "::/0": "all six",
        },
    )
    answers = {
        "10.0.0.2": b"host",
        "10.0.0.3": b"net of one",
        "10.0.0.255": b"small",
        "10.0.1.0": b"big",
        "9.255.255.255": b"low",
        "128.0.0.0": None,
        "2001:db8:ffff::1": b"six",
        "2001:db9::": b"all six",
    }
    assert {address: ask(src_ip=address) for address in answers} == answers


def test_exact_beats_range(looked_up):
    """Both ends belong to a range; an open one goes on to the end."""
    ask = looked_up(key="src_port", entries={"5060-5090": "r", "5060": "x", "6000-": "high"})
    ports = [0, 5059, 5060, 5061, 5090, 5091, 5999, 6000, 65535]
    assert [ask(src_port=port) for port in ports] == [
        *(None, None, b"x", b"r", b"r", None, None, b"high", b"high")
    ]


def test_the_default_stands_for_all_else(looked_up):
    """Also where the key is missing; without one there is nothing."""
    ask = looked_up(key="node_name", entries={"a": "x"}, default="y")
    assert [ask(node_name="a"), ask(node_name="b"), ask()] == [b"x", b"y", b"y"]
    ask = looked_up(key="node_name", entries={"a": "x"})
    assert [ask(node_name="a\0"), ask(node_name="b"), ask()] == [b"x", None, None]


def test_the_first_value_with_an_entry(looked_up):
    """Of a key with several: `ip`, `port`, headers that are repeated."""
    ask = looked_up(key="ip", entries={"10.0.0.0/8": "in"}, default="out")
    assert ask(src_ip="192.0.2.1", dst_ip="10.0.0.1") == b"in"
    assert ask(src_ip="192.0.2.1", dst_ip="192.0.2.2") == b"out"
    ask = looked_up(key="sip.header.X-Leg", entries={"b": "bee", "c": "sea"})
    payload = b"OPTIONS sip:a SIP/2.0\r\nX-Leg: a\r\nX-Leg: c\r\nX-Leg: b\r\n\r\n"
    assert ask(proto_type=1, payload=payload) == b"sea"


def test_kinds_of_keys(looked_up):
    """Words for payload types, fractions, texts of JSON, octets of addresses in own chunks."""
    assert looked_up(key="proto_type", entries={"sip": "x", "100": "y"})(proto_type=100) == b"y"
    ask = looked_up(key="vq.mos_lq", entries={"0-3.5": "bad", "4.1": "exact", "3.6-5": "good"})
    moses = ["3.5", "3.55", "4.1", "4.2"]
    assert [ask(payload=f"MOSLQ={mos} ".encode()) for mos in moses] == [
        *(b"bad", None, b"exact", b"good")
    ]
    ask = looked_up(key="json.code", entries={"200": "text", "true": "yes"})
    texts = [b'{"code":"200"}', b'{"code":200}', b'{"code":true}']
    assert [ask(payload=text) for text in texts] == [b"text", None, b"yes"]


def test_kinds_of_values(looked_up):
    """Texts, numbers or lists; a map of numbers is a number, one of lists has several values."""
    ask = looked_up(key="vlan", entries={"1": 10, "2": 20}, default=0)
    assert [ask(vlan=1), ask(vlan=2), ask()] == [10, 20, 0]
    assert ask.field.kind.value == "number"
    ask = looked_up(key="vlan", entries={"1": ["x", "y"], "2": "z"})
    assert [ask(vlan=1), ask(vlan=2)] == [(b"x", b"y"), b"z"]
    assert ask.field.several


def test_it_changes_with_its_key(looked_up):
    """An edit of the key, or of what the key is read from."""
    assert "vlan" in looked_up(key="vlan", entries={"1": "x"}).field.derived_from
    assert "src_ip" in looked_up(key="ip", entries={"10.0.0.1": "x"}).field.derived_from
    field = looked_up(key="sip.method", entries={"BYE": "x"}).field
    assert "payload" in field.derived_from
    assert field.parses


def test_a_large_map_is_one_look_up(looked_up):
    """Ten thousand networks of a few lengths, ten thousand ranges."""
    entries = {f"10.{n >> 8}.{n & 255}.0/24": f"n{n}" for n in range(10_000)}
    assert looked_up(key="src_ip", entries=entries)(src_ip="10.39.15.7") == b"n9999"
    entries = {f"{n * 10}-{n * 10 + 5}": f"r{n}" for n in range(6_000)}
    ask = looked_up(key="src_port", entries=entries)
    assert [ask(src_port=port) for port in (59_995, 59_996)] == [b"r5999", None]


USE = '[[rules.main]]\nname = "r"\nmatch.map.m = "x"\nrelay = "a"\n'


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ('key = "vlan"\nentries = { "1-5" = "x", "5-9" = "y" }', "HEP119", "overlap"),
        ('key = "vlan"\nentries = { "1-5" = "x", "2-3" = "y" }', "HEP119", "overlap"),
        ('key = "vlan"\nentries = { "1" = "x", "01" = "y" }', "HEP119", "twice"),
        ('key = "proto_type"\nentries = { sip = "x", SIP = "y" }', "HEP119", "twice"),
        (
            'key = "src_ip"\nentries = { "2001:db8::/32" = "x", "2001:DB8::/32" = "y" }',
            "HEP119",
            "twice",
        ),
        ('key = "vlan"\nentries = { abc = "x" }', "HEP106", "not a number"),
        ('key = "vlan"\nentries = { "70000" = "x" }', "HEP106", "outside"),
        ('key = "src_ip"\nentries = { "10.0.0.1/8" = "x" }', "HEP106", "host bits"),
        ('key = "vlan"\nentries = { 1 = "x", 2 = 5 }', "HEP105", "numbers or texts, not both"),
        ('key = "vlan"\nentries = { 1 = true }', "HEP106", "whole numbers"),
        ('key = "vlan"\nentries = { 1 = [] }', "HEP106", "nothing is no value"),
        ('key = "vlam"\nentries = { 1 = "x" }', "HEP110", "unknown field `vlam`"),
        ('key = "map.m"\nentries = { 1 = "x" }', "HEP106", "another map"),
        ('key = "vlan"', "HEP107", "entries"),
    ],
)
def test_what_is_refused(found, body, code, text):
    """Each mistake once, where it stands."""
    problems = found(f"[maps.m]\n{body}\n{USE}")
    assert [problem[0] for problem in problems] == [code], problems
    assert text in problems[0][1]


def test_names_of_maps(found):
    """A map that is not there, with the one that was meant; one that cannot be read is known."""
    mapped = '[maps.tenants]\nkey = "vlan"\nentries = { 1 = "a" }\n'
    rule = '[[rules.main]]\nname = "r"\nrelay = { map = "tenant" }\n'
    assert ("HEP210", "unknown map `tenant`") in found(mapped + rule)
    assert found("[maps.m]\nkey = 'x'\nentries = {}\n" + USE) == [
        ("HEP110", "unknown field `x`"),
    ]


@pytest.mark.parametrize("key", ["relay", "store", "trace"])
def test_maps_of_outputs_name_what_there_is(found, key):
    """Every name that it may give, the default's as well, is of the right kind."""
    legal = {"relay": '"a"', "store": '"s"', "trace": '"t"'}[key]
    text = f"""
[traces.t]
to = "a"
[maps.m]
key = "vlan"
entries = {{ 1 = {legal}, 2 = [{legal}, "nosuch"] }}
default = "b2"
[[rules.main]]
name = "r"
relay = "a"
store = "s"
continue = true
[[rules.main]]
name = "m"
{key} = {{ map = "m" }}
[[rules.main]]
name = "all"
trace = "t"
"""
    assert [code for code, _ in found(text) if code.startswith("HEP2")] == ["HEP214", "HEP214"]


def test_a_silent_table_asks_no_payload_by_a_map(found):
    """Neither in a rule, nor for its miss; a map of what the packet itself says is fine."""
    text = """
[maps.m]
key = "{key}"
entries = {{ BYE = "a" }}
[tables.main]
parse = "never"
{miss}
[[rules.main]]
name = "r"
match.vlan = 1
{relay}
"""
    relay, miss = 'relay = { map = "m" }', 'miss = { relay = { map = "m" } }'
    for key, reads in (("sip.method", True), ("node_name", False)):
        for wanted in ({"relay": relay, "miss": ""}, {"relay": 'relay = "a"', "miss": miss}):
            codes = [code for code, _ in found(text.format(key=key, **wanted)) if code[3] == "1"]
            assert codes == ["HEP117"] * reads
