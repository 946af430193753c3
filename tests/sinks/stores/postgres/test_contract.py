"""What homer-app demands of the tables, each as a query that counts the rows that break it.

The rows are those of all vectors and of hostile packets, written by `PostgresWriter`, on every
server there is.
"""

import json

import pgstores
import pytest

from hepsw.sinks.stores.postgres import schema

PARENTS = tuple(schema.HOMER7_PARENTS)
ALL = " UNION ALL ".join(f"SELECT '{parent}' AS parent, * FROM {parent}" for parent in PARENTS)  # noqa: S608 - of these tests

BROKEN = {
    # The search list asserts these types without a check: one row without them fails a request.
    "srcIp and dstIp are texts": "jsonb_typeof(protocol_header->'srcIp') IS DISTINCT FROM 'string'"
    " OR jsonb_typeof(protocol_header->'dstIp') IS DISTINCT FROM 'string'",
    "times are numbers": "jsonb_typeof(protocol_header->'timeSeconds') IS DISTINCT FROM 'number'"
    " OR jsonb_typeof(protocol_header->'timeUseconds') IS DISTINCT FROM 'number'",
    "ports are numbers": "jsonb_typeof(protocol_header->'srcPort') IS DISTINCT FROM 'number'"
    " OR jsonb_typeof(protocol_header->'dstPort') IS DISTINCT FROM 'number'",
    "addresses are addresses": "(protocol_header->>'srcIp')::inet IS NULL"
    " OR (protocol_header->>'dstIp')::inet IS NULL",
    # Aliases by capture id and the deduplication assert a text.
    "captureId is a text": "jsonb_typeof(protocol_header->'captureId') IS DISTINCT FROM 'string'",
    "correlation_id is a text": "jsonb_typeof(protocol_header->'correlation_id')"
    " IS DISTINCT FROM 'string'",
    # The order of a flow falls back to create_date, whole microseconds.
    "create_date is the time of the header": "create_date IS DISTINCT FROM to_timestamp(0)"
    " + (protocol_header->>'timeSeconds')::bigint * interval '1 second'"
    " + (protocol_header->>'timeUseconds')::bigint * interval '1 microsecond'",
    "microseconds are below a second": "(protocol_header->>'timeUseconds')::bigint"
    " NOT BETWEEN 0 AND 999999",
    # pcap export and labels read these.
    "protocol and payloadType are numbers": "jsonb_typeof(protocol_header->'protocol')"
    " IS DISTINCT FROM 'number'"
    " OR jsonb_typeof(protocol_header->'payloadType') IS DISTINCT FROM 'number'",
    "protocolFamily is 2 or 10": "protocol_header->'protocolFamily' NOT IN ('2', '10')",
    "protocolFamily is that of the addresses": "(protocol_header->>'protocolFamily' = '10')"
    " <> (protocol_header->>'srcIp' LIKE '%:%' OR protocol_header->>'dstIp' LIKE '%:%')",
    "data_header is an object": "jsonb_typeof(data_header) IS DISTINCT FROM 'object'",
    "both headers have no nulls": "jsonb_path_exists(protocol_header, '$.* ? (@ == null)')"
    " OR jsonb_path_exists(data_header, '$.* ? (@ == null)')",
    "no password is stored": "protocol_header ? 'capturePass' OR data_header ? 'capturePass'",
    "id is a number of its own": "id IS NULL",
    "raw is there": "raw IS NULL",
    # Fields of a search, by the mappings that are seeded for SIP.
    "SIP has every key, a text": "parent LIKE 'hep\\_proto\\_1\\_%' AND EXISTS (SELECT FROM unnest("
    "'{ruri_user,ruri_domain,from_user,from_tag,to_user,to_tag,callid,cseq,method,user_agent}'"
    "::text[]) AS wanted (name) WHERE jsonb_typeof(data_header->name) IS DISTINCT FROM 'string')",
    "SIP is found by its Call-ID": "parent LIKE 'hep\\_proto\\_1\\_%'"
    " AND data_header->>'callid' <> '' AND sid <> data_header->>'callid'",
    # The QoS and log tabs look for sid in a list of Call-IDs.
    "others are found by correlation id": "parent NOT LIKE 'hep\\_proto\\_1\\_%'"
    " AND parent <> 'hep_proto_54_default' AND sid <> protocol_header->>'correlation_id'",
    "others say who and what": "parent NOT LIKE 'hep\\_proto\\_1\\_%'"
    " AND jsonb_typeof(data_header->'node') IS DISTINCT FROM 'string'",
    "ISUP has numbers and its call": "parent = 'hep_proto_54_default' AND ("
    "jsonb_typeof(data_header->'cic') IS DISTINCT FROM 'number'"
    " OR jsonb_typeof(data_header->'opc') IS DISTINCT FROM 'number'"
    " OR jsonb_typeof(data_header->'dpc') IS DISTINCT FROM 'number'"
    " OR data_header->>'callid' IS DISTINCT FROM sid)",
}
"""What must hold, with the condition of a row that breaks it."""


@pytest.fixture(scope="module")
def written(any_postgres):
    """A database with rows of every kind, and the packets they were made of."""
    database = any_postgres.create()
    views = [*pgstores.vectors(), *pgstores.hostile()]
    with pgstores.writer(database) as store:
        outcome = pgstores.write(store, views)
    assert not outcome.refused
    assert outcome.tables.total() == len(views)
    yield database, views, outcome
    database.drop()


@pytest.mark.parametrize("demand", BROKEN)
def test_no_row_breaks_a_demand(written, demand):
    """Whatever the packet was."""
    database, _, _ = written
    rows = database.query(f"SELECT * FROM ({ALL}) AS every WHERE {BROKEN[demand]}")  # noqa: S608 - of these tests
    assert [dict(row) for row in rows] == []


def test_every_packet_is_in_one_table(written):
    """All parents are there, also that of DNS: homer-app reads several in one request."""
    database, views, outcome = written
    counts = {parent: pgstores.all_rows(database, parent) for parent in PARENTS}
    assert sum(counts.values()) == len(views)
    assert all(counts.values())
    assert counts == outcome.tables


@pytest.mark.parametrize("parent", PARENTS)
def test_columns_are_those_of_homer(written, parent):
    """Names, types and order; partitioned by create_date, without a primary key."""
    database, _, _ = written
    rows = database.query(
        "SELECT column_name::text, data_type::text, is_nullable::text"
        " FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position",
        parent,
    )
    assert [tuple(row) for row in rows] == [
        ("id", "bigint", "NO"),
        ("sid", "character varying", "NO"),
        ("create_date", "timestamp with time zone", "NO"),
        ("protocol_header", "jsonb", "NO"),
        ("data_header", "jsonb", "NO"),
        ("raw", "character varying", "NO"),
    ]
    assert database.value("SELECT pg_get_partkeydef($1::regclass)", parent) == "RANGE (create_date)"


@pytest.mark.parametrize("parent", PARENTS)
def test_each_partition_has_the_indexes(written, parent):
    """What homer-app asks for is found by index in each of them."""
    database, _, _ = written
    wanted = {
        expression.replace("->>", " ->> ").replace("')", "'::text)")
        for expression in schema.indexes_of(parent).values()
    }
    partitions = database.query(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass", parent
    )
    assert len(partitions) >= 3
    for (partition,) in map(tuple, partitions):
        rows = database.query(
            "SELECT pg_get_indexdef(indexrelid, 1, true) AS on_what FROM pg_index"
            " WHERE indrelid = $1::regclass",
            partition,
        )
        assert {_plain(row["on_what"]) for row in rows} == {_plain(text) for text in wanted}


def _plain(expression):
    return expression.replace("(", "").replace(")", "")


def test_a_search_finds_a_call(written):
    """The query of a search, and that of a transaction."""
    database, _, _ = written
    found = database.query(
        "SELECT id, sid, protocol_header, data_header FROM hep_proto_1_call"
        " WHERE create_date BETWEEN now() - interval '1 hour' AND now() + interval '1 hour'"
        " AND (data_header->>'from_user' = 'alice' AND data_header->>'method' LIKE 'INV%')"
        " AND raw ILIKE '%example%' LIMIT 200"
    )
    assert len(found) >= len(pgstores.HOSTILE)
    assert database.query(
        "SELECT FROM hep_proto_1_call WHERE sid = ANY ($1::text[])", ["call-0", "call-1"]
    )


@pytest.mark.parametrize(
    ("given", "parent", "sid", "method"),
    [
        ({"method": "INVITE"}, "hep_proto_1_call", "call-7", "INVITE"),
        ({"method": "INVITE", "status": 180}, "hep_proto_1_call", "call-7", "180"),
        ({"method": "NOTIFY"}, "hep_proto_1_call", "call-7", "NOTIFY"),
        ({"method": "REGISTER", "status": 401}, "hep_proto_1_registration", "call-7", "401"),
        ({"method": "OPTIONS"}, "hep_proto_1_default", "call-7", "OPTIONS"),
        ({"payload": b"\r\n\r\n", "correlation_id": "c"}, "hep_proto_1_default", "c", ""),
        ({"payload": b"\0\0\0\0"}, "hep_proto_1_default", "", ""),
    ],
)
def test_a_message_goes_by_the_method_of_its_cseq(database, given, parent, sid, method):
    """A reply lies beside its request; what is no message is kept all the same."""
    with pgstores.writer(database) as store:
        assert pgstores.write(store, [pgstores.sip(7, **given)]).tables == {parent: 1}
    row = database.query(f"SELECT sid, data_header->>'method' AS method FROM {parent}")[0]  # noqa: S608 - a constant
    assert (row["sid"], row["method"]) == (sid, method)


def test_a_row_says_what_the_packet_said(database):
    """Every value, those of the operator's own columns among them."""
    at_us = pgstores.now_us() - 5
    one = pgstores.sip(at_us=at_us, correlation_id="leg-a", node_name="pbx7", auth_key="secret")
    with pgstores.writer(database, columns={"tenant": "{capture_id}-{sip.from_user}"}) as store:
        pgstores.write(store, [one])
    row = database.query(
        "SELECT protocol_header::text AS protocol, data_header::text AS data, raw, sid"
        " FROM hep_proto_1_call"
    )[0]
    assert json.loads(row["protocol"]) == {
        "protocolFamily": 2,
        "protocol": 17,
        "srcIp": "192.0.2.10",
        "dstIp": "198.51.100.20",
        "srcPort": 5060,
        "dstPort": 5062,
        "timeSeconds": at_us // 1_000_000,
        "timeUseconds": at_us % 1_000_000,
        "payloadType": 1,
        "captureId": "pbx7",
        "captureIdNum": 2001,
        "correlation_id": "leg-a",
    }
    assert json.loads(row["data"]) == {
        "ruri_user": "bob",
        "ruri_domain": "example.net",
        "from_user": "alice",
        "from_tag": "a",
        "to_user": "bob",
        "to_tag": "",
        "callid": "call-0",
        "cseq": "1 INVITE",
        "method": "INVITE",
        "user_agent": "phone",
        "tenant": "2001-alice",
    }
    assert row["raw"].encode() == one.packet.payload
    assert row["sid"] == "call-0"


def test_json_that_names_an_event_labels_its_arrow(database):
    """As `event` or `method`, which homer-app prints; the type of the payload is told as well."""
    event = pgstores.sip(
        proto_type=100, payload=b'{"event":"hangup","method":"x"}', correlation_id="call-1"
    )
    with pgstores.writer(database) as store:
        pgstores.write(store, [event])
    data = database.value(
        "SELECT data_header::text FROM hep_proto_100_default WHERE sid = 'call-1'"
    )
    assert json.loads(data) == {"node": "2001", "proto": "log", "event": "hangup", "method": "x"}


def test_isup_is_found_by_its_circuit(database):
    """The lower point code comes first, whoever sent it."""
    payload = b'{"opc":9,"dpc":3,"cic":14,"msg_name":"IAM","called_number":{"num":"49"}}'
    with pgstores.writer(database) as store:
        pgstores.write(store, [pgstores.sip(proto_type=54, payload=payload)])
    data = json.loads(database.value("SELECT data_header::text FROM hep_proto_54_default"))
    assert data == {
        "cic": 14,
        "dpc": 3,
        "opc": 9,
        "msg_name": "IAM",
        "called_number": "49",
        "calling_number": "",
        "callid": "3:9:14",
        "node": "2001",
    }


def test_what_no_text_holds_is_replaced_and_counted(database):
    """NULs, each run of them, and each sequence that is not UTF-8; once a row."""
    given = pgstores.sip(head=b"Subject: a\0\0b\xff\xfec\0\r\n")
    with pgstores.writer(database) as store:
        assert pgstores.write(store, [given, pgstores.sip()]).altered == {"nul": 1, "utf-8": 1}
    raws = [row["raw"] for row in database.query("SELECT raw FROM hep_proto_1_call ORDER BY id")]
    assert "Subject: a\ufffdb\ufffd\ufffdc\ufffd\r\n" in raws[0]


def test_a_text_too_long_for_an_index_is_cut_and_counted(database):
    """The payload has it whole."""
    import random

    # Letters that do not compress: an index would take those that do.
    long = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
    given = pgstores.sip(
        head=b"", payload=pgstores.sip().packet.payload.replace(b"call-0", long.encode())
    )
    with pgstores.writer(database) as store:
        written = pgstores.write(store, [given])
    assert (written.altered, written.refused) == ({"long": 1}, ())
    row = database.query("SELECT sid, raw FROM hep_proto_1_call")[0]
    assert row["sid"] == long[:2000]
    assert long in row["raw"]


def test_a_packet_without_a_time_has_that_of_its_arrival(database):
    """Also where the time is 0."""
    timeless = next(one for one in pgstores.vectors() if one.packet.time_us is None)
    views = [pgstores.sip(time=0), pgstores.view(timeless.packet)]
    with pgstores.writer(database) as store:
        assert not pgstores.write(store, views).misplaced
    rows = database.query(f"SELECT now() - create_date < interval '5m' AS is_new FROM ({ALL}) AS x")  # noqa: S608 - as above
    assert [row["is_new"] for row in rows] == [True, True]
