"""Links over UDP: refusals, and what else the kernel has to say."""

import asyncio
import logging
import socket
from contextlib import closing

import pytest
from destinations import running, settings, until
from loopback import HOST, free_port

from hepsw.hep import build
from hepsw.sinks import udp
from hepsw.sinks.resolve import LookUp
from hepsw.view import View


@pytest.fixture
def views(peer):
    return [View(build(capture_id=n, payload=b"OPTIONS"), peer, n) for n in range(10)]


@pytest.fixture
def far_side():
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as bound:
        bound.bind((HOST, 0))
        bound.settimeout(5)
        yield bound


def url_of(sock):
    return f"udp://{HOST}:{sock.getsockname()[1]}"


async def test_bug_is_told_counted_and_tried_again(far_side, views, monkeypatch, caplog):
    """Nothing ends the task of a link: afterwards all packets arrive."""
    failing = True
    targets = LookUp.targets

    async def buggy(self):
        if failing:
            raise TypeError("not of this world")
        return await targets(self)

    monkeypatch.setattr(LookUp, "targets", buggy)
    async with running(settings(url_of(far_side))) as far:
        far.sink.enqueue(views)
        await until(lambda: far.account.errors["internal"] >= 2)
        assert far.account.state == "down: a bug in hepsw: TypeError('not of this world')"
        assert [record.exc_info[0] for record in caplog.records] == [TypeError]
        failing = False
        await until(lambda: far.account.delivered == 10)
        assert far.account.state == "up"


async def test_bug_while_sending_loses_none(far_side, views, monkeypatch):
    """A frame whose sending failed in an unknown way is still there."""

    def odd(*_):
        raise TypeError("not of this world")

    async with running(settings(url_of(far_side))) as far:
        await until(lambda: far.account.state == "up")
        with monkeypatch.context() as broken:
            broken.setattr(udp, "send_datagrams", odd)
            far.sink.enqueue(views)
        assert far.account.errors == {"internal": 1}
        assert far.sink.held.in_memory == 10
        await far.sink.drain(5)
    assert far.account.delivered == 10


async def test_refusals_end(monkeypatch, views, caplog):
    """The state is `refused` while the far side is away, and `up` a while after it came back."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(udp, "QUIET", 0.2)
    monkeypatch.setattr(udp, "LISTEN_AGAIN", 0.02)
    port = free_port()
    async with running(settings(f"udp://{HOST}:{port}")) as far:
        account, sink = far.account, far.sink
        await until(lambda: account.state == "up")
        sink.enqueue(views[:1])
        await asyncio.sleep(0.05)
        sink.enqueue(views[:1])
        assert account.state == "refused"
        # One datagram in a while, each refused: nothing in between says that anybody listens.
        for _ in range(3):
            sink.enqueue(views[:1])
            await asyncio.sleep(0.3)
            assert account.state == "refused"
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as back:
            back.bind((HOST, port))
            sink.enqueue(views[:1])
            await until(lambda: account.state == "up")
            await asyncio.sleep(0.1)
            sink.enqueue(views[:1])
            assert account.state == "up"
        texts = [record.message for record in caplog.records]
        assert [text for text in texts if "refused no more" in text] == texts[-1:]
        assert len([text for text in texts if "nobody listens" in text]) == 1


async def test_bind(far_side, views):
    """Datagrams come from the address that is asked for, whatever families the name has."""
    url = f"udp://localhost:{far_side.getsockname()[1]}"
    async with running(settings(url, bind="127.0.0.7")) as far:
        far.sink.enqueue(views[:1])
        await until(lambda: far.account.delivered == 1)
        assert far_side.recvfrom(1 << 16)[1][0] == "127.0.0.7"


async def test_bind_to_a_family_that_the_name_lacks(far_side):
    """It is told, and tried again."""
    async with running(settings(url_of(far_side), bind="::1")) as far:
        await until(lambda: far.account.errors["unreachable"])
        assert far.account.state == "down: no IPv6 address, and `bind` is one"
