"""A collector that can be slow, stopped, killed and started again, and remembers what it was given.

What it read outlives it, in two files of its folder, so one `Collector` stands for all processes
that listened at its port in turn. `unread` is what a kill would lose by no fault of the sender's.
"""

import json
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import procfs
from collecting import RECORD
from loopback import HOST, free_port
from running import wait_until

PROGRAM = Path(__file__).with_name("collecting.py")


class Record(NamedTuple):
    """One frame as it came."""

    connection: int
    source: int
    at: int
    late_us: int
    """Microseconds from its sender to here."""
    came: float
    """When, on the monotonic clock."""
    is_whole: bool
    """Whether it was the frame of its number, octet for octet."""


class Collector:
    """Listens at `url` while it is alive.

    Args:
        folder: where it may keep its files; made if it is not there.
        scheme: `udp`, `tcp` or `tls`.
        rate: frames that it reads in a second at most; 0 is no limit.
        receive_buffer: octets asked for; the kernel takes twice as many.
        pair: certificate and key for `tls`, as `certificates.Authority` issues them.
        wrapper: what stands before the command.
    """

    def __init__(
        self,
        folder,
        scheme="tcp",
        *,
        port=None,
        host=HOST,
        rate=0,
        receive_buffer=0,
        pair=None,
        wrapper=(),
    ):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.scheme, self.host, self.port = scheme, host, port or free_port()
        self.rate, self._receive_buffer = rate, receive_buffer
        self._pair, self._wrapper = pair, wrapper
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.lives = 0
        self.process = None
        self._held = _hold(host, self.port) if scheme != "udp" else None

    # --- its life ---

    def start(self):
        """Listen, again or for the first time."""
        self.lives += 1
        command = [*self._wrapper, sys.executable, "-S", PROGRAM]
        command += [self.scheme, self.host, self.port, self.folder]
        command += ["--life", self.lives, "--rate", self.rate]
        command += ["--receive-buffer", self._receive_buffer]
        if self._pair:
            command += ["--certificate", self._pair.cert, "--key", self._pair.key]
        with (self.folder / "errors").open("ab") as errors:
            self.process = subprocess.Popen(list(map(str, command)), stderr=errors)
        wait_until(
            lambda: any(event.get("life") == self.lives for event in self.events("listening")),
            (self.folder / "errors").read_text,
            alive=self.process,
            patience=30,
        )
        return self

    def stop(self):
        """Let it stand still, connections open; return when it does."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: procfs.is_stopped(self.process.pid), lambda: "it does not stop")

    def go_on(self):
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def wait_read(self, patience=60):
        """Return when it has read all that its kernel has."""
        wait_until(
            lambda: not any(procfs.unread(self.port, self._transport).values()),
            lambda: f"not read: {procfs.unread(self.port, self._transport)}",
            alive=self.process,
            patience=patience,
        )

    def wait_silent(self, patience=60):
        """Return when nothing more comes: every connection ended, or all datagrams are read."""
        if self._transport == "tcp":
            wait_until(
                lambda: not procfs.connections(self.port),
                lambda: f"still open: {procfs.unread(self.port)}",
                patience=patience,
            )
        else:
            self.wait_read(patience)

    def close(self):
        """End it for good."""
        self.kill()
        if self._held is not None:
            self._held.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    @property
    def _transport(self):
        return "udp" if self.scheme == "udp" else "tcp"

    # --- what it knows ---

    @property
    def count(self):
        """How many frames have come."""
        file = self.folder / "records"
        return file.stat().st_size // RECORD.size if file.exists() else 0

    def records(self, first=0):
        """Return the frames that have come, in the order in which they came."""
        file = self.folder / "records"
        if not file.exists():
            return []
        with file.open("rb") as opened:
            opened.seek(first * RECORD.size)
            octets = opened.read()
        octets = octets[: len(octets) // RECORD.size * RECORD.size]
        return [Record(*fields) for fields in RECORD.iter_unpack(octets)]

    def events(self, name=None):
        """Return what happened: `listening`, `opened`, `begun`, `desync`, `closed`."""
        file = self.folder / "events"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else ()
        found = [json.loads(line) for line in lines if line[-1] == "\n"]
        return [event for event in found if name in {None, event["event"]}]

    @property
    def unread(self):
        """Octets that its kernel has acknowledged and it has not read."""
        return sum(procfs.unread(self.port, self._transport).values())

    def wait_count(self, count, patience=60):
        """Return when so many frames have come."""
        wait_until(
            lambda: self.count >= count,
            lambda: f"{self.count} of {count} came",
            patience=patience,
        )


def _hold(host, port):
    """Keep a port from other tests while nobody listens there: who connects is refused."""
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with suppress(OSError):  # an address that is not ours
        held.bind((host, port))
    return held
