"""`keep` on a real file: by age, by size, in short steps, and beside readers."""

import os
import sqlite3
import time
from contextlib import closing

import pytest
from sqlite_files import (
    ARRIVAL_US,
    PEER,
    batch,
    compressed,
    frames_in,
    frames_of,
    hep3,
    query,
    sip,
    some,
    taken,
    view,
    writing,
)

from hepsw.config.configuration import Keep
from hepsw.sinks.stores.sqlite import retention
from hepsw.sinks.stores.sqlite.writer import SqliteWriter
from hepsw.view import View

SECOND = 1_000_000
MIB = 1 << 20


@pytest.fixture
def file(tmp_path):
    return tmp_path / "packets.db"


def tidy(writer, now_us):
    """Do all there is to do now; return the steps it took."""
    steps = 1
    while writer.tidy(now_us):
        steps += 1
        assert steps < 10_000
    return steps


def incompressible(count, first=0, octets=3500):
    """Return views of some size, no two of them alike."""
    return [
        view(hep3(x0011=b"%d" % n, x000f=os.urandom(octets)), n)
        for n in range(first, first + count)
    ]


def sizes(file):
    """Return the octets of the file and of its log."""
    return [
        path.stat().st_size if path.exists() else 0
        for path in (file, file.with_name(f"{file.name}-wal"))
    ]


def test_nothing_set_keeps_all(file):
    """However old, however much."""
    with writing(file) as writer:
        writer.write(batch(some(100)), taken)
        assert tidy(writer, ARRIVAL_US * 2) == 1
    assert len(frames_in(file)) == 100


def test_age_counts_from_the_arrival(file):
    """What an agent's clock says does not matter: not yet old is kept, old goes."""
    views = [
        View(sip(number=stated * SECOND).packet, PEER, ARRIVAL_US + came * SECOND)
        for came, stated in ((0, 0), (0, 10**8), (100, -(10**8)), (100, 100))
    ]
    with writing(file, keep=Keep(seconds=60)) as writer:
        writer.write(batch(views), taken)
        tidy(writer, ARRIVAL_US + 60 * SECOND)
        assert frames_in(file) == frames_of(views)
        tidy(writer, ARRIVAL_US + 62 * SECOND)
        assert frames_in(file) == frames_of(views[2:])
        tidy(writer, ARRIVAL_US + 162 * SECOND)
        assert frames_in(file) == []


def test_each_profile_has_its_age(file):
    """Those that are not named follow `default`."""
    keep = Keep(profiles=(("registration", 10.0), ("call", 1000.0), ("default", 100.0)))
    views = {
        "call": sip(0, method=b"BYE"),
        "registration": sip(1, method=b"REGISTER"),
        "default": sip(2, method=b"OPTIONS"),
        "rtcp": sip(3, proto_type=5, payload=b"{}"),
        "log": sip(4, proto_type=100, payload=b"log"),
    }
    with writing(file, keep=keep) as writer:
        writer.write(batch([*views.values()]), taken)
        assert query(file, "SELECT profile FROM packets ORDER BY id") == [(p,) for p in views]
        left = []
        for seconds in (9, 12, 102, 1002):
            tidy(writer, ARRIVAL_US + seconds * SECOND)
            left.append({profile for (profile,) in query(file, "SELECT profile FROM packets")})
    assert left == [set(views), set(views) - {"registration"}, {"call"}, set()]


def test_profile_without_an_age_is_kept_for_ever(file):
    """No `default`, no end."""
    with writing(file, keep=Keep(profiles=(("call", 10.0),))) as writer:
        writer.write(batch([sip(0), sip(1, method=b"REGISTER")]), taken)
        tidy(writer, ARRIVAL_US + 10**6 * SECOND)
    assert query(file, "SELECT profile FROM packets") == [("registration",)]


def test_clock_that_was_set_back_does_not_stop_it(file):
    """The next look comes all the same."""
    with writing(file, keep=Keep(seconds=60)) as writer:
        tidy(writer, ARRIVAL_US + 10**9 * SECOND)
        writer.write(batch(some(1)), taken)
        tidy(writer, ARRIVAL_US + 100 * SECOND)
    assert frames_in(file) == []


def test_age_in_short_steps(file, monkeypatch):
    """A transaction deletes so many rows and no more, and the oldest ones first."""
    monkeypatch.setattr(retention, "STEP_ROWS", 10)
    monkeypatch.setattr(SqliteWriter, "TIDY_SECONDS", 0.0)
    with writing(file, rows=5, keep=Keep(seconds=60)) as writer:
        writer.write(batch(some(95)), taken)
        left = []
        while writer.tidy(ARRIVAL_US + 100 * SECOND):
            left.append(len(frames_in(file)))
            assert frames_in(file) == frames_of(some(left[-1], first=95 - left[-1]))
    assert left[:9] == list(range(85, 0, -10))


def test_file_gets_smaller_again(file):
    """What went by age gives its pages back to the disk, but for a reserve."""
    with writing(file, keep=Keep(seconds=60)) as writer:
        for first in range(0, 4000, 500):
            writer.write(batch(incompressible(500, first)), taken)
        before = sizes(file)[0]
        tidy(writer, ARRIVAL_US + 100 * SECOND)
        writer.write(batch(some(1)), taken)
    assert before > 15 * MIB
    assert sizes(file) < [(retention.SPARE_PAGES + 100) * 4096, 1]
    assert query(file, "PRAGMA integrity_check") == [("ok",)]


def test_size_is_kept(file):
    """The oldest rows go; file and log together stay below, whatever was stored in all."""
    keep = Keep(octets=16 * MIB)
    total, most = 0, 0
    with writing(file, keep=keep) as writer:
        for first in range(0, 8000, 200):
            views = incompressible(200, first)
            writer.write(batch(views), taken)
            tidy(writer, time.time_ns() // 1000)
            total += sum(len(each.packet.data) for each in views)
            most = max(most, sum(sizes(file)))
        assert total > 1.5 * keep.octets
        # One batch and what its log is longer by come on top of it.
        assert most < keep.octets + 4 * MIB
        assert sizes(file)[0] <= keep.octets
        ((first, last, rows),) = query(file, "SELECT min(id), max(id), count(*) FROM packets")
        assert last - first + 1 == rows
        assert frames_in(file)[-1] == frames_of(views)[-1]
        # It keeps about as much as it may.
        assert rows * 4000 > keep.octets // 2
    assert query(file, "PRAGMA integrity_check") == [("ok",)]


def test_size_that_was_lowered(file):
    """A file that is larger than it may be shrinks to what it may."""
    with writing(file) as writer:
        for first in range(0, 4000, 500):
            writer.write(batch(incompressible(500, first)), taken)
    assert sizes(file)[0] > 15 * MIB
    with writing(file, keep=Keep(octets=8 * MIB)) as writer:
        assert tidy(writer, time.time_ns() // 1000)
        writer.write(batch(some(1)), taken)
    assert sum(sizes(file)) < 8 * MIB
    assert len(frames_in(file)) > 1000


def test_size_less_than_nothing_leaves(file):
    """A size that holds no rows at all ends, with none."""
    with writing(file, keep=Keep(octets=1)) as writer:
        writer.write(batch(some(100)), taken)
        tidy(writer, time.time_ns() // 1000)
    assert frames_in(file) == []


def test_reader_neither_waits_nor_is_waited_for(file):
    """With a long read under way rows are written and deleted; the log shrinks when it is over.

    The reader sees what it began with.
    """
    with writing(file, keep=Keep(octets=8 * MIB)) as writer:
        writer.write(batch(incompressible(500)), taken)
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as reader:
            reader.isolation_level = None
            reader.execute("BEGIN")
            rows = reader.execute("SELECT received_us FROM packets ORDER BY id")
            seen = [rows.fetchone()]
            for first in range(500, 7500, 500):
                writer.write(batch(incompressible(500, first)), taken)
                tidy(writer, time.time_ns() // 1000)
            assert sizes(file)[1] > 20 * MIB
            assert 500 < len(frames_in(file)) < 4000
            seen += rows.fetchall()
            assert [us - ARRIVAL_US for (us,) in seen] == list(range(500))
            reader.execute("COMMIT")
        for first in range(7500, 8500, 500):
            writer.write(batch(incompressible(500, first)), taken)
            tidy(writer, time.time_ns() // 1000)
        assert sizes(file)[1] < 8 * MIB
        assert sizes(file)[0] < 8 * MIB
    assert query(file, "PRAGMA integrity_check") == [("ok",)]


def test_steps_are_bounded_in_what_they_write(file):
    """Rows of any size: no step writes more to the log than some batches do."""
    with writing(file, keep=Keep(octets=4 * MIB)) as writer:
        for first in range(0, 500, 100):
            views = [view(compressed(60_000), n) for n in range(first, first + 100)]
            writer.write(batch(views), taken)
            tidy(writer, time.time_ns() // 1000)
        assert sum(sizes(file)) < 4 * MIB + 2 * 100 * 61_000 + 4 * MIB
