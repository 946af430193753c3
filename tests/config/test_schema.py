"""The JSON schema: it accepts what loads, and tells mistakes that one file shows."""

import re
import tomllib
from datetime import datetime
from pathlib import Path

import pytest
from documents import any_document
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tables import crowded_tables, tables

from hepsw.config import models
from hepsw.config.field_schema import GROUP_DOCS, OPERATOR_DOCS
from hepsw.config.load import load
from hepsw.config.match import OPERATORS
from hepsw.config.schema import EXPECT_DOCS, schema
from hepsw.fields import CATALOGUE, GEO, GROUPS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def as_json(value):
    """Return TOML as an editor hands it over: dates as texts."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def problems(document):
    return [
        f"{error.json_path}: {error.message[:200]}"
        for error in VALIDATOR.iter_errors(as_json(document))
    ]


def texts():
    """Return every TOML text that is shipped or shown, each by itself."""
    files = [
        *sorted((ROOT / "hepsw/templates").glob("*.toml")),
        ROOT / "hepsw.toml",
        *sorted((ROOT / "rules").glob("*.toml")),
    ]
    found = [pytest.param(file.read_text(), id=file.name) for file in files]
    readme = (ROOT / "README.md").read_text()
    for number, (comment, text) in enumerate(
        re.findall(r"(?:<!-- ([^\n]*) -->\n)?```toml\n(.*?)```", readme, re.DOTALL)
    ):
        if not comment.startswith("findings"):
            found.append(pytest.param(text, id=f"README-{number}"))
    page = (ROOT / "man/hepsw.toml.5").read_text()
    escapes = {r"\(aq": "'", r"\(dq": '"', r"\-": "-", r"\&": "", r"\e": "\\"}
    for number, text in enumerate(
        re.findall(r'^\.\\" toml[^\n]*\n\.EX\n(.*?)\n\.EE', page, re.MULTILINE | re.DOTALL)
    ):
        for written, printed in escapes.items():
            text = text.replace(written, printed)  # noqa: PLW2901 - roff, undone step by step
        found.append(pytest.param(text, id=f"hepsw.toml.5-{number}"))
    return found


def test_it_is_a_schema():
    """By the rules of its own draft; every reference leads somewhere."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    references = {part["$ref"] for _, part in parts(SCHEMA) if "$ref" in part}
    assert references == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


@pytest.mark.parametrize("text", texts())
def test_what_is_shipped_and_shown(text):
    """Every file and example by itself, a part of a configuration as well as a whole one."""
    assert problems(tomllib.loads(text)) == []


@given(st.randoms(use_true_random=False))
def test_documents(random):
    """Whatever the language has, in documents that are valid by construction."""
    assert problems(any_document(random)) == []


@given(tables() | crowded_tables(most=20))
def test_tables(rules):
    """Whatever rules may say."""
    assert problems({"rules": {"main": rules}}) == []


RULE = '[[rules.main]]\nname = "r"\n'
TEST = RULE + "[[rules.main.test]]\n"


@pytest.mark.parametrize(
    "text",
    [
        '"$schema" = "hepsw.schema.json"',
        "sets.x = ['10.0.0.0/8', 5]",
        "sets.x = { file = 'x', type = 'ip' }",
        "destinations.a = 'udp://[2001:db8::1]:9060'",
        "destinations.a = { url = ['tcp://a', 'tls://b'], hep = 3, auth_key = 's3' }",
        "stores.a = { url = { env = 'X' }, keep = { call = '14d' } }",
        "stores.a = { url = 'postgres://u:p@h/d', keep = '5GiB', spool.path = 'x' }",
        "stores.a = { url = 'jsonl://x', spool = { path = 'x', sync = 'never' } }",
        "listen = [{ url = 'tls://x', auth_key = ['a', { file = 'b' }], from = '@x' }]",
        "tables.t.miss = 'drop'",
        "proto_types.mine = 200",
        RULE + "match.proto_type = ['sip', 34, 'mine', '1-5']",
        RULE + "match.time = { ge = 2026-11-23T16:15:11Z }",
        RULE + "match.src_mac = '00:11:22:33:44:55'",
        RULE + "match.sip.header.X-CID = ['a', { prefix = 'b' }, { in = ['c', { re = 'd' }] }]",
        RULE + "match.'sip.method' = 'INVITE'\nmatch.'0x0003:0x0065' = { hex = '00 ff' }",
        RULE + "match.json.'a.b' = [true, 1.5, 'x']\nmatch.json.c = { ge = 1 }",
        RULE + "match.rtcp.loss_pct = ['0.5-2.5', 5, { gt = 7.5, le = '9.5' }]",
        RULE + "match.map.x = 'a'\nmatch.geo.src.country = 'ES'\nmatch.geo.dst.asn = '1-'",
        RULE + "match.mine = { not = { prefix = 'a' } }",
        RULE + "match.not = { any = [{ is = 'x' }, { is = ['x', 'y'] }] }",
        RULE + "match.sip.kind = ['request', '@kinds']",
        RULE + "set.src_ip = '{peer_ip}'\nset.vlan = 5\nset.mine = 5\nset.node_name.hex = 'ff'",
        RULE + "set.'3:101' = 'x'\nset.time = 2026-11-23T16:15:11Z\nunset = 'vlan'",
        RULE + "log = 'x'\nsample = '10%'\nlimit = '200/s'",
        RULE
        + "log.text = 'x'\nsample = { keep = '0.5%', by = 'sip.header.X' }\nlimit.rate = '5/m'",
        RULE + "dedupe = {}",
        RULE + "dedupe = { window = '1s', key = ['payload', 'json.a', '0x0003:0x0065', 'mine'] }",
        RULE + "count.x = {}\nobserve.y = { value = '{size}', who = '{node_name}' }",
        RULE + "relay = { map = 'm' }\nstore = ['a']\ntrace = 'b'",
        TEST + "given = { hex = '48', peer_ip = '192.0.2.1' }\nexpect.drop = 'x'",
        TEST
        + "given = [{ pcap = 'x', frame = 2 }, { at = '1s', times = 3 }]\nexpect.path = ['a/b']",
        TEST + "given = { at = 0, sip.header.Via = ['a', 'b'], json.x = 5 }\nexpect.after.vlan = 5",
        TEST + "given = { rtcp.loss_pct = 7.5, geo.src.country = 'ES' }\nexpect.relay = []",
        "tests = [{ given = { payload.hex = '00' }, expect = { missed = true, log = 'x' } }]",
        "maps.x = { key = 'sip.ruri_user', entries = { '1-5' = 'a', b = ['c'] }, default = 'd' }",
    ],
)
def test_accepted(text):
    """Short and long forms, names of fields however they are written."""
    assert problems(tomllib.loads(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "lisen = []",
        "listen = { url = 'udp://x' }",
        "listen = [{ ulr = 'udp://x' }]",
        "listen = [{ url = 'http://x' }]",
        "listen = [{ url = 'udp://x', receive_buffer = 4096 }]",
        "destinations.a = 5",
        "destinations.a = { url = [] }",
        "destinations.a = { url = 'udp://x', timeout = '5 s' }",
        "destinations.a = { url = 'udp://x', queue = { packet = 5 } }",
        "destinations.a = { url = 'udp://x', policy = 'random' }",
        "destinations.a = { url = 'udp://x', set.mine = true }",
        "destinations.a = { url = 'udp://x', auth_key = {} }",
        "destinations.a = { url = 'udp://x', auth_key = { literal = 's3' } }",
        "stores.a.url = 'mysql://x'",
        "stores.a.url = 'x'",
        "stores.a = { url = 'sqlite://x', keep = {} }",
        "sets.x = [true]",
        "sets.x = { file = 'x', type = 'text' }",
        "chunks.x = { vendor = 70000, id = 1, type = 'utf8' }",
        "privacy.x = { ips = { v4 = 33 } }",
        "proto_types.mine = 256",
        "tables.t.miss = 'relay'",
        "tables.t.miss = {}",
        "maps.x = { key = 'sip.metod', entries = {} }",
        "maps.x = { key = 'vlan', entries = { 5 = 1.5 } }",
        "reload.watch = 'yes'",
        "switch.dialog_ttl = 7200",
        "rules.main = { name = 'r' }",
        RULE + "realy = 'a'",
        "[[rules.main]]\nrelay = 'a'",
        RULE + "relay = 5",
        RULE + "continue = 'yes'",
        RULE + "limit = '200'",
        RULE + "limit = { rate = '200/s', over = 'pass' }",
        RULE + "sample = 10",
        RULE + "sample = { keep = '10%', by = 'sip.callid' }",
        RULE + "dedupe = { window = 0.5 }",
        RULE + "count.X = {}",
        RULE + "observe.x = { who = '{node_name}' }",
        RULE + "unset = ['sip.foo']",
        RULE + "match.src_ip = 'localhost'",
        RULE + "match.src_ip = 5",
        RULE + "match.src_port = 65536",
        RULE + "match.src_port = -1",
        RULE + "match.src_port = { gee = 5 }",
        RULE + "match.src_port = { prefix = '5' }",
        RULE + "match.src_port = []",
        RULE + "match.node_name = 5",
        RULE + "match.node_name = { regex = 'x' }",
        RULE + "match.node_name = { not = { exists = true } }",
        RULE + "match.node_name = {}",
        RULE + "match.node_name = { hex = 'x' }",
        RULE + "match.sip.metod = 'INVITE'",
        RULE + "match.'sip.metod' = 'INVITE'",
        RULE + "match.sip.kind = 'answer'",
        RULE + "match.rtcp.loss_pct = { ge = true }",
        RULE + "match.json.x = 2026-11-23T16:15:11Z\nmatch.json.y = { ge = '1' }",
        RULE + "match.any = { vlan = 5 }",
        RULE + "match.any = []",
        RULE + "match.not = {}",
        RULE + "match.'0x00030:1' = 'x'",
        RULE + "match.Proto_Type = 1",
        RULE + "set.src_ip = 'localhost'",
        RULE + "set.src_ip = 5",
        RULE + "set.vlan = 65536",
        RULE + "set.sip.method = 'x'",
        RULE + "set.peer_ip = '192.0.2.1'",
        RULE + "set.call = 'x'",
        RULE + "set.node_name = ''",
        TEST + "expect.drop = 'x'",
        TEST + "given = {}\nexpect = {}",
        TEST + "given = {}\nexpect.droped = 'x'",
        TEST + "given = []\nexpect.drop = 'x'",
        TEST + "given.size = 5\nexpect.drop = 'x'",
        TEST + "given.map.x = 'a'\nexpect.drop = 'x'",
        TEST + "given.src_ip = '10.0.0.0/8'\nexpect.drop = 'x'",
        TEST + "given.vlan = [1, 2]\nexpect.drop = 'x'",
        TEST + "given.times = 0\nexpect.drop = 'x'",
        TEST + "given.sip.header.Via = []\nexpect.drop = 'x'",
        TEST + "given = {}\nexpect.after.vlan = 70000",
    ],
)
def test_refused(tmp_path, text):
    """What is wrong in a file by itself: unknown keys, other types, notations, operators.

    `hepsw check` refuses each too: the schema is never the stricter one.
    """
    assert problems(tomllib.loads(text)) != []
    listen = "" if text.startswith("listen") else '\n[[listen]]\nurl = "udp://127.0.0.1"\n'
    (tmp_path / "hepsw.toml").write_text(text + listen)
    assert load(tmp_path / "hepsw.toml").problems.errors


def parts(part, path=()):
    """Yield every table of the schema with its place."""
    if isinstance(part, dict):
        yield path, part
        for key, inner in part.items():
            yield from parts(inner, (*path, key))
    elif isinstance(part, list):
        for at, inner in enumerate(part):
            yield from parts(inner, (*path, at))


def test_everything_is_described():
    """No property without a title and a sentence, and none that an editor of an old draft loses."""
    seen = 0
    for path, part in parts(SCHEMA):
        if "$ref" in part:
            assert part.keys() == {"$ref"}, path
        if path[-2:-1] == ("properties",) and "properties" not in path[-3:-2]:
            assert part.get("description", "").strip(), path
            assert part.get("title"), path
            assert "\n" not in part["description"], path
            seen += 1
    assert seen > 400


def test_every_key_is_there():
    """Each key of each block, with a default that it accepts and that is the model's."""
    for model in models.Block.__subclasses__():
        if model is models.Secret:
            continue
        found = SCHEMA["$defs"][model.__name__]
        table = found if "properties" in found else found["anyOf"][-1]
        keys = {field.alias or name for name, field in model.model_fields.items()}
        assert table["properties"].keys() == keys
        required = {f.alias or n for n, f in model.model_fields.items() if f.is_required()}
        assert {*table.get("required", [])} == required
        for described in table["properties"].values():
            if "default" in described:
                whole = {**described, "$defs": SCHEMA["$defs"]}
                Draft202012Validator(whole).validate(described["default"])
    blocks = {"$schema", *models.BLOCKS, *models.SETTINGS}
    assert SCHEMA["properties"].keys() == blocks


def test_every_field_is_there():
    """Each field of the catalogue, nested as TOML nests it, with its sentence of the manual."""
    for name in (*CATALOGUE, *GEO):
        found = SCHEMA["$defs"]["Match"]
        for step in name.split("."):
            found = found["properties"][step]
        if name in CATALOGUE:
            assert found["description"] == CATALOGUE[name].doc
    assert {name.partition(".")[0] for name in GROUP_DOCS} == {*GROUPS}


def test_every_operator_is_there():
    """Each operator has its sentence, and each that a test may expect."""
    assert OPERATOR_DOCS.keys() == OPERATORS.keys()
    assert EXPECT_DOCS.keys() == SCHEMA["$defs"]["Expect"]["properties"].keys()
