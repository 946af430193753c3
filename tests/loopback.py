"""The two ends of the wire: recorders between an agent and hepsw, and sinks behind hepsw.

Nothing here runs beside the test: the kernel holds what was sent until the test asks for it, and
every wait ends after `PATIENCE`.
"""

import random
import socket

import wire
from running import PATIENCE

HOST = "127.0.0.1"
READ = 65536
_GIVEN = set()
"""Ports that this run was told are free: a test may be slow to take its own."""


def free_port():
    """Return a port that is free for UDP and for TCP.

    Below those that the kernel gives away by itself: nobody takes it before hepsw does.
    """
    while True:
        port = random.randrange(20000, 32000)
        if port in _GIVEN:
            continue
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind((HOST, port))
                tcp.bind((HOST, port))
            except OSError:
                continue
        _GIVEN.add(port)
        return port


class UdpSink:
    """Keeps every datagram."""

    scheme = "udp"

    def __init__(self):
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.url = f"udp://{HOST}:{self._socket.getsockname()[1]}"

    def take(self, count):
        """Return the next datagrams.

        Raises:
            TimeoutError: there were not so many.
        """
        self._socket.settimeout(PATIENCE)
        return [self._socket.recv(READ) for _ in range(count)]

    def rest(self):
        """Return what nobody took; to be asked when the sender has ended."""
        self._socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self._socket.recv(READ))
            except BlockingIOError:
                return found

    def close(self):
        self._socket.close()


class TcpSink:
    """Keeps every frame of the one connection that it accepts."""

    scheme = "tcp"

    def __init__(self, port=0):
        self._listener = socket.create_server((HOST, port))
        self._connection = None
        self._unread = b""
        self.url = f"tcp://{HOST}:{self._listener.getsockname()[1]}"

    def take(self, count):
        """Return the next frames.

        Raises:
            TimeoutError: there were not so many.
        """
        if self._connection is None:
            self._listener.settimeout(PATIENCE)
            self._connection, _ = self._listener.accept()
            self._connection.settimeout(PATIENCE)
        taken = []
        while len(taken) < count:
            octets = self._connection.recv(READ)
            assert octets, "the connection was closed"
            found, self._unread = wire.frames(self._unread + octets)
            taken += found
        assert len(taken) == count
        return taken

    def rest(self):
        """Return what nobody took, whole frames or not; to be asked when the sender has ended."""
        octets = self._unread
        while more := self._connection.recv(READ):
            octets += more
        return [octets] if octets else []

    def close(self):
        self._listener.close()
        if self._connection is not None:
            self._connection.close()


class UdpRecorder(UdpSink):
    """Stands between an agent and hepsw: keeps what the agent sent, and sends the same on."""

    def __init__(self, port):
        super().__init__()
        self.port = self._socket.getsockname()[1]
        self._forward = socket.socket(type=socket.SOCK_DGRAM)
        self._forward.connect((HOST, port))

    def relay(self, count):
        """Send on the next datagrams, and return them.

        Raises:
            TimeoutError: there were not so many.
        """
        recorded = self.take(count)
        for datagram in recorded:
            self._forward.send(datagram)
        return recorded

    def close(self):
        super().close()
        self._forward.close()


class TcpRecorder(TcpSink):
    """The same for one connection; frames are cut here, and only their octets are sent on."""

    def __init__(self, port):
        super().__init__()
        self.port = self._listener.getsockname()[1]
        self._forward = socket.create_connection((HOST, port), timeout=PATIENCE)

    def relay(self, count):
        """Send on the next frames, and return them.

        Raises:
            TimeoutError: there were not so many.
        """
        recorded = self.take(count)
        self._forward.sendall(b"".join(recorded))
        return recorded

    def close(self):
        super().close()
        self._forward.close()
