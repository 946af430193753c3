"""`count` and `observe`: labels and numbers made from packets, which may be hostile."""

import pytest

from hepsw.hep import build
from hepsw.switch.counting import LABEL, OTHER, SERIES


def test_packets_are_counted_by_labels(remembering):
    """In the order of their names; what a packet lacks is an empty label."""
    switch = remembering.load(
        {
            "name": "x",
            "count": {"all": {}, "kinds": {"type": "{proto_type}", "agent": "{capture_id}"}},
        }
    )
    for capture_id in (1, 1, 2):
        switch.send(build(proto_type=1, capture_id=capture_id))
    switch.send(build(proto_type=100))
    assert switch.account.counters == {
        "all": {(): 4},
        "kinds": {
            (("agent", "1"), ("type", "SIP")): 2,
            (("agent", "2"), ("type", "SIP")): 1,
            (("agent", ""), ("type", "LOG")): 1,
        },
    }


def test_labels_are_bounded(remembering):
    """So many sets of them; the others are counted together, and the known ones go on."""
    switch = remembering.load(
        {
            "name": "x",
            "count": {"agents": {"agent": "{capture_id}", "name": "{node_name}"}},
            "observe": {"sizes": {"value": "{capture_id}", "agent": "{capture_id}"}},
        }
    )
    for number in [*range(SERIES + 50), 0]:
        switch.send(build(capture_id=number))
    for series in (switch.account.counters["agents"], switch.account.observed["sizes"]):
        assert len(series) == SERIES + 1
    other = (("agent", OTHER), ("name", OTHER))
    agents = switch.account.counters["agents"]
    assert agents[other] == 50
    assert agents[("agent", "0"), ("name", "")] == 2
    assert switch.account.observed["sizes"][(("agent", OTHER),)].count == 50


def test_long_and_odd_labels(remembering):
    """Cut, and octets that are no text are escaped."""
    switch = remembering.load({"name": "x", "count": {"names": {"name": "{node_name}"}}})
    for name in (b"x" * 1000, b"\xff", "ñ"):
        switch.send(build(node_name=name))
    names = [labels[0][1] for labels in switch.account.counters["names"]]
    assert names == ["x" * LABEL, "\\xff", "ñ"]


def test_a_counter_is_one_wherever_it_is_counted(remembering):
    """Two rules, one counter."""
    counted = {"count": {"all": {}}, "continue": True}
    switch = remembering.load({"name": "x", **counted}, {"name": "y", **counted})
    switch.send(build())
    assert switch.account.counters == {"all": {(): 2}}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"3", 3),
        (b"-3.5", -3.5),
        (b"12345678901.25", 12345678900),
        (b"1e-7", 1e-7),
        (b'"4.25"', 4.25),
        (b'"nan"', None),
        (b'"inf"', None),
        (b'"1_0"', None),
        (b'" 1"', None),
        (b'"1e999"', None),
        (b'""', None),
        (b"null", None),
    ],
)
def test_numbers_are_observed(remembering, text, number):
    """As templates print them; what is none is counted as such, and nothing makes a sum endless."""
    switch = remembering.load({"name": "x", "observe": {"n": {"value": "{json.n}"}}})
    switch.send(build(payload=b'{"n":%s}' % text))
    found = switch.account.observed
    assert found == {} if number is None else found["n"][()].sum == pytest.approx(number)
    assert switch.account.rules["main/x"].no_numbers == (number is None)


def test_a_gauge_and_a_histogram(remembering):
    """Number, sum, last, and how many were at most each bound."""
    switch = remembering.load({"name": "x", "observe": {"size": {"value": "{capture_id}"}}})
    for number in (1, 3, 3_000_000):
        switch.send(build(capture_id=number))
    observed = switch.account.observed["size"][()]
    assert (observed.count, observed.sum, observed.last) == (3, 3_000_004, 3_000_000)
    assert sum(observed.buckets) == 3
    assert observed.buckets[-1] == 1
