"""Programs in a fork are processes of their own."""

import sys

import pytest
import warm


def test_a_program_has_what_it_was_given(tmp_path, monkeypatch):
    """Its arguments, its folder and its environment; what it writes and its status come back."""
    monkeypatch.setenv("GIVEN", "ñ")
    ran = warm.run(
        "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['GIVEN'], sys.stdin.read());"
        "print('trouble', file=sys.stderr); sys.exit(3)",
        "one",
        folder=tmp_path,
    )
    assert ran == (3, f"['one'] {tmp_path} ñ \n", "trouble\n")


def test_nothing_is_left_of_it():
    """What one program changes, the next one does not find."""
    assert warm.run("import json, os; json.own = os.environ['OWN'] = 'x'").status == 0
    ran = warm.run("import json, os; print(hasattr(json, 'own'), 'OWN' in os.environ)")
    assert ran.out == "False False\n"
    assert "own" not in vars(sys.modules["json"])


def test_a_program_that_fails():
    """Its traceback is on standard error; one that is killed has the number of the signal."""
    ran = warm.run("1 / 0")
    assert ran.status == 1
    assert ran.err.endswith("ZeroDivisionError: division by zero\n")
    assert warm.run("import os; os.kill(os.getpid(), 9)").status == -9


def test_a_program_that_does_not_end():
    """It is ended, which fails the test; the next one runs."""
    with pytest.raises(TimeoutError, match="no end after"):
        warm.run("while True: pass", patience=0.2)
    assert warm.run("print('next')").out == "next\n"
