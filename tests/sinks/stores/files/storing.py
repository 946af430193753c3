"""What the tests of file stores share: packets, batches, and files read back."""

import gzip
import io
import itertools
import os
import struct
from collections import Counter
from pathlib import Path

import dpkt
import orjson
import wire

from hepsw.config.configuration import Keep, StoreSettings
from hepsw.config.models import Batch as BatchSettings
from hepsw.hep import decode
from hepsw.sinks.stores.files.jsonl import JsonLinesWriter
from hepsw.sinks.stores.files.pcap import PcapWriter
from hepsw.sinks.stores.writer import Batch
from hepsw.view import Peer, View

PEER = Peer(bytes([192, 0, 2, 1]), 9060, "udp", bytes([192, 0, 2, 2]), 9061, "main")
NOON = 1_767_268_800
"""2026-01-01 12:00:00 UTC."""
DAY = 86_400
WRITERS = {"pcap": PcapWriter, "jsonl": JsonLinesWriter}

_keys = itertools.count(1)


def view(payload=b"OPTIONS", at=NOON, arrived=None, **bodies):
    """Return a packet captured at a time, which arrives then as well; None: it does not tell."""
    found = [(0, int(name[1:], 16), body) for name, body in bodies.items()]
    if at is not None:
        found.append((0, 0x0009, struct.pack("!I", at)))
    if payload is not None:
        found.append((0, 0x000F, payload))
    arrived = at if arrived is None else arrived
    return View(decode(wire.frame(found)), PEER, (NOON if arrived is None else arrived) * 1_000_000)


def batch(*views):
    return Batch(next(_keys).to_bytes(16), views)


def settings(file, scheme="jsonl", *, rotate=None, columns=(), **keep):
    return StoreSettings(
        "kept",
        scheme,
        Path(file),
        BatchSettings(),
        rotate=rotate,
        keep=Keep(**keep),
        columns=columns,
    )


def never(refused):
    assert not refused


def write(writer, *views, give_up=never):
    """Write one batch, all of which is taken."""
    return writer.write(batch(*views), give_up)


def files(folder):
    """Return every file beneath a folder, by its path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def plain(octets):
    return gzip.decompress(octets) if octets.startswith(b"\x1f\x8b") else octets


def payloads(octets):
    """Return the payloads in a file of any kind."""
    octets = plain(octets)
    if not octets:
        return []
    if octets.startswith(b"{"):
        return [orjson.loads(line)["payload"].encode() for line in octets.splitlines()]
    records = list(dpkt.pcap.Reader(io.BytesIO(octets)))
    return [
        bytes((dpkt.ip.IP if packet[0] >> 4 == 4 else dpkt.ip6.IP6)(packet).data.data)
        for _, packet in records
    ]


def kept(folder):
    """Return the payloads in each file beneath a folder."""
    return {name: payloads(octets) for name, octets in files(folder).items()}


def all_kept(folder):
    """Return how often each payload is in the files of a folder."""
    return Counter(itertools.chain.from_iterable(kept(folder).values()))


class Disk:
    """write(2) on a disk with room for so many octets: it takes what fits, then it fails."""

    def __init__(self, error, room):
        self._write = os.write
        self._error = error
        self.room = room

    def write(self, fd, octets):
        if not self.room:
            raise OSError(self._error, os.strerror(self._error))
        taken = bytes(octets[: self.room])
        self.room -= len(taken)
        return self._write(fd, taken)
