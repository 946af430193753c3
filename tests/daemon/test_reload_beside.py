"""Reloads of many rules beside the packets: none is lost meanwhile."""

import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from daemon.traffic import LOADER, RELAY, address
from running import PATIENCE, wait_until

RULE = """
[[rules.main]]
name = "r{at}"
match.src_ip = "10.{high}.{low}.0/24"
match.dst_port = {port}
set.node_name = "{{capture_id}} of {at}"
relay = "sink"
"""


def rules(number):
    return "".join(
        RULE.format(at=at, high=at >> 8, low=at & 255, port=1024 + at) for at in range(number)
    )


def reload_beside(start, udp, port, number, rate, reloads):
    """Reload so many rules while packets flow that only the last rule takes; return the account."""
    text = RELAY.format(sink=f"udp://{address(udp)}")
    head, rest = text.split("[[rules.main]]")
    # Room for seconds of such packets: what is asserted is no matter of a fast machine.
    head = head.replace("[destinations]", 'receive_buffer = "64MiB"\n\n[destinations]')
    with ExitStack() as stack:
        switch = start(
            f"{head}[reload]\nwatch = false\n{rules(number)}[[rules.main]]{rest}", ready=False
        )
        began = time.monotonic()
        while "ready" not in switch.texts():
            assert switch.process.poll() is None, switch.errors
            assert time.monotonic() - began < 6 * PATIENCE
            time.sleep(0.05)
        loader = subprocess.Popen(
            [sys.executable, "-c", LOADER, str(port), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(loader.kill)
        wait_until(lambda: switch.counters()["switch"]["routed"], lambda: "nothing came")
        for generation in range(2, 2 + reloads):
            switch.signal(1)
            began = time.monotonic()
            while not any(f"generation {generation} in service" in text for text in switch.texts()):
                assert switch.process.poll() is None, switch.errors
                assert time.monotonic() - began < 6 * PATIENCE
                time.sleep(0.05)
        sent = int(loader.communicate("stop\n", timeout=PATIENCE)[0])
        switch.wait_counters(
            lambda found: (
                found["listeners"]["in"]["accepted"] + found["listeners"]["in"]["kernel_dropped"]
                == sent
            )
        )
        return sent, switch.stop()


def assert_nothing_lost(sent, account):
    assert account["listeners"]["in"]["kernel_dropped"] == 0
    assert account["switch"]["routed"] == account["sinks"]["sink"]["delivered"] == sent
    assert account["switch"]["rules"]["main/all"]["packets"] == sent
    assert account["unaccounted"] == 0


def test_no_packet_is_lost_while_many_rules_are_loaded(start, udp, port):
    """Two thousand rules come into service again and again; every packet gets through."""
    assert_nothing_lost(*reload_beside(start, udp, port, number=2000, rate=1000, reloads=2))


@pytest.mark.proof
def test_no_packet_is_lost_while_ten_thousand_rules_are_loaded(start, udp, port):
    """As above, with as many rules and packets as one core is good for."""
    assert_nothing_lost(*reload_beside(start, udp, port, number=10_000, rate=8000, reloads=3))
