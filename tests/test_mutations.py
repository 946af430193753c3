"""The shipped examples are tested so well that no small change of them goes unnoticed.

Each example is changed in one place and proven, as `hepsw check --offline` would. Something must
then be found that was not found before: a test that fails, or a finding of the loader or the lint.
A change that no packet can tell from the original is no mistake; that is decided by what both mean,
or, where only thinking tells, listed here with its reason.
"""

import tomllib
from functools import cache

import pytest
from mutations import mutants

from hepsw.cli.init import TEMPLATES, template
from hepsw.compiler.implies import implies
from hepsw.config.conditions import Negation
from hepsw.config.writing import toml_text
from hepsw.prove import prove

FULL_BUCKET = "to empty a bucket of 20,000 takes more than the 10,000 packets that a test may give"
OWN_ENTRY = "200 has an entry of its own, and an exact value comes before a range"

UNNOTICED = {
    ("tenants", "main/tenant: without limit"): FULL_BUCKET,
    ("tenants", "main/tenant: burst 19999"): FULL_BUCKET,
    ("tenants", "main/tenant: burst 20001"): FULL_BUCKET,
    ("tenants", "main/tenant: a tenth of its rate"): FULL_BUCKET,
    ("tenants", "main/tenant: without per"): FULL_BUCKET,
    ("tenants", "map tenant: 100-200 instead of 100-199"): OWN_ENTRY,
    ("tenants", "map tenant: 200-209 instead of 201-209"): OWN_ENTRY,
    ("tenants", "set agents"): "`from` is asked by the listener, before there is a packet to give",
    ("quality", "trace bad-audio: without qos"): (
        "every report that the trace takes goes on to the rule `qos`, as it is"
    ),
}
"""Changes that nothing notices, by example and change or place, each with its reason: no packet can
tell, or none that a test can give. None of them is a condition."""


@cache
def example(name):
    """Return what an example says, and the set files beside it."""
    main, *_ = (files := template(name)).values()
    beside = {file: text.decode() for file, text in files.items() if file != "hepsw.toml"}
    return tomllib.loads(main.decode()), beside


def proven(folder, data, files):
    """Prove a configuration in a folder of its own."""
    text = toml_text(data)
    assert tomllib.loads(text) == data
    file = folder / "hepsw.toml"
    file.write_text(text)
    for name, content in files.items():
        (folder / name).write_text(content)
    return prove(file)


@cache
def original(name, folder):
    """Return the configuration of an example, which nothing is wrong with."""
    came = proven(folder, *example(name))
    assert came.loaded.problems.sorted() == []
    return came.loaded.configuration


EVERY = [
    pytest.param(name, mutant, id=f"{name}: {mutant.name}")
    for name in TEMPLATES
    for mutant in mutants(*example(name))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that one mutant after the other is written to."""
    return tmp_path_factory.mktemp("example")


@pytest.mark.parametrize(("name", "mutant"), EVERY)
def test_noticed(folder, name, mutant):
    """A change of a condition, or of what a rule does, is noticed."""
    came = proven(folder, mutant.data, mutant.files)
    if not came.loaded.problems.sorted():
        before = original(name, folder)
        assert listed(name, mutant) or means_the_same(came.loaded.configuration, before, mutant)


def listed(name, mutant):
    """Return why a change is not noticed, where that is known."""
    place, _, _ = mutant.name.partition(": ")
    return UNNOTICED.get((name, mutant.name)) or UNNOTICED.get((name, place))


def test_what_is_listed(folder):
    """What is listed as not noticed is no condition, and in truth not noticed."""
    excused = set()
    for name in TEMPLATES:
        for mutant in mutants(*example(name)):
            if listed(name, mutant):
                assert not mutant.is_condition
                came = proven(folder, mutant.data, mutant.files)
                assert came.loaded.problems.sorted() == []
                excused |= {(name, mutant.name), (name, mutant.name.partition(": ")[0])}
    assert excused >= UNNOTICED.keys()


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_condition_is_passed_over(name):
    """Whatever stands in a condition, down to each value of a list, is changed by some mutant."""
    data, files = example(name)
    every = [mutant.data for mutant in mutants(data, files) if mutant.is_condition]
    for place in conditions(data):
        for steps, value in leaves(at(data, place)):
            spared = [mutant for mutant in every if at(mutant, (*place, *steps)) == value]
            assert len(spared) < len(every), (*place, *steps)


def conditions(data):
    """Yield the path of each match block."""
    yield from (("matchers", name) for name in data.get("matchers", {}))
    for table, rules in data["rules"].items():
        for number, rule in enumerate(rules):
            if "match" in rule:
                yield ("rules", table, number, "match")


def leaves(value):
    """Yield each value below a value, with the steps that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for step, below in inner:
        if isinstance(below, (dict, list)):
            yield from (((step, *steps), leaf) for steps, leaf in leaves(below))
        else:
            yield (step,), below


def at(data, path):
    """Return what stands at a path; None where nothing does."""
    for step in path:
        try:
            data = data[step]
        except (LookupError, TypeError):
            return None
    return data


def means_the_same(configuration, before, mutant):
    """Tell whether no packet can meet anything else than before."""
    if (configuration.tables, configuration.traces) == (before.tables, before.traces):
        return True
    if mutant.swapped is None:
        return False
    table, at = mutant.swapped
    one, two = before.tables[table].rules[at : at + 2]
    return not (one.edits or two.edits) and implies(one.condition, Negation(two.condition))
