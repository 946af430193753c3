"""A database that goes away, in every way it can, and comes back: each packet is in it once."""

import random
import time

import pytest
from faults.figures import tell
from faults.lengths import lengths
from faults.stage import PATIENCE
from faults.storing import BESIDE, RATE, Place, account, given_up, recovered, settled, stores
from running import wait_until
from stored import HEPSW, HOMER7

BEFORE = 500
"""Packets that are stored before anything happens."""
FIRST = 15
"""Seconds until the first row once the database answers again, however it was away."""
AT_ONCE = 5
"""The same where it was refused to the last, and nothing else has to be done meanwhile."""
DRAINED = 60
"""Seconds until nothing waits any more, while packets go on to come."""
STARTS = 2
"""Seconds from `exec` to `ready`."""
ENDS = 10
"""Seconds from SIGTERM to the end."""


# --- the ways in which it is away ----------------------------------------------------------------


def stopped(how):
    def away(place, seconds, look):
        place.server.stop(how)
        look(seconds)
        place.server.start()

    return away


def paused(place, seconds, look):
    """Its processes stand still: connections stay, and nobody answers."""
    place.server.pause()
    look(seconds)
    place.server.resume()


CATCH = """
DO $$
BEGIN
    FOR turn IN 1..400 LOOP
        PERFORM pg_stat_clear_snapshot();
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE state = 'active' AND query LIKE 'COPY%' AND pid <> pg_backend_pid();
        EXIT WHEN FOUND;
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$
"""


def killed(place, seconds, look):
    """The session dies in the middle of a COPY, as soon as there is one again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        place.database.query(CATCH)
        look(0)


def cut(place, seconds, look):
    """The connection is reset after so many octets, most of which are rows."""
    rng = random.Random(seconds)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = place.proxy.connections
        place.proxy.faults.cut_after = rng.randrange(20_000, 1 << 20)
        wait_until(
            lambda before=before: place.proxy.connections > before,
            lambda: "it does not connect again",
            patience=PATIENCE,
        )
        look(0)
    place.proxy.heal()


def silent(place, seconds, look):
    """Nothing passes, and nobody says that it does not."""
    place.proxy.blackhole()
    look(seconds)
    place.proxy.heal()


AWAY = {
    "fast": stopped("fast"),
    "immediate": stopped("immediate"),
    "paused": paused,
    "killed": killed,
    "cut": cut,
    "silent": silent,
}


WAYS = {
    "fast": HOMER7,
    "immediate": HEPSW,
    "paused": HOMER7,
    "killed": HOMER7,
    "cut": HEPSW,
    "silent": HEPSW,
}


@pytest.mark.parametrize(
    ("how", "seconds", "rate"),
    [
        pytest.param("fast", 10, RATE, marks=pytest.mark.alone),
        *(pytest.param(how, 10, BESIDE, marks=pytest.mark.beside) for how in WAYS if how != "fast"),
        *(
            pytest.param(how, 60, RATE, marks=[pytest.mark.proof, pytest.mark.alone])
            for how in WAYS
        ),
    ],
)
def test_away(stage, how, seconds, rate):
    """Packets go on to come: when it is back each of them is there once, within 60 s."""
    layout = WAYS[how]
    place = Place(stage, layout, proxied=how in {"cut", "silent"})
    switch = place.switch()
    agents = place.agents(switch, rate=rate)
    stores(switch, rate)

    def look(seconds):
        for _ in range(seconds):
            time.sleep(1)
            switch.counters()
        switch.counters()

    AWAY[how](place, seconds, look)
    began, before = time.monotonic(), account(switch)
    stores(switch, before["delivered"])
    first = time.monotonic() - began
    switch.wait(lambda found: found["sinks"]["pg"]["in_spool"] == 0)
    drained = time.monotonic() - began
    sent = agents.stop()
    end = settled(switch, sent)
    switch.stop()
    verdict = place.verdict(sent)
    tell(
        f"database {how} for {seconds} s at {rate}/s, {layout}",
        f"first row after {first:.1f} s, {before['in_spool']} drained after {drained:.0f} s, "
        f"{verdict}",
    )
    assert verdict.is_all_once, str(verdict)
    assert end["delivered"] == verdict.sent
    assert first <= FIRST
    assert drained <= DRAINED


@pytest.mark.beside
@lengths("times", 4, 40)
def test_committed_and_never_heard(stage, times):
    """The answer to a COMMIT is lost and the connection with it: no row is written twice."""
    place = Place(stage, HOMER7, proxied=True)
    switch = place.switch()
    agents = place.agents(switch)
    stores(switch, BEFORE)
    for _ in range(times):
        before, rows = place.proxy.muted, account(switch)["delivered"]
        place.proxy.faults.mute_after = b"COMMIT"
        wait_until(
            lambda before=before: place.proxy.muted > before,
            lambda: "nothing is committed",
            patience=PATIENCE,
        )
        place.proxy.faults.mute_after = None
        time.sleep(0.2)  # the database has heard it, and commits
        place.proxy.cut()
        stores(switch, rows)
    sent = agents.stop()
    end = settled(switch, sent)
    switch.stop()
    verdict = place.verdict(sent)
    retried = sum(table["retried"] for table in end["tables"].values())
    tell(f"{times} commits that nobody heard of", f"{retried} rows retried, {verdict}")
    assert verdict.is_all_once, str(verdict)
    assert retried


@pytest.mark.alone
@pytest.mark.parametrize("layout", [HOMER7, pytest.param(HEPSW, marks=pytest.mark.proof)])
def test_down_at_start(stage, layout):
    """It listens within 2 s though no database is there, and stores within 5 s of its answer."""
    place = Place(stage, layout, proxied=True)
    place.server.stop()
    began = time.monotonic()
    switch = place.switch()
    ready = time.monotonic() - began
    sent = place.agents(switch, count=10_000, rate=5000).wait()
    switch.wait_seen(sent)
    asked, away = place.proxy.connections, time.monotonic() - began
    place.server.start()
    began = time.monotonic()
    stores(switch, 0)
    first = time.monotonic() - began
    settled(switch, sent)
    switch.stop()
    verdict = place.verdict(sent)
    tell(
        f"database down at start, {layout}",
        f"ready after {ready:.1f} s, {asked} connections in {away:.1f} s, first row {first:.1f} s "
        f"after its answer, {verdict}",
    )
    assert verdict.is_all_once, str(verdict)
    assert ready <= STARTS
    assert first <= AT_ONCE
    assert asked <= 10 * away  # by its own pauses, and not for each packet


@pytest.mark.beside
@pytest.mark.parametrize("how", ["fast", "silent"])
def test_ended_while_it_is_away(stage, how):
    """SIGTERM: it ends well and soon, and the next one stores what it left, once."""
    place = Place(stage, HOMER7, proxied=True)
    switch = place.switch()
    agents = place.agents(switch)
    stores(switch, BEFORE)
    if how == "silent":
        place.proxy.blackhole()
    else:
        place.server.stop()
    time.sleep(2)
    sent = agents.stop()
    switch.wait_seen(sent)
    began = time.monotonic()
    left = switch.stop()["sinks"]["pg"]
    took = time.monotonic() - began
    tell(f"SIGTERM while the database is away ({how})", f"{took:.1f} s, {left['in_spool']} left")
    assert took <= ENDS
    assert left["in_spool"] > 0
    assert given_up(left) == 0
    if how == "silent":
        place.proxy.heal()
    else:
        place.server.start()
    switch = place.switch()
    assert recovered(switch) == left["in_spool"]
    settled(switch, {})
    switch.stop()
    verdict = place.verdict(sent)
    assert verdict.is_all_once, str(verdict)


@pytest.mark.beside
@pytest.mark.parametrize("layout", [HOMER7, pytest.param(HEPSW, marks=pytest.mark.proof)])
@lengths("kills", 4, 40)
def test_killed_while_the_backlog_drains(stage, layout, kills):
    """`kill -9` between a commit and the note of it: what was spooled is there once."""
    rng = random.Random(kills)
    place = Place(stage, layout)
    place.switch().stop()  # the tables are there
    place.server.stop()
    switch = place.switch()
    count = max(20_000, 5000 * kills)
    sent = place.agents(switch, rate=10_000, count=count).wait()
    switch.wait_seen(sent)
    time.sleep(1)  # what was written is on disk
    kept = account(switch)["in_spool"]
    switch.kill()
    place.server.start()
    left = []
    for _ in range(kills):
        switch = place.switch()
        left.append(recovered(switch))
        stores(switch, 0)
        time.sleep(rng.uniform(0, 0.3))
        switch.kill()
    switch = place.switch()
    left.append(recovered(switch))
    settled(switch, {})
    switch.stop()
    verdict = place.verdict(sent)
    tell(f"switch killed {kills} times while {kept} drain, {layout}", f"{left} left, {verdict}")
    assert left[0] == kept
    assert not verdict.duplicates
    assert not verdict.spurious
    assert not verdict.corrupt
    assert verdict.rows == kept
