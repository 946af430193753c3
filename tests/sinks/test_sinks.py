"""All sinks of a configuration: made, replaced, stopped."""

import asyncio
import logging
import socket
import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

from destinations import settings, spool, until
from loopback import HOST, free_port

from hepsw.accounting import Ledger, Reason
from hepsw.hep import build
from hepsw.sinks.sinks import Sinks
from hepsw.view import View


class Configured:
    """As much of a configuration as `Sinks` reads."""

    def __init__(self, memory=1 << 28, **destinations):
        self.destinations = {
            name: settings(made) if isinstance(made, str) else made
            for name, made in destinations.items()
        }
        self.stores = {}
        self.switch = SimpleNamespace(memory=memory)


async def test_sinks_pass_on_what_is_our_own():
    """A destination in service refuses what the daemon says is its own."""
    ledger = Ledger()
    port = free_port()
    sinks = Sinks(ledger, 0.1, lambda *asked: asked[2] == port)
    sinks.replace(Configured(u=f"udp://{HOST}:{port}", t=f"tcp://{HOST}:{port}"))
    await until(lambda: all(each.errors["own-listener"] for each in ledger.sinks.values()))
    await sinks.close()


async def test_sink_that_fails_to_stop_keeps_nobody_from_stopping(caplog):
    """In service or retired: it is logged, the others are stopped and counted."""
    ledger = Ledger()
    sinks = Sinks(ledger, 0.1)
    port = free_port()
    sinks.replace(Configured(**dict.fromkeys("abc", f"tcp://{HOST}:{port}")))

    async def failing(*_, **__):
        raise TypeError("not of this world")

    closed = []
    for name in "abc":
        close = sinks._live[name].close

        async def watched(reason, name=name, close=close):
            await close(reason)
            closed.append((name, reason))
            if name != "c":
                raise TypeError("not of this world")

        sinks._live[name].close = watched
    sinks._live["b"].drain = failing
    sinks.replace(Configured(b=f"tcp://{HOST}:{port}", c=f"tcp://{HOST}:{port}"))
    await sinks.close()
    assert sorted(closed) == [("a", "retired"), ("b", "shutdown"), ("c", "shutdown")]
    failed = [record for record in caplog.records if record.exc_info]
    assert sorted(record.message[0] for record in failed) == ["a", "b"]


async def test_closing_has_one_end(monkeypatch, caplog):
    """A sink that hangs, draining or closing, in service or retired, is left behind."""
    monkeypatch.setattr("hepsw.sinks.sinks.CLOSE_SECONDS", 0.2)
    sinks = Sinks(Ledger(), 0.1)
    port = free_port()
    sinks.replace(Configured(**dict.fromkeys("abc", f"tcp://{HOST}:{port}")))
    let_go = asyncio.Event()

    async def hanging(*_, **__):
        await let_go.wait()

    closing = [sinks._live[name].close for name in "ab"]
    sinks._live["a"].close = sinks._live["b"].close = sinks._live["b"].drain = hanging
    sinks.replace(Configured(b=f"tcp://{HOST}:{port}", c=f"tcp://{HOST}:{port}"))
    began = time.monotonic()
    await sinks.close()
    assert time.monotonic() - began < 1
    late = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert sorted(late) == ["retiring a: not done in time", "stopping b: not done in time"]
    let_go.set()
    for close in closing:
        await close(Reason.SHUTDOWN)
    await asyncio.sleep(0)


def batch(peer, count):
    return [View(build(capture_id=n, payload=b"x" * 900), peer, n) for n in range(count)]


async def test_senders_that_can_wait_are_held_up(peer):
    """While more than seven tenths wait and packets leave; they go on when a half is left."""
    ledger, told = Ledger(), []

    def push_back(*, wanted):
        told.append(wanted)

    with closing(socket.create_server((HOST, 0))) as server:
        server.setblocking(False)
        sinks = Sinks(ledger, 0.1, push_back=push_back)
        url = f"tcp://{HOST}:{server.getsockname()[1]}"
        sinks.replace(Configured(1 << 20, a=url))
        connection, _ = await asyncio.get_running_loop().sock_accept(server)
        with closing(connection):
            await until(lambda: ledger.sinks["a"].state == "up")
            for _ in range(200):
                sinks.enqueue({"a": batch(peer, 10)})
                if told:
                    break
            assert told == [True]
            assert sinks._budget.used > 0.7 * (1 << 20)
            connection.setblocking(True)
            reading = asyncio.create_task(asyncio.to_thread(read_all, connection))
            await until(lambda: told == [True, False])
            assert sinks._budget.used <= 0.5 * (1 << 20)
            await sinks.close()
            await reading
    sinks.measure()
    assert ledger.sinks["a"].unaccounted == 0


def read_all(connection):
    while connection.recv(1 << 16):
        pass


async def test_nobody_waits_for_those_that_are_away(peer):
    """What a far side that is gone does not take frees nothing, however long a sender waits."""
    ledger, told = Ledger(), []
    sinks = Sinks(ledger, 0.1, push_back=lambda *, wanted: told.append(wanted))
    sinks.replace(Configured(1 << 20, a=f"tcp://{HOST}:{free_port()}"))
    for _ in range(200):
        sinks.enqueue({"a": batch(peer, 10)})
    assert sinks._budget.used > 0.9 * (1 << 20)
    assert told == []
    sinks.measure()
    account = ledger.sinks["a"]
    assert account.dropped[Reason.MEMORY] == account.enqueued - account.in_memory > 0
    assert account.unaccounted == 0
    await sinks.close()


async def test_a_spool_is_handed_on(peer, tmp_path):
    """A reload that changes a destination loses nothing of what waits; each packet counts once."""
    ledger = Ledger()
    port = free_port()
    made = settings(f"tcp://{HOST}:{port}", spool=spool(tmp_path / "s"))
    sinks = Sinks(ledger, 0.5)
    sinks.replace(Configured(a=made))
    sinks.enqueue({"a": batch(peer, 30)})
    sinks.replace(Configured(a=replace(made, timeout=4.0)))
    sinks.enqueue({"a": batch(peer, 12)})

    def held():
        sinks.measure()
        account = ledger.sinks["a"]
        assert account.unaccounted == 0
        return account.in_memory, account.in_spool

    await until(lambda: held() == (0, 42))
    assert ledger.sinks["a"].recovered == 0
    # Taken away, its files stay; back again, they are not counted a second time.
    sinks.replace(Configured())
    await until(lambda: not sinks._retiring)
    assert held() == (0, 42)
    sinks.replace(Configured(a=made))
    await until(lambda: sinks._live["a"]._backlog.is_open)
    assert held() == (0, 42)
    assert ledger.sinks["a"].recovered == 0
    # Another destination does not send what was meant for this one: it is set aside.
    sinks.replace(Configured(b=made))
    await until(lambda: sinks._live["b"]._backlog.is_open)
    assert held() == (0, 0)
    assert ledger.sinks["a"].dropped == {Reason.RETIRED: 42}
    assert ledger.sinks["b"].recovered == 0
    assert ledger.sinks["b"].unaccounted == 0
    await sinks.close()


async def test_what_is_too_big_goes_to_another(peer):
    """It is counted once as handed over, and once as taken over."""
    ledger = Ledger()
    with (
        closing(socket.socket(type=socket.SOCK_DGRAM)) as far,
        closing(socket.create_server((HOST, 0))) as server,
    ):
        far.bind((HOST, 0))
        made = settings(f"udp://{HOST}:{far.getsockname()[1]}", oversize="b")
        sinks = Sinks(ledger, 0.1)
        sinks.replace(Configured(a=made, b=f"tcp://{HOST}:{server.getsockname()[1]}"))
        await until(lambda: all(each.state == "up" for each in ledger.sinks.values()))
        large = View(build(payload=bytes(65520)), peer, 1)
        sinks.enqueue({"a": [large, *batch(peer, 2)]})
        ledger.switch.fan_out = 3
        sinks.measure()
        assert ledger.differences.keys() <= {"listeners to switch", "switch"}
        assert (ledger.sinks["a"].handed_over, ledger.sinks["b"].taken_over) == (1, 1)
        connection, _ = server.accept()
        with closing(connection):
            reading = asyncio.create_task(asyncio.to_thread(read_all, connection))
            await sinks.close()
            await reading
        assert ledger.sinks["b"].delivered == 1
