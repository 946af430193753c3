"""Reloads of a running switch: by signal, by saving, under load, refused."""

import contextlib
import json
import socket
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest
from daemon.traffic import LOADER, RELAY, address, numbered, read_frames
from loopback import HOST, free_port
from running import PATIENCE, ROOT

from hepsw.hep import decode


def test_reload_by_signal_and_by_saving(start, udp, port):
    """A good file comes into service by SIGHUP or by being saved; a bad one is explained."""
    relay = RELAY.format(sink=f"udp://{address(udp)}")
    switch = start(relay)
    stamp = relay.replace('name = "all"', 'name = "all"\nset.capture_id = 99').replace(
        "PORT", str(port)
    )
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:

        def capture_id():
            agent.sendto(numbered(1), (HOST, port))
            return decode(udp.recv(65535)).capture_id

        assert capture_id() == 1
        switch.file.write_text(stamp.replace("relay =", "realy ="))
        refusal = switch.wait_text("reload refused")
        assert "did you mean `relay`?" in refusal
        assert "hepsw.toml:" in refusal
        assert capture_id() == 1
        # Saved as most editors do it: beside the file, then renamed over it.
        beside = switch.file.with_suffix(".tmp")
        beside.write_text(stamp)
        beside.rename(switch.file)
        switch.wait_text("generation 2 in service")
        assert capture_id() == 99
        assert "generation 3" in switch.reload()
        assert capture_id() == 99
        # A file that appears in a folder that was not there before.
        (switch.file.parent / "rules").mkdir()
        (switch.file.parent / "rules" / "more.toml").write_text(
            '[[rules.main]]\nname = "second"\nrelay = "sink"\n'
        )
        switch.wait_text("generation 4 in service")
    rules = switch.stop()["switch"]["rules"]
    assert rules["main/all"]["packets"] == 4
    assert rules["main/second"]["packets"] == 0


def test_reload_keeps_what_did_not_change(start, udp, port):
    """Connections survive a reload; a removed destination drains, a new listener opens."""
    second = free_port()
    with closing(socket.create_server((HOST, 0))) as server:
        server.settimeout(PATIENCE)
        switch = start(RELAY.format(sink=f"tcp://{address(server)}"))
        far, _ = server.accept()
        agent = socket.create_connection((HOST, port))
        with closing(agent), closing(far):
            agent.sendall(numbered(1))
            assert read_frames(far, 1) == [numbered(1)]
            switch.file.write_text(
                switch.file.read_text()
                .replace("[destinations]", f'[destinations]\nother = "udp://{address(udp)}"')
                .replace(
                    f'"tcp://127.0.0.1:{port}"',
                    f'"tcp://127.0.0.1:{port}", "udp://127.0.0.1:{second}"',
                )
                .replace('relay = "sink"', 'relay = ["sink", "other"]')
            )
            switch.wait_text("generation 2 in service")
            agent.sendall(numbered(2))
            assert read_frames(far, 1) == [numbered(2)]
            assert udp.recv(65535) == numbered(2)
            with closing(socket.socket(type=socket.SOCK_DGRAM)) as datagrams:
                datagrams.sendto(numbered(3), (HOST, second))
            assert read_frames(far, 1) == [numbered(3)]
            assert udp.recv(65535) == numbered(3)
            switch.file.write_text(
                RELAY.format(sink=f"udp://{address(udp)}").replace("PORT", str(port))
            )
            switch.wait_text("generation 3 in service")
            agent.sendall(numbered(4))
            assert udp.recv(65535) == numbered(4)
            # Given the same name with another address: the old connection was drained and closed.
            far.settimeout(PATIENCE)
            assert far.recv(1) == b""
    assert switch.stop()["listeners"]["in"]["connected"] == 1


def test_a_reload_that_cannot_listen_is_refused(start, udp, port):
    """A port that is taken refuses the whole reload, by name."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    with closing(socket.create_server((HOST, 0))) as taken:
        before = switch.file.read_text()
        switch.file.write_text(before.replace(f"tcp://{HOST}:{port}", f"tcp://{address(taken)}"))
        assert address(taken) in switch.wait_text("reload refused, generation 1")
    with closing(socket.create_connection((HOST, port))) as agent:
        agent.sendall(numbered(1))
        assert udp.recv(65535) == numbered(1)


TESTED = """
[[tests]]
name   = "calls go to the sink"
given  = {{ proto_type = "SIP" }}
expect = {{ relay = {expected} }}
"""
KEPT, BROKEN = TESTED.format(expected='["sink"]'), TESTED.format(expected="[]")


def test_a_reload_whose_tests_fail_is_refused(start, udp, port):
    """The rules that were tested stay in service; the log says what came, and where."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}") + KEPT)
    text = switch.file.read_text()
    switch.file.write_text(text.replace('relay = "sink"', 'relay = "sink"\nmatch.vlan = 1'))
    refusal = switch.wait_text("reload refused, generation 1 stays in service")
    assert "error[HEP120]: test failed: it went to none\n" in refusal
    assert "`hepsw test -k 'calls go to the sink'` runs it alone" in refusal
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1), (HOST, port))
        assert decode(udp.recv(65535)).capture_id == 1
    switch.file.write_text(text.replace('"sink"\n\n', '"sink"\nset.capture_id = 99\n\n'))
    assert "generation 2 in service" in switch.reload()


def test_a_reload_whose_tests_only_warn(start, udp, port):
    """With `tests = "warn"` it is taken into service, and the log has the warning."""
    text = RELAY.format(sink=f"udp://{address(udp)}") + '\n[reload]\ntests = "warn"\n'
    switch = start(text + KEPT)
    changed = switch.file.read_text().replace(KEPT, BROKEN)
    switch.file.write_text(changed.replace('relay = "sink"', 'relay = "sink"\nset.capture_id = 99'))
    switch.wait_text("generation 2 in service")
    assert "warning[HEP120]: test failed: it went to sink\n" in switch.wait_text("HEP120")
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1), (HOST, port))
        assert decode(udp.recv(65535)).capture_id == 99


def reload_under_load(start, udp, port, reloads, rate):
    """Reload again and again while packets flow; return what was sent and what arrived."""
    with closing(socket.create_server((HOST, 0))) as server:
        server.settimeout(PATIENCE)
        # Two rule texts in turn, so that every reload has something to swap.
        text = RELAY.format(sink=f"udp://{address(udp)}") + (
            '\n[[rules.main]]\nname = "rest"\nrelay = "sink"\n'
        )
        text = text.replace("[destinations]", f'[destinations]\nstream = "tcp://{address(server)}"')
        text = text.replace('relay = "sink"', 'relay = ["sink", "stream"]', 1)
        switch = start(text + "\n[reload]\nwatch = false\n")
        far, _ = server.accept()
        texts = [
            switch.file.read_text(),
            switch.file.read_text().replace(
                'name = "all"', 'name = "all"\nmatch.proto_type = "SIP"'
            ),
        ]
        loader = subprocess.Popen(
            [sys.executable, "-c", LOADER, str(port), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        streamed = subprocess.Popen(
            [sys.executable, "-c", READER, str(far.fileno())],
            pass_fds=[far.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
        counted = subprocess.Popen(
            [sys.executable, "-c", COUNTER, str(udp.fileno())],
            pass_fds=[udp.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        refused = 0
        for number in range(reloads):
            if number % 10 == 5:
                switch.file.write_text(texts[0] + "\n[nonsense]\n")
                assert switch.reload().startswith("reload refused")
                refused += 1
            switch.file.write_text(texts[number % 2])
            assert f"generation {number + 2} in service" in switch.reload()
        sent = int(loader.communicate("stop\n", timeout=PATIENCE)[0])
        counters = switch.wait_counters(
            lambda found: (
                found["listeners"]["in"]["accepted"] + found["listeners"]["in"]["kernel_dropped"]
                == sent
            )
        )
        counters = switch.stop()
        far.close()
        return (
            sent,
            json.loads(counted.communicate("stop\n", timeout=PATIENCE)[0]),
            json.loads(streamed.communicate(timeout=PATIENCE)[0]),
            counters,
        )


READER = """
import json, socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
sock.settimeout(None)
buffer, ids = b"", []
from hepsw.hep import StreamSplitter, decode
splitter = StreamSplitter()
while octets := sock.recv(1 << 18):
    ids += [decode(frame).capture_id for frame in splitter.feed(octets)]
print(json.dumps({"count": len(ids), "distinct": len(set(ids)), "ordered": ids == sorted(ids),
                  "partial": splitter.buffered}))
"""
"""Reads one connection to its end; prints what came."""

COUNTER = """
import json, select, socket, sys
from hepsw.hep import decode
sock = socket.socket(fileno=int(sys.argv[1]))
ids = []
while True:
    ready, _, _ = select.select([sock, sys.stdin], [], [])
    if sock in ready:
        sock.settimeout(0)
        try:
            while True:
                ids.append(decode(sock.recv(65535)).capture_id)
        except BlockingIOError:
            pass
    elif sys.stdin in ready:
        break
print(json.dumps({"count": len(ids), "distinct": len(set(ids)),
                  "ordered": ids == sorted(ids)}))
"""
"""Reads datagrams until told to stop and nothing is left; prints what came."""


@pytest.mark.parametrize(
    ("reloads", "rate"), [(40, 2000), pytest.param(1000, 5000, marks=pytest.mark.proof)]
)
def test_reload_loses_nothing(start, udp, port, reloads, rate, monkeypatch):
    """Reloads under load, bad files between: none lost, none twice, in order, nobody cut off."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    sent, datagrams, streamed, counters = reload_under_load(start, udp, port, reloads, rate)
    assert counters["listeners"]["in"]["kernel_dropped"] == 0
    whole = {"count": sent, "distinct": sent, "ordered": True}
    assert datagrams == whole
    assert streamed == {**whole, "partial": 0}
    assert counters["sinks"]["stream"]["errors"] == {}


def test_renaming_and_removing_listeners_while_clients_connect(start, udp, port):
    """Connections that come in the moment of a reload are kept, or closed, and accounted for."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}") + "\n[reload]\nwatch = false\n")
    text = switch.file.read_text()
    without = text.replace(f', "tcp://127.0.0.1:{port}"', "")
    with ExitStack() as agents:
        for number in range(24):
            for _ in range(20):
                agent = agents.enter_context(socket.socket())
                agent.setblocking(False)
                agent.connect_ex((HOST, port))
                agents.enter_context(contextlib.suppress(OSError))
                with contextlib.suppress(OSError):
                    agent.send(numbered(number))
            changed = text.replace('"in"', f'"in{number}"') if number % 3 else without
            switch.file.write_text(changed)
            assert "in service" in switch.reload()
        switch.file.write_text(text)
        switch.reload()
        with closing(socket.create_connection((HOST, port))) as agent:
            agent.sendall(numbered(99))
            switch.wait_counters(lambda found: found["listeners"]["in"]["accepted"] >= 1)
