"""`hepsw test` as a user runs it; and what `hepsw check` makes of the tests of a configuration."""

import json

import pytest
from cli.command import hepsw

CONFIGURATION = """\
[[listen]]
url = "udp://127.0.0.1:9060"

[destinations]
a = "udp://192.0.2.1"

[[rules.main]]
name             = "logs"
match.proto_type = "LOG"
drop             = "no-use"

[[rules.main.test]]
given  = { proto_type = "LOG" }
expect = { drop = "no-use" }

[[rules.main]]
name  = "rest"
relay = "a"
"""
PASSES = """
[[tests]]
name   = "calls are relayed"
given  = { proto_type = "SIP" }
expect = { relay = ["a"] }
"""
FAILS = """
[[tests]]
name   = "logs are relayed"
given  = { proto_type = "LOG" }
expect = { relay = ["a"], drop = "x" }
"""


@pytest.fixture
def run(tmp_path):
    """Run a command on the configuration with more behind it."""

    def command(more, *arguments):
        (tmp_path / "hepsw.toml").write_text(CONFIGURATION + more)
        return hepsw(*arguments, folder=tmp_path)

    return command


def test_all_pass(run):
    """Each test is a line, in the order of the file, and the last line counts them."""
    assert run(PASSES, "test") == (
        0,
        "ok   main/logs: test 1\nok   calls are relayed\n2 passed\n",
        "",
    )


def test_one_fails(run):
    """Below a test that fails stands everything that came instead, and where it is written."""
    status, out, err = run(PASSES + FAILS, "test")
    assert (status, err) == (1, "")
    assert out == (
        "ok   main/logs: test 1\n"
        "ok   calls are relayed\n"
        "FAIL logs are relayed\n"
        "       it went to none\n"
        "       it was dropped: no-use\n"
        "       path: main/logs\n"
        "       hepsw.toml:25\n"
        "2 passed, 1 failed\n"
    )


def test_without_tests(tmp_path):
    """No test is no failure, and is said."""
    before, _, after = CONFIGURATION.partition("[[rules.main.test]]")
    (tmp_path / "hepsw.toml").write_text(before + after[after.index("[[") :])
    assert hepsw("test", folder=tmp_path) == (0, "no tests\n", "")


@pytest.mark.parametrize(
    ("keyword", "names"),
    [
        ("relayed", ["calls are relayed", "logs are relayed"]),
        ("calls", ["calls are relayed"]),
        ("main/logs", ["main/logs: test 1"]),
    ],
)
def test_only_some(run, keyword, names):
    """-k takes the tests whose name, or whose rule, has the text."""
    status, out, _ = run(PASSES + FAILS, "test", "-k", keyword)
    told = [line[5:] for line in out.splitlines() if line.startswith(("ok   ", "FAIL "))]
    assert told == names
    assert status == ("logs are relayed" in names)


def test_none_of_that_name(run):
    """A text that no test has is a failure: whoever asked wanted one to be run."""
    assert run(PASSES, "test", "-k", "nothing like it") == (1, "no tests\n", "")


def test_coverage(run):
    """--coverage tells which rules no test meets; --fail-under makes too few of them a failure."""
    status, out, _ = run("", "test", "--coverage")
    assert status == 0
    assert out.endswith("1 passed\n1 of 2 rules met: 50 %\n  never met: main/rest\n")
    assert run("", "test", "--fail-under", "50").status == 0
    assert run("", "test", "--fail-under", "51") == (1, out, "")
    status, out, _ = run(PASSES, "test", "--coverage", "--fail-under", "100")
    assert status == 0
    assert out.endswith("2 passed\n2 of 2 rules met: 100 %\n")


@pytest.mark.parametrize("percent", ["101", "-1", "x"])
def test_no_percent(run, percent):
    """What is no share of a hundred is a mistake in usage."""
    assert run("", "test", "--fail-under", percent).status == 2


def test_json(run):
    """--json says the same for programs, with the rules that each test met."""
    status, out, err = run(FAILS, "test", "--json")
    assert (status, err) == (1, "")
    assert json.loads(out) == {
        "tests": [
            {
                "name": "main/logs: test 1",
                "place": "hepsw.toml:12",
                "passed": True,
                "failures": [],
                "rules": ["main/logs"],
            },
            {
                "name": "logs are relayed",
                "place": "hepsw.toml:20",
                "passed": False,
                "failures": [
                    {"expected": "relay", "text": "it went to none"},
                    {"expected": "drop", "text": "it was dropped: no-use"},
                ],
                "rules": ["main/logs"],
            },
        ],
        "coverage": {"percent": 50.0, "never_met": ["main/rest"]},
    }


def test_invalid(run):
    """A configuration that is invalid is not tested: the problems, and exit status 78."""
    status, out, err = run("relai = 'a'\n", "test")
    assert (status, out) == (78, "")
    assert "error[HEP104]: unknown key `relai`\n" in err
    assert err.endswith("1 error\n")


def test_needs_nothing_of_the_machine(run):
    """Secrets, certificates and databases that are not there keep no test from being run."""
    more = """
[stores.s]
url = { env = "HEPSW_NOT_SET" }

[geo]
city = "none.mmdb"

[[tests]]
given  = { geo.src.country = "ES" }
expect = { relay = ["a"], after = { geo.src.country = "ES" } }
"""
    status, out, err = run(more, "test")
    assert (status, err) == (0, "")
    assert out.endswith("2 passed\n")


# --- hepsw check ---------------------------------------------------------------------------------


def test_check_runs_the_tests(run):
    """A test that fails is an error at what was expected, and exit status 1: the rest is valid."""
    status, out, err = run(PASSES, "check", "--offline")
    assert (status, err) == (0, "")
    assert out == "fine: 1 listener, 2 rules in 1 table, 1 output, 2 tests passed\n"
    status, out, err = run(FAILS, "check", "--offline")
    assert (status, err) == (1, "")
    assert (
        "error[HEP120]: test failed: it went to none\n"
        "  --> hepsw.toml:23:20\n"
        "   |\n"
        '23 | expect = { relay = ["a"], drop = "x" }\n'
        "   |                    ^^^^^ `hepsw test -k 'logs are relayed'` runs it alone\n"
    ) in out
    assert "error[HEP120]: test failed: it was dropped: no-use\n" in out
    assert out.endswith(
        "2 errors: 1 listener, 2 rules in 1 table, 1 output, 1 test passed, 1 failed\n"
    )


def test_check_where_tests_only_warn(run):
    """With `tests = "warn"` the same are warnings, and still exit status 1."""
    status, out, err = run(f'{FAILS}\n[reload]\ntests = "warn"\n', "check", "--offline")
    assert (status, err) == (1, "")
    assert out.count("warning[HEP120]: test failed: ") == 2
    assert out.endswith(
        "2 warnings: 1 listener, 2 rules in 1 table, 1 output, 1 test passed, 1 failed\n"
    )


def test_check_as_json(run):
    """A test that fails is a finding like any other."""
    status, out, _ = run(FAILS, "check", "--offline", "--format", "json")
    assert status == 1
    assert [(finding["code"], finding["line"]) for finding in json.loads(out)] == [
        ("HEP120", 23)
    ] * 2
