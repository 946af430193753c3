"""The whole way: frames in through sockets, `hepsw run` in between, frames out through sockets."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing

import pytest
from loopback import HOST, free_port
from running import PATIENCE, ROOT, Hepsw, wait_until

from hepsw.hep import build, decode


@pytest.fixture
def port():
    """Where hepsw listens."""
    return free_port()


@pytest.fixture
def start(tmp_path, port):
    """Start a switch that is stopped, and whose account is asserted, when the test ends."""
    with ExitStack() as stack:

        def started(configuration, *, ready=True):
            switch = Hepsw(tmp_path, configuration.replace("PORT", str(port)))
            stack.callback(switch.stop)
            if ready:
                switch.wait_ready()
            return switch

        yield started


@pytest.fixture
def udp():
    """A UDP socket of the test's own, bound."""
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        yield sock


def numbered(number, payload=b"x" * 200):
    """A SIP packet with a number to tell it by."""
    return build(
        src_ip="192.0.2.10",
        dst_ip="198.51.100.20",
        src_port=5060,
        dst_port=5062,
        ip_protocol=17,
        time=1_700_000_000_000_000 + number,
        proto_type=1,
        capture_id=number,
        payload=payload,
    ).data


def address(sock):
    return f"{HOST}:{sock.getsockname()[1]}"


def read_frames(connection, count):
    """Return so many HEP3 frames from a connection."""
    octets = b""
    frames = []
    connection.settimeout(PATIENCE)
    while len(frames) < count:
        more = connection.recv(1 << 16)
        assert more, f"closed after {len(frames)} of {count}"
        octets += more
        while len(octets) >= 6 and len(octets) >= (total := int.from_bytes(octets[4:6])):
            assert octets[:4] == b"HEP3"
            frames.append(octets[:total])
            octets = octets[total:]
    assert not octets
    return frames


RELAY = """
[[listen]]
name = "in"
url = ["udp://127.0.0.1:PORT", "tcp://127.0.0.1:PORT"]

[destinations]
sink = "{sink}"

[[rules.main]]
name = "all"
relay = "sink"
"""


def test_datagrams_arrive_byte_for_byte_in_order(start, udp, port):
    """What no rule edits leaves as it came, each packet once, in order."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    sent = [numbered(number, os.urandom(number % 900)) for number in range(500)]
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for frame in sent:
            agent.sendto(frame, (HOST, port))
        assert [udp.recv(65535) for _ in sent] == sent
    counters = switch.stop()
    assert counters["listeners"]["in"]["accepted"] == 500
    assert counters["sinks"]["sink"]["delivered"] == 500
    assert counters["switch"]["rules"]["main/all"]["packets"] == 500


def test_a_stream_is_cut_where_its_frames_end(start, udp, port):
    """Frames in one write, frames in single octets: the same packets come out."""
    with closing(socket.create_server((HOST, 0))) as server:
        switch = start(RELAY.format(sink=f"tcp://{address(server)}"))
        server.settimeout(PATIENCE)
        far, _ = server.accept()
        sent = [numbered(number) for number in range(100)]
        with closing(socket.create_connection((HOST, port))) as agent:
            agent.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            agent.sendall(b"".join(sent[:99]))
            for octet in sent[99]:
                agent.send(bytes([octet]))
            assert read_frames(far, 100) == sent
        far.close()
    assert switch.stop()["sinks"]["sink"]["delivered"] == 100


def test_a_bad_stream_costs_one_connection(start, udp, port):
    """Octets that are no HEP close their connection; frames before them and other agents stay."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    good = socket.create_connection((HOST, port))
    bad = socket.create_connection((HOST, port))
    with closing(good), closing(bad):
        bad.sendall(numbered(1) + b"OPTIONS sip:a SIP/2.0\r\n\r\n" + numbered(2))
        assert udp.recv(65535) == numbered(1)
        bad.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert bad.recv(1) == b""
        good.sendall(numbered(3))
        assert udp.recv(65535) == numbered(3)
        switch.wait_text("stream-desync")
    listener = switch.stop()["listeners"]["in"]
    assert listener["broken"] == {"stream-desync": 1}
    assert listener["accepted"] == 2


def test_what_is_not_hep_is_counted_by_its_reason(start, udp, port):
    """A malformed datagram is rejected with its verdict; two frames in one are two packets."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    whole = numbered(1)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for datagram in (b"\r\n\r\n", b"INVITE sip:a SIP/2.0", whole[:-1], whole + whole, b""):
            agent.sendto(datagram, (HOST, port))
        assert [udp.recv(65535), udp.recv(65535)] == [whole, whole]
    listener = switch.stop()["listeners"]["in"]
    assert listener["rejected"] == {"too-short": 2, "bad-magic": 1, "total-exceeds-datagram": 1}
    assert listener["seen"] == 6
    assert listener["warnings"] == {"multi-frame": 1}


def test_rules_rewrite_relay_store_and_drop(start, udp, port, tmp_path):
    """Edits reach what comes after them, and the store keeps what it was given."""
    switch = start(
        f"""
        [[listen]]
        name = "in"
        url = "udp://127.0.0.1:PORT"
        [destinations]
        sink = "udp://{address(udp)}"
        [stores]
        kept.url = "sqlite://state/kept.db"
        [[rules.main]]
        name = "raw"
        store = "kept"
        continue = true
        [[rules.main]]
        name = "stamp"
        match.capture_id = [7, "100-199"]
        set.node_name = "node-{{capture_id}}"
        log = "stamped {{node_name}}"
        continue = true
        [[rules.main]]
        name = "rtcp"
        match.proto_type = "RTCP"
        drop = "not wanted"
        [[rules.main]]
        name = "stamped"
        match.node_name = {{ prefix = "node-" }}
        relay = "sink"
        """
    )
    frames = [numbered(7), numbered(150), numbered(8)]
    rtcp = build(proto_type=5, capture_id=7, payload=b"{}").data
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for frame in [*frames, rtcp]:
            agent.sendto(frame, (HOST, port))
        out = [decode(udp.recv(65535)) for _ in range(2)]
    assert [packet.node_name for packet in out] == [b"node-7", b"node-150"]
    assert [packet.payload for packet in out] == [b"x" * 200] * 2
    counters = switch.stop()
    assert switch.told("main/stamp") == ["stamped node-7", "stamped node-150", "stamped node-7"]
    assert counters["switch"]["routed"] == 4
    with closing(sqlite3.connect(tmp_path / "state" / "kept.db")) as kept:
        stored = kept.execute(
            "SELECT frame, payload, capture_id FROM packets ORDER BY id"
        ).fetchall()
    assert [row[0] for row in stored] == [*frames, rtcp]
    assert stored[1][1:] == (b"x" * 200, 150)


def test_fates(start, udp, port):
    """Dropped, ended and missed are told apart and carry their reason."""
    switch = start(
        """
        [[listen]]
        name = "in"
        url = "udp://127.0.0.1:PORT"
        [[rules.main]]
        name = "drop"
        match.capture_id = 1
        drop = "first"
        [[rules.main]]
        name = "end"
        match.capture_id = 2
        log = "second"
        [[rules.main]]
        name = "on"
        match.capture_id = 3
        goto = "other"
        [[rules.other]]
        name = "never"
        match.proto_type = 99
        """
    )
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for number in (1, 2, 3, 4):
            agent.sendto(numbered(number), (HOST, port))
    found = switch.wait_counters(lambda counters: counters["switch"]["accepted"] == 4)["switch"]
    assert (found["dropped"], found["ended"], found["missed"]) == ({"first": 1}, 1, 2)


def test_without_rules_everything_goes_everywhere(start, udp, port, tmp_path):
    """Pass-through: every destination and store gets every packet, of any HEP version."""
    switch = start(
        f"""
        [[listen]]
        url = "udp://127.0.0.1:PORT"
        [destinations]
        sink = "udp://{address(udp)}"
        [stores]
        kept.url = "sqlite://kept.db"
        """
    )
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1), (HOST, port))
    assert udp.recv(65535) == numbered(1)
    assert switch.stop()["sinks"]["kept"]["delivered"] == 1


def test_ipv6(start):
    """Listening and sending work over IPv6 as over IPv4, and the two may share a port."""
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as sink:
        try:
            sink.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
        sink.settimeout(PATIENCE)
        switch = start(
            f"""
            [[listen]]
            name = "six"
            url = ["udp://[::]:PORT", "udp://0.0.0.0:PORT", "tcp://[::1]:PORT"]
            [destinations]
            sink = "udp://[::1]:{sink.getsockname()[1]}"
            [[rules.main]]
            name = "who"
            log = "{{peer_ip}} {{peer_transport}} {{local_port}}"
            relay = "sink"
            """
        )
        port = int(switch.texts()[-2].split(":")[-1].split(" ")[0])
        with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as agent:
            agent.sendto(numbered(1), ("::1", port))
            assert sink.recv(65535) == numbered(1)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
            agent.sendto(numbered(2), (HOST, port))
            assert sink.recv(65535) == numbered(2)
        with closing(socket.create_connection(("::1", port))) as agent:
            agent.sendall(numbered(3))
            assert sink.recv(65535) == numbered(3)
        switch.stop()
        assert switch.told("main/who") == [
            f"::1 udp {port}",
            f"127.0.0.1 udp {port}",
            f"::1 tcp {port}",
        ]


def test_a_refused_destination_does_not_stop_the_others(start, udp, port):
    """ECONNREFUSED at one destination: the others get everything, and so does it on return."""
    away = free_port()
    switch = start(
        f"""
        [[listen]]
        name = "in"
        url = "udp://127.0.0.1:PORT"
        [destinations]
        away = "udp://127.0.0.1:{away}"
        sink = "udp://{address(udp)}"
        """
    )
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for number in range(50):
            agent.sendto(numbered(number), (HOST, port))
            assert udp.recv(65535) == numbered(number)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as back:
            back.bind((HOST, away))
            back.settimeout(PATIENCE)
            agent.sendto(numbered(50), (HOST, port))
            assert back.recv(65535) == numbered(50)
    away_account = switch.stop()["sinks"]["away"]
    assert away_account["errors"]["refused"] > 0
    assert away_account["delivered"] == 51


def test_too_big_for_udp_is_counted_and_the_rest_goes_on(start, udp, port):
    """A frame that no datagram can carry is dropped by name; the next one arrives."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    with closing(socket.create_connection((HOST, port))) as agent:
        agent.sendall(numbered(1, b"x" * 65425) + numbered(2))
        assert udp.recv(65535) == numbered(2)
    assert switch.stop()["sinks"]["sink"]["dropped"] == {"too-big": 1}


def test_a_tcp_destination_that_comes_back_gets_what_waited(start, port):
    """What came while the far side was away is sent on its return, without new traffic."""
    away = free_port()
    switch = start(RELAY.format(sink=f"tcp://127.0.0.1:{away}"))
    sent = [numbered(number) for number in range(300)]
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for frame in sent[:200]:
            agent.sendto(frame, (HOST, port))
        switch.wait_counters(lambda counters: counters["sinks"]["sink"]["in_memory"] == 200)
        with closing(socket.create_server((HOST, away))) as server:
            server.settimeout(PATIENCE)
            far, _ = server.accept()
            assert read_frames(far, 200) == sent[:200]
            far.close()
        switch.wait_counters(lambda counters: "down" in counters["sinks"]["sink"]["state"])
        for frame in sent[200:]:
            agent.sendto(frame, (HOST, port))
        with closing(socket.create_server((HOST, away))) as server:
            server.settimeout(PATIENCE)
            far, _ = server.accept()
            assert read_frames(far, 100) == sent[200:]
            far.close()


def test_a_slow_destination_holds_no_more_than_its_queue(start, port):
    """A far side that reads nothing fills its queue; the oldest go, counted."""
    with closing(socket.create_server((HOST, 0))) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        switch = start(
            f"""
            [[listen]]
            name = "in"
            url = "tcp://127.0.0.1:PORT"
            [destinations.sink]
            url = "tcp://{address(server)}"
            queue = {{ packets = 100, bytes = "1MiB" }}
            """
        )
        far, _ = server.accept()
        big = [numbered(number, b"x" * 60000) for number in range(400)]
        with closing(socket.create_connection((HOST, port))) as agent:
            agent.sendall(b"".join(big))
        counters = switch.wait_counters(lambda found: found["listeners"]["in"]["accepted"] == 400)
        account = counters["sinks"]["sink"]
        assert account["dropped"]["overflow"] > 0
        assert account["in_memory"] * 60000 <= 1 << 20
        reader = threading.Thread(
            target=lambda: [None for _ in iter(lambda: far.recv(1 << 16), b"")]
        )
        reader.start()
        counters = switch.stop()
        reader.join()
        far.close()
    account = counters["sinks"]["sink"]
    assert account["delivered"] + account["dropped"]["overflow"] == 400


def test_kernel_drops_are_seen(start, udp, port):
    """A burst at a switch that does not read: read + dropped by the kernel = sent, exactly."""
    switch = start(
        f"""
        [[listen]]
        name = "in"
        url = "udp://127.0.0.1:PORT"
        receive_buffer = "64KiB"
        [destinations]
        sink = "udp://{address(udp)}"
        """
    )
    switch.signal(signal.SIGSTOP)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for number in range(5000):
            agent.sendto(numbered(number), (HOST, port))
    switch.signal(signal.SIGCONT)
    found = switch.wait_counters(lambda counters: counters["listeners"]["in"]["seen"] == 5000)
    assert found["listeners"]["in"]["kernel_dropped"] > 0


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


LOADER = """
import socket, sys, threading, time
from hepsw.hep import build
port, rate = int(sys.argv[1]), int(sys.argv[2])
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", port))
sent, began = 0, time.monotonic()
while not stop.is_set():
    due = int((time.monotonic() - began) * rate)
    while sent < due:
        sock.send(build(proto_type=1, capture_id=sent, payload=b"x" * 100).data)
        sent += 1
    time.sleep(0.002)
print(sent)
"""
"""Sends numbered packets at a rate until told to stop; prints how many."""

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


def test_first_packets_are_announced(start, udp, port):
    """Each agent is announced once: peer, HEP version, capture id."""
    switch = start(RELAY.format(sink=f"udp://{address(udp)}"))
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        for number in (2001, 2001, 2002):
            agent.sendto(numbered(number), (HOST, port))
    with closing(socket.create_connection((HOST, port))) as agent:
        agent.sendall(numbered(2001))
        assert len({udp.recv(65535) for _ in range(4)}) == 2
    switch.stop()
    announced = [text for text in switch.texts() if text.startswith("first packet")]
    assert announced == [
        "first packet from 127.0.0.1 over udp: HEP 3, capture id 2001",
        "first packet from 127.0.0.1 over tcp: HEP 3, capture id 2001",
    ]


def test_stopping_delivers_what_was_sent(start, port):
    """SIGTERM reads what has arrived, drains the outputs, exits 0 and says so in one line."""
    with closing(socket.create_server((HOST, 0))) as server:
        server.settimeout(PATIENCE)
        switch = start(RELAY.format(sink=f"tcp://{address(server)}"))
        far, _ = server.accept()
        sent = [numbered(number) for number in range(1000)]
        with closing(socket.create_connection((HOST, port))) as agent:
            agent.sendall(b"".join(sent))
            switch.signal(signal.SIGTERM)
            assert read_frames(far, 1000) == sent
        far.close()
        assert switch.process.wait(PATIENCE) == 0
    last = switch.errors.splitlines()[-1]
    assert last.startswith("1,000 seen: ")
    assert last.endswith("unaccounted 0")


def test_a_second_signal_stops_at_once(tmp_path, port):
    """While the outputs drain, another SIGTERM ends hepsw without waiting."""
    away = free_port()
    switch = Hepsw(
        tmp_path, RELAY.format(sink=f"tcp://127.0.0.1:{away}").replace("PORT", str(port))
    )
    switch.wait_ready()
    with closing(socket.create_connection((HOST, port))) as agent:
        agent.sendall(numbered(1))
        switch.wait_counters(lambda counters: counters["sinks"]["sink"]["in_memory"] == 1)
    switch.signal(signal.SIGTERM)
    switch.wait_text("stopping")
    began = time.monotonic()
    switch.signal(signal.SIGTERM)
    assert switch.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 5


def hepsw(*arguments, folder):
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hepsw", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_broken_configuration_does_not_start(tmp_path):
    """Every problem on standard error, exit status 78, nothing opened."""
    (tmp_path / "hepsw.toml").write_text('[[listen]]\nurl = "udp://127.0.0.1:1"\nport = 2\n[x]\n')
    done = hepsw("run", folder=tmp_path)
    assert done.returncode == 78
    assert done.stderr.count("error[HEP104]") == 2
    assert "nothing was started" in done.stderr


def test_a_taken_port_is_said(tmp_path):
    """Exit status 74 and one line that names the listener."""
    with closing(socket.create_server((HOST, 0))) as taken:
        (tmp_path / "hepsw.toml").write_text(f'[[listen]]\nurl = "tcp://{address(taken)}"\n')
        done = hepsw("run", folder=tmp_path)
        assert done.returncode == 74
        assert f"hepsw run: tcp://{address(taken)}: Address already in use" in done.stderr


def test_the_shipped_configuration_runs(tmp_path):
    """What we ship starts, takes the demo, keeps it and relays it; nobody at the copy is fine."""
    port, copy = free_port(), free_port()
    shipped = (
        (ROOT / "hepsw.toml").read_text().replace("9060", str(port)).replace("9070", str(copy))
    )
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "10-main.toml").write_text((ROOT / "rules" / "10-main.toml").read_text())
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as sink:
        sink.bind((HOST, copy))
        sink.settimeout(PATIENCE)
        switch = Hepsw(tmp_path, shipped)
        try:
            switch.wait_ready()
            done = hepsw("send", "--to", f"udp://{HOST}:{port}", "--rate", "max", folder=tmp_path)
            assert done.returncode == 0, done.stderr
            relayed = [decode(sink.recv(65535)) for _ in range(19)]
        finally:
            counters = switch.stop()
    assert counters["sinks"]["packets"]["delivered"] == 20
    assert {packet.group_id for packet in relayed if packet.proto_type == 5} == {b"media"}
    assert len(switch.told("main/logs")) == 1


# --- what a review broke --------------------------------------------------------------------------


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


def test_a_packet_cannot_forge_a_log_line(start, udp, port):
    """In text, ends of lines and escapes of a packet are written as such; long lines are cut."""
    switch = start(
        RELAY.format(sink=f"udp://{address(udp)}").replace(
            'relay = "sink"', 'relay = "sink"\nlog = "{payload}"'
        )
        + '\n[log]\nformat = "text"\n',
        ready=False,
    )
    wait_until(lambda: "ready" in switch.errors, lambda: switch.errors)
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1, b"hello\n14:02:11 error hepsw: \x1b[31mFAKE"), (HOST, port))
        agent.sendto(numbered(2, b"y" * 50_000), (HOST, port))
        udp.recv(65535)
        udp.recv(65535)
    wait_until(lambda: "yyyy" in switch.errors, lambda: switch.errors)
    lines = switch.errors.splitlines()
    assert not [line for line in lines if line.startswith("14:02:11 error")]
    assert any(line.endswith(r"hello\n14:02:11 error hepsw: \x1b[31mFAKE") for line in lines)
    assert max(map(len, lines)) < 2000


@pytest.mark.parametrize("stuck", ["full", "gone"])
def test_nobody_reading_our_output_stops_nothing(tmp_path, udp, port, stuck):
    """Standard error a full pipe, or without a reader: packets flow, and the end comes."""
    read, write = os.pipe()
    if stuck == "full":
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
    (tmp_path / "hepsw.toml").write_text(
        RELAY.format(sink=f"udp://{address(udp)}").replace("PORT", str(port))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hepsw", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=write,
    )
    try:
        os.close(write)
        if stuck == "gone":
            os.close(read)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
            udp.settimeout(0.2)

            def arrives():
                agent.sendto(numbered(1), (HOST, port))
                with contextlib.suppress(TimeoutError):
                    return udp.recv(65535)

            wait_until(arrives, lambda: "nothing arrives", alive=process)
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.2)
            wait_until(arrives, lambda: "nothing arrives after SIGUSR1", alive=process)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE + 5)
    finally:
        process.kill()
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["unaccounted"] == 0


def test_started_without_output(tmp_path, udp, port):
    """`>&- 2>&-` is a switch that says nothing, and works."""
    (tmp_path / "hepsw.toml").write_text(
        RELAY.format(sink=f"udp://{address(udp)}").replace("PORT", str(port))
    )
    process = subprocess.Popen(
        ["sh", "-c", f'exec "{sys.executable}" -m hepsw run >&- 2>&-'],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        udp.settimeout(0.2)
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:

            def arrives():
                agent.sendto(numbered(1), (HOST, port))
                with contextlib.suppress(TimeoutError):
                    return udp.recv(65535)

            wait_until(arrives, lambda: "nothing arrives", alive=process)
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()


def test_reasons_are_no_markup(start, udp, port):
    """A reason with brackets is printed as it is."""
    switch = start(
        RELAY.format(sink=f"udp://{address(udp)}").replace('relay = "sink"', 'drop = "[/oops]"')
    )
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as agent:
        agent.sendto(numbered(1), (HOST, port))
        switch.wait_counters(lambda found: found["switch"]["dropped"] == {"[/oops]": 1})
    switch.stop()
    assert "[/oops] 1" in switch.errors
