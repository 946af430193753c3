"""Fields of JSON: whatever the payload has there, compared by its type, alone and in a tree."""

from itertools import count

import orjson
import pytest
from tables import program, splitting_everything

from hepsw.hep import build
from hepsw.view import View

VALUES = [
    *(0, 3, 3.0, 4.25, -1, 200, 1e300, "3", "4.25", "", "true", "text", "tex", "ñ", "3-5"),
    *(True, False, None, [1], {"b": 1}),
]
"""What a payload may have; the last three are no values."""
WRITTEN = {
    "3": [3, 3.0],
    "4.25": [4.25],
    '"3"': ["3"],
    '""': [""],
    "true": [True, "true"],
    '"true"': [True, "true"],
    "false": [False],
    '"3-5"': ["3-5"],
    '[3, "3"]': [3, 3.0, "3"],
    '[true, 0, "text"]': [True, "true", 0, "text"],
    '"@mixed"': ["3", 200],
    '[4.25, "@mixed"]': [4.25, "3", 200],
    "{ ge = 3 }": [3, 3.0, 4.25, 200, 1e300],
    "{ gt = 3 }": [4.25, 200, 1e300],
    "{ lt = 3 }": [0, -1],
    "{ le = 3, ge = 0 }": [0, 3, 3.0],
    "{ ge = 4.25, lt = 200.5 }": [4.25, 200],
    '{ prefix = "te" }': ["text", "tex"],
    '{ prefix = "t" }': ["true", True, "text", "tex"],
    '{ prefix = "" }': ["3", "4.25", "", "true", True, False, "text", "tex", "ñ", "3-5"],
    '{ suffix = "t" }': ["text"],
    '{ contains = "e" }': ["true", True, False, "text", "tex"],
    '{ glob = "te*" }': ["text", "tex"],
    '{ re = "^[0-9]" }': ["3", "4.25", "3-5"],
    '{ hex = "33" }': ["3"],
    '{ prefix = { hex = "c3" } }': ["ñ"],
    '{ prefix = "t", suffix = "t" }': ["text"],
    '{ prefix = "t", ge = 0 }': [],
    '{ in = [3, "text"] }': [3, 3.0, "text"],
    '{ in = "@mixed" }': ["3", 200],
    '{ eq = "3-5" }': ["3-5"],
    "{ eq = 3 }": [3, 3.0],
    '{ eq = "@mixed" }': [],
    '[{ ge = 200 }, "text", { prefix = "4" }]': [200, 1e300, "text", "4.25"],
    "{ not = 3 }": [one for one in VALUES[:-3] if one not in (3, 3.0)],
    '{ not = "3" }': [one for one in VALUES[:-3] if one != "3"],
    '{ not = [3, "3", true] }': [
        one for one in VALUES[:-3] if one not in (3, 3.0, "3", "true") and one is not True
    ],
    "{ not = { ge = 3 } }": [0, -1, *VALUES[7:-3]],
    '{ not = { prefix = "t" } }': [
        *VALUES[:7],
        *("3", "4.25", "", "ñ", "3-5", False),
    ],
    "{ not = 3, ge = 3 }": [4.25, 200, 1e300],
    "{ exists = true }": VALUES[:-3],
    "{ exists = false }": VALUES[-3:],
    '{ exists = true, prefix = "te" }': ["text", "tex"],
}
"""By what is written for the field: the values that pass."""


def same(one, other):
    """Tell whether two values are the same, true and 1 apart."""
    return type(one) is type(other) and one == other


def document():
    """Return one rule for each way to write a condition, all of which may match one packet."""
    import tomllib

    numbers = count()
    rules = [
        {
            "name": f"r{next(numbers)}",
            "match": {"json": {"a.b": tomllib.loads(f"x = {written}")["x"]}},
            "continue": True,
        }
        for written in WRITTEN
    ]
    return {"sets": {"mixed": ["3", 200]}, "rules": {"main": rules}}


@pytest.fixture(scope="module", params=["in order", "tree"])
def tree(request):
    """The table, with rules tried one by one, or every look-up worth its cost."""
    if request.param == "tree":
        with splitting_everything():
            made = program(document()).trees["main"]
        assert made.fields == ("json.a.b",)
        return made
    few = document()
    return [
        program({**few, "rules": {"main": [rule]}}).trees["main"] for rule in few["rules"]["main"]
    ]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_operator_on_every_value(tree, value, peer):
    """Numbers with numbers, texts with texts; a boolean is the text of its name."""
    view = View(build(payload=orjson.dumps({"a": {"b": value}})), peer, 0)
    trees = tree if isinstance(tree, list) else [tree]
    met = {branch.path for one in trees for branch in one.walk(view)}
    for at, (written, passing) in enumerate(WRITTEN.items()):
        expected = any(same(value, one) for one in passing)
        assert (f"main/r{at}" in met) is expected, written


def test_a_packet_without_it(tree, peer):
    """No payload, no JSON, another path: it is missing."""
    trees = tree if isinstance(tree, list) else [tree]
    for fields in ({}, {"payload": b"plain"}, {"payload": b'{"a.b":3}'}, {"payload": b"[]"}):
        view = View(build(**fields), peer, 0)
        met = [branch.path for one in trees for branch in one.walk(view)]
        assert met == [f"main/r{list(WRITTEN).index('{ exists = false }')}"]


def test_many_rules_are_one_look_up(peer):
    """Texts and numbers by the thousand stand in one index."""
    rules = [
        {"name": f"r{at}", "match": {"json": {"id": at if at % 2 else f"n{at}"}}}
        for at in range(2000)
    ]
    tree = program({"rules": {"main": rules}}).trees["main"]
    for at, text in ((1001, b'{"id":1001}'), (1001, b'{"id":1001.0}'), (1000, b'{"id":"n1000"}')):
        view = View(build(payload=text), peer, 0)
        assert len(list(tree.candidates(view))) <= 1
        assert [branch.position for branch in tree.walk(view)] == [at]
    assert list(tree.walk(View(build(payload=b'{"id":"1001"}'), peer, 0))) == []
