"""Envelopes: a view comes back from its octets, and nothing else does."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.errors import DecodeError
from hepsw.hep import decode as decode_frame
from hepsw.sinks.stores.envelope import LONGEST, Mark, decode, encode, mark_of
from hepsw.view import Peer, View

FRAMES = [
    b"HEP3" + struct.pack("!H", 6),
    b"HEP3" + struct.pack("!HHHH", 16, 0, 0x0F, 10) + b"\xff\0\r\n",
    bytes.fromhex("0110021113c413c4c0000201c0000202") + b"OPTIONS sip:a SIP/2.0\r\n\r\n",
    bytes.fromhex("021c021113c413c4c0000201c0000202") + bytes(12) + b"OPTIONS",
]
ADDRESSES = st.sampled_from([b"", bytes([192, 0, 2, 1]), bytes(range(16))])
PORTS = st.sampled_from([0, 9060, 65535])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PEERS = st.builds(
    Peer, ADDRESSES, PORTS, TEXTS, ADDRESSES, PORTS, TEXTS, st.one_of(st.none(), TEXTS)
)
VIEWS = st.builds(
    lambda frame, peer, us, resumed: View(decode_frame(frame), peer, us, resumed=resumed),
    st.sampled_from(FRAMES),
    PEERS,
    st.sampled_from([0, 1_700_000_000_000_000, 253_402_300_799_999_999]),
    st.booleans(),
)
PEER = Peer(bytes([192, 0, 2, 1]), 9060, "tls", bytes(16), 9061, "main", "agent")


def made(frame=FRAMES[1]):
    return encode(View(decode_frame(frame), PEER, 17))


@given(VIEWS)
def test_round_trip(view):
    """Frame, peer, time and `resumed` come back, of every HEP version."""
    assert decode(encode(view)) == view


@given(VIEWS, st.builds(Mark, st.binary(min_size=16, max_size=16), st.just(3), st.just(4)))
def test_mark_of_a_batch(view, mark):
    """It is read without the rest, and the packet is the same with it."""
    octets = encode(view, mark)
    assert mark_of(octets) == mark
    assert decode(octets) == view
    assert mark_of(encode(view)) is None
    assert mark_of(octets[:20]) is None


@given(VIEWS, st.data())
def test_arbitrary_octets(view, data):
    """Octets that changed are a view or an error that says where, never anything else."""
    octets = bytearray(encode(view))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    octets = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    offset, found = 0, None
    try:
        found = decode(octets)
    except DecodeError as error:
        offset = error.offset
    assert 0 <= offset <= len(octets)
    assert found is None or decode(encode(found)) == found


@given(st.binary(max_size=60))
def test_octets_without_any_sense(octets):
    """What is no envelope at all is refused."""
    with pytest.raises(DecodeError):
        decode(b"\x01" + octets)


@pytest.mark.parametrize(
    ("at", "octet", "reason", "offset"),
    [
        (0, 2, "envelope-version", 0),
        (1, 4, "envelope-flags", 1),
        (1, 2, "envelope-mark", 12),
        (2, 0x80, "envelope-time", 2),
        (2, 0x7F, "envelope-time", 2),
        (10, 0xFF, "envelope-peer", 10),
        (16, 5, "envelope-address", 16),
        (21, 3, "envelope-address", 21),
        (38, 0xF0, "envelope-text", 38),
        (40, 0xFF, "envelope-text", 40),
    ],
)
def test_damage_is_named_where_it_is(at, octet, reason, offset):
    """Each field is checked, and the error leads to it."""
    octets = bytearray(made())
    octets[at] = octet
    with pytest.raises(DecodeError) as error:
        decode(bytes(octets))
    assert (error.value.reason, error.value.offset) == (reason, offset)


def test_damaged_frame_and_what_follows_it():
    """The offset of a frame's own trouble counts from the start of the envelope."""
    octets = made()
    with pytest.raises(DecodeError) as error:
        decode(octets + b"x")
    assert (error.value.reason, error.value.offset) == ("envelope-trailing", len(octets))
    start = octets.index(b"HEP3")
    with pytest.raises(DecodeError) as error:
        decode(octets[: start + 2])
    assert (error.value.reason, error.value.offset) == ("too-short", start + 2)


def test_peers_are_shared():
    """Few peers send many packets: all that came back have the same object."""
    assert decode(made()).peer is decode(made(FRAMES[0])).peer


def test_name_that_is_too_long_is_cut_between_characters():
    """A certificate may name anybody; half a surrogate or a long name does not stop the store."""
    long = Peer(b"", 0, "tls", b"", 0, "main", "x" + "é" * LONGEST)
    assert decode(encode(View(decode_frame(FRAMES[0]), long, 0))).peer.name == "x" + "é" * 499
    odd = Peer(b"", 0, "tls", b"", 0, "main", "\udc80")
    assert decode(encode(View(decode_frame(FRAMES[0]), odd, -5))).peer.name == "?"
