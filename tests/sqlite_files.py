"""SQLite files under test: packets to put into them, and a look into them from outside."""

import itertools
import json
import sqlite3
import struct
import zlib
from contextlib import closing, contextmanager
from pathlib import Path

from hepsw.config import models, template
from hepsw.config.configuration import Keep, StoreSettings
from hepsw.errors import DecodeError
from hepsw.fields import CATALOGUE
from hepsw.hep import StreamSplitter, build, decode, decode_datagram
from hepsw.sinks.stores.sqlite.writer import SqliteWriter
from hepsw.sinks.stores.writer import Batch
from hepsw.view import Peer, View

VECTORS = Path(__file__).parent / "vectors"
PEER = Peer(bytes([192, 0, 2, 1]), 9060, "udp", bytes([192, 0, 2, 2]), 9061, "main")
ARRIVAL_US = 1_700_000_000_000_000
HOSTILE = [
    b"plain",
    b"'; DROP TABLE packets; --",
    b"\"quoted\" 'twice' `thrice`",
    b"back\\slash \\x00 \\' \\\\",
    b"nul\0inside",
    "日本 \U0001f600".encode(),
    b"cut mid-character \xe6\x97",
    b"\xff\xfe\x00\x01",
    b"\xed\xa0\x80 a surrogate",
    b"?1 :name @name $name %s {0}",
]

_numbers = itertools.count()


def hep3(**bodies):
    """Return a HEP3 packet with a payload and the chunks named `x0011`, by their bodies."""
    chunks = {"x000f": b"OPTIONS", **bodies}
    octets = b"".join(
        struct.pack("!HHH", 0, int(name[1:], 16), 6 + len(body)) + body
        for name, body in chunks.items()
    )
    return b"HEP3" + struct.pack("!H", 6 + len(octets)) + octets


def compressed(octets):
    """Return a frame with nothing but a payload that inflates to so many octets."""
    body = zlib.compress(bytes(octets), 9)
    chunk = struct.pack("!HHH", 0, 0x10, 6 + len(body)) + body
    return b"HEP3" + struct.pack("!H", 6 + len(chunk)) + chunk


def view(data, number=0, **more):
    packet = decode(data) if isinstance(data, bytes) else data
    return View(packet, PEER, ARRIVAL_US + number, **more)


def some(count, first=0):
    """Return views of so many packets, no two of them alike."""
    return [view(hep3(x0011=b"call-%d" % n), n) for n in range(first, first + count)]


def sip(number=0, method=b"INVITE", call=b"a84b", user=b"alice", **more):
    """Return a view of a SIP request."""
    payload = (
        b"%b sip:bob@example.org SIP/2.0\r\nFrom: <sip:%b@example.org>;tag=1\r\n"
        b"To: <sip:bob@example.org>\r\nCall-ID: %b\r\nCSeq: 1 %b\r\n\r\n"
    ) % (method, user, call, method)
    values = {
        "src_ip": "192.0.2.10",
        "dst_ip": "198.51.100.20",
        "proto_type": 1,
        "time": ARRIVAL_US + number,
        "payload": payload,
    }
    return view(build(**values | more), number)


def vectors():
    """Return every packet of the vectors that decodes, from datagrams and from streams."""
    packets = []
    for name in ("frames", "real-agents"):
        for line in (VECTORS / f"{name}.jsonl").read_text().splitlines():
            vector = json.loads(line)
            octets = bytes.fromhex(vector["hex"])
            is_stream = vector["kind"] == "stream"
            for frame in StreamSplitter().feed(octets) if is_stream else [octets]:
                packets += decode_datagram(frame, gzip_frames=True)
    return [packet for packet in packets if not isinstance(packet, DecodeError)]


def settings_of(file, rows=2000, keep=None, columns=()):
    """Return the settings of a store in a file; columns are (name, template as text)."""
    made = [(name, template.parse(text, CATALOGUE.__getitem__)) for name, text in columns]
    return StoreSettings(
        "kept",
        "sqlite",
        file,
        models.Batch(rows=rows, every="1s"),
        keep=keep or Keep(),
        columns=tuple(made),
    )


@contextmanager
def writing(file, kind=SqliteWriter, **settings):
    """Give a writer, open."""
    with closing(kind(settings_of(file, **settings))) as writer:
        writer.open()
        yield writer


def batch(views, spool=None, first=0, key=None):
    """Return a batch with a key of its own."""
    made = b"%016d" % next(_numbers)
    return Batch(key or made, views, spool, first, first + len(views) - 1)


def taken(refused):
    """Be a `give_up` that is told of nothing."""
    assert not refused


def keep_in(file, views, **settings):
    """Write views as one batch."""
    with writing(file, **settings) as writer:
        writer.write(batch(views), taken)


def query(file, sql, *values):
    """Return what a file says, asked by somebody else."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql, values).fetchall()


def frames_in(file):
    """Return the frames of a file with the time each came, in the order of their rows."""
    return query(file, "SELECT received_us, frame FROM packets ORDER BY id")


def frames_of(views):
    return [(each.received_us, each.packet.data) for each in views]


@contextmanager
def locked(file):
    """Keep a file locked as another program would."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
