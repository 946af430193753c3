"""Listeners in this process: what needs a clock of its own, or many senders."""

import asyncio
import gzip
import socket
from contextlib import closing

import pytest
from loopback import HOST, free_port

import hepsw.net.tcp
import hepsw.net.udp
from hepsw.accounting import Ledger
from hepsw.config.configuration import Listener
from hepsw.config.units import Url
from hepsw.hep import build, encode_v1
from hepsw.net.listeners import Listeners

FRAME = build(proto_type=1, capture_id=7, payload=b"x").data
OLD = encode_v1(
    src_ip="192.0.2.1",
    dst_ip="192.0.2.2",
    src_port=1,
    dst_port=2,
    ip_protocol=17,
    payload=b"x",
)


def listener(scheme, **settings):
    """A listener on a free port."""
    values = {
        "name": "in",
        "url": Url(scheme, HOST, free_port()),
        "entry": "main",
        "versions": frozenset({1, 2, 3}),
        "gzip_frames": False,
        "receive_buffer": 1 << 20,
    }
    return Listener(**{**values, **settings})


class Running:
    """Listeners that keep what they take."""

    def __init__(self):
        self.ledger = Ledger()
        self.taken = []
        self.met = []
        self.listeners = Listeners(
            self.ledger, self.taken.extend, lambda *who: self.met.append(who)
        )

    async def serve(self, *wanted):
        """Begin, or go on, with these."""
        bound = self.listeners.bind(wanted)
        await self.listeners.stop_others(wanted)
        await self.listeners.serve(wanted, bound)

    async def until(self, holds):
        """Wait until something holds."""
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)


@pytest.fixture
async def running():
    """Listeners that are stopped, and whose account is asserted, when the test ends."""
    made = Running()
    yield made
    await made.listeners.stop()
    account = made.ledger.listener("in")
    assert account.unaccounted == 0
    assert account.accepted == len(made.taken)


async def connected(url):
    return await asyncio.open_connection(url.host, url.port)


async def test_a_frame_that_never_ends_is_given_up(running, monkeypatch):
    """Its connection is closed; one that is idle between two frames is not."""
    monkeypatch.setattr(hepsw.net.tcp, "FRAME_TIMEOUT", 0.1)
    monkeypatch.setattr(hepsw.net.tcp, "SWEEP", 0.02)
    wanted = listener("tcp")
    await running.serve(wanted)
    slow, slow_out = await connected(wanted.url)
    _, idle_out = await connected(wanted.url)
    idle_out.write(FRAME)
    slow_out.write(FRAME + FRAME[:-1])
    assert await slow.read() == b""
    idle_out.write(FRAME)
    await running.until(lambda: len(running.taken) == 3)
    assert running.ledger.listener("in").broken == {"frame-timeout": 1}
    for writer in (slow_out, idle_out):
        writer.close()


async def test_a_connection_that_ends_inside_a_frame_is_counted(running):
    """What came before is kept; the rest is `stream-partial`."""
    wanted = listener("tcp")
    await running.serve(wanted)
    _, out = await connected(wanted.url)
    out.write(FRAME + FRAME[:10])
    out.close()
    await running.until(lambda: running.ledger.listener("in").broken)
    assert running.ledger.listener("in").broken == {"stream-partial": 1}
    assert len(running.taken) == 1


async def test_versions_and_gzip_are_taken_where_asked_for(running):
    """Another version is rejected by name, a gzip member read only with `gzip_frames`."""
    wanted = listener("udp", versions=frozenset({3}))
    await running.serve(wanted)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.connect((HOST, wanted.url.port))
        for octets in (FRAME, OLD, gzip.compress(FRAME)):
            agent.send(octets)
        account = running.ledger.listener("in")
        await running.until(lambda: account.seen == 3)
        assert account.rejected == {"hep-version": 1, "gzip-frame": 1}
        changed = listener("udp", url=wanted.url, gzip_frames=True)
        await running.serve(changed)
        for octets in (OLD, gzip.compress(FRAME + FRAME)):
            agent.send(octets)
        await running.until(lambda: account.seen == 6)
    assert [packet.version for packet, _ in running.taken] == [3, 1, 3, 3]


async def test_many_senders_are_told_apart_and_forgotten(running, monkeypatch):
    """Each gets its own peer; how many are remembered is bounded."""
    monkeypatch.setattr(hepsw.net.udp, "PEERS", 4)
    wanted = listener("udp")
    await running.serve(wanted)
    ports = []
    for _ in range(10):
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
            agent.bind((HOST, 0))
            ports.append(agent.getsockname()[1])
            agent.sendto(FRAME, (HOST, wanted.url.port))
    await running.until(lambda: len(running.taken) == 10)
    assert [peer.port for _, peer in running.taken] == ports
    assert len(running.met) == 10


async def test_a_listener_that_changes_its_name_keeps_its_port(running):
    """The old name's packets are taken, then the new one has the port."""
    wanted = listener("udp", name="old")
    await running.serve(wanted)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(FRAME, (HOST, wanted.url.port))
        await running.serve(listener("udp", name="in", url=wanted.url))
        agent.sendto(FRAME, (HOST, wanted.url.port))
        await running.until(lambda: len(running.taken) == 2)
    assert [peer.listener for _, peer in running.taken] == ["old", "in"]
    assert running.ledger.listener("old").accepted == 1
    running.taken.pop(0)


async def test_a_port_that_is_taken_opens_nothing(running):
    """When one socket cannot be had, those bound for the same reload are closed again."""
    free, taken = listener("tcp"), listener("tcp")
    with (
        closing(socket.create_server((HOST, taken.url.port))),
        pytest.raises(OSError, match=str(taken.url.port)),
    ):
        running.listeners.bind([free, taken])
    with closing(socket.create_server((HOST, free.url.port))):
        pass
