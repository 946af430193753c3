"""The ledger as JSON, as a line, as tables."""

import json
import re

from hepsw.accounting import Ledger, Observed, Reason
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
