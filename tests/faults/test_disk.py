"""Disks that are full, slow or broken: packets go on to whoever is there."""

import os
import shutil
import statistics
import subprocess
import time
from contextlib import contextmanager

import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE, assert_told
from judge import judge

RESUMES = 1
"""Seconds until the spool takes packets again, once there is room."""
DISK = 48 << 20
BIG = 20_000


@contextmanager
def small_disk(folder):
    """Mount a disk of `DISK` octets at a folder."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK}", "none", folder]
    if os.getuid() or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("a disk of a known size needs the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(disk):
    """Leave no room on a disk; return the file that took it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(bytes(1 << 16))
        except OSError:
            return ballast


@pytest.mark.beside
@lengths("times", 5, 50)
def test_full_and_freed(stage, times):
    """Relaying goes on while the disk is full, and spooling within a second of its having room."""
    with small_disk(stage.folder / "disk") as disk:
        away = stage.collector("away", away=True, receive_buffer=1 << 20)
        there = stage.collector("there", receive_buffer=1 << 20)
        switch = stage.switch(
            {
                "there": f'url = "{there.url}"',
                "away": f'url = "{away.url}"\nqueue = {{ packets = 50 }}\n'
                f'spool = {{ path = "{disk}/spool" }}\n',
            }
        )
        try:
            sent, resumed = full_and_freed(stage, switch, away, disk, times)
            switch.settled(sent)
            counters = switch.stop()
        finally:
            switch.kill()  # or the disk is in use
    tell(
        f"disk full and freed {times} times",
        f"spooling again after {statistics.median(resumed):.2f} s, {max(resumed):.2f} s at most",
    )
    assert statistics.median(resumed) <= RESUMES
    for name, collector in (("there", there), ("away", away)):
        collector.wait_silent()
        verdict = judge(sent, collector)
        assert verdict.is_clean(lines=2)
        assert_told(counters, name, verdict)
    assert not judge(sent, there).missing
    assert judge(sent, away).missing


def given_up(counters):
    """Return how many packets for the one that is away found no room."""
    account = counters["sinks"]["away"]
    return sum(account["dropped"].values()) + sum(account["shed"].values())


def full_and_freed(stage, switch, away, disk, times):
    """Fill the disk and free it so many times; return what was sent, and how long each took."""
    sent, resumed = {}, []
    for turn in range(times):
        ballast = fill(disk)
        before = given_up(switch.counters())
        agents = stage.agents(
            switch, scheme="tcp", rate=500, size=BIG, sources=1, first_source=turn + 1
        )
        switch.wait(lambda found, before=before: given_up(found) > before, step=0.01)
        full = switch.counters()["sinks"]["away"]["in_spool"]
        ballast.unlink()
        freed = time.monotonic()
        switch.wait(
            lambda found, full=full: found["sinks"]["away"]["in_spool"] > full + 1, step=0.01
        )
        resumed.append(time.monotonic() - freed)
        sent |= agents.stop()
        away.start()
        switch.settled(sent, patience=PATIENCE)
        away.wait_read()
        away.kill()
    away.start()
    return sent, resumed


def with_trouble(name, trouble):
    """Return a wrapper that makes a system call fail or wait, or skip."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace to make system calls fail")
    found = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]
    return [*found, "-e", f"trace={name}", "-e", f"inject={name}:{trouble}"]


def relay_beside(stage, name, trouble, seconds):
    """Spool for one destination in trouble, relay to another; then let the first come back."""
    away = stage.collector("away", away=True, receive_buffer=1 << 20)
    there = stage.collector("there", receive_buffer=1 << 20)
    switch = stage.switch(
        {
            "there": f'url = "{there.url}"',
            "away": f'url = "{away.url}"\n'
            f'spool = {{ path = "{stage.folder}/spool", sync = "100ms" }}\n',
        },
        wrapper=with_trouble(name, trouble),
    )
    agents = stage.agents(switch, rate=1000, sources=2)
    for _ in range(seconds * 4):
        time.sleep(0.25)
        switch.counters()
    sent = agents.stop()
    switch.settled(sent, "there")
    away.start()
    switch.settled(sent)
    counters = switch.stop()
    for key, collector in (("there", there), ("away", away)):
        collector.wait_silent()
        verdict = judge(sent, collector)
        assert_told(counters, key, verdict)
        assert verdict.is_clean(lines=2), verdict.lines
        assert not verdict.missing
    return there.records()


@lengths("seconds", 3, 20)
@pytest.mark.parametrize("name", ["fdatasync", "fsync"])
def test_what_could_not_be_made_durable_is_written_again(stage, name, seconds):
    """The system says once that it lost something: nothing is lost, and nobody waits."""
    relay_beside(stage, name, "error=EIO:when=3", seconds)


@lengths("seconds", 3, 20)
def test_writes_that_fail(stage, seconds):
    """A disk that takes nothing for a while, from a record in the middle on."""
    relay_beside(stage, "fdatasync", "error=ENOSPC:when=2..4", seconds)


@lengths("seconds", 3, 20)
def test_slow_disk(stage, seconds):
    """Half a second for each sync: the other destination never waits for it."""
    records = relay_beside(stage, "fdatasync", "delay_enter=500000", seconds)
    late = sorted(record.late_us for record in records)
    assert late[len(late) // 2] < 250_000
