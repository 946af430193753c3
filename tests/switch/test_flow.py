"""From table to table, and what is kept when tables are replaced."""

import pytest
from calls import sip as message

from hepsw.hep import build

INVITE = message("INVITE sip:112@sbc.example SIP/2.0", "c1@pbx.example", "1 INVITE")
SIP = build(proto_type=1, payload=INVITE)
LOG = build(proto_type=100, payload=INVITE, correlation_id="other")

CALL = {"name": "caller", "call": "t"}
AFTER = {"name": "after", "match": {"vlan": 7}, "relay": "a"}


def test_a_call_comes_back_with_its_edits(remembering):
    """The next rule sees what the called table changed."""
    switch = remembering.load(
        CALL, AFTER, t=[{"name": "edits", "set": {"vlan": 7}, "continue": True}]
    )
    walked = switch.send(SIP)
    assert walked.path == ["main/caller", "t/edits", "main/after"]
    assert walked.tables == ["main", "t"]
    assert walked.outputs["a"].vlan == 7


@pytest.mark.parametrize(
    ("decides", "fate"),
    [({}, "ended"), ({"relay": "b"}, "routed"), ({"drop": "no"}, "no")],
)
def test_a_call_in_which_a_rule_decides(remembering, decides, fate):
    """It does not come back."""
    switch = remembering.load(CALL, AFTER, t=[{"name": "decides", "set": {"vlan": 7}, **decides}])
    assert switch.send(SIP).path == ["main/caller", "t/decides"]
    account = switch.account
    fates = {"ended": account.ended, "routed": account.routed, **account.dropped}
    assert {name for name, number in fates.items() if number} == {fate}


def test_a_call_within_a_call(remembering):
    """Each comes back to where it was called, also twice to the same table."""
    switch = remembering.load(
        CALL,
        {"name": "again", "call": "u"},
        {"name": "last"},
        t=[{"name": "inner", "call": "u"}, {"name": "on", "continue": True}],
        u=[{"name": "bottom", "continue": True}],
    )
    assert switch.send(SIP).path == [
        *("main/caller", "t/inner", "u/bottom", "t/on", "main/again", "u/bottom", "main/last")
    ]


@pytest.mark.parametrize("way", ["goto", "resume"])
def test_who_goes_on_elsewhere_does_not_come_back(remembering, way):
    """Not even to who called; left undecided, the miss of the table it is in is taken."""
    misses = {"main": {"miss": {"relay": "a"}}, "u": {"miss": {"store": "s"}}}
    switch = remembering.load(
        CALL,
        {"name": "after"},
        more={"tables": misses},
        t=[{"name": "leaves", way: "u"}],
        u=[{"name": "never", "match": {"vlan": 7}}],
    )
    walked = switch.send(SIP)
    assert walked.path == ["main/caller", "t/leaves"]
    assert list(walked.outputs) == ["s"]


def test_the_miss_of_a_called_table_is_not_taken(remembering):
    """It comes back instead; the caller's own is taken then."""
    misses = {"main": {"miss": {"relay": "a"}}, "t": {"miss": {"store": "s"}}}
    switch = remembering.load(CALL, more={"tables": misses}, t=[AFTER])
    assert list(switch.send(SIP).outputs) == ["a"]


def test_a_miss_may_be_looked_up(remembering):
    """By the packet as it stands when it leaves; without an entry it is missed."""
    more = {
        "maps": {"m": {"key": "vlan", "entries": {"7": ["a", "b"]}}},
        "tables": {"main": {"miss": {"relay": {"map": "m"}}}},
    }
    switch = remembering.load({"name": "x", "set": {"vlan": 7}, "continue": True}, more=more)
    assert sorted(switch.send(SIP).outputs) == ["a", "b"]
    switch.load({"name": "x", "set": {"vlan": 8}, "continue": True}, more=more)
    assert switch.send(SIP).outputs == {}
    assert switch.account.missed == 1


def test_resume_reads_any_payload_as_sip(remembering):
    """From then on, in all tables behind it; what is no SIP is malformed there."""
    kinds = [
        {"name": word, "match": {"sip": {"kind": word}}, "continue": True}
        for word in ("request", "malformed", "none")
    ]
    switch = remembering.load(
        {"name": "not-yet", "match": {"sip": {"kind": {"exists": True}}}, "continue": True},
        {"name": "resumes", "set": {"vlan": 7}, "resume": "t"},
        t=[*kinds, {"name": "calls", "call": "u"}, {"name": "goes", "goto": "u"}],
        u=[{"name": "edits", "set": {"vlan": 8}, "log": "{call}", "continue": True}, *kinds],
    )
    behind = ["t/calls", "u/edits"]
    walked = switch.send(LOG)
    assert walked.path == [
        *("main/resumes", "t/request", *behind, "u/request"),
        *("t/goes", "u/edits", "u/request"),
    ]
    assert walked.lines == ["c1@pbx.example"] * 2
    for payload, word in ((b"plain", "malformed"), (b"\r\n", "none")):
        path = switch.send(build(proto_type=100, payload=payload)).path
        assert path[:2] == ["main/resumes", f"t/{word}"]
    assert switch.send(build(proto_type=100)).path[:2] == ["main/resumes", "t/none"]


def test_quality_reports_are_read_wherever_they_stand(remembering):
    """The body of a message, a payload of its own, also behind a resume and under a SIP type."""
    report = "VQSessionReport\r\nCallID: c9\r\nQualityEst:MOSLQ=4.1\r\n"
    published = message("PUBLISH sip:a SIP/2.0", "p1", "1 PUBLISH", body=report)
    switch = remembering.load(
        {"name": "says", "log": "{vq.mos_lq} {vq.call_id}", "continue": True},
        {"name": "on", "resume": "t"},
        t=[{"name": "says", "log": "{vq.mos_lq} {vq.call_id}"}],
    )
    for sent in [
        build(proto_type=1, payload=published),
        build(proto_type=1, payload=report.encode()),
        build(proto_type=35, payload=report.encode()),
        build(proto_type=35, payload=published),
    ]:
        assert switch.send(sent).lines == ["4.1 c9"] * 2
    quiet = message("OPTIONS sip:a SIP/2.0", "p1", "1 OPTIONS", more=["X: MOSLQ=1"])
    assert switch.send(build(proto_type=1, payload=quiet)).lines == [" "] * 2


def test_traces_are_told(remembering):
    """By name, those that are switched on; their outputs come after the rule's own."""
    more = {
        "traces": {"on": {"to": ["a", "s"]}, "off": {"to": "b", "enabled": False}},
        "maps": {"m": {"key": "vlan", "entries": {"7": "on", "8": ["off"]}}},
    }
    switch = remembering.load({"name": "x", "trace": ["on", "off"]}, more=more)
    walked = switch.send(SIP)
    assert (walked.traces, sorted(walked.outputs)) == (["on"], ["a", "s"])
    switch.load({"name": "x", "trace": {"map": "m"}}, more=more)
    told = [switch.send(build(vlan=number)).traces for number in (7, 8, 9)]
    assert told == [["on"], [], []]


# --- over a reload -------------------------------------------------------------------------------

HELD = {"name": "h", "match": {"sip": {"method": "INVITE"}}, "scope": "dialog", "relay": "a"}
BYE = build(
    proto_type=1, payload=message("BYE sip:112@sbc.example SIP/2.0", "c1@pbx.example", "2 BYE")
)
LIMIT = {"name": "l", "limit": {"rate": "1/h", "per": "capture_id"}, "relay": "a"}
ONCE = {"name": "d", "dedupe": {"window": "10s"}, "relay": "a"}


def test_state_is_kept_by_table_and_name(remembering):
    """Whatever stands around a rule, and whatever else of it was changed."""
    switch = remembering.load({**HELD, "continue": True}, {**LIMIT, "continue": True}, ONCE)
    switch.send(SIP)
    before = {"name": "new", "log": "new", "continue": True}
    switch.load(before, {**HELD, "log": "held", "continue": True}, LIMIT)
    assert switch.send(BYE).path == ["main/new", "main/h", "main/l"]
    assert switch.send(BYE).reason == "over-limit"
    switch.load(before, {**LIMIT, "relay": "b"})
    assert switch.send(BYE).reason == "over-limit"


def test_state_goes_with_the_rule(remembering):
    """Another name, another table, or a reload without it: it begins anew."""
    switch = remembering.load(LIMIT)
    switch.send(SIP)
    switch.load({**LIMIT, "name": "other"})
    assert switch.send(SIP).reason is None
    switch.load({"name": "on", "goto": "t"}, t=[LIMIT])
    assert switch.send(SIP).reason is None
    switch.load(LIMIT)
    assert switch.send(SIP).reason is None


@pytest.mark.parametrize(
    ("rule", "key", "settings"),
    [
        (LIMIT, "limit", {"rate": "2/h", "per": "capture_id"}),
        (LIMIT, "limit", {"rate": "1/h", "burst": 2, "per": "capture_id"}),
        (LIMIT, "limit", {"rate": "1/h"}),
        (ONCE, "dedupe", {"window": "20s"}),
        (ONCE, "dedupe", {"window": "10s", "key": ["payload"]}),
    ],
)
def test_state_is_dropped_when_its_settings_change(remembering, rule, key, settings):
    """A bucket of another size is a new bucket, a key of other fields remembers nothing."""
    switch = remembering.load(rule)
    agents = iter(range(10))

    def reason():
        packet = build(payload=b"x", capture_id=next(agents) if key == "dedupe" else 1)
        return switch.send(packet).reason

    assert reason() is None
    assert reason() is not None
    switch.load({**rule, "doc": "a note"})
    assert reason() is not None
    switch.load({**rule, key: settings})
    assert reason() is None


def test_kept_state_looks_into_the_new_maps(remembering):
    """`per` and `key` mean the map as it is now."""

    def more(**entries):
        return {"maps": {"m": {"key": "capture_id", "entries": entries}}}

    rule = {"name": "l", "limit": {"rate": "1/h", "per": "map.m"}}
    switch = remembering.load(rule, more=more(**{"1": "x", "2": "y"}))
    assert switch.send(build(capture_id=1)).reason is None
    switch.load(rule, more=more(**{"1": "y", "2": "x"}))
    assert switch.send(build(capture_id=2)).reason == "over-limit"
    assert switch.send(build(capture_id=1)).reason is None


def test_what_was_forgotten_is_told(remembering):
    """By what it was; nothing yet."""
    switch = remembering.load(HELD, LIMIT, ONCE)
    switch.send(SIP)
    assert switch.forgotten() == {"calls": 0, "copies": 0, "buckets": 0}
    assert switch.account.calls == 1
