"""What `hepsw check --explain` says of a code is so: its example gives it, and the cure ends it."""

import re
from datetime import timedelta
from ipaddress import ip_address

import pytest
from certificates import Authority

from hepsw.cli.databases import ask_databases
from hepsw.config.codes import CODES, FAMILIES, File, explanation
from hepsw.config.diagnostics import Severity, render
from hepsw.config.problems import Report
from hepsw.prove import prove

NEEDS_A_FILE = {"HEP213", "HEP216", "HEP218", "HEP219"}
"""Cured by a database or a certificate, which no example can write: judged as `--offline` does."""


ADDRESSES = {
    "collector.example.net": ip_address("10.20.0.5"),
    "homer.example.com": ip_address("2606:2800:220:1::5"),
}
"""Names that can be looked up: one has a private address, one a public one."""


class Elsewhere:
    """A machine that has no address that an example names."""

    def addresses(self, host):
        return [ADDRESSES[host]] if host in ADDRESSES else []

    def is_own(self, address):
        return address.is_loopback


def written(code, folder, *, cured=False):
    """Write the example of a code and return its main file; cured, as the cure leaves it."""
    for file in (File("hepsw.toml", code.example), *code.beside):
        path = folder / file.name
        path.parent.mkdir(exist_ok=True)
        text = mended(code, file.text) if cured else file.text
        path.write_text(many(code, text), encoding="utf-8" if cured else file.encoding)
        path.chmod(0o600 if cured else file.mode)
    if code.code == "HEP407":
        # Nothing that stands in a manual stays about to expire.
        pair = {"name": "localhost", "ends": timedelta(days=300 if cured else 3)}
        Authority(folder).issue("server", **pair)
    return folder / "hepsw.toml"


def judged(code, file, machine):
    """Prove an example as the command does that reports its code."""
    loaded = prove(file, machine, running=code.code == "HEP108").loaded
    if machine is not None and loaded.configuration is not None:
        ask_databases(loaded.configuration, Report(loaded.sources))
    return loaded


def mended(code, text):
    """Return a file with what its cure changes in it."""
    for mend in code.mend:
        text = mend.applied(text)
    return text


def many(code, text):
    """Return the text with its numbered rule so often that `and so on` is true."""
    if code.code != "HEP501":
        return text
    (rule,) = re.findall(r'\[\[rules\.main\]\]\nname = "site-1"\n.*?\n\n', text, re.DOTALL)
    return text.replace(rule, "".join(rule.replace("1", str(number)) for number in range(1000)))


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch):
    """The environment holds none of the secrets that examples ask for."""
    for code in CODES.values():
        for name in re.findall(r'env = "(\w+)"', code.example):
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_the_example_gives_its_code(code, tmp_path):
    """The example gives this code and no other, with the severity that is said."""
    found = judged(code, written(code, tmp_path), Elsewhere()).problems.sorted()
    assert {(problem.code, problem.severity) for problem in found} == {(code.code, code.severity)}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_the_cure_ends_it(code, tmp_path):
    """The cured example is loaded, and nothing is found in it."""
    machine = None if code.code in NEEDS_A_FILE else Elsewhere()
    loaded = judged(code, written(code, tmp_path, cured=True), machine)
    assert render(loaded.problems.sorted(), loaded.texts) == ""
    assert loaded.configuration is not None


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_a_mend_has_one_place(code):
    """What a cure changes stands once in the example and the files beside it."""
    texts = [code.example, *(file.text for file in code.beside)]
    for mend in code.mend:
        assert sum(text.count(mend.old) for text in texts) == 1, mend.old


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_an_entry_can_be_read(code):
    """Two to four sentences of cause, some of cure, each on a line of its own that fits one."""
    assert 2 <= len(code.cause) <= 4
    assert code.cure
    for sentence in (*code.cause, *code.cure):
        assert re.fullmatch(r"\S.*\.", sentence), sentence
        assert len(sentence) <= 90, sentence
        assert sentence.count("`") % 2 == 0, sentence
    assert all(len(line) <= 78 for line in code.listing.splitlines())


def test_codes_are_listed_by_themselves():
    """Each code stands under its own name, in the order of the numbers, in a known family."""
    assert list(CODES) == sorted(CODES)
    for name, code in CODES.items():
        assert code.code == name
        assert re.fullmatch(r"HEP\d{3}", name)
        assert name[3] in FAMILIES
    assert len({code.title for code in CODES.values()}) == len(CODES)


def test_an_explanation():
    """Title, cause, example, cure, and the lines to write."""
    code = CODES["HEP404"]
    text = explanation(code)
    parts = [
        code.title,
        *code.cause,
        "[[listen]]",
        *code.cure,
        'match.node_name = { prefix = "lab-" }',
    ]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert code.severity is Severity.WARNING
    assert text.startswith("HEP404, a warning: ")
    assert text.endswith('  match.node_name = { prefix = "lab-" }\n')


def test_files_beside_the_example_are_named():
    """Each file has its name above it, and what its text cannot show."""
    lines = CODES["HEP103"].listing.splitlines()
    assert lines[0] == "# hepsw.toml"
    assert "# rules/10-main.toml, saved as ISO-8859-1" in lines
    assert "# agents.key, mode 0644" in CODES["HEP406"].listing


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("HEP106", 'match.src_ip = "10.0.0.30"\n'),
        ("HEP108", ""),
        ("HEP107", 'name = "rest"\nrelay = "homer"\n'),
        ("HEP304", '[[rules.main]]\nname = "calls"\nmatch.proto_type = "SIP"\ngoto = "calls"\n'),
    ],
    ids=["part of a line", "taken away", "added", "put before"],
)
def test_mended_lines_are_whole(code, lines):
    """A cure shows the lines that it writes, from their beginning to their end."""
    assert CODES[code].mended == lines
