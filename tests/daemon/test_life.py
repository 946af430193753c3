"""How a switch starts, says whom it hears, and ends."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

from daemon.traffic import RELAY, address, hepsw, numbered, read_frames
from loopback import HOST, free_port
from running import PATIENCE, ROOT, Hepsw, wait_until

from hepsw.hep import decode


def test_first_packets_are_announced(start, udp, port):
    """Each agent is announced once: peer, HEP version, capture id."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for number in (2001, 2001, 2002):
            agent.sendto(numbered(number), (HOST, port))
    with closing(socket.create_connection((HOST, port))) as agent:
        agent.sendall(numbered(2001))
        assert len({udp.recv(65535) for _ in range(4)}) == 2
    switch.stop()
    announced = [text for text in switch.texts() if text.startswith("first packet")]
    assert announced == [
        "first packet from 127.0.0.1 over udp: HEP 3, capture id 2001",
        "first packet from 127.0.0.1 over tcp: HEP 3, capture id 2001",
    ]


def test_stopping_delivers_what_was_sent(start, port):
    """SIGTERM reads what has arrived, drains the outputs, exits 0 and says so in one line."""
    with closing(socket.create_server((HOST, 0))) as server:
        server.settimeout(PATIENCE)
        switch = start(RELAY.format(sink=f"tcp://{address(server)}"))
        far, _ = server.accept()
        sent = [numbered(number) for number in range(1000)]
        with closing(socket.create_connection((HOST, port))) as agent:
            agent.sendall(b"".join(sent))
            switch.signal(signal.SIGTERM)
            assert read_frames(far, 1000) == sent
        far.close()
        assert switch.process.wait(PATIENCE) == 0
    last = switch.errors.splitlines()[-1]
    assert last.startswith("1,000 seen: ")
    assert last.endswith("unaccounted 0")


def test_stopping_takes_no_longer_than_ten_seconds(start, tmp_path, port):
    """A destination that is away, a store that is locked: what they hold is lost, and counted."""
    file = tmp_path / "calls.db"
    sink = f'tcp://127.0.0.1:{free_port()}"\n[stores.calls]\nurl = "sqlite://{file}'
    rules = RELAY.replace('relay = "sink"', 'relay = "sink"\nstore = "calls"')
    switch = start(rules.format(sink=sink))
    wait_until(
        lambda: file.exists() and file.stat().st_size,
        lambda: "no file was made",
        alive=switch.process,
    )
    with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(socket.create_connection((HOST, port))) as agent:
            agent.sendall(numbered(1))
            switch.wait_counters(lambda counters: counters["sinks"]["sink"]["in_memory"] == 1)
        switch.signal(signal.SIGTERM)
        assert switch.process.wait(10) == 0
    last = switch.errors.splitlines()[-1]
    assert last.startswith("1 seen: ")
    assert last.endswith("unaccounted 0")


def test_a_second_signal_stops_at_once(tmp_path, port):
    """While the outputs drain, another SIGTERM ends hepsw without waiting."""
    away = free_port()
    switch = Hepsw(
        tmp_path, RELAY.format(sink=f"tcp://127.0.0.1:{away}").replace("PORT", str(port))
    )
    switch.wait_ready()
    with closing(socket.create_connection((HOST, port))) as agent:
        agent.sendall(numbered(1))
        switch.wait_counters(lambda counters: counters["sinks"]["sink"]["in_memory"] == 1)
    switch.signal(signal.SIGTERM)
    switch.wait_text("stopping")
    began = time.monotonic()
    switch.signal(signal.SIGTERM)
    assert switch.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 5


def test_a_broken_configuration_does_not_start(tmp_path):
    """Every problem on standard error, exit status 78, nothing opened."""
    (tmp_path / "hepsw.toml").write_text('[[listen]]\nurl = "udp://127.0.0.1:1"\nport = 2\n[x]\n')
    done = hepsw("run", folder=tmp_path)
    assert done.returncode == 78
    assert done.stderr.count("error[HEP104]") == 2
    assert "nothing was started" in done.stderr


FAILING = """
[[tests]]
given  = { proto_type = "SIP" }
expect = { drop = "x" }
"""


def test_a_configuration_whose_tests_fail_does_not_start(tmp_path):
    """The test that fails on standard error, exit status 78, nothing opened."""
    text = RELAY.format(sink="udp://127.0.0.1:1").replace("PORT", "2")
    (tmp_path / "hepsw.toml").write_text(text + FAILING)
    done = hepsw("run", folder=tmp_path)
    assert done.returncode == 78
    assert "error[HEP120]: test failed: it was routed\n" in done.stderr
    assert done.stderr.endswith("hepsw run: the configuration is invalid, nothing was started\n")


def test_a_start_whose_tests_only_warn(start, udp, port):
    """With `tests = "warn"` it starts, and standard error has the warning."""
    text = RELAY.format(sink=f"udp://{address(udp)}") + FAILING + '\n[reload]\ntests = "warn"\n'
    switch = start(text)
    assert "warning[HEP120]: test failed: it was routed\n" in switch.errors
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1), (HOST, port))
        assert udp.recv(65535) == numbered(1)


def test_a_taken_port_is_said(tmp_path):
    """Exit status 74 and one line that names the listener."""
    with closing(socket.create_server((HOST, 0))) as taken:
        (tmp_path / "hepsw.toml").write_text(f'[[listen]]\nurl = "tcp://{address(taken)}"\n')
        done = hepsw("run", folder=tmp_path)
        assert done.returncode == 74
        assert f"hepsw run: tcp://{address(taken)}: Address already in use" in done.stderr


def test_the_shipped_configuration_runs(tmp_path):
    """What we ship starts, takes the demo, keeps it and relays it; nobody at the copy is fine."""
    port, copy = free_port(), free_port()
    shipped = (
        (ROOT / "hepsw.toml").read_text().replace("9060", str(port)).replace("9070", str(copy))
    )
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "10-main.toml").write_text((ROOT / "rules" / "10-main.toml").read_text())
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as sink:
        sink.bind((HOST, copy))
        sink.settimeout(PATIENCE)
        switch = Hepsw(tmp_path, shipped)
        try:
            switch.wait_ready()
            done = hepsw("send", "--to", f"udp://{HOST}:{port}", "--rate", "max", folder=tmp_path)
            assert done.returncode == 0, done.stderr
            relayed = [decode(sink.recv(65535)) for _ in range(19)]
        finally:
            counters = switch.stop()
    assert counters["sinks"]["packets"]["delivered"] == 20
    assert {packet.group_id for packet in relayed if packet.proto_type == 5} == {b"media"}
    assert len(switch.told("main/logs")) == 1


def test_started_without_output(tmp_path, udp, port):
    """`>&- 2>&-` is a switch that says nothing, and works."""
    (tmp_path / "hepsw.toml").write_text(
        RELAY.format(sink=f"udp://{address(udp)}").replace("PORT", str(port))
    )
    process = subprocess.Popen(
        ["sh", "-c", f'exec "{sys.executable}" -m hepsw run >&- 2>&-'],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        udp.settimeout(0.2)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:

            def arrives():
                agent.sendto(numbered(1), (HOST, port))
                with contextlib.suppress(TimeoutError):
                    return udp.recv(65535)

            wait_until(arrives, lambda: "nothing arrives", alive=process)
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
