"""A clock that is set, forwards and back, while packets wait."""

import os
import time

import pytest
from faults.stage import PATIENCE, assert_told
from judge import judge
from running import wait_until

FAKED = """
import time
def told(real, unit):
    def asked():
        try:
            with open({file!r}) as opened:
                return real() + type(real())(float(opened.read() or 0) * unit)
        except OSError:
            return real()
    return asked
time.time = told(time.time, 1)
time.time_ns = told(time.time_ns, 10**9)
"""
"""Runs in the switch before anything else: its wall clock is what a file says it is."""


@pytest.fixture
def clock(stage, monkeypatch):
    """A file with the seconds by which the switch's clock is wrong."""
    file = stage.folder / "wrong-by"
    file.write_text("0")
    place = stage.folder / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(FAKED.format(file=str(file)))
    path = f"{place}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return file, path


def set_clock(file, seconds):
    whole = file.with_suffix(".new")
    whole.write_text(str(seconds))
    whole.rename(file)


@pytest.mark.parametrize("jump", [3600, -3600, 15 * 365 * 86400])
def test_a_jump_changes_nothing(stage, clock, jump):
    """Packets wait neither longer nor shorter, and none is thought to be too old."""
    from running import ROOT

    file, path = clock
    collector = stage.collector("far", away=True, receive_buffer=1 << 20)
    there = stage.collector("there", receive_buffer=1 << 20)
    switch = stage.switch(
        {
            "far": f'url = "{collector.url}"\nqueue = {{ packets = 100 }}\n'
            f'spool = {{ path = "{stage.folder}/spool" }}\n',
            "there": f'url = "{there.url}"',
        },
        wrapper=["env", f"PYTHONPATH={path}{os.pathsep}{ROOT}"],
    )
    agents = stage.agents(switch, rate=1000, sources=2)
    time.sleep(1)
    set_clock(file, jump)
    time.sleep(1)
    switch.counters()
    before = collector.count
    collector.start()
    came = time.monotonic()
    wait_until(lambda: collector.count > before, lambda: switch.errors, patience=PATIENCE)
    assert time.monotonic() - came <= 6
    set_clock(file, 0)
    time.sleep(0.5)
    sent = agents.stop()
    switch.settled(sent)
    counters = switch.stop()
    for name, far in (("far", collector), ("there", there)):
        far.wait_silent()
        verdict = judge(sent, far)
        assert verdict.is_clean(lines=2), verdict.lines
        assert not verdict.missing
        assert_told(counters, name, verdict)
