"""From what a test gives to the packet that rules see."""

import dpkt
import pytest
from simulator.configured import CONFIGURATION, failures

from hepsw.config.diagnostics import render
from hepsw.hep import build, encode_v2
from hepsw.prove import prove

INVITE = (
    b"INVITE sip:bob@example.org SIP/2.0\r\n"
    b"From: <sip:alice@example.org>;tag=1\r\n"
    b"To: <sip:bob@example.org>\r\n"
    b"Call-ID: a84b@192.0.2.1\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"User-Agent: phone\r\n"
    b"\r\n"
)
GEO = '[geo]\ncity = "city.mmdb"\nasn = "asn.mmdb"\n'
CHUNKS = (
    "[chunks]\n"
    'site = { vendor = 3, id = 1, type = "utf8" }\n'
    'rack = { vendor = 3, id = 2, type = "uint32" }\n'
)


def sip(**values):
    """Return a frame with an INVITE in it."""
    return build(src_ip="192.0.2.1", dst_ip="192.0.2.2", payload=INVITE, proto_type=1, **values)


def holds(folder, given, expected, rules=""):
    """Assert what holds of a packet that is given, after the rules of a table of their own."""
    text = CONFIGURATION.replace("[[rules.main]]", f"{rules}\n\n[[rules.main]]", 1)
    test = f"given = {given}\nexpect = {{ after = {{ {expected} }} }}"
    assert failures(folder, test, f"{text}\n{GEO}\n{CHUNKS}") == []


def refused(folder, given):
    """Return why no packet can be made of what is given, found when the test is run."""
    ((key, text),) = failures(folder, f"given = {given}\nexpect = {{ missed = true }}")
    assert key == "given"
    return text


def unreadable(folder, given):
    """Return the finding about what is given, found before any test is run."""
    file = folder / "hepsw.toml"
    file.write_text(f"{CONFIGURATION}\n[[tests]]\ngiven = {given}\nexpect = {{ missed = true }}\n")
    (problem,) = prove(file).loaded.problems.sorted()
    return problem.text


# --- whole frames --------------------------------------------------------------------------------


def test_a_frame_in_hexadecimal(tmp_path):
    """`hex` is a whole frame, read like one that arrives; nothing is added."""
    given = f"{{ hex = '{sip(capture_id=7).data.hex()}' }}"
    holds(tmp_path, given, "capture_id = 7, sip.method = 'INVITE', time = { exists = false }")
    two = encode_v2(
        src_ip="192.0.2.1",
        dst_ip="192.0.2.2",
        src_port=5060,
        dst_port=5060,
        ip_protocol=17,
        payload=INVITE,
        time=1_700_000_000_000_000,
        capture_id=8,
    )
    given = f"{{ hex = '{two.hex(' ')}' }}"
    holds(tmp_path, given, "hep_version = 2, capture_id = 8, sip.kind = 'request'")


def test_a_frame_of_a_capture(tmp_path):
    """`pcap` names a file beside the configuration, `frame` counts its HEP frames from 1."""
    frames = [sip(capture_id=number).data for number in (1, 2)]
    with (tmp_path / "calls.pcap").open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=dpkt.pcap.DLT_RAW)
        for payload in (frames[0], b"no HEP at all", frames[1]):
            udp = dpkt.udp.UDP(sport=1234, dport=9060, ulen=8 + len(payload), data=payload)
            ip = dpkt.ip.IP(src=b"\xc0\0\2\1", dst=b"\xc0\0\2\2", p=17, data=udp)
            ip.len = 28 + len(payload)
            writer.writepkt(ip, ts=1.5)
    holds(tmp_path, '{ pcap = "calls.pcap" }', "capture_id = 1")
    holds(
        tmp_path, '{ pcap = "calls.pcap", frame = 2 }', "capture_id = 2, sip.status.exists = false"
    )
    holds(
        tmp_path,
        '[{ pcap = "calls.pcap" }, { pcap = "calls.pcap", frame = 2, at = "1s" }]',
        "capture_id = 2",
    )
    assert refused(tmp_path, '{ pcap = "calls.pcap", frame = 3 }') == (
        "calls.pcap has 2 HEP frames, and no number 3"
    )


def test_a_capture_lies_beside_the_file_that_names_it(tmp_path):
    """The name of a capture starts at the folder of the file that it is written in."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/calls.hex").write_text(sip(capture_id=5).data.hex())
    (tmp_path / "rules/10.toml").write_text(
        '[[tests]]\ngiven = { pcap = "calls.hex" }\nexpect = { after = { capture_id = 5 } }\n'
    )
    (tmp_path / "hepsw.toml").write_text(CONFIGURATION)
    (result,) = prove(tmp_path / "hepsw.toml").results
    assert result.failures == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{ pcap = "none.pcap" }', "cannot read none.pcap: No such file or directory"),
        ('{ pcap = "hepsw.toml" }', "hepsw.toml: file-hex: line 2: not octets in hex digits"),
        ('{ hex = "48455033" }', "not a HEP packet: too-short: at octet 4"),
        ('{ hex = "" }', "not a HEP packet: too-short: at octet 0"),
        ("{ time = 9999999999999999 }", "no packet holds that: does-not-fit: 9999999999 as uint32"),
        (
            f"{{ payload = '{'x' * 65536}' }}",
            "no packet holds that: too-big: more than 65535 octets",
        ),
        (
            '{ hep_version = 2, src_ip = "192.0.2.1", dst_ip = "2001:db8::1" }',
            "no packet holds that: family: addresses of two families",
        ),
        ("{ hep_version = 0 }", "HEP is of version 1, 2 or 3"),
        ("{ hep_version = 1, time = 1, vlan = 2 }", "HEP 1 does not carry time, vlan"),
        ('{ hep_version = 2, proto_type = "RTCP" }', "HEP 2 does not carry proto_type"),
        ("{ hep_version = 2, rtcp.loss_pct = 5 }", "HEP 2 does not carry proto_type"),
        (
            '{ hep_version = 2, "0x0003:0x0065" = "x" }',
            "HEP 2 does not carry 0x0003:0x0065",
        ),
    ],
)
def test_no_packet(tmp_path, given, said):
    """What makes no packet fails the test, with the reason."""
    assert refused(tmp_path, given) == said


def test_no_packet_among_several(tmp_path):
    """Of several packets the one that cannot be made is told by its number."""
    given = '[{ vlan = 1 }, { hex = "00" }]'
    assert refused(tmp_path, given) == "packet 2: not a HEP packet: too-short: at octet 1"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("5", "a packet is given as a table of its fields"),
        ('{ hex = "4" }', "not octets in hexadecimal"),
        ('{ hex = "00", pcap = "x" }', "a packet is given by `hex` or by `pcap`"),
        ('{ pcap = "" }', "`pcap` is the name of a file"),
        ('{ pcap = "x", frame = 0 }', "`frame` is a number from 1"),
        ("{ frame = 1 }", "`frame` counts the frames of a `pcap`"),
        ('{ hex = "00", vlan = 1 }', "`vlan` is in the frame that is given already"),
        ("{ size = 9 }", "`size` follows from other fields and cannot be given"),
        ('{ call = "x" }', "`call` follows from other fields and cannot be given"),
        ('{ sip.verdict = "ok" }', "`sip.verdict` follows from other fields and cannot be given"),
        ('{ sip.kind = "answer" }', "`sip.kind` is never 'answer'"),
        ("{ sip.header.Via = [] }", "`sip.header.Via` without a value: leave it out"),
        ('{ src_ip = "10.0.0.0/8" }', "not an address: '10.0.0.0/8'"),
        ("{ vlan = 70000 }", "70000 is outside 0 to 65535"),
        ("{ colour = 5 }", "unknown field `colour`"),
    ],
)
def test_what_cannot_be_given(tmp_path, given, said):
    """What no packet has, or what follows from something else, is refused where it is written."""
    assert unreadable(tmp_path, given).startswith(said)


# --- fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "{}",
            "hep_version = 3, payload.exists = false, time = 1767225600000000",
        ),
        ('[{ at = "0s" }, { at = "1500ms" }]', "time = 2026-01-01T00:00:01.5Z"),
        ("{ time = 5 }", "time = 5"),
        ('{ src_ip = "::1" }', 'ip_family = 10, ip = "::1", dst_ip.exists = false'),
        ('{ src_port = 5, payload = "abc" }', "port = 5, payload_size = 3, size = { ge = 20 }"),
        ('{ node_name = { hex = "ff" } }', 'node_name = { hex = "ff" }'),
        ('{ "0x0003:0x0065" = { hex = "00ff" } }', '"0x0003:0x0065" = { hex = "00ff" }'),
        (
            '{ site = "mad", rack = 77 }',
            'site = "mad", rack = 77, "0x0003:0x0002" = { hex = "0000004d" }',
        ),
        (
            "{ hep_version = 1 }",
            'hep_version = 1, proto_type = "SIP", src_ip = "0.0.0.0", ip_protocol = 17',
        ),
        (
            "{ hep_version = 2, src_port = 7, capture_id = 9, time = 5000000 }",
            "hep_version = 2, src_port = 7, dst_port = 0, capture_id = 9, time = 5000000",
        ),
        ('{ hep_version = 2, sip.method = "ACK" }', 'hep_version = 2, sip.method = "ACK"'),
    ],
)
def test_chunks(tmp_path, given, expected):
    """What is given is in the packet, what is not is missing; a time is always there."""
    holds(tmp_path, given, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{ vlan = 1 }", 'peer_ip = "192.0.2.1", peer_transport = "udp", listener = "in"'),
        ("{ vlan = 1 }", 'local_ip = "127.0.0.1", local_port = 9060, peer_name.exists = false'),
        (
            '{ listener = "lab" }',
            'listener = "lab", local_ip = "127.0.0.2", local_port = 9061, peer_transport = "tcp"',
        ),
        (
            '{ peer_ip = "2001:db8::1", peer_port = 5, peer_name = "edge" }',
            'peer_ip = "2001:db8::1", peer_port = 5, peer_name = "edge"',
        ),
        ('{ local_ip = "10.0.0.1", local_port = 6 }', 'local_ip = "10.0.0.1", local_port = 6'),
        ('{ geo.src.country = "ES" }', 'geo.src.country = "ES", geo.src.asn.exists = false'),
        ("{ vlan = 1 }", "geo.src.country.exists = false"),
    ],
)
def test_context(tmp_path, given, expected):
    """Who spoke, where it arrived, and what the databases say, is given beside the packet."""
    holds(tmp_path, given, expected)


def test_context_beside_a_frame(tmp_path):
    """A whole frame can have a peer, a listener and places too."""
    given = f"peer_ip = '192.0.2.77', geo.dst.asn = 64500, hex = '{sip().data.hex()}'"
    holds(
        tmp_path,
        f"{{ {given} }}",
        "peer_ip = '192.0.2.77', geo.dst.asn = 64500, vlan.exists = false",
    )


# --- what a payload says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('sip.method = "BYE"', 'proto_type = "SIP", sip.kind = "request", sip.method = "BYE"'),
        ('sip.method = "BYE"', "sip.status.exists = false, sip.from_user.exists = false"),
        ("sip.status = 200", 'sip.kind = "reply", sip.verdict = "ok"'),
        ('sip.reason = "Busy"', 'sip.kind = "reply"'),
        ('sip.status = 200, sip.kind = "malformed"', 'sip.kind = "malformed"'),
        ('proto_type = "SIP"', 'sip.kind = "none"'),
        ('proto_type = "LOG", sip.method = "BYE"', "sip.method.exists = false"),
        (
            'sip.ruri = "sip:bob@example.org"',
            'sip.ruri_user = "bob", sip.ruri_domain = "example.org"',
        ),
        ('sip.ruri = "urn:service:sos"', "sip.ruri_user.exists = false"),
        ('sip.ruri = "sip:b@c", sip.ruri_user = "x"', 'sip.ruri_user = "x", sip.ruri_domain = "c"'),
        ('sip.ruri_user = "bob", sip.ruri_domain = "a.b"', 'sip.ruri = "sip:bob@a.b"'),
        ('sip.ruri_user = "bob"', "sip.ruri.exists = false"),
        ('sip.user_agent = "x"', 'sip.header.User-Agent = "x", sip.header.user-agent = "x"'),
        ('sip.header.User-Agent = "x"', 'sip.user_agent = "x"'),
        ('sip.header.i = "x"', 'sip.call_id = "x", sip.header.Call-ID = "x", call = "x"'),
        ('sip.header.Via = ["x", "y"]', 'sip.header.v = "y", sip.header.From.exists = false'),
        ('sip.call_id = "x", correlation_id = "y"', 'call = "x"'),
        ('proto_type = 5, sip.call_id = "x", correlation_id = "y"', 'call = "y"'),
        (
            'sip.cseq = 7, sip.from_user = { hex = "ff" }',
            'sip.cseq = 7, sip.from_user = { hex = "ff" }',
        ),
        ("rtcp.loss_pct = 5", 'proto_type = "RTCP", rtcp.loss_pct = 5, rtcp.rtt_ms.exists = false'),
        ("proto_type = 35, vq.mos_lq = 3.5", "vq.mos_lq = 3.5, vq.mos_cq.exists = false"),
        ("proto_type = 1, rtcp.loss_pct = 5", "rtcp.loss_pct.exists = false"),
        (
            'json."a.b" = "x", json.c = true',
            'json."a.b" = "x", json.c = true, json.d.exists = false',
        ),
    ],
)
def test_payload_fields(tmp_path, given, expected):
    """What a test gives of a payload is there, with what follows from it, and nothing else."""
    holds(tmp_path, f"{{ {given} }}", expected)


def test_laid_over_a_payload(tmp_path):
    """Beside a payload, what is given comes first, and the rest is read."""
    given = f"{{ proto_type = 1, payload = '''{INVITE.decode()}''', sip.from_user = 'carol' }}"
    given = given.replace("\r\n", "\\r\\n").replace("'''", '"')
    expected = 'sip.from_user = "carol", sip.to_user = "bob", sip.cseq = 7, sip.kind = "request"'
    holds(tmp_path, given, expected)
    given = """{ proto_type = 5, payload = '{"a": 1, "b": 2}', json.a = 3 }"""
    holds(tmp_path, given, "json.a = 3, json.b = 2")
    given = """{ payload = '{"report_blocks": [{"fraction_lost": 64}]}', rtcp.jitter_ms = 9 }"""
    holds(tmp_path, given, "rtcp.loss_pct = 25, rtcp.jitter_ms = 9")


# --- edits ---------------------------------------------------------------------------------------


def edit(what):
    """Return a rule that edits every packet and goes on."""
    return f'[[rules.main]]\nname = "edit"\n{what}\ncontinue = true'


def test_an_edit_of_the_payload(tmp_path):
    """What was laid over a payload is gone with it; the new one is read."""
    rule = edit('set.payload = "BYE sip:x@y SIP/2.0\\r\\n\\r\\n"')
    given = '{ sip.method = "INVITE", sip.from_user = "alice", json.a = 1 }'
    expected = 'sip.method = "BYE", sip.from_user.exists = false, json.a.exists = false'
    holds(tmp_path, given, expected, rule)


def test_another_edit(tmp_path):
    """An edit of anything else leaves what was laid over the payload where it is."""
    rule = edit('set.node_name = "{sip.from_user}"')
    given = '{ sip.from_user = "alice", geo.src.country = "ES" }'
    expected = 'node_name = "alice", sip.from_user = "alice", geo.src.country = "ES"'
    holds(tmp_path, given, expected, rule)


def test_an_edit_of_an_address(tmp_path):
    """A place goes with the address it was given for; that of the other end stays."""
    rule = edit('set.src_ip = "192.0.2.9"')
    given = '{ src_ip = "192.0.2.1", geo.src.country = "ES", geo.dst.asn = 7, sip.method = "BYE" }'
    expected = 'geo.src.country.exists = false, geo.dst.asn = 7, sip.method = "BYE"'
    holds(tmp_path, given, expected, rule)
    rule = edit('set.src_ip = "192.0.2.1"')
    holds(tmp_path, given, 'geo.src.country = "ES"', rule)


def test_an_edit_of_the_type(tmp_path):
    """What is given of SIP is seen while the packet says that it is SIP."""
    given = '{ sip.method = "BYE" }'
    holds(tmp_path, given, "sip.method.exists = false", edit('set.proto_type = "LOG"'))


def test_resumed(tmp_path):
    """After `resume` what is given of SIP is seen, whatever the type."""
    text = CONFIGURATION.replace(
        "[[rules.main]]",
        '[[rules.main]]\nname = "r"\nmatch.vlan = 8\nresume = "lab"\n\n[[rules.main]]',
        1,
    )
    test = (
        'given = { vlan = 8, proto_type = "LOG", sip.method = "BYE" }\n'
        'expect = { path = ["main/r"], after = { sip.method = "BYE" } }'
    )
    assert failures(tmp_path, test, text) == []
    given = 'given = { vlan = 8, proto_type = "LOG", payload = "x" }\n'
    test = f'{given}expect = {{ after = {{ sip.kind = "malformed" }} }}'
    assert failures(tmp_path, test, text) == []


def test_the_place_of_what_cannot_be_made(tmp_path):
    """`check` points at `given`, and says how to run the test alone."""
    (tmp_path / "hepsw.toml").write_text(
        f"{CONFIGURATION}\n[[tests]]\nname = 'short'\n"
        "given = { hex = '00' }\nexpect = { missed = true }\n"
    )
    loaded = prove(tmp_path / "hepsw.toml").loaded
    (problem,) = loaded.problems.sorted()
    assert (problem.code, problem.hint) == ("HEP120", "`hepsw test -k 'short'` runs it alone")
    assert "given = { hex = '00' }\n" in render([problem], loaded.texts)
