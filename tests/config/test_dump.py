"""A configuration as one text: it loads again, and means the same."""

import dataclasses
import re
import tempfile
import tomllib
import typing
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from tables import LISTEN, crowded_tables, tables

from hepsw.config import effective, forms, models
from hepsw.config.dump import dump
from hepsw.config.load import load
from hepsw.config.writing import toml_text

ROOT = Path(__file__).resolve().parents[2]
README = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]

BASE = {
    **LISTEN,
    "destinations": {"a": "udp://192.0.2.1", "b": {"url": ["tcp://192.0.2.2"], "timeout": "1.5s"}},
    "sets": {"some": ["10.0.0.2", "2001:db8::/32"]},
    "matchers": {"known": {"capture_id": [7, 2001]}},
}


def meaning(value):
    """Return what a part of a configuration means, in what compares by value.

    Fields and filters hold functions, which are equal only to themselves; the files it came from
    differ; that a miss was written silences a warning, but is the same miss; and where state is
    kept is told by the stores.
    """
    if dataclasses.is_dataclass(value):
        fields = [field for field in dataclasses.fields(value) if field.compare]
        parts = {field.name: getattr(value, field.name) for field in fields}
        for name in ("files", "miss_written"):
            parts.pop(name, None)
        return type(value).__name__, meaning(parts)
    if isinstance(value, BaseModel):
        parts = {name: inner for name, inner in value if name != "state_dir"}
        return type(value).__name__, meaning(parts)
    if isinstance(value, dict):
        return {key: meaning(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [meaning(inner) for inner in value]
    return value.__qualname__ if callable(value) else value


def again(loaded, folder, **options):
    """Return what the dump of a configuration means, kept in another folder."""
    folder.mkdir(exist_ok=True)
    file = folder / "again.toml"
    file.write_text(dump(loaded.sources, **options))
    found = load(file)
    assert found.configuration is not None, (found.problems.sorted(), file.read_text())
    return meaning(found.configuration)


@pytest.mark.parametrize("defaults", [False, True])
def test_shipped_configuration_means_the_same(tmp_path, defaults):
    """The shipped configuration, with its rules in another file."""
    loaded = load(ROOT / "hepsw.toml")
    assert again(loaded, tmp_path, defaults=defaults) == meaning(loaded.configuration)


@pytest.mark.parametrize("defaults", [False, True])
def test_readme_means_the_same(tmp_path, defaults):
    """The configuration in one page."""
    (tmp_path / "hepsw.toml").write_text(README)
    loaded = load(tmp_path / "hepsw.toml")
    assert again(loaded, tmp_path / "x", defaults=defaults) == meaning(loaded.configuration)


@given(tables(targets=["second"]) | crowded_tables(most=20), tables(), st.booleans())
def test_any_tables_mean_the_same(main, second, defaults):
    """Whatever rules match and do, in whatever order it is written."""
    document = {**BASE, "rules": {"main": main, "second": second}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "hepsw.toml")
        file.write_text(tomli_w.dumps(document))
        loaded = load(file)
        assert loaded.configuration is not None
        assert again(loaded, Path(folder, "x"), defaults=defaults) == meaning(loaded.configuration)


def test_the_order_of_keys_is_kept(tmp_path):
    """Conditions and edits stay in the order they were written in, tables among them."""
    (tmp_path / "hepsw.toml").write_text("""
[[listen]]
url = "udp://127.0.0.1"
[[rules.main]]
name = "r"
match.src_ip = { not = "10.0.0.0/8" }
match.vlan = 5
match.any = [{ port = 1 }, { port.not = 2, vlan = 3 }]
set."0x0003:0x0065" = { hex = "01" }
set.vlan = 6
log.text = "x"
""")
    loaded = load(tmp_path / "hepsw.toml")
    assert dump(loaded.sources).partition("\n\n")[2] == (
        '[[rules.main]]\nname = "r"\nmatch.src_ip = { not = "10.0.0.0/8" }\nmatch.vlan = 5\n'
        "match.any = [{ port = 1 }, { port = { not = 2 }, vlan = 3 }]\n"
        'set."0x0003:0x0065" = { hex = "01" }\nset.vlan = 6\nlog = { text = "x" }\n'
    )


def test_names_of_files_are_absolute(tmp_path):
    """A relative name starts at the file it stands in, and the dump stands elsewhere."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/banned.txt").write_text("192.0.2.1\n")
    (tmp_path / "hepsw.toml").write_text(
        '[[listen]]\nurl = "udp://127.0.0.1"\n[stores.s]\nurl = "sqlite://state/s.db"\n'
    )
    (tmp_path / "rules/a.toml").write_text(
        '[sets]\nx = { file = "banned.txt", type = "ip" }\ny = ["banned.txt"]\n[[rules.main]]\n'
        'name = "r"\nmatch.src_ip = "@x"\nmatch.node_name = "@y"\nstore = "s"\n'
    )
    loaded = load(tmp_path / "hepsw.toml")
    data = tomllib.loads(dump(loaded.sources))
    assert data["sets"]["x"]["file"] == f"{tmp_path.resolve()}/rules/banned.txt"
    assert data["sets"]["y"] == ["banned.txt"]
    assert data["stores"]["s"]["url"] == f"sqlite://{tmp_path.resolve()}/state/s.db"
    assert again(loaded, tmp_path / "x") == meaning(loaded.configuration)


def test_defaults():
    """With the defaults every key is there that has one, in units that can be read."""
    data = effective.effective(
        {"listen": [{"url": "udp://127.0.0.1"}], "destinations": {"a": "udp://192.0.2.1"}}
    )
    assert data == {
        "listen": [
            {
                "url": "udp://127.0.0.1",
                "entry": "main",
                "versions": [1, 2, 3],
                "gzip_frames": False,
                "max_packet": 65535,
                "receive_buffer": "4MiB",
            }
        ],
        "destinations": {
            "a": {
                "url": "udp://192.0.2.1",
                "policy": "failover",
                "key": "call",
                "hep": "keep",
                "compress": "keep",
                "queue": {"packets": 8192, "bytes": "16MiB"},
                "overflow": "drop-old",
                "oversize": "drop",
                "timeout": "5s",
            }
        },
        "switch": {
            "state_dir": "state",
            "dialog_ttl": "2h",
            "memory": "256MiB",
            "loop_guard": True,
        },
        "reload": {"watch": True, "tests": "required"},
        "log": {"level": "info", "format": "auto"},
    }


def test_defaults_within_what_was_written():
    """A block that was written in part, or in its short form, is filled up too."""
    rule = {
        "name": "r",
        "log": "x",
        "sample": "10%",
        "limit": {"rate": "5/s"},
        "dedupe": {},
        "relay": {"map": "m"},
    }
    data = effective.effective(
        {
            "destinations": {"a": {"url": "udp://192.0.2.1", "queue": {"packets": 5}}},
            "traces": {"x": {"to": "a"}},
            "privacy": {"p": {"users": "mask", "ips": {"v4": 24}}},
            "tables": {"t": {"miss": {"relay": "a"}}},
            "rules": {"t": [rule], "u": []},
        }
    )
    assert data["destinations"]["a"]["queue"] == {"packets": 5, "bytes": "16MiB"}
    assert data["traces"] == {"x": {"to": "a", "enabled": True}}
    ips = {"v4": 24, "v6": 128}
    assert data["privacy"] == {"p": {"users": "mask", "ips": ips, "sdp": "drop", "other": "drop"}}
    assert data["tables"] == {
        "t": {"miss": {"relay": "a"}, "parse": "lazy"},
        "u": {"miss": "drop", "parse": "lazy"},
    }
    filled = {
        **rule,
        "scope": "message",
        "log": {"text": "x", "level": "info"},
        "sample": {"keep": "10%", "by": "call"},
        "limit": {"rate": "5/s", "over": "drop"},
        "dedupe": {
            "window": "500ms",
            "key": ["payload", "src_ip", "dst_ip", "src_port", "dst_port"],
        },
        "continue": False,
        "enabled": True,
    }
    assert data["rules"] == {"t": [filled], "u": []}


SECRET = {"env": "HEPSW_TEST"}


def test_secrets_are_not_taken_apart():
    """A secret is shown as it was written, wherever one can be."""
    written = {
        "listen": [{"url": "udp://127.0.0.1", "auth_key": ["s3", {"file": "x"}]}],
        "destinations": {"a": {"url": "udp://192.0.2.1", "auth_key": "s3"}},
        "stores": {"s": {"url": SECRET}},
        "privacy": {"p": {"key": SECRET}},
    }
    data = effective.effective(written)
    assert data["listen"][0]["auth_key"] == ["s3", {"file": "x"}]
    assert data["destinations"]["a"]["auth_key"] == "s3"
    assert data["stores"]["s"]["url"] == SECRET
    assert data["privacy"]["p"]["key"] == SECRET


def every_block(model=models.Block):
    """Yield every block of the language."""
    for inner in model.__subclasses__():
        yield inner
        yield from every_block(inner)


LEAST = {
    models.Listen: {"url": "udp://127.0.0.1"},
    models.ListenTls: {"cert": "x", "key": "x"},
    models.Destination: {"url": "udp://127.0.0.1"},
    models.Spool: {"path": "x"},
    models.Store: {"url": "postgres://localhost/x"},  # all keys that have a default
    models.Trace: {"to": "x"},
    models.Headers: {"drop": "x"},
    models.Privacy: {"key": SECRET},
    models.SetFile: {"file": "x", "type": "ip"},
    models.Map: {"key": "vlan", "entries": {"5": "x"}},
    models.Mapped: {"map": "x"},
    models.Secret: SECRET,
    models.ChunkName: {"vendor": 1, "id": 1, "type": "utf8"},
    models.Rule: {"name": "r"},
    models.RuleTest: {"given": {}, "expect": {}},
    models.PathTest: {"given": {}, "expect": {}},
    models.LogLine: {"text": "x"},
    models.Sample: {"keep": "10%"},
    models.Limit: {"rate": "5/s"},
}
"""What must be written of a block."""


@pytest.mark.parametrize("model", list(every_block()), ids=lambda model: model.__name__)
def test_every_default_can_be_written(monkeypatch, model):
    """No default is lost for want of a way to write it."""
    monkeypatch.setattr(models, "NOT_RUN", {})
    read = model.model_validate(LEAST.get(model, {}))
    filled = effective.filled(model, LEAST.get(model, {}))
    assert model.model_validate(filled) == read
    for name, field in model.model_fields.items():
        if not field.is_required() and not forms.is_nothing(field.get_default()):
            assert (field.alias or name) in filled, name


def test_what_is_not_carried_out_has_no_default(tmp_path):
    """The dump of a configuration that runs is one that runs."""
    loaded = load(ROOT / "hepsw.toml", running=True)
    (tmp_path / "hepsw.toml").write_text(dump(loaded.sources, defaults=True))
    assert load(tmp_path / "hepsw.toml", running=True).problems.errors == []


def test_every_block_has_its_defaults():
    """A new block of the language is one whose defaults are shown."""
    known = {
        *effective.SINGLE.values(),
        *effective.NAMED.values(),
        *effective.LISTED.values(),
        models.Rule,
    }
    tests = {models.RuleTest, models.PathTest}  # they have no defaults
    within = {
        inner for model in known for field in model.model_fields.values() for inner in blocks(field)
    }
    assert known | within | tests == set(every_block())


def blocks(field):
    """Return the blocks that a key can hold, and those within."""
    waiting, found = [field.annotation], set()
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, models.Block):
            found.add(kind)
            waiting += [inner.annotation for inner in kind.model_fields.values()]
        waiting += typing.get_args(kind)
    return found


def test_schemas_are_left_out(tmp_path):
    """Each file may name its schema; the dump names none, since it may lie anywhere."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "hepsw.toml").write_text('"$schema" = "x.json"\n[[listen]]\nurl = "udp://x"\n')
    (tmp_path / "rules/a.toml").write_text('"$schema" = "../x.json"\n')
    loaded = load(tmp_path / "hepsw.toml")
    assert loaded.problems.errors == []
    assert dump(loaded.sources) == '[[listen]]\nurl = "udp://x"\n'


def test_layout():
    """What does not fit a line is broken, and names that are no bare keys are quoted."""
    long = [f"198.51.100.{number}" for number in range(10)]
    data = {
        "listen": [{"url": "udp://x", "tls": {"cert": "a" * 50, "key": "b" * 50}}],
        "sets": {"a b": long, "c": [], "d": {}},
        "stores": {},
        "tables": {"x.y": {"doc": 'é "\n'}},
        "rules": {
            "none": [],
            "main": [
                {
                    "name": "r",
                    "match": {
                        "sip": {"method": ["A"], "header": {"X": {"exists": True}}},
                        "not": {"sip": {"status": 5}},
                    },
                    "test": [{"given": {"sip": {"method": "A"}}}, {"given": [{"at": "1s"}]}],
                }
            ],
        },
    }
    text = toml_text(data)
    assert tomllib.loads(text) == data
    assert (
        text
        == f"""[[listen]]
url = "udp://x"
tls.cert = "{"a" * 50}"
tls.key = "{"b" * 50}"

[sets]
"a b" = [
{"".join(f'    "{address}",{chr(10)}' for address in long)}]
c = []
d = {{}}

[stores]

[tables."x.y"]
doc = "é \\"\\n"

[rules]
none = []

[[rules.main]]
name = "r"
match.sip.method = ["A"]
match.sip.header.X = {{ exists = true }}
match.not = {{ sip.status = 5 }}

[[rules.main.test]]
given = {{ sip.method = "A" }}

[[rules.main.test]]
given = [{{ at = "1s" }}]
"""
    )
