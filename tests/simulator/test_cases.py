"""Tests of a configuration: what is expected, what came, and how that is said."""

import pytest
from simulator.configured import CONFIGURATION, failures, results

from hepsw.prove import prove


@pytest.mark.parametrize(
    ("given", "holds", "fails", "said"),
    [
        ('proto_type = "SIP"', 'rule = "main/sip"', 'rule = "main/end"', "the path is main/sip"),
        (
            'proto_type = "SIP", vlan = 7',
            'rule = "main/sip"',
            'rule = "main/stamp"',
            "the path is main/stamp → main/sip",
        ),
        ("proto_type = 50", "path = []", 'rule = "main/sip"', "the path is empty: no rule matched"),
        (
            'proto_type = "SIP", vlan = 7',
            'path = ["main/stamp", "main/sip"]',
            'path = ["main/sip"]',
            "the path is main/stamp → main/sip",
        ),
        ('proto_type = "SIP"', 'relay = ["b", "a"]', 'relay = ["a"]', "it went to a, b"),
        ('proto_type = "RTCP"', 'relay = "a"', 'relay = ["a", "b"]', "it went to a"),
        ('proto_type = "XMPP"', "relay = []", 'relay = "a"', "it went to none"),
        ('proto_type = "SIP"', 'store = "s"', "store = []", "it went to s"),
        ('proto_type = "RTCP"', "store = []", 'store = ["s"]', "it went to none"),
        ('proto_type = "RTCP"', 'trace = "t"', "trace = []", "it went to t"),
        ('proto_type = "SIP"', "trace = []", 'trace = ["t"]', "it went to none"),
        ('proto_type = "LOG"', 'drop = "no-use"', 'drop = "x"', "it was dropped: no-use"),
        ('proto_type = "SIP"', "missed = false", 'drop = "no-use"', "it was routed"),
        ('proto_type = "XMPP"', "missed = false", "missed = true", "it was ended"),
        ("proto_type = 50", "missed = true", "missed = false", "it was missed"),
        (
            'proto_type = "SIP", sip.to_user = "bob"',
            'log = "to bob"',
            'log = "to"',
            "the log says 'to bob'",
        ),
        ('proto_type = "LOG"', 'rule = "main/end"', 'log = "to bob"', "the log says nothing"),
        (
            'proto_type = "SIP", vlan = 7, node_name = "pbx"',
            'after = { node_name = "edge", vlan = 7 }',
            'after = { node_name = { prefix = "pbx" } }',
            'at the end it is not so that node_name prefix "pbx"',
        ),
        (
            "proto_type = 50",
            "after = { node_name = { exists = false } }",
            "after = { proto_type = 51 }",
            "at the end it is not so that proto_type = 51",
        ),
    ],
)
def test_expected(tmp_path, given, holds, fails, said):
    """Each key of `expect` is asked by itself, and says what came instead."""
    assert failures(tmp_path, f"given = {{ {given} }}\nexpect = {{ {holds} }}") == []
    found = failures(tmp_path, f"given = {{ {given} }}\nexpect = {{ {fails} }}")
    assert found == [(fails.split()[0], said)]


def test_everything_that_fails_is_said(tmp_path):
    """One test that expects several things says of each what came instead."""
    test = 'given = { proto_type = "SIP" }\nexpect = { relay = "a", store = [], missed = false }'
    assert failures(tmp_path, test) == [
        ("relay", "it went to a, b"),
        ("store", "it went to s"),
    ]


def test_outputs_of_a_trace_are_told_by_the_trace(tmp_path):
    """What only a trace took the packet to is neither relayed nor stored; a rule's own is."""
    test = 'given = { proto_type = "RTCP" }\nexpect = { relay = "a", store = [], trace = "t" }'
    assert failures(tmp_path, test) == []


def test_a_drop_behind_an_output(tmp_path):
    """Where a rule drops what another one has relayed, both can be expected."""
    test = 'given = { proto_type = "LOG" }\nexpect = { relay = "a", drop = "no-use" }'
    assert failures(tmp_path, test) == []


def test_a_miss_with_an_output(tmp_path):
    """What a table does with a packet that none of its rules decides is a miss, and its output."""
    test = (
        'given = { listener = "lab", proto_type = "LOG" }\n'
        'expect = { path = [], relay = "b", missed = true }'
    )
    assert failures(tmp_path, test) == []


def test_without_rules(tmp_path):
    """A configuration without rules sends everything everywhere: that can be expected too."""
    text = CONFIGURATION[: CONFIGURATION.index("[traces.t]")].replace('entry = "lab"', "")
    test = "given = { proto_type = 1 }\nexpect = { relay = ['a', 'b'], store = 's', path = [] }"
    assert failures(tmp_path, test, text) == []
    test = "given = { proto_type = 1 }\nexpect = { rule = 'main/x' }"
    (tmp_path / "hepsw.toml").write_text(f"{text}\n[[tests]]\n{test}")
    (found,) = prove(tmp_path / "hepsw.toml").loaded.problems.sorted()
    assert found.text == "unknown rule `main/x`"


# --- where a test begins -------------------------------------------------------------------------


def of_rule(text, rule, test):
    """Return the configuration with a test under one of its rules."""
    name = text.index(f'name             = "{rule}"')
    end = text.find("\n\n", name)
    end = len(text) if end < 0 else end
    table = text[:name].rpartition("[[rules.")[2].partition("]]")[0]
    return f"{text[:end]}\n\n[[rules.{table}.test]]\n{test}{text[end:]}"


def test_a_rule_must_be_on_the_path_of_its_tests(tmp_path):
    """Whatever else holds, a test under a rule that the packet does not meet fails."""
    test = 'given = { proto_type = "LOG" }\nexpect = { relay = "a" }'
    assert results(tmp_path, of_rule(CONFIGURATION, "logs", test))[0].failures == ()
    (result,) = results(tmp_path, of_rule(CONFIGURATION, "sip", test))
    assert [(failure.key, failure.text) for failure in result.failures] == [
        ("", "`main/sip` is not on the path: main/logs → main/end")
    ]


def test_a_rule_is_tested_in_its_own_table(tmp_path):
    """A test under a rule starts in that table, and names rules of it without the table."""
    test = 'given = { proto_type = "SIP" }\nexpect = { rule = "lab", path = ["lab"], relay = "b" }'
    (result,) = results(tmp_path, of_rule(CONFIGURATION, "lab", test))
    assert result.failures == ()
    assert result.case.rule == "lab/lab"


def test_a_path_starts_at_its_listener(tmp_path):
    """`[[tests]]` enters at the first listener, or at the one that is given."""
    first = 'given = { proto_type = "SIP" }\nexpect = { path = ["main/sip"] }'
    second = 'given = { proto_type = "SIP", listener = "lab" }\nexpect = { path = ["lab/lab"] }'
    assert failures(tmp_path, first) == failures(tmp_path, second) == []


def test_names(tmp_path):
    """A test without a name is called by its rule and number, or by its number."""
    bare = 'given = { proto_type = "SIP" }\nexpect = { missed = false }'
    text = of_rule(CONFIGURATION, "sip", f'{bare}\n\n[[rules.main.test]]\nname = "calls"\n{bare}')
    found = results(tmp_path, f"{text}\n[[tests]]\n{bare}\n[[tests]]\nname = 'all'\n{bare}")
    assert [result.case.name for result in found] == [
        "main/sip: test 1",
        "calls",
        "test 1",
        "all",
    ]


# --- several packets -----------------------------------------------------------------------------

LIMITED = CONFIGURATION.replace(
    'match.proto_type = "XMPP"', 'match.proto_type = "XMPP"\nlimit = "2/s"\nrelay = "a"'
)


def test_expected_of_the_last_packet(tmp_path):
    """Of several packets the last one is asked; the ones before it are met by the same rules."""
    test = (
        'given = [{ proto_type = "XMPP" }, { proto_type = "XMPP" }, { proto_type = "XMPP" }]\n'
        'expect = { drop = "over-limit" }'
    )
    assert failures(tmp_path, test, LIMITED) == []


def test_time_between_packets(tmp_path):
    """`at` counts from the first packet; without it a packet comes with the first."""
    test = (
        'given = [{{ proto_type = "XMPP", times = 2 }}, {{ at = "{}", proto_type = "XMPP" }}]\n'
        'expect = {{ relay = "a" }}'
    )
    assert failures(tmp_path, test.format("500ms"), LIMITED) == []
    assert failures(tmp_path, test.format("499ms"), LIMITED) == [("relay", "it went to none")]


def test_one_packet_many_times(tmp_path):
    """`times` is as many packets in the place of one, alone or in a list."""
    third = 'given = { proto_type = "XMPP", times = 3 }\nexpect = { drop = "over-limit" }'
    second = 'given = [{ proto_type = "XMPP", times = 2 }]\nexpect = { relay = "a" }'
    assert failures(tmp_path, third, LIMITED) == failures(tmp_path, second, LIMITED) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[]", "a test gives 1 to 10000 packets"),
        ("{ vlan = 1, times = 10001 }", "a test gives 1 to 10000 packets"),
        (
            "[{ vlan = 1, times = 9999 }, { vlan = 1, times = 2 }]",
            "a test gives 1 to 10000 packets",
        ),
        ("{ vlan = 1, times = 0 }", "`times` is a number from 1"),
        ("{ vlan = 1, times = true }", "`times` is a number from 1"),
        ("[{ vlan = 1, at = '2s' }, { vlan = 1, at = '1s' }]", "`at` counts from the first packet"),
    ],
)
def test_packets_that_no_test_gives(tmp_path, given, said):
    """Too many or none, a number that is none, and time that goes back are refused."""
    file = tmp_path / "hepsw.toml"
    file.write_text(f"{CONFIGURATION}\n[[tests]]\ngiven = {given}\nexpect = {{ missed = true }}\n")
    (found,) = prove(file).loaded.problems.sorted()
    assert found.code == "HEP116"
    assert found.text.startswith(said)


def test_each_test_begins_anew(tmp_path):
    """What one test made rules remember, a limit, a call, a copy, the next one does not meet."""
    remembers = LIMITED.replace(
        'match.proto_type = "SDP"', 'match.proto_type = "SDP"\ndedupe = { window = "10s" }'
    ).replace('name             = "sip"\n', 'name = "sip"\nscope = "dialog"\n')
    for given, expect in (
        ('{ proto_type = "XMPP", times = 2 }', 'relay = "a"'),
        ('{ proto_type = "SIP", sip.call_id = "x" }', 'relay = ["a", "b"]'),
        ('{ proto_type = "RTCP", correlation_id = "x" }', 'path = ["main/rtcp"]'),
    ):
        remembers += f"\n[[tests]]\ngiven = {given}\nexpect = {{ {expect} }}\n"
    tests = remembers[remembers.index("[[tests]]") :]
    found = results(tmp_path, f"{remembers}\n{tests}\n{tests}")
    assert len(found) == 9
    assert [result.failures for result in found] == [()] * 9


def test_scope_over_packets(tmp_path):
    """Within a test the call that an INVITE opened is remembered, for as long as it is held."""
    text = CONFIGURATION.replace('name             = "sip"\n', 'name = "sip"\nscope = "dialog"\n')
    test = (
        'given = [{{ sip.method = "INVITE", sip.call_id = "x" }}, '
        '{{ at = "{}", proto_type = "RTCP", correlation_id = "x" }}]\n'
        'expect = {{ path = ["{}"] }}'
    )
    assert failures(tmp_path, test.format("2h", "main/sip"), text) == []
    assert failures(tmp_path, test.format("121m", "main/rtcp"), text) == []


def test_met_by_any_packet(tmp_path):
    """A rule that any packet of a test meets counts as met."""
    test = (
        'given = [{ proto_type = "XMPP" }, { proto_type = "SIP", vlan = 7 }]\n'
        'expect = { path = ["main/stamp", "main/sip"] }'
    )
    *_, result = results(tmp_path, f"{CONFIGURATION}\n[[tests]]\n{test}\n")
    assert result.met == {"main/nothing", "main/stamp", "main/sip"}
