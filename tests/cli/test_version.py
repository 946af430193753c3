import os

import pytest
from cli.command import python

from hepsw import __version__
from hepsw.hep import COMPILED


def test_names_the_build(tmp_path):
    """The version comes with the build that is live: the one that is tested here."""
    build = "compiled" if COMPILED else "plain Python"
    ran = python("-m", "hepsw", "--version", folder=tmp_path)
    assert ran == (0, f"hepsw {__version__} ({build} build)\n", "")


def test_plain_on_demand(tmp_path, monkeypatch):
    """With HEPSW_PURE the plain text is used, whatever was compiled; empty, it says nothing."""
    monkeypatch.setenv("HEPSW_PURE", "1")
    ran = python("-m", "hepsw", "--version", folder=tmp_path)
    assert ran.out == f"hepsw {__version__} (plain Python build)\n"
    if not COMPILED:
        pytest.skip("nothing is compiled here, or it is not to be used")
    monkeypatch.setitem(os.environ, "HEPSW_PURE", "")
    assert "(compiled build)" in python("-m", "hepsw", "--version", folder=tmp_path).out
