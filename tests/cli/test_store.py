"""`hepsw store` as a user runs it, on real files and real databases."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
import zlib

import pytest
from cli.command import ROOT, hepsw

from hepsw.concealed import Concealed
from hepsw.config.configuration import StoreSettings
from hepsw.config.models import Batch as BatchSettings
from hepsw.hep import build, decode
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.writer import Batch, Refused
from hepsw.sinks.stores.writers import writer_of
from hepsw.view import View

LISTEN = '[[listen]]\nurl = "udp://127.0.0.1:9060"\n'
TIME_US = 1_700_000_000_000_000
KEY = bytes(range(16))
AWAY = "postgres://hepsw:hunter2@127.0.0.1:1/homer"
"""A port where nobody listens."""


def packet(number, peer, payload=b"OPTIONS sip:x@y SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n"):
    """Return a packet, a second after the one before."""
    frame = build(
        src_ip="192.0.2.10",
        dst_ip="198.51.100.20",
        src_port=5060,
        dst_port=5062,
        ip_protocol=17,
        time=TIME_US + number * 1_000_000,
        proto_type=1,
        correlation_id=f"call-{number}",
        payload=payload,
    )
    return View(decode(frame.data), peer, TIME_US + number * 1_000_000)


def configured(folder, text):
    (folder / "hepsw.toml").write_text(LISTEN + text)


def settings(folder, scheme, **further):
    """Return what the store `s` of the configurations below means."""
    file = {"sqlite": "s.db", "pcap": "s.pcap", "jsonl": "s.jsonl"}.get(scheme, "")
    return StoreSettings("s", scheme, folder / file, BatchSettings(), **further)


def write(store, views):
    """Write packets as the daemon's store does."""
    writer = writer_of(store)
    writer.open()
    try:
        writer.write(Batch(KEY, views), lambda _: None)
    finally:
        writer.close()


def refuse(folder, views, reason="too-big", why="value too long", at=None):
    """Leave dead letters of the store `s`, as the daemon does."""
    file = folder / "state/deadletters/s.jsonl"
    places = range(len(views)) if at is None else at
    refused = [Refused(place, "packets", reason, why) for place in places]
    letters.add(file, KEY, refused, views, time.time())
    return file


# --- status --------------------------------------------------------------------------------------


def test_status_of_all(tmp_path, peer):
    """Without a name every store is looked at; what is piped has no frills."""
    configured(
        tmp_path, '[stores.s]\nurl = "jsonl://s.jsonl"\n[stores.other]\nurl = "pcap://x/o.pcap"\n'
    )
    write(settings(tmp_path, "jsonl"), [packet(0, peer), packet(1, peer)])
    ran = hepsw("store", "status", folder=tmp_path)
    octets = (tmp_path / "s.jsonl").stat().st_size
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"s: jsonl://{tmp_path}/s.jsonl"
    assert lines[1].split() == ["table", "rows", "octets", "oldest", "newest"]
    assert lines[2].split()[:4] == ["s.jsonl", "?", f"{octets:,}", "2023-11-14T22:13:20Z"]
    assert f"other: pcap://{tmp_path}/x/o.pcap, not created yet" in lines


def test_status_on_a_terminal(tmp_path, peer):
    """There it is a table, whatever the names of files would do to the terminal."""
    configured(tmp_path, '[stores.s]\nurl = "jsonl://%Y/s.jsonl"\n')
    (tmp_path / "2023").mkdir()
    (tmp_path / "2023/s.jsonl").write_text("{}\n")
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        with os.fdopen(theirs, "wb", buffering=0) as shown:
            subprocess.run(
                [sys.executable, "-m", "hepsw", "store", "status", "s"],
                cwd=tmp_path,
                stdout=shown,
                env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb"},
                timeout=30,
                check=True,
            )
        lines = terminal.read(10_000).decode().splitlines()
    assert lines[0] == f"s: jsonl://{tmp_path}/%Y/s.jsonl"
    assert lines[1].split() == ["table", "rows", "octets", "oldest", "newest"]
    assert lines[2].split()[:4] == ["2023/s.jsonl", "?", "3", "-"]


def test_status_for_programs(tmp_path, peer):
    """The shape that the manual describes; what waits on disk and the dead letters are in it."""
    configured(tmp_path, '[stores.s]\nurl = "jsonl://s.jsonl"\nspool.path = "spool"\n')
    write(settings(tmp_path, "jsonl"), [packet(0, peer)])
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{1:020}.seg").write_bytes(b"x" * 1000)
    (tmp_path / "spool" / "state").write_bytes(b"y" * 50)
    file = refuse(tmp_path, [packet(1, peer), packet(2, peer)])
    file.write_text(file.read_text() + "{}\n")
    ran = hepsw("store", "status", "s", "--json", folder=tmp_path)
    (told,) = json.loads(ran.out)["stores"]
    (table,) = told.pop("tables")
    assert (ran.status, table["name"], table["oldest_us"]) == (0, "s.jsonl", TIME_US)
    assert set(table) == {"name", "rows", "octets", "oldest_us", "newest_us"}
    assert told == {
        "name": "s",
        "scheme": "jsonl",
        "error": None,
        "version": "",
        "layout": "jsonl",
        "notes": [],
        "spool": {"path": str(tmp_path / "spool"), "octets": 1000},
        "deadletters": {"path": str(file), "reasons": {"too-big": 2}, "damaged": 1},
    }


def test_status_of_a_database_that_is_away(tmp_path):
    """The others are shown all the same; the exit status says that one could not be."""
    configured(tmp_path, f'[stores.pg]\nurl = "{AWAY}"\n[stores.s]\nurl = "jsonl://s.jsonl"\n')
    ran = hepsw("store", "status", folder=tmp_path)
    assert ran.status == 69
    assert "pg: a database on Postgres" in ran.out
    assert "s: jsonl://" in ran.out
    assert "hunter2" not in ran.out + ran.err


def test_no_stores(tmp_path):
    """That there are none is no mistake."""
    configured(tmp_path, "[destinations]\na = 'udp://192.0.2.1'\n")
    assert hepsw("store", "status", folder=tmp_path) == (0, "no stores\n", "")
    ran = hepsw("store", "init", folder=tmp_path)
    assert ran == (2, "", "hepsw store: there are no stores\n")


# --- init and sql --------------------------------------------------------------------------------


def test_init_of_files(tmp_path):
    """The folder is made, and the second time there is nothing to do."""
    configured(tmp_path, '[stores.s]\nurl = "pcap://calls/%Y.pcap"\n')
    assert hepsw("store", "init", "s", folder=tmp_path).status == 0
    assert (tmp_path / "calls").is_dir()
    assert hepsw("store", "init", "s", folder=tmp_path) == (0, "everything is there\n", "")


def test_init_without_room(tmp_path):
    """What the disk refuses is exit status 74, and said."""
    configured(tmp_path, '[stores.s]\nurl = "pcap://calls/%Y.pcap"\n')
    (tmp_path / "calls").write_text("")
    ran = hepsw("store", "init", "s", folder=tmp_path)
    assert (ran.status, ran.out) == (74, "")
    assert ran.err.startswith("hepsw store: s: ")


def test_sql_of_files(tmp_path):
    """Files take no statements: nothing is printed that a program could take for one."""
    configured(tmp_path, '[stores.s]\nurl = "jsonl://s.jsonl"\n')
    ran = hepsw("store", "sql", "s", folder=tmp_path)
    assert ran == (0, "", "hepsw store: s: jsonl:// takes no statements\n")


def test_sqlite(tmp_path, peer):
    """The statements make what init makes; status counts the rows."""
    configured(tmp_path, '[stores.s]\nurl = "sqlite://s.db"\ncolumns = { zone = "{vlan}" }\n')
    assert hepsw("store", "init", folder=tmp_path).status == 0
    ran = hepsw("store", "sql", "s", folder=tmp_path)
    other = sqlite3.connect(tmp_path / "other.db")
    other.executescript(ran.out)
    ours = sqlite3.connect(tmp_path / "s.db")
    listed = "SELECT name FROM pragma_table_xinfo('packets') ORDER BY name"
    assert other.execute(listed).fetchall() == ours.execute(listed).fetchall()
    assert ("zone",) in ours.execute(listed).fetchall()
    ours.close()
    other.close()
    configured(tmp_path, '[stores.s]\nurl = "sqlite://plain.db"\n')
    plain = settings(tmp_path, "sqlite")
    plain = StoreSettings("s", "sqlite", tmp_path / "plain.db", plain.batch)
    write(plain, [packet(0, peer), packet(1, peer)])
    told = json.loads(hepsw("store", "status", "--json", folder=tmp_path).out)["stores"][0]
    (table,) = [table for table in told["tables"] if table["name"] == "packets"]
    assert table["oldest_us"] == TIME_US
    assert table["newest_us"] == TIME_US + 1_000_000
    assert told["version"].startswith("SQLite 3.")


@pytest.mark.parametrize("layout", ["homer7", "hepsw"])
def test_postgres(tmp_path, monkeypatch, database, layout):
    """The statements are printed without asking anybody; init runs them, status sees the tables."""
    configured(tmp_path, f'[stores.s]\nurl = {{ env = "HEPSW_TEST_PG" }}\nlayout = "{layout}"\n')
    monkeypatch.delenv("HEPSW_TEST_PG", raising=False)
    printed = hepsw("store", "sql", "s", folder=tmp_path)
    assert printed.status == 0
    assert "CREATE TABLE" in printed.out
    assert printed.out.endswith(";\n\n")
    ran = hepsw("store", "init", "s", folder=tmp_path)
    assert ran.status == 78
    assert "HEP215" in ran.err
    monkeypatch.setenv("HEPSW_TEST_PG", database.url)
    assert hepsw("store", "init", "s", folder=tmp_path).status == 0
    told = json.loads(hepsw("store", "status", "s", "--json", folder=tmp_path).out)["stores"][0]
    assert told["version"].startswith("PostgreSQL ")
    assert told["layout"] == layout
    assert told["tables"]
    assert database.url not in json.dumps(told)


# --- dead letters --------------------------------------------------------------------------------


def test_dead_letters_are_listed(tmp_path, peer):
    """When, table, reason, why and the packet, a line each, whatever octets a packet has."""
    configured(tmp_path, '[stores.s]\nurl = "sqlite://s.db"\n')
    assert hepsw("store", "deadletters", "s", folder=tmp_path) == (0, "no dead letters\n", "")
    refuse(tmp_path, [packet(0, peer)], why="a\x1b[31mb\n")
    ran = hepsw("store", "deadletters", "s", folder=tmp_path)
    assert ran.status == 0
    (line,) = ran.out.splitlines()
    when, table, reason, why, shown = line.split("  ")
    assert (table, reason, why) == ("packets", "too-big", "a\\x1b[31mb\\n")
    assert when.endswith("Z")
    assert shown.startswith("[SIP OPTIONS 192.0.2.10:5060 → 198.51.100.20:5062 call call-0, ")
    (told,) = json.loads(hepsw("store", "deadletters", "s", "--json", folder=tmp_path).out)[
        "deadletters"
    ]
    assert bytes.fromhex(told["frame"]) == packet(0, peer).packet.data
    assert (told["table"], told["reason"], told["why"]) == ("packets", "too-big", "a\x1b[31mb\n")


def test_damaged_letters_are_told(tmp_path, peer):
    """A line that is no letter is passed over, stays where it is, and is told."""
    configured(tmp_path, '[stores.s]\nurl = "sqlite://s.db"\n')
    file = refuse(tmp_path, [packet(0, peer)])
    file.write_text("nonsense\n" + file.read_text())
    ran = hepsw("store", "deadletters", "s", folder=tmp_path)
    assert ran.err.startswith(f"hepsw store: {file}:1: not JSON")
    assert len(ran.out.splitlines()) == 1
    assert hepsw("store", "deadletters", "s", "--retry", folder=tmp_path).status == 0
    assert file.read_text() == "nonsense\n"


def test_retry(tmp_path, peer):
    """What is taken is stored once and is no letter any more."""
    configured(tmp_path, '[stores.s]\nurl = "sqlite://s.db"\nbatch.rows = 3\n')
    views = [packet(number, peer) for number in range(8)]
    refuse(tmp_path, views)
    assert hepsw("store", "deadletters", "--retry", folder=tmp_path) == (0, "8 stored\n", "")
    assert hepsw("store", "deadletters", "--retry", folder=tmp_path).out == "no dead letters\n"
    kept = sqlite3.connect(tmp_path / "s.db")
    frames = [frame for (frame,) in kept.execute("SELECT frame FROM packets ORDER BY at_us")]
    kept.close()
    assert frames == [view.packet.data for view in views]


def test_retry_beside_what_is_refused(tmp_path, peer):
    """What is refused again stays, and is told with the reason; the exit status is 1."""
    configured(tmp_path, '[stores.s]\nurl = "pcap://s.pcap"\n')
    # More than a datagram takes, which is how a capture file has it.
    frame = build(proto_type=100, compressed_payload=zlib.compress(b"x" * 70_000))
    large = View(decode(frame.data), peer, TIME_US)
    refuse(tmp_path, [packet(0, peer), large, packet(2, peer)])
    ran = hepsw("store", "deadletters", "s", "--retry", folder=tmp_path)
    lines = ran.out.splitlines()
    assert (ran.status, lines[0]) == (1, "2 stored")
    assert lines[1].startswith("1 refused again: ")
    assert f"{KEY.hex()}-1" in lines[2]
    (left,) = letters.read(tmp_path / "state/deadletters/s.jsonl")
    assert left.view == large


def test_retry_after_a_kill(tmp_path, peer):
    """A run that was killed between storing and removing has stored nothing twice."""
    configured(tmp_path, '[stores.s]\nurl = "sqlite://s.db"\n')
    views = [packet(number, peer) for number in range(3)]
    file = refuse(tmp_path, views)
    before = file.read_bytes()
    assert hepsw("store", "deadletters", "--retry", folder=tmp_path).status == 0
    file.write_bytes(before)
    assert hepsw("store", "deadletters", "--retry", folder=tmp_path) == (0, "3 stored\n", "")
    kept = sqlite3.connect(tmp_path / "s.db")
    assert kept.execute("SELECT count(*) FROM packets").fetchone() == (3,)
    kept.close()


def test_retry_into_a_database(tmp_path, peer, database):
    """Letters of a database go to their tables."""
    configured(tmp_path, f'[stores.s]\nurl = "{database.url}"\nlayout = "hepsw"\n')
    refuse(tmp_path, [packet(number, peer) for number in range(5)])
    assert hepsw("store", "deadletters", "s", "--retry", folder=tmp_path) == (0, "5 stored\n", "")
    assert letters.read(tmp_path / "state/deadletters/s.jsonl") == []


def test_retry_with_the_database_away(tmp_path, peer):
    """Nothing is removed, and the exit status says that it was not reached."""
    configured(tmp_path, f'[stores.s]\nurl = "{AWAY}"\n')
    file = refuse(tmp_path, [packet(0, peer)])
    ran = hepsw("store", "deadletters", "s", "--retry", folder=tmp_path)
    assert (ran.status, ran.out) == (69, "0 stored\n")
    assert ran.err.startswith("hepsw store: s: ")
    assert "hunter2" not in ran.err
    assert len(letters.read(file)) == 1


# --- what is asked wrongly -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init", "z"], "unknown store `z`; there are s, other"),
        (["init", "othr"], "unknown store `othr`; did you mean `other`?"),
        (["init"], "which store? there are s, other"),
        (["init", "s", "--retry"], "--retry goes with deadletters, not with init"),
        (["sql", "s", "--json"], "--json goes with status and deadletters, without --retry"),
        (
            ["deadletters", "s", "--json", "--retry"],
            "--json goes with status and deadletters, without --retry",
        ),
    ],
)
def test_wrong_words(tmp_path, words, said):
    """Each is exit status 2, with what may have been meant."""
    configured(
        tmp_path, '[stores.s]\nurl = "jsonl://s.jsonl"\n[stores.other]\nurl = "jsonl://o.jsonl"\n'
    )
    assert hepsw("store", *words, folder=tmp_path) == (2, "", f"hepsw store: {said}\n")


def test_an_invalid_configuration(tmp_path):
    """It is shown as `hepsw check` shows it."""
    configured(tmp_path, '[stores.s]\nurl = "jsonl://"\n')
    ran = hepsw("store", "status", folder=tmp_path)
    assert (ran.status, ran.out) == (78, "")
    assert ran.err.startswith("error[HEP106]: no file in the url")


# --- check ---------------------------------------------------------------------------------------


def test_check_asks_databases(tmp_path, monkeypatch, database):
    """One that lets us in is fine, one that is away or refuses is a warning, without passwords."""
    refused = Concealed(database.url.replace("postgres@", "nobody-here:hunter2@").encode())
    monkeypatch.setenv("HEPSW_TEST_GOOD", database.url)
    monkeypatch.setenv("HEPSW_TEST_AWAY", AWAY)
    monkeypatch.setenv("HEPSW_TEST_REFUSED", refused.reveal().decode())
    names = ("good", "away", "refused")
    configured(
        tmp_path,
        "".join(
            f'[stores.{name}]\nurl = {{ env = "HEPSW_TEST_{name.upper()}" }}\n' for name in names
        ),
    )
    ran = hepsw("check", "--format", "json", folder=tmp_path)
    found = [(each["code"], each["severity"], each["line"]) for each in json.loads(ran.out)]
    assert ran.status == 0
    assert found == [("HEP219", "warning", 6), ("HEP219", "warning", 8)]
    assert "hunter2" not in ran.out
    assert json.loads(hepsw("check", "--offline", "--format", "json", folder=tmp_path).out) == []
