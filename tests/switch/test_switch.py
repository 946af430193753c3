"""The switch: packets in, effects out, every packet with one fate."""

import pytest
from tables import compiled

from hepsw.accounting import Ledger
from hepsw.control.logs import heard
from hepsw.hep import Chunk, build, decode, encode, encode_v1
from hepsw.switch import Line, Switch, counting

NOW = 1_700_000_000.5
OUTPUTS = {
    "destinations": {"a": "udp://192.0.2.1", "b": "udp://192.0.2.2"},
    "stores": {"s": {"url": "sqlite://s.db"}},
}


@pytest.fixture
def switched(tmp_path, peer):
    """Judge packets by a document; return the effects and the ledger."""

    def judge(document, *packets):
        ledger = Ledger()
        switch = Switch(compiled(tmp_path, {**OUTPUTS, **document}), ledger.switch)
        effects = switch.receive([(packet, peer) for packet in packets], NOW)
        assert ledger.switch.unaccounted == 0
        assert ledger.switch.fan_out == sum(map(len, effects.outputs.values()))
        return effects, ledger.switch

    return judge


def rules(*main, **tables):
    """Return a document of these rules."""
    return {"rules": {"main": list(main), **tables}}


def packets_of(effects, name):
    """Return what an output gets."""
    return [view.packet for view in effects.outputs.get(name, [])]


def test_first_match_decides(switched, sip):
    """The second rule is not asked."""
    effects, account = switched(
        rules({"name": "x", "relay": "a"}, {"name": "y", "relay": "b"}), sip
    )
    assert list(effects.outputs) == ["a"]
    assert account.rules["main/x"].packets == 1
    assert account.rules["main/x"].octets == len(sip.data)
    assert account.rules["main/x"].last_us == int(NOW * 1_000_000)
    assert account.rules["main/y"].packets == 0


def test_an_output_gets_the_packet_as_it_stands_there(switched, sip):
    """Before the edit the old octets, after it the new; stores before relays."""
    effects, _ = switched(
        rules(
            {"name": "x", "store": "s", "continue": True},
            {"name": "y", "set": {"node_name": "edge"}, "relay": "a"},
        ),
        sip,
    )
    assert packets_of(effects, "s") == [sip]
    assert packets_of(effects, "a")[0].node_name == b"edge"


def test_an_output_gets_a_packet_once(switched, sip):
    """The first rule that names it wins, also before an edit."""
    effects, account = switched(
        rules(
            {"name": "x", "relay": ["a", "a"], "continue": True},
            {"name": "y", "set": {"node_name": "edge"}, "relay": ["b", "a"]},
        ),
        sip,
    )
    assert packets_of(effects, "a") == [sip]
    assert account.fan_out == 2


def test_a_later_rule_sees_what_an_earlier_one_changed(switched, sip):
    """Also in the table that it goes on in; conditions on what is derived from an edit as well."""
    effects, account = switched(
        rules(
            {"name": "x", "set": {"src_ip": "2001:db8::1"}, "continue": True},
            {"name": "y", "match": {"ip": "2001:db8::/32"}, "goto": "t"},
            t=[{"name": "z", "match": {"ip_family": 10}, "relay": "a"}],
        ),
        sip,
    )
    assert list(effects.outputs) == ["a"]
    assert account.rules["t/z"].packets == 1


def test_templates_are_computed_before_any_chunk_is_set(switched, sip):
    """Two fields can be exchanged."""
    effects, _ = switched(
        rules(
            {
                "name": "x",
                "set": {"src_ip": "{dst_ip}", "dst_ip": "{src_ip}", "group_id": "{src_ip}"},
                "relay": "a",
            }
        ),
        sip,
    )
    (packet,) = packets_of(effects, "a")
    assert (packet.src_address, packet.dst_address) == (sip.dst_address, sip.src_address)
    assert packet.group_id == b"192.0.2.10"


def test_edits_that_cannot_be_made_are_counted_and_the_others_made(switched, sip):
    """Empty, of the wrong shape, too big, or a family that contradicts the addresses."""
    effects, account = switched(
        rules(
            {
                "name": "x",
                "set": {
                    "vlan": "{node_name}",
                    "group_id": "{geo_location}",
                    "ip_family": 10,
                    "tos": "{capture_id}",
                    "capture_id": 7,
                },
                "relay": "a",
            },
        ),
        sip,
    )
    (packet,) = packets_of(effects, "a")
    assert packet.capture_id == 7
    assert (packet.vlan, packet.group_id, packet.tos, packet.ip_family) == (None, None, None, 2)
    assert account.rules["main/x"].edits_refused == {"does-not-fit": 2, "empty": 1, "family": 1}


def test_nothing_is_cut_to_fit(switched):
    """A chunk that would make the packet too big is not set; the packet goes on as it was."""
    packet = build(payload=b"x" * 65000)
    effects, account = switched(
        rules({"name": "x", "set": {"node_name": "{payload}"}, "relay": "a"}), packet
    )
    assert packets_of(effects, "a") == [packet]
    assert account.rules["main/x"].edits_refused == {"too-big": 1}


def test_own_chunks_are_written_by_their_type(switched, sip):
    """Named in `[chunks]`, numbers take the width of their type; raw ones are octets."""
    effects, account = switched(
        {
            "chunks": {
                "tenant": {"vendor": 3, "id": 49, "type": "uint32"},
                "site": {"vendor": 3, "id": 50, "type": "inet4"},
            },
            **rules(
                {
                    "name": "x",
                    "set": {
                        "tenant": "{src_port}",
                        "site": "{src_ip}",
                        "0x0003:0x0065": {"hex": "ff00"},
                    },
                    "continue": True,
                },
                {"name": "y", "match": {"tenant": "5060-"}, "relay": "a"},
            ),
        },
        sip,
    )
    (packet,) = packets_of(effects, "a")
    assert list(packet.chunks())[-3:] == [
        Chunk(3, 49, (5060).to_bytes(4)),
        Chunk(3, 50, bytes([192, 0, 2, 10])),
        Chunk(3, 101, b"\xff\x00"),
    ]
    assert account.rules["main/y"].packets == 1


def test_v1_becomes_v3_when_an_edit_needs_it(switched):
    """With the time of receipt, because HEP 1 has none."""
    old = decode(
        encode_v1(
            src_ip="192.0.2.1",
            dst_ip="192.0.2.2",
            src_port=5060,
            dst_port=5060,
            ip_protocol=17,
            payload=b"OPTIONS sip:a SIP/2.0\r\n\r\n",
        )
    )
    effects, _ = switched(rules({"name": "x", "set": {"node_name": "edge"}, "relay": "a"}), old)
    (packet,) = packets_of(effects, "a")
    assert packet.version == 3
    assert packet.time_us == int(NOW * 1_000_000)
    assert packet.payload == old.payload


def test_miss_is_taken_when_no_rule_decides(switched, sip):
    """Outputs of the miss, else the packet is missed; a rule that continued does not decide."""
    document = rules({"name": "x", "log": "seen", "continue": True})
    _, account = switched(document, sip)
    assert (account.missed, account.ended) == (1, 0)
    effects, account = switched({**document, "tables": {"main": {"miss": {"store": "s"}}}}, sip)
    assert packets_of(effects, "s") == [sip]
    assert (account.missed, account.routed) == (0, 1)


def test_drop_after_an_output_is_still_routed(switched, sip):
    """A packet has one fate; what took it decides before the reason of a drop."""
    document = rules(
        {"name": "x", "relay": "a", "continue": True}, {"name": "y", "drop": "not wanted"}
    )
    _, account = switched(document, sip)
    assert (account.routed, account.dropped) == (1, {})


def test_log_lines_show_the_packet_after_the_edits(switched, sip):
    """With the level and the rule; octets that are no text are escaped."""
    odd = decode(encode([Chunk(0, 0x13, b"\xffx")]))
    effects, _ = switched(
        rules(
            {
                "name": "x",
                "set": {"vlan": 5},
                "log": {"level": "debug", "text": "{vlan} {node_name}"},
            }
        ),
        sip,
        odd,
    )
    assert effects.lines == [
        Line("debug", "main/x", "5 pbx7"),
        Line("debug", "main/x", "5 \\xffx"),
    ]


def test_inflated_payloads_are_not_kept(switched):
    """What a rule made of a compressed payload is gone before the next batch."""
    import zlib

    bomb = build(proto_type=1, compressed_payload=zlib.compress(b"x" * 1_000_000))
    effects, _ = switched(
        rules({"name": "x", "match": {"payload": {"prefix": "x"}}, "relay": "a"}), bomb
    )
    (packet,) = packets_of(effects, "a")
    assert packet is bomb
    assert bomb.inflated is None
    assert len(bomb.payload) == 1_000_000


def test_a_bug_costs_one_packet(tmp_path, peer, sip, caplog, monkeypatch):
    """A rule that raises drops its packet by name, gives it to no output, and spares the others."""
    ledger = Ledger()
    counts = {"name": "y", "count": {"seen": {}}}
    program = compiled(
        tmp_path, {**OUTPUTS, **rules({"name": "x", "relay": "a", "continue": True}, counts)}
    )
    switch = Switch(program, ledger.switch)
    calls = iter([True])

    def raises_once(*_):
        if next(calls, False):
            raise ZeroDivisionError

    monkeypatch.setattr(counting, "count", raises_once)
    effects = switch.receive([(sip, peer), (sip, peer)], NOW)
    assert packets_of(effects, "a") == [sip]
    assert ledger.switch.dropped == {"internal-error": 1}
    assert ledger.switch.unaccounted == 0
    assert "ZeroDivisionError" in caplog.text


def test_rules_keep_their_counters_over_a_reload(tmp_path, peer, sip):
    """By table and name; a rule that is new begins at zero."""
    ledger = Ledger()
    switch = Switch(compiled(tmp_path, {**OUTPUTS, **rules({"name": "x"})}), ledger.switch)
    switch.receive([(sip, peer)], NOW)
    switch.replace(compiled(tmp_path, {**OUTPUTS, **rules({"name": "y"}, {"name": "x"})}))
    switch.receive([(sip, peer)], NOW)
    assert {path: account.packets for path, account in ledger.switch.rules.items()} == {
        "main/x": 1,
        "main/y": 1,
    }


def test_lines_that_nobody_reads_are_not_made(tmp_path, peer, sip):
    """The level of `[log]` decides, and neither outputs nor counters depend on it."""
    said = [
        {"name": level, "log": {"level": level, "text": "{proto_type}"}, "continue": True}
        for level in ("debug", "info", "warning", "error")
    ]
    ledger = Ledger()
    switch = Switch(compiled(tmp_path, {**OUTPUTS, **rules(*said)}), ledger.switch)
    assert [line.level for line in switch.receive([(sip, peer)], NOW).lines] == [
        "debug",
        "info",
        "warning",
        "error",
    ]
    switch.heard = heard("warning")
    assert [line.level for line in switch.receive([(sip, peer)], NOW).lines] == ["warning", "error"]
    assert {account.packets for account in ledger.switch.rules.values()} == {2}
