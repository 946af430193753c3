"""`hepsw send` as a user runs it: a process of its own, real sockets."""

import contextlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import dpkt
import pytest

from hepsw.hep import Chunk, StreamSplitter, build, decode, encode, encode_v1

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors" / "real-agents.jsonl"
V1 = encode_v1(
    src_ip="192.0.2.1",
    dst_ip="192.0.2.2",
    src_port=5060,
    dst_port=5060,
    ip_protocol=17,
    payload=b"OPTIONS sip:a@example.org SIP/2.0\r\n\r\n",
)


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "hepsw", "send", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def send(*arguments, stdin=b""):
    """Return status, standard output and standard error."""
    with start(*arguments, stdin=subprocess.PIPE) as process:
        out, err = process.communicate(stdin, timeout=10)
    return process.returncode, out.decode(), err.decode()


class Listener:
    """Receives datagrams until nothing comes any more."""

    def __init__(self, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]

    @property
    def received(self):
        self.socket.setblocking(False)
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(65536))
        return found


@pytest.fixture
def udp():
    listener = Listener()
    with listener.socket:
        yield listener


@pytest.fixture
def tcp():
    """A server that gives what one connection brings, once it is closed."""

    class Server:
        def __init__(self):
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
            self.octets = b""
            self.thread = threading.Thread(target=self.serve)
            self.thread.start()

        def serve(self):
            connection, _ = self.socket.accept()
            with connection:
                while octets := connection.recv(65536):
                    self.octets += octets

        def frames(self):
            self.thread.join(5)
            splitter = StreamSplitter()
            frames = splitter.feed(self.octets)
            assert splitter.error is None
            assert splitter.eof() is None
            return frames

    server = Server()
    with server.socket:
        yield server


def closed_port(kind):
    with socket.socket(socket.AF_INET, kind) as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def vectors():
    rows = [json.loads(line) for line in VECTORS.read_text().splitlines()]
    return [bytes.fromhex(row["hex"]) for row in rows if row["kind"] == "datagram"]


def test_demo(udp):
    """Without arguments one call arrives within seconds, without a flaw, and is summed up."""
    before_us = time.time_ns() // 1000
    status, out, err = send("--to", f"udp://127.0.0.1:{udp.port}")
    packets = [decode(data) for data in udp.received]
    assert [packet.warnings for packet in packets] == [()] * 20
    assert {packet.proto_type for packet in packets} == {1, 5, 100}
    assert all(abs(packet.time_us - before_us) < 35_000_000 for packet in packets)
    assert all(packet.time_us <= time.time_ns() // 1000 for packet in packets)
    octets = sum(len(packet.data) for packet in packets)
    assert (status, err) == (0, "")
    assert re.fullmatch(
        rf"sent 20 packets \(13 SIP, 6 RTCP, 1 LOG\), {octets:,} octets, "
        rf"to udp://127\.0\.0\.1:{udp.port} in [0-9]+\.[0-9]{{3}} s\n",
        out,
    )


def test_count(udp):
    """More packets than one call has are more calls."""
    assert send("--to", f"udp://127.0.0.1:{udp.port}", "--count", 50, "--rate", "max")[0] == 0
    packets = [decode(data) for data in udp.received]
    assert len(packets) == 50
    ids = {packet.correlation_id for packet in packets} - {None}
    assert len(ids) == 3


@pytest.mark.parametrize("rate", [200, 5000, 8000])
def test_rate(udp, rate):
    """Packets are sent at the rate that was asked for."""
    arguments = ("--to", f"udp://127.0.0.1:{udp.port}", "--count", rate // 2 + 1, "--rate", rate)
    out = send(*arguments)[1]
    # Never faster; a busy machine may make it slower.
    assert 0.5 <= float(re.search(r"in ([0-9.]+) s", out)[1]) < 1.5
    assert len(udp.received) == rate // 2 + 1


def test_pcap(udp, tmp_path):
    """A capture arrives byte for byte, and what is not HEP in it is said."""
    frames = vectors()
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file, linktype=101)
    for payload in [*frames, b"something else"]:
        datagram = dpkt.udp.UDP(sport=1, dport=9060, ulen=8 + len(payload), data=payload)
        packet = dpkt.ip.IP(src=b"\1\2\3\4", dst=b"\1\2\3\5", p=17, data=datagram)
        packet.len = len(packet)
        writer.writepkt(bytes(packet), ts=0)
    path = tmp_path / "capture.pcap"
    path.write_bytes(file.getvalue())
    status, _out, err = send("--to", f"udp://127.0.0.1:{udp.port}", path)
    assert (status, err) == (0, f"hepsw send: {path}: passed over: 1 not HEP\n")
    assert udp.received == frames


def test_vectors(udp):
    """JSON lines arrive byte for byte, those of old versions too."""
    rows = [json.loads(line) for line in VECTORS.read_text().splitlines()]
    status, out, err = send("--to", f"udp://127.0.0.1:{udp.port}", VECTORS)
    assert (status, err) == (0, "")
    received = udp.received
    assert out.startswith(f"sent {len(received)} packets (")
    assert b"".join(received) == b"".join(bytes.fromhex(row["hex"]) for row in rows)


def test_repeated(udp, tmp_path):
    """A count above the number of frames starts over; one below stops early."""
    path = tmp_path / "frames.hex"
    path.write_text(f"{V1.hex()}\n")
    for count in (1, 3):
        send("--to", f"udp://127.0.0.1:{udp.port}", "--count", count, path)
        assert udp.received == [V1] * count


def later(frame, microseconds):
    """Return a frame of HEP3 with so much more in its last chunk of microseconds."""
    octets = bytearray(frame)
    found, at = None, 6
    while at < len(frame):
        if frame[at : at + 6] == bytes([0, 0, 0, 10, 0, 10]):
            found = at + 6
        at += int.from_bytes(frame[at + 4 : at + 6])
    if found is not None:
        before = int.from_bytes(frame[found : found + 4])
        octets[found : found + 4] = ((before + microseconds) % 1_000_000).to_bytes(4)
    return bytes(octets)


@pytest.mark.parametrize("at_end", [False, True])
def test_repeated_later(udp, tmp_path, at_end):
    """No frame with a time leaves twice: each time it is a microsecond later, whatever else."""
    frames = [build(time=1_700_000_000_999_990 + number, payload=b"x").data for number in (0, 5, 2)]
    if at_end:
        frames = [encode([Chunk(0, 15, b"x"), Chunk(0, 10, bytes([0, 0, 0, 1]))])] * 2
    path = tmp_path / "frames"
    path.write_bytes(b"".join(frames))
    arguments = ("--to", f"udp://127.0.0.1:{udp.port}", "--count", 1000, "--rate", 5000)
    assert send(*arguments, path)[0] == 0
    rounds = [later(frame, late) for late in range(1000) for frame in frames]
    assert udp.received == rounds[:1000]


def test_tcp(tcp):
    """On TCP the frames arrive whole and back to back."""
    frames = [data for data in vectors() if data.startswith(b"HEP3")]
    status, out, err = send("--to", f"tcp://localhost:{tcp.port}", "-", stdin=b"".join(frames))
    assert tcp.frames() == frames
    assert (status, err) == (0, "")
    assert f"to tcp://localhost:{tcp.port} in" in out


def slow_server(octets, pause=0.0):
    """Return a port whose connection is read slowly, and a function that awaits what it brought."""
    found = bytearray()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listening.bind(("127.0.0.1", 0))
    listening.listen()

    def serve():
        with listening, listening.accept()[0] as connection:
            while data := connection.recv(octets):
                found.extend(data)
                time.sleep(pause)

    thread = threading.Thread(target=serve)
    thread.start()

    def brought():
        thread.join(10)
        assert not thread.is_alive()
        return bytes(found)

    return listening.getsockname()[1], brought


def test_slow_reader(tmp_path):
    """A receiver with little room gets every octet in its place, wherever a write was cut."""
    frames = [data for data in vectors() if data.startswith(b"HEP3")]
    path = tmp_path / "frames"
    path.write_bytes(b"".join(frames))
    port, brought = slow_server(1000)
    count = 20 * len(frames) + 1
    arguments = ("--to", f"tcp://127.0.0.1:{port}", "--rate", "max", "--count", count, path)
    assert send(*arguments)[::2] == (0, "")
    rounds = [later(frame, late) for late in range(20) for frame in frames]
    assert brought() == b"".join([*rounds, later(frames[0], 20)])


def test_interrupted_within_a_write():
    """SIGINT lets a frame end of which TCP has a part; what was sent is what is counted."""
    port, brought = slow_server(4096, pause=0.001)
    arguments = ("--to", f"tcp://127.0.0.1:{port}", "--rate", "max", "--count", 10**7)
    with start(*arguments) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, _err = process.communicate(timeout=10)
    splitter = StreamSplitter()
    frames = splitter.feed(brought())
    assert (splitter.error, splitter.eof()) == (None, None)
    assert out.decode().startswith(f"sent {len(frames):,} packets (")
    assert process.returncode == 0


def test_old_versions_on_tcp(tcp, tmp_path):
    """HEP1 is not sent on TCP, nor is a frame with a wrong length; the rest arrives."""
    good = vectors()[0]
    path = tmp_path / "frames.hex"
    path.write_text("\n".join(data.hex() for data in (V1, good, V1, good + b"x")))
    status, out, err = send("--to", f"tcp://127.0.0.1:{tcp.port}", path)
    assert tcp.frames() == [good]
    assert status == 74
    assert out.startswith("sent 1 packet (1 SIP)")
    assert err == (
        "hepsw send: 2 packets not sent: HEP1 and HEP2 carry no length, so TCP cannot carry them; "
        "use udp\n"
        "hepsw send: 1 packet not sent: not HEP3 of the length it claims, which would break the "
        "stream\n"
    )


@pytest.mark.parametrize("count", [1, 5])
def test_nobody_listens_udp(count):
    """A closed port is noticed, even by the last packet."""
    url = f"udp://127.0.0.1:{closed_port(socket.SOCK_DGRAM)}"
    status, out, err = send("--to", url, "--count", count, "--rate", "max")
    assert (status, err) == (74, f"hepsw send: nobody answers at {url}: port unreachable\n")
    assert out.startswith(f"sent {count} packet")


def test_nobody_listens_tcp():
    """A refused connection is one line, and no summary."""
    url = f"tcp://127.0.0.1:{closed_port(socket.SOCK_STREAM)}"
    message = f"hepsw send: nobody answers at {url}: connection refused\n"
    assert send("--to", url) == (74, "", message)


def test_connection_lost():
    """A receiver that hangs up is noticed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = ("--to", f"tcp://127.0.0.1:{port}", "--rate", "max", "--count", 10**7)
        with start(*arguments) as process:
            server.accept()[0].close()
            out, err = process.communicate(timeout=10)
    assert process.returncode == 74
    assert out.startswith(b"sent ")
    assert re.fullmatch(
        rf"hepsw send: tcp://127.0.0.1:{port}: (broken pipe|connection reset by peer)\n",
        err.decode(),
    )


def test_too_big(udp, tmp_path):
    """A frame over what a datagram holds is counted, the others arrive."""
    path = tmp_path / "frames.hex"
    path.write_text(f"{(b'HEP3' + bytes(65530)).hex()}\n{V1.hex()}\n")
    status, out, err = send("--to", f"udp://127.0.0.1:{udp.port}", path)
    assert (status, err) == (74, "hepsw send: 1 packet not sent: too big for a datagram\n")
    assert out.startswith("sent 1 packet (1 SIP)")
    assert udp.received == [V1]


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6():
    """An IPv6 address is written in brackets."""
    try:
        listener = Listener("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with listener.socket:
        url = f"udp://[::1]:{listener.port}"
        assert send("--to", url, "--count", 2)[0] == 0
        assert len(listener.received) == 2


def test_interrupted(udp):
    """SIGINT ends the work with the summary."""
    with start("--to", f"udp://127.0.0.1:{udp.port}", "--rate", "1") as process:
        udp.socket.settimeout(5)
        udp.socket.recv(65536)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=5)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"sent 1 packet (1 SIP), ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "tls://127.0.0.1"), "--to: neither udp nor tcp"),
        (("--to", "127.0.0.1:9060"), "--to: not a url"),
        (("--rate", "fast"), "--rate: neither packets per second nor max"),
        (("--rate", "0"), "--rate: "),
        (("--rate", "nan"), "--rate: "),
        (("--count", "0"), "--count: "),
    ],
)
def test_usage(arguments, message):
    """What makes no sense is refused in one line, before anything is sent."""
    status, out, err = send(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"hepsw send: {message}")
    assert err.count("\n") == 1


def test_unreadable(tmp_path):
    """A file that is missing, broken or without HEP is one line that names it."""
    broken = tmp_path / "broken.pcap"
    broken.write_bytes(b"\xd4\xc3\xb2\xa1")
    empty = tmp_path / "empty"
    empty.touch()
    for path, message in (
        (tmp_path / "missing", "No such file or directory"),
        (broken, "pcap-truncated: octet 4: the file header is cut short"),
        (empty, "no HEP in it"),
    ):
        assert send(path) == (74, "", f"hepsw send: {path}: {message}\n")
