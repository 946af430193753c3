"""Real agents on loopback: agent, recorder, hepsw, sink.

Whatever a test does, its switch ends by SIGTERM with status 0 and every packet accounted for.
"""

from contextlib import ExitStack, closing

import pytest
from loopback import TcpRecorder, TcpSink, UdpRecorder, UdpSink, free_port
from running import Hepsw


@pytest.fixture
def port():
    """Where hepsw listens, over UDP or TCP."""
    return free_port()


@pytest.fixture
def hepsw(tmp_path, port):
    """Start a switch and return it when it is ready; its configuration is a template."""
    with ExitStack() as stack:

        def start(configuration, **values):
            switch = Hepsw(tmp_path, configuration.format(port=port, **values))
            stack.callback(switch.stop)
            switch.wait_ready()
            return switch

        yield start


@pytest.fixture
def udp_sink():
    with closing(UdpSink()) as sink:
        yield sink


@pytest.fixture
def tcp_sink():
    with closing(TcpSink()) as sink:
        yield sink


@pytest.fixture
def recorder(port):
    """Start a recorder in front of the running switch."""
    with ExitStack() as stack:

        def start(transport="udp"):
            kind = {"udp": UdpRecorder, "tcp": TcpRecorder}[transport]
            return stack.enter_context(closing(kind(port)))

        yield start
