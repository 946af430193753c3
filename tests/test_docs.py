r"""What the documentation says is true: its examples load and run, and it leaves nothing out.

In README.md a comment in front of a TOML block says what belongs to it: `with: listen homer` puts
these parts of `PARTS` beside it, `findings` expects the findings that the next block shows. In the
manual a line `.\" toml` marks an example, and may say `with:` likewise.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import inspect
import io
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import typer

from hepsw import __version__, cli, daemon
from hepsw.accounting import Ledger, Observed, Reason, RuleAccount, SwitchAccount
from hepsw.cli import exits, init
from hepsw.cli.check import summary
from hepsw.compiler import drawing
from hepsw.compiler.lint import lint
from hepsw.compiler.picture import picture
from hepsw.config import codes, diagnostics, match, models, template
from hepsw.config.configuration import Expect, Flow
from hepsw.config.load import load
from hepsw.config.models.docstrings import field_docs
from hepsw.config.names import Names
from hepsw.config.problems import Report
from hepsw.fields import CATALOGUE, GEO
from hepsw.fields.payload import KINDS, VERDICTS
from hepsw.hep import PROTO_TYPES, packet_warnings
from hepsw.net import tcp, tls
from hepsw.sinks import backlog, trouble
from hepsw.sinks import udp as udp_sink
from hepsw.sinks.stores.postgres import trouble as postgres_trouble
from hepsw.sinks.stores.sqlite import trouble as sqlite_trouble
from man import make_codes, make_fields

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = sorted((ROOT / "man").glob("hepsw*.[157]"))
COMMANDS = (ROOT / "man/hepsw.1").read_text(encoding="utf-8")
SETTINGS = (ROOT / "man/hepsw.toml.5").read_text(encoding="utf-8")
FIELDS = (ROOT / "man/hepsw-fields.7").read_text(encoding="utf-8")
CODES = (ROOT / "man/hepsw-codes.7").read_text(encoding="utf-8")
LANGUAGE = tomllib.loads((ROOT / "tests/language_names.toml").read_text(encoding="utf-8"))
NOT_RUN = "†"
"""Marks in hepsw.toml(5) what `hepsw run` refuses in this release."""

PARTS = {
    "listen": '[[listen]]\nurl = "udp://0.0.0.0:9060"\n',
    "homer": '[destinations]\nhomer = "udp://192.0.2.10:9060"\n',
    "packets": '[stores.packets]\nurl = "sqlite://packets.db"\n',
}

PLACES = {
    models.Listen: ("[[listen]]", ""),
    models.ListenTls: ("[[listen]]", "tls."),
    models.Destination: ("[destinations]", ""),
    models.DestinationTls: ("[destinations]", "tls."),
    models.Queue: ("[destinations]", "queue."),
    models.Spool: ("[destinations]", "spool."),
    models.Store: ("[stores.x]", ""),
    models.Batch: ("[stores.x]", "batch."),
    models.Trace: ("[traces.x]", ""),
    models.SetFile: ("[sets]", ""),
    models.Map: ("[maps.x]", ""),
    models.ChunkName: ("[chunks]", ""),
    models.Privacy: ("[privacy.x]", ""),
    models.Ips: ("[privacy.x]", "ips."),
    models.Headers: ("[privacy.x]", "headers."),
    models.Geo: ("[geo]", ""),
    models.Table: ("[tables.t]", ""),
    models.Outputs: ("[tables.t]", "miss."),
    models.Rule: ("[[rules.t]]", ""),
    models.Sample: ("[[rules.t]]", "sample."),
    models.Dedupe: ("[[rules.t]]", "dedupe."),
    models.Limit: ("[[rules.t]]", "limit."),
    models.LogLine: ("[[rules.t]]", "log."),
    models.Mapped: ("[[rules.t]]", "relay."),
    models.RuleTest: ("[[rules.t.test]]", ""),
    models.PathTest: ("[[tests]]", ""),
    models.Switch: ("[switch]", ""),
    models.Reload: ("[reload]", ""),
    models.Control: ("[control]", ""),
    models.Http: ("[http]", ""),
    models.Log: ("[log]", ""),
    models.Secret: ("SECRETS", ""),
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
        (r"\(dg", NOT_RUN),
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
    """Every TOML example loads without findings, also those of a look at its tables."""
    (tmp_path / "banned.txt").write_text("198.51.100.66  # since March\n")
    main = tmp_path / "hepsw.toml"
    if example.wanted:
        main.write_text("\n".join(PARTS[part] for part in example.wanted))
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules/10-example.toml").write_text(example.text)
    else:
        main.write_text(example.text)
    loaded = load(main, running=True)
    if loaded.configuration is not None:
        lint(loaded.configuration, Report(loaded.sources))
    assert diagnostics.render(loaded.problems.sorted(), loaded.texts) == ""
    assert loaded.configuration is not None


def test_there_are_examples():
    """The examples are found: nothing above passes for want of them."""
    assert len([found for found in examples() if found.id.startswith("README")]) >= 2
    assert len([found for found in examples() if found.id.startswith("hepsw.toml.5")]) >= 6


@pytest.mark.parametrize(
    "example", [found for found in examples() if "test" in found.values[0].text]
)
def test_tests_of_examples(tmp_path, example):
    """Tests that stand in an example pass."""
    from hepsw.prove import prove

    (tmp_path / "hepsw.toml").write_text(
        "\n".join([*(PARTS[part] for part in example.wanted), example.text])
    )
    for result in prove(tmp_path / "hepsw.toml").results:
        assert result.failures == (), result.case.name


def test_shown_tests(tmp_path):
    """What the README shows of `hepsw test` is what it prints of the example above."""
    from cli.command import hepsw

    _, _, after = README.partition("## Tests in the configuration")
    comment, text = re.search(r"<!-- ([^\n]*) -->\n```toml\n(.*?)```", after, re.DOTALL).groups()
    (tmp_path / "hepsw.toml").write_text(
        "\n".join([*(PARTS[part] for part in with_parts(comment)), text])
    )
    shown = re.search(r"```console\n\$ hepsw (.*?)\n(.*?)```", after, re.DOTALL)
    assert hepsw(*shown[1].split(), folder=tmp_path) == (0, shown[2], "")


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
    """The configuration that is shipped loads and runs without findings."""
    loaded = load(ROOT / "hepsw.toml", running=True)
    assert loaded.configuration is not None
    lint(loaded.configuration, Report(loaded.sources))
    assert loaded.problems.sorted() == []


def test_shown_graph(tmp_path):
    """The tree that the README shows is that of its configuration in one page."""
    (tmp_path / "hepsw.toml").write_text(blocks("toml")[0][1])
    configuration = load(tmp_path / "hepsw.toml").configuration
    drawn = drawing.tree(configuration, picture(configuration))
    assert f"$ hepsw graph\n{drawn}\n```" in README


def test_shown_templates():
    """The list of templates that the README shows is what `hepsw init` prints."""
    assert f"$ hepsw init\n{init.listed()}```" in README
    assert init.TEMPLATES.keys() <= entries(section(COMMANDS, "hepsw init")).keys()


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
    assert f"hepsw {__version__}, compiled build" in README


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


def keys(model: type[models.Block]) -> dict[str, str]:
    """Return what an operator may write in a block, with the attribute that each key becomes."""
    found = {field.alias or name: name for name, field in model.model_fields.items()}
    if model is models.Secret:
        del found["literal"]  # what is written as a text, and never a key
    return found


def test_every_model_has_its_place():
    """No block of the language is without a heading in hepsw.toml(5)."""
    assert set(PLACES) == set(models.blocks())
    for block in (*models.BLOCKS, *models.SETTINGS):
        assert re.search(rf"^\.SS \[+{block}\b", SETTINGS, re.MULTILINE), block


@pytest.mark.parametrize(
    ("model", "key"),
    [(model, key) for model in PLACES for key in keys(model)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_key(model, key):
    """Each key has an entry with its default, whether it is required, and whether it runs."""
    heading, before = PLACES[model]
    field = model.model_fields[keys(model)[key]]
    name = f"{before}{key}"
    found = entries(section(SETTINGS, heading))
    assert name in found
    described = " ".join(field_docs(model)[keys(model)[key]].split()).replace("`", "")
    default = re.search(r"\[(.*)\]\.?$", described)
    if default is not None:
        assert f"[{default[1]}]" in found[name]
    assert ("(required" in found[name]) == field.is_required()
    assert (NOT_RUN in found[name]) == (key in models.NOT_RUN.get(model, ()))


def test_everything_that_does_not_run():
    """Keys that `hepsw run` refuses are in the lists of manual and README, no other."""
    listed = chapter(SETTINGS, "NOT YET CARRIED OUT")
    blocks = dict(
        re.findall(r"^\.TP\n(\[\S*)\n(.*?)(?=^\.TP|\Z)", listed, re.DOTALL | re.MULTILINE)
    )
    assert blocks.keys() == {PLACES[model][0] for model in models.NOT_RUN}
    readme = README.split("## Not yet")[1].split("\n## ")[0]
    in_readme = dict(re.findall(r"^- of `(\[\S*)`: (.*)$", readme, re.MULTILINE))
    assert in_readme.keys() == blocks.keys()
    for model, refused in models.NOT_RUN.items():
        heading = PLACES[model][0]
        bold = "".join(re.findall(r"^\.B[R]? (.*)$", blocks[heading], re.MULTILINE))
        assert set(re.findall(r"[a-z_]+", bold)) - {"and"} == refused
        assert set(re.findall(r"`([a-z_]+)`", in_readme[heading])) == refused


# --- the language, name by name ------------------------------------------------------------------


def test_every_block_of_the_language():
    """Each block has a heading and a model, or is read as named things."""
    for block in LANGUAGE["blocks"]:
        assert re.search(rf"^\.SS \[+{block}\b", SETTINGS, re.MULTILINE), block
    assert set(LANGUAGE["blocks"]) == {*models.BLOCKS, *models.SETTINGS}


@pytest.mark.parametrize("heading", LANGUAGE["keys"])
def test_every_key_of_the_language(heading):
    """Each key has an entry under its block, and is one of its model or of a block within."""
    wanted = set(LANGUAGE["keys"][heading])
    assert wanted <= entries(section(SETTINGS, heading)).keys()
    known = {
        f"{before}{key}"
        for model, (place, before) in PLACES.items()
        if place == heading
        for key in keys(model)
    }
    assert wanted <= known


@pytest.mark.parametrize(
    ("heading", "key"),
    [(heading, key) for heading, found in LANGUAGE["words"].items() for key in found],
)
def test_every_word_of_the_language(heading, key):
    """Each word that a key takes stands in its entry, and its model takes it."""
    wanted = LANGUAGE["words"][heading][key]
    _, _, text = section(SETTINGS, heading).partition(f".TP\n.BR {key} ")
    text = unroff(re.split(r"^\.(?:TP|PP|SS)", text, flags=re.MULTILINE)[0])
    for word in wanted:
        assert re.search(rf"(?<![a-z0-9]){word}(?![a-z0-9])", text), word
    for model, (place, before) in PLACES.items():
        if place == heading and key.startswith(before) and key.removeprefix(before) in keys(model):
            field = model.model_fields[keys(model)[key.removeprefix(before)]]
            legal = {str(word) for word in get_args(field.annotation)}
            assert key == "url" or set(wanted) == legal


@pytest.mark.parametrize("group", ["chunks", "derived", "transport", "payload", "places"])
def test_every_field_of_the_language(group):
    """Each field has an entry in hepsw-fields(7), and a configuration knows it."""
    found = entries(FIELDS)
    names = Names(geo={"city": None, "asn": None})
    for name in LANGUAGE["fields"][group]:
        assert name in found
        assert names.field(name).name == name
    in_code = {*CATALOGUE, *GEO}
    assert in_code == {
        name
        for each in ("chunks", "derived", "transport", "payload", "places")
        for name in LANGUAGE["fields"][each]
    }


def test_open_families_of_fields():
    """Headers, JSON paths and maps have an entry each; what a text can be is told."""
    names = Names(maps={"name": CATALOGUE["node_name"]})
    for family in LANGUAGE["fields"]["families"]:
        tag = family.replace('"', r"\(dq")
        assert f".TP\n.B {tag}\n" in FIELDS
        assert names.field(family.replace("<Name>", "X-CID").replace("<name>", "name"))
    assert tuple(LANGUAGE["fields"]["kinds"]) == KINDS
    assert set(LANGUAGE["fields"]["verdicts"]) == set(VERDICTS)
    for word in {*KINDS, *VERDICTS}:
        assert rf"\fB{word}\fR" in FIELDS


def test_the_rest_of_the_language():
    """Operators, filters, flow, tests, fates and payload types, in the manual and in the code."""
    operators = entries(section(SETTINGS, "Operators"))
    assert set(LANGUAGE["operators"]) == match.OPERATORS.keys()
    assert set(LANGUAGE["operators"]) <= operators.keys()
    assert set(LANGUAGE["match"]) == set(match.BLOCK_WORDS)
    assert set(LANGUAGE["match"]) <= entries(section(SETTINGS, "MATCH")).keys()
    assert set(LANGUAGE["filters"]) == template.FILTERS.keys()
    assert set(LANGUAGE["flow"]) | {"stop"} == {flow.value for flow in Flow}
    rule_test = entries(section(SETTINGS, "[[rules.t.test]]"))
    assert {f"given.{key}" for key in LANGUAGE["given"]} <= rule_test.keys()
    assert {f"expect.{key}" for key in LANGUAGE["expect"]} <= rule_test.keys()
    assert set(LANGUAGE["expect"]) == {field.name for field in dataclasses.fields(Expect)}
    fates = entries(section(SETTINGS, "FATE AND COUNTERS"))
    assert set(LANGUAGE["fates"]) <= fates.keys()
    assert set(LANGUAGE["fates"]) <= {field.name for field in dataclasses.fields(SwitchAccount)}
    assert set(LANGUAGE["payload_types"]) <= PROTO_TYPES.keys()


def test_every_operator():
    """Each operator, and each word that nests match blocks, has an entry in hepsw.toml(5)."""
    assert match.OPERATORS.keys() <= entries(section(SETTINGS, "Operators")).keys()
    assert {"any", "all", "not", "is"} <= entries(section(SETTINGS, "MATCH")).keys()


def test_every_filter():
    """Each filter, and no other, has an entry in hepsw.toml(5)."""
    tags = re.findall(r"^\.TP\n\.BI? (\S+)", section(SETTINGS, "TEMPLATES"), re.MULTILINE)
    found = {tag.partition(":")[0] for tag in tags}
    assert found == template.FILTERS.keys()


def reported(pattern: str) -> set[str]:
    """Return the codes that a pattern finds in the code that reports them."""
    return {
        code
        for file in (ROOT / "hepsw").rglob("*.py")
        if file != Path(codes.__file__)
        for code in re.findall(pattern, file.read_text(encoding="utf-8"), re.DOTALL)
    }


def test_every_code():
    """Each diagnostic code, and no other, has an entry in hepsw-codes(7), with its title."""
    found = reported(r'"(HEP\d{3})"')
    assert found <= codes.CODES.keys()
    assert codes.CODES.keys() <= found
    headings = re.findall(r'^\.SS "(HEP\d{3}): (.*)"$', CODES, re.MULTILINE)
    described = {code: unroff(title) for code, title in headings}
    assert described == {name: code.title for name, code in codes.CODES.items()}


def test_every_warning_code():
    """Hepsw-codes(7) says which codes are warnings; a failed test is one only if asked for."""
    warnings = {
        name for name, code in codes.CODES.items() if code.severity is diagnostics.Severity.WARNING
    }
    found = reported(r'(?:warning|[Ff]inding)\(\s*"(HEP\d{3})"')
    assert found - {"HEP120"} <= warnings
    assert warnings <= found
    for name, code in codes.CODES.items():
        said = section(CODES, f"{name}: {make_codes.roff(code.title)}").split()[0]
        assert said == ("Warning." if name in warnings else "Error.")


def test_every_family():
    """Each family of codes has an entry in hepsw.toml(5)."""
    families = {f"HEP{digit}xx" for digit in codes.FAMILIES}
    assert entries(chapter(SETTINGS, "DIAGNOSTICS")).keys() == families
    assert {f"HEP{name[3]}xx" for name in codes.CODES} == families


def test_codes_page_is_generated():
    """hepsw-codes(7) is what `python -m man.make_codes` writes."""
    assert make_codes.page() == CODES


def test_explanation_in_the_readme():
    """The explanation that the README shows is what `hepsw check --explain` prints."""
    (shown,) = [text for _, text, _ in blocks("console") if "--explain" in text]
    asked, _, printed = shown.partition("\n")
    assert printed == codes.explanation(codes.CODES[asked.split()[-1]])


def slugs(module: Any, pattern: str) -> set[str]:
    """Return what the pattern captures in the source of a module or a folder of them."""
    file = Path(inspect.getfile(module))
    file = file.with_name(file.name.partition(".")[0] + ".py")  # compiled, it lies beside its text
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
    broken = entries(section(SETTINGS, "Broken, of a connection"))
    at_listeners = {"hep-version", "not-allowed", "auth-key"}
    assert lost.keys() | at_listeners == {str(reason) for reason in Reason}
    decoding = slugs(importlib.import_module("hepsw.hep"), r'DecodeError\(\s*"([a-z0-9-]+)"')
    of_streams = {slug for slug in decoding if slug.startswith("stream-")}
    # "bad-size" is of the library: no decoder raises it.
    assert rejected.keys() == decoding - of_streams - {"bad-size"} | at_listeners | {"too-big"}
    closing = slugs(tcp, r'(?:give_up\(|return )"([a-z-]+)"')
    assert broken.keys() == of_streams | closing | slugs(tls, r'SessionError\("([a-z-]+)"')


def test_every_counter():
    """Each counter of the JSON is named in the chapter about them."""
    told = chapter(SETTINGS, "FATE AND COUNTERS")
    words = set(re.findall(r"[a-z_]+", unroff(told)))
    for account in (SwitchAccount, Observed):
        for field in dataclasses.fields(account):
            assert field.name in words, field.name
    assert words.issuperset(RuleAccount().as_dict())
    assert {field.name for field in dataclasses.fields(Ledger)} <= words


def test_every_packet_warning():
    """Each oddity that a listener counts has an entry, and nothing else has."""
    found = slugs(packet_warnings, r'(?:append\(|\[\s*)f?"([a-z0-9-]+)')
    notes = slugs(importlib.import_module("hepsw.hep.decoding"), r'note = "([a-z-]+)"')
    notes |= slugs(importlib.import_module("hepsw.hep.decoding"), r'else "([a-z-]+)"')
    assert entries(section(SETTINGS, "Warnings, at a listener")).keys() == found | notes


def test_every_refused_edit():
    """Each reason for which an edit is not made has an entry, and nothing else has."""
    raised = slugs(importlib.import_module("hepsw.hep"), r'EditError\(\s*"([a-z-]+)"')
    counted = slugs(importlib.import_module("hepsw.compiler.edits"), r'refused\["([a-z-]+)"\]')
    assert entries(section(SETTINGS, "Edits refused, at a rule")).keys() == raised | counted


def test_every_output_error():
    """Each error that an output counts has an entry; SQLite's own names are mentioned as such."""
    found = slugs(udp_sink, r'errors\["([a-z-]+)"\]')
    found |= slugs(backlog, r'errors\["([a-z-]+)"\]')
    found |= slugs(trouble, r'label = "([a-z-]+)"|else "([a-z-]+)"|= error, "([a-z-]+)"')
    worker = importlib.import_module("hepsw.sinks.spool.worker")
    tried = slugs(worker, r'(?:_try(?:_quietly)?\)?\(|_told\.(?:down|failed), )"([a-z]+)"')
    found |= {f"spool-{what}" for what in tried}
    assert entries(section(SETTINGS, "Errors, at an output")).keys() == found | errors_of_stores()


def errors_of_stores() -> set[str]:
    """Return what a store can count as an error: its own, and what its media raise."""
    found = slugs(importlib.import_module("hepsw.sinks.stores.store"), r'errors\["([a-z-]+)"\]')
    found |= slugs(
        importlib.import_module("hepsw.sinks.stores.attempts"), r'what, why = "([a-z]+)"'
    )
    for file in (ROOT / "hepsw/sinks/stores").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            # The slug is the second argument, often out of two or more.
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in RAISED:
                slug = node.args[1] if len(node.args) > 1 else ast.Constant("refused")
                found |= {part.value for part in ast.walk(slug) if is_text(part)}
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "what":
                parts = [part.value for part in ast.walk(node.value) if is_text(part)]
                found |= {part for part in parts if re.fullmatch("[a-z-]+", part)}
    found |= set(sqlite_trouble._WHAT.values())
    found |= {*postgres_trouble._BY_STATE.values(), *postgres_trouble._BY_CLASS.values()}
    return found - UNCOUNTED


UNCOUNTED = {
    "closed",  # raised once nobody counts any more
    "keep",  # of retention, all of which is counted as `tidy`
}
RAISED = {"StoreError", "FullError"}
"""What media raise, with a slug."""


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


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
