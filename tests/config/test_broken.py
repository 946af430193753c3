"""Every kind of broken configuration gives one diagnostic, at the right place, with these words.

Each folder under `broken/` is a configuration with one mistake, and what `hepsw check` says of it.
"""

from pathlib import Path

import pytest

from hepsw.config.diagnostics import CODES, render
from hepsw.config.load import load

BROKEN = Path(__file__).parent / "broken"
CASES = sorted(folder.name for folder in BROKEN.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_one_mistake_is_one_diagnostic(name, monkeypatch):
    """The text, the place, the carets and the cure are exactly these."""
    monkeypatch.chdir(BROKEN / name)
    loaded = load(Path("hepsw.toml"))
    found = loaded.problems.sorted()
    assert len(found) == 1
    assert render(found, loaded.texts) + "\n" == Path("expected.txt").read_text(encoding="utf-8")
    assert found[0].code in CODES


def test_there_are_enough_of_them():
    """At least 25 kinds of mistake are held."""
    assert len(CASES) >= 25


def test_all_mistakes_in_one_pass(tmp_path):
    """Mistakes in different blocks and files are all reported at once, sorted by place."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "hepsw.toml").write_text(
        '[[listen]]\nurl = "upd://127.0.0.1"\n\n[destinations]\na = "udp://"\n'
    )
    (tmp_path / "rules" / "10.toml").write_text(
        '[[rules.main]]\nname = "x"\nmatch.src_ip = "10.0.0.300"\nrelay = "b"\n'
        'scope = "dialog"\nset.vlan = 70000\n'
    )
    found = load(tmp_path / "hepsw.toml").problems.sorted()
    assert [(problem.code, problem.span.line) for problem in found] == [
        ("HEP106", 2),
        ("HEP106", 5),
        ("HEP106", 3),
        ("HEP201", 4),
        ("HEP108", 5),
        ("HEP106", 6),
    ]
