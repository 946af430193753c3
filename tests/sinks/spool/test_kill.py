"""A process that is killed loses nothing that its spool had acknowledged."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from spools import Owner, numbered, opened, put, spool_of, take, until

from hepsw.sinks.spool import format as wire
from hepsw.sinks.spool.files import REAL

TESTS = Path(__file__).parents[2]
STRIDE = 1_000_000
"""Between the first frames of two processes."""


def told(log):
    """Return what was known to be on disk, and what was about to be acked."""
    on_disk, acked = set(), set()
    first = 0
    for line in log.read_text().splitlines():
        word, *numbers = line.split()
        if word == "on":
            reached = int(numbers[0])
            first = max(first, reached // STRIDE * STRIDE)
            on_disk.update(range(first, reached + 1))
            first = reached + 1
        elif word == "ack":
            acked.update(range(int(numbers[0]), int(numbers[1]) + 1))
    return on_disk, acked


@pytest.mark.parametrize("cycles", [20, pytest.param(200, marks=pytest.mark.proof)])
async def test_killed_again_and_again(tmp_path, cycles):
    """Whatever it was doing: all that was on disk is there, and the spool opens at once."""
    folder, log = tmp_path / "spool", tmp_path / "log"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TESTS}:{TESTS.parent}:{os.environ.get('PYTHONPATH', '')}",
    }
    longest, checked = 0.0, 0
    delivered = set()
    for cycle in range(1, cycles + 1):
        log.write_text("")
        sync = random.choice(["always", "0.01", "0.2"])
        child = subprocess.Popen(  # noqa: ASYNC220 - once a cycle, and nothing else goes on
            [sys.executable, TESTS / "spooler.py", folder, log, str(cycle * STRIDE), sync],
            env=environment,
        )
        try:
            if cycle % 5:
                await until(lambda: "open" in log.read_text())
                await asyncio.sleep(random.uniform(0, 0.15))
            else:  # while it opens, or before
                await asyncio.sleep(random.uniform(0.1, 0.4))
        finally:
            child.kill()
            child.wait()
        on_disk, acked = told(log)
        delivered |= acked
        began = time.monotonic()
        async with opened(folder, files=REAL) as (spool, owner):
            longest = max(longest, time.monotonic() - began)
            got = [int(frame[:12]) for frame in await take(spool, owner, ack=True)]
            assert not owner.dropped
        assert got == sorted(set(got))
        assert on_disk - delivered <= set(got)
        assert all(number // STRIDE == cycle for number in got)
        checked += len(on_disk)
    sys.stderr.write(f"{checked} frames on disk at {cycles} kills, opened in {longest:.3f} s\n")
    assert checked > cycles * 10


@pytest.mark.proof
async def test_a_large_backlog_is_there_at_once(tmp_path):
    """1 GiB on disk: the spool takes frames after two seconds at most."""
    folder = tmp_path / "spool"
    folder.mkdir()
    frame = os.urandom(700)
    seq = 1
    for _ in range(64):
        octets = [wire.encode_header(7, seq, 1)]
        size = len(octets[0])
        while size + wire.record_octets(700) <= 16 << 20:
            octets.append(wire.encode_record(seq, 1, frame))
            size += len(octets[-1])
            seq += 1
        first = seq - len(octets) + 1
        (folder / f"{first:020d}.seg").write_bytes(b"".join(octets))
    owner = Owner()
    spool = spool_of(folder, owner, files=REAL, max=2 << 30)
    began = time.monotonic()
    spool.start()
    await until(lambda: spool.is_open)
    opened_s = time.monotonic() - began
    sys.stderr.write(f"1 GiB opened in {opened_s:.3f} s\n")
    assert owner.recovered == [seq - 1]
    await put(spool, owner, numbered(1))
    assert len(await spool.read(100, 1 << 20)) == 100
    await spool.close()
    assert opened_s < 2
