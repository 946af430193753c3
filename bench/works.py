"""What is measured: each work, what it should do to its packets, and what it is held against.

A work is a program with a configuration and some traffic. The configurations are in `conf/`; there
9060 stands for the port that packets come to, and 9061 and so on for those they leave to.
"""

import shutil
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import traffic
from programs import BUILD, HERE

PORT_IN: Final = 9060
MIXED_PACKETS: Final = 1000
MATCHING_PACKETS: Final = 10_000  # so many rules are hit, all over the table
SEED: Final = 1

NODE_NAME: Final = 0x0013
CAPTURE_ID: Final = 0x000C
PROTO_TYPE: Final = 0x000B
TIME: Final = (0x0009, 0x000A)  # seconds, microseconds
PAYLOAD: Final = 0x000F
HEADER_BYTES: Final = 6

PURE: Final = {"HEPSW_PURE": "1"}  # the plain build, wherever a compiled one lies beside it

Outputs = tuple[bytes | None, ...]
"""What one packet becomes at each of the sink's ports; None where it does not go."""


class Place(NamedTuple):
    """Where one run of a work takes place."""

    config: Path
    port_in: int
    ports_out: Sequence[int]


# --- traffic -------------------------------------------------------------------------------------


@cache
def mixed() -> list[bytes]:
    """Return the traffic of nearly all works."""
    return list(traffic.packets(MIXED_PACKETS, SEED))


@cache
def sip() -> list[bytes]:
    """Return its SIP alone."""
    return [frame for frame in mixed() if proto_type(frame) == traffic.SIP]


@cache
def matching(number: int) -> list[bytes]:
    """Return packets of which each satisfies a rule drawn from a table of so many.

    The payloads are those of the mixed traffic, so that the size of a packet is too.
    """
    import rules  # noqa: PLC0415 - it needs hepsw, which the C loop does without

    table = rules.samples(number, SEED)
    draw = Random(SEED)
    payloads = [chunks(frame)[PAYLOAD] for frame in sip()]
    return [
        rules.packet(
            draw, draw.choice(table).values | {"payload": payloads[at % len(payloads)]}
        ).data
        for at in range(MATCHING_PACKETS)
    ]


def chunks(frame: bytes) -> dict[int, bytes]:
    """Return the generic chunks of a HEP3 packet, in their order, with the reader's own eyes."""
    found = {}
    at = HEADER_BYTES
    while at < len(frame):
        _, type_id, length = traffic.CHUNK.unpack_from(frame, at)
        found[type_id] = frame[at + traffic.CHUNK.size : at + length]
        at += length
    return found


def later(frame: bytes, seconds: int, microseconds: int) -> bytes:
    """Return a packet with its capture time moved on."""
    octets = bytearray(frame)
    at = HEADER_BYTES
    while at < len(frame):
        _, type_id, length = traffic.CHUNK.unpack_from(frame, at)
        if type_id in TIME:
            unit = seconds if type_id == TIME[0] else microseconds
            (before,) = struct.unpack_from("!I", frame, at + traffic.CHUNK.size)
            struct.pack_into("!I", octets, at + traffic.CHUNK.size, before + unit)
        at += length
    return bytes(octets)


def proto_type(frame: bytes) -> int:
    return chunks(frame)[PROTO_TYPE][0]


# --- what is to arrive ---------------------------------------------------------------------------


def unchanged(frame: bytes) -> Outputs:
    """One, octet for octet."""
    return (frame,)


def forked(frame: bytes) -> Outputs:
    """Two copies, as fork.toml says."""
    return (frame, frame)


def resumed(frame: bytes) -> Outputs:
    """SIP to two, everything else to the third, as opensips.toml says."""
    return (frame, frame, None) if proto_type(frame) == traffic.SIP else (None, None, frame)


def rewritten(frame: bytes) -> Outputs:
    """A capture id replaced in its place and a name put behind all else, as rewrite.toml says."""
    after = chunks(frame) | {CAPTURE_ID: struct.pack("!I", 70000), NODE_NAME: b"edge-1"}
    body = b"".join(
        traffic.CHUNK.pack(0, type_id, traffic.CHUNK.size + len(octets)) + octets
        for type_id, octets in after.items()
    )
    return (frame[:4] + traffic.PREFIX.pack(HEADER_BYTES + len(body)) + body,)


# --- the works -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """A program and what it is to do."""

    name: str
    what: str
    command: Callable[[Place], Sequence[str]]
    """How it is started."""
    config: Callable[[], str] = str
    """Its configuration, none for the C loop."""
    frames: Callable[[], list[bytes]] = mixed
    """The traffic, which is sent over and over."""
    arrives: Callable[[bytes], Outputs] = unchanged
    environment: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "udp"
    is_hepsw: bool = True
    idles: bool = True
    """Whether it is hepsw with a configuration of usual size, whose memory has a target."""
    kill: bool = False
    """Whether it is slow to end when asked."""
    needs: str = ""
    """A program that is not ours and may be missing."""

    @property
    def is_here(self) -> bool:
        """Whether it can be measured on this machine."""
        return not self.needs or shutil.which(self.needs) is not None


@dataclass(frozen=True)
class Target:
    """What the CPU time of one work per packet may be, as a multiple of another's."""

    work: str
    than: str
    most: float | None
    """None where it is only told."""


def conf(name: str) -> Callable[[], str]:
    return (HERE / "conf" / name).read_text


def many_rules(number: int) -> Callable[[], str]:
    """Return a configuration of so many rules, as bench/rules.py draws them."""

    def text() -> str:
        import rules  # noqa: PLC0415 - as above
        from hepsw.config.writing import toml_text  # noqa: PLC0415 - as above

        document: dict[str, Any] = rules.document(rules.samples(number, SEED))
        document["listen"] = [{"url": f"udp://127.0.0.1:{PORT_IN}"}]
        document["destinations"] = {"sink": f"udp://127.0.0.1:{PORT_IN + 1}"}
        document["reload"] = {"watch": False}
        return toml_text(document)

    return text


def with_ports(text: str, port_in: int, ports_out: Sequence[int]) -> str:
    """Put real ports in the place of those that a configuration stands there with."""
    for number, port in enumerate((port_in, *ports_out)):
        text = text.replace(f"127.0.0.1:{PORT_IN + number}", f"127.0.0.1:{port}")
    return text


def c_loop(*options: str) -> Callable[[Place], Sequence[str]]:
    return lambda place: [
        str(BUILD / "relay"),
        str(place.port_in),
        str(place.ports_out[0]),
        *options,
    ]


def hepsw(place: Place) -> Sequence[str]:
    return [sys.executable, "-m", "hepsw", "run", "-c", str(place.config)]


def kamailio(allocator: str) -> Callable[[Place], Sequence[str]]:
    return lambda place: [
        *("kamailio", "-f", str(place.config), "-DD", "-E", "-Y", str(place.config.parent)),
        *("-m", "64", "-M", "8", "-x", allocator, "-X", allocator, "-b", str(4 << 20)),
    ]


WORKS: Final = {
    work.name: work
    for work in (
        Work("c", "bare C loop, blocking", c_loop(), is_hepsw=False),
        Work("c-poll", "bare C loop, a look each millisecond", c_loop("poll"), is_hepsw=False),
        Work(
            "kamailio",
            "Kamailio, sip_capture_forward",
            kamailio("fm"),
            conf("kamailio.cfg"),
            is_hepsw=False,
            kill=True,
            needs="kamailio",
        ),
        Work(
            "kamailio-qm",
            "the same with its default allocator",
            kamailio("qm"),
            conf("kamailio.cfg"),
            is_hepsw=False,
            kill=True,
            needs="kamailio",
        ),
        Work("relay", "type and port rules, UDP to UDP", hepsw, conf("relay.toml")),
        Work("plain", "relay in plain Python", hepsw, conf("relay.toml"), environment=PURE),
        Work("tcp", "relay, TCP to TCP", hepsw, conf("tcp.toml"), scheme="tcp"),
        Work("rewrite", "two chunks set", hepsw, conf("rewrite.toml"), arrives=rewritten),
        Work("fork", "relay to two", hepsw, conf("fork.toml"), arrives=forked),
        Work("opensips", "SIP resumed, to two", hepsw, conf("opensips.toml"), arrives=resumed),
        Work("rules-10", "10 rules", hepsw, many_rules(10), lambda: matching(10)),
        Work(
            "rules",
            "10,000 rules",
            hepsw,
            many_rules(10_000),
            lambda: matching(10_000),
            idles=False,
        ),
    )
}

TARGETS: Final = (
    Target("relay", "c", 1.3),
    Target("relay", "c-poll", None),
    Target("relay", "kamailio-qm", 0.55),
    Target("relay", "kamailio", None),
    Target("opensips", "fork", 1.6),
    Target("rewrite", "relay", 1.4),
    Target("rules", "rules-10", 1.5),
    Target("tcp", "relay", 0.5),
    Target("plain", "relay", 5.0),
)

KNEES: Final = ("c", "kamailio", "relay", "plain")
"""Whose highest rate is looked for."""
