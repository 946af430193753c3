"""Names that cannot be looked up, that move, that have several addresses."""

import subprocess
import time

import pytest
from faults.stage import PATIENCE
from judge import judge
from loopback import free_port
from numbered import SIZE
from running import wait_until

NAME = "collector.test"
RECEIVE_BUFFER = 16 << 10
"""Octets that a collector who is killed may have had and not read, or twice as many."""


@pytest.fixture
def hosts(stage):
    """What the switch's system knows of names, in place of the machine's own: a file to write.

    A name server is asked for what does not stand there; it does not answer.
    """
    files = {name: stage.folder / name for name in ("hosts", "resolv.conf")}
    files["hosts"].write_text("127.0.0.1 localhost\n")
    files["resolv.conf"].write_text("nameserver 127.0.0.99\noptions timeout:1 attempts:1\n")
    mounts = " && ".join(f"mount --bind {file} /etc/{name}" for name, file in files.items())
    wrapper = ["unshare", "-rm", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
    if subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to have a file system of its own")
    return files["hosts"], wrapper


def test_a_name_nobody_knows_at_first(stage, hosts):
    """Not known: packets wait and the other destination is as fast as ever; known: they come."""
    file, wrapper = hosts
    far = stage.collector("far", receive_buffer=1 << 20)
    there = stage.collector("there", receive_buffer=1 << 20)
    switch = stage.switch(
        {
            "far": f'url = "tcp://{NAME}:{far.port}"\ntimeout = "2s"\n',
            "there": f'url = "{there.url}"',
        },
        wrapper=wrapper,
    )
    agents = stage.agents(switch, rate=500)
    time.sleep(3)
    file.write_text(f"127.0.0.1 localhost {NAME}\n")
    wait_until(lambda: far.count, lambda: switch.errors, patience=PATIENCE)
    sent = agents.stop()
    switch.settled(sent)
    switch.stop()
    for collector in (far, there):
        collector.wait_silent()
        verdict = judge(sent, collector)
        assert verdict.is_clean()
        assert not verdict.missing
    late = sorted(record.late_us for record in there.records())
    assert late[len(late) // 2] < 250_000


def test_a_name_that_moves(stage, hosts):
    """The old address refuses: the new one is found on the way to the next connection."""
    file, wrapper = hosts
    file.write_text(f"127.0.0.2 {NAME}\n")
    port = free_port()
    old = stage.collector("old", host="127.0.0.2", port=port, receive_buffer=RECEIVE_BUFFER)
    new = stage.collector("new", host="127.0.0.3", port=port)
    switch = stage.switch({"far": f'url = "tcp://{NAME}:{port}"'}, wrapper=wrapper)
    agents = stage.agents(switch, rate=500)
    wait_until(lambda: old.count, lambda: switch.errors, patience=PATIENCE)
    file.write_text(f"127.0.0.3 {NAME}\n")
    old.kill()
    wait_until(lambda: new.count, lambda: switch.errors, patience=PATIENCE)
    sent = agents.stop()
    switch.settled(sent)
    switch.stop()
    new.wait_silent()
    missing = judge(sent, old).missing & judge(sent, new).missing
    assert len(missing) <= 2 * RECEIVE_BUFFER // SIZE + 1


@pytest.mark.parametrize("there", ["::1", "127.0.0.1"])
def test_two_addresses_of_which_one_answers(stage, hosts, there):
    """An address of each kind, and nobody at one of them: the other is used."""
    file, wrapper = hosts
    file.write_text(f"::1 {NAME}\n127.0.0.1 {NAME}\n")
    try:
        far = stage.collector("far", host=there)
    except AssertionError:
        pytest.skip("no IPv6 on this machine")
    switch = stage.switch({"far": f'url = "tcp://{NAME}:{far.port}"'}, wrapper=wrapper)
    sent = stage.agents(switch, rate=500, count=200).wait()
    switch.settled(sent)
    far.wait_count(200)
    verdict = judge(sent, far)
    assert verdict.is_clean()
    assert not verdict.missing


def test_a_name_that_becomes_our_own(stage, hosts):
    """A name that leads to the switch itself is not followed; when it moves on, packets leave."""
    file, wrapper = hosts
    file.write_text(f"127.0.0.2 {NAME}\n")
    port = free_port()
    old = stage.collector("old", host="127.0.0.2", port=port)
    new = stage.collector("new", host="127.0.0.3", port=port)
    switch = stage.switch({"far": f'url = "tcp://{NAME}:{port}"'}, port=port, wrapper=wrapper)
    sent = stage.agents(switch, rate=500, count=100).wait()
    switch.settled(sent)
    old.wait_count(100)
    file.write_text(f"127.0.0.1 {NAME}\n")
    old.kill()
    sent |= stage.agents(switch, rate=500, count=300, first_source=2).wait()
    switch.wait_seen(sent)
    switch.wait(lambda found: found["sinks"]["far"]["errors"].get("own-listener", 0) >= 2)
    assert switch.counters()["listeners"]["in"]["seen"] == 400
    file.write_text(f"127.0.0.3 {NAME}\n")
    switch.settled(sent)
    new.wait_count(300)
    assert not judge(sent, old).missing & judge(sent, new).missing
