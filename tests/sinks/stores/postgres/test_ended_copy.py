"""A COPY whose connection ends, or falls silent, while the way to the server is full."""

import threading

import numbered
import pgstores
import pytest
from faultproxy import FaultProxy
from loopback import HOST
from running import wait_until

from hepsw.errors import StoreError
from hepsw.hep import decode
from hepsw.sinks.stores.postgres import copying
from hepsw.view import View

PATIENCE = 60
OCTETS = 2 << 20
"""That have left the writer before anything happens; twenty times as many are to come."""


@pytest.fixture
def proxy(database):
    with FaultProxy(database.server.port) as made:
        yield made


@pytest.fixture
def stuck(database, proxy, monkeypatch):
    """Begin a batch on a way that takes next to nothing; give what waits for its error."""
    monkeypatch.setattr(copying, "COPY_SECONDS", 5.0)
    monkeypatch.setattr(copying, "ROWS_A_SECOND", 2000)
    now_us = pgstores.now_us()
    views = [
        View(decode(numbered.frame(1, at, now_us, 20_000)), pgstores.PEER, now_us)
        for at in range(2000)
    ]
    raised = []

    def write(store):
        try:
            pgstores.write(store, views)
        except StoreError as error:
            raised.append(error)

    with pgstores.writer(
        database, url=f"postgres://postgres@{HOST}:{proxy.port}/{database.name}"
    ) as store:
        proxy.faults.rate = 1 << 10
        writing = threading.Thread(target=write, args=(store,), daemon=True)
        writing.start()
        wait_until(lambda: proxy.octets > OCTETS, lambda: "nothing is written", patience=PATIENCE)

        def ended():
            writing.join(PATIENCE)
            assert not writing.is_alive()
            return raised[0]

        yield ended


def test_the_connection_ends(proxy, stuck):
    """The batch fails at once: nobody waits for room that there will never be."""
    proxy.cut()
    assert stuck().what == "connect"


def test_nobody_reads(stuck):
    """The batch fails when its time is over, though nobody says that the server is gone."""
    assert stuck().what == "timeout"
