"""A destination that nobody answers for costs the others nothing."""

import statistics
import time

import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import assert_told
from judge import judge, p99_us

RATE = 2000
SLOWER = 1.5
"""What the others' 99th percentile may grow by."""


def others(stage, name, seconds, is_blackholed):
    """Send to three destinations, one of which may fall silent; return the p99 of the two."""
    good = [stage.collector(f"{name}-good{number}", receive_buffer=1 << 20) for number in range(2)]
    bad = stage.collector(f"{name}-bad", receive_buffer=1 << 20)
    proxy = stage.proxy(bad)
    switch = stage.switch(
        {
            "good0": f'url = "{good[0].url}"',
            "bad": f'url = "tcp://127.0.0.1:{proxy.port}"\ntimeout = "1s"\n'
            "queue = { packets = 1000 }\n",
            "good1": f'url = "{good[1].url}"',
        },
        name=name,
    )
    agents = stage.agents(switch, rate=RATE, sources=3)
    time.sleep(0.5)
    if is_blackholed:
        proxy.blackhole()
    first = [collector.count for collector in good]
    for _ in range(seconds):
        time.sleep(1)
        switch.counters()
    sent = agents.stop()
    switch.settled(sent, "good0", "good1")
    proxy.heal()
    switch.settled(sent)
    counters = switch.stop()
    records = []
    for number, collector in enumerate(good):
        collector.wait_silent()
        verdict = judge(sent, collector)
        assert verdict.is_clean()
        assert not verdict.missing
        assert_told(counters, f"good{number}", verdict)
        records += collector.records(first[number])
    if is_blackholed:
        assert counters["sinks"]["bad"]["dropped"]["overflow"] > 0
    for collector in (*good, bad):
        collector.close()
    return p99_us(records)


@pytest.mark.alone
@lengths("seconds", 4, 60)
def test_others_lose_nothing(stage, seconds):
    """One of three falls silent: the other two are given everything, in order."""
    others(stage, "silent", seconds, is_blackholed=True)


@pytest.mark.alone
@pytest.mark.proof
def test_others_are_as_fast(stage):
    """The 99th percentile of the other two, median of five pairs side by side, is 1.5 x at most."""
    ratios = []
    for pair in range(5):
        times = {}
        for is_blackholed in (False, True) if pair % 2 else (True, False):
            name = f"pair{pair}-{is_blackholed}"
            times[is_blackholed] = others(stage, name, 8, is_blackholed=is_blackholed)
        ratios.append(times[True] / times[False])
    tell("p99, one of three silent / none", " ".join(f"{ratio:.2f}" for ratio in sorted(ratios)))
    assert statistics.median(ratios) <= SLOWER
