"""What a destination makes of a packet: each key alone, the order of all, and every refusal."""

import json
import zlib
from pathlib import Path

import pytest
from hep.vectors import USABLE
from hypothesis import given, settings
from hypothesis import strategies as st

import hepsw
from hepsw.accounting import Reason
from hepsw.config.load import load
from hepsw.errors import CannotLeaveError
from hepsw.hep import Chunk, build, decode, encode, encode_v1, encode_v2
from hepsw.payload import SipMessage
from hepsw.sinks.way_out import WayOut
from hepsw.view import View

RECEIVED = 1_800_000_000_123_456
INVITE = (
    b"INVITE sip:carlota77@pbx.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.2.3;branch=z9hG4bK1\r\n"
    b"From: <sip:carlota77@10.1.2.3>;tag=1\r\nTo: <sip:b@pbx.example.com>\r\n"
    b"Call-ID: c@10.1.2.3\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)
PROFILE = """
[privacy.p]
key = "k"
ips = { v4 = 24, v6 = 48 }
"""
FIELDS = {
    "src_ip": "10.1.2.3",
    "dst_ip": "10.1.2.4",
    "src_port": 5060,
    "dst_port": 5062,
    "ip_protocol": 17,
}


class Machine:
    """A machine that knows no name."""

    def addresses(self, _):
        return []

    def is_own(self, _):
        return False


@pytest.fixture
def way_out(tmp_path):
    """Return what makes a way out of the keys of a destination, as an operator writes them."""

    def make(keys, url="udp://10.9.9.9", more=PROFILE):
        (tmp_path / "hepsw.toml").write_text(
            '[[listen]]\nurl = "udp://127.0.0.1:9060"\n'
            f"[destinations.a]\nurl = {json.dumps(url)}\n{keys}\n{more}"
        )
        loaded = load(tmp_path / "hepsw.toml", Machine(), running=True)
        assert loaded.configuration is not None, loaded.problems.sorted()
        return WayOut(loaded.configuration.destinations["a"])

    return make


@pytest.fixture
def view(peer):
    return lambda packet, **more: View(packet, peer, RECEIVED, **more)


def sip(**more):
    return build(**{**FIELDS, "proto_type": 1, "capture_id": 7, "payload": INVITE, **more})


def version_1(payload=INVITE):
    return decode(encode_v1(**FIELDS, payload=payload))


def version_2(payload=INVITE):
    return decode(encode_v2(**FIELDS, payload=payload, time=1_700_000_000_000_001, capture_id=9))


def refusal(way, view):
    with pytest.raises(CannotLeaveError) as caught:
        way.leave(view)
    return caught.value.reason


# --- nothing to do -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "url", "is_plain"),
    [
        ("", "udp://10.9.9.9", True),
        ("", "tcp://10.9.9.9", True),
        ("", ["tls://10.9.9.9", "udp://10.9.9.8"], True),
        ("", "sip://10.9.9.9", False),
        ("hep = 3", "udp://10.9.9.9", False),
        ('compress = "inflate"', "udp://10.9.9.9", False),
        ('compress = "payload"', "udp://10.9.9.9", False),
        ('privacy = "p"', "udp://10.9.9.9", False),
        ("set.vlan = 1", "udp://10.9.9.9", False),
        ('unset = "vlan"', "udp://10.9.9.9", False),
        ('auth_key = "k"', "udp://10.9.9.9", False),
    ],
)
def test_plain(way_out, keys, url, is_plain):
    """A way out without keys has nothing to do; every key makes it work."""
    more = PROFILE if "privacy" in keys else ""
    assert way_out(keys, url, more).is_plain is is_plain


@pytest.mark.parametrize(
    ("url", "largest"),
    [
        ("udp://10.9.9.9", 65507),
        ("udp://host.example", 65507),
        ("sip://10.9.9.9", 65507),
        ("tcp://10.9.9.9", 65535),
        ("tls://10.9.9.9", 65535),
        (["tcp://10.9.9.9", "udp://10.9.9.8"], 65507),
    ],
)
def test_largest(way_out, url, largest):
    """Each url of the destination must be able to carry what leaves."""
    assert way_out("", url, "").largest == largest


@pytest.mark.parametrize(
    "keys", ["", "hep = 3", 'compress = "inflate"', 'unset = "vlan"', 'set.vlan = "{node_name}"']
)
def test_what_nothing_touches_leaves_as_it_came(way_out, view, keys):
    """Byte for byte, unknown chunks, repeated chunks and their order included."""
    frame = encode(
        [
            Chunk(0, 0x0F, b"x"),
            Chunk(9, 1, b"vendor"),
            Chunk(0, 0x77, b"unknown"),
            Chunk(0, 0x0C, bytes(4)),
            Chunk(0, 0x0C, bytes(4)),
        ],
        b"EEP3",
    )
    assert way_out(keys, more="").leave(view(decode(frame))) == frame


# --- each key alone ------------------------------------------------------------------------------


def chunks(frame):
    return [(chunk.type_id, chunk.body) for chunk in decode(frame).chunks()]


def test_inflate(way_out, view):
    """A compressed payload leaves as a plain one, in its place."""
    packet = decode(encode([Chunk(0, 0x10, zlib.compress(b"log")), Chunk(3, 1, b"v")]))
    left = way_out('compress = "inflate"', more="").leave(view(packet))
    assert chunks(left) == [(0x0F, b"log"), (1, b"v")]


def test_compress(way_out, view):
    """A payload leaves compressed, in its place, unless it would not get smaller."""
    way = way_out('compress = "payload"', more="")
    packet = decode(encode([Chunk(0, 0x0F, b"log " * 20), Chunk(3, 1, b"v")]))
    (type_id, body), other = chunks(way.leave(view(packet)))
    assert (type_id, zlib.decompress(body), other) == (0x10, b"log " * 20, (1, b"v"))
    for frame in (
        encode([Chunk(0, 0x0F, b"log")]),
        encode([Chunk(0, 0x10, b"whatever it is")]),
        encode([Chunk(0, 0x0C, bytes(4))]),
        version_1().data,
    ):
        assert way.leave(view(decode(frame))) == frame


def test_set_and_unset(way_out, view):
    """Chunks are written and removed as by a rule, templates included; the rest stays."""
    way = way_out('set.node_name = "{sip.method|lower}"\nunset = ["vlan", "auth_key"]', more="")
    packet = sip(vlan=5, auth_key="theirs", node_name="x")
    left = decode(way.leave(view(packet)))
    assert (left.node_name, left.vlan, left.auth_key) == (b"invite", None, None)
    assert left.payload == INVITE
    way = way_out('set.vlan = "{sip.method}"', more="")
    assert way.leave(view(packet)) == packet.data
    assert way.refused == {"does-not-fit": 1}


@pytest.mark.parametrize("theirs", [[], [b"theirs"], [b"a", b"b"]])
def test_auth_key(way_out, view, theirs):
    """Our key leaves, and no other."""
    frame = encode([*(Chunk(0, 0x0E, key) for key in theirs), Chunk(0, 0x0F, b"x")])
    left = way_out('auth_key = "ours"', more="").leave(view(decode(frame)))
    assert [body for type_id, body in chunks(left) if type_id == 0x0E] == [b"ours"]


def test_privacy(way_out, view):
    """The profile rewrites what leaves."""
    left = decode(way_out('privacy = "p"').leave(view(sip(correlation_id="c@10.1.2.3"))))
    assert str(left.src_ip) == "10.1.2.0"
    assert b"carlota" not in left.data
    assert left.correlation_id == SipMessage(left.payload).call_id


def test_sip(way_out, view):
    """The payload leaves alone, as it was carried; over `sip://` there is no HEP."""
    way = way_out("", "sip://10.9.9.9", "")
    assert way.leave(view(sip())) == INVITE
    assert way.leave(view(version_1())) == INVITE
    packet = decode(encode([Chunk(0, 0x0B, b"\1"), Chunk(0, 0x10, zlib.compress(INVITE))]))
    assert way.leave(view(packet)) == INVITE
    log = build(proto_type=100, payload=INVITE)
    assert way.leave(view(log, resumed=True)) == INVITE
    assert refusal(way, view(log)) == Reason.NOT_SIP


def test_sip_is_rewritten(way_out, view):
    """Edits and privacy apply to what leaves over `sip://` too."""
    way = way_out('privacy = "p"', "sip://10.9.9.9")
    assert b"carlota" not in way.leave(view(sip()))
    way = way_out('set.payload = "BYE sip:a@b SIP/2.0"', "sip://10.9.9.9", "")
    assert way.leave(view(sip())) == b"BYE sip:a@b SIP/2.0"


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [version_1(), version_2(), sip(), sip(time=5_000_001)])
@pytest.mark.parametrize("hep", [1, 2, 3])
def test_versions(way_out, view, packet, hep):
    """What both versions can say is the same afterwards; a packet of that version stays."""
    data = way_out(f"hep = {hep}", more="").leave(view(packet))
    left = decode(data)
    assert left.version == hep
    if packet.version == hep:
        assert data == packet.data
        return
    for name in ("src_ip", "dst_ip", "src_port", "dst_port", "ip_protocol", "payload", "ip_family"):
        assert getattr(left, name) == getattr(packet, name)
    assert left.proto_type == 1
    if hep > 1:
        assert left.capture_id == (packet.capture_id or 0)
        assert left.time_us == (RECEIVED if packet.time_us is None else packet.time_us)


def test_there_and_back(way_out, view):
    """HEP 1 and 2 that became HEP 3 become what they were."""
    for packet, hep in ((version_1(), 1), (version_2(), 2)):
        third = decode(way_out("hep = 3", more="").leave(view(packet)))
        assert way_out(f"hep = {hep}", more="").leave(view(third)) == packet.data


def test_rtcp_in_old_versions(way_out, view):
    """RTCP as JSON travels in HEP 1 as captagent sends it, and has its type in HEP 3."""
    report = b'{"report_count":1,"report_blocks":[]}'
    left = way_out("hep = 1", more="").leave(view(sip(proto_type=5, payload=report)))
    assert decode(left).payload == report
    again = decode(way_out("hep = 3", more="").leave(view(decode(left))))
    assert (again.proto_type, again.payload) == (5, report)


def test_a_compressed_payload_is_inflated_for_old_versions(way_out, view):
    """They have no place for one."""
    packet = sip(payload=None, compressed_payload=zlib.compress(INVITE))
    assert decode(way_out("hep = 2", more="").leave(view(packet))).payload == INVITE


@pytest.mark.parametrize(
    "changes",
    [
        {"src_ip": None, "ip_family": 2},
        {"dst_ip": "2001:db8::1"},
        {"ip_protocol": None},
        {"proto_type": 100},
        {"proto_type": None},
        {"proto_type": 5, "payload": b"no JSON"},
        {"payload": b'{"sip": 1}'},
        {"payload": b"ends with\0"},
        {"capture_id": 1 << 16},
        {"time": 15_815_525_000_000},  # its octets are a likelier time the other way round
    ],
)
def test_what_old_versions_cannot_say(way_out, view, changes):
    """It is dropped by name rather than said wrongly."""
    assert refusal(way_out("hep = 2", more=""), view(sip(**changes))) == Reason.CANNOT_CONVERT


# --- refusals ------------------------------------------------------------------------------------


def test_streams_carry_hep_3_alone(way_out, view):
    """HEP 1 and 2 state no length; made HEP 3 they leave."""
    for keys in ("hep = 3", "set.capture_id = 5"):
        way = way_out(keys, "tcp://10.9.9.9", "")
        assert decode(way.leave(view(version_1()))).version == 3
    way = way_out('unset = "vlan"', "tls://10.9.9.9", "")
    assert way.leave(view(sip())) == sip().data


def test_a_version_that_stays_does_not_leave_by_a_stream(way_out, view):
    """Where an edit leaves the version as it is, a stream cannot carry it."""
    way = way_out("set.src_port = 5", "tcp://10.9.9.9", "")
    assert refusal(way, view(version_1())) == Reason.VERSION_ON_STREAM


@pytest.mark.parametrize(
    ("keys", "url", "payload", "fits"),
    [
        ("set.vlan = 5", "udp://10.9.9.9", 65507 - 20, True),
        ("set.vlan = 5", "udp://10.9.9.9", 65507 - 19, False),
        ("set.vlan = 5", "tcp://10.9.9.9", 65507 - 19, True),
        ("set.vlan = 5", "tcp://10.9.9.9", 65535 - 20, True),
        ('auth_key = "123456789"', "tcp://10.9.9.9", 65535 - 20, False),
        ('compress = "payload"', "udp://10.9.9.9", 65535 - 20, True),
    ],
)
def test_size(way_out, view, keys, url, payload, fits):
    """What is too big for the transport, after all that was done to it, does not leave."""
    packet = decode(encode([Chunk(0, 0x12, bytes(2)), Chunk(0, 0x0F, b"x" * payload)]))
    way = way_out(keys, url, "")
    if fits:
        assert len(way.leave(view(packet))) <= way.largest
    else:
        assert refusal(way, view(packet)) == Reason.TOO_BIG


def test_inflated_it_may_be_too_big(way_out, view):
    """A frame holds 65535 octets, whatever a payload inflates to."""
    packet = decode(encode([Chunk(0, 0x10, zlib.compress(bytes(70_000)))]))
    assert refusal(way_out('compress = "inflate"', more=""), view(packet)) == Reason.TOO_BIG


@pytest.mark.parametrize(
    ("keys", "url", "reason"),
    [
        ('compress = "inflate"', "udp://10.9.9.9", Reason.INFLATE_FAILED),
        ("", "sip://10.9.9.9", Reason.INFLATE_FAILED),
        ("hep = 1", "udp://10.9.9.9", Reason.INFLATE_FAILED),
        ('privacy = "p"', "udp://10.9.9.9", Reason.PRIVACY),
    ],
)
def test_what_does_not_inflate(way_out, view, keys, url, reason):
    """Where the payload was to be read, or to leave inflated, the packet does not leave."""
    packet = sip(payload=None, compressed_payload=b"nonsense")
    more = PROFILE if "privacy" in keys else ""
    assert refusal(way_out(keys, url, more), view(packet)) == reason


def test_privacy_refuses(way_out, view):
    """What the profile cannot read does not leave, unless it says so."""
    log = build(proto_type=100, payload=b"carlota77 called")
    assert refusal(way_out('privacy = "p"'), view(log)) == Reason.PRIVACY
    kept = way_out('privacy = "p"', more=PROFILE + 'other = "keep"\n')
    assert kept.leave(view(log)) == log.data


def test_a_key_that_has_no_place(way_out, view):
    """A generic chunk among those of one vendor would change what all of them mean."""
    frame = encode([Chunk(9, 1, b"\2"), Chunk(9, 0x0B, b"\1"), Chunk(9, 0x0F, b"x")])
    way = way_out('auth_key = "k"', more="")
    assert refusal(way, view(decode(frame))) == Reason.CANNOT_STAMP


@pytest.mark.parametrize("payload", [b"", b"\r\n\r\n", b"{}", b"carlota77"])
def test_only_sip_leaves_as_sip(way_out, view, payload):
    """Keep-alives and broken messages are no SIP message."""
    way = way_out("", "sip://10.9.9.9", "")
    assert refusal(way, view(sip(payload=payload))) == Reason.NOT_SIP
    assert refusal(way, view(build(proto_type=1))) == Reason.NOT_SIP


# --- examples ------------------------------------------------------------------------------------

TEMPLATES = sorted((Path(hepsw.__file__).parent / "templates").glob("*.toml"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_examples(template, view):
    """Through the destinations of each example every vector leaves whole, or is refused by name."""
    loaded = load(template)
    assert loaded.configuration is not None
    for settings_of in loaded.configuration.destinations.values():
        way = WayOut(settings_of)
        for vector in USABLE:
            packet = decode(vector.data)
            try:
                left = way.leave(view(packet))
            except CannotLeaveError as error:
                Reason(error.reason)  # one of them, or ValueError
                continue
            assert len(left) <= way.largest
            if way.is_plain:
                assert left == packet.data
            elif settings_of.privacy is None and settings_of.compress == "payload":
                assert decode(left).payload == packet.payload


# --- the order of all ----------------------------------------------------------------------------

ALL = {
    "compress": 'compress = "payload"',
    "hep": "hep = 3",
    "auth_key": 'auth_key = "ours-carlota77"',
    "privacy": 'privacy = "p"',
    "set": 'set.node_name = "{sip.from_user} of {src_ip}"',
    "unset": 'unset = "vlan"',
}


@pytest.mark.parametrize("names", [list(ALL), list(reversed(ALL)), sorted(ALL)])
def test_the_order(way_out, view, names):
    """Edits read the payload inflated, privacy sees what they wrote, the key comes behind it."""
    way = way_out("\n".join(ALL[name] for name in names))
    packet = sip(payload=None, compressed_payload=zlib.compress(INVITE), vlan=5)
    left = decode(way.leave(view(packet)))
    assert left.vlan is None
    # Made of the user and the address, so the edit could read them; a token, so privacy came later.
    assert len(left.node_name) == 16
    assert left.auth_key == b"ours-carlota77"
    assert left.compressed_payload is not None
    assert b"carlota" not in left.payload


def test_old_versions_become_hep_3_behind_privacy(way_out, view):
    """A packet of HEP 1 is rewritten, stamped and converted at once."""
    way = way_out("\n".join(ALL.values()), "tls://10.9.9.9")
    left = decode(way.leave(view(version_1())))
    assert (left.version, left.auth_key, str(left.src_ip)) == (3, b"ours-carlota77", "10.1.2.0")
    assert b"carlota" not in left.payload


LEAKS = {
    "node_name": "{sip.from_user}@{src_ip}",
    "correlation_id": "{sip.call_id} {sip.from_user}",
    "group_id": "{sip.from_user}",
    "geo_location": "{src_ip}",
    "tag_values": "{sip.from_user|lower}",
    "payload_keys": "{sip.contact_user|default:carlota77}",
    "transaction_type": "{sip.from_user}",
    '"0x0042:0x0001"': "{sip.from_user}",
    '"0x0000:0x0065"': "{payload}",
    "src_ip": "{dst_ip}",
}


@settings(max_examples=25)
@given(
    st.permutations(sorted(LEAKS)), st.sampled_from(["hash", "mask", "drop"]), st.integers(1, 10)
)
def test_edits_do_not_leak(tmp_path_factory, names, users, number):
    """Whatever a destination, or a rule before it, writes into which chunk: nothing leaks."""
    folder = tmp_path_factory.mktemp("c")
    keys = "\n".join(f'set.{name} = "{LEAKS[name]}"' for name in names[:number])
    (folder / "hepsw.toml").write_text(
        '[[listen]]\nurl = "udp://127.0.0.1:9060"\n[destinations.a]\nurl = "udp://10.9.9.9"\n'
        f'{keys}\nprivacy = "p"\n{PROFILE}users = "{users}"\n'
    )
    configuration = load(folder / "hepsw.toml", Machine()).configuration
    way = WayOut(configuration.destinations["a"])
    peer_view = View(sip(), None, RECEIVED)
    left = way.leave(peer_view)
    assert b"carlota77" not in left
    assert b"10.1.2.3" not in left
    assert bytes([10, 1, 2, 3]) not in left
    assert sum(way.refused.values()) == 0
