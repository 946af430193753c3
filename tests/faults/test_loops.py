"""Switches that send to one another."""

import socket
import time

from faults.figures import tell
from loopback import HOST, free_port
from numbered import frame

TRANSMISSIONS = 8
"""How often each switch sends one packet on before it notices."""


def test_two_switches_that_send_to_each_other(stage):
    """One packet goes round a few times, and is then dropped, `loop`; others still pass."""
    ports = free_port(), free_port()
    first = stage.switch({"other": f'url = "udp://127.0.0.1:{ports[1]}"'}, name="a", port=ports[0])
    second = stage.switch({"other": f'url = "udp://127.0.0.1:{ports[0]}"'}, name="b", port=ports[1])
    with socket.socket(type=socket.SOCK_DGRAM) as agent:
        agent.sendto(frame(1, 0, 0), (HOST, first.port))
    time.sleep(1)
    found = [switch.counters() for switch in (first, second)]
    sent = [counters["sinks"]["other"]["delivered"] for counters in found]
    if sum(sent) > 1000:
        first.kill()  # or it would go round for ever
    tell("loop of two switches", f"{sent[0]} and {sent[1]} transmissions")
    assert sum(counters["switch"]["dropped"].get("loop", 0) for counters in found) == 1
    assert max(sent) <= TRANSMISSIONS


def test_the_same_packet_by_several_agents_is_no_loop(stage):
    """A few copies of a packet are what several agents report, not a circle."""
    collector = stage.collector("far", "udp")
    switch = stage.switch({"far": f'url = "{collector.url}"'})
    with socket.socket(type=socket.SOCK_DGRAM) as agent:
        for _ in range(4):
            agent.sendto(frame(1, 0, 0), (HOST, switch.port))
    switch.wait_seen({1: 4})
    collector.wait_count(4)
