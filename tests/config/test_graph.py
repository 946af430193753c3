"""How tables hang together: what leads to them, and what leads round."""

from itertools import product
from pathlib import Path

import pytest
import tomli_w

from hepsw.config.load import load

WAYS = ("goto", "call", "resume")
BASE = '[[listen]]\nurl = "udp://127.0.0.1"\n[destinations]\na = "udp://192.0.2.1"\n'


def found(folder: Path, **tables):
    """Return code, text, line and column of what is said about some tables.

    A table is a list of ways on, `("goto", "t")`; its last rule relays.
    """
    text = BASE
    for table, ways in tables.items():
        for at, (way, target) in enumerate(ways):
            text += f'[[rules.{table}]]\nname = "r{at}"\nmatch.vlan = {at}\n{way} = "{target}"\n'
        text += f'[[rules.{table}]]\nname = "rest"\nrelay = "a"\n'
    file = folder / "hepsw.toml"
    file.write_text(text)
    lines = text.splitlines()
    return [
        (problem.code, problem.text, problem.span and lines[problem.span.line - 1])
        for problem in load(file).problems.sorted()
    ]


@pytest.mark.parametrize(("on", "back"), list(product(WAYS, WAYS)))
def test_every_circle_is_found(tmp_path, on, back):
    """However a table is entered, coming back to one on the way is a circle, shown at its key."""
    assert found(tmp_path, main=[(on, "t")], t=[(back, "main")]) == [
        ("HEP305", "tables go round in a circle: main → t → main", f'{back} = "main"')
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_table_that_leads_to_itself(tmp_path, way):
    """The smallest circle."""
    assert found(tmp_path, main=[(way, "main")]) == [
        ("HEP305", "tables go round in a circle: main → main", f'{way} = "main"')
    ]


def test_a_circle_is_reported_once(tmp_path):
    """Two rules that close the same circle are one problem, at the first of them."""
    assert found(tmp_path, main=[("goto", "t"), ("call", "t")], t=[("call", "main")] * 2) == [
        ("HEP305", "tables go round in a circle: main → t → main", 'call = "main"')
    ]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_enters(tmp_path, way):
    """A table is entered by each of the three, and by nothing else."""
    assert found(tmp_path, main=[(way, "t")], t=[]) == []
    assert [code for code, _, _ in found(tmp_path, main=[(way, "t")], t=[], lost=[])] == ["HEP304"]


def test_two_ways_to_a_table_are_no_circle(tmp_path):
    """Tables may be shared: called here, gone to there."""
    tables = {
        "main": [("call", "marks"), ("goto", "t")],
        "t": [("call", "marks"), ("resume", "u")],
        "u": [("goto", "marks")],
        "marks": [],
    }
    assert found(tmp_path, **tables) == []


def test_a_chain_of_a_thousand_tables(tmp_path):
    """Long chains are legal."""
    chain = {f"t{at}": [(WAYS[at % 3], f"t{at + 1}")] for at in range(1000)}
    assert found(tmp_path, main=[("call", "t0")], **chain, t1000=[]) == []


def doubling(steps):
    """Return tables each of which calls the next one twice."""
    tables = {
        f"t{at}": [{"name": name, "call": f"t{at + 1}"} for name in ("x", "y")]
        for at in range(steps)
    }
    return {
        "listen": [{"url": "udp://127.0.0.1:9060"}],
        "destinations": {"a": "udp://192.0.2.1"},
        "rules": {
            "main": [{"name": "in", "call": "t0"}, {"name": "out", "relay": "a"}],
            **tables,
            f"t{steps}": [{"name": "mark", "set": {"capture_id": 1}, "continue": True}],
        },
    }


@pytest.mark.parametrize(("steps", "codes"), [(10, []), (30, ["HEP106"])])
def test_calls_that_double(tmp_path, steps, codes):
    """Thirty steps of two calls each are a billion walks for one packet: refused, and once."""
    file = tmp_path / "hepsw.toml"
    file.write_text(tomli_w.dumps(doubling(steps)))
    found = load(file).problems.sorted()
    assert [problem.code for problem in found] == codes
    assert all("10000 at most" in problem.text for problem in found)
