"""A collector that is away for long: what came meanwhile waits on disk, and arrives by itself."""

import time

import procfs
import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE, assert_told
from judge import judge
from running import wait_until

RATE = 2000
GROWTH = 16 << 20
"""Octets that the switch may grow by, outage and replay together."""
FIRST = 5
"""Seconds until the first frame comes, once somebody listens again."""
BEFORE = 2 * RATE
"""Packets that are delivered before the outage."""


@pytest.mark.beside
@lengths("seconds", 60, 600)
def test_everything_comes_after_an_outage(stage, seconds):
    """2,000 packets in a second: the first comes within 5 s of the return, and then all of them."""
    collector = stage.collector("far", receive_buffer=1 << 20)
    switch = stage.switch(
        {"far": f'url = "{collector.url}"\nspool = {{ path = "{stage.folder}/spool" }}\n'}
    )
    pid = switch.process.pid
    sent = stage.agents(switch, rate=RATE, sources=3, count=BEFORE).wait()
    switch.settled(sent)
    collector.wait_read()
    collector.kill()
    procfs.forget_peak(pid)
    small = procfs.rss(pid)
    agents = stage.agents(switch, rate=RATE, sources=3, first_source=11, count=seconds * RATE)
    for _ in range(seconds):
        time.sleep(1)
        switch.counters()
    sent |= agents.wait()
    assert switch.wait_seen(sent)["sinks"]["far"]["in_spool"] > 0
    before, began = collector.count, time.monotonic()
    collector.start()
    wait_until(lambda: collector.count > before, lambda: "nothing comes", patience=PATIENCE)
    first = time.monotonic() - began
    switch.settled(sent, patience=10 * PATIENCE)
    drained = time.monotonic() - began
    growth = procfs.peak_rss(pid) - small
    counters = switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    tell(
        f"{seconds} s away at {RATE}/s",
        f"first after {first:.1f} s, all after {drained:.0f} s, {growth >> 10} KiB more, "
        f"{len(verdict.missing)} missing",
    )
    assert verdict.is_clean(), verdict.lines  # no source sent before and after the return
    assert not verdict.missing
    assert_told(counters, "far", verdict)
    assert first <= FIRST
    assert growth <= GROWTH


@lengths("seconds", 3, 20)
def test_live_packets_do_not_wait_for_the_old(stage, seconds):
    """After its return, live packets are there at once, while the backlog is still on its way."""
    collector = stage.collector("far", away=True, receive_buffer=1 << 20)
    switch = stage.switch(
        {"far": f'url = "{collector.url}"\nspool = {{ path = "{stage.folder}/spool" }}\n'}
    )
    old = stage.agents(switch, sources=1, rate=10_000, count=10_000 * seconds).wait()
    switch.wait_seen(old)
    collector.start()
    wait_until(lambda: collector.count, lambda: "nothing comes", patience=PATIENCE)
    live = stage.agents(switch, sources=1, first_source=2, rate=500)
    wait_until(
        lambda: any(record.source == 2 for record in collector.records()),
        lambda: "nothing live comes",
        patience=PATIENCE,
    )
    sent = old | live.stop()
    switch.settled(sent, patience=5 * PATIENCE)
    counters = switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean(), verdict.lines  # no source sent before and after the return
    assert not verdict.missing
    assert_told(counters, "far", verdict)
