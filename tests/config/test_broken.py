"""Every kind of broken configuration gives one diagnostic, at the right place, with these words.

Each folder under `broken/` is a configuration with one mistake, and what `hepsw check` says of it;
what begins with `not-yet` is read as `hepsw run` does.
"""

import shutil
from pathlib import Path

import pytest

from hepsw.config.codes import CODES
from hepsw.config.diagnostics import render
from hepsw.config.load import load

BROKEN = Path(__file__).parent / "broken"
CASES = sorted(folder.name for folder in BROKEN.iterdir())
ON_A_MACHINE = {
    "certificate-missing",
    "certificate-no-pem",
    "geo-database-missing",
    "key-that-everyone-may-read",
    "secret-file-missing",
    "secret-not-set",
    "spool-in-a-file",
}
"""Mistakes that only the machine shows: the others are found by `--offline` too."""


class Nowhere:
    """A machine that knows no name."""

    def addresses(self, _):
        return []

    def is_own(self, address):
        return address.is_loopback


def loaded_case(name, folder, monkeypatch):
    """Load a case from a folder of its own, where its key is one that everyone may read."""
    shutil.copytree(BROKEN / name, folder / name)
    monkeypatch.chdir(folder / name)
    monkeypatch.delenv("HEPSW_NOT_SET", raising=False)
    for key in Path().glob("*.key"):
        key.chmod(0o644)
    for file in Path().glob("*.pem"):
        file.chmod(0o600)
    machine = Nowhere() if name in ON_A_MACHINE else None
    return load(Path("hepsw.toml"), machine, running=name.startswith("not-yet"))


@pytest.mark.parametrize("name", CASES)
def test_one_mistake_is_one_diagnostic(name, tmp_path, monkeypatch):
    """The text, the place, the carets and the cure are exactly these."""
    if name == "geo-database-missing":
        pytest.importorskip("maxminddb")
    loaded = loaded_case(name, tmp_path, monkeypatch)
    found = loaded.problems.sorted()
    assert len(found) == 1
    assert render(found, loaded.texts) + "\n" == Path("expected.txt").read_text(encoding="utf-8")
    assert found[0].severity is CODES[found[0].code].severity


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("not-yet")])
def test_what_does_not_run_is_judged(name, tmp_path, monkeypatch):
    """What `hepsw run` refuses as not yet supported, `hepsw check` takes, and says so."""
    monkeypatch.chdir(BROKEN / name)
    loaded = load(Path("hepsw.toml"))
    assert loaded.problems.sorted() == []
    assert len(loaded.not_run) == 1


def test_there_are_enough_of_them():
    """At least 100 kinds of mistake are held."""
    assert len(CASES) >= 100


def test_all_mistakes_in_one_pass(tmp_path):
    """Mistakes in different blocks and files are all reported at once, sorted by place."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "hepsw.toml").write_text(
        '[[listen]]\nurl = "upd://127.0.0.1"\n\n[destinations]\na = "udp://"\n'
    )
    (tmp_path / "rules" / "10.toml").write_text(
        '[[rules.main]]\nname = "x"\nmatch.src_ip = "10.0.0.300"\nrelay = "b"\n'
        'scope = "call"\nset.vlan = 70000\nsample = "1"\ntrace = "t"\ncount.x = { y = "{z}" }\n'
        '[[rules.main.test]]\ngiven = { size = 1 }\nexpect = { rule = "y" }\n'
    )
    found = load(tmp_path / "hepsw.toml").problems.sorted()
    assert [(problem.code, problem.span.line) for problem in found] == [
        ("HEP106", 2),
        ("HEP106", 5),
        ("HEP106", 3),
        ("HEP201", 4),
        ("HEP106", 5),
        ("HEP106", 6),
        ("HEP106", 7),
        ("HEP211", 8),
        ("HEP110", 9),
        ("HEP116", 11),
        ("HEP217", 12),
    ]
