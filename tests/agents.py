"""Agents that send numbered packets at a rate of their own: what is not taken is not waited for."""

import json
import math
import subprocess
import sys
from pathlib import Path

from loopback import HOST
from numbered import SIZE

PROGRAM = Path(__file__).with_name("sending.py")


class Agents:
    """One process that sends from several sources.

    Args:
        port: of hepsw.
        rate: packets in a second, of all sources together.
        count: after how many it ends by itself.
        first_source: number of the first source; the others follow.
        size: octets of a frame.
    """

    def __init__(
        self, port, *, scheme="udp", rate=math.inf, count=None, sources=1, first_source=1, size=SIZE
    ):
        command = [sys.executable, "-S", PROGRAM, scheme, HOST, port, "--rate", rate]
        command += ["--sources", sources, "--first-source", first_source, "--size", size]
        if count is not None:
            command += ["--count", count]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._sent = None

    def wait(self, patience=600):
        """Wait until it has sent its count; return how many of each source."""
        if self._sent is None:
            assert self.process.wait(patience) == 0
            self._sent = {
                int(source): sent for source, sent in json.load(self.process.stdout).items()
            }
        return self._sent

    def stop(self, patience=60):
        """Let it end now; return how many it sent of each source."""
        self.process.stdin.close()
        return self.wait(patience)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
