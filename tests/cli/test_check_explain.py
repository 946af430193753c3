"""`hepsw check --explain` as a user runs it: a process of its own, wherever they are."""

import os
import subprocess
import sys

import pytest
from running import ROOT

from hepsw.config.codes import CODES, explanation


def explain(folder, *arguments, **environment):
    """Return status, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "hepsw", "check", "--explain", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("wanted", ["HEP301", "hep301", "Hep301"])
def test_a_code_is_explained(tmp_path, wanted):
    """In upper or lower case: title, cause, example and cure, and exit status 0."""
    assert explain(tmp_path, wanted) == (0, explanation(CODES["HEP301"]), "")


def test_no_configuration_is_read(tmp_path):
    """A configuration that is broken, or not there, says nothing here."""
    (tmp_path / "hepsw.toml").write_text("[")
    for config in ("hepsw.toml", "missing.toml"):
        status, out, err = explain(tmp_path, "HEP101", "--strict", "-c", config)
        assert (status, err) == (0, "")
        assert out == explanation(CODES["HEP101"])


@pytest.mark.parametrize(
    ("wanted", "meant"), [("HEP3O1", "HEP301"), ("301", "HEP301"), ("HPE108", "HEP108")]
)
def test_a_code_that_there_is_none_of(tmp_path, wanted, meant):
    """Every code with its title, then what was probably meant, and exit status 2."""
    status, out, err = explain(tmp_path, wanted)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"hepsw check: unknown code `{wanted}`; did you mean `{meant}`?"
    )
    assert err.splitlines()[:-2] == [f"{code.code}  {code.title}" for code in CODES.values()]


def test_a_word_that_is_like_no_code(tmp_path):
    """Nothing is guessed."""
    status, _, err = explain(tmp_path, "unreachable")
    assert status == 2
    assert err.endswith("hepsw check: unknown code `unreachable`\n")


def test_whatever_the_terminal(tmp_path):
    """A terminal that cannot show a letter is no reason for a traceback."""
    status, out, err = explain(tmp_path, "HEP103", PYTHONIOENCODING="ascii")
    assert (status, err) == (0, "")
    assert 'doc = "B\\xfcro"' in out
