"""`hepsw flow`: which drawing comes out, how wide, and what is said where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pgstores
import pytest
from cli.command import ROOT, hepsw
from cli.stocked import folder, stock  # noqa: F401 - a fixture
from recall.kept import ALICE, BOB, CALL, GOLDEN, demo_call, packet, sip
from recall.stories import STORIES

from hepsw.recall.legs import MOST_PACKETS
from hepsw.sinks.stores.writer import Batch

FULL = Path("/dev/full")


@pytest.fixture
def stocked(folder):  # noqa: F811 - the fixture
    """Return a folder whose store holds three calls."""
    stock(folder, [*demo_call(), *STORIES["legs"](), *STORIES["two-nodes"]()])
    return folder


@pytest.mark.parametrize(
    ("options", "drawing"),
    [
        ([], "txt"),
        (["--text"], "txt"),
        (["--width", "120"], "txt"),
        (["--mermaid"], "mmd"),
        (["--svg"], "svg"),
    ],
)
def test_drawings(stocked, options, drawing):
    """Each drawing is the golden one; in a pipe the text has 120 columns."""
    expected = (GOLDEN / f"two-nodes.{drawing}").read_text()
    assert hepsw("flow", CALL, *options, folder=stocked) == (0, expected, "")


@pytest.mark.parametrize("call", ["a-1@pbx", "b-1@sbc", "joined-1"])
def test_all_legs(stocked, call):
    """Any leg, and the correlation id, gives all of them."""
    expected = (GOLDEN / "legs.txt").read_text()
    assert hepsw("flow", call, folder=stocked) == (0, expected, "")


def test_json(stocked):
    """With --json the ladder is an object: ends, nodes and messages that name them by number."""
    ran = hepsw("flow", "a-1@pbx", "--json", folder=stocked)
    told = json.loads(ran.out)
    assert set(told) == {
        *("legs", "start", "duration_us", "participants", "nodes", "repeated", "messages"),
    }
    assert told["participants"] == ["192.0.2.1:5060", "192.0.2.10:5060", "192.0.2.2:5060"]
    assert told["messages"][3] == {
        "time": "2026-09-21T14:13:21.500000Z",
        "offset_us": 1500000,
        "from": 2,
        "to": 1,
        "leg": 1,
        "kind": "reply",
        "text": "486 Busy Here (INVITE)",
        "details": [],
        "retransmission": 0,
        "seen": [{"node": 0, "time": "2026-09-21T14:13:21.500000Z"}],
        "method": "INVITE",
        "status": 486,
        "reason": "Busy Here",
        "cseq": 9,
        "call_id": "b-1@sbc",
        "verdict": "ok",
    }


def test_ascii(stocked):
    """With --ascii nothing else is written."""
    ran = hepsw("flow", CALL, "--ascii", folder=stocked)
    assert ran.status == 0
    assert ran.out.isascii()


def test_unknown_call(stocked):
    """A call that the store does not have is said, with what to do, and printed harmlessly."""
    ran = hepsw("flow", "no\x1b[31m", folder=stocked)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "hepsw flow: store `calls` has no packet of a call `no\\x1b[31m`; "
        "`hepsw calls` lists those it has\n"
    )


@pytest.mark.parametrize(
    "correlation_id",
    [b"a\nb", b"a\0b", b"\x1b[2J", b"a\xffb", "a\x85b", "a\u202e\U000e0001b", b"a\\x", b"a\\nb"],
)
def test_what_is_listed_can_be_asked_for(folder, correlation_id):  # noqa: F811 - the fixture
    """A call that cannot be typed is found by what `hepsw calls` writes for it."""
    stock(
        folder,
        [packet(b"media timeout", ALICE, BOB, proto_type=100, correlation_id=correlation_id)],
    )
    ran = hepsw("calls", "--since", "2026-09-21T00:00:00Z", "--json", folder=folder)
    (call,) = json.loads(ran.out)["calls"]
    ran = hepsw("flow", "--", call["call"], folder=folder)
    assert (ran.status, ran.err) == (0, "")
    assert "LOG media timeout" in ran.out


@pytest.mark.skipif(not FULL.exists(), reason="no such device")
@pytest.mark.parametrize(
    "command",
    [["flow", CALL], ["flow", CALL, "--json"], ["calls", "--since", "2026-09-21T00:00:00Z"]],
)
def test_output_that_cannot_be_written(stocked, command):
    """A disk that is full is said, in one line, with status 74."""
    with FULL.open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "hepsw", *command],
            cwd=stocked,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert ran.returncode == 74
    assert ran.stderr.decode().endswith(
        "cannot write to standard output: No space left on device\n"
    )
    assert b"Traceback" not in ran.stderr


def test_correlation_id_of_everything(folder):  # noqa: F811 - the fixture
    """An id on too many packets is named and not followed; asked for, its first packets come."""
    text = sip("INVITE sip:bob@example.org SIP/2.0", "1 INVITE")
    views = [packet(text, ALICE, BOB, 60, correlation_id="own")]
    note = packet(b"note", ALICE, BOB, proto_type=100, correlation_id="default")
    of_all = packet(text, ALICE, BOB, 61, correlation_id="default")
    stock(folder, [note] * (MOST_PACKETS + 1) + [*views, of_all])
    ran = hepsw("flow", CALL, folder=folder)
    assert ran.err.splitlines() == [
        "hepsw flow: 1 more id is named by these packets, and not followed",
        "hepsw flow: on too many packets to be one call's: `default`",
    ]
    assert "2 messages" in ran.out
    ran = hepsw("export", "default", "-o", "call.pcap", folder=folder)
    assert ran.err.splitlines() == [
        "hepsw export: more packets have this id; these are 20,000 that came first",
        "hepsw export: 20000 packets in call.pcap",
    ]


def test_two_drawings(stocked):
    """Two drawings at a time are refused."""
    ran = hepsw("flow", CALL, "--svg", "--json", folder=stocked)
    assert (ran.status, ran.err) == (2, "hepsw flow: choose one of --svg and --json\n")


@pytest.mark.parametrize("layout", ["hepsw", "homer7"])
def test_out_of_postgres(tmp_path, database, layout):
    """A call comes back out of Postgres, in either layout, as out of SQLite."""
    views = [*demo_call(), *STORIES["legs"](), *STORIES["two-nodes"]()]
    writer = pgstores.PostgresWriter(pgstores.settings(database, layout=layout))
    writer.open()
    writer.write(Batch(bytes(16), views), lambda _refused: None)
    writer.close()
    (tmp_path / "hepsw.toml").write_text(
        '[[listen]]\nurl = "udp://127.0.0.1:9060"\n'
        f'[stores.homer]\nurl = "{database.url}"\nlayout = "{layout}"\n'
    )
    ran = hepsw("flow", "b-1@sbc", folder=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    drawn = ran.out.splitlines()
    expected = (GOLDEN / "legs.txt").read_text().splitlines()
    assert [line for line in drawn if "│" in line] == [line for line in expected if "│" in line]
    day = ("--since", "2026-09-21T00:00:00Z", "--until", "2026-09-22T00:00:00Z")
    ran = hepsw("calls", "--json", *day, folder=tmp_path)
    assert [call["packets"] for call in json.loads(ran.out)["calls"]] == [7, 20, 16]
