"""`hepsw explain`: whole texts, what may be given, what is expected, tests that can be pasted."""

import json
import re
import tomllib

import dpkt
import pytest
from cli.command import ROOT, hepsw

from hepsw.hep import build

TEMPLATES = ROOT / "hepsw/templates"

CONFIGURATION = """\
[[listen]]
name = "edge"
url = "udp://127.0.0.1:9060"

[[listen]]
name = "lab"
url = "tcp://127.0.0.1:9061"
entry = "other"

[destinations]
a = "udp://192.0.2.101"
b = "udp://192.0.2.102"

[stores.s]
url = "sqlite://s.db"

[traces.t]
to = ["b", "s"]

[traces.off]
to = "a"
enabled = false

[maps.who]
key = "capture_id"
entries = { "1" = "a", "2" = ["a", "b"] }

[[rules.main]]
name = "held"
match.sip.method = "INVITE"
scope = "dialog"
relay = "a"
continue = true

[[rules.main]]
name = "edit"
set.node_name = "{src_ip}"
set.vlan = "{sip.status}"
set.auth_key = "s3cret"
unset = "correlation_id"
log = "from {src_ip}\\t{node_name}"
count.packets = { type = "{proto_type}" }
observe.sizes = { value = "{size}" }
relay = { map = "who" }
trace = ["t", "off"]
call = "other"

[[rules.main]]
name = "tenth"
sample = { keep = "10%", by = "node_name" }
relay = "b"

[[rules.main]]
name = "few"
limit = { rate = "5/s", over = "next" }
dedupe = { window = "500ms" }
relay = "b"
continue = true

[[rules.main]]
name = "rest"
match.proto_type = "LOG"
resume = "sip"

[[rules.other]]
name = "long-name-of-a-rule-that-goes-on"
match.any = [{ ip = ["10.0.0.0/8", "192.168.0.0/16"] }, { node_name = { prefix = "core" } }]
drop = "lab"

[[rules.sip]]
name = "call"
match.sip.method = ["INVITE", "BYE"]
store = "s"

[tables.sip]
miss = { relay = "a" }
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "hepsw.toml").write_text(CONFIGURATION)
    return tmp_path


def explained(*words, folder):
    """Return what is said of a packet."""
    ran = hepsw("explain", *words, folder=folder)
    assert (ran.status, ran.err) == (0, "")
    return ran.out


# --- whole texts ---------------------------------------------------------------------------------


def test_dropped():
    """Each rule with the clause that failed; the fate, what it depends on, what is near."""
    words = ["proto_type=SIP", "src_ip=203.0.113.9", "sip.method=INVITE", "sip.ruri_user=112"]
    said = explained(*words, "sip.call_id=x", "-c", TEMPLATES / "privacy.toml", folder=ROOT)
    assert said == (
        """\
main 1 ours      ✓ always                            relay own · continue
     2 lab       ✗ ip in 10.0.0.0/8, 192.168.0.0/16  src_ip is 203.0.113.9, dst_ip missing
     3 emergency ✓ sip.ruri_user in "112", "911" or sip.ruri prefix "urn:service:sos"
                     sticks to the call (2h) · drop emergency
fate      relay own; then drop "emergency"
depends   sip.ruri_user · ip
differs   sip.ruri_user = "other" → relay own; then missed
          src_ip = 10.0.0.0 → relay own; then drop "internal"
          dst_ip = 10.0.0.0 → relay own; then drop "internal"
"""
    )


def test_through_tables():
    """Tables one behind the other; a line that is written; what was asked of what came before."""
    words = ["proto_type=SIP", "src_ip=192.0.2.7", "sip.method=INVITE"]
    said = explained(*words, "-c", TEMPLATES / "opensips.toml", folder=ROOT)
    assert said == (
        """\
hep_route 1 log-type ✓ always            log debug "HEP PROTO TYPE: SIP" · continue
          2 sip      ✓ proto_type = SIP  resume route
route     1 fork     ✓ always
                         log debug "Request INVITE from 192.0.2.7 with domain "
                         relay fork_a, fork_b · stop
fate      relay fork_a, fork_b
depends   proto_type
differs   proto_type = RTCP → relay rtcp
"""
    )


def test_everything_that_a_rule_does(folder):
    """Edits from old to new, outputs that have the packet already, traces, a call that comes back.

    The key is not printed.
    """
    words = ["src_ip=192.0.2.7", "sip.method=INVITE", "sip.call_id=x", "capture_id=2"]
    assert explained(*words, "correlation_id=q", folder=folder) == (
        """\
main       1 held  ✓ sip.method = "INVITE"    sticks to the call (2h) · relay a · continue
           2 edit  ✓ always
                       node_name missing → "192.0.2.7" · vlan stays missing · set auth_key = ***
                       unset correlation_id, was "q" · log info "from 192.0.2.7\\t192.0.2.7"
                       count packets · observe sizes · relay b · relay a: has it from main/held
                       trace t to b, s · trace off: switched off · call other
other      1 long-name-of-a-rule-that-goes-on ✗ ip in 10.0.0.0/8, 192.168.0.0/16 or node_name \
prefix "core"
                       src_ip is 192.0.2.7, dst_ip missing, node_name is "192.0.2.7"
main again 3 tenth ✗ sample 10% by node_name  node_name "192.0.2.7" is not in the share
           4 few   ✓ always
                       dedupe within 500ms: no copy · limit 5/s: within it
                       relay b: has it from main/edit · continue
           5 rest  ✗ proto_type = LOG         proto_type is SIP
             (no rule)   drop
fate      store s; relay a, b; trace t; then missed
depends   sip.method · hep_version · map.who · node_name · src_ip · listener · proto_type · ip
differs   src_ip = 10.0.0.0 → store s; relay a, b; trace t; then drop "lab"
          dst_ip = 10.0.0.0 → store s; relay a, b; trace t; then drop "lab"
          proto_type = LOG → store s; relay a, b; trace t
"""
    )


def test_miss_with_an_output(folder):
    """What a table does with what no rule decides stands below its rules."""
    said = explained("proto_type=LOG", "src_ip=192.0.2.7", "sip.method=REGISTER", folder=folder)
    assert (
        """\
sip        1 call  ✗ sip.method in "BYE", "INVITE"  sip.method is "REGISTER"
             (no rule)   relay a
fate      store s; relay a, b; trace t; then missed
"""
        in said
    )


def test_no_rules(tmp_path):
    """Without rules there is little to explain."""
    listen = '[[listen]]\nurl = "udp://127.0.0.1:9060"\n[destinations]\na = "udp://192.0.2.1"\n'
    (tmp_path / "hepsw.toml").write_text(listen)
    assert explained("vlan=1", folder=tmp_path) == (
        """\
there are no rules: every packet goes to every destination and store
fate      relay a
depends   nothing of the packet
"""
    )


def test_long_table(tmp_path):
    """Rules of a long table that failed are folded."""
    rules = "".join(
        f'[[rules.main]]\nname = "r{at}"\nmatch.capture_id = {at}\nrelay = "a"\n'
        for at in range(1200)
    )
    (tmp_path / "hepsw.toml").write_text(
        f'[[listen]]\nurl = "udp://127.0.0.1:9060"\n[destinations]\na = "udp://192.0.2.1"\n{rules}'
    )
    assert explained("capture_id=1111", folder=tmp_path) == (
        """\
main    … 1,111 rules, 1 to 1111: capture_id
     1112 r1111 ✓ capture_id = 1111  relay a · stop
fate      relay a
depends   capture_id
differs   capture_id missing → missed: no rule decides
"""
    )


def test_json(folder):
    """The same for programs."""
    said = json.loads(explained("listener=lab", "src_port=1", "--json", folder=folder))
    missed = {"kind": "missed", "text": "missed: no rule decides", "relay": [], "store": []}
    missed |= {"trace": [], "drop": None, "missed": True}
    assert said.pop("fate") == missed
    dropped = {**missed, "kind": "dropped", "text": 'drop "lab"', "drop": "lab", "missed": False}
    assert said == {
        "path": [],
        "tables": [
            {
                "table": "other",
                "back": False,
                "rules": [
                    {
                        "rule": "other/long-name-of-a-rule-that-goes-on",
                        "number": 1,
                        "matched": False,
                        "why": 'ip in 10.0.0.0/8, 192.168.0.0/16 or node_name prefix "core"',
                        "found": "src_ip missing, dst_ip missing, node_name missing",
                        "did": [],
                    }
                ],
                "miss": "drop",
            }
        ],
        "depends": ["listener", "ip", "node_name"],
        "differs": [
            {"field": "src_ip", "value": "10.0.0.0", "fate": dropped},
            {"field": "dst_ip", "value": "10.0.0.0", "fate": dropped},
            {"field": "node_name", "value": '"core"', "fate": dropped},
        ],
    }


# --- what is given -------------------------------------------------------------------------------


def test_words_as_values(folder):
    """A value is TOML; what is none is a text, and so are digits where a text is meant."""
    words = ["sip.ruri_user=112", "sip.header.X-Leg=['a', \"b\"]", "node_name=a=b"]
    words += ["src_ip='10.0.0.1'", "time=2026-01-02T03:04:05Z", 'json."a.b"=5', "vlan=7"]
    words += ['0x0003:0x0065={ hex = "01" }', "payload=hello you"]
    said = explained(*words, "--as-test", folder=folder)
    assert tomllib.loads(said)["tests"][0]["given"] == {
        "sip": {"ruri_user": "112", "header": {"X-Leg": ["a", "b"]}},
        "node_name": "a=b",
        "src_ip": "10.0.0.1",
        "time": tomllib.loads("x = 2026-01-02T03:04:05Z")["x"],
        "json": {"a.b": 5},
        "vlan": 7,
        "0x0003:0x0065": {"hex": "01"},
        "payload": "hello you",
    }


def test_frame(folder):
    """A whole frame is given in hexadecimal, blanks allowed; the peer may be given beside it."""
    frame = build(proto_type=100, src_ip="10.0.0.1", payload="x").data.hex(" ")
    said = explained("--hex", frame, "peer_ip=192.0.2.9", "--table", "other", folder=folder)
    assert "✓ ip in 10.0.0.0/8" in said


@pytest.fixture
def capture(folder):
    """Two HEP packets as tcpdump saves them."""
    file = folder / "two.pcap"
    with file.open("wb") as out:
        writer = dpkt.pcap.Writer(out)
        for address in ("192.0.2.1", "10.0.0.1"):
            data = build(proto_type=100, src_ip=address, payload="x").data
            udp = dpkt.udp.UDP(sport=1, dport=9060, ulen=8 + len(data), data=data)
            ip = dpkt.ip.IP(src=b"\xc0\0\2\1", dst=b"\xc0\0\2\2", p=17, data=udp)
            ip.len = len(ip)
            writer.writepkt(dpkt.ethernet.Ethernet(data=ip, type=0x0800))
    return file


def test_capture(folder, capture):
    """A frame of a file is taken by its number."""
    assert 'drop "lab"' not in explained("--pcap", capture, folder=folder).splitlines()[-4]
    second = explained("--pcap", "two.pcap", "-n", "2", "--listener", "lab", folder=folder)
    assert 'fate      drop "lab"\n' in second


def test_no_such_frame(folder, capture):
    """A file that is not there, is none, or has fewer frames."""
    for words, error in (
        (["--pcap", "no.pcap"], "cannot read no.pcap: No such file or directory"),
        (["--pcap", "two.pcap", "-n", "3"], "two.pcap has 2 HEP frames, and no number 3"),
    ):
        ran = hepsw("explain", *words, folder=folder)
        assert (ran.status, ran.out, ran.err) == (74, "", f"hepsw explain: {error}\n")


def test_what_is_wrong_is_shown_at_its_place(folder):
    """Each word is a line of its own, with what may have been meant."""
    words = ["src_pi=10.0.0.1", "vlan=99999", "sip.metod=INVITE", "ip=10.0.0.1"]
    ran = hepsw("explain", *words, "--expect", "relay=a,c", folder=folder)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        """\
error[HEP110]: unknown field `src_pi`
 --> command line:1:1
  |
1 | src_pi=10.0.0.1
  | ^^^^^^ did you mean `src_ip`?

error[HEP116]: 99999 is outside 0 to 65535
 --> command line:2:6
  |
2 | vlan=99999
  |      ^^^^^

error[HEP110]: unknown field `sip.metod`
 --> command line:3:1
  |
3 | sip.metod=INVITE
  | ^^^^^^^^^ did you mean `sip.method`?

error[HEP116]: `ip` follows from other fields and cannot be given
 --> command line:4:1
  |
4 | ip=10.0.0.1
  | ^^ give `src_ip` or `dst_ip`

error[HEP201]: unknown destination `c`
 --> command line:5:7
  |
5 | relay=a,c
  |       ^^^ known here: a, b
"""
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "give a packet: FIELD=VALUE, --hex or --pcap"),
        (["vlan"], "not FIELD=VALUE: 'vlan'"),
        (["=1"], "not FIELD=VALUE: '=1'"),
        (["vlan=1", "vlan=2"], "given twice: vlan=2"),
        (["sip=1", "sip.method=BYE"], "given twice: sip.method=BYE"),
        (["vlan=1", "--expect", "drop"], "not KEY=VALUE: 'drop'"),
        (["vlan=1", "--table", "mian"], "unknown table `mian`; did you mean `main`?"),
        (["vlan=1", "--listener", "x"], "unknown listener `x`; there are edge, lab"),
        (["vlan=1", "--at", "noon"], "--at: not a time (RFC 3339, or microseconds): 'noon'"),
        (
            ["vlan=1", "--at", "2001-01-01"],
            "--at: 2001-01-01 is before 2026-01-01T00:00:00.000000Z",
        ),
        (["--hex", "48455033"], "not a HEP packet: too-short: at octet 4"),
        (["vlan=1", "hep_version=2"], "HEP 2 does not carry vlan"),
    ],
)
def test_usage(folder, words, error):
    """What is no packet at all is said in a line."""
    ran = hepsw("explain", *words, folder=folder)
    assert (ran.status, ran.out, ran.err) == (2, "", f"hepsw explain: {error}\n")


def test_invalid_configuration(folder):
    """A configuration that is none is told as `hepsw check` does."""
    (folder / "hepsw.toml").write_text(CONFIGURATION.replace('relay = "a"', 'relay = "c"'))
    ran = hepsw("explain", "vlan=1", folder=folder)
    assert (ran.status, ran.out) == (78, "")
    assert "unknown destination `c`" in ran.err


# --- what is expected ----------------------------------------------------------------------------


def test_expected(folder):
    """What comes as expected is no news."""
    words = ["src_ip=10.0.0.1", "--listener", "lab", "--expect", "drop=lab", "--expect", "relay="]
    words += ["--expect", "path=other/long-name-of-a-rule-that-goes-on", "--expect", "missed=false"]
    assert hepsw("explain", *words, folder=folder).status == 0


def test_not_expected(folder):
    """What does not come is said behind the explanation, and is the exit status."""
    words = [
        "capture_id=1",
        "--expect",
        "relay=b",
        "--expect",
        "drop=x",
        "--expect",
        "rule=main/tenth",
    ]
    ran = hepsw("explain", *words, folder=folder)
    assert ran.status == 1
    assert ran.out == explained("capture_id=1", folder=folder)
    assert ran.err == (
        "hepsw explain: --expect relay: it went to a, b\n"
        "hepsw explain: --expect drop: it was routed\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["sip.method=INVITE", "src_ip=192.0.2.7", "capture_id=1"],
        ["proto_type=LOG", "sip.method=BYE", "--at", "2026-02-03T04:05:06Z"],
        ["src_ip=10.0.0.1", "--listener", "lab"],
        ["src_ip=10.0.0.1", "--table", "other"],
        ["proto_type=SIP", "sip.method=BYE", "--table", "sip"],
        ["sip.status=200", "src_ip=192.0.2.4"],
        ["--hex", build(proto_type=100, src_ip="10.0.0.1", payload="x").data.hex()],
        ["--pcap", "two.pcap", "-n", "2"],
    ],
)
def test_as_test(folder, capture, words):
    """What is printed as a test passes where it is pasted."""
    test = explained(*words, "--as-test", folder=folder)
    file = folder / "hepsw.toml"
    # A test of a rule stands behind that rule: here, each is the last of its table.
    where, rule = ("[tables.sip]", "call") if "rules.sip" in test else ("[[rules.sip]]", "goes-on")
    if "[[rules." in test:
        assert test.partition("`")[2].partition("`")[0].endswith(rule)
        file.write_text(CONFIGURATION.replace(where, f"{test}\n{where}"))
    else:
        file.write_text(f"{CONFIGURATION}\n{test}")
    ran = hepsw("test", folder=folder)
    assert (ran.status, ran.out.splitlines()[-1]) == (0, "1 passed"), ran.out


def test_no_rule_to_stand_under(folder):
    """A test of a table has to stand under a rule that it meets."""
    words = ["proto_type=SIP", "sip.method=OPTIONS", "--table", "sip", "--as-test"]
    ran = hepsw("explain", *words, folder=folder)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "hepsw explain: no rule of `sip` matched: there is none that this test could stand under\n"
    )


# --- what the README shows -----------------------------------------------------------------------


def test_readme(tmp_path):
    """What the README shows is what is printed, of the configuration that it names."""
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(r"```console\n\$ hepsw (explain [^\n]*)\n(.*?)```", readme, re.DOTALL)
    assert len(shown) == 2
    assert hepsw("init", "quality", folder=tmp_path).status == 0
    for asked, printed in shown:
        assert explained(*asked.split()[1:], folder=tmp_path) == printed
