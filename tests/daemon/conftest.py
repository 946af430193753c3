"""A running switch, its port, and a socket behind it."""

import socket
from contextlib import ExitStack, closing

import pytest
from loopback import HOST, free_port
from running import PATIENCE, Hepsw


@pytest.fixture
def port():
    """Where hepsw listens."""
    return free_port()


@pytest.fixture
def start(tmp_path, port):
    """Start a switch that is stopped, and whose account is asserted, when the test ends."""
    with ExitStack() as stack:

        def started(configuration, *, ready=True):
            switch = Hepsw(tmp_path, configuration.replace("PORT", str(port)))
            stack.callback(switch.stop)
            if ready:
                switch.wait_ready()
            return switch

        yield started


@pytest.fixture
def udp():
    """A UDP socket of the test's own, bound."""
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        yield sock
