"""Listeners in this process: what needs a clock of its own, or many senders."""

import asyncio
import gzip
import ipaddress
import socket
import threading
from contextlib import closing

import pytest
from listening import FRAME, OLD, connected, listener
from loopback import HOST, free_port

import hepsw.net.tcp
import hepsw.net.udp
from hepsw.config.units import Url
from hepsw.hep import build


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


async def test_a_listener_that_changes_its_name_keeps_its_socket(running):
    """What came under the old name was counted there; the open connections follow to the new."""
    wanted = listener("udp", name="old")
    await running.serve(wanted)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(FRAME, (HOST, wanted.url.port))
        await running.until(lambda: running.taken)
        await running.serve(listener("udp", name="in", url=wanted.url))
        agent.sendto(FRAME, (HOST, wanted.url.port))
        await running.until(lambda: len(running.taken) == 2)
    assert [peer.listener for _, peer in running.taken] == ["old", "in"]
    assert running.ledger.listener("old").accepted == 1
    running.taken.pop(0)


async def test_connections_follow_a_listener_to_its_new_name(running):
    """And are not closed."""
    wanted = listener("tcp", name="old")
    await running.serve(wanted)
    _, out = await connected(wanted.url)
    out.write(FRAME)
    await running.until(lambda: running.taken)
    running.taken.pop()
    await running.serve(listener("tcp", url=wanted.url))
    out.write(FRAME)
    await running.until(lambda: running.taken)
    assert running.taken[0][1].listener == "in"
    assert len(running.met) == 1
    out.close()


async def test_a_flood_does_not_hold_up_the_end(running):
    """A listener that is to stop reads on for a moment, not for as long as somebody sends."""
    wanted = listener("udp")
    await running.serve(wanted)
    sending = True

    def flood():
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
            while sending:
                agent.sendto(FRAME, (HOST, wanted.url.port))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        await running.until(lambda: running.taken)
        async with asyncio.timeout(5):
            await running.listeners.stop()
    finally:
        sending = False
        thread.join()


async def test_tiny_frames_are_judged_in_small_batches(running, monkeypatch):
    """A datagram of thousands of frames is cut off and counted; nothing is judged at one go."""
    batches = []
    monkeypatch.setattr(
        running.listeners,
        "_take",
        lambda packets, peers: (
            batches.append(len(packets)),
            running.taken.extend(zip(packets, peers, strict=True)),
        ),
    )
    wanted, stream = listener("udp"), listener("tcp")
    await running.serve(wanted, stream)
    tiny = b"HEP3\0\6" * 2000
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for _ in range(20):
            agent.sendto(tiny, (HOST, wanted.url.port))
    _, out = await connected(stream.url)
    out.write(tiny)
    account = running.ledger.listener("in")
    await running.until(lambda: account.seen == 20 * 257 + 2000)
    assert account.rejected == {"too-many-frames": 20}
    assert max(batches) <= 256
    out.close()


async def test_connections_leave_descriptors_to_others(running, monkeypatch):
    """Where there is no room for another, the longest silent one is closed and counted."""
    monkeypatch.setattr(hepsw.net.tcp, "connections_allowed", lambda: 3)
    wanted = listener("tcp")
    await running.serve(wanted, listener("tcp"))
    agents = [await connected(wanted.url) for _ in range(3)]
    agents[0][1].write(FRAME)
    await running.until(lambda: running.taken)
    agents.append(await connected(wanted.url))
    assert await agents[1][0].read() == b""
    for number in (0, 2, 3):
        agents[number][1].write(FRAME)
    await running.until(lambda: len(running.taken) == 4)
    assert running.ledger.listener("in").broken == {"too-many-connections": 1}
    for _, out in agents:
        out.close()


async def test_a_listener_cannot_change_families_while_it_is_open(running):
    """Refused with the reason, rather than IPv4 lost without a word."""
    port = free_port()
    six = listener("udp", url=Url("udp", "::", port))
    four = listener("udp", url=Url("udp", "0.0.0.0", port))  # noqa: S104 - all addresses are the point
    try:
        await running.serve(six, four)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with pytest.raises(OSError, match="restart hepsw"):
        running.listeners.bind([six])


async def test_the_end_may_come_while_a_listener_leaves(running):
    """Who was leaving when a reload was given up is stopped all the same."""
    wanted = listener("tcp")
    await running.serve(wanted)
    agent, out = await connected(wanted.url)
    out.write(FRAME)
    await running.until(lambda: running.taken)
    leaving = asyncio.create_task(running.listeners.stop_others([]))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await running.listeners.stop()
    assert await agent.read() == b""
    out.close()


async def test_its_own_addresses_are_known(running):
    """Those bound; with all addresses bound, every one of this machine."""
    one, every = listener("udp"), listener("tcp")
    everywhere = Url("tcp", "0.0.0.0", every.url.port)  # noqa: S104 - all addresses are the point
    await running.serve(one, listener("tcp", url=everywhere))
    here, other, far = map(ipaddress.ip_address, ("127.0.0.1", "127.0.0.2", "192.0.2.1"))
    is_own = running.listeners.is_own
    assert is_own("udp", here, one.url.port)
    assert not is_own("udp", other, one.url.port)
    assert not is_own("tcp", here, one.url.port)
    assert is_own("tcp", other, every.url.port)
    assert not is_own("tcp", far, every.url.port)


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


async def test_a_bug_leaves_no_busy_socket_deaf(running, monkeypatch):
    """After an exception on the way of a packet a polled socket is read on, and counted right."""
    wanted = listener("udp")
    await running.serve(wanted)
    (live,) = running.listeners._live.values()
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.connect((HOST, wanted.url.port))

        async def polled():
            async with asyncio.timeout(10):
                while live._poll is None:
                    agent.send(FRAME)
                    await asyncio.sleep(0)

        await polled()
        receive = live._receiver.receive

        class Odd:
            """Fails once where every packet comes through."""

            def receive(self):
                live._receiver = type("Mended", (), {"receive": staticmethod(receive)})
                raise ZeroDivisionError

        live._receiver = Odd()
        await running.until(lambda: heard)
        before = len(running.taken)
        await polled()
        await running.until(lambda: len(running.taken) > before)
    assert isinstance(heard[0]["exception"], ZeroDivisionError)


async def test_busy_connections_are_read_past_their_transports(running):
    """In order, each octet once, and the end of a stream is seen after all that came before it."""
    wanted = listener("tcp")
    await running.serve(wanted)
    (live,) = running.listeners._live.values()
    frames = [build(capture_id=n, payload=b"x" * 300).data for n in range(600)]
    agents = [await connected(wanted.url) for _ in range(3)]
    for at, frame in enumerate(frames):
        for _, out in agents:
            out.write(frame)
        await asyncio.sleep(0.0005 if at < 400 else 0)
    assert live._busy
    for _, out in agents:
        out.close()
    await running.until(lambda: not live._connections)
    ports = {peer.port for _, peer in running.taken}
    assert len(ports) == 3
    for port in ports:
        mine = [packet.data for packet, peer in running.taken if peer.port == port]
        assert mine == frames
