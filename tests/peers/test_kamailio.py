"""Kamailio's siptrace delivers through hepsw: HEP 1, 2 and 3 over UDP, HEP 3 over TCP."""

import os
import signal
import socket
import subprocess
import time
from datetime import datetime

import pytest
import wire
from loopback import HOST, PATIENCE, READ, free_port
from peers.programs import program
from running import STEP

pytestmark = pytest.mark.peer

CAPTURE_ID = 2001
ASKED = 3
"""OPTIONS requests; of each siptrace sends the request and the reply."""
FRAMES = 2 * ASKED
VERSIONS = pytest.mark.parametrize("version", [1, 2, 3])

CONFIGURATION = """
debug=2
log_stderror=yes
children=1
listen=udp:{host}:{port}
# siptrace sends over TCP only where Kamailio also listens there
listen=tcp:{host}:{port}
tcp_children=1

loadmodule "sl.so"
loadmodule "siptrace.so"
modparam("siptrace", "trace_to_database", 0)
modparam("siptrace", "trace_on", 1)
modparam("siptrace", "trace_mode", 1)
modparam("siptrace", "hep_mode_on", 1)
modparam("siptrace", "hep_version", {version})
modparam("siptrace", "hep_capture_id", {capture_id})
modparam("siptrace", "auth_key", "myHep")
modparam("siptrace", "duplicate_uri", "sip:{collector}")

request_route {{
    sl_send_reply("200", "OK");
}}
"""

OPTIONS = """\
OPTIONS sip:{host}:{port} SIP/2.0
Via: SIP/2.0/UDP {user};branch=z9hG4bK{number}
Max-Forwards: 70
From: <sip:probe@example.org>;tag={number}
To: <sip:{host}:{port}>
Call-ID: {call_id}
CSeq: {number} OPTIONS
Content-Length: 0

"""

SWITCH = """
[[listen]]
name = "agents"
url  = "{scheme}://127.0.0.1:{port}"

[destinations]
collector = "{sink}"

[[rules.main]]
name     = "look"
log      = "{{time}} {{hep_version}} {{capture_id}} {{ip_protocol}} {{proto_type}} \
{{src_ip}}:{{src_port}} {{dst_ip}}:{{dst_port}} {{payload}}"
continue = true
{edits}
[[rules.main]]
name  = "relay"
relay = "collector"
"""

EDITS = """
[[rules.main]]
name              = "mark"
match.hep_version = {version}
set               = {{ {values} }}
continue          = true
"""


class Kamailio:
    """A Kamailio in the foreground that answers OPTIONS, and the user agent that asks."""

    def __init__(self, where, folder, version, collector):
        self.port = free_port()
        runtime = folder / "kamailio"
        runtime.mkdir()
        file = runtime / "kamailio.cfg"
        file.write_text(
            CONFIGURATION.format(
                host=HOST,
                port=self.port,
                version=version,
                capture_id=CAPTURE_ID,
                collector=collector,
            )
        )
        self._log = runtime / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [where, "-f", file, "-DD", "-E", "-Y", runtime, "-m", "16", "-M", "4"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it forks: one signal is to reach all of it
            )
        self._user = socket.socket(type=socket.SOCK_DGRAM)
        self._user.settimeout(PATIENCE)
        self._user.connect((HOST, self.port))
        self.user = self._user.getsockname()
        """Address and port of the user agent."""
        self.address = (HOST, self.port)

    def ask(self, count=ASKED):
        """Send OPTIONS and await the reply, one after the other; return both of each."""
        dialogue = []
        for number in range(1, count + 1):
            text = OPTIONS.format(
                host=HOST,
                port=self.port,
                user=wire.end(self.user),
                number=number,
                call_id=f"{number}-{self.user[1]}@peers",
            )
            request = text.replace("\n", "\r\n").encode()
            reply = self._reply(request)
            assert reply.startswith(b"SIP/2.0 200 "), reply
            assert f"Call-ID: {number}-{self.user[1]}@peers\r\n".encode() in reply
            dialogue += [request, reply]
        return dialogue

    def _reply(self, request):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._user.send(request)
                return self._user.recv(READ)
            except ConnectionRefusedError:  # its port is not open yet: it has not seen the request
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(STEP)

    def stop(self):
        """End it; what it has sent is in the hands of the kernel."""
        if self._process.returncode is None:
            # Not SIGTERM: Kamailio 5.6 was seen to take more than ten seconds over that.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._user.close()


@pytest.fixture
def kamailio(tmp_path):
    """Start a Kamailio that traces to a port."""
    where = program("kamailio")
    started = []

    def start(version, port, parameters=""):
        started.append(Kamailio(where, tmp_path, version, f"{HOST}:{port}{parameters}"))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def start(hepsw, sink, edits="", scheme="udp"):
    return hepsw(SWITCH, sink=sink.url, edits=edits, scheme=scheme)


def mark(version, values):
    return EDITS.format(version=version, values=values)


def conversation(kamailio, recorder):
    """Let Kamailio trace some requests; return what it said in SIP, and what it sent as HEP."""
    dialogue = kamailio.ask()
    recorded = recorder.relay(FRAMES)
    kamailio.stop()
    assert recorder.rest() == []
    assert [wire.payload(frame) for frame in recorded] == dialogue
    return dialogue, recorded


def check_read(switch, version, kamailio, dialogue, began):
    """Check what a rule saw of each packet against what really happened."""
    told = switch.told("main/look")
    assert len(told) == len(dialogue)
    for number, (line, text) in enumerate(zip(told, dialogue, strict=True)):
        moment, rest = line.split(" ", 1)
        ends = [wire.end(kamailio.user), wire.end(kamailio.address)]
        source, destination = reversed(ends) if number % 2 else ends
        capture_id = "" if version == 1 else CAPTURE_ID
        assert rest == f"{version} {capture_id} 17 SIP {source} {destination} {text.decode()}"
        if version == 1:
            assert moment == ""
        else:
            assert began <= datetime.fromisoformat(moment).timestamp() <= time.time()


def check_counted(counters, sink):
    """Check that the counters tell the same story, without any oddity."""
    listener = counters["listeners"]["agents"]
    assert (listener["seen"], listener["accepted"], listener["warnings"]) == (FRAMES, FRAMES, {})
    assert counters["switch"]["routed"] == FRAMES
    assert counters["sinks"]["collector"]["kind"] == sink.scheme
    assert counters["sinks"]["collector"]["delivered"] == FRAMES
    assert not any(rule["edits_refused"] for rule in counters["switch"]["rules"].values())


@VERSIONS
def test_unchanged(version, kamailio, recorder, hepsw, udp_sink):
    """What siptrace sends arrives octet for octet and in order, and is read as what it was."""
    began = time.time()
    switch = start(hepsw, udp_sink)
    recording = recorder()
    agent = kamailio(version, recording.port)
    dialogue, recorded = conversation(agent, recording)
    assert {frame[:4] if version == 3 else frame[0] for frame in recorded} == {
        b"HEP3" if version == 3 else version
    }
    assert udp_sink.take(FRAMES) == recorded
    check_counted(switch.stop(), udp_sink)
    assert udp_sink.rest() == []
    check_read(switch, version, agent, dialogue, began)


def test_unchanged_on_a_stream(kamailio, recorder, hepsw, tcp_sink):
    """HEP 3 that siptrace sends over TCP leaves over TCP octet for octet and in order."""
    began = time.time()
    switch = start(hepsw, tcp_sink, scheme="tcp")
    recording = recorder("tcp")
    agent = kamailio(3, recording.port, ";transport=tcp")
    dialogue, recorded = conversation(agent, recording)
    assert tcp_sink.take(FRAMES) == recorded
    counters = switch.stop()
    check_counted(counters, tcp_sink)
    assert counters["listeners"]["agents"]["connected"] == 1
    assert counters["listeners"]["agents"]["broken"] == {}
    assert tcp_sink.rest() == []
    check_read(switch, 3, agent, dialogue, began)


def test_unchanged_from_datagrams_to_a_stream(kamailio, recorder, hepsw, tcp_sink):
    """HEP 3 that siptrace sends over UDP leaves over TCP as the same frames."""
    switch = start(hepsw, tcp_sink)
    recording = recorder()
    _, recorded = conversation(kamailio(3, recording.port), recording)
    assert tcp_sink.take(FRAMES) == recorded
    check_counted(switch.stop(), tcp_sink)
    assert tcp_sink.rest() == []


def test_only_named_chunks_change(kamailio, recorder, hepsw, udp_sink):
    """A rule that sets capture_id and node_name leaves every other chunk of HEP 3 in its place."""
    edits = mark(3, 'capture_id = 70000, node_name = "proxy-1"')
    switch = start(hepsw, udp_sink, edits)
    recording = recorder()
    _, recorded = conversation(kamailio(3, recording.port), recording)
    # Kamailio sends a capture id and no name: one chunk is replaced, the other comes last.
    expected = [
        wire.frame(
            [
                (vendor_id, type_id, (70000).to_bytes(4) if type_id == 0x000C else body)
                for vendor_id, type_id, body in wire.chunks(frame)
            ]
            + [(0, 0x0013, b"proxy-1")]
        )
        for frame in recorded
    ]
    assert udp_sink.take(FRAMES) == expected
    check_counted(switch.stop(), udp_sink)
    assert udp_sink.rest() == []


def test_capture_id_within_hep2(kamailio, recorder, hepsw, udp_sink):
    """HEP 2 has room for a capture id: a rule that sets it changes these two octets, no more."""
    switch = start(hepsw, udp_sink, mark(2, "capture_id = 4321"))
    recording = recorder()
    _, recorded = conversation(kamailio(2, recording.port), recording)
    expected = [frame[:24] + (4321).to_bytes(2, "little") + frame[26:] for frame in recorded]
    assert udp_sink.take(FRAMES) == expected
    check_counted(switch.stop(), udp_sink)
    assert udp_sink.rest() == []


def test_capture_id_makes_hep1_hep3(kamailio, recorder, hepsw, udp_sink):
    """HEP 1 has none: a rule that sets a capture id makes it HEP 3 with the same SIP in it."""
    switch = start(hepsw, udp_sink, mark(1, "capture_id = 4321"))
    recording = recorder()
    agent = kamailio(1, recording.port)
    began = time.time()
    dialogue, recorded = conversation(agent, recording)
    delivered = udp_sink.take(FRAMES)
    ended = time.time()
    for text, before, after in zip(dialogue, recorded, delivered, strict=True):
        found = {type_id: body for _, type_id, body in wire.chunks(after)}
        assert len(found) == len(wire.chunks(after))
        received = int.from_bytes(found.pop(0x0009)) + int.from_bytes(found.pop(0x000A)) / 1e6
        assert began <= received <= ended
        assert found == {
            0x0001: before[2:3],
            0x0002: before[3:4],
            0x0003: before[8:12],
            0x0004: before[12:16],
            0x0007: before[4:6],
            0x0008: before[6:8],
            0x000B: b"\x01",
            0x000C: (4321).to_bytes(4),
            0x000F: text,
        }
    check_counted(switch.stop(), udp_sink)
    assert udp_sink.rest() == []
