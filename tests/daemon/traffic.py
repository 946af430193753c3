"""What these tests send, where to, and how they read it back."""

import os
import subprocess
import sys

from loopback import HOST
from running import PATIENCE, ROOT

from hepsw.hep import build


def numbered(number, payload=b"x" * 200):
    """A SIP packet with a number to tell it by."""
    return build(
        src_ip="192.0.2.10",
        dst_ip="198.51.100.20",
        src_port=5060,
        dst_port=5062,
        ip_protocol=17,
        time=1_700_000_000_000_000 + number,
        proto_type=1,
        capture_id=number,
        payload=payload,
    ).data


def address(sock):
    return f"{HOST}:{sock.getsockname()[1]}"


def read_frames(connection, count):
    """Return so many HEP3 frames from a connection."""
    octets = b""
    frames = []
    connection.settimeout(PATIENCE)
    while len(frames) < count:
        more = connection.recv(1 << 16)
        assert more, f"closed after {len(frames)} of {count}"
        octets += more
        while len(octets) >= 6 and len(octets) >= (total := int.from_bytes(octets[4:6])):
            assert octets[:4] == b"HEP3"
            frames.append(octets[:total])
            octets = octets[total:]
    assert not octets
    return frames


RELAY = """
[[listen]]
name = "in"
url = ["udp://127.0.0.1:PORT", "tcp://127.0.0.1:PORT"]

[destinations]
sink = "{sink}"

[[rules.main]]
name = "all"
relay = "sink"
"""

LOADER = """
import socket, sys, threading, time
from hepsw.hep import build
port, rate = int(sys.argv[1]), int(sys.argv[2])
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", port))
sent, began = 0, time.monotonic()
while not stop.is_set():
    due = int((time.monotonic() - began) * rate)
    while sent < due:
        sock.send(build(proto_type=1, capture_id=sent, payload=b"%20d" % sent + b"x" * 80).data)
        sent += 1
    time.sleep(0.002)
print(sent)
"""
"""Sends numbered packets at a rate until told to stop; prints how many."""


def hepsw(*arguments, folder):
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hepsw", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
