"""One packet as a row: what the columns say, and what making it leaves alone."""

import pytest
from sqlite_files import (
    ARRIVAL_US,
    HOSTILE,
    compressed,
    hep3,
    settings_of,
    sip,
    vectors,
    view,
)

from hepsw.config.columns import TAKEN
from hepsw.sinks.stores.rows import (
    COLUMNS,
    COMPUTED,
    columns_with,
    frame_of,
    make_row,
    octets_of,
)
from hepsw.sinks.stores.sqlite.schema import SCHEMA_VERSION
from hepsw.view import Peer, View


def row_of(each, columns=()):
    """Return a row by its columns."""
    further = settings_of(None, columns=columns).columns
    names = columns_with(name for name, _ in further)
    row = make_row(each, [template for _, template in further])
    return dict(zip(names, row, strict=True))


def test_columns_belong_to_the_schema_version():
    """Who adds a field to the catalogue adds a column: raise SCHEMA_VERSION, then this list."""
    columns = (
        "received_us profile resumed ip_family ip_protocol src_ip dst_ip src_port dst_port "
        "proto_type capture_id keep_alive correlation_id vlan node_name src_mac dst_mac "
        "ether_type tcp_flags tos mos r_factor geo_location jitter transaction_type payload_keys "
        "tag_values tag_type event_type group_id time_us hep_version peer_ip peer_port "
        "peer_transport local_ip local_port listener peer_name call sip_method sip_status "
        "sip_ruri_user sip_from_user sip_to_user payload_at payload_octets inflated frame"
    )
    assert (SCHEMA_VERSION, " ".join(COLUMNS)) == (2, columns)


def test_no_column_of_ours_can_be_named_by_an_operator():
    """What the configuration refuses as a name is at least what the table has already."""
    assert {*COLUMNS, *COMPUTED, "id"} <= TAKEN


def test_sip_is_found_by_its_columns():
    """Call, method and users of a request; of a reply the status, and the method of its CSeq."""
    request = row_of(sip(call=b"x@y", correlation_id="other"))
    assert request["call"] == "x@y"
    assert request["correlation_id"] == "other"
    assert request["profile"] == "call"
    assert request["sip_method"] == "INVITE"
    assert request["sip_status"] is None
    assert (request["sip_from_user"], request["sip_to_user"]) == ("alice", "bob")
    assert request["sip_ruri_user"] == "bob"
    reply = row_of(
        sip(payload=b"SIP/2.0 180 Ringing\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n\r\n", call=b"x")
    )
    assert (reply["sip_status"], reply["sip_method"]) == (180, "REGISTER")
    assert (reply["profile"], reply["sip_ruri_user"]) == ("registration", None)


def test_what_is_no_sip_has_none():
    """Of all else the correlation id is the call, and SIP's columns are NULL."""
    row = row_of(view(hep3(x0011=b"call-1\0", x000b=b"\x05", x000f=b"{}")))
    assert (row["call"], row["profile"]) == ("call-1", "rtcp")
    assert {value for name, value in row.items() if name.startswith("sip_")} == {None}
    assert row_of(view(hep3()))["call"] is None


def test_packet_that_a_rule_resumed_is_read_as_sip():
    """Whatever its type says; and the row says that it was."""
    packet = sip(proto_type=100).packet
    assert row_of(view(packet))["sip_method"] is None
    row = row_of(view(packet).as_sip())
    assert (row["resumed"], row["sip_method"], row["profile"]) == (1, "INVITE", "call")


def test_name_of_a_certificate():
    """The peer's name is a column, NULL without a certificate."""
    peer = Peer(bytes(4), 1, "tls", bytes(4), 2, "in", name="édge.example")
    assert row_of(View(sip().packet, peer, ARRIVAL_US))["peer_name"] == "édge.example"
    assert row_of(sip())["peer_name"] is None


def test_columns_of_the_operator():
    """Templates, NULL where they render empty, octets where they are not UTF-8; the frame last."""
    columns = [
        ("node", "{node_name}"),
        ("both", "{sip.from_user|upper}-{capture_id}"),
        ("missing", "{sip.contact_user}"),
    ]
    row = row_of(sip(node_name=b"\xff\xfe", capture_id=7), columns)
    assert (row["node"], row["both"], row["missing"]) == (b"\xff\xfe", "ALICE-7", None)
    assert [*row][-1] == "frame"


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_text_or_the_octets_themselves(text):
    """What is UTF-8 is text, whatever it says; what is not stays octets."""
    row = row_of(view(hep3(x0011=text, x0013=text)))
    value = row["node_name"]
    if isinstance(value, str):
        assert value.encode() == text
    else:
        assert value == text
        with pytest.raises(UnicodeDecodeError):
            text.decode()


def test_numbers_and_addresses_of_any_size():
    """Addresses are text, also the MAC addresses that fill all 64 bits; numbers are numbers."""
    row = row_of(
        view(
            hep3(
                x0005=bytes([0x20, 1, 0x0D, 0xB8, *bytes(11), 1]),
                x0014=b"\xff" * 8,
                x0015=bytes([0, 0, 2, 0, 0, 0, 0, 1]),
                x000c=b"\xff" * 4,
                x0009=b"\xff" * 4,
                x000a=b"\xff" * 4,
            )
        )
    )
    assert row["src_ip"] == "2001:db8::1"
    assert (row["src_mac"], row["dst_mac"]) == ("ff:ff:ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01")
    assert (row["capture_id"], row["time_us"]) == (0xFFFFFFFF, 0xFFFFFFFF * 1_000_001)
    assert (row["peer_ip"], row["peer_port"], row["listener"]) == ("192.0.2.1", 9060, "main")


def test_making_a_row_leaves_the_view_alone():
    """Others hold it, in other threads: nothing is read into it and nothing taken out of it."""
    fresh = view(compressed(60_000)).as_sip()
    make_row(fresh)
    assert fresh.packet.inflated is None
    read = sip()
    message = read.sip
    make_row(read)
    assert read.sip is message


def test_bomb_that_a_rule_has_inflated_is_stored_the_same():
    """What `inflated` says does not depend on who asked before."""
    known = view(compressed(1 << 17))
    known.packet.payload  # noqa: B018 - read by a rule
    assert make_row(known) == make_row(view(compressed(1 << 17)))


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 1 << 20])
def test_inflated_payload_is_kept_where_a_frame_could_carry_it(size):
    """Of a bomb the row has only what travelled."""
    row = row_of(view(compressed(size)))
    assert row["inflated"] == (bytes(size) if size <= 65_535 else None)


def test_size_in_memory_is_no_less_than_what_the_row_holds():
    """All texts of a row are in its frame, in what was inflated, or are the operator's."""
    columns = settings_of(None, columns=[("again", "{payload}{payload}")]).columns
    templates = [template for _, template in columns]
    views = [
        *map(view, vectors()),
        view(compressed(60_000)).as_sip(),
        view(hep3(x0022=b"x" * 60_000)),
    ]
    for each in views:
        for further in ((), templates):
            row = make_row(each, further)
            held = sum(len(value) for value in row if isinstance(value, bytes))
            named = 1000  # addresses, words of our own
            held += sum(len(value.encode()) for value in row if isinstance(value, str))
            assert octets_of(row) + named >= held
            assert frame_of(row) == each.packet.data


def test_payload_is_where_the_row_says():
    """`payload_at` counts from 1."""
    for packet in vectors():
        row = row_of(view(packet))
        if row["payload_at"] is not None and row["inflated"] is None:
            start = row["payload_at"] - 1
            octets = packet.data[start : start + row["payload_octets"]]
            if packet.compressed_payload is None:
                assert octets == packet.payload
