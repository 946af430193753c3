"""What destinations mean: names resolved, files absolute, secrets read and shown to nobody."""

import pickle

import pytest
from certificates import certificates

from hepsw.concealed import Concealed
from hepsw.config.load import load
from hepsw.fields import CATALOGUE

LISTEN = '[[listen]]\nurl = "udp://127.0.0.1:9060"\n'
WHOLE = """
[destinations.a]
url = ["tls://192.0.2.1", "tls://192.0.2.2:9999"]
policy = "hash"
key = "correlation_id"
hep = 3
tls = { ca = "ca.pem", name = "core" }
bind = "192.0.2.9"
compress = "payload"
privacy = "p"
set.node_name = "{node_name|upper}"
unset = "vlan"
auth_key = { file = "key" }
spool = { path = "spool" }
oversize = "b"

[destinations]
b = { url = "tcp://192.0.2.3", privacy = "p" }

[privacy.p]
key = { env = "HEPSW_TEST_KEY" }
ips.v4 = 24
headers.drop = ["Authorization"]
"""


class Machine:
    """A machine that knows no name."""

    def addresses(self, _):
        return []

    def is_own(self, _):
        return False


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPSW_TEST_KEY", "s3cr3t-one")
    (tmp_path / "key").write_bytes(b"s3cr3t-two\r\n")
    (tmp_path / "key").chmod(0o600)
    certificates(tmp_path)  # with `ca.pem`
    return tmp_path


def destinations(folder, text=WHOLE, machine=None):
    (folder / "hepsw.toml").write_text(LISTEN + text)
    loaded = load(folder / "hepsw.toml", machine or Machine(), running=True)
    assert [(each.code, each.text) for each in loaded.problems.sorted()] == []
    return loaded.configuration.destinations


def test_all_is_resolved(folder):
    """Every setting is what it means, none of it left to look up."""
    made = destinations(folder)["a"]
    assert made.name == "a"
    assert [str(url) for url in made.urls] == ["tls://192.0.2.1:9061", "tls://192.0.2.2:9999"]
    assert made.url == made.urls[0]
    assert made.key == CATALOGUE["correlation_id"]
    assert (made.tls.ca, made.tls.cert, made.tls.key) == (folder / "ca.pem", None, None)
    assert made.spool.path == str(folder / "spool")
    assert made.auth_key.reveal() == b"s3cr3t-two"
    assert made.privacy.key.reveal() == b"s3cr3t-one"
    assert (made.privacy.v4, made.privacy.v6) == (24, 128)
    assert made.privacy.drop_headers == {"authorization"}
    assert [edit.field.name for edit in made.edits] == ["node_name", "vlan"]


def test_secrets_are_not_shown(folder):
    """Whoever prints the settings, or writes them away, gets nothing of a secret."""
    made = destinations(folder)["a"]
    assert "s3cr3t" not in f"{made} {made!r} {made.auth_key}"
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(made.auth_key)
    assert made.auth_key == Concealed(b"s3cr3t-two") != Concealed(b"s3cr3t-one")
    assert made.auth_key != b"s3cr3t-two"


def test_offline_reads_no_secret(folder):
    """Offline a secret is absent, even one that is written out."""
    (folder / "hepsw.toml").write_text(
        LISTEN + WHOLE + '\n[destinations.c]\nurl = "udp://192.0.2.4"\nauth_key = "x"\n'
    )
    made = load(folder / "hepsw.toml").configuration.destinations
    assert made["a"].auth_key is made["a"].privacy.key is made["c"].auth_key is None
    assert made["a"].tls.digest == ""


def test_the_same_again_is_equal(folder):
    """A reload of the same files finds every destination as it was, templates included."""
    assert destinations(folder) == destinations(folder)


MAPPED = """
[destinations.a]
url = "udp://192.0.2.1"
set.node_name = "{map.m}"
[maps.m]
key = "capture_id"
entries = { 1 = "x" }
"""


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        (WHOLE, "node_name|upper", "node_name|lower"),
        (WHOLE, 'key = "correlation_id"', 'key = "call"'),
        (MAPPED, '"x"', '"y"'),
    ],
)
def test_another_meaning_is_a_change(folder, text, before, after):
    """A reload sees what is written differently, and what it stands for elsewhere."""
    assert destinations(folder, text)["a"] != destinations(folder, text.replace(before, after))["a"]


@pytest.mark.parametrize(("name", "other"), [("ca.pem", "client.pem"), ("key", "client.key")])
def test_a_renewed_file_is_a_change(folder, name, other):
    """Certificates and secrets that are renewed under their old name are seen."""
    before = destinations(folder)
    (folder / name).write_bytes((folder / other).read_bytes())
    after = destinations(folder)
    assert before["a"] != after["a"]
    assert before["b"] == after["b"]


@pytest.mark.parametrize(
    "keys",
    [
        'url = "sip://192.0.2.1"\nhep = 3',
        'url = "sip://192.0.2.1"\nauth_key = { env = "HEPSW_TEST_KEY" }',
        'url = "sip://192.0.2.1"\ncompress = "payload"',
        'url = "tls://192.0.2.1"\nhep = 1',
        'url = "tcp://192.0.2.1"\nhep = 2',
        'url = "udp://192.0.2.1"\nhep = 2\nauth_key = { env = "HEPSW_TEST_KEY" }',
        'url = ["udp://192.0.2.1", "sip://192.0.2.2"]',
        'url = "udp://192.0.2.1"\ntls = { name = "x" }',
        'url = "udp://192.0.2.1"\nbind = "nowhere"',
        'url = "udp://192.0.2.1"\nbind = "224.0.0.1"',
        'url = "udp://192.0.2.1"\noversize = "a"',
    ],
)
def test_keys_that_could_not_work(folder, keys):
    """What could never do what it says is an error, and one."""
    (folder / "hepsw.toml").write_text(f"{LISTEN}[destinations.a]\n{keys}\n")
    problems = load(folder / "hepsw.toml", Machine()).problems.sorted()
    assert [problem.code for problem in problems] == ["HEP106"]


def test_a_loop_over_tls(tmp_path):
    """A second url that is an own TLS listener is seen, at its place."""
    (tmp_path / "hepsw.toml").write_text(
        '[[listen]]\nurl = "tls://127.0.0.1"\ntls = { cert = "c.pem", key = "k.key" }\n'
        '[destinations]\na = { url = ["tls://192.0.2.1", "tls://127.0.0.1"] }\n'
    )
    (problem,) = load(tmp_path / "hepsw.toml").problems.sorted()
    assert (problem.code, problem.span.line, problem.span.column) == ("HEP401", 5, 33)


def test_oversize_past_a_privacy_profile(folder):
    """What is hidden from one must not leave through another because somebody made it large."""
    text = """
[destinations]
a = { url = "udp://192.0.2.1", privacy = "p", oversize = "b" }
b = { url = "tcp://192.0.2.2"%s }
[privacy.p]
users = "mask"
"""
    (folder / "hepsw.toml").write_text(LISTEN + text % "")
    loaded = load(folder / "hepsw.toml", Machine(), running=True)
    assert [(each.code, each.text) for each in loaded.problems.sorted()] == [
        ("HEP106", "what is too big would leave without the privacy profile `p`")
    ]
    destinations(folder, text % ', privacy = "p"')
