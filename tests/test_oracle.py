"""The oracle itself, where the language is subtle: small documents, fates worked out by hand."""

import pytest
from calls import AGENTS, CALLS, OWN_CHUNKS, sip
from oracle import Oracle

from hepsw.hep import build, decode, encode, encode_v1

PEER, OTHER = AGENTS[0][0], AGENTS[1][0]
NOW = 1_700_000_000.0
CALL, ANOTHER = CALLS[:2]


def message(start, cseq="1 INVITE", call=CALL, **values):
    """Return a packet of type SIP."""
    return build(**{"proto_type": 1, "time": 1} | values, payload=sip(start, call, cseq))


def invite(user="112", **values):
    """Return an INVITE."""
    return message(f"INVITE sip:{user}@sbc.example SIP/2.0", **values)


def oracle(*main, tables=None, **document):
    """Return an oracle for the rules of `main`, named r0, r1 and so on, and of other tables."""
    written = {"main": main, **(tables or {})}
    named = {
        table: [{"name": f"r{at}", **rule} for at, rule in enumerate(rules)]
        for table, rules in written.items()
    }
    return Oracle({"rules": named, **document})


def paths(oracle, *sent):
    """Return for each packet the rules that it met; a pause in seconds may stand before one."""
    now, met = NOW, []
    for item in sent:
        if isinstance(item, (int, float)):
            now += item
        else:
            packet, peer = item if isinstance(item, tuple) else (item, PEER)
            met.append(" ".join(oracle.judge(packet, peer, now).path))
    return met


def fates(oracle, *sent, peer=PEER):
    """Return the fate of each packet, all of which come at once."""
    return [oracle.judge(packet, peer, NOW).fate for packet in sent]


# --- scope ---------------------------------------------------------------------------------------

SETUP = {"sip": {"ruri_user": "112", "method": "INVITE"}}


def test_transaction_holds_replies_ack_and_cancel():
    """They carry the INVITE's Call-ID and CSeq number; BYE and other calls do not."""
    judge = oracle({"match": SETUP, "scope": "transaction"})
    assert paths(
        judge,
        message("SIP/2.0 100 Trying"),  # before the INVITE: nothing is held yet
        invite(),
        message("SIP/2.0 200 OK"),
        message("ACK sip:x SIP/2.0", "1 ACK"),
        message("CANCEL sip:x SIP/2.0", "1 CANCEL"),
        message("BYE sip:x SIP/2.0", "2 BYE"),
        message("SIP/2.0 200 OK", call=ANOTHER),
        build(proto_type=5, correlation_id=CALL, payload=b"{}"),
    ) == ["", "main/r0", "main/r0", "main/r0", "main/r0", "", "", ""]


def test_dialog_holds_the_call_in_its_place():
    """BYE and RTCP as well; a rule before it that decides still comes first."""
    judge = oracle({"match": {"sip": {"status": 100}}}, {"match": SETUP, "scope": "dialog"})
    assert paths(
        judge,
        invite(),
        message("SIP/2.0 100 Trying"),
        message("BYE sip:x SIP/2.0", "2 BYE"),
        build(proto_type=5, correlation_id=CALL, payload=b"{}"),
        build(proto_type=5, correlation_id=ANOTHER, payload=b"{}"),
        message("BYE sip:x SIP/2.0", "2 BYE", call=ANOTHER),
    ) == ["main/r1", "main/r0", "main/r1", "main/r1", "", ""]


def test_a_call_is_kept_while_its_packets_come():
    """The time counts from the last packet that entered the table, whether the rule matched."""
    judge = oracle({"match": SETUP, "scope": "transaction"}, switch={"dialog_ttl": "10s"})
    bye, reply = message("BYE sip:x SIP/2.0", "2 BYE"), message("SIP/2.0 180 Ringing")
    assert paths(judge, invite(), 9, bye, 9, reply, 11, reply) == ["main/r0", "", "main/r0", ""]


def test_a_table_without_scope_keeps_no_call():
    """Packets that never come to a scoped rule do not make it last."""
    judge = oracle(
        {"match": {"sip": {"method": "BYE"}}},
        {"goto": "held"},
        tables={"held": [{"match": SETUP, "scope": "dialog"}]},
        switch={"dialog_ttl": "10s"},
    )
    bye, reply = message("BYE sip:x SIP/2.0", "2 BYE"), message("SIP/2.0 180 Ringing")
    assert paths(judge, invite(), 9, bye, 9, reply) == ["main/r1 held/r0", "main/r0", "main/r1"]


def test_what_the_sample_refused_is_not_held():
    """Later packets of the call are judged by the condition alone."""
    judge = oracle({"match": SETUP, "scope": "dialog", "sample": "0%"})
    assert paths(judge, invite(), message("SIP/2.0 200 OK")) == ["", ""]


def test_what_went_over_the_limit_is_held():
    """Match and sample were true, and that is what counts."""
    judge = oracle(
        {"match": SETUP, "scope": "dialog", "limit": {"rate": "1/s", "over": "next"}},
    )
    other = invite(call=ANOTHER)
    bye = message("BYE sip:x SIP/2.0", "2 BYE", call=ANOTHER)
    assert paths(judge, invite(), other, 1.5, bye) == ["main/r0", "", "main/r0"]


def test_scope_is_of_the_packet_as_it_stands():
    """A correlation id that a rule before has set says which call it is."""
    judge = oracle(
        {
            "match": {"proto_type": "LOG"},
            "set": {"correlation_id": "{payload|re:'id=(.*)'}"},
            "continue": True,
        },
        {"match": SETUP, "scope": "dialog"},
    )
    log = build(proto_type=100, payload=f"id={CALL}".encode())
    assert paths(judge, log, invite(), log) == ["main/r0", "main/r1", "main/r0 main/r1"]


# --- sample, dedupe, limit -----------------------------------------------------------------------


def test_sample_keeps_calls_whole():
    """About the share that is asked for, and every packet of a call alike."""
    judge = oracle({"sample": "30%"})
    kept = 0
    for number in range(400):
        call = f"call-{number}"
        first, *others = paths(
            judge, invite(call=call), build(proto_type=5, correlation_id=call, payload=b"x")
        )
        assert others == [first]
        kept += first != ""
    assert 90 < kept < 150


def test_two_samples_in_a_row_are_independent():
    """The rule's name goes into the hash: half of the half passes both."""
    judge = oracle({"sample": "50%", "continue": True}, {"sample": "50%"})
    met = paths(judge, *[invite(call=f"call-{number}") for number in range(400)])
    assert 70 < met.count("main/r0 main/r1") < 130


def test_a_packet_without_the_field_is_sampled_by_its_octets():
    """The same packet again meets the same fate."""
    judge = oracle({"sample": {"keep": "50%", "by": "vlan"}})
    sent = [build(payload=bytes([number])) for number in range(100)]
    once = paths(judge, *sent)
    assert once == paths(judge, *sent)
    assert 25 < once.count("main/r0") < 75


def test_dedupe_drops_what_another_agent_saw():
    """Within the window; beyond it the packet is a new one."""
    judge = oracle({"dedupe": {"window": "500ms"}, "relay": "a"})
    first = message("BYE sip:x SIP/2.0", capture_id=1, time=1)
    second = message("BYE sip:x SIP/2.0", capture_id=2, time=2)
    assert fates(judge, first, second) == ["routed", "dropped duplicate"]
    assert judge.judge(second, PEER, NOW + 1).fate == "routed"


def test_an_agent_is_who_spoke_its_id_and_its_name():
    """The same octets from another socket are a copy, though the chunks claim the same agent."""
    judge = oracle({"dedupe": {"window": "500ms"}})
    first, later = invite(time=1), invite(time=2)
    assert fates(judge, first, later) == ["ended", "ended"]
    assert fates(judge, later, peer=OTHER) == ["dropped duplicate"]
    assert fates(judge, invite(time=3, node_name="pbx9")) == ["dropped duplicate"]


def test_a_retransmission_is_no_copy_and_is_remembered():
    """The same agent with another time is kept; its own copy is dropped, the first one's not."""
    judge = oracle({"dedupe": {"window": "500ms"}})
    assert fates(judge, invite(time=1), invite(time=2), invite(time=2), invite(time=1)) == [
        "ended",
        "ended",
        "dropped duplicate",
        "ended",
    ]


def test_the_window_begins_with_the_last_packet_kept():
    """A copy does not make it longer."""
    judge = oracle({"dedupe": {"window": "500ms"}})
    packet = invite()
    met = [judge.judge(packet, PEER, NOW + after).fate for after in (0, 0.3, 0.6, 0.9)]
    assert met == ["ended", "dropped duplicate", "ended", "dropped duplicate"]


def test_a_packet_is_no_copy_of_itself():
    """A table that is called twice meets it twice."""
    judge = oracle(
        {"call": "twice"},
        {"call": "twice"},
        tables={"twice": [{"dedupe": {"window": "500ms"}, "continue": True}]},
    )
    assert paths(judge, invite()) == ["main/r0 twice/r0 main/r1 twice/r0"]
    assert paths(judge, invite()) == ["main/r0 twice/r0"]


def test_a_copy_keeps_what_outputs_took():
    """It matched the rule that dropped it, and its fate is that an output has it."""
    judge = oracle({"relay": "a", "continue": True}, {"dedupe": {"window": "1s"}, "relay": "b"})
    judge.judge(invite(), PEER, NOW)
    outcome = judge.judge(invite(), PEER, NOW)
    assert outcome.path == ["main/r0", "main/r1"]
    assert [name for name, _ in outcome.outputs] == ["a"]
    assert outcome.fate == "routed"


def test_limit_refills_while_time_passes():
    """Two tokens at first, half a token a second, never more than two."""
    judge = oracle({"limit": {"rate": "30/m", "burst": 2}, "relay": "a"})
    times = [0, 0.1, 0.2, 1.9, 2.1, 2.2, 90, 90.1, 90.2]
    met = [judge.judge(invite(), PEER, NOW + time).fate for time in times]
    assert [fate == "routed" for fate in met] == [
        *[True, True, False],
        *[False, True, False],  # 0.95 tokens, then 1.05
        *[True, True, False],
    ]
    assert met[2] == "dropped over-limit"


def test_burst_is_a_second_of_the_rate_and_at_least_one():
    """`3/s` lets three through at once, `30/m` one."""
    assert fates(oracle({"limit": "3/s"}), *[invite()] * 4)[2:] == ["ended", "dropped over-limit"]
    assert fates(oracle({"limit": "30/m"}), *[invite()] * 2) == ["ended", "dropped over-limit"]


def test_limit_per_field_has_a_bucket_for_each_value():
    """Packets without the field share one; what is over may go on with the next rule."""
    judge = oracle({"limit": {"rate": "1/s", "per": "capture_id", "over": "next"}}, {})
    sent = [invite(capture_id=1), invite(capture_id=2), invite(capture_id=1), invite(), invite()]
    assert paths(judge, *sent) == ["main/r0", "main/r0", "main/r1", "main/r0", "main/r1"]


# --- flow ----------------------------------------------------------------------------------------


def test_a_call_comes_back_with_its_edits():
    """Undecided there, the rule after the calling one is next; the called table's miss is not."""
    judge = oracle(
        {"call": "stamp"},
        {"match": {"vlan": 7}, "relay": "a"},
        tables={"stamp": [{"set": {"vlan": 7}, "continue": True}]},
    )
    judge.document["tables"] = {"stamp": {"miss": {"relay": "b"}}}
    outcome = judge.judge(invite(), PEER, NOW)
    assert outcome.path == ["main/r0", "stamp/r0", "main/r1"]
    assert outcome.outputs == [("a", outcome.packet.data)]
    assert outcome.packet.vlan == 7


def test_what_decides_in_a_called_table_decides():
    """Stop, and a goto whose table then has its own miss; neither comes back."""
    judge = oracle(
        {"call": "inner"},
        {"relay": "a"},
        tables={"inner": [{"match": {"vlan": 1}}, {"goto": "end"}], "end": [{"continue": True}]},
    )
    judge.document["tables"] = {"main": {"miss": {"relay": "a"}}, "end": {"miss": {"relay": "b"}}}
    assert paths(judge, invite(vlan=1)) == ["main/r0 inner/r0"]
    outcome = judge.judge(invite(), PEER, NOW)
    assert outcome.path == ["main/r0", "inner/r1", "end/r0"]
    assert [name for name, _ in outcome.outputs] == ["b"]


def test_resume_reads_any_type_as_sip():
    """From then on, in later tables as well; what is no SIP is malformed there."""
    judge = oracle(
        {"match": {"sip": {"kind": {"exists": True}}}},
        {"resume": "inner"},
        tables={
            "inner": [{"match": {"sip": {"kind": "malformed"}}}, {"goto": "end"}],
            "end": [{"match": {"sip": {"method": "INVITE"}, "call": CALL}}],
        },
    )
    hidden = build(proto_type=100, payload=sip("INVITE sip:x SIP/2.0", CALL, "1 INVITE"))
    log = build(proto_type=100, payload=b"a line")
    json = decode(encode_v1(**hosts(), payload=b'{"a":1}'))
    assert paths(judge, hidden, log, json, invite()) == [
        "main/r1 inner/r1 end/r0",
        "main/r1 inner/r0",
        "main/r1 inner/r0",
        "main/r0",
    ]


def hosts():
    """Return what HEP 1 has before its payload."""
    ends = {"src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "src_port": 5060, "dst_port": 5060}
    return {**ends, "ip_protocol": 17}


def test_fates_of_a_walk():
    """Routed before dropped before ended before missed."""
    judge = oracle(
        {"match": {"vlan": 1}, "relay": "a", "continue": True},
        {"match": {"vlan": [1, 2]}, "drop": "odd"},
        {"match": {"vlan": 3}, "continue": True},
        {"match": {"vlan": 4}},
    )
    sent = [invite(vlan=vlan) for vlan in (1, 2, 3, 4, 5)]
    assert fates(judge, *sent) == ["routed", "dropped odd", "missed", "ended", "missed"]


# --- fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "written", "value"),
    [
        ("src_ip", "10.0.0.1", b"exact"),
        ("src_ip", "10.0.0.9", b"long"),
        ("src_ip", "10.9.0.1", b"short"),
        ("src_ip", "192.0.2.1", b"else"),
        ("capture_id", 5, b"exact"),
        ("capture_id", 6, b"range"),
        ("capture_id", 99, b"else"),
    ],
)
def test_exact_beats_prefix_beats_range(field, written, value):
    """Whatever the order of the entries; the default is for all others."""
    entries = {"10.0.0.0/8": "short", "10.0.0.0/24": "long", "10.0.0.1": "exact"}
    if field == "capture_id":
        entries = {"1-10": "range", "5": "exact"}
    judge = oracle({}, maps={"m": {"key": field, "entries": entries, "default": "else"}})
    judge.judge(build(payload=b"", **{field: written}), PEER, NOW)
    assert judge.seen.values("map.m") == [value]


def test_maps_name_outputs():
    """One name or several; without an entry there is none."""
    judge = oracle(
        {"relay": {"map": "m"}, "trace": {"map": "n"}},
        maps={
            "m": {"key": "vlan", "entries": {"1": "a", "2": ["a", "b"]}},
            "n": {"key": "vlan", "entries": {"2": ["on", "off"]}},
        },
        traces={"on": {"to": ["b", "s"]}, "off": {"to": "c", "enabled": False}},
    )
    met = [judge.judge(invite(vlan=vlan), PEER, NOW) for vlan in (1, 2, 3)]
    assert [[name for name, _ in outcome.outputs] for outcome in met] == [
        ["a"],
        ["a", "b", "s"],
        [],
    ]
    assert met[1].traces == ["on"]


@pytest.mark.parametrize(
    ("written", "payload", "expected"),
    [
        (3, b'{"x":3}', True),
        (3, b'{"x":3.0}', True),
        ("3", b'{"x":3}', False),
        (3, b'{"x":"3"}', False),
        ("2-4", b'{"x":3}', False),
        ("2-4", b'{"x":"2-4"}', True),
        (True, b'{"x":true}', True),
        (1, b'{"x":true}', False),
        ("true", b'{"x":true}', True),
        (True, b'{"x":"true"}', True),
        (False, b'{"x":true}', False),
        ({"ge": 1}, b'{"x":true}', False),
        ({"ge": 1}, b'{"x":1.5}', True),
        ({"prefix": ""}, b'{"x":3}', False),
        ({"not": "3"}, b'{"x":3}', True),
        ({"exists": True}, b'{"x":null}', False),
    ],
)
def test_json_is_typed_by_the_payload(written, payload, expected):
    """Numbers are compared with numbers, texts with texts; `true` is the text of that name."""
    judge = oracle({"match": {"json": {"x": written}}})
    assert bool(judge.judge(build(payload=payload), PEER, NOW).path) is expected


@pytest.mark.parametrize("proto_type", [100, None])
def test_sip_is_read_where_the_type_says_so(proto_type):
    """Elsewhere every sip field is missing, kind and verdict as well."""
    judge = oracle({"match": {"sip": {"kind": {"exists": True}}}})
    assert paths(judge, invite(), invite(proto_type=proto_type)) == ["main/r0", ""]


def test_call_is_the_call_id_or_the_correlation_id():
    """SIP without a Call-ID and everything else is held together by the correlation id."""
    judge = oracle({})
    read = []
    for packet in (
        invite(correlation_id="other"),
        build(proto_type=1, correlation_id="other", payload=b"BYE sip:x SIP/2.0\r\n\r\n"),
        invite(proto_type=100, correlation_id="other\0"),
        build(proto_type=1, payload=b""),
    ):
        judge.judge(packet, PEER, NOW)
        read.append(judge.seen.first("call"))
    assert read == [CALL.encode(), b"other", b"other", None]


def test_named_chunks_are_read_by_their_type():
    """A body of another size is missing; texts end before their NULs."""
    chunks = {
        "tenant": {"vendor": 3, "id": 0x31, "type": "uint32"},
        "site": {"vendor": 3, "id": 0x32, "type": "utf8"},
    }
    judge = oracle({}, chunks=chunks)
    read = []
    for own in OWN_CHUNKS:
        judge.judge(decode(encode(own)), PEER, NOW)
        read.append((judge.seen.first("tenant"), judge.seen.first("site")))
    assert read == [(None, None), (7, None), (70, b"mad1"), (None, b"bcn"), (None, None)]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{src_ip}-{node_name|upper}", "10.0.0.1-PBX1"),
        ("{{{proto_type}}} {vlan|default:none}", "{SIP} none"),
        ("{sip.ruri_user|mask:2} {sip.call_id|select:0:@}", "*12 c1"),
        ("{correlation_id|default:'a|b:}'}", "a|b:}"),
        ("{payload|re:'tag=(f-..)'} {payload|re:'z9[a-z]+'}", "f-c1 z9h"),
        ("{capture_id|shr:1} {capture_id|bucket:5,10} {capture_id|bucket:1,2}", "5 10- 2-"),
        ("{node_name|replace:pb:s|json}", '"sx1"'),
        ("{correlation_id|hash}{node_name|hash}", "174360a09f85fe30"),
        ("{time}", "1970-01-01T00:00:00.000001Z"),
    ],
)
def test_templates(template, text):
    """Fields through filters; what is missing renders empty."""
    judge = oracle({"log": template})
    packet = invite(src_ip="10.0.0.1", node_name="pbx1", capture_id=10)
    assert judge.judge(packet, PEER, NOW).lines == [("info", "main/r0", text)]


def test_edits_are_computed_before_any_is_made():
    """Two fields change places; what comes out empty or does not fit is left as it was."""
    judge = oracle(
        {
            "set": {
                "src_ip": "{dst_ip}",
                "dst_ip": "{src_ip}",
                "node_name": "{vlan}",
                "capture_id": "{payload}",
                "src_port": "{capture_id}",
            },
            "unset": "correlation_id",
        }
    )
    packet = invite(
        src_ip="10.0.0.1", dst_ip="10.0.0.2", node_name="x", capture_id=70000, correlation_id="y"
    )
    after = judge.judge(packet, PEER, NOW).packet
    assert (str(after.src_ip), str(after.dst_ip)) == ("10.0.0.2", "10.0.0.1")
    assert (after.node_name, after.capture_id, after.src_port) == (b"x", 70000, None)
    assert after.correlation_id is None


def test_counters_and_observations():
    """Labels by name; what is no number is not observed."""
    judge = oracle(
        {
            "count": {"calls": {"to": "{sip.ruri_user}", "by": "{capture_id}"}},
            "observe": {"size": {"value": "{capture_id}"}, "none": {"value": "{sip.method}"}},
        }
    )
    outcome = judge.judge(invite(capture_id=7), PEER, NOW)
    assert outcome.counts == [("calls", (("by", "7"), ("to", "112")))]
    assert outcome.observed == [("size", (), 7.0)]
