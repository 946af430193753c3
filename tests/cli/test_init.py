"""`hepsw init`: templates are written as they are, and over nothing."""

import resource
import tomllib

import pytest
from cli.command import ROOT, hepsw, python

from hepsw.cli.init import TEMPLATES, template
from hepsw.config.diagnostics import render
from hepsw.config.load import load

SHIPPED = ROOT / "hepsw/templates"


@pytest.mark.parametrize("name", TEMPLATES)
def test_template(name):
    """A template is valid TOML with comments, and the set files that it names are shipped."""
    files = template(name)
    data = tomllib.loads(files["hepsw.toml"].decode())
    assert data["listen"]
    assert data["rules"]
    assert files["hepsw.toml"].startswith(b"#:schema hepsw.schema.json\n# ")
    named = {written["file"] for written in data.get("sets", {}).values() if "file" in written}
    assert files.keys() == {"hepsw.toml"} | named


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_run(tmp_path, name):
    """`hepsw run` takes all that a template says, as far as secrets and files are there."""
    for file, octets in template(name).items():
        (tmp_path / file).write_bytes(octets)
    loaded = load(tmp_path / "hepsw.toml", running=True)
    assert render(loaded.problems.sorted(), loaded.texts) == ""
    assert loaded.not_run == ()


def test_every_shipped_file_is_of_a_template():
    """Nothing is shipped that no template writes."""
    used = {f"{name}.toml" for name in TEMPLATES}
    used |= {file for name in TEMPLATES for file in template(name)} - {"hepsw.toml"}
    assert {file.name for file in SHIPPED.iterdir()} == used


@pytest.mark.parametrize("name", TEMPLATES)
def test_written_byte_for_byte(tmp_path, name):
    """What is in the folder then is what was shipped; what was written and what is next is said."""
    status, out, err = hepsw("init", name, folder=tmp_path)
    assert (status, err) == (0, "")
    files = template(name)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files
    assert files["hepsw.toml"] == (SHIPPED / f"{name}.toml").read_bytes()
    assert out.startswith("".join(f"wrote {file}\n" for file in files))
    assert "  hepsw check" in out


def test_listed(tmp_path):
    """Without a name the templates are listed, a line each, and nothing is written."""
    status, out, err = hepsw("init", folder=tmp_path)
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(TEMPLATES)
    assert list(tmp_path.iterdir()) == []


def test_no_such_template(tmp_path):
    """A wrong name gets the one that was meant, and the list."""
    status, out, err = hepsw("init", "colector", folder=tmp_path)
    assert (status, out) == (2, "")
    assert err.startswith(
        "hepsw init: no template `colector`; did you mean `collector`?\nopensips "
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["hepsw.toml", "banned.txt"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_never_overwritten(tmp_path, there, kind):
    """One file that is there, or a link that leads nowhere, and nothing at all is written."""
    path = tmp_path / there
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    status, out, err = hepsw("init", "collector", folder=tmp_path)
    assert (status, out) == (74, "")
    assert err == f"hepsw init: {there} is here already; nothing was written\n"
    assert [file.name for file in tmp_path.iterdir()] == [there]
    assert kind != "file" or path.read_text() == "mine"


def test_all_or_nothing(tmp_path):
    """Where the second file cannot be written, the first is taken away again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = len(template("collector")["hepsw.toml"])
    script = (
        "import resource, signal, sys; from hepsw.cli import init\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {before[1]}))\n"
        "init._write({'a': b'x', 'b': b'x' * 100_000})"
    )
    status, _out, err = python("-c", script, folder=tmp_path)
    assert status != 0
    assert "hepsw init: cannot write b: File too large; nothing was written\n" in err
    assert list(tmp_path.iterdir()) == []
