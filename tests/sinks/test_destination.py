"""A destination against real sockets: several urls, a full queue, a disk behind it."""

import asyncio
import socket
from contextlib import ExitStack, closing

import pytest
from destinations import running, settings, spool, until
from far_sides import Collector, collectors, views_of
from loopback import HOST, free_port

from hepsw.accounting import Reason
from hepsw.config.models import Queue
from hepsw.hep import build, decode, encode_v2
from hepsw.sinks import destination
from hepsw.view import View


def all_up(far):
    return lambda: far.account.state == "up"


# --- several urls ---


async def test_failover_and_back(peer, monkeypatch):
    """What waits for a url that broke goes to the next at once; later the first has it back."""
    monkeypatch.setattr("hepsw.sinks.pool.SLOW_RETURN", 0.3)
    async with collectors(2) as (one, two), running(settings(one.url, two.url)) as far:
        await until(all_up(far))
        far.sink.enqueue(views_of(peer, range(100)))
        await until(lambda: len(one.frames) == 100)
        await until(lambda: far.sink.held.in_flight == 0)
        await one.go()
        await until(lambda: far.account.state.startswith("1 of 2 up"))
        far.sink.enqueue(views_of(peer, range(100, 200)))
        await until(lambda: two.numbers == list(range(100, 200)))
        await one.come()
        await until(all_up(far))
        await asyncio.sleep(0.4)
        far.sink.enqueue(views_of(peer, range(200, 210)))
        await until(lambda: one.numbers[100:] == list(range(200, 210)))
    assert far.account.delivered == 210


async def test_first_url_that_was_never_there(peer):
    """What waited for it goes to the one that stands."""
    async with collectors(1) as (there,):
        gone = f"tcp://{HOST}:{free_port()}"
        async with running(settings(gone, there.url)) as far:
            far.sink.enqueue(views_of(peer, range(10)))
            await until(lambda: there.numbers == list(range(10)))
            assert far.account.state == f"1 of 2 up; {gone} down: Connection refused"


async def test_hash_keeps_calls_together(peer):
    """All packets of a call at one collector; when it goes, at one other, the waiting ones too."""
    async with (
        collectors(3) as far_sides,
        running(settings(*(each.url for each in far_sides), policy="hash")) as far,
    ):
        await until(all_up(far))
        call = lambda n: f"call-{n % 40}"  # noqa: E731 - as short as it is
        far.sink.enqueue(views_of(peer, range(400), call))
        await until(lambda: sum(len(each.frames) for each in far_sides) == 400)
        calls = [{n % 40 for n in each.numbers} for each in far_sides]
        assert all(calls)
        assert sum(map(len, calls)) == 40
        await until(lambda: far.sink.held.in_flight == 0)
        await far_sides[0].go()
        await until(lambda: far.account.state.startswith("2 of 3 up"))
        far.sink.enqueue(views_of(peer, range(400, 800), call))
        await until(lambda: sum(len(each.frames) for each in far_sides) == 800)
        later = [{n % 40 for n in each.numbers if n >= 400} for each in far_sides]
        assert not later[0]
        assert sum(map(len, later)) == 40
        assert calls[1] <= later[1]
        assert calls[2] <= later[2]


async def test_round_robin(peer):
    """One after the other."""
    async with (
        collectors(2) as (one, two),
        running(settings(one.url, two.url, policy="round-robin")) as far,
    ):
        await until(all_up(far))
        far.sink.enqueue(views_of(peer, range(10)))
        await until(lambda: len(one.frames) == len(two.frames) == 5)


async def test_all_are_down_and_one_comes(peer):
    """The last one is never given up: what waits goes to whoever comes first."""
    port = free_port()
    urls = [f"tcp://{HOST}:{free_port()}", f"tcp://{HOST}:{port}"]
    async with running(settings(*urls, policy="round-robin")) as far:
        far.sink.enqueue(views_of(peer, range(20)))
        await until(lambda: far.account.errors["unreachable"] >= 4)
        assert far.sink.held.in_memory == 20
        late = Collector(port)
        await late.come()
        await until(lambda: sorted(late.numbers) == list(range(20)))
        await late.go()


async def test_udp_port_that_refuses_is_left_and_found_again(peer, monkeypatch):
    """Packets go to the other one; copies show when somebody listens again."""
    monkeypatch.setattr("hepsw.sinks.udp.QUIET", 0.3)
    monkeypatch.setattr("hepsw.sinks.udp.LISTEN_AGAIN", 0.02)
    monkeypatch.setattr("hepsw.sinks.pool.SLOW_RETURN", 0.2)
    monkeypatch.setattr(destination, "PROBE", 0.05)
    port = free_port()
    with ExitStack() as sockets:
        other = sockets.enter_context(closing(socket.socket(type=socket.SOCK_DGRAM)))
        other.bind((HOST, 0))
        other.settimeout(0)
        urls = f"udp://{HOST}:{port}", f"udp://{HOST}:{other.getsockname()[1]}"
        async with running(settings(*urls)) as far:
            await until(all_up(far))
            for n in range(3):  # the first is lost, as datagrams are
                far.sink.enqueue(views_of(peer, [n]))
                await asyncio.sleep(0.02)
            await until(lambda: far.account.state == f"1 of 2 up; {urls[0]} refused")
            far.sink.enqueue(views_of(peer, [3]))
            back = sockets.enter_context(closing(socket.socket(type=socket.SOCK_DGRAM)))
            back.bind((HOST, port))
            back.settimeout(0)
            await until(all_up(far))
            assert far.account.resent >= 1
            await asyncio.sleep(0.3)
            while True:
                try:
                    back.recv(1 << 16)
                except BlockingIOError:
                    break
            view = views_of(peer, [4])[0]
            far.sink.enqueue([view])
            assert back.recv(1 << 16) == view.packet.data
        assert other.recv(1 << 16)


# --- no room ---


@pytest.mark.parametrize("overflow", ["drop-old", "drop-new"])
async def test_full_queue(peer, overflow):
    """Without a spool the oldest go, dropped, or the newest are turned away, shed."""
    late = Collector(free_port())
    made = settings(late.url, queue=Queue(packets=10), overflow=overflow)
    async with running(made) as far:
        far.sink.enqueue(views_of(peer, range(8)))
        far.sink.enqueue(views_of(peer, range(8, 15)))
        await late.come()
        kept = range(5, 15) if overflow == "drop-old" else range(10)
        await until(lambda: late.numbers == list(kept))
        await until(lambda: far.account.delivered == 10)
        await late.go()
    if overflow == "drop-old":
        assert far.account.dropped == {Reason.OVERFLOW: 5}
    else:
        assert far.account.shed == {Reason.OVERFLOW: 5}


async def test_one_that_is_too_large_for_the_queue(peer):
    """It alone is turned away."""
    late = Collector(free_port())
    made = settings(late.url, queue=Queue.model_validate({"packets": 10, "bytes": "450B"}))
    small, large = views_of(peer, [1, 3]), View(build(payload=b"x" * 500), peer, 2)
    async with running(made) as far:
        far.sink.enqueue([small[0], large, small[1]])
        await late.come()
        await until(lambda: late.numbers == [1, 3])
        await late.go()
    assert far.account.shed == {Reason.OVERFLOW: 1}


async def test_budget_is_used_up(peer):
    """Told apart from a full queue."""
    late = Collector(free_port())
    async with running(settings(late.url), memory=1000) as far:
        far.sink.enqueue(views_of(peer, range(20)))
        assert far.budget.used <= 1000
        await late.come()
        await until(lambda: late.numbers and late.numbers[-1] == 19)
        await late.go()
    assert far.account.dropped[Reason.MEMORY] == far.account.dropped.total() > 0


async def test_versions_that_no_stream_carries(peer):
    """HEP 2 has no length; the others of the batch leave."""
    async with collectors(1) as (far_side,), running(settings(far_side.url)) as far:
        batch = views_of(peer, range(3))
        ends = {"src_ip": "192.0.2.1", "dst_ip": "192.0.2.2", "src_port": 1, "dst_port": 2}
        old = encode_v2(**ends, ip_protocol=17, payload=b"x", time=10**15)
        batch[1] = View(decode(old), peer, 1)
        far.sink.enqueue(batch)
        await until(lambda: far_side.numbers == [0, 2])
    assert far.account.dropped == {Reason.VERSION_ON_STREAM: 1}


async def test_oversize_goes_to_another(peer):
    """What UDP cannot carry is handed over as it was."""
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as far_side:
        far_side.bind((HOST, 0))
        far_side.settimeout(0)
        url = f"udp://{HOST}:{far_side.getsockname()[1]}"
        large = View(build(payload=bytes(65520)), peer, 1)
        small = views_of(peer, [7])[0]
        async with running(settings(url, oversize="stream")) as far:
            await until(all_up(far))
            far.sink.enqueue([large, small])
            assert far.handed_over == [("stream", large)]
            assert far_side.recv(1 << 16) == small.packet.data
        assert far.account.handed_over == 1
        async with running(settings(url)) as far:
            await until(all_up(far))
            far.sink.enqueue([large, small])
            assert far_side.recv(1 << 16) == small.packet.data
        assert far.account.dropped == {Reason.TOO_BIG: 1}


# --- the spool ---


@pytest.fixture
def quick(monkeypatch):
    """What waits goes to disk soon."""
    monkeypatch.setattr(destination, "GRACE", 0.05)


async def test_away_and_back(peer, tmp_path, quick):
    """While nobody is there packets wait on disk, not in memory; all arrive, in order, once."""
    late = Collector(free_port())
    async with running(settings(late.url, spool=spool(tmp_path / "s"))) as far:
        far.sink.enqueue(views_of(peer, range(50)))
        await until(lambda: far.sink.held == (0, 50, 0))
        for first in range(50, 3000, 50):
            far.sink.enqueue(views_of(peer, range(first, first + 50)))
        await until(lambda: far.sink.held == (0, 3000, 0))
        await late.come()
        await until(lambda: len(late.frames) >= 3000)
        assert late.numbers == list(range(3000))
        await until(lambda: far.account.delivered == 3000)
        assert sum(far.sink.held) == 0
        far.sink.enqueue(views_of(peer, [9999]))
        await until(lambda: late.numbers[-1] == 9999)
        await late.go()


async def test_another_life(peer, tmp_path, quick):
    """What one life left on disk, waiting or in flight, the next one sends."""
    late = Collector(free_port())
    made = settings(late.url, spool=spool(tmp_path / "s"))
    async with running(made) as far:
        far.sink.enqueue(views_of(peer, range(30)))
        await far.sink.drain(5)
        await far.sink.close(Reason.SHUTDOWN)
        assert far.sink.held == (0, 30, 0)
    async with running(made) as far:
        await late.come()
        far.sink.enqueue(views_of(peer, range(30, 40)))
        await until(lambda: len(late.frames) == 40)
        await until(lambda: far.account.delivered == 40)
        assert far.account.recovered == 30
        await late.go()
    assert sorted(late.numbers) == list(range(40))
    async with running(made) as far:
        await until(lambda: far.sink._backlog.is_open)
        assert sum(far.sink.held) == 0


async def test_break_in_the_replay(peer, tmp_path, quick, monkeypatch):
    """What was read from disk and not delivered is read again: nothing is missing."""
    monkeypatch.setattr("hepsw.sinks.backoff.BackOff.next", lambda _: 0.02)
    far_side = Collector(free_port())
    made = settings(far_side.url, spool=spool(tmp_path / "s"))
    async with running(made) as far:
        for first in range(0, 5000, 100):
            far.sink.enqueue(views_of(peer, range(first, first + 100)))
        await until(lambda: far.sink.held.in_spool == 5000)
        while len(set(far_side.numbers)) < 4500:
            aim = len(far_side.frames) + 700
            await far_side.come()
            await until(lambda: len(far_side.frames) >= aim or far.account.delivered == 5000)  # noqa: B023 - awaited at once
            await far_side.go()
        await far_side.come()
        await until(lambda: far.account.delivered == 5000)
        await far_side.go()
    # Nothing is lost but what our collector's kernel had and it was not let read.
    assert len(set(far_side.numbers)) > 4000


async def test_full_queue_spills_to_disk(peer, tmp_path):
    """What finds no room in memory is not lost, though nobody gave the far side up yet."""
    late = Collector(free_port())
    made = settings(late.url, queue=Queue(packets=5), spool=spool(tmp_path / "s"))
    async with running(made) as far:
        await until(lambda: far.sink._backlog.is_open)
        for first in range(0, 500, 100):
            far.sink.enqueue(views_of(peer, range(first, first + 100)))
        await until(lambda: far.sink.held == (0, 500, 0))
        await late.come()
        await until(lambda: far.account.delivered == 500)
        assert late.numbers == list(range(500))
        await late.go()


@pytest.mark.parametrize("overflow", ["drop-old", "drop-new"])
async def test_full_spool(peer, tmp_path, quick, overflow):
    """The last place is full: the oldest go, or the newest are turned away; each is counted."""
    late = Collector(free_port())
    made = settings(
        late.url,
        queue=Queue(packets=10),
        spool=spool(tmp_path / "s", max="64KiB"),
        overflow=overflow,
    )
    async with running(made) as far:
        await until(lambda: far.sink._spooling)
        for first in range(0, 3000, 50):
            far.sink.enqueue(views_of(peer, range(first, first + 50)))
            await asyncio.sleep(0.002)
        await until(lambda: far.account.dropped.total() + far.account.shed.total() > 1000)
        await late.come()
        await until(lambda: sum(far.sink.held) == 0)
        lost = far.account.dropped.total() + far.account.shed.total()
        await until(lambda: len(late.frames) == 3000 - lost)
        await late.go()
    if overflow == "drop-old":
        assert late.numbers[-1] == 2999
    else:
        assert 0 in late.numbers
        assert 2999 not in late.numbers


async def test_spool_that_cannot_be_opened(peer, tmp_path, quick):
    """Packets wait in memory as if there were none; the state says why, beside the far side's."""
    file = tmp_path / "s"
    file.write_text("no folder")
    late = Collector(free_port())
    async with running(settings(late.url, spool=spool(file))) as far:
        far.sink.enqueue(views_of(peer, range(10)))
        await until(lambda: far.sink._spooling)
        assert far.sink.held.in_memory == 10
        assert far.account.state.endswith(f"; spool: {file} is not a folder")
        assert far.account.errors["spool-open"] >= 1
        far.sink.enqueue(views_of(peer, range(10, 20)))
        await late.come()
        await until(lambda: late.numbers == list(range(20)))
        await until(lambda: far.account.delivered == 20)
        await late.go()


async def test_udp_port_that_refuses_with_a_spool(peer, tmp_path, quick, monkeypatch):
    """Packets wait on disk until somebody listens again."""
    monkeypatch.setattr("hepsw.sinks.udp.QUIET", 0.3)
    monkeypatch.setattr("hepsw.sinks.udp.LISTEN_AGAIN", 0.02)
    monkeypatch.setattr(destination, "PROBE", 0.05)
    port = free_port()
    async with running(settings(f"udp://{HOST}:{port}", spool=spool(tmp_path / "s"))) as far:
        await until(all_up(far))
        far.sink.enqueue(views_of(peer, [0]))
        await asyncio.sleep(0.02)
        far.sink.enqueue(views_of(peer, [1]))
        await until(lambda: far.sink._spooling)
        far.sink.enqueue(views_of(peer, range(2, 50)))
        await until(lambda: far.sink.held.in_spool == 48)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as back:
            back.bind((HOST, port))
            back.settimeout(0)
            await until(lambda: sum(far.sink.held) == 0)
            got = set()
            while True:
                try:
                    got.add(back.recv(1 << 16))
                except BlockingIOError:
                    break
            assert len(got) >= 48
