"""`hepsw graph`, `hepsw dump` and `hepsw schema`: a configuration, shown; what it may be."""

import json
import tomllib

import pytest
from cli.command import ROOT, hepsw

from hepsw.config.schema import schema

CONFIGURATION = """
[[listen]]
url = "udp://127.0.0.1:9060"

[destinations]
homer = "udp://192.0.2.10"
"""
RULES = """
[[rules.main]]
name          = "ñ"
set.auth_key  = "s3cret"
relay         = "homer"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "hepsw.toml").write_text(CONFIGURATION)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/a.toml").write_text(RULES.replace("ñ", "n"))
    return tmp_path


def test_graph(folder):
    """The tree is what is drawn if nothing else is asked for."""
    ran = hepsw("graph", folder=folder)
    assert (ran.status, ran.err) == (0, "")
    assert ran == hepsw("graph", "--format", "tree", "-c", folder / "hepsw.toml", folder=ROOT)
    assert ran.out == (
        "listener udp://127.0.0.1:9060\n"
        "└─ table main\n"
        "   └─ n: always\n"
        "        set auth_key = ***\n"
        "        relay homer\n"
        "        ■ stop\n"
        "\n"
        "outputs\n"
        "└─ destination homer: udp://192.0.2.10:9060\n"
    )


def test_mermaid(folder):
    """A flowchart for mermaid."""
    ran = hepsw("graph", "--format", "mermaid", folder=folder)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("flowchart LR\n")


def test_dump(folder):
    """The files are one text, without what is secret."""
    ran = hepsw("dump", folder=folder)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        '[[listen]]\nurl = "udp://127.0.0.1:9060"\n\n[destinations]\nhomer = "udp://192.0.2.10"\n\n'
        '[[rules.main]]\nname = "n"\nset.auth_key = "***"\nrelay = "homer"\n'
    )


def test_dump_effective(folder):
    """What was not written is there with its default."""
    data = tomllib.loads(hepsw("dump", "--effective", folder=folder).out)
    assert data["reload"] == {"watch": True, "tests": "required"}
    assert data["destinations"]["homer"]["timeout"] == "5s"


@pytest.mark.parametrize("command", ["graph", "dump"])
def test_invalid(folder, command):
    """What is wrong is shown as `hepsw check` shows it, on standard error."""
    (folder / "rules/a.toml").write_text(RULES.replace("homer", "homr"))
    ran = hepsw(command, folder=folder)
    assert (ran.status, ran.out) == (78, "")
    checked = hepsw("check", "--offline", folder=folder)
    assert checked.status == 78
    assert ran.err == checked.out
    assert "did you mean `homer`?" in ran.err


def test_schema(tmp_path):
    """The schema is printed anywhere: it needs no configuration."""
    ran = hepsw("schema", folder=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out) == schema()
    assert ran.out.isascii()
