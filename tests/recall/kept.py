"""Calls as a store gives them back: lists of views."""

from pathlib import Path

from hepsw import demo
from hepsw.hep import build
from hepsw.view import Peer, View

START = 1_790_000_000_000_000
"""When calls begin, in microseconds since the epoch."""
GOLDEN = Path(__file__).parent / "golden"
CALL = "a84b4c76e66710@pbx.example"
ALICE, PROXY, BOB = ("192.0.2.1", 5060), ("192.0.2.10", 5060), ("192.0.2.2", 5060)
EDGE = {"capture_id": 1, "node_name": "edge"}
CORE = {"capture_id": 2, "node_name": "core"}


def peer(ip="192.0.2.50"):
    return Peer(bytes(map(int, ip.split("."))), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")


def kept(packet, *, late=400, ip="192.0.2.50"):
    """Return a packet as a store gives it back: it was heard some microseconds after capture."""
    return View(packet, peer(ip), (packet.time_us or START) + late)


def demo_call(number=3):
    """Return the call that `hepsw send` shows."""
    return [kept(step.packet) for step in demo.call(number, START)]


def sip(start, cseq, *, call=CALL, vias=("z9hG4bK1",), more=(), body=""):
    """Return a SIP message of alice's call to bob."""
    lines = [
        start,
        *[f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}" for branch in vias],
        "From: <sip:alice@example.org>;tag=a",
        "To: <sip:bob@example.org>",
        f"Call-ID: {call}",
        f"CSeq: {cseq}",
        *more,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", body])


def packet(payload, source, destination, at=0.0, **values):
    """Return a view of a packet, `at` seconds after the start."""
    late = values.pop("late", 400)
    ip = values.pop("ip", "192.0.2.50")
    node = values.pop("node", EDGE)
    values = {"proto_type": 1, "ip_protocol": 17, **node, **values}
    return kept(
        build(
            src_ip=source[0],
            src_port=source[1],
            dst_ip=destination[0],
            dst_port=destination[1],
            time=START + round(at * 1_000_000),
            payload=payload,
            **values,
        ),
        late=late,
        ip=ip,
    )


def texts(ladder):
    """Return what stands on the arrows, in order."""
    return [message.said.text for message in ladder.messages]


def golden(name, drawn):
    """Compare a drawing with the file of that name."""
    assert drawn == (GOLDEN / name).read_text(encoding="utf-8")
