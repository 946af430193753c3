"""Collectors in this process that come and go, and packets with numbers to send them."""

import asyncio
from contextlib import asynccontextmanager

from loopback import HOST
from wire import chunks, frames

from hepsw.hep import build
from hepsw.view import View


class Collector:
    """Takes connections at a port, reads what comes, and goes away and comes back."""

    def __init__(self, port=0):
        self.port = port
        self.frames = []
        self.rest = b""
        self._server = None
        self._writers = set()

    @property
    def url(self):
        return f"tcp://{HOST}:{self.port}"

    @property
    def numbers(self):
        """The capture ids of what came, in order."""
        return [
            int.from_bytes(body)
            for frame in self.frames
            for vendor, type_id, body in chunks(frame)
            if (vendor, type_id) == (0, 0x0C)
        ]

    async def come(self):
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        rest = b""
        try:
            while octets := await reader.read(1 << 16):
                found, rest = frames(rest + octets)
                self.frames += found
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def go(self):
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def collectors(count):
    made = [Collector() for _ in range(count)]
    for each in made:
        await each.come()
    try:
        yield made
    finally:
        for each in made:
            await each.go()


def views_of(peer, numbers, call=None):
    return [
        View(
            build(
                capture_id=n,
                proto_type=100,
                correlation_id=(call(n) if call else f"call-{n}").encode(),
                payload=b"x" * 50,
            ),
            peer,
            n,
        )
        for n in numbers
    ]
