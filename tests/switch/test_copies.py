"""`dedupe`: copies, retransmissions, and how much is remembered."""

from dataclasses import replace

import pytest

from hepsw.config.configuration import Dedupe
from hepsw.fields import CATALOGUE, header_field, json_field
from hepsw.hep import build, decode, encode_v1
from hepsw.switch.copies import Copies
from hepsw.view import View

WINDOW = 0.5
KEY = ("payload", "src_ip", "dst_ip", "src_port", "dst_port")
TIME = 1_700_000_000_000_000


def packet(payload=b"x", capture_id=1, time=TIME, **more):
    """Return a packet of an agent."""
    return build(
        **{"src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "src_port": 5060, "dst_port": 5060} | more,
        payload=payload,
        capture_id=capture_id,
        time=time,
    )


class Judge:
    """Copies with packets numbered as a switch numbers them."""

    def __init__(self, peer, *key, window=WINDOW, most=1000):
        fields = tuple(CATALOGUE.get(name) or header_field(name) for name in key or KEY)
        self.copies = Copies(Dedupe(window, fields), most)
        self.peer = peer
        self.number = 0

    def __call__(self, packet, now=0.0, peer=None, *, again=False):
        """Tell whether it is a copy; `again`: the same packet meets the rule once more."""
        self.number += not again
        return self.copies.is_copy(View(packet, peer or self.peer, 0), now, self.number)


@pytest.fixture
def judge(peer):
    """A rule with the default key."""
    return Judge(peer)


def test_another_agent_sends_a_copy(judge, peer):
    """Another capture id, name or address, whatever its clock says; and only within the window."""
    assert not judge(packet())
    assert judge(packet(capture_id=2, time=TIME + 3000), 0.1)
    assert judge(packet(node_name="b"), 0.2)
    assert judge(packet(), 0.3, replace(peer, ip=bytes([192, 0, 2, 77])))
    assert not judge(packet(capture_id=2), WINDOW + 0.1)


def test_a_port_and_trailing_nuls_make_no_other_agent(judge, peer):
    """A sender that restarted has another port; some end their name with a NUL."""
    assert not judge(packet(node_name=b"a"))
    assert not judge(packet(node_name=b"a\0", time=TIME + 1), 0.1, replace(peer, port=1))


def test_the_same_agent_sends_a_retransmission(judge):
    """At another capture time: it is kept, and is what the next ones are compared with."""
    assert not judge(packet())
    assert judge(packet(), 0.1)
    assert not judge(packet(time=TIME + 500_000), 0.3)
    assert judge(packet(capture_id=2), 0.7)


def test_a_copy_does_not_prolong_the_window(judge):
    """It is counted from the packet that was kept."""
    assert not judge(packet())
    assert judge(packet(capture_id=2), 0.4)
    assert not judge(packet(capture_id=2), 0.8)


def test_without_a_time_one_agent_sends_no_copies(judge):
    """HEP 1 has no capture time, so its retransmissions cannot be told from copies."""
    old = decode(
        encode_v1(
            src_ip="10.0.0.1",
            dst_ip="10.0.0.2",
            src_port=5060,
            dst_port=5060,
            ip_protocol=17,
            payload=b"x",
        )
    )
    assert not judge(old)
    assert not judge(old, 0.1)


def test_a_packet_is_no_copy_of_itself(judge):
    """It may meet the rule twice, where two rules call its table."""
    assert not judge(packet())
    assert not judge(packet(), again=True)
    assert judge(packet())


def test_the_key_says_what_copies_have_in_common(peer):
    """Only that; a field with several values counts with all of them, a missing one as missing."""
    judge = Judge(peer, "sip.header.X-Leg", "vlan")

    def leg(*legs, **more):
        lines = "".join(f"X-Leg: {leg}\r\n" for leg in legs)
        payload = f"OPTIONS sip:a SIP/2.0\r\n{lines}\r\n".encode()
        return build(proto_type=1, payload=payload, **more)

    assert not judge(leg("a", "b"))
    assert judge(leg("a", "b", capture_id=2))
    assert not judge(leg("a", capture_id=2))
    assert not judge(leg("ab", capture_id=2))
    assert not judge(leg("b", "a", capture_id=2))
    assert not judge(leg(capture_id=2))
    assert not judge(leg(capture_id=3, vlan=0))
    assert judge(leg(capture_id=4))


def test_numbers_are_equal_however_json_writes_them(peer):
    """3 and 3.0 are one value, and "3" is the text of it."""
    copies = Copies(Dedupe(WINDOW, (json_field("json.n"),)))
    views = [View(build(payload=text, capture_id=at), peer, 0)
             for at, text in enumerate([b'{"n":3}', b'{"n":3.0}', b'{"n":3.5}'])]  # fmt: skip
    assert [copies.is_copy(view, 0.0, at) for at, view in enumerate(views)] == [False, True, False]


def test_what_is_over_is_forgotten(judge):
    """With the next packet, whatever it is; that is not counted."""
    for number in range(100):
        judge(packet(b"%d" % number), number * 0.1)
    assert len(judge.copies._seen) <= 7
    assert judge.copies.forgotten == 0


def test_a_full_memory_forgets_the_oldest(peer):
    """Before the window is over, which is counted: copies of it pass from then on."""
    judge = Judge(peer, most=10)
    for number in range(25):
        judge(packet(b"%d" % number), 0.001 * number)
    assert len(judge.copies._seen) == 10
    assert judge.copies.forgotten == 15
    assert judge(packet(b"24", capture_id=2), 0.03)
    assert not judge(packet(b"0", capture_id=2), 0.03)


def test_only_digests_are_kept(judge):
    """A payload of 60,000 octets takes as much room as one of one."""
    judge(packet(b"x" * 60_000))
    assert all(len(key) == 16 for key in judge.copies._seen)


def test_a_clock_that_is_set_back_makes_no_copy(judge):
    """Nobody knows how long ago the other one came; from then on it counts as before."""
    assert not judge(packet(), 1000.0)
    assert not judge(packet(capture_id=2), 0.0)
    assert judge(packet(capture_id=3), 0.1)


def test_a_copy_is_dropped_by_name(remembering):
    """It ends there, as a match of the rule; what took it earlier has it."""
    switch = remembering.load(
        {"name": "all", "store": "s", "continue": True},
        {"name": "once", "dedupe": {"window": "500ms"}, "relay": "a"},
    )
    switch.send(packet())
    walked = switch.send(packet(capture_id=2), 0.1)
    assert (walked.path, walked.reason) == (["main/all", "main/once"], "duplicate")
    assert list(walked.outputs) == ["s"]
    assert switch.account.rules["main/once"].dropped == {"duplicate": 1}
    assert (switch.account.routed, switch.account.dropped) == (2, {})
