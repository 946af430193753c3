"""Stores of PostgreSQL as tests use them: settings, batches, and packets of every kind."""

import contextlib
import dataclasses
import itertools
import time
from pathlib import Path

from hepsw.concealed import Concealed
from hepsw.config import models, template
from hepsw.config.configuration import Keep, StoreSettings
from hepsw.errors import DecodeError
from hepsw.fields import CATALOGUE
from hepsw.framefile import read
from hepsw.hep import build, decode
from hepsw.sinks.stores.postgres.writer import PostgresWriter
from hepsw.sinks.stores.writer import Batch
from hepsw.view import Peer, View

SECOND = 1_000_000
DAY = 86400 * SECOND
VECTORS = Path(__file__).parent / "vectors"
PEER = Peer(bytes([192, 0, 2, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")

_KEYS = itertools.count(1)


def settings(database, layout="homer7", *, columns=None, keep=None, partition=86400.0, url=None):
    """Return the settings of a store.

    Args:
        database: a `databases.Database`.
        layout: `homer7` or `hepsw`.
        columns: templates by name.
        keep: a `Keep`.
        partition: seconds.
        url: another than the database's own.
    """
    return StoreSettings(
        "kept",
        "postgres",
        Path(),
        models.Batch(),
        url=Concealed((url or database.url).encode()),
        layout=layout,
        partition=partition,
        keep=keep or Keep(),
        columns=tuple(
            (name, template.parse(source, CATALOGUE.__getitem__))
            for name, source in (columns or {}).items()
        ),
    )


@contextlib.contextmanager
def writer(database, layout="homer7", *, clock=time.time, **further):
    """Give an open writer, and close it."""
    made = PostgresWriter(settings(database, layout, **further), clock)
    try:
        made.open()
        yield made
    finally:
        made.close()


def batch(views, key=None, **further):
    """Return a batch of packets; its key is new unless it is given."""
    return Batch(key or next(_KEYS).to_bytes(16), views, **further)


def write(store, views, **further):
    """Write a batch of packets; return what became of it."""
    return store.write(batch(views, **further), lambda _refused: None)


def now_us():
    """Return the time, in microseconds."""
    return int(time.time() * SECOND)


def view(packet, received_us=None, peer=PEER, *, resumed=False):
    """Return a packet as it came."""
    return View(packet, peer, now_us() if received_us is None else received_us, resumed=resumed)


def vectors():
    """Return a view of every frame of the vectors that is one."""
    found = []
    for file in sorted(VECTORS.glob("*.jsonl")):
        for frame in read(file.read_bytes()).frames:
            with contextlib.suppress(DecodeError):
                found.append(view(decode(frame)))
    assert len(found) > 100
    return found


def sip(number=0, *, method="INVITE", status=None, at_us=None, head=b"", **further):
    """Return a SIP message of call `number`; a reply with a `status`."""
    start = f"{method} sip:bob@example.net SIP/2.0" if status is None else f"SIP/2.0 {status} X"
    payload = (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK{number}\r\n"
        f"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.net>\r\n"
        f"Call-ID: call-{number}\r\nCSeq: 1 {method}\r\nUser-Agent: phone\r\n"
    ).encode()
    values = {
        "src_ip": "192.0.2.10",
        "dst_ip": "198.51.100.20",
        "src_port": 5060,
        "dst_port": 5062,
        "ip_protocol": 17,
        "time": now_us() if at_us is None else at_us,
        "proto_type": 1,
        "capture_id": 2001,
        "payload": payload + head + b"\r\n",
    }
    return view(build(**{**values, **further}))


def calls(count, *, first=0, at_us=None):
    """Return an INVITE of each of so many calls."""
    return [sip(number, at_us=at_us) for number in range(first, first + count)]


HOSTILE = (
    b"'",
    b'"',
    b"\\",
    b"\\x00",
    b"\0",
    b"a\0\0b",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # a surrogate alone
    b"\xf0\x9f\x92\xa9",
    b"\xe2\x82",  # cut inside a character
    b"'); DROP TABLE hep_proto_1_call; --",
    b"\\u0000",
    b"$$%s{}\t\x01\x7f",
    b"x" * 9000,
    bytes(range(256)),
)
"""Texts that some database has stumbled over."""


def hostile():
    """Return packets that have hostile text wherever a packet has text, and odd numbers."""
    found = []
    for number, text in enumerate(HOSTILE):
        header = text.replace(b"\r", b"").replace(b"\n", b"")
        lines = b"Subject: %b\r\nX-CID: %b\r\n" % (header, header)
        found += [
            sip(number, head=lines, node_name=text, correlation_id=text, auth_key=text),
            sip(
                payload=b"INVITE sip:%b@example.net SIP/2.0\r\nFrom: <sip:%b@h>;tag=%b\r\n"
                b"To: %b\r\nCall-ID: %b\r\nCSeq: 1 INVITE\r\nUser-Agent: %b\r\n\r\n"
                % ((header,) * 6)
            ),
            sip(payload=text, correlation_id=text),
            *(
                sip(proto_type=proto_type, payload=text, correlation_id=text, node_name=text)
                for proto_type in (5, 34, 53, 54, 100)
            ),
        ]
    found += [
        view(build(payload=b"no addresses", proto_type=100)),
        view(build(proto_type=1)),
        view(build(proto_type=1, payload=b"\r\n\r\n", src_ip="::1", dst_ip="::2", time=1)),
        view(build(seconds=0xFFFFFFFF, microseconds=0xFFFFFFFF, payload=b"x", proto_type=99)),
        view(build(src_ip="192.0.2.1", dst_ip="2001:db8::1", payload=b"{}", proto_type=5)),
        sip(method="REGISTER"),
        sip(src_mac=0xFFFFFFFFFFFFFFFF, capture_id=0xFFFFFFFF),
        sip(payload=b'{"event":"\\ud800","method":"a\\u0000b"}', proto_type=100),
        sip(payload=b'{"cic":1e400,"opc":99999999999999999999,"dpc":-5}', proto_type=54),
    ]
    return found


def frames(views):
    """Return the frames of packets, sorted."""
    return sorted(one.packet.data for one in views)


def all_rows(database, table="hep_proto_1_call"):
    """Return how many rows a table has."""
    return database.value(f"SELECT count(*) FROM {table}")  # noqa: S608 - of these tests


def with_name(peer, name):
    """Return a peer of another name."""
    return dataclasses.replace(peer, name=name)
