"""What the pcap stores write opens in tshark and sngrep, with the SIP decoded."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections import Counter
from contextlib import closing

import dpkt
import pytest
from hep.vectors import ALL
from loopback import PATIENCE
from peers.programs import program
from sinks.stores.files.storing import PEER, settings

from hepsw.errors import DecodeError
from hepsw.hep import StreamSplitter, decode_datagram
from hepsw.recall.pcap import write_capture
from hepsw.sinks.stores.files.pcap import PcapWriter
from hepsw.sinks.stores.writer import Batch
from hepsw.view import View

pytestmark = pytest.mark.peer

ARRIVAL_US = 1_767_268_800_000_000
NOT_WRITTEN = {"inflate-failed": 2, "too-big": 1}
"""Vectors that no datagram can hold."""
OPTIONS = (
    *("-o", "ip.check_checksum:TRUE"),
    *("-o", "udp.check_checksum:TRUE"),
    # Some of the agents have port 5072, for which tshark knows another protocol.
    *("-o", "udp.try_heuristic_first:TRUE"),
)


def views():
    """Return every packet of the vectors that decodes, from datagrams and streams."""
    frames = (
        frame
        for vector in ALL
        for frame in (
            StreamSplitter().feed(vector.data) if vector.kind == "stream" else [vector.data]
        )
    )
    found = (packet for frame in frames for packet in decode_datagram(frame, gzip_frames=True))
    return [
        View(packet, PEER, ARRIVAL_US) for packet in found if not isinstance(packet, DecodeError)
    ]


def is_valid(view):
    """Return whether a packet is a SIP message with nothing wrong about it."""
    sip = view.sip
    return sip is not None and sip.kind in {"request", "reply"} and sip.verdict == "ok"


@pytest.fixture
def capture(tmp_path):
    """Let a store write all packets to a file; return it, and those that are in it."""

    def store(name):
        given = views()
        refused = []
        with closing(PcapWriter(settings(tmp_path / name, "pcap"))) as writer:
            writer.open()
            for start in range(0, len(given), 50):
                part = given[start : start + 50]
                written = writer.write(Batch(start.to_bytes(16), part), lambda _: None)
                for each in written.refused:
                    refused.append(each.reason)
                    given[start + each.at] = None
        assert Counter(refused) == NOT_WRITTEN
        return tmp_path / name, [view for view in given if view is not None]

    return store


def tshark(file, *arguments):
    """Return the lines that tshark says of a file."""
    where = program("tshark")
    ended = subprocess.run(
        [where, "-r", file, *OPTIONS, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    return ended.stdout.decode().splitlines()


def seen(file):
    """Return what tshark sees in each packet, by field."""
    fields = (
        *("frame.protocols", "ip.checksum.status", "udp.checksum.status", "sip.Call-ID"),
        *("_ws.malformed", "udp.length", "frame.time_epoch"),
    )
    lines = tshark(file, "-T", "fields", *(word for field in fields for word in ("-e", field)))
    return [dict(zip(fields, line.split("\t"), strict=True)) for line in lines]


def experts(file):
    """Return the protocols of which tshark has something to say."""
    lines = tshark(file, "-q", "-z", "expert")
    found = (re.match(r" +\d+ +\S+ +(\S+) ", line) for line in lines)
    return {line[1] for line in found if line}


@pytest.mark.parametrize("name", ["all.pcap", "all.pcap.gz"])
def test_tshark(capture, name):
    """IP and UDP are flawless in every packet; what is valid SIP is SIP, with its Call-ID."""
    file, stored = capture(name)
    packets = seen(file)
    assert len(packets) == len(stored)
    assert experts(file).isdisjoint({"IPv4", "IPv6", "UDP", "Frame", "pcap"})
    decoded = Counter()
    for view, packet in zip(stored, packets, strict=True):
        _, ip, udp, *inner = packet["frame.protocols"].split(":")
        assert (ip, udp) in {("ip", "udp"), ("ipv6", "udp")}
        assert packet["ip.checksum.status"] == ("1" if ip == "ip" else "")
        assert packet["udp.checksum.status"] == "1"
        assert int(packet["udp.length"]) == 8 + len(view.packet.payload or b"")
        if is_valid(view):
            assert inner[0] == "sip"
            assert packet["_ws.malformed"] == ""
            assert packet["sip.Call-ID"].encode() == view.sip.call_id
            decoded[view.sip.call_id] += 1
    assert decoded.total() > 130
    assert len(decoded) >= 15


def test_tshark_finds_faults(capture):
    """The checks above see a wrong checksum and a wrong length."""
    file, _ = capture("all.pcap")
    octets = bytearray(file.read_bytes())
    header = 24 + 16  # of the file and of the first record
    octets[header + 10] ^= 0xFF
    octets[header + 26] ^= 0xFF
    file.write_bytes(octets)
    first = seen(file)[0]
    assert (first["ip.checksum.status"], first["udp.checksum.status"]) == ("0", "0")
    assert experts(file) >= {"IPv4", "UDP"}


def test_export(tmp_path, capture):
    """An exported capture is what the store would have written."""
    file, stored = capture("all.pcap")
    stream = io.BytesIO()
    assert write_capture(stream, views()).left_out == NOT_WRITTEN
    assert stream.getvalue() == file.read_bytes()
    stream.seek(0)
    assert len(list(dpkt.pcap.Reader(stream))) == len(stored)


# --- sngrep --------------------------------------------------------------------------------------

COLUMNS = """
set cl.column0 index
set cl.column1 callid
set cl.column1.width 60
set cl.column2 method
set cl.column3 msgcnt
"""
BEGINS = {b"INVITE", b"OPTIONS", b"REGISTER", b"SUBSCRIBE", b"NOTIFY", b"PUBLISH", b"MESSAGE"}
"""Requests with which sngrep begins a call; it lists none of which it saw only replies."""
ESCAPES = re.compile(rb"\x1b(?:[\[(][0-9;?]*[A-Za-z]|[=>])")


def screen(arguments, wanted):
    """Run sngrep on a terminal until it has drawn all that is wanted; return what it drew."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 80, 160, 0, 0))
    child = subprocess.Popen(
        [program("sngrep"), *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "vt100"},
    )
    os.close(theirs)
    drawn = b""
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline and not all(text in drawn for text in wanted):
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    drawn += os.read(ours, 65536)
                except OSError:  # it has ended, and nobody else has the terminal
                    break
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    return ESCAPES.sub(b" ", drawn)


def test_sngrep(tmp_path, capture):
    """Every call of the vectors is on the list of sngrep, and every message of theirs in it."""
    file, stored = capture("all.pcap")
    messages = [view.sip for view in stored if is_valid(view)]
    calls = {sip.call_id for sip in messages if sip.kind == "request" and sip.method in BEGINS}
    assert len(calls) > 12
    columns = tmp_path / "sngreprc"
    columns.write_text(COLUMNS)
    drawn = screen(["-F", "-f", columns, "-I", file], calls)
    assert {call for call in calls if call not in drawn} == set()

    again = tmp_path / "again.pcap"
    subprocess.run(
        [program("sngrep"), "-F", "-N", "-q", "-I", file, "-O", again],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        env={**os.environ, "TERM": "dumb"},
        check=True,
    )
    taken = Counter(packet["sip.Call-ID"].encode() for packet in seen(again))
    told = Counter(sip.call_id for sip in messages if sip.call_id in calls)
    assert told <= taken
