"""`limit`: tokens, how they come back, and for how many values."""

import pytest

from hepsw.config.configuration import Limit
from hepsw.fields import CATALOGUE, json_field
from hepsw.hep import build
from hepsw.switch.buckets import LONG, Buckets
from hepsw.view import View


@pytest.fixture
def passes(peer):
    """Make a limit; return a function that asks it."""

    def make(per_s, burst, per=None, most=1000):
        buckets = Buckets(Limit(per_s, burst, per, over_next=False), most)

        def ask(now, **fields):
            return buckets.passes(View(build(**fields), peer, 0), now)

        ask.buckets = buckets
        return ask

    return make


def test_a_bucket_is_full_at_first_and_fills_again(passes):
    """Two a second: two at once, then one every half second, and never more than two."""
    ask = passes(2, 2)
    assert [ask(0.0) for _ in range(3)] == [True, True, False]
    assert [ask(at) for at in (0.4, 0.6, 0.7, 1.1)] == [False, True, False, True]
    assert [ask(100.0) for _ in range(3)] == [True, True, False]


def test_a_slow_rate_still_passes_something(passes):
    """Less than one a second: the bucket holds one."""
    ask = passes(1 / 60, 1)
    assert [ask(at) for at in (0, 30, 59, 61, 62)] == [True, False, False, True, False]


def test_each_value_has_its_own(passes):
    """And all packets without the field have one together, which is no value's."""
    ask = passes(1, 1, CATALOGUE["node_name"])
    names = ["a", "b", "a", "", "", None, None]
    given = [{} if name is None else {"node_name": name} for name in names]
    assert [ask(0.0, **fields) for fields in given] == [
        *(True, True, False, True, False, True, False)
    ]


def test_equal_numbers_are_one_value(passes):
    """However JSON writes them; of several values the first counts."""
    ask = passes(1, 1, json_field("json.n"))
    texts = [b'{"n":3}', b'{"n":3.0}', b'{"n":"4"}', b'{"n":true}', b"{}"]
    assert [ask(0.0, payload=text) for text in texts] == [True, False, True, True, True]
    ask = passes(1, 1, CATALOGUE["port"])
    assert ask(0.0, src_port=1, dst_port=2)
    assert not ask(0.0, src_port=1, dst_port=3)
    assert ask(0.0, src_port=2, dst_port=1)


def test_the_bucket_not_asked_for_longest_goes(passes):
    """It is counted; the one that was just used stays, and stays empty."""
    ask = passes(0.001, 1, CATALOGUE["capture_id"], most=3)
    for number in (1, 2, 3, 1, 4):
        ask(0.0, capture_id=number)
    assert (len(ask.buckets._buckets), ask.buckets.forgotten) == (3, 1)
    assert not ask(0.0, capture_id=1)
    assert ask(0.0, capture_id=2)


def test_long_values_are_told_apart(passes):
    """Only a digest of them is kept."""
    ask = passes(1, 1, CATALOGUE["node_name"])
    long = "x" * 10_000
    assert [ask(0.0, node_name=long + end) for end in "aba"] == [True, True, False]
    assert all(len(key) <= LONG + 1 for key in ask.buckets._buckets)


def test_a_clock_that_is_set_back_costs_nothing(passes):
    """It brings no tokens, takes none, and they come back from then on."""
    ask = passes(1, 2)
    assert ask(1000.0)
    assert [ask(0.0), ask(0.0)] == [True, False]
    assert [ask(1.1), ask(1.2)] == [True, False]


def test_over_the_limit_is_dropped_or_goes_on(remembering, sip):
    """Dropped by name, as a match of the rule; with `over = "next"` the rule did not match."""
    limit = {"rate": "1/s", "burst": 1}
    switch = remembering.load({"name": "x", "limit": limit, "relay": "a"})
    assert switch.send(sip).outputs
    walked = switch.send(sip)
    assert (walked.path, walked.reason, walked.outputs) == (["main/x"], "over-limit", {})
    assert switch.account.dropped == {"over-limit": 1}
    switch.load(
        {"name": "x", "limit": {**limit, "over": "next"}, "relay": "a"},
        {"name": "y", "relay": "b"},
    )
    walked = switch.send(sip)  # what `over` says is no setting of the bucket: it is still empty
    assert (walked.path, list(walked.outputs)) == (["main/y"], ["b"])
