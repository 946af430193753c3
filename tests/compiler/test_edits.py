"""Edits that were prepared do what working them out for each packet does."""

from __future__ import annotations

from collections import Counter

import pytest
from hep.strategies import packets
from hypothesis import given
from hypothesis import strategies as st

from hepsw.compiler.edits import Edits, value_of
from hepsw.config.configuration import Edit
from hepsw.config.template import Template, parse
from hepsw.errors import EditError
from hepsw.fields import CATALOGUE, chunk_field
from hepsw.hep import ChunkKey, ChunkType, decode, edit
from hepsw.view import Peer, View

PEER = Peer(bytes([192, 0, 2, 1]), 40000, "udp", bytes(4), 9060, "in")
RECEIVED = 1_700_000_009_000_007

OWN = [
    chunk_field("tenant", ChunkKey(3, 0x31), ChunkType.UINT32),
    chunk_field("site", ChunkKey(3, 0x32), ChunkType.INET4),
    chunk_field("label", ChunkKey(2, 0x0F), ChunkType.UTF8),
    chunk_field("0x0003:0x000b", ChunkKey(3, 0x0B), ChunkType.OCTETS),
    chunk_field("0x0000:0x000c", ChunkKey(0, 0x0C), ChunkType.OCTETS),
    chunk_field("0x0000:0x0013", ChunkKey(0, 0x13), ChunkType.OCTETS),
]
FIELDS = [field for field in CATALOGUE.values() if field.edit is not None] + OWN
SOURCES = [
    *("{capture_id}", "{src_port}", "{ip_protocol}", "{proto_type}", "{vlan|default:7}"),
    *("{node_name}", "{correlation_id}x", "{payload}", "{time}", "{src_ip}"),
    *("{peer_ip}", "{peer_ip}:{peer_port}", "{src_mac}", "{sip.call_id}", "00{src_port}"),
    *("{dst_port}0000000000000000", "-{tos}", "99999999999999999999{tos}", "{ip}"),
]
templates = st.sampled_from([parse(source, lambda name: CATALOGUE[name]) for source in SOURCES])


@st.composite
def edits(draw):
    """One edit, of any field."""
    field = draw(st.sampled_from(FIELDS))
    if field.bits:
        constant = st.integers(0, field.largest)
    elif field.name == "time":
        constant = st.integers(0, 4_294_967_295_999_999)
    elif field.octets or field.kind.value == "ip":
        size = field.octets or draw(st.sampled_from([4, 16]))
        constant = st.binary(min_size=size, max_size=size)
    else:
        constant = st.binary(max_size=6)
    return Edit(field, draw(constant | templates | st.none()))


def plainly(view, wanted, refused):
    """Do what a rule says, as it is written, with nothing prepared."""
    changes = {}
    for one in wanted:
        value = one.value
        if isinstance(value, Template):
            octets = value.render(view)
            if not octets:
                refused["empty"] += 1
                continue
            try:
                value = value_of(one.field, octets)
            except ValueError:
                refused["does-not-fit"] += 1
                continue
        if isinstance(one.field.edit, tuple) and isinstance(value, int):
            value = value.to_bytes(one.field.bits // 8)
        changes[one.field.edit] = value
    try:
        return edit(view.packet, changes, RECEIVED)
    except EditError as error:
        if len(changes) == 1:
            refused[error.reason] += 1
            return view.packet
    packet = view.packet
    for name, value in changes.items():
        try:
            packet = edit(packet, {name: value}, RECEIVED)
        except EditError as error:
            refused[error.reason] += 1
    return packet


@given(packets, st.lists(edits(), max_size=4), st.booleans())
def test_prepared_or_not(packet, wanted, resumed):
    """The same octets, and the same refusals counted, whatever is set and unset."""
    view = View(packet, PEER, RECEIVED, resumed=resumed)
    expected, counted = Counter(), Counter()
    plain = plainly(view, wanted, expected)
    before = packet.data
    prepared = Edits(wanted)
    for _ in range(2):  # nothing of one packet is left for the next
        counted.clear()
        after = prepared.carried_out(view, counted)
        assert (after.packet.data, dict(counted)) == (plain.data, dict(expected))
        assert (after.peer, after.received_us, after.resumed) == (PEER, RECEIVED, resumed)
        assert view.packet.data == before


def edited(packet, **values):
    """Carry out edits by the names of their fields; return the packet and what was refused."""
    wanted = []
    for name, value in values.items():
        if isinstance(value, str):
            value = parse(value, lambda name: CATALOGUE[name])  # noqa: PLW2901 - as written
        wanted.append(Edit(CATALOGUE[name], value))
    refused = Counter()
    view = View(packet, PEER, RECEIVED)
    return Edits(wanted).carried_out(view, refused).packet, dict(refused)


def test_what_is_refused_leaves_the_rest(sip):
    """Too big, empty and no number: counted once each, and the constant is set."""
    packet, refused = edited(
        sip, payload=bytes(65500), group_id="{geo_location}", vlan="{node_name}", tos=7
    )
    assert refused == {"too-big": 1, "empty": 1, "does-not-fit": 1}
    assert (packet.tos, packet.payload) == (7, sip.payload)
    assert edited(sip, vlan="{capture_id}0000") == (sip, {"does-not-fit": 1})
    assert edited(sip, group_id="{geo_location}") == (sip, {"empty": 1})


def test_all_templates_see_the_packet_before(sip):
    """They are computed before any chunk is written."""
    packet, _ = edited(sip, src_port="{dst_port}", dst_port="{src_port}", node_name="{src_port}")
    assert (packet.src_port, packet.dst_port, packet.node_name) == (5062, 5060, b"5060")


def test_what_outputs_hold_stays(sip):
    """An edit makes another packet, also where lengths are the same."""
    packet, _ = edited(sip, capture_id=7)
    assert (packet.capture_id, sip.capture_id) == (7, 2001)
    assert len(packet.data) == len(sip.data)


def test_a_packet_with_a_note(sip):
    """What only the decoder saw is not said of the edited frame."""
    noted = decode(sip.data + b"more")
    packet, _ = edited(noted, auth_key=None)
    assert (packet.notes, packet.data) == ((), sip.data)


@pytest.mark.parametrize("field", [OWN[4], CATALOGUE["payload"]], ids=lambda field: field.name)
def test_not_every_text_is_a_body_as_it_is(sip, field):
    """A chunk that HEP knows has its size under a raw name too; a payload is two chunks."""
    packet = edit(sip, {"compressed_payload": b"z"}, RECEIVED)
    view = View(packet, PEER, RECEIVED)
    for source in ("{sip.method}", "{src_port}"):
        wanted = [Edit(field, parse(source, lambda name: CATALOGUE[name]))]
        refused, expected = Counter(), Counter()
        after = Edits(wanted).carried_out(view, refused)
        assert after.packet == plainly(view, wanted, expected)
        assert refused == expected
