"""The whole way: frames in through sockets, `hepsw run` in between, frames out."""

import contextlib
import os
import signal
import socket
import sqlite3
import threading
from contextlib import closing

import pytest
from daemon.traffic import RELAY, address, numbered, read_frames
from loopback import HOST, free_port
from running import PATIENCE

from hepsw.hep import build, decode


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
