"""What far sides do to a connection, and what it may cost: what died with them, nothing else."""

import random
import time

import procfs
import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE, assert_told, held
from judge import judge
from numbered import SIZE
from running import wait_until

RECEIVE_BUFFER = 16 << 10
TOUGH = 'queue = { packets = 200000, bytes = "128MiB" }\n'


def proxied(stage, more=TOUGH, **options):
    """Return a collector, a proxy before it, and a switch that sends there."""
    collector = stage.collector("far", receive_buffer=1 << 20)
    proxy = stage.proxy(collector, **options)
    switch = stage.switch({"far": f'url = "tcp://127.0.0.1:{proxy.port}"\n{more}'})
    return collector, proxy, switch


def ended(switch, sent, collector, lost=0):
    """Assert the account at the end; return the verdict and the counters."""
    switch.settled(sent)
    counters = switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert_told(counters, "far", verdict, lost)
    return verdict, counters


def comes(collector):
    """Wait until a frame comes that is new."""
    before = collector.count
    wait_until(lambda: collector.count > before, lambda: "nothing comes", patience=PATIENCE)


@pytest.mark.beside
@pytest.mark.parametrize("how", ["reset", "close", "half"])
@lengths("cuts", 4, 50)
def test_cut_within_a_frame(stage, how, cuts):
    """Whatever octet is the last one, the next connection begins with a whole frame."""
    collector, proxy, switch = proxied(stage, receive_buffer=RECEIVE_BUFFER)
    agents = stage.agents(switch, rate=1000, sources=2)
    rng = random.Random(cuts)
    for _ in range(cuts):
        switch.wait(lambda found: held(found["sinks"]["far"]) < 100)
        comes(collector)
        before = proxy.connections
        proxy.faults.cut = how
        proxy.faults.cut_after = rng.randrange(1, 20 * SIZE)
        wait_until(
            lambda before=before: proxy.connections > before,
            lambda: "it does not connect again",
            patience=PATIENCE,
        )
        proxy.faults.cut_after = None
    sent = agents.stop()
    allowed = 0 if how == "half" else proxy.connections * (2 * RECEIVE_BUFFER // SIZE + 1)
    ended(switch, sent, collector, allowed)
    assert how == "half" or any(event["partial"] for event in collector.events("closed"))


def test_a_far_side_that_talks(stage):
    """What a far side says is thrown away: no answer, no break, nothing lost."""
    collector, proxy, switch = proxied(stage)
    agents = stage.agents(switch, rate=2000)
    small = procfs.rss(switch.process.pid)
    comes(collector)
    for _ in range(40):
        proxy.say(random.randbytes(100_000))
        switch.counters()
    sent = agents.stop()
    assert procfs.rss(switch.process.pid) < small + (8 << 20)
    _, counters = ended(switch, sent, collector)
    assert proxy.connections == 1
    assert not counters["sinks"]["far"]["errors"]


def test_a_window_that_closes_for_a_while(stage):
    """A far side that does not read is slow, not gone: it is given everything, once."""
    collector, proxy, switch = proxied(stage, TOUGH + 'timeout = "30s"\n')
    agents = stage.agents(switch, rate=2000)
    comes(collector)
    proxy.faults.stall = True
    time.sleep(4)
    assert switch.counters()["sinks"]["far"]["in_memory"] > 0
    proxy.faults.stall = False
    verdict, _ = ended(switch, agents.stop(), collector)
    assert proxy.connections == 1
    assert (len(verdict.missing), verdict.duplicates) == (0, 0)


@lengths("seconds", 2, 20)
def test_a_few_octets_at_a_time(stage, seconds):
    """A path that passes one to seven octets at a time, slowly, is a path."""
    collector, proxy, switch = proxied(stage)
    proxy.faults.slices = 1, 7
    proxy.faults.delay = 0.02
    sent = stage.agents(switch, rate=100, count=100 * seconds).wait()
    verdict, _ = ended(switch, sent, collector)
    assert not verdict.missing


def test_an_agent_that_is_slow_within_a_frame(stage):
    """Octet by octet: its packet comes when it is whole, and the others' do not wait for it."""
    import socket

    from loopback import HOST
    from numbered import frame

    collector, _, switch = proxied(stage)
    agents = stage.agents(switch, rate=1000, first_source=2)
    with socket.create_connection((HOST, switch.port)) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        octets = frame(1, 0, time.time_ns() // 1000, 300)
        for octet in octets[:-1]:
            slow.send(bytes([octet]))
            time.sleep(0.005)
        assert not any(record.source == 1 for record in collector.records())
        comes(collector)
        slow.send(octets[-1:])
        wait_until(
            lambda: any(record.source == 1 for record in collector.records()),
            lambda: "the slow one does not come",
        )
    verdict, _ = ended(switch, agents.stop() | {1: 1}, collector)
    assert not verdict.missing


@pytest.mark.beside
@lengths("seconds", 30, 600)
def test_flapping(stage, seconds):
    """There for two seconds, away for two: nothing lost, nothing piles up, few lines in the log."""
    collector, proxy, switch = proxied(stage)
    pid = switch.process.pid
    agents = stage.agents(switch, rate=500, sources=2)
    comes(collector)
    files, threads, began = procfs.descriptors(pid), procfs.threads(pid), time.monotonic()
    before = len(switch.log())
    while time.monotonic() - began < seconds:
        time.sleep(2)
        proxy.refuse()
        proxy.cut("half")  # it reads on until we end, so nothing is lost with it
        time.sleep(2)
        proxy.heal()
        switch.counters()
    took = time.monotonic() - began
    lines = len(switch.log()) - before
    comes(collector)
    sent = agents.stop()
    switch.settled(sent)
    more = procfs.descriptors(pid) - files
    tell(f"flapping for {seconds} s", f"{more} descriptors more, {lines / took:.1f} lines/s")
    assert more <= 2
    assert procfs.threads(pid) <= threads + 2
    assert lines / took <= 10
    verdict, _ = ended(switch, sent, collector)
    assert not verdict.missing
