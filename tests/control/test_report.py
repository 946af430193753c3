"""The ledger as JSON, as a line, as tables."""

import json
import re

from hepsw.accounting import Ledger, Observed, Reason, TableAccount
from hepsw.control.report import as_json, as_tables, one_line


def ledger():
    made = Ledger()
    listener = made.listener("in")
    listener.seen, listener.accepted = 7, 5
    listener.rejected["bad-magic"] = 2
    made.switch.accepted, made.switch.routed = 5, 4
    made.switch.dropped["[/b]"] = 1
    made.switch.fan_out = 4
    made.switch.rule("main/x").packets = 5
    sink = made.sink("[red]a", "udp")
    sink.enqueued, sink.delivered = 4, 3
    sink.dropped[Reason.TOO_BIG] = 1
    return made


def test_counters_keep_their_counts():
    """Reasons are keys and numbers are their values; nothing is counted twice."""
    read = json.loads(as_json(ledger().as_dict()))
    assert read["listeners"]["in"]["rejected"] == {"bad-magic": 2}
    assert read["sinks"]["[red]a"]["dropped"] == {"too-big": 1}
    assert read["unaccounted"] == 0
    assert read["differences"] == {}


def test_what_is_missing_is_named():
    """The identity that does not hold, with what it is off by."""
    made = ledger()
    made.listener("in").seen += 3
    made.switch.fan_out -= 1
    read = made.as_dict()
    assert read["differences"] == {"listener in": 3, "switch to sinks": -1}
    assert read["unaccounted"] == 4
    assert one_line(read).endswith("unaccounted 4")


def test_tables_show_names_as_they_are():
    """Brackets are no markup; of many rules those that matched come first."""
    made = ledger()
    for number in range(500):
        made.switch.rule(f"main/r{number}").packets = number
    text = as_tables(made.as_dict(), 160)
    assert "[red]a" in text
    assert "[/b] 1" in text
    assert "the 100 of 501 that matched most" in text
    assert "main/r499" in text
    assert "main/r300" not in text


def test_what_rules_counted():
    """Counters by their labels, numbers with their average and the last; JSON has all of it."""
    made = ledger()
    made.switch.counters["calls"] = {(("method", "INVITE"),): 3, (("method", "BYE"),): 7}
    made.switch.counters["all"] = {(): 10}
    seen = made.switch.observed.setdefault("loss", {}).setdefault((("side", "a"),), Observed())
    for number in (1.0, 4.0):
        seen.add(number)
    made.switch.rule("main/x").dropped["duplicate"] = 2
    read = made.as_dict()
    assert read["switch"]["counters"]["calls"] == {'method="INVITE"': 3, 'method="BYE"': 7}
    assert read["switch"]["observed"]["loss"]['side="a"']["buckets"][3] == 1
    text = as_tables(read, 160)
    assert text.index('calls{method="BYE"}') < text.index('calls{method="INVITE"}')
    assert re.search(r'loss\{side="a"\} +2 +2\.5 +4', text)
    assert "duplicate 2" in text


def test_tables_of_stores():
    """Rows by table of each store, and what is said of a store as a whole once."""
    made = ledger()
    assert "rows in" not in as_tables(made.as_dict(), 200)
    account = made.sink("[b]homer", "postgres")
    account.enqueued, account.delivered, account.batch_age = 9, 8, 1.25
    account.dead_lettered["too-big"] = 1
    account.altered["nul"] = 2
    account.tables["calls"] = TableAccount(rows_in=7, committed=6, retried=3)
    account.tables["calls"].dead_lettered["too-big"] = 1
    account.tables["calls"].last_commit = 1_700_000_000.5
    account.tables["logs"] = TableAccount(rows_in=2, committed=2)
    read = made.as_dict()
    assert "sink [b]homer" not in read["differences"]
    assert read["sinks"]["[b]homer"]["tables"]["calls"]["dead_lettered"] == {"too-big": 1}
    text = as_tables(read, 200)
    assert re.search(
        r"\[b\]homer/calls +7 +6 +3 +too-big 1 +2023-11-14 22:13:20 +1\.2 s +nul 2 +0", text
    )
    assert re.search(r"\[b\]homer/logs +2 +2 +0 +0 +never *\n", text)
    assert "1 dead-lettered; unaccounted" in one_line(read)
