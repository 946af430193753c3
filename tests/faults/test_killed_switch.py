"""`kill -9` of the switch itself: what its spool had acknowledged is there when it starts again."""

import random
import statistics
import time

import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE, assert_told
from judge import judge
from loopback import free_port
from running import wait_until

STARTS = 2
"""Seconds from `exec` to `ready`."""


def spooled(stage, collector, queue=10):
    return {
        "far": f'url = "{collector.url}"\nqueue = {{ packets = {queue} }}\n'
        f'spool = {{ path = "{stage.folder}/spool" }}\n'
    }


def recovered(switch, least):
    """Return how many packets a switch found on disk, when it has told so."""
    wait_until(
        lambda: any("wait in the spool" in text for text in switch.texts()) or not least,
        lambda: switch.errors,
        patience=PATIENCE,
    )
    found = switch.counters()["sinks"]["far"]["recovered"]
    assert found >= least
    return found


def replayed(switch):
    """Return when a switch holds nothing, and has had the time to find something."""
    for _ in range(3):
        time.sleep(1)
        switch.settled({})


@pytest.mark.beside
@lengths("kills", 20, 200)
def test_spooled_is_kept(stage, kills):
    """Killed at random moments while it spools, again and again: it starts, and nothing is lost."""
    rng = random.Random(kills)
    collector = stage.collector("far", away=True)
    port, starts, promised = free_port(), [], 0
    sent = {}
    for cycle in range(kills):
        began = time.monotonic()
        switch = stage.switch(spooled(stage, collector), port=port)
        starts.append(time.monotonic() - began)
        recovered(switch, promised)
        agents = stage.agents(switch, rate=3000, sources=2, first_source=1 + 2 * cycle)
        until = time.monotonic() + rng.uniform(0.05, 0.5)
        while time.monotonic() < until:
            promised = switch.counters()["sinks"]["far"]["in_spool"]
        time.sleep(rng.uniform(0, 0.02))
        switch.kill()
        sent |= agents.stop()
    switch = stage.switch(spooled(stage, collector), port=port)
    kept = recovered(switch, promised)
    collector.start()
    switch.settled({}, patience=5 * PATIENCE)
    switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert verdict.unique == verdict.came == kept
    tell(
        f"switch killed {kills} times",
        f"started in {statistics.median(starts):.2f} s, {max(starts):.2f} s at most; "
        f"{kept} of {sum(sent.values())} were spooled",
    )


@lengths("kills", 5, 50)
def test_killed_while_it_replays(stage, kills):
    """What was delivered may come again; what was not yet, comes."""
    rng = random.Random(kills)
    collector = stage.collector("far", away=True, receive_buffer=1 << 20)
    port = free_port()
    switch = stage.switch(spooled(stage, collector), port=port)
    sent = stage.agents(switch, rate=20_000, sources=2, count=20_000).wait()
    counters = switch.wait_seen(sent)
    kept = counters["sinks"]["far"]["in_spool"]
    switch.kill()
    for _ in range(kills):
        collector.start()
        switch = stage.switch(spooled(stage, collector), port=port)
        time.sleep(rng.uniform(0, 0.3))
        switch.kill()
        collector.wait_silent()
        collector.kill()
    collector.start()
    switch = stage.switch(spooled(stage, collector), port=port)
    replayed(switch)
    switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert verdict.unique >= kept


@lengths("flips", 5, 50)
def test_a_flipped_octet_costs_one_packet(stage, flips):
    """Of what a killed switch left on disk, damage anywhere costs at most one packet each."""
    rng = random.Random(flips)
    collector = stage.collector("far", away=True)
    port = free_port()
    switch = stage.switch(spooled(stage, collector), port=port)
    sent = stage.agents(switch, rate=5000, count=2000).wait()
    kept = switch.wait_seen(sent)["sinks"]["far"]["in_spool"]
    time.sleep(0.5)
    switch.kill()
    segments = [file for file in (stage.folder / "spool").iterdir() if file.stat().st_size > 4096]
    for _ in range(flips):
        file = rng.choice(segments)
        with file.open("r+b") as opened:
            at = rng.randrange(min(file.stat().st_size, kept * 500))
            opened.seek(at)
            octet = opened.read(1)[0]
            opened.seek(at)
            opened.write(bytes([octet ^ 1 << rng.randrange(8)]))
    collector.start()
    switch = stage.switch(spooled(stage, collector), port=port)
    replayed(switch)
    switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert verdict.unique >= kept - flips


@pytest.mark.proof
def test_starts_with_a_gibibyte_of_backlog(stage):
    """Ready within two seconds, whatever waits on disk; and all of it arrives."""
    collector = stage.collector("far", away=True, receive_buffer=4 << 20)
    port = free_port()
    far = spooled(stage, collector)
    far["far"] = far["far"].replace("spool = { ", 'spool = { max = "2GiB", ')
    switch = stage.switch(far, port=port)
    count = (1 << 30) // 60_000
    sent = stage.agents(switch, scheme="tcp", rate=400, count=count, size=60_000).wait()
    switch.wait(lambda found: found["sinks"]["far"]["in_spool"] >= count - 20)
    time.sleep(1)
    switch.kill()
    began = time.monotonic()
    switch = stage.switch(far, port=port)
    took = time.monotonic() - began
    tell("start with 1 GiB of backlog", f"{took:.2f} s")
    kept = recovered(switch, count - 20)
    collector.start()
    switch.settled({}, patience=10 * PATIENCE)
    counters = switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert verdict.unique == kept == counters["sinks"]["far"]["delivered"]
    assert took <= STARTS


def test_a_second_owner_is_refused(stage):
    """Two switches on one spool: the second says so and does without, the first goes on."""
    collector = stage.collector("far", away=True)
    switch = stage.switch(spooled(stage, collector))
    sent = stage.agents(switch, rate=1000, count=200).wait()
    switch.wait(lambda found: found["sinks"]["far"]["in_spool"] == 200)
    second = stage.switch(spooled(stage, collector), name="second")
    wait_until(
        lambda: any("is locked by process" in text for text in second.texts()),
        lambda: second.errors,
    )
    assert second.counters()["sinks"]["far"]["recovered"] == 0
    second.stop()
    collector.start()
    counters = switch.settled(sent)
    switch.stop()
    collector.wait_silent()
    verdict = judge(sent, collector)
    assert verdict.is_clean()
    assert (len(verdict.missing), verdict.came) == (0, 200)
    assert_told(counters, "far", verdict)
