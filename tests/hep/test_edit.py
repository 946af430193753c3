from __future__ import annotations

import pytest
from hep.strategies import (
    IPV4,
    IPV6,
    address_changes,
    changes,
    packets,
    packets_v1,
    packets_v2,
    packets_v3,
    raw_changes,
    times,
)
from hep.vectors import BY_NAME, USABLE, named
from hypothesis import given
from hypothesis import strategies as st

from hepsw.hep import GENERIC, Chunk, ChunkKey, EditError, build, decode, edit, encode, to_v3

RECEIVED = 1_700_000_009_000_007
SIDES = {"src_ip": "src_address", "dst_ip": "dst_address"}
IDS = {
    name: {spec.type_id for spec in GENERIC if spec.name == name}
    for name in {spec.name for spec in GENERIC}
}
IDS |= {"time": {9, 10}, "payload": {0x0F, 0x10}}


def sip():
    return decode(BY_NAME["captagent-sip-udp"].data)


def ids(packet):
    return [chunk.type_id for chunk in packet.chunks()]


def others(packet, edited_ids):
    """List the chunks of a packet that an edit must leave alone."""
    return [c for c in packet.chunks() if c.vendor_id or c.type_id not in edited_ids]


def reason(packet, change):
    with pytest.raises(EditError) as caught:
        edit(packet, change, RECEIVED)
    return caught.value.reason


@given(packets_v3, changes)
def test_keeps_the_rest(packet, change):
    """Chunks outside of the edited field keep their order and octets; the field reads as set."""
    name, value = change
    before = packet.data
    edited = edit(packet, {name: value}, RECEIVED)
    assert packet.data == before
    assert edited.magic == packet.magic
    assert others(edited, IDS[name]) == others(packet, IDS[name])
    assert getattr(edited, name) == value
    assert sum(c.type_id in IDS[name] and not c.vendor_id for c in edited.chunks()) <= 1
    assert edit(edited, {name: value}, RECEIVED) == edited


@given(packets_v3, st.lists(changes, max_size=4))
def test_many_at_once(packet, several):
    """Several changes at once are the same as one after the other."""
    change = dict(several)
    if "payload" in change and "compressed_payload" in change:
        change.pop("compressed_payload")
    step = packet
    for name, value in change.items():
        step = edit(step, {name: value}, RECEIVED)
    assert edit(packet, change, RECEIVED) == step


@given(packets_v3, raw_changes)
def test_raw(packet, change):
    """A chunk named by its key is carried as given, and only that one changes."""
    key, value = change
    edited = edit(packet, {key: value}, RECEIVED)
    assert edited.chunk(key) == value
    assert [c for c in edited.chunks() if c.key != key] == [
        c for c in packet.chunks() if c.key != key
    ]
    for spec in GENERIC:
        assert getattr(edited, spec.name) == getattr(packet, spec.name)


@given(packets_v3, times | st.none())
def test_time(packet, time_us):
    """Both chunks of the time are set, or removed, together."""
    edited = edit(packet, {"time": time_us}, RECEIVED)
    assert edited.time_us == time_us
    assert others(edited, {9, 10}) == others(packet, {9, 10})


@given(packets, address_changes, st.booleans())
def test_address(packet, change, both):
    """An edited address reads as set, the other side as before, and the family fits."""
    name, value = change
    change = {name: value}
    if both:
        change = dict.fromkeys(SIDES, value)
    edited = edit(packet, change, RECEIVED)
    for side, attribute in SIDES.items():
        assert getattr(edited, attribute) == change.get(side, getattr(packet, attribute))
    found = {len(address) for address in (edited.src_address, edited.dst_address) if address}
    if edited.ip_family in {2, 10, 23} and found:
        assert (4 if edited.ip_family == 2 else 16) in found
    if edited.version != 3:
        return
    # An edited side never keeps both kinds.
    for side, pair in (("src_ip", (3, 5)), ("dst_ip", (4, 6))):
        if side in change:
            assert sum(edited.body(type_id) is not None for type_id in pair) <= 1
    if packet.version == 3:
        touched = {1, 3, 4, 5, 6}
        assert others(edited, touched) == others(packet, touched)


@given(packets_v3, address_changes)
def test_address_touches_nothing_needless(packet, change):
    """Without a change of family, the family chunk and the other side stay as they are."""
    name, value = change
    old = getattr(packet, SIDES[name])
    if old is None or value is None or len(old) != len(value):
        return
    if packet.ip_family not in {{4: 2, 16: 10}[len(value)], 7, None}:
        return
    edited = edit(packet, {name: value}, RECEIVED)
    assert others(edited, IDS[name]) == others(packet, IDS[name])


def test_ipv4_to_ipv6():
    """Both addresses rewritten: 3 and 4 become 5 and 6 where they stand, 2 becomes 10."""
    packet = sip()
    edited = edit(packet, {"src_ip": IPV6[0], "dst_ip": IPV6[1]}, RECEIVED)
    expected = [
        {
            1: Chunk(0, 1, b"\x0a"),
            3: Chunk(0, 5, IPV6[0]),
            4: Chunk(0, 6, IPV6[1]),
        }.get(chunk.type_id, chunk)
        for chunk in packet.chunks()
    ]
    assert list(edited.chunks()) == expected
    assert edited.warnings == ()
    back = {"src_ip": packet.src_address, "dst_ip": packet.dst_address}
    assert edit(edited, back, RECEIVED) == packet


def test_mixed_pair():
    """One side of each family still reads as two addresses."""
    edited = edit(sip(), {"dst_ip": IPV6[0]}, RECEIVED)
    assert edited.src_address == sip().src_address
    assert edited.dst_address == IPV6[0]
    assert edited.ip_family == 10
    assert edited.warnings == ("both-families",)


def test_both_families_are_settled():
    """Where the family chose between two kinds of address, the choice outlives its change."""
    packet = decode(BY_NAME["both-families-v4-declared"].data)
    edited = edit(packet, {"src_ip": IPV6[1]}, RECEIVED)
    assert edited.src_address == IPV6[1]
    assert edited.dst_address == packet.dst_address
    assert set(ids(edited)) & {3, 4, 5, 6} == {4, 5}


@pytest.mark.parametrize("family", [0, 7])
def test_strange_family_stays(family):
    """A family number that means nothing is not corrected in passing."""
    packet = build(ip_family=family, src_ip=IPV4[0], dst_ip=IPV4[1])
    assert edit(packet, {"src_ip": IPV4[1]}, RECEIVED).ip_family == family
    assert edit(packet, {"src_ip": IPV6[1]}, RECEIVED).ip_family == 10


def test_windows_family_stays():
    """SIPSorcery's 23 already means IPv6."""
    packet = decode(BY_NAME["sipsorcery-ipv6-family-23"].data)
    assert edit(packet, {"src_ip": IPV6[1]}, RECEIVED).ip_family == 23
    assert edit(packet, {"src_ip": IPV4[1], "dst_ip": IPV4[0]}, RECEIVED).ip_family == 2


def test_removed_address():
    """What is left of a mixed pair decides on the family."""
    mixed = edit(sip(), {"dst_ip": IPV6[0]}, RECEIVED)
    left = edit(mixed, {"dst_ip": None}, RECEIVED)
    assert left.dst_address is None
    assert left.ip_family == 2
    bare = edit(left, {"src_ip": None}, RECEIVED)
    assert (bare.src_address, bare.ip_family) == (None, 2)
    assert edit(bare, {"src_ip": IPV6[0]}, RECEIVED).ip_family == 10


def test_family_absent():
    """A frame without a family chunk gets none for an edited address: its chunk id says it."""
    packet = build(src_port=1)
    edited = edit(packet, {"src_ip": IPV6[0]}, RECEIVED)
    assert ids(edited) == [7, 5]


def test_family():
    """The family may be set to what the addresses are, and to nothing else."""
    packet = sip()
    assert edit(packet, {"ip_family": 2}, RECEIVED) == packet
    assert reason(packet, {"ip_family": 10}) == "family"
    assert reason(packet, {"ip_family": 7}) == "family"
    assert reason(packet, {"ip_family": 2, "src_ip": IPV6[0], "dst_ip": IPV6[1]}) == "family"
    both = {"src_ip": IPV6[0], "dst_ip": IPV6[1]}
    assert edit(packet, {"ip_family": 10, **both}, RECEIVED) == edit(packet, both, RECEIVED)
    assert edit(packet, {"ip_family": None}, RECEIVED).ip_family is None
    contradicted = decode(BY_NAME["family-contradicts-addresses"].data)
    assert edit(contradicted, {"ip_family": 2}, RECEIVED).warnings == ()
    both_kinds = decode(BY_NAME["both-families-v4-declared"].data)
    assert reason(both_kinds, {"ip_family": 10}) == "family"
    assert edit(build(), {"ip_family": 10}, RECEIVED).ip_family == 10


def test_absent_and_repeated():
    """Removing what is absent changes nothing; what is there twice goes, or becomes one."""
    packet = sip()
    assert edit(packet, {"vlan": None, ChunkKey(3, 9): None}, RECEIVED) == packet
    twice = decode(BY_NAME["duplicate-capture-id"].data)
    assert edit(twice, {"capture_id": None}, RECEIVED).chunk(ChunkKey(0, 12)) is None
    once = edit(twice, {"capture_id": 2}, RECEIVED)
    assert ids(once).count(12) == 1
    assert ids(once).index(12) == ids(twice).index(12)
    assert once.warnings == ()
    assert ids(edit(packet, {"node_name": b"edge"}, RECEIVED)) == [*ids(packet), 0x13]


def test_payload():
    """A new payload replaces a compressed one; removing it removes both."""
    packet = decode(BY_NAME["both-payload-kinds"].data)
    edited = edit(packet, {"payload": b"BYE"}, RECEIVED)
    assert edited.payload == b"BYE"
    assert edited.compressed_payload is None
    assert edit(packet, {"payload": None}, RECEIVED).payload_span is None
    packet = decode(BY_NAME["captagent-zlib-payload"].data)
    assert ids(edit(packet, {"payload": b"BYE"}, RECEIVED))[-1] == 0x0F


@pytest.mark.parametrize("vendor_id", [2, 3])
@pytest.mark.parametrize("type_id", [0x0B, 0x0F])
@pytest.mark.parametrize("first", [True, False])
def test_vendor_chunk_beside_the_generic(vendor_id, type_id, first):
    """A vendor's chunk of the same id never stands for the generic one, and both are kept."""
    chunks = list(sip().chunks())
    vendor = Chunk(vendor_id, type_id, b"vendor")
    packet = decode(encode([vendor, *chunks] if first else [*chunks, vendor]))
    assert (packet.proto_type, packet.payload) == (1, sip().payload)
    assert packet.warnings == ()
    name, value = ("proto_type", 100) if type_id == 0x0B else ("payload", b"x")
    edited = edit(packet, {name: value}, RECEIVED)
    assert getattr(edited, name) == value
    assert edited.chunk(vendor.key) == b"vendor"
    edited = edit(packet, {vendor.key: b"other"}, RECEIVED)
    assert edited.chunk(vendor.key) == b"other"
    assert getattr(edited, name) == getattr(packet, name)


def test_vendor_namespace():
    """In Kazoo's frames a name means Kazoo's chunk; what would mix namespaces is refused."""
    packet = decode(BY_NAME["kazoo-all-chunks-vendor-1"].data)
    edited = edit(packet, {"src_ip": IPV6[0], "capture_id": 7, "auth_key": b"k"}, RECEIVED)
    assert {chunk.vendor_id for chunk in edited.chunks()} == {1}
    assert (edited.src_address, edited.capture_id, edited.auth_key) == (IPV6[0], 7, b"k")
    assert edited.ip_family == 10
    assert reason(packet, {"node_name": b"edge"}) == "vendor-namespace"
    assert reason(packet, {ChunkKey(0, 0x65): b"{}"}) == "vendor-namespace"
    assert reason(packet, {"payload": None}) == "vendor-namespace"
    intercepted = decode(BY_NAME["eep3-interception-vendor-9"].data)
    assert edit(intercepted, {"proto_type": 5}, RECEIVED).proto_type == 5
    assert reason(intercepted, {"capture_id": 5}) == "vendor-namespace"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"src_port": 65536}, "does-not-fit"),
        ({"src_port": b"\0\1"}, "does-not-fit"),
        ({"node_name": 5}, "does-not-fit"),
        ({"src_ip": b"abc"}, "does-not-fit"),
        ({"src_ip": 5}, "does-not-fit"),
        ({"time": -1}, "does-not-fit"),
        ({"time": 1 << 60}, "does-not-fit"),
        ({"time": b""}, "does-not-fit"),
        ({"capture_id": 1 << 32}, "does-not-fit"),
        ({"payload": 0}, "does-not-fit"),
        ({ChunkKey(0, 0x0C): b"\1"}, "does-not-fit"),
        ({ChunkKey(5, 5): 1}, "does-not-fit"),
        ({ChunkKey(65536, 5): b""}, "does-not-fit"),
        ({"payload": bytes(65530) + b"x"}, "too-big"),
        ({"payload": bytes(65536) + b"x"}, "too-big"),
    ],
)
@pytest.mark.parametrize("name", ["captagent-sip-udp", "v1-ipv4-udp-sip", "v2-ipv4-captagent"])
def test_refused(name, change, why):
    """A change that cannot be carried is refused with its reason; the packet is as it was."""
    packet = decode(BY_NAME[name].data)
    assert reason(packet, change) == why
    assert packet.data == BY_NAME[name].data


def test_unknown_name():
    """A name that is not in the registry is the caller's bug."""
    with pytest.raises(KeyError):
        edit(sip(), {"colour": 1}, RECEIVED)


def test_raw_numbers():
    """A known chunk named by its key takes a number too."""
    assert edit(sip(), {ChunkKey(0, 0x0C): 7}, RECEIVED).capture_id == 7


LEGACY = st.fixed_dictionaries(
    {},
    optional={
        "src_port": st.sampled_from([0, 65535]),
        "dst_port": st.sampled_from([1, 5060]),
        "ip_protocol": st.sampled_from([6, 22]),
        "payload": st.sampled_from([b"", b"BYE"]),
    },
)


@given(packets_v1 | packets_v2, LEGACY)
def test_legacy_stays_legacy(packet, change):
    """What a HEP1 or HEP2 header can say stays in its version, all else untouched."""
    edited = edit(packet, change, RECEIVED)
    assert edited.version == packet.version
    for name in ("src_port", "dst_port", "ip_protocol", "payload"):
        assert getattr(edited, name) == change.get(name, getattr(packet, name))
    for name in ("src_address", "dst_address", "time_us", "capture_id", "header_length"):
        assert getattr(edited, name) == getattr(packet, name)
    nuls = len(packet.data) - packet.payload_span[1]
    assert len(edited.data) - edited.payload_span[1] == (0 if "payload" in change else nuls)


@given(packets_v2, times, st.sampled_from([0, 77, 65535]))
def test_hep2_time(packet, time_us, capture_id):
    """HEP2 carries a time and a capture id of 16 bits."""
    edited = edit(packet, {"time": time_us, "capture_id": capture_id}, RECEIVED)
    assert (edited.version, edited.time_us, edited.capture_id) == (2, time_us, capture_id)
    assert edited.payload == packet.payload


@pytest.mark.parametrize(
    "name",
    ["v2-ipv4-erlang-big-endian", "v2-sngrep-hl-high-octet", "v2-ipv4-sofia-hl28"],
)
def test_hep2_keeps_its_ways(name):
    """Header length, padding and byte order of HEP2 stay as the agent writes them."""
    packet = decode(BY_NAME[name].data)
    edited = edit(packet, {"time": 1_600_000_000_000_001, "capture_id": 5}, RECEIVED)
    assert edited.version == 2
    assert edited.time_us == 1_600_000_000_000_001
    assert edited.capture_id == 5
    assert edited.warnings == packet.warnings
    assert edited.data[:16] == packet.data[:16]
    assert edited.data[26:] == packet.data[26:]


@pytest.mark.parametrize(
    ("name", "header_length"),
    [
        ("v1-ipv4-udp-sip", 40),
        ("v2-ipv4-captagent", 40),
        ("v2-ipv4-sofia-hl28", 52),
        ("v2-sngrep-hl-high-octet", 1),
    ],
)
def test_legacy_family(name, header_length):
    """Both addresses of the other family: still HEP1 or HEP2, and nothing else moves."""
    packet = decode(BY_NAME[name].data)
    edited = edit(packet, {"src_ip": IPV6[0], "dst_ip": IPV6[1]}, RECEIVED)
    assert edited.version == packet.version
    assert (edited.src_address, edited.dst_address) == tuple(IPV6)
    assert (edited.ip_family, edited.header_length) == (10, header_length)
    assert edited.data[40:] == packet.data[16:]
    back = {"src_ip": packet.src_address, "dst_ip": packet.dst_address}
    assert edit(edited, back, RECEIVED) == packet


def test_legacy_family_number():
    """The family of HEP1 may be set to what its addresses are."""
    packet = decode(BY_NAME["v1-family-23"].data)
    assert edit(packet, {"src_port": 1}, RECEIVED).ip_family == 23
    edited = edit(packet, {"ip_family": 10}, RECEIVED)
    assert (edited.version, edited.ip_family) == (1, 10)
    assert reason(packet, {"ip_family": 2}) == "family"


@pytest.mark.parametrize(
    "change",
    [
        {"node_name": b"edge"},
        {"src_ip": IPV6[0]},
        {"capture_id": 65536},
        {"proto_type": 5},
        {"payload": None},
        {"payload": b"BYE\0"},
        {"time": 0x00F15365 * 1_000_000},
        {ChunkKey(3, 9): b"x"},
    ],
)
@pytest.mark.parametrize("name", ["v1-ipv4-udp-sip", "v2-ipv4-captagent"])
def test_legacy_converts(name, change):
    """What their header cannot say makes HEP3 of HEP1 and HEP2 first."""
    packet = decode(BY_NAME[name].data)
    edited = edit(packet, change, RECEIVED)
    assert edited == edit(to_v3(packet, RECEIVED), change, RECEIVED)
    assert edited.version == 3
    for field, value in change.items():
        if field == "time":
            assert edited.time_us == value
        elif isinstance(field, ChunkKey):
            assert edited.chunk(field) == value
        else:
            assert getattr(edited, SIDES.get(field, field)) == value


@pytest.mark.parametrize("vector", USABLE, ids=named)
def test_real_frames(vector):
    """Every usable frame takes an edit, and one that sets what it has changes nothing."""
    packet = decode(vector.data)
    if packet.namespace:
        return
    if len(packet.data) > 65525:
        assert reason(packet, {"node_name": b"edge"}) == "too-big"
        return
    edited = edit(packet, {"node_name": b"edge"}, RECEIVED)
    assert edited.node_name == b"edge"
    base = to_v3(packet, RECEIVED)
    assert others(edited, {0x13}) == others(base, {0x13})
    if packet.ip_protocol is not None and not packet.has_repeats:
        assert edit(packet, {"ip_protocol": packet.ip_protocol}, RECEIVED) == packet
