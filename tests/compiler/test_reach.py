"""The lint of tables: what it says never matches never does, and what people write is seen."""

import re
import tempfile
from itertools import product
from pathlib import Path

import oracle
import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st
from tables import configured

from bench import rules as bench
from hepsw.compiler.lint import MANY, lint, table_findings
from hepsw.compiler.reach import STEPS, STEPS_PER_RULE, Reach
from hepsw.config.conditions import (
    ALWAYS,
    Between,
    Contains,
    Equal,
    Exists,
    Has,
    Lacks,
    Search,
    Some,
    Starts,
)
from hepsw.config.configuration import Dedupe, Edit, Flow, Limit, Rule, Sample, Scope, Table
from hepsw.config.diagnostics import render
from hepsw.config.load import load
from hepsw.config.problems import Report
from hepsw.config.sources import read_sources
from hepsw.fields import CATALOGUE
from hepsw.hep import build, decode, edit, encode_v1
from hepsw.view import Peer


def has(name, *values):
    return Has(CATALOGUE[name], Equal(frozenset(values)))


SRC_1, SRC_2, SRC_12 = has("src_port", 1), has("src_port", 2), has("src_port", 1, 2)


def rule(name, condition=ALWAYS, flow=Flow.STOP, target="", table="main", **more):
    """Return a rule; `sets` names fields that it edits."""
    written = tuple(Edit(CATALOGUE[name], 7) for name in more.pop("sets", ()))
    outputs = more.pop("to", ())
    return Rule(table, name, condition, written, None, outputs, flow, target, **more)


def table(*rules, name="main", **more):
    return Table(name, rules, (), **more)


def judged(*rules, called=()):
    """Return code, rule and the earlier rules named, for each finding about a table."""
    main = table(*rules)
    tables = {"main": main, "called": table(*called, name="called")}
    return [
        (
            finding.code,
            rules[finding.position].name,
            *(rules[because.position].name for because in finding.because),
        )
        for finding in Reach(main, tables).findings()
    ]


CALLING = rule("caller", flow=Flow.CALL, target="called")
EDITING = rule("editing", flow=Flow.CONTINUE, sets=["src_port"])


@pytest.mark.parametrize(
    "rules",
    [
        (rule("a", SRC_1), rule("b", SRC_1)),
        (rule("a", SRC_12), rule("b", SRC_1, Flow.CONTINUE)),
        (rule("a"), rule("b", SRC_1)),
        (rule("a"), rule("b")),
        (rule("a", flow=Flow.DROP, target="x"), rule("b", SRC_1)),
        (rule("a", flow=Flow.GOTO, target="t"), rule("b", SRC_1)),
        (rule("a", flow=Flow.RESUME, target="t"), rule("b", SRC_1)),
        (rule("a", limit=Limit(1, 1, None, over_next=False)), rule("b", SRC_1)),
        (rule("a", sets=["src_port"]), rule("b", SRC_1)),
        (rule("a", has("port", 1)), rule("b", SRC_1)),
        (rule("a"), rule("b", SRC_1, scope=Scope.DIALOG)),
        (rule("a", SRC_1, sets=["src_port"]), rule("b", SRC_1)),
        (EDITING, rule("a", SRC_1), rule("b", SRC_1)),
    ],
)
def test_a_rule_behind_one_that_takes_all_is_unreachable(rules):
    """Whatever way the earlier rule decides, and whatever the later one does."""
    assert judged(*rules) == [("HEP301", "b", "a")]


@pytest.mark.parametrize(
    "rules",
    [
        (rule("a", SRC_1), rule("b", SRC_2)),
        (rule("a", SRC_1), rule("b")),
        (rule("a", flow=Flow.CONTINUE), rule("b", SRC_1)),
        (CALLING, rule("b", SRC_1)),
        (rule("a", scope=Scope.DIALOG), rule("b", SRC_1)),
        (rule("a", sample=Sample(0.1, CATALOGUE["capture_id"])), rule("b", SRC_1)),
        (rule("a", dedupe=Dedupe(1, (CATALOGUE["capture_id"],))), rule("b", SRC_1)),
        (rule("a", limit=Limit(1, 1, None, over_next=True)), rule("b", SRC_1)),
        (rule("a", SRC_1), EDITING, rule("b", SRC_1)),
        (rule("a", has("port", 1)), EDITING, rule("b", SRC_1)),
        (rule("a", has("size", 9)), EDITING, rule("b", has("size", 9))),
        # An agent of version 1 gets a payload type with the edit, and a time.
        (rule("a", has("proto_type", 5)), EDITING, rule("b", has("proto_type", 5))),
        (
            rule("a", SRC_1),
            rule("on", flow=Flow.CONTINUE, sets=["vlan"]),
            CALLING,
            rule("b", SRC_1),
        ),
    ],
)
def test_a_rule_that_may_match_is_not_reported(rules):
    """Something between the two, or about the earlier one, may let a packet through."""
    assert judged(*rules, called=[EDITING]) == []


def test_edits_that_do_not_come_between():
    """An edit of another field, or by a rule that decides, changes nothing of it."""
    ends = rule("ends", SRC_2, sets=["src_port"])
    other = rule("other", flow=Flow.CONTINUE, sets=["vlan"])
    a, b = rule("a", SRC_1), rule("b", SRC_1)
    assert judged(a, ends, other, b) == [("HEP301", "b", "a")]
    assert judged(a, CALLING, b, called=[ends, other]) == [("HEP301", "b", "a")]


def test_several_rules_together():
    """Each value of a list, or each alternative, may be taken by another rule."""
    one, two = rule("one", SRC_1), rule("two", SRC_2)
    assert judged(one, two, rule("late", SRC_12)) == [("HEP301", "late", "one", "two")]
    networks = [has("src_ip", bytes([10, 0, 0, at])) for at in (1, 2)]
    pair = has("src_ip", bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    rules = [rule(f"r{at}", network) for at, network in enumerate(networks)]
    assert judged(*rules, rule("late", pair)) == [("HEP301", "late", "r0", "r1")]


def texts(*rules):
    return [
        (finding.text, [because.text for because in finding.because])
        for finding in Reach(table(*rules), {}).findings()
    ]


def test_half_shadowed():
    """The text lists what still reaches the rule, and who takes the rest."""
    one, half = rule("one", SRC_1), "rule `main/late` is half shadowed: of `src_port` only"
    late = rule("late", has("src_port", *range(1, 12)))
    text = f"{half} 2, 3, 4, 5, 6, 7, 8, 9, … and 2 more still reach it"
    assert texts(one, late) == [(text, ["1 taken by main/one"])]
    text = f"{half} 2 still reaches it"
    assert texts(one, rule("late", SRC_12)) == [(text, ["1 taken by main/one"])]


def test_a_secret_is_not_printed():
    """An authentication key that a rule compares is never named."""
    key = has("auth_key", b"hunter2")
    assert texts(rule("a", has("auth_key", b"hunter2", b"x")), rule("b", key)) == [
        ("rule `main/b` can never match", ["inside *** of main/a"])
    ]


def test_a_rule_that_excludes_itself():
    """A rule that no packet can satisfy is told by itself."""
    both = rule("both", Has(CATALOGUE["src_port"], Between(1, 5)))
    never = rule("never", Lacks(CATALOGUE["src_port"], Between(0, 65535)))
    assert judged(both, never) == [("HEP301", "never")]


def test_a_set_that_is_empty():
    """A set with nothing in it today is no mistake, and tomorrow's values are not known."""
    banned = Has(CATALOGUE["src_ip"], Equal(frozenset()))
    others = Lacks(CATALOGUE["src_port"], Equal(frozenset()))
    assert judged(rule("a", banned), rule("b", SRC_1)) == []
    assert judged(rule("a", Some((SRC_1, banned))), rule("b", SRC_1)) == []
    assert judged(rule("a", others), rule("b", SRC_1)) == []


def test_what_no_value_comes_to_mind_for():
    """Two rules with the same expression are compared, whatever it finds."""
    sip = Has(CATALOGUE["payload"], Search(rb"^[A-Z]{3,9} sip:\d"))
    assert judged(rule("a", sip), rule("b", sip)) == [("HEP301", "b", "a")]
    named = Has(CATALOGUE["node_name"], Starts(b"pbx"))
    other = Has(CATALOGUE["node_name"], Search(b"^pbx[0-9]"))
    assert judged(rule("a", named), rule("b", other)) == []


# --- outputs -------------------------------------------------------------------------------------


def test_an_output_that_has_the_packet_already():
    """What is edited behind the rule that names an output first never reaches it."""
    early = rule("early", flow=Flow.CONTINUE, to=("own",))
    late = rule("late", SRC_1, to=("own",), sets=["vlan"])
    assert judged(early, late) == [("HEP307", "late", "early")]
    assert judged(early, EDITING, rule("late", to=("own",))) == [("HEP307", "late", "early")]
    calls = rule("early", flow=Flow.CALL, target="called", to=("own",))
    assert judged(calls, rule("late", to=("own",)), called=[EDITING]) == []


@pytest.mark.parametrize(
    "rules",
    [
        (rule("early", flow=Flow.CONTINUE, to=("own",)), rule("late", to=("own",))),
        (rule("early", flow=Flow.CONTINUE, to=("own",)), EDITING, rule("late", to=("x",))),
        (
            rule("early", SRC_1, Flow.CONTINUE, to=("own",)),
            rule("late", to=("own",), sets=["vlan"]),
        ),
        (
            rule("early", SRC_1, Flow.CONTINUE, to=("own",)),
            EDITING,
            rule("late", SRC_1, to=("own",)),
        ),
        (
            rule("early", SRC_1, Flow.CONTINUE, to=("own",), sets=["src_port"]),
            rule("late", SRC_1, to=("own",), sets=["vlan"]),
        ),
        (
            rule("early", flow=Flow.CONTINUE, to=("own",)),
            rule("other", SRC_2, Flow.CONTINUE, sets=["vlan"]),
            rule("late", SRC_1, to=("own",)),
        ),
        (
            rule(
                "early",
                flow=Flow.CONTINUE,
                to=("own",),
                sample=Sample(0.1, CATALOGUE["capture_id"]),
            ),
            rule("late", to=("own",), sets=["vlan"]),
        ),
    ],
)
def test_an_output_that_may_get_the_edited_packet(rules):
    """Where the earlier rule may not have matched, or nothing was edited, nothing is said."""
    assert judged(*rules) == []


# --- tables --------------------------------------------------------------------------------------


def found(tmp_path, text):
    """Return what the lint says of a configuration, as `check` prints it."""
    file = tmp_path / "hepsw.toml"
    file.write_text('listen = [{ url = "udp://127.0.0.1" }]\n' + text)
    loaded = load(file)
    assert loaded.configuration is not None, render(loaded.problems.sorted(), loaded.texts)
    sources = read_sources(file)
    lint(loaded.configuration, Report(sources))
    printed = render(sources.problems.sorted(), sources.texts)
    return printed.replace(f"{tmp_path}/", "")


def test_the_usual_shape(tmp_path):
    """The condition is pointed at; the hint names value, rule and line of what covers it."""
    text = """
[[rules.main]]
name = "off"
enabled = false

[[rules.main]]
name = "lab"
match.src_ip = ["10.0.0.0/8", "192.168.0.0/16"]
drop = "lab"

[[rules.main]]
name = "late"
match.src_ip = "10.1.2.0/24"

[[rules.main]]
name = "all"
"""
    assert (
        found(tmp_path, text)
        == """\
warning[HEP301]: rule `main/late` can never match
  --> hepsw.toml:14:16
   |
14 | match.src_ip = "10.1.2.0/24"
   |                ^^^^^^^^^^^^^ inside 10.0.0.0/8 of main/lab, line 8"""
    )


@pytest.mark.parametrize(
    ("late", "code", "carets"),
    [
        ("match.is = 'seven'", "HEP301", "{ is = 'seven' }"),
        ("match.any = [{ vlan = 1 }, { vlan = 2 }]", "HEP301", "{ any = … }"),
        ("match = { dst_port = 9, vlan = [1, 2] }", "HEP301", "[1, 2]"),
        ("match.vlan = [2, 3]", "HEP302", "[2, 3]"),
        ("match = { vlan = 5, not = { vlan = 5 } }", "HEP301", "{ vlan = 5, not = { vlan = 5 } }"),
        ("match.src_port = 9\nset.mos = 1\nrelay = 'own'", "HEP307", "'own'"),
        ("match.src_port = 9\nset.mos = 1\nrelay = ['other', 'own']", "HEP307", "'own'"),
    ],
)
def test_places(tmp_path, late, code, carets):
    """A list, a matcher or an output is pointed at where it stands, else the whole block."""
    text = f"""
[destinations]
own = "udp://192.0.2.1"
other = "udp://192.0.2.2"
[matchers]
seven = {{ capture_id = 7 }}

[[rules.main]]
name = "early"
relay = "own"
continue = true

[[rules.main]]
name = "matcher"
match.capture_id = 7

[[rules.main]]
name = "one"
match.vlan = 1

[[rules.main]]
name = "two"
match.vlan = 2

[[rules.main]]
name = "late"
{late}

[[rules.main]]
name = "rest"
relay = "other"
"""
    printed = found(tmp_path, text).split("\n")
    assert printed[0].startswith(f"warning[{code}]: rule `main/late`")
    assert len([line for line in printed if line.startswith("warning")]) == 1
    source, marks = printed[3], printed[4]
    shown = source[marks.index("^") : marks.rindex("^") + 1]
    assert shown == carets or (carets.startswith("{ ") and shown in source)


def test_another_file_is_named(tmp_path):
    """Where the earlier rule stands in another file, the hint says in which."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.toml").write_text('[[rules.main]]\nname = "first"\n')
    (tmp_path / "rules" / "b.toml").write_text('[[rules.main]]\nname = "second"\n')
    printed = found(tmp_path, "")
    assert "every packet is taken by main/first, rules/a.toml:2" in printed


def said(*rules, is_entered=True, tables=(), **more):
    """Return the codes of all findings about a table."""
    main = table(*rules, **more)
    every = {each.name: each for each in (main, *tables)}
    return [finding.code for finding in table_findings(main, every, is_entered=is_entered)]


@pytest.mark.parametrize(
    "last",
    [
        rule("last", SRC_1),
        rule("last", flow=Flow.CONTINUE),
        rule("last", sample=Sample(0.1, CATALOGUE["capture_id"])),
        rule("last", limit=Limit(1, 1, None, over_next=True)),
        rule("last", flow=Flow.CALL, target="some"),
    ],
)
def test_no_catch_all(last):
    """A packet may leave the table undecided, and nobody said what becomes of it."""
    some = table(rule("some", SRC_1), name="some")
    assert said(rule("first", SRC_2), last, tables=[some]) == ["HEP303"]
    assert said(rule("first", SRC_2), last, tables=[some], miss_written=True) == []
    assert said(rule("first", SRC_2), last, tables=[some], is_entered=False) == []


@pytest.mark.parametrize(
    "last",
    [
        rule("last"),
        rule("last", flow=Flow.DROP, target="rest"),
        rule("last", scope=Scope.DIALOG),
        rule("last", limit=Limit(1, 1, None, over_next=False)),
        rule("last", flow=Flow.CALL, target="all"),
        rule("last", Some((SRC_1, Lacks(CATALOGUE["src_port"], Equal(frozenset({1}))),
                           Exists(CATALOGUE["src_port"], wanted=False)))),
    ],
)  # fmt: skip
def test_a_catch_all(last):
    """The last rule takes whatever comes, by itself or in a table that it calls."""
    every = table(rule("all"), name="all")
    assert said(rule("first", SRC_1), last, tables=[every]) == []


def test_many_rules_tried_one_by_one():
    """Expressions cannot be indexed: a hundred of them are a warning's worth."""

    def containing(number):
        wanted = Contains(f"{number:03}".encode())
        return rule(f"r{number}", Has(CATALOGUE["payload"], wanted))

    few, many = ([containing(number) for number in range(most)] for most in (MANY, MANY + 1))
    indexed = [rule(f"i{number}", has("capture_id", number)) for number in range(50)]
    assert said(*indexed, *few, is_entered=False) == []
    assert said(*indexed, *many, is_entered=False) == ["HEP501"]


# --- nothing is claimed that is not so -----------------------------------------------------------

PEER = Peer(bytes([10, 0, 0, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")
WORLD = [
    build(**{name: value for name, value in zip(
        ("src_port", "dst_port", "capture_id", "node_name", "proto_type"), values, strict=True
    ) if value is not None}, payload=b"x")
    for values in product([None, 1, 2], [None, 1, 3], [None, 7], [None, "a", "ab"], [1, 5])
] + [
    decode(encode_v1(src_ip="10.0.0.1", dst_ip="10.0.0.2", src_port=src, dst_port=dst,
                     ip_protocol=17, payload=payload))
    for src, dst, payload in product([1, 2], [1, 3], [b"x", b'{"sender_information":{}}'])
]  # fmt: skip
"""Every packet of a small world, with each field missing, and what version 1 cannot say."""

ports = st.sampled_from([1, 2, [1, 2], [1, 3], "1-2", "2-", "0-", {"not": 1}, {"exists": True}])
ENTRIES = {
    **dict.fromkeys(("src_port", "dst_port", "port"), ports),
    "capture_id": st.sampled_from([7, 0, [0, 7], {"exists": False}]),
    "node_name": st.sampled_from(["a", ["a", "ab"], {"prefix": "a"}, {"suffix": "b"}]),
    "proto_type": st.sampled_from(["SIP", 5, [1, 5]]),
}


def blocks():
    """A match block, often of one condition, so that one is often within another."""
    entries = [st.tuples(st.just(name), values) for name, values in ENTRIES.items()]
    entry = st.one_of(st.tuples(st.just("src_port"), ports), *entries)
    flat = st.lists(entry, max_size=2).map(dict)
    return st.one_of(
        flat,
        flat,
        entry.map(lambda one: {"not": dict([one])}),
        st.lists(flat, min_size=1, max_size=2).map(lambda blocks: {"any": blocks}),
    )


@st.composite
def rules(draw):
    """The rules of a table: most decide, some edit and let go on."""
    flows = st.sampled_from([{}, {}, {"drop": "x"}, {"continue": True}, {"enabled": False}])
    changes = st.sampled_from(
        [
            *[{}] * 4,
            {"set": {"src_port": 2}},
            {"set": {"capture_id": 7}},
            {"set": {"node_name": "ab"}},
            {"unset": ["src_port"]},
        ]
    )
    outputs = st.sampled_from([[], ["a"], ["b"], ["a", "b"]])
    return [
        {"name": f"r{at}", "match": block, "relay": draw(outputs), **draw(flows), **draw(changes)}
        for at, block in enumerate(draw(st.lists(blocks(), min_size=2, max_size=7)))
    ]


def edited(written, packet):
    """Make a rule's edits."""
    changes = {
        name: value.encode() if isinstance(value, str) else value
        for name, value in written.get("set", {}).items()
    }
    changes |= dict.fromkeys(written.get("unset", []))
    return edit(packet, changes, 1_700_000_000_000_000)


def paths(written):
    """Return the rules that each packet of the world meets, by the oracle."""
    judge = oracle.Oracle({"rules": {"main": written}})
    outcomes = [judge.judge(packet, PEER, float(at)) for at, packet in enumerate(WORLD)]
    return [[step.removeprefix("main/") for step in outcome.path] for outcome in outcomes]


@given(rules())
def test_what_is_reported_is_so(written):
    """A rule that can never match is on no packet's path, nor is one whose values are all taken."""
    document = {
        "destinations": {"a": "udp://192.0.2.1", "b": "udp://192.0.2.2"},
        "rules": {"main": written},
    }
    with tempfile.TemporaryDirectory() as folder:
        main = configured(Path(folder), document).tables["main"]
    walked = paths(written)
    for finding in Reach(main, {"main": main}).findings():
        name = main.rules[finding.position].name
        event(finding.code)
        note(f"{finding}")
        if finding.code == "HEP301":
            assert not [path for path in walked if name in path]
        elif finding.code == "HEP302":
            narrowed = taken(written, name, finding)
            assert not [path for path in paths(narrowed) if name in path]
        else:
            earlier = main.rules[finding.because[0].position].name
            assert all(earlier in path for path in walked if name in path)


def taken(written, name, finding):
    """Return the rules with what still reaches one of them taken out of its list."""
    field = finding.where[1]
    left = re.search("only (.*) still", finding.text)[1].replace('"', "").split(", ")

    def without(rule):
        if rule["name"] != name:
            return rule
        values = [value for value in rule["match"][field] if str(value) not in left]
        words = [{1: "SIP", 5: "RTCP"}.get(value) for value in values]
        values = [v for v, word in zip(values, words, strict=True)
                  if field != "proto_type" or word not in left]  # fmt: skip
        assert values
        return {**rule, "match": {**rule["match"], field: values}}

    return [without(rule) for rule in written]


# --- and it comes to an end ----------------------------------------------------------------------


def test_ten_thousand_rules():
    """A large table takes few steps a rule, and everything that is odd in it is found."""
    reach = Reach(bench.table(bench.samples(10_000, 1)), {})
    found = list(reach.findings())
    assert reach.steps < 4 * 10_000
    assert len(found) > 1000


def test_a_table_of_expressions():
    """Where every rule may cover every other, looking is given up, and nothing is claimed."""
    tangled = [
        rule(f"r{at}", Has(CATALOGUE["payload"], Search(f"[{at}]x|y".encode())))
        for at in range(1000)
    ]
    reach = Reach(table(*tangled), {})
    assert list(reach.findings()) == []
    assert reach.steps <= STEPS_PER_RULE * 1000 + STEPS + 1000 * 3
