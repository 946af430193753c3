"""Where packets can go, and where their payload is first read."""

from dataclasses import replace
from pathlib import Path

import pytest

from hepsw.compiler.picture import always_matches, can_miss, picture
from hepsw.config.conditions import ALWAYS, All, Equal, Exists, Has, Negation, Some
from hepsw.config.configuration import (
    Configuration,
    Count,
    Dedupe,
    Edit,
    Flow,
    Limit,
    Listener,
    Observe,
    Rule,
    RuleLog,
    Sample,
    Scope,
    Table,
)
from hepsw.config.models import Log, Reload, Switch
from hepsw.config.template import parse
from hepsw.config.units import url
from hepsw.fields import CATALOGUE, Kind, json_field, map_field
from hepsw.fields.lookups import Entries


def field(name):
    return CATALOGUE.get(name) or json_field(name)


def mapped(key):
    """Return the field of a map that looks up another."""
    entries = Entries({}, (), (), (), None)
    return map_field("m", field(key), entries, Kind.TEXT, "", several=False)


def template(text):
    return parse(text, field)


SOME = Has(field("vlan"), Equal(frozenset({5})))
SIP = Has(field("sip.method"), Equal(frozenset({b"INVITE"})))
CALL = field("call")


def rule(condition=ALWAYS, flow=Flow.STOP, target="", **more):
    """Make a rule, which gets its name by its place."""
    return Rule("", "", condition, (), None, (), flow, target, **more)


def configured(entries=("main",), **tables):
    """Make a configuration of tables, their rules called r0, r1 and so on."""
    return Configuration(
        listeners=tuple(
            Listener(
                f"in{at}", url(f"udp://127.0.0.1:{9060 + at}"), entry, frozenset({3}), False, 0
            )
            for at, entry in enumerate(entries)
        ),
        destinations={},
        stores={},
        traces={},
        cases=(),
        switch=Switch(),
        tables={
            name: Table(
                name,
                tuple(replace(rule, table=name, name=f"r{at}") for at, rule in enumerate(rules)),
                (),
            )
            for name, rules in tables.items()
        },
        reload=Reload(),
        log=Log(),
        files={Path("hepsw.toml"): ""},
    )


def first_reads(**tables):
    return set(picture(configured(**tables)).first_reads)


def test_entries_and_unreachable_tables():
    """Listeners are grouped by their table; goto, call and resume lead to tables, nothing else."""
    found = picture(
        configured(
            entries=("main", "other", "main"),
            main=[rule(SOME, Flow.GOTO, "a"), rule(SOME, Flow.CALL, "b")],
            other=[rule(SOME, Flow.RESUME, "c"), rule(flow=Flow.DROP, target="lost")],
            a=[rule()],
            b=[],
            c=[],
            lost=[rule(flow=Flow.GOTO, target="deeper")],
            deeper=[],
        )
    )
    assert [(entry.table, len(entry.listeners)) for entry in found.entries] == [
        ("main", 2),
        ("other", 1),
    ]
    assert found.unreachable == ("lost", "deeper")


def test_no_rules():
    """Without rules there is no table to enter."""
    (entry,) = picture(configured(entries=(None,))).entries
    assert entry.table is None


@pytest.mark.parametrize(
    "reading",
    [
        rule(SIP),
        rule(Negation(Some((SOME, All((SIP, SOME)))))),
        rule(Exists(field("json.a"), wanted=True)),
        rule(Exists(field("rtcp.loss_pct"), wanted=False)),
        rule(SOME, scope=Scope.DIALOG),
        rule(SOME, sample=Sample(0.1, CALL)),
        rule(SOME, dedupe=Dedupe(0.5, (field("vlan"), CALL))),
        rule(SOME, limit=Limit(1, 1, CALL, over_next=False)),
        replace(rule(SOME), edits=(Edit(field("node_name"), template("{sip.method}")),)),
        replace(rule(SOME), log=RuleLog("info", template("{vlan} {vq.mos_lq}"))),
        rule(SOME, counts=(Count("c", (("l", template("{call}")),)),)),
        rule(SOME, observes=(Observe("o", template("{rtcp.loss_pct}"), ()),)),
        rule(SOME, observes=(Observe("o", template("{vlan}"), (("l", template("{call}")),)),)),
        rule(SOME, output_maps=(mapped("sip.ruri_domain"),)),
        rule(SOME, trace_maps=(mapped("call"),)),
        rule(Has(mapped("vq.call_id"), Equal(frozenset({b"x"})))),
        rule(SOME, Flow.RESUME, "second"),
    ],
)
def test_what_reads_a_payload(reading):
    """Conditions, templates, scope, sample, keys and resume read the payload."""
    assert first_reads(main=[rule(SOME), reading], second=[rule(SIP)]) == {"main/r1"}


@pytest.mark.parametrize(
    "other",
    [
        rule(SOME),
        rule(SOME, sample=Sample(0.1, field("src_ip"))),
        rule(SOME, dedupe=Dedupe(0.5, (field("payload"),))),
        rule(SOME, limit=Limit(1, 1, None, over_next=False)),
        replace(rule(SOME), edits=(Edit(field("node_name"), b"x"), Edit(field("vlan"), None))),
        replace(rule(SOME), log=RuleLog("info", template("{payload}"))),
        rule(SOME, output_maps=(mapped("capture_id"),)),
    ],
)
def test_what_reads_none(other):
    """The octets of a payload can be had without reading what they say."""
    assert first_reads(main=[other]) == set()


def test_a_condition_reads_for_all_behind_it():
    """Whether it matched or not, the payload was read, so nobody behind it is the first."""
    assert first_reads(main=[rule(SIP, Flow.GOTO, "second"), rule(SIP)], second=[rule(SIP)]) == {
        "main/r0"
    }


def test_an_action_reads_only_where_its_rule_matched():
    """Packets that went past a rule come to the next one with their payload not read."""
    log = RuleLog("info", template("{sip.method}"))
    sometimes = replace(rule(SOME, Flow.CONTINUE), log=log)
    always = replace(rule(ALWAYS, Flow.CONTINUE), log=log)
    assert first_reads(main=[sometimes, rule(SIP)]) == {"main/r0", "main/r1"}
    assert first_reads(main=[always, rule(SIP)]) == {"main/r0"}
    sampled = replace(always, sample=Sample(0.1, field("src_ip")))
    assert first_reads(main=[sampled, rule(SIP)]) == {"main/r0", "main/r1"}


@pytest.mark.parametrize(
    "gate",
    [
        {"sample": Sample(0.1, CALL)},
        {"dedupe": Dedupe(0.5, (field("vlan"), CALL))},
        {"limit": Limit(1, 1, CALL, over_next=True)},
    ],
)
def test_a_gate_reads_of_all_that_come_to_it(gate):
    """Whether a packet is kept or not, it was read to tell, unless another gate kept it away."""
    assert first_reads(main=[rule(**gate), rule(SIP)]) == {"main/r0"}
    assert first_reads(main=[rule(SOME, **gate), rule(SIP)]) == {"main/r0", "main/r1"}
    both = {"sample": Sample(0.1, field("src_ip")), **gate}
    if "sample" not in gate:
        assert first_reads(main=[rule(**both), rule(SIP)]) == {"main/r0", "main/r1"}


def test_each_path_has_its_first():
    """A table that is reached by a path that read and by one that did not has a first reader."""
    assert first_reads(
        main=[
            rule(SOME, Flow.RESUME, "read"),
            rule(SOME, Flow.GOTO, "unread"),
            rule(SIP, Flow.GOTO, "read"),
        ],
        read=[rule(SIP, Flow.GOTO, "last")],
        unread=[rule(SOME, Flow.GOTO, "last")],
        last=[rule(SIP)],
    ) == {"main/r0", "main/r2", "last/r0"}


def test_what_a_called_table_reads_is_read_when_it_comes_back():
    """Behind a call the payload is read if there is no way through the table without."""
    called = [rule(SOME), rule(SIP, Flow.STOP)]
    assert first_reads(main=[rule(ALWAYS, Flow.CALL, "t"), rule(SIP)], t=called) == {"t/r1"}
    assert first_reads(main=[rule(SOME, Flow.CALL, "t"), rule(SIP)], t=called) == {
        "t/r1",
        "main/r1",
    }
    harmless = [rule(SOME)]
    assert first_reads(main=[rule(ALWAYS, Flow.CALL, "t"), rule(SIP)], t=harmless) == {"main/r1"}
    decides = [rule(ALWAYS)]
    assert first_reads(main=[rule(ALWAYS, Flow.CALL, "t"), rule(SIP)], t=decides) == set()


def test_a_long_chain():
    """A chain of a thousand tables is legal, called or gone to."""
    for flow in (Flow.GOTO, Flow.CALL):
        chain = {f"t{at}": [rule(SOME, flow, f"t{at + 1}")] for at in range(1000)}
        found = picture(configured(main=[rule(ALWAYS, flow, "t0")], **chain, t1000=[rule(SIP)]))
        assert found.first_reads == {"t1000/r0"}
        assert found.unreachable == ()


def test_conditions_that_double():
    """Matchers that use each other twice, thirty deep, are walked once each."""
    part = SIP
    for _ in range(30):
        part = Some((part, part))
    assert first_reads(main=[rule(part)]) == {"main/r0"}


def test_what_can_be_missed():
    """A table without a rule that decides every packet can be left undecided."""
    table = configured(main=[rule(SOME)]).tables["main"]
    assert can_miss(table)
    assert can_miss(replace(table, rules=(rule(flow=Flow.CONTINUE),)))
    assert not can_miss(replace(table, rules=(rule(SOME), rule())))
    limited = rule(limit=Limit(1, 1, None, over_next=True))
    assert not always_matches(limited)
    assert always_matches(replace(limited, limit=Limit(1, 1, None, over_next=False)))
