"""kill -9 in the middle of writing and of retention: the file is sound, each batch whole or not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlite_files import ARRIVAL_US, batch, query, some, taken, writing

SPOOL = b"spool-of-16-octs"
ROWS = 7
"""Of a batch, each of its own number."""
WRITERS = """
import os, sys, time
from pathlib import Path
from sqlite_files import batch, settings_of, some
from hepsw.config.configuration import Keep
from hepsw.sinks.stores.sqlite.writer import SqliteWriter

def write(file, rows, octets, first):
    keep = Keep(octets=octets) if octets else Keep()
    writer = SqliteWriter(settings_of(file, keep=keep))
    writer.open()
    os.write(1, b"%d\\n" % os.getpid())
    while True:
        each = batch(some(rows, first), b"spool-of-16-octs", first, key=b"%016d" % first)
        writer.write(each, lambda refused: None)
        os.write(1, b"%d\\n" % first)
        first += rows
        if octets:
            writer.tidy(time.time_ns() // 1000)

file, rows, octets = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
while line := sys.stdin.readline():
    if not (child := os.fork()):
        write(file, rows, octets, int(line))
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""
"""A process that becomes one writer after another: to start Python takes longer than all the rest.

It is told where to begin, and tells the process to kill, then each batch that was committed.
"""


class Writers:
    """Writers into one file, each of them killed."""

    def __init__(self, file, octets=0):
        root = Path(__file__).parents[4]
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITERS, str(file), str(ROWS), str(octets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
        )

    def kill_one(self, first, seconds):
        """Let one write from there for some time; return the batches that it told of."""
        self._process.stdin.write(b"%d\n" % first)
        self._process.stdin.flush()
        told = self._process.stdout
        child = int(told.readline())
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        return [int(line) for line in iter(told.readline, b"dead\n")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "packets.db"


def rounds(file, count, octets=0):
    """Kill so many writers, one after the other, into one file; return the batches in it."""
    draw = random.Random(42)
    batches, first = [], 0
    with Writers(file, octets) as writers:
        for _ in range(count):
            told = writers.kill_one(first, draw.uniform(0.0, 0.05))
            assert query(file, "PRAGMA integrity_check") == [("ok",)]
            known = query(file, "SELECT first FROM hepsw_ledger ORDER BY first")
            before, batches = len(batches), [begin for (begin,) in known]
            # One more than was told may be there: the kill came between commit and telling.
            assert batches[before:][: len(told)] == told
            assert len(batches) - before <= len(told) + 1
            first = batches[-1] + ROWS if batches else 0
            rows = query(file, "SELECT received_us FROM packets ORDER BY id")
            numbers = [us - ARRIVAL_US for (us,) in rows]
            # Whole batches, each row once; retention takes from the front.
            assert numbers == list(range(first - len(numbers), first))
            assert octets or len(numbers) == first
    return batches


def test_killed_writer_leaves_whole_batches(file):
    """What was told is there, what is there is whole, and the next writer goes on."""
    assert len(rounds(file, 25)) > 25
    with writing(file) as writer:
        writer.write(batch(some(1)), taken)


def test_killed_retention_leaves_a_sound_file(file):
    """Deleting and giving pages back in the middle of it."""
    with writing(file) as writer:
        for first in range(0, 4900, ROWS):
            each = batch(some(ROWS, first), SPOOL, first, key=b"%016d" % first)
            writer.write(each, taken)
    before = file.stat().st_size
    draw = random.Random(7)
    end = 4900
    with Writers(file, octets=1 << 20) as writers:
        for _ in range(10):
            writers.kill_one(end, draw.uniform(0.0, 0.05))
            assert query(file, "PRAGMA integrity_check") == [("ok",)]
            rows = query(file, "SELECT received_us FROM packets ORDER BY id")
            numbers = [us - ARRIVAL_US for (us,) in rows]
            ((end,),) = query(file, "SELECT max(last) + 1 FROM hepsw_ledger")
            assert numbers == list(range(end - len(numbers), end))
    assert len(numbers) < 4900
    assert file.stat().st_size < before


@pytest.mark.proof
def test_killed_writer_often(file):
    """Two hundred kills, with and without retention."""
    rounds(file, 100)
    file.unlink()
    for beside in file.parent.iterdir():
        beside.unlink()
    rounds(file, 100, octets=1 << 20)
