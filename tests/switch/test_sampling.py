"""`sample`: shares that are kept whole."""

import pytest

from hepsw.config.configuration import Sample
from hepsw.fields import CATALOGUE, json_field
from hepsw.hep import build
from hepsw.switch.sampling import is_kept
from hepsw.view import View


@pytest.fixture
def kept(peer):
    """Return whether a rule keeps a packet."""

    def ask(keep, rule, by=CATALOGUE["correlation_id"], **fields):
        return is_kept(Sample(keep, by), rule, View(build(**fields), peer, 0))

    return ask


NAMES = [f"call-{number}" for number in range(4000)]


def test_the_share_is_about_right(kept):
    """A quarter of many calls, all of them, none."""
    shares = [sum(kept(keep, "t/r", correlation_id=name) for name in NAMES) for keep in (0, 0.25)]
    assert shares[0] == 0
    assert 900 < shares[1] < 1100
    assert all(kept(1, "t/r", correlation_id=name) for name in NAMES[:100])


def test_a_call_is_kept_whole(kept):
    """Whatever else its packets say: the same by the same field, and after every start."""
    assert len({kept(0.5, "t/r", correlation_id="c", payload=b"%d" % n) for n in range(50)}) == 1
    told = "".join("01"[kept(0.5, "main/x", correlation_id=name)] for name in NAMES[:24])
    assert told == "110110000101010001100001"


def test_rules_draw_by_themselves(kept):
    """Half of what another rule kept is half of it, not all or nothing."""
    first = [name for name in NAMES if kept(0.5, "t/r", correlation_id=name)]
    both = sum(kept(0.5, "t/s", correlation_id=name) for name in first)
    assert 0.45 < both / len(first) < 0.55


def test_packets_without_the_field_are_drawn_one_by_one(kept):
    """By their own octets."""
    drawn = sum(kept(0.5, "t/r", payload=b"%d" % number) for number in range(2000))
    assert 900 < drawn < 1100


def test_any_kind_of_value(kept):
    """Addresses, numbers, fractions and what JSON has; equal ones are kept together."""
    half = json_field("json.n")
    for one, other in [(b'{"n":3}', b'{"n":3.0}'), (b'{"n":2.5}', b'{"n":2.50}')]:
        assert all(
            kept(0.5, f"t/{rule}", half, payload=one) == kept(0.5, f"t/{rule}", half, payload=other)
            for rule in range(20)
        )
    for name, values in {"src_ip": ["10.0.0.1", "2001:db8::1"], "capture_id": [0, 7]}.items():
        for value in values:
            told = {kept(0.5, f"t/{rule}", CATALOGUE[name], **{name: value}) for rule in range(50)}
            assert told == {True, False}


def test_not_kept_is_not_matched(remembering, sip):
    """The next rule is asked."""
    switch = remembering.load(
        {"name": "x", "sample": "0.0001%", "relay": "a"}, {"name": "y", "relay": "b"}
    )
    assert switch.send(sip).path == ["main/y"]
