"""More than can be carried: what is shed is counted, what is carried is as much as ever."""

import signal
import time

import procfs
import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import assert_told, shed
from judge import judge
from running import wait_until

SINK = 1000
"""Packets in a second that the collector reads."""
GOODPUT = 0.9
BUDGET = 64 << 20


@pytest.mark.alone
@lengths("seconds", 8, 60)
def test_twice_what_a_collector_takes(stage, seconds):
    """It is given as much as it takes, memory stays within the budget, the rest is counted."""
    collector = stage.collector("far", rate=SINK, receive_buffer=64 << 10)
    switch = stage.switch(
        {"far": f'url = "{collector.url}"\nqueue = {{ packets = 2000 }}\n'},
        '[switch]\nmemory = "64MiB"\n',
    )
    small = procfs.rss(switch.process.pid)
    agents = stage.agents(switch, rate=2 * SINK, sources=3)
    wait_until(lambda: collector.count, lambda: "nothing comes")
    first, began = collector.count, time.monotonic()
    for _ in range(seconds):
        time.sleep(1)
        switch.counters()
    goodput = (collector.count - first) / (time.monotonic() - began)
    sent = agents.stop()
    counters = switch.settled(sent)
    assert procfs.peak_rss(switch.process.pid) <= small + BUDGET
    tell(f"2 x what a collector takes, {seconds} s", f"goodput {goodput / SINK:.2f}")
    switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert shed(counters, "far") > 0
    assert_told(counters, "far", verdict)
    assert goodput >= GOODPUT * SINK


@lengths("times", 1, 10)
def test_burst_at_a_switch_that_stands_still(stage, times):
    """20,000 datagrams: what is read and what the kernel dropped is what was sent, exactly."""
    collector = stage.collector("far", "udp", receive_buffer=64 << 20)
    switch = stage.switch({"far": f'url = "{collector.url}"'})
    text = switch.file.read_text().replace('"64MiB"', '"1MiB"')
    switch.file.write_text(text)
    assert "in service" in switch.reload()
    sent = {}
    for burst in range(times):
        switch.signal(signal.SIGSTOP)
        wait_until(lambda: procfs.is_stopped(switch.process.pid), lambda: "it does not stop")
        sent |= stage.agents(switch, count=20_000, first_source=burst + 1).wait()
        switch.signal(signal.SIGCONT)
        switch.wait_seen(sent)
    counters = switch.settled(sent)
    listener = counters["listeners"]["in"]
    assert listener["seen"] == listener["kernel_dropped"] + listener["accepted"] == 20_000 * times
    assert listener["kernel_dropped"] > 0
    switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert len(verdict.missing) == listener["kernel_dropped"]


@lengths("times", 2, 20)
def test_a_stall_at_load_loses_nothing(stage, times):
    """A tenth of a second without reading is what the receive buffer is for."""
    collector = stage.collector("far", receive_buffer=1 << 20)
    switch = stage.switch({"far": f'url = "{collector.url}"'})
    agents = stage.agents(switch, rate=5000)
    for _ in range(times):
        time.sleep(0.4)
        switch.signal(signal.SIGSTOP)
        time.sleep(0.1)
        switch.signal(signal.SIGCONT)
    sent = agents.stop()
    counters = switch.settled(sent)
    assert counters["listeners"]["in"]["kernel_dropped"] == 0
    switch.stop()
    collector.wait_silent()
    assert not judge(sent, collector).missing


@pytest.mark.beside
@lengths("seconds", 4, 30)
def test_tcp_is_held_back_before_datagrams_are_shed(stage, seconds):
    """Agents of TCP wait while memory is short: nothing of theirs is lost, and no datagram."""
    collector = stage.collector("far", rate=SINK, receive_buffer=64 << 10)
    switch = stage.switch(
        {"far": f'url = "{collector.url}"\nqueue = {{ packets = 1000000, bytes = "1GiB" }}\n'},
        '[switch]\nmemory = "1MiB"\n',
    )
    agents = stage.agents(switch, scheme="tcp", sources=2, first_source=1)
    datagrams = stage.agents(switch, rate=SINK / 10, first_source=3)
    for _ in range(seconds):
        time.sleep(1)
        counters = switch.counters()
    sent = datagrams.stop() | agents.stop()
    assert shed(counters, "far") == 0
    assert counters["sinks"]["far"]["in_memory"] * 500 < 8 << 20
    counters = switch.settled(sent)
    switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert not verdict.missing
