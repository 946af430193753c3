r"""What the documentation says is true: its examples load and run, and it leaves nothing out.

In README.md a comment in front of a TOML block says what belongs to it: `with: listen homer` puts
these parts of `PARTS` beside it, `findings` expects the findings that the next block shows. In the
manual a line `.\" toml` marks an example, and may say `with:` likewise.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from hepsw import __version__, cli, daemon
from hepsw.accounting import Reason
from hepsw.cli import exits
from hepsw.cli.check import summary
from hepsw.config import diagnostics, match, models, template
from hepsw.config.load import load
from hepsw.fields import CATALOGUE, COMING
from hepsw.hep import PROTO_TYPES, packet_warnings
from hepsw.net import tcp
from hepsw.sinks import tcp as tcp_sink
from hepsw.sinks import trouble
from hepsw.sinks import udp as udp_sink
from man import make_fields

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = sorted((ROOT / "man").glob("hepsw*.[157]"))
COMMANDS = (ROOT / "man/hepsw.1").read_text(encoding="utf-8")
SETTINGS = (ROOT / "man/hepsw.toml.5").read_text(encoding="utf-8")
FIELDS = (ROOT / "man/hepsw-fields.7").read_text(encoding="utf-8")

PARTS = {
    "listen": '[[listen]]\nurl = "udp://0.0.0.0:9060"\n',
    "homer": '[destinations]\nhomer = "udp://192.0.2.10:9060"\n',
    "packets": '[stores.packets]\nurl = "sqlite://packets.db"\n',
}

PLACES = {
    models.Listen: ("[[listen]]", ""),
    models.Destination: ("[destinations]", ""),
    models.Queue: ("[destinations]", "queue."),
    models.Store: ("[stores.x]", ""),
    models.Batch: ("[stores.x]", "batch."),
    models.SetFile: ("[sets]", ""),
    models.ChunkName: ("[chunks]", ""),
    models.Table: ("[tables.t]", ""),
    models.Outputs: ("[tables.t]", "miss."),
    models.Rule: ("[[rules.t]]", ""),
    models.LogLine: ("[[rules.t]]", "log."),
    models.Reload: ("[reload]", ""),
    models.Log: ("[log]", ""),
}
"""Under which heading of hepsw.toml(5) the keys of a model stand, and with what in front."""


class Example(NamedTuple):
    """A block of documentation, with what the comment before it says."""

    text: str
    wanted: tuple[str, ...]


# --- reading the documents -----------------------------------------------------------------------


def blocks(language: str) -> list[tuple[str, str, str]]:
    """Return the README's blocks of a language: the comment in front, the text, what follows."""
    pattern = rf"(?:<!-- ([^\n]*) -->\n)?```{language}\n(.*?)```(?=(.*))"
    return re.findall(pattern, README, re.DOTALL)


def with_parts(comment: str) -> tuple[str, ...]:
    return tuple(comment.partition("with:")[2].split())


def unroff(text: str) -> str:
    """Return what roff prints for the text of an example."""
    for written, printed in (
        (r"\(aq", "'"),
        (r"\(dq", '"'),
        (r"\(->", "->"),
        (r"\-", "-"),
        (r"\&", ""),
        (r"\e", "\\"),
    ):
        text = text.replace(written, printed)
    return text


def examples() -> list[Any]:
    """Return every TOML example that is to load without findings."""
    found = [
        pytest.param(Example(text, with_parts(comment)), id=f"README-{number}")
        for number, (comment, text, _) in enumerate(blocks("toml"))
        if not comment.startswith("findings")
    ]
    for page in MANUAL:
        text = page.read_text(encoding="utf-8")
        marked = re.findall(
            r'^\.\\" toml([^\n]*)\n\.EX\n(.*?)\n\.EE', text, re.DOTALL | re.MULTILINE
        )
        found += [
            pytest.param(Example(unroff(block), with_parts(comment)), id=f"{page.name}-{number}")
            for number, (comment, block) in enumerate(marked)
        ]
    return found


def section(page: str, heading: str) -> str:
    """Return a section or subsection of a manual page."""
    after = re.split(rf'^\.S[HS] "?{re.escape(heading)}"?$', page, maxsplit=1, flags=re.MULTILINE)
    assert len(after) == 2, f"no heading {heading}"
    return re.split(r"^\.S[HS] ", after[1], maxsplit=1, flags=re.MULTILINE)[0]


def chapter(page: str, heading: str) -> str:
    """Return a section of a manual page with its subsections."""
    after = re.split(rf"^\.SH {re.escape(heading)}$", page, maxsplit=1, flags=re.MULTILINE)
    assert len(after) == 2, f"no heading {heading}"
    return re.split(r"^\.SH ", after[1], maxsplit=1, flags=re.MULTILINE)[0]


def entries(text: str) -> dict[str, str]:
    """Return what stands in the tag line of each entry of a list, by each word set in bold."""
    found = {}
    for tag in re.findall(r"^\.TP\n\.B[RI]? (.*)$", text, re.MULTILINE):
        line = unroff(tag)
        for word in re.findall(r'[^\s",]+', line):
            found.setdefault(word.removesuffix(":"), line)
    return found


# --- examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", examples())
def test_toml_examples(tmp_path, example):
    """Every TOML example loads without findings."""
    (tmp_path / "banned.txt").write_text("198.51.100.66  # since March\n")
    main = tmp_path / "hepsw.toml"
    if example.wanted:
        main.write_text("\n".join(PARTS[part] for part in example.wanted))
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules/10-example.toml").write_text(example.text)
    else:
        main.write_text(example.text)
    loaded = load(main)
    assert diagnostics.render(loaded.problems.sorted(), loaded.texts) == ""
    assert loaded.configuration is not None


def test_there_are_examples():
    """The examples are found: nothing above passes for want of them."""
    assert len([found for found in examples() if found.id.startswith("README")]) >= 2
    assert len([found for found in examples() if found.id.startswith("hepsw.toml.5")]) >= 6


def test_broken_example(tmp_path, monkeypatch):
    """The broken example of the README gives the answer that stands under it."""
    (broken,) = [found for found in blocks("toml") if found[0].startswith("findings")]
    answer = re.search(r"```text\n(.*?)```", broken[2], re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("hepsw.toml").write_text(broken[1])
    loaded = load(Path("hepsw.toml"))
    found = loaded.problems.sorted()
    printed = f"{diagnostics.render(found, loaded.texts)}\n\n{summary(None, len(found), 0)}\n"
    assert printed == answer[1]


def test_broken_rule_of_the_first_minute(tmp_path, monkeypatch):
    """The refused reload of the README is what breaking that rule gives."""
    (shown,) = [text for comment, text, _ in blocks("text") if comment.startswith("findings")]
    shutil.copy(ROOT / "hepsw.toml", tmp_path)
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    monkeypatch.chdir(tmp_path)
    file = Path("rules/10-main.toml")
    before, _, after = file.read_text().rpartition("relay")
    file.write_text(f"{before}rely{after}")
    loaded = load(Path("hepsw.toml"))
    assert f"{diagnostics.render(loaded.problems.sorted(), loaded.texts)}\n" in shown


def test_shipped_configuration():
    """The configuration that is shipped loads without findings."""
    loaded = load(ROOT / "hepsw.toml")
    assert loaded.problems.sorted() == []
    assert loaded.configuration is not None


def test_first_minute_names_the_shipped_configuration():
    """The lines of the start that the README shows are those of the shipped configuration."""
    configuration = load(ROOT / "hepsw.toml").configuration
    for name, table in configuration.tables.items():
        assert f"table {name}: {', '.join(rule.name for rule in table.rules)}\n" in README
        for rule in table.rules:
            assert re.search(rf"^{re.escape(rule.path)} ", README, re.MULTILINE), rule.path
    for name, destination in configuration.destinations.items():
        assert f"destination {name}: {destination.url}\n" in README
    for listener in configuration.listeners:
        assert f"listening on {listener.url} → table {listener.entry}\n" in README
    assert f"hepsw {__version__}, plain Python build" in README


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_examples(number):
    """Every Python example runs, and prints what its comments say."""
    code = blocks("python")[number][1]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, f"README-python-{number}", "exec"), {})  # noqa: S102 - that is the test
    said = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert printed.getvalue().splitlines() == said


# --- the manual leaves nothing out ---------------------------------------------------------------


def command_line() -> Any:
    app = typer.Typer(add_completion=False)
    app.callback()(cli._hepsw)
    for name in cli.COMMANDS:
        app.command(name)(importlib.import_module(f"hepsw.cli.{name}").command)
    return typer.main.get_command(app)


def test_every_command_and_option():
    """Each command has a section in hepsw(1) that has an entry for each of its options."""
    group = command_line()
    assert set(group.commands) == set(cli.COMMANDS)
    for option in group.params:
        assert set(option.opts) <= entries(section(COMMANDS, "OPTIONS")).keys()
    for name, command in group.commands.items():
        about = section(COMMANDS, f"hepsw {name}")
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert set(parameter.opts) <= entries(about).keys(), (name, parameter.name)
            else:
                assert parameter.name.removesuffix("s").upper() in about
        assert f"hepsw {name}" in README


def test_every_exit_status():
    """Each exit status has an entry in hepsw(1)."""
    statuses = {str(number) for name, number in vars(exits).items() if name.isupper()}
    assert entries(section(COMMANDS, "EXIT STATUS")).keys() == statuses


def test_every_signal():
    """Each signal that the daemon hears has an entry in hepsw(1)."""
    heard = set(re.findall(r"signal\.(SIG[A-Z0-9]+)", inspect.getsource(daemon)))
    assert entries(section(COMMANDS, "SIGNALS")).keys() == heard


def test_every_model_has_its_place():
    """No block of the language is without a heading in hepsw.toml(5)."""
    assert set(PLACES) == set(models.Block.__subclasses__())
    for block in (*models.BLOCKS, "reload", "log"):
        assert re.search(rf"^\.SS \[+{block}\b", SETTINGS, re.MULTILINE), block


@pytest.mark.parametrize(
    ("model", "key"),
    [(model, key) for model in PLACES for key in model.model_fields],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_key(model, key):
    """Each key stands under its block's heading, with its default or that it is required."""
    heading, before = PLACES[model]
    field = model.model_fields[key]
    name = f"{before}{field.alias or key}"
    found = entries(section(SETTINGS, heading))
    assert name in found
    described = " ".join(field.description.split()).replace("`", "")
    default = re.search(r"\[(.*)\]\.?$", described)
    if default is not None:
        assert f"[{default[1]}]" in found[name]
    assert ("(required" in found[name]) == field.is_required()


@pytest.mark.parametrize("block", models.NOT_YET, ids=lambda block: block and block.__name__)
def test_every_key_that_is_not_yet(block):
    """Each key that is refused by name is in both lists of what is not there yet."""
    listed = chapter(SETTINGS, "NOT YET")
    heading = "At the top of a file" if block is None else PLACES[block][0]
    _, found, rest = listed.partition(f".TP\n{heading}\n")
    assert found
    manual = set(re.findall(r"[a-z_]+", re.split(r"^\.[TP]P", rest, flags=re.MULTILINE)[0]))
    assert models.NOT_YET[block] <= manual
    assert models.NOT_YET[block] <= set(re.findall(r"`([a-z_]+)`", README.split("## Not yet")[1]))


def test_every_field_that_is_not_yet():
    """Each kind of field that is refused by name is in all three lists."""
    for name in COMING:
        shown = f"{name}*" if name.endswith(".") else name
        assert f"`{shown}`" in README.split("## Not yet")[1]
        assert shown in chapter(SETTINGS, "NOT YET")
        assert shown in chapter(FIELDS, "NOT YET")


def test_every_operator():
    """Each operator, and each word that nests match blocks, has an entry in hepsw.toml(5)."""
    assert match.OPERATORS.keys() <= entries(section(SETTINGS, "Operators")).keys()
    assert {"any", "all", "not", "is"} <= entries(section(SETTINGS, "MATCH")).keys()


def test_every_filter():
    """Each filter, and no other, has an entry in hepsw.toml(5)."""
    tags = re.findall(r"^\.TP\n\.BI? (\S+)", section(SETTINGS, "TEMPLATES"), re.MULTILINE)
    found = {tag.partition(":")[0] for tag in tags}
    assert found == template.FILTERS.keys()


def test_every_code():
    """Each diagnostic code, and no other, has an entry in hepsw.toml(5), with its title."""
    reported = {
        code
        for file in (ROOT / "hepsw").rglob("*.py")
        for code in re.findall(r"HEP\d{3}", file.read_text(encoding="utf-8"))
    }
    found = re.findall(
        r'^\.TP\n\.BR (HEP\d{3}) ": (.*)"$', chapter(SETTINGS, "DIAGNOSTICS"), re.MULTILINE
    )
    described = {code: unroff(title) for code, title in found}
    assert described.keys() == reported
    assert described == {code: known.title for code, known in diagnostics.CODES.items()}


def test_every_warning_code():
    """Hepsw.toml(5) says which codes are warnings."""
    reported = {
        code
        for file in (ROOT / "hepsw").rglob("*.py")
        for code in re.findall(
            r'warning\(\s*"(HEP\d{3})"', file.read_text(encoding="utf-8"), re.DOTALL
        )
    }
    said = re.search(r"^(.*) are warnings", chapter(SETTINGS, "DIAGNOSTICS"), re.MULTILINE)
    assert set(re.findall(r"HEP\d{3}", said[1])) == reported


def slugs(module: Any, pattern: str) -> set[str]:
    """Return what the pattern captures in the source of a module or a folder of them."""
    file = Path(inspect.getfile(module))
    files = file.parent.glob("*.py") if file.name == "__init__.py" else [file]
    found = {
        slug
        for each in files
        for match in re.finditer(pattern, each.read_text(encoding="utf-8"))
        for slug in match.groups()
        if slug
    }
    assert found, pattern
    return found


def test_every_reason():
    """Each reason that a counter can carry has an entry under its own heading."""
    lost = entries(section(SETTINGS, "Dropped or shed, at the switch and at an output"))
    rejected = entries(section(SETTINGS, "Rejected, at a listener"))
    broken = entries(section(SETTINGS, "Broken, of a TCP connection"))
    assert lost.keys() | {"hep-version"} == {str(reason) for reason in Reason}
    decoding = slugs(importlib.import_module("hepsw.hep"), r'DecodeError\(\s*"([a-z0-9-]+)"')
    of_streams = {slug for slug in decoding if slug.startswith("stream-")}
    # "bad-size" is of the library: no decoder raises it.
    assert rejected.keys() == decoding - of_streams - {"bad-size"} | {"hep-version"}
    assert broken.keys() == of_streams | slugs(tcp, r'give_up\("([a-z-]+)"')


def test_every_packet_warning():
    """Each oddity that a listener counts has an entry, and nothing else has."""
    found = slugs(packet_warnings, r'(?:append\(|\[\s*)f?"([a-z0-9-]+)')
    notes = slugs(importlib.import_module("hepsw.hep.decode"), r'note = "([a-z-]+)"')
    notes |= slugs(importlib.import_module("hepsw.hep.decode"), r'else "([a-z-]+)"')
    assert entries(section(SETTINGS, "Warnings, at a listener")).keys() == found | notes


def test_every_refused_edit():
    """Each reason for which an edit is not made has an entry, and nothing else has."""
    raised = slugs(importlib.import_module("hepsw.hep"), r'EditError\(\s*"([a-z-]+)"')
    counted = slugs(importlib.import_module("hepsw.switch"), r'refused\["([a-z-]+)"\]')
    assert entries(section(SETTINGS, "Edits refused, at a rule")).keys() == raised | counted


def test_every_output_error():
    """Each error that an output counts has an entry; SQLite's own names are mentioned as such."""
    found = slugs(udp_sink, r'errors\["([a-z-]+)"\]|(?:tell_down\(.*"([a-z-]+)"\))')
    found |= slugs(tcp_sink, r'label = "([a-z-]+)"|else "([a-z-]+)"')
    found |= slugs(trouble, r'label = "([a-z-]+)"|= error, "([a-z-]+)"')
    store = importlib.import_module("hepsw.sinks.sqlite")
    found |= slugs(store, r'return "([a-z-]+)", |_is_down, "([a-z-]+)"')
    assert entries(section(SETTINGS, "Errors, at an output")).keys() == found


def test_every_field():
    """Each field has an entry in hepsw-fields(7), and each payload type its name."""
    found = entries(FIELDS)
    for name in CATALOGUE:
        assert name in found
    for name, number in PROTO_TYPES.items():
        assert re.search(rf"^ *{number}  \\fB{name}\\fR$", FIELDS, re.MULTILINE)


def test_fields_page_is_generated():
    """hepsw-fields(7) is what `python -m man.make_fields` writes."""
    assert make_fields.page() == FIELDS


# --- form ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.name)
def test_pages_render(page):
    """Every page renders without a warning."""
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    run = subprocess.run(
        [groff, "-ww", "-man", "-Tutf8", str(page)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    assert f"hepsw {__version__}" in run.stdout


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.name)
def test_pages_are_of_this_version(page):
    """The footer of every page names this version."""
    assert f'"hepsw {__version__}"' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", [ROOT / "README.md", ROOT / "CHANGELOG.md", *MANUAL])
def test_lines_break_at_sentence_ends(file):
    """Prose breaks lines at sentence ends only: no line of prose ends in the middle of a word."""
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    if file.suffix == ".md":
        prose = [line for line in text.splitlines() if line and not re.match(r"[#|<>\-]|\s", line)]
        assert [line for line in prose if not re.search(r"[.:;]$|^This file$", line)] == []


def test_changelog_names_this_version():
    """The changelog has a section for this version."""
    assert f"\n## {__version__}," in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
