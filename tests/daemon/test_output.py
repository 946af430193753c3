"""What a switch says: nobody who reads it, or does not, stops it or is deceived."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest
from daemon.traffic import RELAY, address, numbered
from loopback import HOST
from running import PATIENCE, ROOT, wait_until


def test_a_packet_cannot_forge_a_log_line(start, udp, port):
    """In text, ends of lines and escapes of a packet are written as such; long lines are cut."""
    switch = start(
        RELAY.format(sink=f"udp://{address(udp)}").replace(
            'relay = "sink"', 'relay = "sink"\nlog = "{payload}"'
        )
        + '\n[log]\nformat = "text"\n',
        ready=False,
    )
    wait_until(lambda: "ready" in switch.errors, lambda: switch.errors)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1, b"hello\n14:02:11 error hepsw: \x1b[31mFAKE"), (HOST, port))
        agent.sendto(numbered(2, b"y" * 50_000), (HOST, port))
        udp.recv(65535)
        udp.recv(65535)
    wait_until(lambda: "yyyy" in switch.errors, lambda: switch.errors)
    lines = switch.errors.splitlines()
    assert not [line for line in lines if line.startswith("14:02:11 error")]
    assert any(line.endswith(r"hello\n14:02:11 error hepsw: \x1b[31mFAKE") for line in lines)
    assert max(map(len, lines)) < 2000


@pytest.mark.parametrize("stuck", ["full", "gone"])
def test_nobody_reading_our_output_stops_nothing(tmp_path, udp, port, stuck):
    """Standard error a full pipe, or without a reader: packets flow, and the end comes."""
    read, write = os.pipe()
    if stuck == "full":
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
    (tmp_path / "hepsw.toml").write_text(
        RELAY.format(sink=f"udp://{address(udp)}").replace("PORT", str(port))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hepsw", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=write,
    )
    try:
        os.close(write)
        if stuck == "gone":
            os.close(read)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
            udp.settimeout(0.2)

            def arrives():
                agent.sendto(numbered(1), (HOST, port))
                with contextlib.suppress(TimeoutError):
                    return udp.recv(65535)

            wait_until(arrives, lambda: "nothing arrives", alive=process)
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.2)
            wait_until(arrives, lambda: "nothing arrives after SIGUSR1", alive=process)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE + 5)
    finally:
        process.kill()
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["unaccounted"] == 0


def test_reasons_are_no_markup(start, udp, port):
    """A reason with brackets is printed as it is."""
    switch = start(
        RELAY.format(sink=f"udp://{address(udp)}").replace('relay = "sink"', 'drop = "[/oops]"')
    )
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1), (HOST, port))
        switch.wait_counters(lambda found: found["switch"]["dropped"] == {"[/oops]": 1})
    switch.stop()
    assert "[/oops] 1" in switch.errors
