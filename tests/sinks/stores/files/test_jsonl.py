"""JSON lines say what a packet said, and give it back octet for octet."""

import gzip
from base64 import b64decode
from contextlib import closing

import orjson
import pytest
from hep.vectors import ALL
from hypothesis import given
from hypothesis import strategies as st
from sinks.stores.files.storing import NOON, PEER, files, settings, view, write

from hepsw import framefile
from hepsw.config.template import parse
from hepsw.errors import DecodeError
from hepsw.fields import CATALOGUE
from hepsw.hep import StreamSplitter, decode_datagram
from hepsw.sinks.stores.files.jsonl import JsonLinesWriter
from hepsw.view import View

HOSTILE = [
    b"'; DROP TABLE packets; --",
    b'"quotes" \\ and \\" {"base64": "x"}',
    b"NUL \0 in the middle",
    b"\xff\xfe not UTF-8 \xc3",
    b"\xed\xa0\x80 half of a surrogate",
    "\u2028\u2029\x85 lines end here \r\n".encode(),
    "a\u202eb \U0001f4de".encode(),
    bytes(range(256)),
]


def octets_of(value):
    return b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def stored(tmp_path, *views, end="jsonl", **changed):
    """Return the lines of a store that these packets went to, as objects."""
    with closing(JsonLinesWriter(settings(tmp_path / f"calls.{end}", **changed))) as writer:
        writer.open()
        written = write(writer, *views)
    assert written.tables == {"jsonl": len(views)}
    octets = (tmp_path / f"calls.{end}").read_bytes()
    return [orjson.loads(line) for line in octets.splitlines()]


def test_values(tmp_path):
    """What a packet lacks is no key; numbers are numbers, addresses are texts."""
    message = b"INVITE sip:bob@example.org SIP/2.0\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\n\r\n"
    packet = view(
        message,
        x0001=b"\2",
        x0003=bytes([192, 0, 2, 7]),
        x0006=bytes(15) + b"\1",
        x0007=b"\x13\xc4",
        x000b=b"\1",
        x0011=b"one\0",
    )
    (line,) = stored(tmp_path, packet)
    assert line["received_us"] == line["time_us"] == NOON * 1_000_000
    assert (line["src_ip"], line["dst_ip"], line["src_port"]) == ("192.0.2.7", "::1", 5060)
    assert (line["profile"], line["call"], line["sip_method"]) == ("call", "one", "INVITE")
    assert line["correlation_id"] == "one"
    assert line["payload"] == message.decode()
    assert b64decode(line["frame"]["base64"]) == packet.packet.data
    assert list(line)[-1] == "frame"
    assert line.keys().isdisjoint({"dst_port", "sip_status", "vlan", "inflated", "auth_key"})
    assert None not in line.values()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text(tmp_path, text):
    """Quotes, NUL, line ends, invalid UTF-8 and SQL are stored verbatim, in one line each."""
    packet = view(text, x0011=text, x0013=text)
    first, _ = stored(tmp_path, packet, packet)
    for name in ("payload", "correlation_id", "node_name"):
        kept = text if name == "payload" else text.rstrip(b"\0")
        assert octets_of(first[name]) == kept
    assert b64decode(first["frame"]["base64"]) == packet.packet.data


@given(st.lists(st.tuples(st.binary(max_size=40), st.text(max_size=10)), min_size=1, max_size=5))
def test_any_octets(tmp_path_factory, payloads):
    """Whatever the octets, a line gives them back, and `hepsw send` reads the same frames."""
    folder = tmp_path_factory.mktemp("any")
    views = [view(octets, x0011=text.encode()) for octets, text in payloads]
    lines = stored(folder, *views)
    assert [octets_of(line["payload"]) for line in lines] == [octets for octets, _ in payloads]
    frames = framefile.read((folder / "calls.jsonl").read_bytes()).frames
    assert frames == tuple(each.packet.data for each in views)


def test_vectors(tmp_path):
    """Every packet of the vectors is replayed as it came, from a compressed file as well."""
    views = [
        View(packet, PEER, NOON * 1_000_000)
        for vector in ALL
        for frame in (
            StreamSplitter().feed(vector.data) if vector.kind == "stream" else [vector.data]
        )
        for packet in decode_datagram(frame, gzip_frames=True)
        if not isinstance(packet, DecodeError)
    ]
    assert len(views) > 200
    stored(tmp_path, *views)
    lines = (tmp_path / "calls.jsonl").read_bytes()
    assert framefile.read(lines).frames == tuple(each.packet.data for each in views)
    with closing(JsonLinesWriter(settings(tmp_path / "calls.jsonl.gz"))) as writer:
        writer.open()
        write(writer, *views[:100])
        write(writer, *views[100:])
    assert gzip.decompress((tmp_path / "calls.jsonl.gz").read_bytes()) == lines
    assert sorted(files(tmp_path)) == ["calls.jsonl", "calls.jsonl.gz"]


def test_columns(tmp_path):
    """The operator's columns are further keys; what is empty is none."""
    columns = (
        ("agent", parse("agent {capture_id}", CATALOGUE.__getitem__)),
        ("raw", parse("{node_name}", CATALOGUE.__getitem__)),
        ("none", parse("{vlan}", CATALOGUE.__getitem__)),
    )
    packet = view(x000c=(7).to_bytes(4), x0013=b"\xff")
    (line,) = stored(tmp_path, packet, columns=columns)
    assert line["agent"] == "agent 7"
    assert octets_of(line["raw"]) == b"\xff"
    assert "none" not in line
