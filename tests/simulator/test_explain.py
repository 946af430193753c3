"""What `explain` says is so: the fate, what it depends on, and what would change it.

Random documents of the whole language are explained for random packets; the oracle and the engine
say whether what is told is true. Whole texts of a few explanations are compared in
`tests/cli/test_explain.py`.
"""

import random as randomness
from pathlib import Path

import pytest
from calls import AGENTS, CALLS, START, Sent, any_packet, any_traffic, rebuilt
from documents import any_document
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracle import Oracle
from steps import steps
from tables import LISTEN, configured, folder

from hepsw.compiler import compile_program
from hepsw.config.configuration import Given
from hepsw.fields import CATALOGUE
from hepsw.hep import build
from hepsw.simulator.changes import Original
from hepsw.simulator.explain import OCTETS, Explainer, Folded
from hepsw.simulator.packets import START as TEST_START
from hepsw.simulator.packets import view_of
from hepsw.simulator.walk import Simulator

PEER = ["peer_ip", "peer_port", "peer_transport", "local_ip", "local_port", "listener"]
STATELESS = {"scope", "dedupe", "limit"}

seeds = st.integers(0, (1 << 32) - 1)
without_shrinking = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])


def given_of(sent):
    """Return a packet that was sent as `explain` is given it."""
    peer = sent.peer
    said = [peer.ip, peer.port, peer.transport, peer.local_ip, peer.local_port, peer.listener]
    said.append(peer.name)
    readings = tuple(
        (CATALOGUE[name], value.encode() if isinstance(value, str) else value)
        for name, value in zip((*PEER, "peer_name"), said, strict=True)
        if value is not None
    )
    return Given(readings, sent.packet.data, None, sent.now - TEST_START)


def packet(**fields):
    """Return a packet that is given by its fields."""
    return Given(
        tuple((CATALOGUE[name.replace("sip_", "sip.")], value) for name, value in fields.items()),
        None,
        None,
        0.0,
    )


def made(document):
    """Return an explainer of a document."""
    configuration = configured(Path(folder().name), document)
    return Explainer(configuration, compile_program(configuration))


def summed_up(outcome, document):
    """Return what the oracle says as the fate that `explain` tells."""
    names = {name for name, _ in outcome.outputs}
    kind, _, reason = outcome.fate.partition(" ")
    return kind, names & document["destinations"].keys(), names & document["stores"].keys(), reason


def told(fate):
    """Return the same of a fate."""
    return fate.kind, fate.relay, fate.store, fate.drop if fate.kind == "dropped" else ""


# --- random documents ----------------------------------------------------------------------------


@without_shrinking
@given(seeds)
def test_fates_are_those_of_the_oracle(seed):
    """Each packet has the path and the fate that the oracle gives it, and so has each change."""
    random = randomness.Random(seed)
    document = any_document(random)
    explainer = made(document)
    for sent in any_traffic(random):
        whole = given_of(sent)
        explanation = explainer.explain(whole)
        outcome = Oracle(document).judge(*sent)
        assert list(explanation.path) == outcome.path
        assert told(explanation.fate) == summed_up(outcome, document)
        original = Original(whole, explainer.configuration)
        for difference in explanation.differs:
            assert difference.fate != explanation.fate
            view = original.changed(difference.field, difference.reading)
            walked = Simulator(explainer.configuration, explainer.program).judge(view, None)
            assert frozenset(walked.outputs) == difference.fate.relay | difference.fate.store
            if difference.field.edit is not None or difference.field.name in PEER:
                outcome = Oracle(document).judge(view.packet, view.peer, sent.now)
                assert told(difference.fate) == summed_up(outcome, document)


@without_shrinking
@given(seeds)
def test_packets_alike_in_what_it_depends_on_go_the_same_way(seed):
    """Changing what a fate does not depend on does not change it."""
    random = randomness.Random(seed)
    document = any_document(random)
    for rules in document["rules"].values():
        for rule in rules:
            for key in STATELESS & rule.keys():
                del rule[key]
    configuration = configured(Path(folder().name), document)
    explainer = Explainer(configuration, compile_program(configuration))
    names = names_of(document)
    for _ in range(4):
        peer, *agent = random.choice(AGENTS)
        call = random.choice(CALLS)
        sent = Sent(any_packet(random, call, *agent, START), peer, START)
        whole = given_of(sent)
        explanation = explainer.explain(whole)
        if OCTETS in explanation.depends:
            continue
        fields = [names[name] for name in explanation.depends]
        before = view_of(whole, configuration)
        for _ in range(12):
            other = given_of(another(random, sent, call))
            after = view_of(other, configuration)
            if alike(fields, before, after):
                came = explainer.explain(other).fate
                assert came == explanation.fate, (explanation.depends, whole, other)


def names_of(document):
    """Return every field of a document by its name."""
    from hepsw.config.load import load

    file = Path(folder().name) / "hepsw.toml"
    cases = load(file).cases

    class Known(dict):
        def __missing__(self, name):
            return cases.names.field(name)

    return Known()


def another(random, sent, call):
    """Return a packet that differs in one or two chunks, in who sent it, or altogether."""
    shape = random.random()
    if shape < 0.2:
        peer, *agent = random.choice(AGENTS)
        return Sent(any_packet(random, call, *agent, START), peer, START)
    if shape < 0.3 or sent.packet.version != 3:
        return sent._replace(peer=random.choice(AGENTS)[0])
    fresh = any_packet(random, random.choice(CALLS), 7, "pbx9", START + 7)
    changes = {
        name: getattr(fresh, {"time": "time_us"}.get(name, name))
        for name in random.sample(
            ["src_port", "capture_id", "node_name", "vlan", "payload", "correlation_id", "time"],
            random.choice([1, 1, 2]),
        )
    }
    return sent._replace(
        packet=rebuilt(sent.packet, {k: v for k, v in changes.items() if v is not None})
    )


def alike(fields, one, other):
    """Whether two packets are the same in some fields, before a `resume` and behind it."""
    return all(
        field.read(one) == field.read(other)
        and field.read(one.as_sip()) == field.read(other.as_sip())
        for field in fields
    )


# --- small ones ----------------------------------------------------------------------------------

OUTPUTS = {"destinations": {"a": "udp://192.0.2.1", "b": "udp://192.0.2.2"}}


def rules(*main, **document):
    """Return a document with some rules in its table `main`."""
    named = [{"name": f"r{at}", **rule} for at, rule in enumerate(main)]
    return {**OUTPUTS, **document, "rules": {"main": named, **document.get("rules", {})}}


def changes(explanation):
    """Return what would change the fate: field, reading and the outputs then."""
    return [
        (difference.field.name, difference.reading, sorted(difference.fate.relay))
        for difference in explanation.differs
    ]


def test_what_matched_is_what_the_engine_says():
    """The rules that are told as matched are those on the path, in order."""
    for seed in range(30):
        random = randomness.Random(seed)
        explainer = made(any_document(random))
        for sent in any_traffic(random):
            explanation = explainer.explain(given_of(sent))
            rules = [rule for visit in explanation.visits for rule in visit.rules]
            assert [rule.rule for rule in rules if rule.matched] == list(explanation.path)
            assert [rule.rule for rule in rules if rule.did] == list(explanation.path)


def test_few_fields_suffice():
    """Of several clauses that failed, one is enough; it is chosen so that few fields are named."""
    explanation = made(
        rules(
            {"match": {"vlan": 1, "src_port": 1}, "relay": "a"},
            {"match": {"capture_id": 1, "src_port": 2}, "relay": "a"},
            {"match": {"src_port": 3}, "relay": "a"},
        )
    ).explain(packet(src_port=9, vlan=0))
    assert explanation.depends == ("src_port",)


def test_what_was_copied_is_followed_back():
    """A field that was written by a rule depends on what that was made of."""
    explanation = made(
        rules(
            {"set": {"node_name": "{payload|lower}"}, "continue": True},
            {"match": {"node_name": "abc"}, "relay": "a"},
        )
    ).explain(packet(payload=b"ABC", node_name=b"x", vlan=3))
    assert explanation.path == ("main/r0", "main/r1")
    assert {"payload", "node_name"} <= set(explanation.depends)
    assert "vlan" not in explanation.depends


def test_listener_counts_where_entries_differ():
    """Where listeners enter different tables, the fate depends on the listener."""
    document = rules({"relay": "a"})
    document["rules"]["other"] = [{"name": "o", "relay": "b"}]
    document["listen"] = [
        *LISTEN["listen"],
        {"name": "side", "url": "tcp://127.0.0.1:9061", "entry": "other"},
    ]
    explainer = made(document)
    assert explainer.explain(packet()).depends == ("listener",)
    assert explainer.explain(packet(listener=b"side")).path == ("other/o",)
    assert explainer.explain(packet(), "other").depends == ()


def test_nearest_misses():
    """What is told to change the fate: of a near miss what it lacks, of a match another value."""
    explanation = made(
        rules(
            {"match": {"src_ip": "10.0.0.0/8", "proto_type": "SIP"}, "relay": "a"},
            {"match": {"src_port": "5060-5090"}, "relay": "b"},
        )
    ).explain(packet(proto_type=1, src_ip=bytes([192, 0, 2, 7]), src_port=5061))
    assert changes(explanation) == [
        ("src_ip", bytes([10, 0, 0, 0]), ["a"]),
        ("src_port", 5091, []),
    ]


@pytest.mark.parametrize(
    ("match", "given_as", "field", "reading"),
    [
        ({"node_name": {"prefix": "pb"}}, {"node_name": b"x"}, "node_name", b"pb"),
        ({"node_name": {"re": "^pbx$"}}, {"node_name": b"x"}, "node_name", b"pbx"),
        ({"node_name": {"not": "x"}}, {"node_name": b"x"}, "node_name", b"other"),
        ({"node_name": {"exists": False}}, {"node_name": b"x"}, "node_name", None),
        ({"vlan": {"exists": True}}, {}, "vlan", 0),
        ({"src_port": {"ge": 5, "lt": 8}}, {"src_port": 1}, "src_port", 5),
        ({"port": 5060}, {"src_port": 1, "dst_port": 2}, "src_port", 5060),
        (
            {"not": {"ip": "10.0.0.0/8"}},
            {"src_ip": bytes([10, 0, 0, 1])},
            "src_ip",
            bytes([192, 0, 2, 1]),
        ),
        ({"sip": {"method": "BYE"}}, {"sip_method": b"INVITE"}, "sip.method", b"BYE"),
        ({"sip": {"status": "400-"}}, {"sip_status": 200}, "sip.status", 400),
        ({"any": [{"vlan": 1}, {"capture_id": 7}]}, {"vlan": 3}, "capture_id", 7),
        ({"listener": "side"}, {}, "listener", b"side"),
        ({"peer_ip": "198.51.100.0/24"}, {}, "peer_ip", bytes([198, 51, 100, 0])),
    ],
)
def test_way_out(match, given_as, field, reading):
    """Of every form of a condition the value that it asks for is found, and tried."""
    listen = [*LISTEN["listen"], {"name": "side", "url": "tcp://127.0.0.1:9061"}]
    explainer = made(rules({"match": match, "relay": "a"}, listen=listen))
    assert (field, reading, ["a"]) in changes(explainer.explain(packet(**given_as)))


def test_nothing_is_told_that_changes_more():
    """What follows from the packet as a whole cannot be changed alone, and is not told."""
    explainer = made(
        rules(
            {"match": {"size": {"ge": 1000}}, "relay": "a"},
            {"match": {"sip": {"verdict": "frame"}}, "relay": "a"},
            {"match": {"sip": {"method": "BYE"}}, "relay": "b"},
        )
    )
    # Without a type it would become SIP by being given a method.
    assert changes(explainer.explain(packet(vlan=1))) == []


def test_frame_of_which_one_field_is_changed():
    """A whole frame is changed in its octets, and what its payload says is laid over."""
    document = rules(
        {"match": {"vlan": 7}, "relay": "a"}, {"match": {"sip": {"method": "BYE"}}, "relay": "b"}
    )
    payload = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
    frame = build(proto_type=1, vlan=1, payload=payload).data
    assert changes(made(document).explain(Given((), frame, None, 0.0))) == [
        ("vlan", 7, ["a"]),
        ("sip.method", b"BYE", ["b"]),
    ]


def test_no_rules_at_all():
    """Without rules everything goes everywhere, whatever it is."""
    explanation = made(OUTPUTS).explain(packet())
    assert (explanation.visits, explanation.depends, explanation.differs) == ((), (), ())
    assert explanation.fate.relay == {"a", "b"}


# --- large ones ----------------------------------------------------------------------------------

MANY = 10_000


def large():
    """Return an explainer of a table with many rules, some of them near misses."""
    return made(
        rules(
            *[
                {"match": {"capture_id": at, "src_ip": f"10.{at // 250}.{at % 250}.0/24"}}
                | {"relay": ["a", "b"][at % 2]}
                for at in range(MANY)
            ]
        )
    )


def test_many_rules_are_folded():
    """Of a long table the rules are told that matched, and some that nearly did."""
    explanation = large().explain(packet(capture_id=7777, src_ip=bytes([10, 0, 9, 1])))
    (visit,) = explanation.visits
    shown = [rule for rule in visit.rules if not isinstance(rule, Folded)]
    assert [rule.number for rule in shown] == [10, 7778]
    assert [rule.found for rule in shown] == ["capture_id is 7777", "src_ip is 10.0.9.1"]
    folded = [rule for rule in visit.rules if isinstance(rule, Folded)]
    assert sum(rule.number for rule in folded) == MANY - 2
    assert changes(explanation) == [
        ("capture_id", 9, ["b"]),
        ("src_ip", bytes([10, 31, 27, 0]), ["b"]),
    ]


def test_many_rules_take_bounded_work():
    """Every rule is looked at once, and the engine is asked a bounded number of times."""
    explainer = large()
    given = packet(capture_id=7777, src_ip=bytes([10, 0, 9, 1]))
    assert steps(lambda: explainer.explain(given)) < 200 * MANY


def test_what_no_index_finds_takes_bounded_work():
    """Where each packet meets every rule, fewer of them are tried."""
    explainer = made(
        rules(
            *[
                {"match": {"node_name": {"suffix": f"-{at}"}}, "relay": "a"}
                for at in range(MANY // 10)
            ],
        )
    )
    given = packet(node_name=b"pbx")
    found = []
    assert steps(lambda: found.append(explainer.explain(given))) < 400 * MANY
    assert changes(found[0])
