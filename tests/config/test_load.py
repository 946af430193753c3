"""Loading: what an operator can write that once was accepted, or once was a traceback."""

import json
import os
import subprocess
import sys

import pytest
from running import ROOT

from hepsw.config.load import load
from hepsw.net.machine import ThisMachine

BASE = """
[[listen]]
url = "udp://127.0.0.1:9060"
[destinations]
a = "udp://192.0.2.1"
"""


def found(folder, text, **files):
    """Return the codes and lines of what is found in a configuration."""
    (folder / "hepsw.toml").write_text(text)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    problems = load(folder / "hepsw.toml", ThisMachine()).problems.sorted()
    return [(problem.code, problem.text) for problem in problems]


def rule(body):
    return f'{BASE}\n[[rules.main]]\nname = "r"\nrelay = "a"\n{body}\n'


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("listen = 5", ["HEP105"]),
        ("[listen]\nurl = 'udp://127.0.0.1'", ["HEP105"]),
        ("rules = 5" + BASE, ["HEP105"]),
        (rule("match.src_port = { ge = '@p' }") + "[sets]\np = [1, 2]", ["HEP106"]),
        (rule("match.is = []"), ["HEP105"]),
        (rule("match.not = {}"), ["HEP105"]),
        (rule("match.is = 'a'") + "[matchers]\na.is = ['a', 'a']", ["HEP305", "HEP305"]),
        (
            rule("match.is = 'a'") + "[matchers]\na.is = 'b'\nb.is = ['c', 'a']\nc.vlan = 1",
            ["HEP305"],
        ),
        (rule("match.src_port = { ge = 10, lt = 5 }"), ["HEP106"]),
        (rule("match.src_port = { lt = 0 }"), ["HEP106"]),
        (rule("match.src_port = { gt = 65535 }"), ["HEP106"]),
        (rule("set.src_ip = 'fe80::1%eth0'"), ["HEP106"]),
        (rule("match.time = -5"), ["HEP106"]),
        (rule("match.time = { ge = 2026-01-01 }"), ["HEP106"]),
        (rule("match.hep_version = 9"), ["HEP106"]),
        (rule("match.peer_transport = 'UDP'"), ["HEP106"]),
        (rule("match.listener = 'nosuch'"), ["HEP106"]),
        (rule("set.sip.method = 'x'"), ["HEP114"]),
        (rule("set.call = 'x'"), ["HEP114"]),
        (rule("set.peer_name = 'x'"), ["HEP114"]),
        (rule("match.src_ip = 'fe80::1%eth0'"), ["HEP106"]),
        (rule("match.src_ip = '10.0.0.0/255.0.0.0'"), ["HEP106"]),
        (rule("match.src_port = { eq = '5060-5061' }"), ["HEP106"]),
        (rule("match.src_ip = { eq = '192.0.2.0/24' }"), ["HEP106"]),
        (rule("match.'0x0000:0x0013' = 'x'"), ["HEP110"]),
        (rule("log = '{0x0000:0x000e}'"), ["HEP110"]),
        (rule("set.node_name = '{auth_key}'"), ["HEP403"]),
        (rule("set.time = 4400000000000000000"), ["HEP106"]),
        (rule("drop = 'internal-error'"), ["HEP106"]),
        (rule("drop = 'duplicate'"), ["HEP106"]),
        (rule("drop = 'over-limit'"), ["HEP106"]),
        (BASE + "[chunks]\nk = { vendor = 0, id = 14, type = 'utf8' }", ["HEP102"]),
        (BASE + "[chunks]\nany = { vendor = 3, id = 14, type = 'utf8' }", ["HEP106"]),
        (
            BASE
            + "[chunks]\nx = { vendor = 3, id = 14, type = 'utf8' }\n"
            + "y = { vendor = 3, id = 14, type = 'uint8' }",
            ["HEP102"],
        ),
        (BASE + "[stores]\ns.url = 'sqlite://x-%Q.db'", ["HEP106"]),
        (BASE + "[stores]\ns.url = 'sqlite://:memory:'", ["HEP106"]),
        (BASE + "[stores]\ns.url = 'sqlite://~/x.db'", ["HEP106"]),
        (BASE + "[stores]\ns.url = 'sqlite://hepsw.toml'", ["HEP106"]),
        (BASE.replace(":9060", ":70000"), ["HEP106"]),
        (BASE.replace("127.0.0.1", "*"), ["HEP106"]),
        (BASE.replace("127.0.0.1", "999.1.1.1"), ["HEP106"]),
        (BASE.replace("127.0.0.1", "::1"), ["HEP106"]),
        (
            BASE.replace("9060'", "9060'\nversions = [true]").replace(
                '9060"', '9060"\nversions = [true]'
            ),
            ["HEP106"],
        ),
        (BASE.replace('9060"', '9060"\nreceive_buffer = "4GiB"'), ["HEP106"]),
        (BASE + "b = { url = 'udp://192.0.2.1', timeout = '0s' }", ["HEP106"]),
        (BASE + "b = { url = 'udp://192.0.2.1', timeout = '1000h' }", ["HEP106"]),
        (BASE + "b = { url = [] }", ["HEP106"]),
        (BASE + "b = 5", ["HEP106"]),
        (BASE + "b = { host = '192.0.2.1' }", ["HEP104"]),
        (
            BASE + "[stores]\ns = { url = 'sqlite://x.db', batch = { every = '99999999d' } }",
            ["HEP106"],
        ),
        (BASE + "[tables.mian]\nmiss = { relay = 'a' }", ["HEP304"]),
        (rule("enabled = false"), ["HEP309"]),
        (
            BASE + '[[rules.main]]\nname = "a b"\nmatch.proto_type = "SIPP"\nrelay = "x"',
            ["HEP106"] * 2 + ["HEP201"],
        ),
        (rule("match.proto_type = ['x', 'y', 'SIP']"), ["HEP106", "HEP106"]),
        (rule("match.src_port = { gee = 1, lee = 2 }"), ["HEP109", "HEP109"]),
        (
            rule("match.map.m = 7\nlog = '{map.m}'")
            + "[maps.m]\nkey = 'scr_ip'\nentries = { '10.0.0.1' = 'a' }",
            ["HEP110"],
        ),
        (
            rule("match.map.m = 7\nrelay.map = 'm'").replace('relay = "a"', "")
            + "[maps.m]\nkey = 'src_ip'\nentry = { '10.0.0.1' = 'a' }",
            ["HEP104"],
        ),
    ],
)
def test_it_is_refused(tmp_path, text, codes):
    """One diagnostic for each mistake, and never a traceback."""
    assert sorted(code for code, _ in found(tmp_path, text)) == sorted(codes)


@pytest.mark.parametrize("flow", ["goto", "call", "resume"])
def test_circles_go_by_every_flow(tmp_path, flow):
    """A table that comes back to itself is refused, whichever key leads back."""
    text = rule(f"{flow} = 'b'") + "[[rules.b]]\nname = 'back'\ngoto = 'main'"
    assert found(tmp_path, text) == [
        ("HEP305", "tables go round in a circle: main → b → main"),
    ]


@pytest.mark.parametrize("flow", ["goto", "call", "resume"])
def test_tables_are_entered_by_every_flow(tmp_path, flow):
    """A table that a rule goes on in is no table that is never entered."""
    text = rule(f"{flow} = 'b'") + "[[rules.b]]\nname = 'rest'\nrelay = 'a'"
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    "body",
    [
        "drop = 'internal'",
        "match.peer_name = 'edge.example.net'",
        "match.call = 'a84b4c76e66710'",
        "match.sip.header.X-CID = { exists = true }",
        "match.json.'a.b' = [1, 'x', true, 0.5]",
        "match.rtcp.loss_pct = '5-'",
        "match.vq.mos_lq = { lt = 3.5 }",
    ],
)
def test_it_is_taken(tmp_path, body):
    """What a narrower reading of the language would refuse."""
    assert found(tmp_path, rule(body)) == []


def circle(first, second):
    """Two tables that lead to each other."""
    return f"""{BASE}
[[rules.main]]
name = "r"
{first} = "t"
[[rules.main]]
name = "rest"
relay = "a"
[[rules.t]]
name = "s"
{second} = "main"
"""


@pytest.mark.parametrize("first", ["goto", "call", "resume"])
@pytest.mark.parametrize("second", ["goto", "call", "resume"])
def test_circles(tmp_path, first, second):
    """However one table leads to another, a circle is an error."""
    assert [code for code, _ in found(tmp_path, circle(first, second))] == ["HEP305"]


@pytest.mark.parametrize("flow", ["goto", "call", "resume"])
def test_a_table_that_is_entered(tmp_path, flow):
    """A table that a rule leads to in any way is entered."""
    text = circle(flow, "goto").replace('goto = "main"', 'relay = "a"')
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    ("type_", "content", "part"),
    [
        ("ip", b"10.0.0.1\n\nhello # x\n", "s.txt:3: not an address"),
        ("number", b"7\n5060-5061\nhello\n", "s.txt:3: not a number"),
        ("number", "²\n".encode(), "s.txt:1: not a number"),
        ("number", b"7" * 5000, "s.txt:1: not a number"),
        ("string", b"\xff", "not UTF-8"),
    ],
)
def test_set_files_hold_what_they_say(tmp_path, type_, content, part):
    """A line that is not of the set's type is named by its number."""
    text = rule("match.capture_id = '@s'") + f"[sets]\ns = {{ file = 's.txt', type = '{type_}' }}"
    problems = found(tmp_path, text, **{"s.txt": content})
    assert problems[0][0] == "HEP208"
    assert part in problems[0][1]


def test_a_set_file_that_is_no_file(tmp_path):
    """A FIFO is not waited for, a NUL in the name is no traceback."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "a\\u0000b", "missing"):
        text = rule("match.src_ip = '@s'") + f'[sets]\ns = {{ file = "{name}", type = "ip" }}'
        assert [code for code, _ in found(tmp_path, text)] == ["HEP208"]


def test_rules_that_cannot_be_listed_are_an_error(tmp_path):
    """Without its rules a switch would send everything everywhere."""
    (tmp_path / "rules").write_text("")
    assert [code for code, _ in found(tmp_path, BASE)] == ["HEP103"]
    (tmp_path / "rules").unlink()
    (tmp_path / "rules").symlink_to("nowhere")
    assert [code for code, _ in found(tmp_path, BASE)] == ["HEP103"]


def test_hidden_files_are_an_editors(tmp_path):
    """Emacs leaves links to nowhere beside a file that is being edited."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / ".#10-main.toml").symlink_to("somebody@somewhere")
    assert found(tmp_path, BASE) == []


def test_check_writes_whatever_the_terminal(tmp_path):
    """Names that are no UTF-8 and terminals that are none are no reason for a traceback."""
    (tmp_path / "rules").mkdir()
    file = os.fsencode(tmp_path / "rules") + b"/\xff.toml"
    with open(file, "w") as stream:  # noqa: PTH123 - a name of octets
        stream.write('x = "é')
    (tmp_path / "hepsw.toml").write_text(BASE)
    for form in ("text", "json"):
        done = subprocess.run(
            [sys.executable, "-m", "hepsw", "check", "--format", form],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 78, done.stderr
        if form == "json":
            assert json.loads(done.stdout)[0]["code"] == "HEP101"


def test_matchers_that_double(tmp_path):
    """Thirty matchers, each of which uses the one before it twice, are a billion conditions."""
    matchers = ["m0 = { src_port = 5060 }"]
    matchers += [
        f'm{n} = {{ any = [{{ is = "m{n - 1}" }}, {{ is = "m{n - 1}" }}] }}' for n in range(1, 31)
    ]
    file = tmp_path / "hepsw.toml"
    file.write_text(
        '[[listen]]\nurl = "udp://127.0.0.1"\n[matchers]\n'
        + "\n".join(matchers)
        + '\n[[rules.main]]\nname = "x"\nmatch.is = "m30"\ndrop = "x"\n'
    )
    (found,) = load(file).problems.sorted()
    assert found.code == "HEP105"
    assert "10000 at most" in found.text


@pytest.mark.parametrize("written", ["[]", '["x"]', "{}", '{ env = "A" }'])
def test_a_sync_of_another_shape(tmp_path, written):
    """A list or a table where a word or a duration stands is refused, not tripped over."""
    text = (
        f'[destinations.d]\nurl = "udp://127.0.0.1:1"\nspool = {{ path = "x", sync = {written} }}\n'
    )
    assert [code for code, _ in found(tmp_path, BASE + text)][:1] == ["HEP106"]


@pytest.mark.parametrize("digits", ["0x" + "f" * 4000, "0o" + "7" * 9000, "0b" + "1" * 30000])
def test_a_number_without_end(tmp_path, digits):
    """An integer that Python refuses to print is no TOML, and its place is told."""
    assert [code for code, _ in found(tmp_path, f"[switch]\nx = {digits}\n")] == ["HEP101"]
