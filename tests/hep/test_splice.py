"""Ready chunks, spliced in, make the same octets as `edit`."""

from __future__ import annotations

import pytest
from hep.strategies import (
    NAMES,
    addresses,
    changes,
    packets,
    packets_v3,
    payloads,
    raw_changes,
    times,
)
from hypothesis import given
from hypothesis import strategies as st

from hepsw.hep import Chunk, ChunkKey, EditError, build, decode, edit, encode
from hepsw.hep.splice import pieces_of, spliced

RECEIVED = 1_700_000_009_000_007

keys = st.builds(
    ChunkKey,
    st.sampled_from([0, 2, 3, 7, 65535]),
    st.sampled_from(
        [0, 1, 3, 0x000B, 0x000C, 0x000F, 0x0010, 0x0019, 0x0029, 0x002A, 0x0065, 65535]
    ),
)
any_changes = (
    changes
    | raw_changes
    | st.tuples(keys, st.none() | st.sampled_from([b"", b"x", b"1234", b"raw", 1]))
    | st.tuples(st.just("time"), times | st.none() | st.sampled_from([-1, 1 << 60]))
    | st.tuples(st.just("payload"), payloads | st.none())
    | st.tuples(st.sampled_from(["src_ip", "dst_ip"]), addresses | st.none())
    | st.tuples(st.just("ip_family"), st.sampled_from([2, 10]) | st.none())
    | st.tuples(st.sampled_from(NAMES), st.sampled_from([-1, 256, 1 << 64, b"odd"]))
)
vendor_packets = st.builds(
    lambda vendor_id, chunks: decode(encode([Chunk(vendor_id, *chunk) for chunk in chunks])),
    st.sampled_from([1, 2, 3]),
    st.lists(
        st.tuples(
            st.sampled_from([0x0002, 0x000B, 0x000C, 0x000F, 0x0010, 0x0065]),
            st.sampled_from([b"", b"x", b"1234"]),
        ),
        max_size=5,
    ),
)


def by_pieces(packet, change):
    """Return what splicing makes of changes, None where it has no answer."""
    pieces = []
    for name, value in change.items():
        try:
            made = pieces_of(name, value)
        except EditError:
            return None
        if made is None:
            return None
        pieces += made
    if len({(one.vendor_id, one.type_id) for one in pieces}) < len(pieces):
        return None
    return spliced(packet, pieces)


def seen(packet):
    """Return all that two packets can differ in."""
    return (
        packet.data,
        packet.version,
        packet.namespace,
        packet.steps,
        packet.has_repeats,
        packet.notes,
        packet.warnings,
        packet.time_us,
        [packet.body(type_id) for type_id in range(0x2A)],
    )


@given(packets | vendor_packets, st.lists(any_changes, max_size=5))
def test_as_edit_does(packet, several):
    """Whatever the packet and the changes: the same packet, or no answer."""
    change = dict(several)
    before = packet.data
    made = by_pieces(packet, change)
    assert packet.data == before
    if made is not None and change:
        assert seen(made) == seen(edit(packet, change, RECEIVED))


@given(packets_v3, st.lists(changes, min_size=1, max_size=4))
def test_has_an_answer(packet, several):
    """Where no chunk repeats, the usual changes need nobody else."""
    change = dict(several)
    # `packets_v3` has this one so that no vendor's chunks are alone.
    is_last = change.get("keep_alive", b"") is None
    if is_last or packet.has_repeats or {"payload", "compressed_payload"} <= change.keys():
        return
    assert by_pieces(packet, change) == edit(packet, change, RECEIVED)


@given(st.integers(0, 30), st.integers(0, 30), st.booleans())
def test_fills_a_frame_to_its_limit(short, long, is_there):
    """65535 octets are spliced, one more is not."""
    packet = build(node_name=b"n" * 9 if is_there else None, payload=b"x" * (65535 - 50 - short))
    body = b"y" * (20 + long)
    size = len(packet.data) + len(body) - 9 if is_there else len(packet.data) + 6 + len(body)
    made = by_pieces(packet, {"node_name": body})
    if size > 65535:
        assert made is None
        with pytest.raises(EditError, match="too-big"):
            edit(packet, {"node_name": body}, RECEIVED)
    else:
        assert made == edit(packet, {"node_name": body}, RECEIVED)
        assert len(made.data) == size


def test_a_body_beyond_any_frame_has_no_answer():
    """However long: lengths are added up before anything is written."""
    packet = build(payload=b"x")
    assert by_pieces(packet, {"node_name": bytes(65535), "payload": bytes(65535)}) is None
    assert by_pieces(packet, {ChunkKey(3, 1): bytes(1 << 20)}) is None


def test_removing_what_is_absent_changes_nothing():
    """The very packet comes back; one with a note becomes what its frame alone says."""
    packet = build(payload=b"x")
    assert by_pieces(packet, {"vlan": None, ChunkKey(3, 0x65): None}) is packet
    noted = decode(packet.data + b"more")
    made = by_pieces(noted, {"vlan": None})
    assert (noted.notes, made.notes, made.data) == (("trailing-bytes",), (), packet.data)


def test_the_same_numbers_twice_have_no_answer():
    """Two pieces cannot take one place."""
    packet = build(vlan=1, payload=b"x")
    pieces = [*pieces_of("vlan", 2), *pieces_of("vlan", 3)]
    assert spliced(packet, pieces) is None


def test_repeats_have_no_answer():
    """Neither generic chunks nor a vendor's."""
    packet = decode(encode([Chunk(0, 0x12, b"\0\1")] * 2 + [Chunk(3, 0x65, b"a")] * 2))
    assert by_pieces(packet, {"vlan": 1}) is None
    assert by_pieces(packet, {ChunkKey(3, 0x65): b"b"}) is None
    assert by_pieces(packet, {"tos": 1}) == edit(packet, {"tos": 1}, RECEIVED)


def test_the_last_generic_chunk_is_left_to_edit():
    """Without it the others would be read as a vendor's: that is refused, by `edit`."""
    packet = decode(encode([Chunk(0, 0x12, b"\0\1"), Chunk(2, 0x0F, b"x")]))
    assert by_pieces(packet, {"vlan": None}) is None
    with pytest.raises(EditError, match="vendor-namespace"):
        edit(packet, {"vlan": None}, RECEIVED)


@pytest.mark.parametrize("change", [{"capture_id": 7}, {"proto_type": 5}, {"node_name": b"x"}])
def test_a_vendors_namespace_has_no_answer(change):
    """The numbers of the pieces are not those of its chunks."""
    packet = decode(encode([Chunk(1, 0x0B, b"\1"), Chunk(1, 0x0F, b"x")]))
    assert packet.namespace == 1
    assert by_pieces(packet, change) is None


@pytest.mark.parametrize("payload", [b"new", None])
def test_a_payload_takes_the_place_of_a_compressed_one(payload):
    """Set or removed, by name; by its numbers, a chunk is that chunk alone."""
    packet = build(compressed_payload=b"zzz", payload=b"old", vlan=1)
    made = by_pieces(packet, {"payload": payload})
    assert (made.payload, made.compressed_payload) == (payload, None)
    assert made == edit(packet, {"payload": payload}, RECEIVED)
    made = by_pieces(packet, {ChunkKey(0, 0x0F): b"raw"})
    assert (made.payload, made.compressed_payload) == (b"raw", b"zzz")
