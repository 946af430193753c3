"""A far side that loses its power: no reset, no end, nothing."""

import os
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest
from faults.figures import tell
from faults.stage import PATIENCE, assert_told
from judge import judge
from running import wait_until

NET = f"198.18.{os.getpid() % 251}"
"""Set aside for benchmarks; another run beside this one has another."""
BREAK = 15
"""Seconds until a connection without a word from the far side is given up."""


def ip(*words):
    return subprocess.run(["ip", *words], check=False, capture_output=True).returncode == 0


@contextmanager
def cable(number):
    """Lay a cable to a network namespace of our own; give its name here and there."""
    name = f"hep{os.getpid() % 100_000}x{number}"
    with ExitStack() as stack:
        if os.getuid() or not ip("netns", "add", name):
            pytest.skip("needs the right to make a network namespace")
        stack.callback(ip, "netns", "del", name)
        inside = f"{name}i"
        assert ip("link", "add", name, "type", "veth", "peer", "name", inside, "netns", name)
        stack.callback(ip, "link", "del", name)
        assert ip("addr", "add", f"{NET}.{4 * number + 1}/30", "dev", name)
        assert ip("link", "set", name, "up")
        assert ip("-n", name, "addr", "add", f"{NET}.{4 * number + 2}/30", "dev", inside)
        assert ip("-n", name, "link", "set", inside, "up")
        yield name, inside


@pytest.mark.beside
@pytest.mark.parametrize("rate", [0, 500])
def test_noticed_and_sent_again(stage, rate):
    """With traffic or without, the break is noticed; when the far side is back, all of it comes."""
    number = int(rate > 0)
    with cable(number) as (name, inside):
        noticed_and_sent_again(stage, number, name, inside, rate)


def noticed_and_sent_again(stage, number, name, inside, rate):
    """The same, with the ends of a cable."""
    collector = stage.collector(
        "far",
        host=f"{NET}.{4 * number + 2}",
        wrapper=["ip", "netns", "exec", name],
        receive_buffer=64 << 10,
    )
    switch = stage.switch({"far": f'url = "{collector.url}"\ntimeout = "3s"\n'})
    first = stage.agents(switch, rate=500, count=500).wait()
    switch.settled(first)
    collector.wait_count(500)
    assert ip("-n", name, "link", "set", inside, "down")
    began = time.monotonic()
    agents = stage.agents(switch, rate=rate or 1, first_source=2)
    if not rate:
        agents.stop()
    wait_until(
        lambda: "down" in switch.counters()["sinks"]["far"]["state"],
        lambda: str(switch.counters()["sinks"]["far"]),
        patience=PATIENCE,
    )
    took = time.monotonic() - began
    tell(f"half-open at {rate}/s", f"noticed after {took:.1f} s")
    assert took <= BREAK
    sent = first | agents.stop()
    assert ip("-n", name, "link", "set", inside, "up")
    counters = switch.settled(sent)
    wait_until(lambda: collector.count >= sum(sent.values()), lambda: "not all come", patience=60)
    switch.stop()
    collector.kill()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert not verdict.missing
    assert_told(counters, "far", verdict)
