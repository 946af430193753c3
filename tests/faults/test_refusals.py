"""A database that is there, and refuses, or takes its time, or thinks that it is another day."""

import random
import re
import socket
import string
import time
from datetime import UTC, datetime, timedelta

import numbered
import procfs
import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE, assert_told
from faults.storing import BESIDE, RATE, Place, account, settled, stores
from judge import judge
from loopback import HOST
from stored import CALLS, HEPSW, HOMER7, TABLES

GROWTH = 16 << 20
"""Octets that the switch may grow by, however slow the database is."""
EXTRA = 30
"""Statements that one bad row may cost."""
LINES = 1
"""Log lines in a second, at most."""
START_LINES = 5
"""Of a fault at its beginning and its end, whatever it is."""
ROWS = 10_000


def poison(place, call):
    """Have the table refuse one packet, by its Call-ID."""
    table, column = TABLES[place.layout], CALLS[place.layout]
    place.database.query(
        f"ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK ({column}::text <> '{call}')"
    )


def statements(place):
    """Return how many statements each of hepsw's transactions with a COPY took, so far."""
    found, is_copy = [], False
    for text in re.findall(
        r"hepsw \w+ LOG:  (?:statement|execute [^:]*): (.*)", place.server.log()
    ):
        if text.startswith("BEGIN"):
            found, is_copy = [*(found if is_copy else found[:-1]), 0], False
        is_copy |= text.startswith("COPY")
        if found:
            found[-1] += 1
    return found if is_copy else found[:-1]


@pytest.mark.beside
@pytest.mark.parametrize("layout", [HOMER7, pytest.param(HEPSW, marks=pytest.mark.proof)])
def test_one_row_in_ten_thousand(stage, layout):
    """9,999 are stored and one is in the dead letters, with the reason, at 30 statements more."""
    place = Place(stage, layout, log_statement="all", log_line_prefix="%m [%p] %a ")
    place.switch().stop()  # the tables are there
    bad = numbered.IDENTITY.format(1, 4321)
    poison(place, bad)
    place.server.stop()
    switch = place.switch()
    sent = place.agents(switch, sources=1, rate=10_000, count=ROWS).wait()
    switch.wait_seen(sent)
    place.server.start()
    switch.settled(sent, patience=PATIENCE)
    end = switch.stop()["sinks"]["pg"]
    verdict = place.verdict(sent)
    usual, *_, most = sorted(statements(place))
    tell(f"one bad row in {ROWS}, {layout}", f"{most - usual} statements more than {usual}")
    assert verdict.missing == {(1, 4321)}
    assert (verdict.duplicates, verdict.spurious, verdict.corrupt) == (0, 0, 0)
    assert end["delivered"] == ROWS - 1
    assert sum(end["dead_lettered"].values()) == 1
    assert not sum(end["dropped"].values())
    letters = [text for text in dead_letters(stage) if bad.encode() in text]
    assert len(letters) == 1
    assert b"no_poison" in letters[0]
    assert 0 < most - usual <= EXTRA


def dead_letters(stage):
    """Return what is in files of dead letters, a file at a time."""
    return [
        file.read_bytes()
        for file in stage.folder.rglob("*")
        if file.is_file() and "dead" in str(file.relative_to(stage.folder))
    ]


def sip(call, user="alice"):
    """Return a request of a call."""
    return (
        f"MESSAGE sip:{user}@faults.test SIP/2.0\r\nCall-ID: {call}\r\nCSeq: 1 MESSAGE\r\n"
        f"From: <sip:{user}@faults.test>;tag=1\r\nTo: <sip:bob@faults.test>\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.beside
@pytest.mark.parametrize("layout", [HOMER7, HEPSW])
def test_rows_that_are_hard_to_store(stage, layout):
    """NUL, invalid UTF-8, surrogates, and a Call-ID that no index takes cost nobody else a row."""
    rng = random.Random(layout)
    letters = string.ascii_letters + string.digits
    place = Place(stage, layout)
    switch = place.switch()
    long = "".join(rng.choices(letters, k=9000))
    payloads = [
        sip("nul").replace(b"alice", b"al\0ice"),
        sip("latin").replace(b"alice", b"al\xefce"),
        sip("surrogate").replace(b"alice", b"al\xed\xa0\x80ice"),
        sip("escape", user="\\u0000\\ud800'\"\\x00"),
        sip(long),
        sip("user", user=long),
        sip("whole").replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"),
    ]
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect((HOST, place.port))
        for payload in payloads:
            sender.send(framed(payload, time.time_ns() // 1000))
    agents = place.agents(switch, sources=1, rate=1000, count=1000)
    sent = agents.wait()
    counters = switch.settled(sent | {"hard": len(payloads)}, patience=PATIENCE)
    end = counters["sinks"]["pg"]
    switch.stop()
    verdict = place.verdict(sent)
    tell(
        f"rows that are hard to store, {layout}",
        f"altered {end['altered']}, dead letters {end['dead_lettered']}",
    )
    refused = sum(end["dead_lettered"].values())
    assert not verdict.missing
    assert end["delivered"] == len(payloads) + 1000 - refused
    assert verdict.rows == end["delivered"]
    assert not sum(end["dropped"].values())
    assert refused <= 2  # those of an index, at the most


def framed(payload, time_us):
    """Return a payload in the frame of a number."""
    head = bytearray(numbered.frame(77, 0, time_us)[: numbered.HEAD])
    head[4:6] = (len(head) + len(payload)).to_bytes(2)
    head[-2:] = (6 + len(payload)).to_bytes(2)
    return bytes(head) + payload


SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
CREATE TRIGGER slow BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION slow()
"""


@pytest.mark.beside
@pytest.mark.parametrize(
    ("seconds", "rate"), [(10, 2 * BESIDE), pytest.param(60, RATE, marks=pytest.mark.proof)]
)
def test_slow(stage, seconds, rate):
    """Half a second for each batch: memory stays flat, and a relay beside it loses nothing."""
    place = Place(stage, HOMER7)
    collector = stage.collector("far", receive_buffer=1 << 20)
    switch = place.switch(
        'batch = { rows = 200, every = "100ms" }\n', {"far": f'url = "{collector.url}"'}
    )
    pid = switch.process.pid
    agents = place.agents(switch, rate=rate)
    stores(switch, rate)
    place.database.query(SLOW.format(table=TABLES[HOMER7]))
    time.sleep(2)
    small = procfs.rss(pid)
    procfs.forget_peak(pid)
    for _ in range(seconds):
        time.sleep(1)
        switch.counters()
    growth = procfs.peak_rss(pid) - small
    waits = account(switch)["in_spool"]
    place.database.query(f"DROP TRIGGER slow ON {TABLES[HOMER7]}")
    sent = agents.stop()
    settled(switch, sent)
    counters = switch.stop()
    collector.wait_silent()
    relayed = judge(sent, collector)
    verdict = place.verdict(sent)
    tell(
        f"500 ms a batch for {seconds} s at {rate}/s",
        f"{growth >> 10} KiB more, {waits} in the spool, {verdict}",
    )
    assert verdict.is_all_once, str(verdict)
    assert relayed.is_clean()
    assert not relayed.missing
    assert_told(counters, "far", relayed)
    assert growth <= GROWTH


def read_only(place):
    """Every new session may only read, and there are no old ones."""
    place.server.query(
        f"ALTER DATABASE {place.database.name} SET default_transaction_read_only = on"
    )
    end_sessions(place)

    def put_right():
        place.server.query(
            f"ALTER DATABASE {place.database.name} RESET default_transaction_read_only"
        )

    return put_right


def end_sessions(place):
    place.server.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
        place.database.name,
    )


def revoked(place):
    """The owner of a table may take rights from itself, and give them back."""
    table = TABLES[place.layout]
    place.database.query(f"REVOKE INSERT ON {table} FROM {PLAIN}")
    return lambda: place.database.query(f"GRANT INSERT ON {table} TO {PLAIN}")


def dropped(place):
    """The table is gone; a start of hepsw would create it."""
    table = TABLES[place.layout]
    place.database.query(f"ALTER TABLE {table} RENAME TO saved")
    place.database.query(f"REVOKE CREATE ON SCHEMA public FROM {PLAIN}, PUBLIC")
    place.database.query("ALTER SCHEMA public OWNER TO postgres")

    def put_right():
        place.database.query(f"ALTER TABLE saved RENAME TO {table}")
        place.database.query(f"GRANT CREATE ON SCHEMA public TO {PLAIN}")

    return put_right


PLAIN = "plain"
"""A role that owns its database and is nobody else."""


@pytest.mark.beside
@pytest.mark.parametrize(
    ("trouble", "layout"), [(read_only, HOMER7), (revoked, HEPSW), (dropped, HOMER7)]
)
@lengths("seconds", 5, 60)
def test_refused_until_put_right(stage, trouble, layout, seconds):
    """No storm of attempts or of log lines; when it is put right, nothing was lost."""
    place = Place(stage, layout, user=PLAIN, log_connections="on")
    switch = place.switch()
    agents = place.agents(switch)
    stores(switch, BESIDE)
    put_right = trouble(place)
    lines, attempts = len(switch.log()), asked(place)
    for _ in range(seconds):
        time.sleep(1)
        switch.counters()
    state = account(switch)["state"]
    attempts = asked(place) - attempts
    put_right()
    before, began = account(switch)["delivered"], time.monotonic()
    stores(switch, before)
    first = time.monotonic() - began
    sent = agents.stop()
    settled(switch, sent)
    lines = len(switch.log()) - lines
    switch.stop()
    verdict = place.verdict(sent)
    tell(
        f"{trouble.__name__.replace('_', ' ')} for {seconds} s, {layout}",
        f"{lines} log lines, {attempts} sessions, stores {first:.1f} s after, {verdict}",
    )
    assert verdict.is_all_once, str(verdict)
    assert state.startswith("down"), state
    assert lines <= START_LINES + LINES * seconds
    assert attempts <= 10 * seconds


def asked(place):
    """Return how many sessions the server has begun for the role."""
    return place.server.log().count(f"connection authorized: user={PLAIN}")


@pytest.mark.beside
def test_dropped_for_good(stage):
    """A table that somebody drops is made again, and what comes after is stored."""
    place = Place(stage, HOMER7)
    switch = place.switch()
    first = place.agents(switch, count=1000).wait()
    settled(switch, first)
    place.database.query(f"DROP TABLE {TABLES[HOMER7]}")
    more = place.agents(switch, first_source=11, count=5000).wait()
    settled(switch, first | more)
    switch.stop()
    verdict = place.verdict(more)
    assert verdict.is_all_once, str(verdict)


ZONES = [
    ("Pacific/Kiritimati", "America/St_Johns", HOMER7),
    ("America/St_Johns", "Pacific/Kiritimati", HEPSW),
    ("Europe/London", "Africa/Casablanca", HOMER7),
]
"""Of the process and of the server: more than a day apart, half an hour off, and two that move
their clocks on days of their own."""


@pytest.mark.beside
@pytest.mark.parametrize(("ours", "theirs", "layout"), ZONES)
def test_times_and_zones(stage, ours, theirs, layout):
    """Whatever clock anybody goes by, every packet is stored at its own time, in UTC."""
    place = Place(stage, layout, timezone=theirs)
    switch = place.switch(wrapper=["env", f"TZ={ours}"])
    now = datetime.now(UTC)
    times = [now + timedelta(hours=hours) for hours in range(-36, 49)]
    far = [
        datetime(year, 3, day, hour, 30, tzinfo=UTC)
        for year in (2024, 2031)
        for day in (10, 31)
        for hour in (0, 1, 2, 23)
    ]
    far += [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)]
    times += far
    times_us = [int(when.timestamp()) * 1_000_000 + 123_456 for when in times]
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect((HOST, place.port))
        for at, time_us in enumerate(times_us):
            sender.send(numbered.frame(1, at, time_us))
    sent = {1: len(times)}
    settled(switch, sent)
    end = switch.stop()["sinks"]["pg"]
    verdict = place.verdict(sent)
    assert verdict.is_all_once, str(verdict)
    assert place.times_us() == sorted(times_us)
    other = place.database.value(f"SELECT count(*) FROM {TABLES[layout]}_other")  # noqa: S608 - our own name
    assert len(far) <= other <= sum(end["misplaced"].values())


@pytest.mark.beside
@pytest.mark.parametrize("layout", [HOMER7, HEPSW])
def test_no_partition_for_tomorrow(stage, layout):
    """Partitions that somebody dropped are made when a packet needs them."""
    place = Place(stage, layout)
    switch = place.switch()
    sent = place.agents(switch, sources=1, count=200).wait()
    settled(switch, sent)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    dropped = [
        place.database.query(f"DROP TABLE {name}")
        for (name,) in place.database.query(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass($1)",
            TABLES[layout],
        )
        if tomorrow.strftime("%Y%m%d") in name.replace("_", "")
    ]
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect((HOST, place.port))
        for at in range(100):
            sender.send(numbered.frame(2, at, int(tomorrow.timestamp() * 1e6) + at))
    sent[2] = 100
    settled(switch, sent)
    switch.stop()
    verdict = place.verdict(sent)
    assert dropped
    assert verdict.is_all_once, str(verdict)
