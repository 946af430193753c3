"""Packets that come back from PostgreSQL as they were stored."""

import pgstores
import pytest
from databases import PASSWORD, SECRETIVE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepsw.errors import StoreError
from hepsw.hep import build
from hepsw.recall.postgres import PAGE, PostgresArchive
from hepsw.sinks.stores.postgres.admin import PostgresAdmin
from hepsw.sinks.stores.postgres.login import try_login
from hepsw.view import Peer

EVER = (0, 1 << 62)
LAYOUTS = ("homer7", "hepsw")


def read(database, layout, question):
    """Ask an archive, and close it; return the answer and how many rows were damaged."""
    archive = PostgresArchive(pgstores.settings(database, layout))
    try:
        return question(archive), archive.damaged
    finally:
        archive.close()


def all_of(archive):
    """Return every packet."""
    return list(archive.scan(*EVER))


def in_order(views):
    """Return views by frame, so that two orders of one time compare."""
    return sorted(views, key=lambda view: (view.packet.data, view.received_us))


def test_every_packet_comes_back_as_it_was(any_database):
    """From the layout `hepsw`: frame, peer and times, whatever the texts are."""
    peer = Peer(bytes(16), 1, "tls", bytes(15) + b"\1", 9061, "tls-in", "agent'\" \\ \N{SNOWMAN}")
    views = [*pgstores.vectors(), *pgstores.hostile()]
    views += [pgstores.view(views[0].packet, peer=peer), pgstores.view(views[5].packet, 7)]
    views += [pgstores.view(views[-1].packet, resumed=True)]
    with pgstores.writer(any_database, "hepsw") as store:
        assert not pgstores.write(store, views).refused
    found, damaged = read(any_database, "hepsw", all_of)
    assert damaged == 0
    assert in_order(found) == in_order(views)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8))
def test_any_text_comes_back(database, texts):
    """In every chunk that holds text, and in the payload."""
    views = [
        pgstores.sip(payload=text, node_name=text, correlation_id=text, group_id=text)
        for text in texts
    ]
    with pgstores.writer(database, "hepsw") as store:
        assert not pgstores.write(store, views).refused
        found, _ = read(database, "hepsw", all_of)
        database.query("TRUNCATE hepsw_packets")
    assert in_order(found) == in_order(views)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_scan_goes_by_time(database, layout):
    """Oldest first, over pages and tables; the first moment is within, the last is not."""
    base = pgstores.now_us() - 1000
    methods = ("INVITE", "REGISTER", "OPTIONS")
    # Several packets of one moment, more than a page of them.
    views = [
        pgstores.sip(number, at_us=base + number // 400, method=methods[number % 3])
        for number in range(4 * PAGE)
    ]
    with pgstores.writer(database, layout) as store:
        pgstores.write(store, views[::-1])
    found, _ = read(database, layout, lambda archive: list(archive.scan(base, base + 2)))
    times = [view.packet.time_us for view in found]
    assert times == sorted(times)
    assert {view.sip.call_id for view in found} == {b"call-%d" % n for n in range(800)}
    assert len(found) == 800
    count, _ = read(database, layout, lambda archive: archive.count(*EVER))
    assert count >= 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_call_is_found_by_both_its_names(any_database, layout):
    """By its Call-ID and by what it is correlated to; others are not."""
    long = b"x" * 3000
    views = [
        pgstores.sip(1),
        pgstores.sip(2, correlation_id=b"call-1"),
        pgstores.sip(1, proto_type=5, payload=b"{}", correlation_id=b"call-1"),
        pgstores.sip(3),
        pgstores.sip(payload=b"x", proto_type=100, correlation_id=long),
        pgstores.sip(payload=b"y", proto_type=100, correlation_id=b"a\0b\xff"),
    ]
    with pgstores.writer(any_database, layout) as store:
        pgstores.write(store, views)

    def found(calls):
        return read(any_database, layout, lambda archive: archive.of_calls(calls, 1000))[0]

    assert len(found([b"call-1"])) == 3
    assert len(found([b"call-1", b"call-3", b"", b"nobody"])) == 4
    assert [view.packet.payload for view in found([long])] == [b"x"]
    assert [view.packet.payload for view in found([b"a\0b\xff"])] == [b"y"]
    assert found([]) == []

    def counted(call, most):
        return read(any_database, layout, lambda archive: archive.number_of(call, most))[0]

    assert [counted(b"call-1", most) for most in (1, 10)] == [1, 3]
    assert counted(b"nobody", 10) == 0
    some = read(any_database, layout, lambda archive: archive.of_calls([b"call-1"], 2))[0]
    assert len(some) == 2


def test_homer_s_rows_become_packets_as_far_as_they_tell(database):
    """Addresses, times, agent, payload and correlation; not the peer."""
    views = [
        pgstores.sip(1, node_name="pbx7", correlation_id="leg-a"),
        pgstores.sip(2),
        pgstores.view(
            build(
                src_ip="2001:db8::1",
                dst_ip="2001:db8::2",
                proto_type=5,
                payload=b'{"a":1}',
                correlation_id="call-1",
                time=pgstores.now_us(),
            )
        ),
        pgstores.sip(3, payload=pgstores.sip(3).packet.payload, proto_type=99),
    ]
    views[3] = views[3].as_sip()
    with pgstores.writer(database) as store:
        pgstores.write(store, views)
    found, damaged = read(database, "homer7", all_of)
    assert damaged == 0
    told = [
        (
            *(view.packet.src_ip, view.packet.dst_ip, view.packet.src_port, view.packet.time_us),
            *(view.packet.payload, view.packet.node_name, view.packet.correlation_id),
            *(view.packet.proto_type, view.resumed, view.packet.capture_id or 0),
        )
        for view in sorted(views, key=lambda view: view.packet.time_us)
    ]
    back = [
        (
            *(view.packet.src_ip, view.packet.dst_ip, view.packet.src_port or None),
            *(view.packet.time_us, view.packet.payload, view.packet.node_name),
            *(view.packet.correlation_id, view.packet.proto_type, view.resumed),
            view.packet.capture_id,
        )
        for view in found
    ]
    assert back == told


def test_every_row_of_homer_can_be_read(any_database):
    """Whatever packet it was made of, hostile ones included."""
    views = [*pgstores.vectors(), *pgstores.hostile()]
    with pgstores.writer(any_database) as store:
        pgstores.write(store, views)
    found, damaged = read(any_database, "homer7", all_of)
    assert (len(found), damaged) == (len(views), 0)


def test_damaged_rows_are_left_out_and_counted(database):
    """Whoever wrote them."""
    with pgstores.writer(database, "hepsw") as store:
        pgstores.write(store, pgstores.calls(6))
    database.query("UPDATE hepsw_packets SET frame_head = 'HEP3' WHERE id = 1")
    database.query("UPDATE hepsw_packets SET peer_port = 70000 WHERE id = 2")
    database.query("UPDATE hepsw_packets SET peer_ip = '10.0.0.0/8' WHERE id = 3")
    database.query("UPDATE hepsw_packets SET listener = NULL WHERE id = 4")
    found, damaged = read(database, "hepsw", all_of)
    assert (len(found), damaged) == (2, 4)
    with pgstores.writer(database) as store:
        pgstores.write(store, pgstores.calls(8))
    for number, header in enumerate(
        ("[]", '{"srcIp":1,"dstIp":"::"}', '{"srcIp":"x","dstIp":"y"}', "{}", "1"), 1
    ):
        database.query(
            f"UPDATE hep_proto_1_call SET protocol_header = '{header}' WHERE id = {number}"  # noqa: S608 - of this test
        )
    found, damaged = read(database, "homer7", all_of)
    assert (len(found), damaged) == (3, 5)


def test_a_reader_without_tables_says_so(database):
    """Rather than that there were no packets."""
    with pytest.raises(StoreError, match="no tables"):
        PostgresArchive(pgstores.settings(database))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_init_creates_what_is_missing_and_status_tells(any_database, layout):
    """Once; the statements are those that `sql` prints."""
    admin = PostgresAdmin(pgstores.settings(any_database, layout, columns={"tenant": "x"}))
    assert admin.status().layout == ""
    assert any("missing" in note for note in admin.status().notes)
    assert any("hepsw_ledger" in line for line in admin.init())
    assert admin.init() == ["all was there"]
    assert all(statement.split()[0].isupper() for statement in admin.sql())
    far = pgstores.now_us() + 9 * pgstores.DAY
    with pgstores.writer(any_database, layout, columns={"tenant": "x"}) as store:
        pgstores.write(
            store, [*pgstores.calls(3, at_us=pgstores.now_us()), pgstores.sip(at_us=far)]
        )
    status = admin.status()
    assert status.version.startswith("PostgreSQL 1")
    assert status.layout == layout
    table = status.tables[0]
    assert table.newest_us == far
    assert table.octets > 0
    assert [note for note in status.notes if "without a partition" in note]


def test_a_login_is_tried(database):
    """What is wrong is said, the password is not."""
    assert try_login(database.url, 5) is None
    assert "does not exist" in try_login(database.url + "_no", 5)
    assert "Connect" in try_login("postgres://u:s3cret@127.0.0.1:1/db", 5)
    database.query(f"DROP ROLE IF EXISTS {SECRETIVE}")
    database.query(f"CREATE ROLE {SECRETIVE} LOGIN PASSWORD '{PASSWORD}'")
    try:
        assert try_login(database.url_of(SECRETIVE, PASSWORD), 5) is None
        told = try_login(database.url_of(SECRETIVE, "s3cret"), 5)
        assert "password" in told
        assert "s3cret" not in told
    finally:
        database.query(f"DROP ROLE {SECRETIVE}")
