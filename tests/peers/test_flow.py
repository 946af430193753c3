"""A call watched by two real agents, Kamailio's siptrace and sngrep, drawn from what was stored."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from cli.command import hepsw as command
from loopback import HOST, PATIENCE, free_port
from peers.programs import program
from recall.two_agents import CALL, MESSAGES, PROXY_ID, TAP_ID, golden_text, normalised
from running import wait_until

pytestmark = pytest.mark.peer

KAMAILIO = """
debug=2
log_stderror=yes
children=1
listen=udp:{host}:{proxy}
disable_tcp=yes

loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "siptrace.so"
modparam("siptrace", "trace_to_database", 0)
modparam("siptrace", "trace_on", 1)
modparam("siptrace", "trace_mode", 1)
modparam("siptrace", "hep_mode_on", 1)
modparam("siptrace", "hep_version", 3)
modparam("siptrace", "hep_capture_id", {proxy_id})
modparam("siptrace", "duplicate_uri", "sip:{host}:{hep}")

request_route {{
    record_route();
    t_relay();
}}
"""

SNGREP = """
set eep.send.version 3
set eep.send.id {tap_id}
"""

ANSWERING = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="answers, with pauses that keep the order of messages beyond doubt">
  <recv request="INVITE" crlf="true"/>
  {ringing}
  <pause milliseconds="100"/>
  {answer}
  <recv request="ACK" crlf="true"/>
  <recv request="BYE"/>
  {done}
</scenario>
"""
REPLY = """\
<send><![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=answering
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
{rest}
]]></send>
"""
SDP = """\
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 20000 RTP/AVP 0
"""
EMPTY = "Content-Length: 0\n"

SWITCH = """
[[listen]]
name = "agents"
url  = "udp://127.0.0.1:{port}"

[stores.calls]
url   = "sqlite://calls.db"
batch = {{ rows = 100, every = "50ms" }}

[destinations]
recorder = "{sink}"
"""


class Programs:
    """Processes of a test, each ended with all that it has started."""

    def __init__(self, folder):
        self.folder = folder
        self._running = []

    def start(self, name, *arguments, **environment):
        """Start one in the background; its output goes to a file."""
        where = program(name)
        log = self.folder / f"{name}-{len(self._running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [where, *map(str, arguments)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "TERM": "dumb", **environment},
                start_new_session=True,
            )
        process.log = log
        self._running.append(process)
        return process

    def stop(self):
        """End all of them."""
        for process in reversed(self._running):
            if process.poll() is None:
                # Not SIGTERM: Kamailio 5.6 was seen to take more than ten seconds over that.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def programs(tmp_path):
    """Start programs that end with the test."""
    started = Programs(tmp_path)
    yield started
    started.stop()


def bound(port):
    """Tell whether somebody listens on a UDP port."""
    wanted = f":{port:04X} "
    return any(wanted in line for line in Path("/proc/net/udp").read_text().splitlines()[1:])


def captures(process):
    """Tell whether a process has a socket that captures packets."""
    inodes = {line.split()[-1] for line in Path("/proc/net/packet").read_text().splitlines()[1:]}
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:
        return False
    return any(link.removeprefix("socket:[").rstrip("]") in inodes for link in links)


def tap(programs, folder, hep):
    """Let sngrep capture on loopback; where that needs a right we lack, skip."""
    settings = folder / "sngreprc"
    settings.write_text(SNGREP.format(tap_id=TAP_ID))
    # What others say on this machine's loopback is no part of the call.
    options = ("-F", "-f", settings, "-N", "-q", "-d", "lo", "-H", f"udp:{HOST}:{hep}", CALL)
    sngrep = programs.start("sngrep", *options)

    def ready():
        if sngrep.poll() is not None:
            if os.geteuid() == 0:
                pytest.fail(sngrep.log.read_text())
            pytest.skip("capturing on loopback needs the right to (CAP_NET_RAW)")
        return captures(sngrep)

    wait_until(ready, sngrep.log.read_text)


def proxy(programs, folder, hep, port):
    """Start the Kamailio that the call goes through."""
    runtime = folder / "kamailio"
    runtime.mkdir()
    file = runtime / "kamailio.cfg"
    file.write_text(KAMAILIO.format(host=HOST, proxy=port, hep=hep, proxy_id=PROXY_ID))
    options = ("-f", file, "-DD", "-E", "-Y", runtime, "-m", "16", "-M", "4")
    kamailio = programs.start("kamailio", *options)
    wait_until(lambda: bound(port), kamailio.log.read_text, alive=kamailio)


def one_call(programs, folder, port):
    """Let sipp call sipp through the proxy; return the ports of both."""
    caller, called = free_port(), free_port()
    scenario = folder / "answering.xml"
    scenario.write_text(
        ANSWERING.format(
            ringing=REPLY.format(status="180 Ringing", rest=EMPTY),
            answer=REPLY.format(status="200 OK", rest=SDP),
            done=REPLY.format(status="200 OK", rest=EMPTY),
        )
    )
    alike = ("-i", HOST, "-m", "1", "-nostdin", "-timeout", "20")
    answers = programs.start("sipp", "-sf", scenario, "-p", called, "-mp", "20000", *alike)
    wait_until(lambda: bound(called), answers.log.read_text, alive=answers)
    calls = programs.start(
        *("sipp", "-sn", "uac", "-d", "100", "-p", caller, "-mp", "10000", *alike),
        *("-cid_str", CALL, "-rsa", f"{HOST}:{port}", f"{HOST}:{called}"),
    )
    assert calls.wait(PATIENCE + 20) == 0, calls.log.read_text()
    assert answers.wait(PATIENCE) == 0, answers.log.read_text()
    return caller, called


@pytest.fixture
def watched_call(tmp_path, programs, hepsw, port, udp_sink):
    """Make a call that both agents watch; return the names of ports."""
    names = ("kamailio", "sngrep", "sipp")
    for name in names:
        program(name)
    switch = hepsw(SWITCH, sink=udp_sink.url)
    between = free_port()
    proxy(programs, tmp_path, port, between)
    tap(programs, tmp_path, port)
    caller, called = one_call(programs, tmp_path, between)
    switch.wait_counters(lambda counters: counters["listeners"]["agents"]["seen"] >= 2 * MESSAGES)
    programs.stop()
    counters = switch.stop()
    assert counters["listeners"]["agents"]["accepted"] == 2 * MESSAGES
    return {caller: "CALLER", between: "PROXY", called: "CALLED"}


def test_flow_of_two_agents(watched_call, tmp_path):
    """Each message stands once, in order, with both agents beside it, as an operator draws it."""
    ran = command("flow", CALL, "--width", "160", folder=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert normalised(ran.out, watched_call) == golden_text()
