"""Datagrams: refused, repeated, out of order, too big, empty."""

import random
import socket
import time

import procfs
from faults.lengths import lengths
from faults.stage import assert_told
from judge import judge
from loopback import HOST, free_port
from numbered import frame
from running import wait_until


@lengths("seconds", 3, 60)
def test_nobody_listens(stage, seconds):
    """A storm of refusals is counted: the socket stays, the others lose nothing."""
    there = stage.collector("there", "udp", receive_buffer=16 << 20)
    switch = stage.switch(
        {
            "nobody": f'url = "udp://127.0.0.1:{free_port()}"',
            "there": f'url = "{there.url}"',
        }
    )
    pid = switch.process.pid
    files = procfs.descriptors(pid)
    agents = stage.agents(switch, rate=5000, sources=2)
    for _ in range(seconds * 4):
        time.sleep(0.25)
        switch.counters()
    sent = agents.stop()
    counters = switch.settled(sent)
    assert procfs.descriptors(pid) <= files + 1
    assert counters["sinks"]["nobody"]["errors"]["refused"] > 0
    assert counters["sinks"]["nobody"]["delivered"] == sum(sent.values())
    assert len([text for text in switch.texts() if "nobody" in text]) <= 3 + seconds
    switch.stop()
    there.wait_silent()
    verdict = judge(sent, there)
    assert verdict.is_clean()
    assert_told(counters, "there", verdict)
    assert not verdict.missing


def test_loss_repetition_and_disorder_pass_as_they_are(stage):
    """What comes twice leaves twice, and in the order in which it came: no rule asked otherwise."""
    collector = stage.collector("far", "udp", receive_buffer=4 << 20)
    switch = stage.switch({"far": f'url = "{collector.url}"'})
    rng = random.Random(24)
    numbers = [at for at in range(2000) if rng.random() > 0.1]
    numbers += rng.sample(numbers, 200)
    for at in range(0, len(numbers) - 5, 5):
        numbers[at : at + 5] = rng.sample(numbers[at : at + 5], 5)
    with socket.socket(type=socket.SOCK_DGRAM) as agent:
        agent.connect((HOST, switch.port))
        for at in numbers:
            agent.send(frame(1, at, 0))
    switch.wait_seen({1: len(numbers)})
    collector.wait_count(len(numbers))
    assert [record.at for record in collector.records()] == numbers


def test_sizes(stage):
    """The greatest that can be, the least that cannot: taken, or rejected with a reason."""
    udp = stage.collector("udp", "udp", receive_buffer=4 << 20)
    tcp = stage.collector("tcp", receive_buffer=1 << 20)
    switch = stage.switch({"udp": f'url = "{udp.url}"', "tcp": f'url = "{tcp.url}"'})
    with socket.socket(type=socket.SOCK_DGRAM) as agent:
        agent.connect((HOST, switch.port))
        for octets in (frame(1, 0, 0, 65507), b"HEP3\x00\x06", b"", b"HEP3\x00\x05", b"HEP3"):
            agent.send(octets)
    switch.wait_seen({1: 5})
    with socket.create_connection((HOST, switch.port)) as agent:
        agent.sendall(frame(1, 1, 0, 65535) + frame(1, 2, 0))
        counters = switch.wait_seen({1: 7})
    listener = counters["listeners"]["in"]
    assert sum(listener["rejected"].values()) + listener["accepted"] == 7
    assert listener["accepted"] >= 3
    counters = switch.wait(lambda found: found["sinks"]["tcp"]["in_flight"] == 0)
    assert counters["sinks"]["udp"]["dropped"] == {"too-big": 1}
    wait_until(lambda: {record.at for record in tcp.records()} >= {0, 1, 2}, lambda: "too few")
    wait_until(lambda: {record.at for record in udp.records()} >= {0, 2}, lambda: "too few")
