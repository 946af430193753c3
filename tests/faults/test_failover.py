"""Destinations with several urls: who is gone is left, who comes back is used, in seconds.

Who goes away here says so and reads on, as a collector that is stopped in good order: then nothing
at all may be lost. What a kill costs is the matter of `test_killed_collector`.
"""

import time
from functools import partial

import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE
from judge import Verdict, judge
from running import wait_until

REFUSED = 1
"""Seconds until the next url is used, when one refuses."""
SILENT = 6
"""Seconds until it is, when one does not answer."""
TOUGH = 'queue = { packets = 200000, bytes = "128MiB" }\n'


def pool(stage, policy="failover", members=2, more=TOUGH):
    """Return collectors, a proxy before the first of them, and a switch that has them as a pool."""
    collectors = [stage.collector(f"far{at}", receive_buffer=32 << 10) for at in range(members)]
    proxy = stage.proxy(collectors[0], receive_buffer=16 << 10)
    urls = [f"tcp://127.0.0.1:{proxy.port}", *(far.url for far in collectors[1:])]
    switch = stage.switch({"far": f'url = {urls}\npolicy = "{policy}"\n{more}'})
    return collectors, proxy, switch


def verdict_on(sent, collectors):
    """Return which packets came to none of them, and how many frames had come before."""
    missing, came = None, 0
    for collector in collectors:
        verdict: Verdict = judge(sent, collector)
        assert not any((verdict.desyncs, verdict.corrupt, verdict.spurious, verdict.repeated))
        missing = verdict.missing if missing is None else missing & verdict.missing
        came += verdict.came
    return missing, came - (sum(sent.values()) - len(missing))


def came_since(collector, count):
    return collector.count > count


def after(collector):
    """Return the seconds until a new frame comes."""
    began = time.monotonic()
    wait_until(
        partial(came_since, collector, collector.count), lambda: "nothing comes", patience=PATIENCE
    )
    return time.monotonic() - began


def finish(stage, switch, agents, collectors):
    """Return which packets came to nobody, after asserting that the switch knows of none."""
    sent = agents.stop()
    switch.settled(sent)
    counters = switch.stop()
    for collector in collectors:
        collector.wait_silent()
    missing, duplicates = verdict_on(sent, collectors)
    account = counters["sinks"]["far"]
    assert not account["dropped"]
    assert not account["shed"]
    assert duplicates <= account["resent"]
    return missing


@pytest.mark.beside
def test_refused(stage):
    """The first is killed: the second is used within a second."""
    collectors, proxy, switch = pool(stage)
    agents = stage.agents(switch, rate=1000, sources=2)
    after(collectors[0])
    proxy.refuse()
    proxy.cut("half")
    took = after(collectors[1])
    tell("failover from one that refuses", f"{took:.2f} s")
    assert took <= REFUSED
    time.sleep(1)
    assert not finish(stage, switch, agents, collectors)


@pytest.mark.beside
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_silent(stage, seconds):
    """The first does not answer any more, from the start or later: at most six seconds."""
    collectors, proxy, switch = pool(stage)
    if seconds:
        agents = stage.agents(switch, rate=1000, sources=2)
        time.sleep(seconds)
        proxy.blackhole()
    else:
        proxy.blackhole()
        proxy.cut("half")
        agents = stage.agents(switch, rate=1000, sources=2)
    took = after(collectors[1])
    tell("failover from one that is silent", f"{took:.2f} s")
    assert took <= SILENT
    proxy.cut()
    missing = finish(stage, switch, agents, collectors)
    # What a proxy had taken and then dropped is what its kernel had acknowledged.
    assert len(missing) <= 2 * (32 << 10) // 500


@pytest.mark.beside
def test_the_first_is_used_again(stage):
    """After its return the first url is the one to be used, by and by."""
    collectors, proxy, switch = pool(stage)
    agents = stage.agents(switch, rate=500)
    after(collectors[0])
    proxy.refuse()
    proxy.cut("half")
    after(collectors[1])
    proxy.heal()
    assert after(collectors[0]) <= 60
    assert not finish(stage, switch, agents, collectors)


@pytest.mark.beside
def test_never_without_any(stage):
    """All of them are gone: packets wait, and the first that is back gets them."""
    collectors, proxy, switch = pool(stage)
    agents = stage.agents(switch, rate=500)
    after(collectors[0])
    collectors[1].kill()
    proxy.refuse()
    proxy.cut("half")
    time.sleep(4)
    collectors[1].start()
    assert after(collectors[1]) <= 10
    assert not finish(stage, switch, agents, collectors)


@pytest.mark.beside
@pytest.mark.parametrize("policy", ["hash", "round-robin"])
@lengths("seconds", 4, 30)
def test_spread_over_who_is_there(stage, policy, seconds):
    """One of three goes away and comes back: the others take its part, none is lost."""
    collectors, proxy, switch = pool(stage, policy, members=3)
    agents = stage.agents(switch, rate=1000, sources=4)
    for collector in collectors:
        after(collector)
    proxy.refuse()
    proxy.cut("half")
    time.sleep(seconds)
    for collector in collectors[1:]:
        after(collector)
    proxy.heal()
    assert after(collectors[0]) <= 60
    assert not finish(stage, switch, agents, collectors)
