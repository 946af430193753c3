"""What follows from what: certain where it says yes, and yes in the cases that people write."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from hepsw.compiler.implies import PATIENCE, Prover, contradicts_itself, formula, implies
from hepsw.compiler.predicates import predicate
from hepsw.config.conditions import (
    ALWAYS,
    All,
    Between,
    Both,
    Contains,
    Ends,
    Equal,
    Exists,
    Has,
    Lacks,
    Negation,
    OneOf,
    Search,
    Some,
    Starts,
    Within,
)
from hepsw.fields import CATALOGUE, Field, Kind
from hepsw.view import View


class World(View):
    """Says of its fields what a dict says."""

    def __init__(self, values):
        self.values = values


def field(name, **changes):
    """Return a field that is read from a world; the built-in one where there is one."""
    row = CATALOGUE.get(name) or Field(name, Kind.NUMBER, "", CATALOGUE["size"].read, bits=8)
    return replace(row, read=lambda view: view.values.get(name), **changes)


def either(first, second):
    def read(view):
        return tuple(view.values[name] for name in (first, second) if name in view.values) or None

    return read


SRC, DST = field("src_port"), field("dst_port")
PORT = replace(CATALOGUE["port"], read=either("src_port", "dst_port"))
SRC_IP = field("src_ip")
IP = replace(CATALOGUE["ip"], read=either("src_ip", "dst_ip"))
NAME = field("node_name")
MANY = replace(field("many"), several=True)
"""May have several values."""
WORD = field("peer_transport")
TIME = field("time")


def eq(*values):
    return Equal(frozenset(values))


def net(first, last):
    return Within(bytes(first), bytes(last))


TEN = net((10, 0, 0, 0), (10, 255, 255, 255))
TEN_ONE = net((10, 1, 0, 0), (10, 1, 255, 255))
BEFORE, BEHIND = net((0, 0, 0, 0), (127, 255, 255, 255)), net((128, 0, 0, 0), (255, 255, 255, 255))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Has(SRC, eq(1)), ALWAYS),
        (Has(SRC, eq(1)), Has(SRC, eq(1, 2))),
        (Has(SRC, eq(1)), Has(SRC, Between(0, 5))),
        (Has(SRC, Between(1, 2)), Has(SRC, Between(0, 5))),
        (Has(SRC, Between(1, 2)), Has(SRC, eq(1, 2))),
        (Has(SRC, Between(1, 9)), Has(SRC, OneOf((Between(1, 5), Between(6, 9))))),
        (Has(SRC, OneOf((eq(1), Between(4, 5)))), Has(SRC, OneOf((Between(0, 2), eq(4, 5))))),
        (Has(SRC_IP, TEN_ONE), Has(SRC_IP, TEN)),
        (Has(SRC_IP, eq(bytes([10, 1, 2, 3]))), Has(SRC_IP, OneOf((eq(b"\0" * 4), TEN)))),
        (Has(SRC_IP, TEN), Some((Has(SRC_IP, BEFORE), Has(SRC_IP, BEHIND)))),
        (Has(NAME, eq(b"pbx7")), Has(NAME, Starts(b"pbx"))),
        (Has(NAME, eq(b"pbx7")), Has(NAME, Search(b"x[0-9]$"))),
        (Has(NAME, Starts(b"pbx")), Has(NAME, Starts(b"p"))),
        (Has(NAME, Starts(b"pbx")), Has(NAME, Contains(b"b"))),
        (Has(NAME, Ends(b"pbx")), Has(NAME, Ends(b"bx"))),
        (Has(NAME, Search(b"a.*b")), Has(NAME, Search(b"a.*b"))),
        (Has(NAME, Both((Starts(b"p"), Ends(b"x")))), Has(NAME, Ends(b"x"))),
        (Has(NAME, Contains(b"pbx")), Has(NAME, Both((Contains(b"p"), Contains(b"x"))))),
        (Has(NAME, eq(b"x")), Exists(NAME, wanted=True)),
        (Lacks(NAME, eq(b"x")), Exists(NAME, wanted=True)),
        (Exists(NAME, wanted=True), Has(NAME, Starts(b""))),
        (Exists(SRC, wanted=True), Has(SRC, Between(0, 65535))),
        (Exists(SRC, wanted=False), Negation(Has(SRC, eq(1)))),
        (Exists(WORD, wanted=True), Has(WORD, eq(b"udp", b"tcp", b"tls"))),
        (Has(SRC, eq(1)), Lacks(SRC, eq(2))),
        (Lacks(SRC, eq(1, 2)), Lacks(SRC, eq(2))),
        (Lacks(SRC, Between(5, 65535)), Has(SRC, Between(0, 4))),
        (Negation(Has(SRC, eq(1, 2))), Negation(Has(SRC, eq(2)))),
        (Lacks(SRC, eq(2)), Negation(Has(SRC, eq(2)))),
        (Has(SRC, eq(1)), Has(PORT, eq(1))),
        (Has(DST, eq(1)), Has(PORT, eq(1, 2))),
        (Lacks(PORT, eq(1)), Negation(Has(SRC, eq(1)))),
        (Exists(PORT, wanted=False), Exists(DST, wanted=False)),
        (Has(PORT, eq(1)), Some((Has(SRC, eq(1)), Has(DST, eq(1))))),
        (Has(MANY, eq(1)), Has(MANY, eq(1, 2))),
        (All((Has(SRC, eq(1)), Has(DST, eq(2)))), Has(DST, eq(2))),
        (All((Has(SRC, eq(1)), Has(DST, eq(2)))), All((Has(DST, eq(2)), Has(SRC, eq(1))))),
        (Has(SRC, eq(1)), Some((Has(DST, eq(2)), Has(SRC, eq(1))))),
        (Some((Has(SRC, eq(1)), Has(SRC, eq(2)))), Has(SRC, eq(1, 2))),
        (ALWAYS, Some((Has(SRC, eq(1)), Negation(Has(SRC, eq(1)))))),
        (Has(TIME, Between(1, 2)), Has(TIME, Between(0, 2))),
    ],
)
def test_it_follows(one, other):
    """Each of these is seen, and so is its contrapositive."""
    assert implies(one, other)
    assert implies(Negation(other), Negation(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ALWAYS, Has(SRC, Between(0, 65535))),
        (Has(MANY, eq(1)), Lacks(MANY, eq(2))),
        (Lacks(MANY, Between(5, 255)), Negation(Has(MANY, eq(1)))),
        (Has(PORT, eq(1)), Has(SRC, eq(1))),
        (Has(PORT, eq(1)), Lacks(PORT, eq(2))),
        (Negation(Has(SRC, eq(1))), Lacks(SRC, eq(1))),
        (Has(NAME, Starts(b"p")), Has(NAME, Starts(b"pbx"))),
        (Has(SRC_IP, BEFORE), Has(SRC_IP, TEN)),
        (Exists(SRC_IP, wanted=True), Some((Has(SRC_IP, BEFORE), Has(SRC_IP, BEHIND)))),
    ],
)
def test_it_does_not_follow(one, other):
    """None of these holds for all packets."""
    assert not implies(one, other)


@pytest.mark.parametrize(
    "condition",
    [
        Some(()),
        All((Has(SRC, eq(1)), Has(SRC, eq(2)))),
        All((Has(SRC, eq(1)), All((Lacks(SRC, eq(1, 2)),)))),
        All((Exists(SRC, wanted=False), Has(SRC, eq(1)))),
        All((Has(SRC, Between(1, 3)), Lacks(SRC, eq(1, 2, 3)))),
        All((Has(NAME, Starts(b"a")), Has(NAME, Starts(b"b")))),
        All((Has(NAME, Ends(b"a")), Has(NAME, Ends(b"ab")))),
        All((Has(NAME, eq(b"a", b"ab")), Has(NAME, Contains(b"c")))),
        All((Has(SRC_IP, TEN), Lacks(IP, BEFORE))),
        All((Has(PORT, eq(1)), Exists(SRC, wanted=False), Exists(DST, wanted=False))),
        Negation(Some((Has(SRC, eq(1)), Negation(Has(SRC, eq(1)))))),
    ],
)
def test_it_matches_nothing(condition):
    """Conditions that exclude each other are seen."""
    assert contradicts_itself(condition)
    assert implies(condition, Has(MANY, eq(1)))


@pytest.mark.parametrize(
    "condition",
    [
        ALWAYS,
        All((Has(MANY, eq(1)), Has(MANY, eq(2)))),
        All((Has(PORT, eq(1)), Has(PORT, eq(2)))),
        All((Has(MANY, eq(1)), Lacks(MANY, eq(2)))),
        All((Has(NAME, Ends(b"b")), Has(NAME, Ends(b"ab")))),
    ],
)
def test_it_may_match(condition):
    """A field with several values satisfies what excludes each other for one."""
    assert not contradicts_itself(condition)


ANY_KIND = field("json.a", kind=None)
"""Stands for a kind whose values are of any type."""


def test_values_of_any_type():
    """A field whose values are numbers, fractions, texts or truth values: no type is assumed."""
    half = Has(ANY_KIND, eq(0.5))
    assert implies(half, Has(ANY_KIND, Between(0, 1)))
    assert implies(half, Has(ANY_KIND, eq(0.5, b"x")))
    assert implies(Has(ANY_KIND, Between(0.25, 0.5)), Has(ANY_KIND, Between(0, 1.5)))
    assert implies(Has(ANY_KIND, eq(b"ab")), Has(ANY_KIND, Starts(b"a")))
    assert implies(Has(ANY_KIND, eq(True)), Has(ANY_KIND, eq(True)))
    assert not implies(Has(ANY_KIND, eq(True)), Has(ANY_KIND, eq(1)))
    assert not implies(Has(ANY_KIND, eq(1)), Has(ANY_KIND, eq(True)))
    assert not implies(Has(ANY_KIND, Between(1, 2)), Has(ANY_KIND, eq(1, 2)))
    assert not implies(Exists(ANY_KIND, wanted=True), Has(ANY_KIND, Starts(b"")))
    assert not implies(half, Has(ANY_KIND, Starts(b"")))


NUMBERS = [0, 1, 2, 65535]
NAMES = [b"", b"a", b"ab", b"b"]
PACKETS = [
    World({key: value for key, value in zip(("src_port", "dst_port", "node_name", "many"), values,
                                            strict=True) if value is not None})
    for values in product(
        [None, *NUMBERS], [None, 0, 1], [None, *NAMES],
        [None, (0,), (1,), (0, 1), (1, 2), (0, 1, 2)],
    )
]  # fmt: skip
"""Every packet of a small world, with each field missing, and `many` with up to three values."""

numbers = st.deferred(
    lambda: (
        st.frozensets(st.sampled_from(NUMBERS), max_size=3).map(Equal)
        | st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)).map(
            lambda ends: Between(min(ends), max(ends))
        )
        | st.lists(numbers, min_size=1, max_size=2).map(lambda tests: OneOf(tuple(tests)))
        | st.lists(numbers, min_size=1, max_size=2).map(lambda tests: Both(tuple(tests)))
    )
)
pieces = st.sampled_from([b"", b"a", b"b", b"ab", b"c"])
texts = st.deferred(
    lambda: (
        st.frozensets(st.sampled_from(NAMES), max_size=3).map(Equal)
        | pieces.map(Starts)
        | pieces.map(Ends)
        | pieces.map(Contains)
        | st.sampled_from([b"^a", b"b$", b""]).map(Search)
        | st.lists(texts, min_size=1, max_size=2).map(lambda tests: OneOf(tuple(tests)))
        | st.lists(texts, min_size=1, max_size=2).map(lambda tests: Both(tuple(tests)))
    )
)


@st.composite
def single(draw):
    """A condition on one field."""
    asked = draw(st.sampled_from([SRC, SRC, DST, PORT, PORT, NAME, MANY, MANY]))
    what = draw(st.sampled_from([Has, Has, Lacks, Exists]))
    if what is Exists:
        return Exists(asked, wanted=draw(st.booleans()))
    return what(asked, draw(texts if asked is NAME else numbers))


conditions = st.recursive(
    single(),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: All(tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: Some(tuple(parts)))
        | inner.map(Negation)
    ),
    max_leaves=5,
)


@given(conditions, conditions)
def test_what_follows_holds_for_every_packet(one, other):
    """No packet of a small world satisfies the one and not the other."""
    if implies(one, other):
        event("follows")
        first, second = predicate(one), predicate(other)
        assert not [packet for packet in PACKETS if first(packet) and not second(packet)]


@given(conditions, conditions)
def test_what_is_built_in_is_seen(one, other):
    """Each part of an `any` implies it, an `all` each of its parts."""
    assert implies(one, Some((other, one)))
    assert implies(All((other, one)), one)


@given(conditions)
def test_what_matches_nothing_matches_no_packet(condition):
    """A contradiction has no packet, in a small world either."""
    if contradicts_itself(condition):
        event("matches nothing")
        assert not any(map(predicate(condition), PACKETS))


def test_a_long_search_is_given_up():
    """Twenty choices between two are a million combinations: the answer is no, and soon."""
    fields = [field(f"f{number}") for number in range(20)]
    choices = All(tuple(Some((Has(f, eq(1)), Has(f, eq(2)))) for f in fields))
    prover = Prover()
    none = Has(MANY, eq(1))
    wanted = Some(tuple(All((Has(f, eq(1)), none)) for f in fields))
    assert not prover.contradict([formula(choices), formula(wanted, negated=True)])
    assert prover.steps <= PATIENCE + 20
