"""Which url takes a packet: pure, so time is a number here."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.sinks.pool import SLOW_RETURN, Pool

URLS = [f"tcp://192.0.2.{n}:9060" for n in range(1, 5)]
KEYS = [f"call-{n}@example.com".encode() for n in range(2000)]


def pool_of(policy, urls=URLS, *, up=True):
    pool = Pool(policy, urls)
    if up:
        for at in range(len(urls)):
            pool.came_up(at, 0.0)
    return pool


@pytest.mark.parametrize("policy", ["failover", "hash", "round-robin"])
def test_choice_is_made_while_none_stands(policy):
    """The last one is never taken out: packets wait for it."""
    pool = pool_of(policy, up=False)
    assert not pool.stands
    assert pool.choose(b"call", 0.0) in range(4)
    pool.came_up(2, 1.0)
    pool.went_down(2)
    assert pool.choose(b"call", 2.0) in range(4)


def test_failover_takes_the_first_that_stands():
    """The next takes over at once; the first has it back when it stood for a while."""
    pool = pool_of("failover")
    assert pool.choose(None, 0.0) == 0
    pool.went_down(0)
    assert pool.choose(None, 1.0) == 1
    pool.went_down(1)
    assert pool.choose(None, 1.0) == 2
    pool.came_up(0, 5.0)
    assert pool.choose(None, 5.0) == 2
    assert pool.choose(None, 5.0 + SLOW_RETURN - 0.1) == 2
    assert pool.choose(None, 5.0 + SLOW_RETURN) == 0


def test_failover_to_one_that_has_just_returned():
    """Better one that has just returned than none."""
    pool = pool_of("failover", URLS[:2])
    pool.went_down(0)
    pool.came_up(0, 10.0)
    pool.went_down(1)
    assert pool.choose(None, 10.1) == 0


def test_one_that_never_stood_comes_in_at_once():
    """The slow return is for those that broke: a start is no return."""
    pool = pool_of("failover", up=False)
    pool.went_down(0)
    pool.came_up(1, 0.0)
    assert pool.choose(None, 0.0) == 1
    pool.came_up(0, 1.0)
    assert pool.choose(None, 1.0) == 0


def test_round_robin_is_even():
    """Each has its turn; those that are down have none, and get none back later."""
    pool = pool_of("round-robin")
    assert Counter(pool.choose(None, 0.0) for _ in range(400)) == dict.fromkeys(range(4), 100)
    pool.went_down(3)
    assert Counter(pool.choose(None, 0.0) for _ in range(300)) == dict.fromkeys(range(3), 100)


@pytest.mark.parametrize("policy", ["hash", "round-robin"])
def test_slow_return(policy):
    """The share of one that returned grows over ten seconds."""
    pool = pool_of(policy)
    pool.went_down(1)
    pool.came_up(1, 100.0)

    def share(now):
        return sum(pool.choose(key, now) == 1 for key in KEYS) / len(KEYS)

    shares = [share(100.0 + SLOW_RETURN * part) for part in (0, 0.25, 0.5, 0.75, 1)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.03
    assert 0.09 < shares[2] < 0.18
    assert 0.22 < shares[4] < 0.28


def test_hash_is_even_and_stable():
    """Each has its quarter; the same key goes to the same url, in whatever order they stand."""
    pool, other = pool_of("hash"), pool_of("hash", URLS[::-1])
    chosen = [pool.choose(key, 0.0) for key in KEYS]
    assert chosen == [pool.choose(key, 9.0) for key in KEYS]
    assert chosen == [3 - other.choose(key, 0.0) for key in KEYS]
    assert all(440 < count < 560 for count in Counter(chosen).values())


def test_hash_moves_only_what_must():
    """Calls of a url that left are spread over the others, and all of them come back."""
    pool = pool_of("hash")
    before = [pool.choose(key, 0.0) for key in KEYS]
    pool.went_down(2)
    during = [pool.choose(key, 1.0) for key in KEYS]
    assert all(now == then for now, then in zip(during, before, strict=True) if then != 2)
    moved = Counter(now for now, then in zip(during, before, strict=True) if then == 2)
    assert set(moved) == {0, 1, 3}
    pool.came_up(2, 2.0)
    assert [pool.choose(key, 2.0 + SLOW_RETURN) for key in KEYS] == before


def test_hash_without_the_key_goes_round():
    """Packets that lack the field are spread."""
    pool = pool_of("hash")
    assert Counter(pool.choose(None, 0.0) for _ in range(40)) == dict.fromkeys(range(4), 10)


@given(
    policy=st.sampled_from(["failover", "hash", "round-robin"]),
    events=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.floats(0, 30))),
    key=st.none() | st.binary(max_size=4),
)
def test_a_url_that_stands_is_chosen_if_there_is_one(policy, events, key):
    """Whatever came and went, in whatever time."""
    pool = Pool(policy, URLS)
    standing = set()
    now = 0.0
    for up, at, later in events:
        now += later
        if up:
            pool.came_up(at, now)
            standing.add(at)
        else:
            pool.went_down(at)
            standing.discard(at)
        assert pool.stands == bool(standing)
        chosen = pool.choose(key, now)
        assert chosen in standing or not standing
        assert all(0 <= pool.share(at, now) <= 1 for at in range(4))
