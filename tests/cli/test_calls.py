"""`hepsw calls`: which calls are listed, from when to when, by which conditions, and errors."""

import json
import os
import pty
import subprocess
import sys
import termios
import time

import pytest
from cli.command import ROOT, hepsw
from cli.stocked import folder, stock  # noqa: F401 - a fixture
from recall.kept import GOLDEN, demo_call, kept
from recall.stories import STORIES

from hepsw import demo

DAY = ("--since", "2026-09-21T00:00:00Z", "--until", "2026-09-22T00:00:00Z")


@pytest.fixture
def stocked(folder):  # noqa: F811 - the fixture
    """Return a folder whose store holds three calls."""
    stock(folder, [*demo_call(), *STORIES["legs"](), *STORIES["two-nodes"]()])
    return folder


def listed(ran):
    """Return the calls that were printed as JSON."""
    assert (ran.status, ran.err) == (0, "")
    return [call["call"] for call in json.loads(ran.out)["calls"]]


def test_list(stocked):
    """The list is the golden one."""
    assert hepsw("calls", *DAY, folder=stocked) == (0, (GOLDEN / "calls.txt").read_text(), "")


def test_json(stocked):
    """With --json every call is an object, with what there was beside them."""
    ran = hepsw("calls", "--json", *DAY, folder=stocked)
    assert (ran.status, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert {key: told[key] for key in ("found", "forgotten", "packets", "nameless")} == {
        "found": 3,
        "forgotten": 0,
        "packets": 43,
        "nameless": 0,
    }
    assert told["calls"][0] == {
        "call": "a-1@pbx",
        "legs": ["a-1@pbx", "b-1@sbc"],
        "start": "2026-09-21T14:13:20.000000Z",
        "duration_us": 1520000,
        "method": "INVITE",
        "from": "alice",
        "to": "bob",
        "state": "failed",
        "status": 486,
        "reason": "Busy Here",
        "packets": 7,
        "participants": 3,
        "nodes": ["edge"],
        "loss_pct": None,
        "jitter_ms": None,
    }


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (['sip.from_user = "grace"'], 1),
        (['sip.from_user = "@family"'], 1),
        (['is = "bad"'], 2),
        (['src_ip = "192.0.2.0/24"'], 3),
        (['sip.method = ["INVITE", "BYE"]'], 3),
        (["sip.status = { ge = 400 }", 'sip.method = "INVITE"'], 1),
        (["rtcp.jitter_ms = { gt = 40 }"], 1),
        (["not = { proto_type = 'SIP' }"], 2),
        (["any = [{ sip.status = 486 }, { vq.mos_lq = { lt = 3.5 } }]"], 2),
        (["site = 7"], 0),
    ],
)
def test_where(stocked, where, count):
    """Conditions are those of rules, with sets, matchers and chunks; all of them must hold."""
    options = [word for text in where for word in ("--where", text)]
    assert len(listed(hepsw("calls", "--json", *DAY, *options, folder=stocked))) == count


def test_where_that_is_wrong(stocked):
    """A mistake in a condition is shown at its place, with what may have been meant."""
    ran = hepsw("calls", *DAY, "--where", 'sip.from_usr = "112"', folder=stocked)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "error[HEP110]: unknown field `sip.from_usr`\n"
        " --> --where:1:5\n"
        "  |\n"
        '1 | sip.from_usr = "112"\n'
        "  |     ^^^^^^^^ did you mean `sip.from_user`?\n"
    )
    ran = hepsw("calls", *DAY, "--where", "port = ", folder=stocked)
    assert ran.status == 2
    assert "error[HEP101]" in ran.err


def test_where_that_is_hardly_meant(stocked):
    """A warning is shown, and the calls are listed all the same."""
    ran = hepsw("calls", *DAY, "--where", 'sip.from_user = "^ali"', folder=stocked)
    assert ran.status == 0
    assert "warning[HEP404]" in ran.err


def test_times(stocked):
    """Times are RFC 3339 or reach back from now; the end is not within."""
    at = ("--since", "2026-09-21T14:13:21.7Z", "--until", "2026-09-21T14:13:21.7001Z")
    (only,) = json.loads(hepsw("calls", "--json", *at, folder=stocked).out)["calls"]
    assert only["packets"] == 1


def test_the_last_hour(folder):  # noqa: F811 - the fixture
    """Without times, calls of the last hour are listed, those of clocks that are ahead too."""
    now = int(time.time() * 1_000_000)
    views = []
    for number, ago in enumerate((7200, 600, -300)):
        views += [kept(step.packet) for step in demo.call(number, now - ago * 1_000_000)]
    stock(folder, views)
    (recent, ahead) = listed(hepsw("calls", "--json", folder=folder))
    assert recent.endswith("@192.0.2.11")
    assert ahead.endswith("@192.0.2.12")


def test_nothing(stocked):
    """Where there is nothing, that is said beside the empty list."""
    ran = hepsw("calls", "--since", "1s", folder=stocked)
    assert ran == (0, "", "hepsw calls: no call among 0 packets since 1s\n")


def test_limit(stocked):
    """The latest are listed, and how many were left out is said."""
    ran = hepsw("calls", *DAY, "--limit", "1", folder=stocked)
    assert ran.status == 0
    assert len(ran.out.splitlines()) == 2
    assert ran.err == "hepsw calls: 2 earlier calls left out; --limit N shows more\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "--since: neither a duration"),
        (["--until", "1"], "--since is not before --until"),
        (["--store", "cals"], "unknown store `cals`; did you mean `calls`?"),
        (["--store", "xyz"], "unknown store `xyz`; there are calls"),
    ],
)
def test_options_that_do_not_go(stocked, options, said):
    """What cannot be is said in a line, with status 2."""
    ran = hepsw("calls", *options, folder=stocked)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err


def test_which_store(stocked):
    """Several stores that can be read: one has to be named; those that cannot are told apart."""
    text = (stocked / "hepsw.toml").read_text()
    more = text + '[stores.files]\nurl = "pcap://%Y/x.pcap"\n'
    (stocked / "hepsw.toml").write_text(more)
    assert hepsw("calls", *DAY, folder=stocked).status == 0
    ran = hepsw("calls", *DAY, "--store", "files", folder=stocked)
    assert ran.status == 2
    assert "store `files` is pcap, which is not read back" in ran.err
    (stocked / "hepsw.toml").write_text(more + '[stores.other]\nurl = "sqlite://o.db"\n')
    ran = hepsw("calls", *DAY, folder=stocked)
    assert (ran.status, ran.err) == (
        2,
        "hepsw calls: several stores can be read: calls, other; choose by --store\n",
    )
    assert hepsw("calls", *DAY, "--store", "calls", folder=stocked).status == 0
    only = more.replace("sqlite://calls.db", "jsonl://%Y.jsonl")
    (stocked / "hepsw.toml").write_text(only)
    ran = hepsw("calls", *DAY, folder=stocked)
    assert ran.status == 2
    assert "the configuration has no SQLite or Postgres store" in ran.err


def test_store_that_cannot_be_read(stocked):
    """A store that is not there, or holds something else, is said with status 74."""
    (stocked / "calls.db").write_bytes(b"no database at all" * 100)
    ran = hepsw("calls", *DAY, folder=stocked)
    assert (ran.status, ran.out) == (74, "")
    assert ran.err.startswith("hepsw calls: store `calls`: ")


def test_configuration_that_is_wrong(stocked):
    """A broken configuration is shown as `hepsw check` shows it, with status 78."""
    (stocked / "hepsw.toml").write_text("[listen\n")
    ran = hepsw("calls", folder=stocked)
    assert ran.status == 78
    assert "error[HEP101]" in ran.err


def test_progress_on_a_terminal(stocked):
    """On a terminal a bar shows on standard error after two seconds; the list is not touched."""
    slow = (
        "import time, hepsw.cli.progress as progress\n"
        "progress.SECONDS = 0.0\nprogress.EVERY = 1\n"
        f"import sys; sys.argv = ['hepsw', 'calls', *{DAY!r}]\n"
        "from hepsw.cli import main; main()\n"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    try:
        ran = subprocess.run(
            [sys.executable, "-c", slow],
            cwd=stocked,
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        )
        os.set_blocking(ours, False)
        shown = os.read(ours, 65536)
    finally:
        os.close(theirs)
        os.close(ours)
    assert (ran.returncode, ran.stdout.decode()) == (0, (GOLDEN / "calls.txt").read_text())
    assert b"packets read" in shown
