"""Names of fields as people write them: nested, quoted, wrong."""

import pytest
from calls import sip as message

from hepsw.compiler.predicates import predicate
from hepsw.config.load import load
from hepsw.hep import build
from hepsw.view import View

BASE = """
[[listen]]
name = "in"
url = "udp://127.0.0.1:9060"
[destinations]
a = "udp://192.0.2.1"
[maps.m]
key = "vlan"
entries = { 1 = "x" }
[maps.tenants]
key = "vlan"
entries = { 1 = "x" }
[chunks]
tenant = { vendor = 3, id = 49, type = "uint32" }
[proto_types]
Chat = 34
LOG = 35
[geo]
city = "city.mmdb"
asn = "asn.mmdb"
[[rules.all]]
name = "all"
match.map.m = "x"
relay = "a"
[tables.all]
miss = "drop"
"""


@pytest.fixture
def loaded(tmp_path):
    """Load one rule, by its text alone."""

    def make(rule):
        goes_on = "" if "goto" in rule else 'goto = "all"\n'
        text = f'{BASE}\n[[rules.main]]\nname = "r"\n{goes_on}{rule}\n'
        (tmp_path / "hepsw.toml").write_text(text)
        return load(tmp_path / "hepsw.toml")

    return make


@pytest.fixture
def condition(loaded):
    """Return what the `match` of a rule means."""

    def make(rule):
        found = loaded(rule)
        assert not found.problems.errors, [problem.text for problem in found.problems.errors]
        return found.configuration.tables["main"].rules[0].condition

    return make


@pytest.fixture
def error(loaded):
    """Return the only error, as code, text and hint, with what its caret points at."""

    def make(rule):
        found = loaded(rule)
        (problem,) = found.problems.errors
        line = found.texts[problem.file].splitlines()[problem.span.line - 1]
        start = problem.span.column - 1
        return (
            problem.code,
            problem.text,
            problem.hint,
            line[start : start + problem.span.length],
        )

    return make


def field_of(condition):
    """Return the field of a condition."""
    return condition.field.name


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ('match.sip.method = "BYE"', "sip.method"),
        ('match = { sip = { method = "BYE" } }', "sip.method"),
        ('[rules.main.match.sip]\nmethod = "BYE"', "sip.method"),
        ('match."sip.method" = "BYE"', "sip.method"),
        ("match.'sip.method' = \"BYE\"", "sip.method"),
        ('match.sip.method.prefix = "B"', "sip.method"),
        ('match.sip.header.X-Leg = "a"', "sip.header.X-Leg"),
        ('match.sip.header."X-Leg".prefix = "a"', "sip.header.X-Leg"),
        ('match."sip.header.X-Leg" = "a"', "sip.header.X-Leg"),
        ('match.sip."header.X-Leg" = "a"', "sip.header.X-Leg"),
        ("match.rtcp.loss_pct.ge = 5", "rtcp.loss_pct"),
        ("match.vq = { mos_lq = { lt = 3.5 } }", "vq.mos_lq"),
        ('match.json."a.b" = 1', "json.a.b"),
        ('match.json.a = "x"', "json.a"),
        ('match."json.a.b" = "x"', "json.a.b"),
        ('match.json."a.b".re = "x"', "json.a.b"),
        ('match.geo.src.country = "ES"', "geo.src.country"),
        ('match.geo.src = { country = "ES" }', "geo.src.country"),
        ('match.geo."src.country" = "ES"', "geo.src.country"),
        ('match."geo.dst.asn".ge = 1', "geo.dst.asn"),
        ('match.map.m = "x"', "map.m"),
        ('match."map.m".prefix = "x"', "map.m"),
        ("match.tenant = 5", "tenant"),
        ('match."0x0003:0x0065".hex = "01"', "0x0003:0x0065"),
    ],
)
def test_ways_to_write_a_name(condition, rule, name):
    """Nested as TOML has it, or quoted as a whole: one field."""
    assert field_of(condition(rule)) == name


def test_several_fields_of_a_group(condition):
    """All of them must hold."""
    found = condition('match.sip = { method = "BYE", kind = "request", header = { A = "1" } }')
    names = [field_of(part) for part in found.parts]
    assert names == ["sip.method", "sip.kind", "sip.header.A"]


def test_names_of_headers(condition, peer):
    """In any case, and by their short forms: `v` is Via."""
    payload = message("OPTIONS sip:a SIP/2.0", "c1", "1 OPTIONS", more=["X-Leg: a"])
    view = View(build(proto_type=1, payload=payload), peer, 0)
    for header in ('x-LEG = "a"', 'v.contains = "UDP"', 'i = "c1"', 'Call-ID = "c1"'):
        assert predicate(condition(f"match.sip.header.{header}"))(view)


@pytest.mark.parametrize(
    "source",
    ["{sip.method}", "{sip.header.X-Leg}", "{json.a.b}", '{json."a.b"}', "{geo.src.asn}"],
)
def test_names_in_templates(loaded, source):
    """Dotted as a whole; a path may have its quotes."""
    assert not loaded(f"log = '{source}'").problems.errors


@pytest.mark.parametrize(
    ("rule", "code", "hint", "place"),
    [
        ('match.sip.metod = "BYE"', "HEP110", "did you mean `sip.method`?", "metod"),
        ('match."sip.metod" = "BYE"', "HEP110", "did you mean `sip.method`?", '"sip.metod"'),
        ("match.rtcp.los_pct.ge = 5", "HEP110", "did you mean `rtcp.loss_pct`?", "los_pct"),
        ("match.vq.mos_lg.ge = 5", "HEP110", "did you mean `vq.mos_lq`?", "mos_lg"),
        ('match.geo.src.contry = "ES"', "HEP110", "did you mean `geo.src.country`?", "contry"),
        ('match.geo.scr.country = "ES"', "HEP110", "did you mean `geo.src.country`?", "country"),
        ('match.map.tenant = "x"', "HEP210", "did you mean `map.tenants`?", "tenant"),
        ('match.snip.method = "BYE"', "HEP110", None, "snip"),
        ("match.tennant = 5", "HEP110", "did you mean `tenant`?", "tennant"),
        ("match.json.a.b = 1", "HEP109", 'a path stands in quotes: `json."a.b"`', "b"),
        ('match.json.a.perfix = "x"', "HEP109", "did you mean `prefix`?", "perfix"),
        ('match."0x0000:0x000b" = { hex = "01" }', "HEP110", "write `proto_type`", None),
        ("match.sip.status = 1000", "HEP106", None, "1000"),
        ("match.rtcp.loss_pct = true", "HEP106", None, "true"),
        ("match.json.a = 2020-01-01", "HEP106", None, "2020-01-01"),
        ("match.json.a = nan", "HEP106", None, "nan"),
        ('match.json.a.ge = "5"', "HEP106", None, '"5"'),
        ('match.sip.kind = "reqest"', "HEP106", None, '"reqest"'),
        ('match.sip.method.ge = "x"', "HEP109", None, "ge"),
        ('match.geo.src.asn.prefix = "6"', "HEP109", None, "prefix"),
        ("set.sip.method = 'x'", "HEP114", None, "method"),
        ('set.json."a.b" = "x"', "HEP114", None, '"a.b"'),
        ('set.geo.src.country = "x"', "HEP114", None, "country"),
        ('set.map.m = "x"', "HEP114", None, "m"),
        ('unset = ["sip.method"]', "HEP114", None, '"sip.method"'),
        ("log = '{sip.metod}'", "HEP110", "did you mean `sip.method`?", None),
        ('limit = { rate = "1/s", per = "sip.metod" }', "HEP110", None, '"sip.metod"'),
    ],
)
def test_wrong_names(error, rule, code, hint, place):
    """Pointed at where they stand, with the one of the same group that was meant."""
    found = error(rule)
    assert found[0] == code, found
    if hint is not None:
        assert found[2] == hint
    if place is not None:
        assert found[3] == place


def test_names_of_payload_types(loaded, peer):
    """Beside and before the built-in ones, in any case; `{proto_type}` prints them."""

    def matched(written, number):
        condition = loaded(f"match.proto_type = {written}").configuration.tables["main"].rules[0]
        return predicate(condition.condition)(View(build(proto_type=number), peer, 0))

    assert matched('"chat"', 34)
    assert matched('"CHAT"', 34)
    assert matched('"log"', 35)
    assert not matched('"log"', 100)
    assert matched('["SIP", "Chat"]', 1)
    log = loaded("log = '{proto_type}'").configuration.tables["main"].rules[0].log
    printed = [log.text.render(View(build(proto_type=number), peer, 0)) for number in (1, 34, 35)]
    assert printed == [b"SIP", b"CHAT", b"LOG"]
    # Nobody could tell it from the other LOG.
    assert log.text.render(View(build(proto_type=100), peer, 0)) == b"100"
