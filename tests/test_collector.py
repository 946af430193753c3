"""The collector of the fault tests: what it says came has come, and a kill loses what it says."""

import socket
import ssl
import time
from contextlib import closing

import numbered
import procfs
import pytest
import wire
from agents import Agents
from certificates import Authority
from collector import Collector
from judge import judge, lines
from loopback import HOST
from numbered import frame
from running import wait_until


@pytest.mark.parametrize("size", [300, 301, 500, 60_000])
def test_numbers(size):
    """A frame is well-formed, of its size, and known by its number; any other octet is noticed."""
    made = frame(7, 77, 1_700_000_000_123_456, size)
    assert len(made) == size
    assert len(wire.chunks(made)) == 12
    assert numbered.number_of(made) == (7, 77, 1_700_000_000_123_456)
    for at in (4, 5, 20, 100, 200, size - 1):
        assert numbered.number_of(made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]) is None
    assert numbered.number_of(made[:-1]) is None


@pytest.mark.parametrize(
    ("numbers", "least"),
    [([], 0), ([1, 2, 9], 1), ([1, 5, 2, 6, 3], 2), ([3, 2, 1], 3), ([5, 1, 6, 2, 3, 7], 2)],
)
def test_lines(numbers, least):
    """As few rising lines as can be: how far something is from being in order."""
    assert lines(numbers) == least


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_what_agents_send_comes(tmp_path, scheme):
    """Nothing missing, nothing twice, in order."""
    with Collector(tmp_path, scheme, receive_buffer=4 << 20) as collector:
        with Agents(collector.port, scheme=scheme, count=1001, sources=2, rate=5000) as agents:
            sent = agents.wait()
        collector.wait_silent()
    verdict = judge(sent, collector)
    assert sent == {1: 501, 2: 500}
    assert verdict.is_clean()
    assert (verdict.missing, verdict.duplicates, verdict.unique) == (frozenset(), 0, 1001)


def test_what_is_wrong_is_told(tmp_path):
    """Altered, unknown, twice, out of order, no frame, half a frame."""
    with Collector(tmp_path) as collector:
        for octets in (
            frame(1, 1, 0) + frame(1, 0, 0) + frame(1, 1, 0),
            frame(2, 0, 0)[:-1] + b"?" + frame(3, 0, 0),
            b"not HEP3",
            frame(1, 2, 0)[:50],
        ):
            with closing(socket.create_connection((HOST, collector.port))) as agent:
                agent.sendall(octets)
        wait_until(lambda: len(collector.events("opened")) == 4, lambda: "not accepted")
        collector.wait_silent()
        wait_until(lambda: len(collector.events("closed")) == 4, lambda: "not closed")
    verdict = judge({1: 4, 2: 1}, collector)
    assert (verdict.corrupt, verdict.spurious, verdict.duplicates, verdict.repeated) == (1, 1, 1, 1)
    assert (verdict.lines, verdict.desyncs, verdict.partial) == (2, 2, 1)
    assert verdict.missing == {(1, 2), (1, 3), (2, 0)}


def test_a_kill_loses_what_was_not_read(tmp_path):
    """Sent = read + what the kernel had, to the octet; the next life listens at the same port."""
    with Collector(tmp_path, rate=200) as collector:
        agent = socket.create_connection((HOST, collector.port))
        with closing(agent):
            agent.sendall(b"".join(frame(1, at, 0) for at in range(300)))
            wait_until(lambda: collector.count >= 5, lambda: "nothing read")
            collector.stop()
            unread = collector.unread
            unsent = procfs.unsent(agent.getsockname()[1], collector.port)
            collector.kill()
            lost = 300 * numbered.SIZE - collector.count * numbered.SIZE - unread - unsent
            assert 0 <= lost < numbered.SIZE  # the beginning of a frame was read
            assert collector.count < 300
        collector.start()
        with closing(socket.create_connection((HOST, collector.port))) as agent:
            agent.sendall(frame(1, 300, 0))
            wait_until(lambda: collector.records()[-1].at == 300, lambda: "nothing came")


def test_it_reads_no_faster_than_told(tmp_path):
    """So many frames in a second, and the rest waits in the kernel."""
    with (
        Collector(tmp_path, rate=500) as collector,
        closing(socket.create_connection((HOST, collector.port))) as agent,
    ):
        began = time.monotonic()
        agent.sendall(b"".join(frame(1, at, 0) for at in range(500)))
        collector.wait_count(400)
        assert time.monotonic() - began >= 0.5


def test_tls(tmp_path):
    """The same over TLS."""
    authority = Authority(tmp_path)
    pair = authority.issue("far", dns=["far.test"])
    trusting = ssl.create_default_context(cafile=authority.ca)
    with Collector(tmp_path / "far", "tls", pair=pair) as collector:
        octets = b"".join(frame(1, at, 0) for at in range(100))
        with (
            closing(socket.create_connection((HOST, collector.port))) as plain,
            trusting.wrap_socket(plain, server_hostname="far.test") as agent,
        ):
            agent.sendall(octets + octets[:100])
            collector.wait_count(100)
        collector.wait_silent()
        wait_until(lambda: collector.events("closed"), lambda: "not closed")
    verdict = judge({1: 100}, collector)
    assert verdict.is_clean()
    assert (len(verdict.missing), verdict.partial) == (0, 1)
