"""TLS from an agent's certificate to a rule, and certificates that change under way."""

import socket
import ssl
from contextlib import closing

import pytest
from certificates import certificates
from daemon.traffic import address
from loopback import HOST
from running import PATIENCE, wait_until

from hepsw.hep import build, edit

SWITCH = """
[[listen]]
name = "sealed"
url = "tls://127.0.0.1:PORT"
from = "@agents"
auth_key = [{{ file = "old.key" }}, {{ file = "new.key" }}]
tls = {{ cert = "server.pem", key = "server.key", client_ca = "ca.pem" }}
idle = "1m"
max_packet = 1000

[sets]
agents = ["127.0.0.0/8", "::1"]

[destinations]
sink = "udp://{sink}"

[[rules.main]]
name = "edge"
match.peer_name = "edge1.example"
match.peer_transport = "tls"
set.node_name = "{{peer_name}}"
relay = "sink"

[[rules.main]]
name = "others"
drop = "other"

[reload]
watch = {watch}
"""


@pytest.fixture
def made(tmp_path):
    """Certificates and keys beside the configuration."""
    for name in ("old", "new"):
        (tmp_path / f"{name}.key").write_bytes(f"the {name} key\n".encode())
        (tmp_path / f"{name}.key").chmod(0o600)
    return certificates(tmp_path)


def connect(port, ca, pair):
    """Return a connection over TLS."""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(pair.cert, pair.key)
    plain = socket.create_connection((HOST, port), timeout=PATIENCE)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def frame(key, **fields):
    return build(proto_type=1, payload=b"x", auth_key=key, **fields).data


def test_a_rule_knows_an_agent_by_its_certificate(start, udp, port, made):
    """And what it relays has the agent's name in it, and the key no more."""
    other = made.authority.issue("edge2", dns=["edge2.example"])
    switch = start(SWITCH.format(sink=address(udp), watch="false"))
    for pair in (made.client, other):
        with closing(connect(port, made.ca, pair)) as agent:
            agent.sendall(frame(b"the old key") + frame(b"the new key") + frame(b"the new key\n"))
            agent.sendall(frame(b"the new key", node_name=b"x" * 1000))
            agent.unwrap()
    named = edit(build(proto_type=1, payload=b"x"), {"node_name": b"edge1.example"}, 0).data
    assert [udp.recv(65535) for _ in range(2)] == [named, named]
    counters = switch.stop()
    account = counters["listeners"]["sealed"]
    assert account["rejected"] == {"auth-key": 2, "too-big": 2}
    assert account["connected"] == 2
    assert account["broken"] == {}
    assert counters["switch"]["dropped"] == {"other": 2}
    assert "the old key" not in switch.errors


def test_certificates_are_renewed_without_a_word(start, udp, port, made):
    """They are watched: who connects next is shown the new one, and who is connected stays."""
    switch = start(SWITCH.format(sink=address(udp), watch="true"))
    with closing(connect(port, made.ca, made.client)) as early:
        made.other_authority.issue("server", dns=["localhost"])
        switch.wait_text("generation 2 in service")
        with closing(connect(port, made.other_ca, made.client)) as late:
            for agent in (early, late):
                agent.sendall(frame(b"the new key"))
                assert udp.recv(65535)
    assert switch.stop()["listeners"]["sealed"]["accepted"] == 2


def test_a_certificate_that_cannot_be_served_is_refused(start, udp, port, made):
    """By a reload, with its place; what is in service stays, and so does its certificate."""
    switch = start(SWITCH.format(sink=address(udp), watch="false"))
    made.server.key.write_bytes(made.other_server.key.read_bytes())
    assert "HEP218" in switch.reload()
    assert "server.key is not the key of server.pem" in switch.errors
    with closing(connect(port, made.ca, made.client)) as agent:
        agent.sendall(frame(b"the new key"))
        assert udp.recv(65535)
    switch.stop()


def test_it_does_not_start_with_such_a_certificate(start, port, made):
    """As with every error of a configuration."""
    made.server.cert.write_text("no PEM")
    switch = start(SWITCH.format(sink="192.0.2.1:9060", watch="false"), ready=False)
    wait_until(lambda: switch.process.poll() is not None, lambda: switch.errors)
    assert switch.process.returncode == 78
    assert "error[HEP218]: there is no PEM certificate in server.pem" in switch.errors
    switch._counters = {"unaccounted": 0}  # there is nothing to stop
