"""Collectors that are killed under load lose what they had not read, and nothing else."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from certificates import Authority
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE, assert_told
from judge import judge
from numbered import SIZE
from running import wait_until

COLLECTORS = 4
"""Killed side by side: how long the switch waits between two tries grows with every break."""
RECEIVE_BUFFER = 16 << 10
KERNEL = 2 * RECEIVE_BUFFER
"""Octets that the kernel of a collector holds at most."""
TLS_RECORD = (16 << 10) + 256
"""Octets that a collector may have read of a record that is not yet whole."""
TOUGH = 'queue = { packets = 200000, bytes = "128MiB" }\n'


def killed(collector, rng):
    """Kill a collector in the middle of its work; return how many packets that may have cost."""
    before = collector.count
    wait_until(lambda: collector.count > before, lambda: "nothing comes", patience=PATIENCE)
    time.sleep(rng.uniform(0, 0.2))
    unread = KERNEL
    if rng.random() < 0.5:
        # It stands still until its kernel takes no more; what is behind that is the sender's.
        collector.stop()
        unread = at_rest(collector)
        time.sleep(rng.uniform(0, 0.3))
    collector.kill()
    if collector.scheme == "tls":
        unread += TLS_RECORD
    return unread // SIZE + 1


def at_rest(collector):
    """Return what a collector that stands still has not read, when that grows no more."""
    seen, since = -1, 0.0
    while time.monotonic() - since < 0.15:
        if collector.unread != seen:
            seen, since = collector.unread, time.monotonic()
        time.sleep(0.01)
    return seen


@pytest.mark.beside
@pytest.mark.parametrize("scheme", ["tcp", "tls"])
@lengths("kills", 20, 200)
def test_only_what_its_kernel_had_is_lost(stage, scheme, kills):
    """Killed at random octets and started again: the rest is sent again, in order, frame by frame.

    Resent frames come first after a break, so over each connection every source is in order.
    """
    authority = Authority(stage.folder)
    pair = authority.issue("far", dns=["far.test"]) if scheme == "tls" else None
    trust = f'tls = {{ ca = "{authority.ca}", name = "far.test" }}\n' if scheme == "tls" else ""
    collectors = {
        f"far{number}": stage.collector(
            f"far{number}", scheme, receive_buffer=RECEIVE_BUFFER, pair=pair
        )
        for number in range(COLLECTORS)
    }
    switch = stage.switch(
        {name: f'url = "{far.url}"\n{TOUGH}{trust}' for name, far in collectors.items()}
    )
    # In the long run less than is carried in the moments between two kills.
    agents = stage.agents(switch, rate=2000 if kills <= 20 else 500, sources=3)

    def torment(seed, collector):
        rng = random.Random(seed)
        lost = 0
        for _ in range(kills // COLLECTORS):
            lost += killed(collector, rng)
            time.sleep(rng.uniform(0, 0.3))
            collector.start()
        return lost

    with ThreadPoolExecutor() as beside:
        running = [
            beside.submit(torment, seed, far) for seed, far in enumerate(collectors.values())
        ]
        while not all(future.done() for future in running):
            switch.counters()
            time.sleep(0.5)
        lost = [future.result() for future in running]
    sent = agents.stop()
    switch.settled(sent)
    counters = switch.stop()
    missing = 0
    for (name, collector), allowed in zip(collectors.items(), lost, strict=True):
        collector.wait_silent()
        verdict = judge(sent, collector)
        assert verdict.is_clean(), (verdict.lines, verdict.desyncs, verdict.repeated)
        assert not counters["sinks"][name]["dropped"]
        assert_told(counters, name, verdict, allowed)
        missing += len(verdict.missing)
    resent = sum(counters["sinks"][name]["resent"] for name in collectors)
    tell(
        f"{scheme} collector killed {kills} times",
        f"{missing} of {len(collectors)} x {sum(sent.values())} missing, at most {sum(lost)} were "
        f"acknowledged and not read; {resent} resent",
    )
    assert resent > 0
