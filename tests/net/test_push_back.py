"""Streams that are pushed back: their senders wait, and nothing is lost or held against them."""

import asyncio
import socket
from contextlib import closing

import pytest
from certificates import certificates
from listening import FRAME, client, connected, left, listener, sealed, tls
from loopback import HOST

import hepsw.net.tcp
from hepsw.hep import build

BIG = 16 << 20
"""Octets that no buffers between two sockets of one machine hold."""


@pytest.fixture
def connect(tmp_path):
    """How to listen and how to connect, by scheme."""
    made = certificates(tmp_path)

    def ways(scheme, **settings):
        if scheme == "tcp":
            return listener("tcp", **settings), connected
        context = client(made.ca)
        return listener("tls", tls=tls(made.server), **settings), lambda url: sealed(url, context)

    return ways


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_a_sender_waits_and_loses_nothing(running, connect, scheme):
    """While pushed back it is blocked and UDP goes on; after that all arrives, in order."""
    wanted, reach = connect(scheme)
    datagrams = listener("udp")
    await running.serve(wanted, datagrams)
    _, out = await reach(wanted.url)
    out.write(FRAME)
    await running.until(lambda: running.taken)
    running.listeners.push_back(True)
    running.listeners.push_back(True)
    frame = build(capture_id=1, payload=b"x" * 60000).data
    count = BIG // len(frame)
    sending = asyncio.create_task(send(out, [frame] * count + [FRAME]))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(sending), 0.5)
    assert len(running.taken) == 1
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(FRAME, (HOST, datagrams.url.port))
    await running.until(lambda: len(running.taken) == 2)
    running.listeners.push_back(False)
    running.listeners.push_back(False)
    await running.until(lambda: len(running.taken) == count + 3)
    await sending
    assert running.taken[-1][0].data == FRAME
    assert not running.ledger.listener("in").broken
    await left(out)


async def send(out, frames):
    for frame in frames:
        out.write(frame)
        await out.drain()


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_who_connects_meanwhile_waits_too(running, connect, scheme):
    """To a listener that was there, and to one that a reload opened."""
    wanted, reach = connect(scheme)
    await running.serve(wanted)
    running.listeners.push_back(True)
    later, _ = connect(scheme)
    await running.serve(wanted, later)
    reaching = [asyncio.create_task(reach(one.url)) for one in (wanted, later)]
    if scheme == "tcp":
        for one in reaching:
            (await one)[1].write(FRAME)
    await asyncio.sleep(0.1)
    assert not running.taken
    running.listeners.push_back(False)
    outs = [(await one)[1] for one in reaching]
    if scheme == "tls":
        for out in outs:
            out.write(FRAME)
    await running.until(lambda: len(running.taken) == 2)
    await left(*outs)


async def test_the_time_counts_against_nobody(running, connect, monkeypatch):
    """Neither a packet that has begun, nor a handshake, nor silence is late for it."""
    monkeypatch.setattr(hepsw.net.tcp, "SWEEP", 0.01)
    for name in ("FRAME_TIMEOUT", "HANDSHAKE"):
        monkeypatch.setattr(hepsw.net.tcp, name, 0.3)
    plain, _ = connect("tcp", idle=0.3)
    secret, reach = connect("tls")
    await running.serve(plain, secret)
    _, out = await connected(plain.url)
    out.write(FRAME + FRAME[:9])
    await running.until(lambda: running.taken)
    running.listeners.push_back(True)
    shaking = asyncio.create_task(reach(secret.url))
    await asyncio.sleep(1)
    out.write(FRAME[9:])
    running.listeners.push_back(False)
    _, sealed_out = await shaking
    await running.until(lambda: len(running.taken) == 2)
    assert not running.ledger.listener("in").broken
    # But then it counts again.
    await running.until(lambda: running.ledger.listener("in").broken == {"idle": 1})
    await left(out, sealed_out)


async def test_busy_connections_are_pushed_back_in_the_middle(running, connect, monkeypatch):
    """By whoever takes their packets, as often as it likes, also while they are polled."""
    turn = 0

    def take(packets, peers):
        nonlocal turn
        running.taken.extend(zip(packets, peers, strict=True))
        turn += 1
        running.listeners.push_back(True)
        if turn % 3 == 0:
            running.listeners.push_back(False)
        else:
            asyncio.get_running_loop().call_later(0.002, running.listeners.push_back, False)

    monkeypatch.setattr(running.listeners, "_take", take)
    wanted, reach = connect("tcp")
    await running.serve(wanted)
    frames = [build(capture_id=n, payload=b"x" * 900).data for n in range(3000)]
    outs = [(await reach(wanted.url))[1] for _ in range(3)]
    await asyncio.gather(*(send(out, frames) for out in outs))
    await running.until(lambda: len(running.taken) == 9000)
    for port in {peer.port for _, peer in running.taken}:
        assert [packet.data for packet, peer in running.taken if peer.port == port] == frames
    await left(*outs)


async def test_the_end_reads_what_was_pushed_back(running, connect):
    """What the kernel holds by then would be lost, so it is taken."""
    wanted, reach = connect("tcp")
    await running.serve(wanted)
    _, out = await reach(wanted.url)
    out.write(FRAME)
    await running.until(lambda: running.taken)
    running.listeners.push_back(True)
    out.write(FRAME * 100)
    await out.drain()
    await asyncio.sleep(0.05)
    assert len(running.taken) == 1
    await running.listeners.stop()
    assert len(running.taken) == 101
    await left(out)
