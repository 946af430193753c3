"""Listeners in the test's own process, and what they took."""

import asyncio
import ssl
import warnings
from contextlib import suppress

from loopback import HOST, free_port

from hepsw.accounting import Ledger
from hepsw.config.configuration import Listener, ListenerTls
from hepsw.config.units import Url
from hepsw.hep import build, encode_v1
from hepsw.net.listeners import Listeners

FRAME = build(proto_type=1, capture_id=7, payload=b"x").data
OLD = encode_v1(
    src_ip="192.0.2.1",
    dst_ip="192.0.2.2",
    src_port=1,
    dst_port=2,
    ip_protocol=17,
    payload=b"x",
)


def listener(scheme, **settings):
    """A listener on a free port."""
    values = {
        "name": "in",
        "url": Url(scheme, HOST, free_port()),
        "entry": "main",
        "versions": frozenset({1, 2, 3}),
        "gzip_frames": False,
        "receive_buffer": 1 << 20,
    }
    return Listener(**{**values, **settings})


class Running:
    """Listeners that keep what they take."""

    def __init__(self):
        self.ledger = Ledger()
        self.taken = []
        self.met = []
        self.listeners = Listeners(
            self.ledger,
            lambda packets, peers: self.taken.extend(zip(packets, peers, strict=True)),
            lambda *who: self.met.append(who),
        )

    async def serve(self, *wanted):
        """Begin, or go on, with these."""
        bound = self.listeners.bind(wanted)
        await self.listeners.stop_others(wanted)
        self.listeners.settle(wanted)
        await self.listeners.start(wanted, bound)

    async def until(self, holds):
        """Wait until something holds."""
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)


async def connected(url):
    return await asyncio.open_connection(url.host, url.port)


def tls(pair, *, client_ca=None, names=(), digest="1"):
    """Settings of a listener."""
    return ListenerTls(
        cert=pair.cert, key=pair.key, client_ca=client_ca, names=frozenset(names), digest=digest
    )


def client(ca, pair=None, *, most=None):
    """What an agent brings."""
    context = ssl.create_default_context(cafile=str(ca))
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    if most is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of the old ones
            context.minimum_version = context.maximum_version = most
    return context


async def sealed(url, context):
    """Connect with TLS; the handshake is done when this returns."""
    return await asyncio.open_connection(url.host, url.port, ssl=context)


async def left(*writers):
    """Close connections, whatever became of them."""
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
