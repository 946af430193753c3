"""Pictures of configurations as text."""

import html
import re
from dataclasses import replace

import pytest
from tables import configured

from hepsw.compiler.drawing import mermaid, tree
from hepsw.compiler.picture import picture
from hepsw.config.configuration import Flow

DOCUMENT = {
    "listen": [
        {"name": "lan", "url": ["udp://127.0.0.1:9060", "tcp://127.0.0.1:9060"]},
        {"url": "udp://127.0.0.1:9061", "entry": "calls"},
    ],
    "destinations": {"homer": "udp://192.0.2.10", "end": "udp://192.0.2.11"},
    "tables": {"calls": {"miss": {"relay": "homer"}}},
    "rules": {
        "main": [
            {"name": "mark", "set": {"vlan": 5}, "continue": True},
            {"name": "logs", "match": {"proto_type": "LOG"}, "drop": "logs"},
            {"name": "calls", "match": {"proto_type": "SIP"}, "goto": "calls"},
            {"name": "rest", "relay": ["homer", "end"]},
        ],
        "calls": [{"name": "acme", "match": {"node_name": {"prefix": "acme"}}, "relay": "end"}],
        "old": [{"name": "one", "relay": "end"}, {"name": "two", "relay": "homer"}],
    },
}


def drawn(draw, configuration):
    return draw(configuration, picture(configuration))


def test_tree(tmp_path):
    """Listeners, their tables, rules in order with what they do, outputs, what is never entered."""
    assert (
        drawn(tree, configured(tmp_path, DOCUMENT))
        == """\
listener lan: udp://127.0.0.1:9060
listener lan: tcp://127.0.0.1:9060
└─ table main
   ├─ mark: always
   │    set vlan = 5
   │    ↓ continue
   ├─ logs: proto_type = LOG
   │    ✕ drop: logs
   ├─ calls: proto_type = SIP
   │  │ → goto calls
   │  └─ table calls
   │     ├─ acme: node_name prefix "acme"
   │     │    relay end
   │     │    ■ stop
   │     └─ miss: relay homer
   └─ rest: always
        relay homer, end
        ■ stop

listener udp://127.0.0.1:9061
└─ table calls (above)

outputs
├─ destination homer: udp://192.0.2.10:9060
└─ destination end: udp://192.0.2.11:9060

never entered
└─ table old: one, two"""
    )


def test_tree_of_flows(tmp_path):
    """Call and resume, where the payload is first read, and where a called table comes back to."""
    plain = configured(tmp_path, DOCUMENT)
    main, calls = plain.tables["main"], plain.tables["calls"]
    flows = [
        replace(main.rules[2], flow=Flow.CALL),
        replace(main.rules[2], name="sip", flow=Flow.RESUME, target="old"),
    ]
    tables = {
        **plain.tables,
        "main": replace(main, rules=tuple(flows), reads_payload=False),
        "calls": calls,
    }
    configuration = replace(plain, listeners=plain.listeners[:1], destinations={}, tables=tables)
    assert (
        drawn(tree, configuration)
        == """\
listener lan: udp://127.0.0.1:9060
└─ table main (never reads a payload)
   ├─ calls: proto_type = SIP
   │  │ ⇄ call calls, then back
   │  └─ table calls
   │     ├─ acme: node_name prefix "acme"
   │     │    relay end
   │     │    ■ stop
   │     └─ miss: back behind main/calls
   ├─ sip: proto_type = SIP
   │  │ ◆ the payload is first read here
   │  │ ⇒ resume old: the payload read as SIP
   │  └─ table old
   │     ├─ one: always
   │     │    relay end
   │     │    ■ stop
   │     └─ two: always
   │          relay homer
   │          ■ stop
   └─ miss: dropped, counted missed"""
    )


WHOLE = {
    "destinations": {
        "pool": {"url": ["tcp://192.0.2.1", "tls://192.0.2.2"], "policy": "hash"},
        "end": "sip://192.0.2.3",
    },
    "stores": {
        "pg": {"url": "postgres://user:s3cret@192.0.2.4/hep"},
        "env": {"url": {"env": "X"}},
        "bad": {"url": "pcap:///var/bad-%Y.pcap"},
    },
    "traces": {"audio": {"to": ["end", "bad"]}, "old": {"to": "pg", "enabled": False}},
    "maps": {"tenant": {"key": "capture_id", "entries": {"1-9": "pool"}}},
    "tables": {"main": {"parse": "never", "miss": {"relay": {"map": "tenant"}}}},
    "rules": {
        "main": [
            {
                "name": "all",
                "match": {"vlan": 5},
                "sample": {"keep": "50%", "by": "src_ip"},
                "dedupe": {},
                "limit": "90/m",
                "count": {"seen": {"who": "{node_name}"}},
                "observe": {"octets": {"value": "{size}"}},
                "store": ["pg", "env"],
                "relay": {"map": "tenant"},
                "trace": ["audio", "old"],
                "resume": "sip",
            },
        ],
        "sip": [{"name": "call", "scope": "dialog", "relay": "pool"}],
    },
}


def test_all_that_a_rule_may_do(tmp_path):
    """What a rule does is said in the order in which it happens; a database only by its kind."""
    assert (
        drawn(tree, configured(tmp_path, WHOLE))
        == """\
listener in: udp://127.0.0.1:9060
└─ table main (never reads a payload)
   ├─ all: vlan = 5
   │  │ ◆ the payload is first read here
   │  │ sample 50% by src_ip
   │  │ drop copies within 500ms: same payload, src_ip, dst_ip, src_port, dst_port
   │  │ limit 90/m, burst 1.5, over it: dropped
   │  │ count seen by who = "{node_name}"
   │  │ observe octets = "{size}"
   │  │ store pg, env
   │  │ relay or store as map.tenant says
   │  │ trace audio, old
   │  │ ⇒ resume sip: the payload read as SIP
   │  └─ table sip
   │     └─ call: always
   │          scope dialog
   │          relay pool
   │          ■ stop
   └─ miss: relay or store as map.tenant says

outputs
├─ store pg: a database on Postgres, layout hepsw
├─ store env: a database on Postgres, layout hepsw
├─ store bad: pcap:///var/bad-%Y.pcap
├─ destination end: sip://192.0.2.3:5060
├─ destination pool: hash of tcp://192.0.2.1:9060, tls://192.0.2.2:9061
├─ trace audio: end, bad
└─ trace old (off): pg"""
    )


def test_mermaid_draws_traces(tmp_path):
    """What a trace adds has an arrow with its name; what a map names is said at the miss."""
    lines = drawn(mermaid, configured(tmp_path, WHOLE)).splitlines()
    assert '  t0r0 -.->|"trace audio"| o3' in lines
    assert '  t0r0 -.->|"trace audio"| o2' in lines
    assert '  t0r0 -.->|"trace old (off)"| o0' in lines
    assert '    t0m(["miss<br/>relay or store as map.tenant says"])' in lines


@pytest.mark.parametrize("draw", [tree, mermaid])
def test_no_rules(tmp_path, draw):
    """Without rules everything goes everywhere, and the picture says so."""
    document = {"destinations": DOCUMENT["destinations"]}
    drawing = drawn(draw, configured(tmp_path, document))
    if draw is tree:
        assert "└─ no rules: every packet goes to every destination and store" in drawing
    else:
        assert re.findall(r"l0 --> (\S+)", drawing) == ["o0", "o1"]


def test_a_long_chain_is_drawn_in_pieces(tmp_path):
    """Tables that would be too far in are drawn by themselves, each of them once."""
    chain = {
        f"t{at}": [{"name": "on", "goto": f"t{at + 1}"}, {"name": "too", "goto": f"t{at + 1}"}]
        for at in range(300)
    }
    rules = {"main": [{"name": "r", "goto": "t0"}], **chain, "t300": [{"name": "r", "relay": "a"}]}
    document = {"destinations": {"a": "udp://192.0.2.1"}, "rules": rules}
    lines = drawn(tree, configured(tmp_path, document)).splitlines()
    assert max(map(len, lines)) < 80
    titles = [line for line in lines if re.search(r"table t\d+$", line)]
    assert len(titles) == len(set(titles)) == 301
    assert "table t300" in "\n".join(titles)


def test_nothing_reaches_the_terminal_that_it_would_obey(tmp_path):
    """Names may hold any character; those that cannot be seen are escaped."""
    document = {
        "destinations": {"a\x1b[31m": "udp://192.0.2.1"},
        "rules": {"main": [{"name": "r", "relay": "a\x1b[31m", "drop": "x\n\u202ey"}]},
    }
    configuration = configured(
        tmp_path, {**document, "listen": [{"name": "\x07", "url": "udp://x"}]}
    )
    for draw in (tree, mermaid):
        assert all(line.isprintable() for line in drawn(draw, configuration).splitlines())


# --- mermaid -------------------------------------------------------------------------------------


def labels(flowchart):
    """Return what is shown of each label, as mermaid reads it."""
    return [
        html.unescape(re.sub(r"#(\d+);", r"&#\1;", label))
        for label in re.findall(r'"([^"\n]*)"', flowchart)
    ]


def test_mermaid(tmp_path):
    """Every rule is a node, in its table, with what it leads to."""
    assert (
        drawn(mermaid, configured(tmp_path, DOCUMENT))
        == """\
flowchart LR
  l0(["listener<br/>lan#58; udp#58;//127.0.0.1#58;9060"])
  l1(["listener<br/>lan#58; tcp#58;//127.0.0.1#58;9060"])
  l2(["listener<br/>udp#58;//127.0.0.1#58;9061"])
  subgraph t0["table calls"]
    t0r0["acme<br/>node_name prefix #34;acme#34;<br/>relay end<br/>■ stop"]
    t0m(["miss"])
  end
  subgraph t1["table old (never entered)"]
    t1r0["one<br/>always<br/>relay end<br/>■ stop"]
    t1r1["two<br/>always<br/>relay homer<br/>■ stop"]
  end
  subgraph t2["table main"]
    t2r0["mark<br/>always<br/>set vlan = 5<br/>↓ continue"]
    t2r1["logs<br/>proto_type = LOG<br/>✕ drop#58; logs"]
    t2r2["calls<br/>proto_type = SIP<br/>→ goto calls"]
    t2r3["rest<br/>always<br/>relay homer, end<br/>■ stop"]
  end
  o0[/"destination homer"/]
  o1[/"destination end"/]
  l0 --> t2r0
  l1 --> t2r0
  l2 --> t0r0
  t0r0 -->|else| t0m
  t0r0 -.-> o1
  t0m -.-> o0
  t1r0 -.-> o1
  t1r1 -.-> o0
  t2r0 --> t2r1
  t2r1 -->|else| t2r2
  t2r2 ==>|goto| t0r0
  t2r2 -->|else| t2r3
  t2r3 -.-> o0
  t2r3 -.-> o1"""
    )


def test_mermaid_marks_first_reads(tmp_path):
    """A rule that reads the payload first has a thick frame."""
    plain = configured(tmp_path, DOCUMENT)
    main = plain.tables["main"]
    sip = replace(main.rules[2], flow=Flow.RESUME)
    tables = {**plain.tables, "main": replace(main, rules=(sip,))}
    flowchart = drawn(mermaid, replace(plain, tables=tables))
    assert "\n  t2r0 ==>|resume| t0r0\n" in flowchart
    assert flowchart.endswith("\n  classDef reads stroke-width:3px\n  class t2r0 reads")
    assert "◆ the payload is first read here" in flowchart


@pytest.mark.parametrize(
    "name",
    ["end", 'a"b', "<b>", "#quot;", "%%{init: {}}%%", "`md`", "style a:b#34;c", "a\\n", "]) --> x"],
)
def test_mermaid_labels(tmp_path, name):
    """Whatever a name is made of, it is shown, and is never taken for mermaid's own."""
    document = {
        "destinations": {name: "udp://192.0.2.1"},
        "rules": {"main": [{"name": "r", "match": {"node_name": {"re": "x"}}, "relay": name}]},
    }
    flowchart = drawn(mermaid, configured(tmp_path, document))
    assert f"destination {name}" in labels(flowchart)
    plain = r"(?:[\w .,/=()|…→↓⇄⇒✕■◆-]|#\d+;|<br/>)*"
    for line in flowchart.splitlines():
        assert all(re.fullmatch(plain, label) for label in line.split('"')[1::2]), line
