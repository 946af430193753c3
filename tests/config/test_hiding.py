"""What is secret in a configuration that is shown, and what is not."""

import tomllib

import pytest

from hepsw.config.diagnostics import render
from hepsw.config.hiding import hidden, masked
from hepsw.config.load import load
from hepsw.config.sources import read_sources

ENV = '{ env = "X" }'
SHOWN = [
    "listen = [{ auth_key = { env = 'X' } }]",
    "listen = [{ auth_key = [{ env = 'X' }, { file = 'key' }] }]",
    "destinations.a.auth_key = { file = 'key' }",
    "stores.a.url = { env = 'PG' }",
    "stores.a.url = 'postgres://user@host/db'",
    "stores.a.url = 'sqlite:///a@b'",
    "privacy.a.key = { env = 'X' }",
    "destinations.auth_key = 'udp://192.0.2.1'",
    "sets.auth_key = ['a']",
    "[[rules.auth_key]]\nname = 'auth_key'\nunset = 'auth_key'",
    "[[rules.main]]\nmatch.auth_key = { exists = true }",
    "[[rules.main]]\nmatch.auth_key = '@keys'",
    "[[rules.main]]\ncount.auth_key = { n = '{node_name}' }",
    "[[rules.main]]\nlog = 'udp://{src_ip}:{src_port} to {sip.to_user}@{sip.to_domain}'",
    "maps.a = { key = 'capture_id', entries = { 1 = 'a' } }",
    "maps.a.key = 'k'",
    "[reload]\nwatch = true",
]


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_no_secret_stays(text):
    """Where a secret is kept, and whatever else has the same name, is shown as it was written."""
    assert hidden(tomllib.loads(text)) == tomllib.loads(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("listen = [{ auth_key = 's3' }]", "listen = [{ auth_key = '***' }]"),
        ("listen = [{ auth_key = '@s3' }]", "listen = [{ auth_key = '***' }]"),
        (
            f"listen = [{{ auth_key = ['s3', {ENV}] }}]",
            f"listen = [{{ auth_key = ['***', {ENV}] }}]",
        ),
        ("destinations.a.auth_key = 's3'", "destinations.a.auth_key = '***'"),
        ("privacy.a.key = 's3'", "privacy.a.key = '***'"),
        (
            "stores.a.url = 'postgres://user:s3@host/db'",
            "stores.a.url = 'postgres://user:***@host/db'",
        ),
        (
            "stores.a.url = 'postgres://user:s3/@:@host/db'",
            "stores.a.url = 'postgres://user:***@host/db'",
        ),
        (
            "stores.a.url = 'postgres://host/db?user=a&password=s3&x=y'",
            "stores.a.url = 'postgres://host/db?user=a&password=***&x=y'",
        ),
        ("destinations.a = 'tcp://a:s3@host'", "destinations.a = 'tcp://a:***@host'"),
        ("destinations.a.url = ['tcp://:s3@host']", "destinations.a.url = ['tcp://:***@host']"),
        ("tables.t.doc = 'see https://a:s3@host'", "tables.t.doc = 'see https://a:***@host'"),
        ("matchers.m.auth_key = 's3'", "matchers.m.auth_key = '***'"),
        (
            "[[rules.t]]\nset.auth_key = 's3'\nmatch.not.auth_key = { prefix = 's3' }",
            "[[rules.t]]\nset.auth_key = '***'\nmatch.not.auth_key = { prefix = '***' }",
        ),
        ("[[rules.t]]\nmatch.auth_key = 5", "[[rules.t]]\nmatch.auth_key = '***'"),
        ("[[rules.t]]\nset.auth_key.hex = '73'", "[[rules.t]]\nset.auth_key = '***'"),
        (
            "[[rules.t]]\ntest = [{ given.auth_key = 's3' }]",
            "[[rules.t]]\ntest = [{ given.auth_key = '***' }]",
        ),
        (
            "sets = { k = ['s3', 5], x = ['a'] }\n[[rules.t]]\nmatch.auth_key = ['@k', 's3']",
            "sets = { k = ['***', '***'], x = ['a'] }\n[[rules.t]]\nmatch.auth_key = ['@k', '***']",
        ),
        (
            "maps.m = { key = 'auth_key', entries = { s3 = 'a', s4 = 'b' } }",
            "maps.m = { key = 'auth_key', entries = { '*** 1' = 'a', '*** 2' = 'b' } }",
        ),
    ],
)
def test_secrets_are_hidden(text, shown):
    """Of a secret that stands in the file nothing is shown."""
    assert hidden(tomllib.loads(text)) == tomllib.loads(shown)


def test_a_set_from_a_file_stays():
    """A set of keys in a file is not in the configuration: the name of the file is shown."""
    text = "sets.k = { file = 'keys', type = 'string' }\nmatchers.m.auth_key = '@k'"
    assert hidden(tomllib.loads(text)) == tomllib.loads(text)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('auth_key = "a=b"  # old', 'auth_key = "***"  # old'),
        ("auth_key = ['one', { env = 'X' }, 'two']", "auth_key = ['***', { env = 'X' }, '***']"),
        ('auth_key = "a\\tb"', "auth_key = ******"),
        ('entry = "main"', 'entry = "main"'),
        ('[maps.m]\nkey = "auth_key"\nentries = { k1 = "a" }', 'entries = { ** = "a" }'),
        ('[stores]\ns.url = "postgres://u:pw@h/d"', 's.url = "postgres://u:**@h/d"'),
        ('[privacy.p]\nkey = "é-key"', 'key = "*****"'),
    ],
)
def test_lines_that_are_shown_of_a_file(tmp_path, written, shown):
    """A line of a file has stars for its secrets, each character where it was."""
    file = tmp_path / "hepsw.toml"
    file.write_text(f'[[listen]]\nurl = "udp://127.0.0.1"\n{written}\n', encoding="utf-8")
    (text,) = masked(read_sources(file)).values()
    assert text.splitlines()[-1] == shown
    assert [len(line) for line in text.splitlines()] == [
        len(line) for line in file.read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('auth_key = "secret', 'auth_key = "******'),
        ("auth_key = secret", "auth_key = ******"),
        ('url = "postgres://u:pw@h/d', 'url = "postgres://****@h/d'),
        ('name = "x', 'name = "x'),
    ],
)
def test_a_line_that_is_no_toml(tmp_path, written, shown):
    """Where nothing can be read, whatever may be a secret in the line is starred."""
    file = tmp_path / "hepsw.toml"
    file.write_text(f"[[listen]]\n{written}\n")
    loaded = load(file)
    assert [problem.code for problem in loaded.problems.sorted()] == ["HEP101"]
    assert loaded.texts[str(file)].splitlines()[1] == shown


@pytest.mark.parametrize(
    "text",
    [
        '[stores.s]\nurl = ["postgres://u:PW@127.0.0.1/db"]',
        '[destinations]\nd = "udp://user:PW@127.0.0.1:9"',
        '[destinations]\nd = "udp://127.0.0.1:9?key=PW"',
        '[stores.s]\nurl = "u:PW@h/d"',
        '[stores.s]\nurl = { env = "postgres://u:PW@h/d" }',
        '[stores.s]\nurl = { env = "X", literal = "PW" }',
        '[[listen]]\nurl = "udp://127.0.0.2"\nauthkey = "PW"',
        '[[listen]]\nurl = "udp://127.0.0.2"\nauth_keey = "PW"',
        '[destinations]\nd = { url = "udp://127.0.0.1:9", password = "PW" }',
        '[stores.s]\nurl = "sqlite://x.db"\nDBPass = "PW"',
        '[privacy]\nkey = "PW"',
        '[privacy.p]\nKey = "PW"',
        '[privacy.p]\nkey = { env = "X", file = "PW" }',
        '[[rules.main]]\nname = "x"\nmatch.auth_key = { re = "PW(" }\ndrop = "x"',
    ],
)
def test_secrets_in_the_wrong_place(tmp_path, text):
    """A slip shows no secret: neither the message, nor the line, nor what is said of `run`."""
    from hepsw.net.machine import ThisMachine

    file = tmp_path / "hepsw.toml"
    file.write_text(f'{text}\n[log]\nlevel = "loud"\n')
    loaded = load(file, ThisMachine())
    shown = render(loaded.problems.sorted(), loaded.texts) + " ".join(loaded.not_run)
    assert "PW" not in shown
    assert loaded.problems.has_errors
