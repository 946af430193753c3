"""Loops that no check can see: one packet leads to eight transmissions at most."""

import socket
import threading
from contextlib import closing

import pytest
from daemon.traffic import RELAY, address, numbered
from loopback import HOST, free_port
from running import PATIENCE, Hepsw

MOST = 8


class Bouncer:
    """A destination that sends everything back to where it came from: somebody else's mistake."""

    def __init__(self, sock, port):
        self._sock, self._port = sock, port
        self.frames = []
        self._thread = threading.Thread(target=self._bounce, daemon=True)
        self._thread.start()

    def _bounce(self):
        while frame := self._sock.recv(65535):
            self.frames.append(frame)
            self._sock.sendto(frame, (HOST, self._port))

    def stop(self):
        """Return the frames that came, in order."""
        self._sock.sendto(b"", self._sock.getsockname())
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.frames


def dropped(number):
    """Return a question to counters: whether so many packets were dropped for going in a loop."""
    return lambda counters: counters["switch"]["dropped"].get("loop", 0) == number


def test_what_is_sent_back_is_sent_eight_times(start, udp, port):
    """Each of several packets leaves eight times; the log tells once who sends them back."""
    udp.settimeout(None)
    bouncer = Bouncer(udp, port)
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for number in range(5):
            agent.sendto(numbered(number), (HOST, port))
        switch.wait_counters(dropped(5))
    frames = bouncer.stop()
    assert sorted(frames) == sorted(numbered(number) for number in range(5) for _ in range(MOST))
    counters = switch.stop()
    assert counters["switch"]["dropped"] == {"loop": 5}
    assert counters["switch"]["routed"] == counters["sinks"]["sink"]["delivered"] == 5 * MOST
    assert counters["unaccounted"] == 0
    told = [line for line in switch.log() if line["text"].startswith("loop: ")]
    assert [line["level"] for line in told] == ["warning"]
    assert f"127.0.0.1, port {udp.getsockname()[1]}, over udp" in told[0]["text"]


@pytest.mark.parametrize(
    ("edit", "times"), [('node_name = "here"', MOST), ("capture_id = 7", MOST + 1)]
)
def test_an_edit_on_the_way_hides_no_loop(start, udp, port, edit, times):
    """A packet that is the same after each turn is stopped, though it left other than it came.

    As it came first it counts for itself, unless the edit left the octets of its mark alone.
    """
    udp.settimeout(None)
    bouncer = Bouncer(udp, port)
    stamped = f"{RELAY}set.{edit}\n"
    switch = start(stamped.format(sink=f"udp://{address(udp)}"))
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1), (HOST, port))
        switch.wait_counters(dropped(1))
    assert len(bouncer.stop()) == times


def test_two_switches_that_relay_to_each_other(start, port, tmp_path):
    """Neither can see it in its configuration: a packet passes each of them eight times."""
    there = free_port()
    (tmp_path / "other").mkdir()
    one = start(RELAY.format(sink=f"udp://127.0.0.1:{there}"))
    configuration = RELAY.format(sink=f"udp://127.0.0.1:{port}").replace("PORT", str(there))
    other = Hepsw(tmp_path / "other", configuration)
    try:
        other.wait_ready()
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
            agent.sendto(numbered(1), (HOST, port))
            counters = one.wait_counters(dropped(1))
    finally:
        counters_there = other.stop()
    assert counters["sinks"]["sink"]["delivered"] == MOST
    assert counters_there["switch"]["accepted"] == counters_there["switch"]["routed"] == MOST
    assert counters["unaccounted"] == counters_there["unaccounted"] == 0


def test_a_stream_that_leads_back(start, port, tmp_path):
    """Over TCP it is the same."""
    there = free_port()
    (tmp_path / "other").mkdir()
    one = start(RELAY.format(sink=f"tcp://127.0.0.1:{there}"))
    configuration = RELAY.format(sink=f"tcp://127.0.0.1:{port}").replace("PORT", str(there))
    other = Hepsw(tmp_path / "other", configuration)
    try:
        other.wait_ready()
        with closing(socket.create_connection((HOST, port))) as agent:
            agent.sendall(numbered(1))
            counters = one.wait_counters(dropped(1))
    finally:
        other.stop()
    assert counters["switch"]["routed"] == MOST


def test_the_guard_can_be_switched_off_and_on(start, udp, port):
    """For who sends the same packets on purpose; a reload is enough."""
    text = RELAY.format(sink=f"udp://{address(udp)}").replace("PORT", str(port))
    switch = start(text + "[switch]\nloop_guard = false\n")
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for _ in range(20):
            agent.sendto(numbered(1), (HOST, port))
        switch.wait_counters(lambda counters: counters["switch"]["routed"] == 20)
        switch.file.write_text(text)
        assert "generation 2" in switch.reload()
        for _ in range(20):
            agent.sendto(numbered(1), (HOST, port))
        counters = switch.wait_counters(dropped(12))
    assert counters["switch"]["routed"] == 28
