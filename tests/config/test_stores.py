"""Stores: every key means what it says, and goes with the stores that have a use for it."""

import dataclasses
import json
import os
import re

import pytest

from hepsw.concealed import Concealed
from hepsw.config import columns
from hepsw.config.configuration import Keep
from hepsw.config.diagnostics import render
from hepsw.config.load import load
from hepsw.config.models.outputs import MOST_ROWS, USED_BY
from hepsw.fields.profiles import PROFILES
from hepsw.hep import build, decode
from hepsw.sinks.stores import rows
from hepsw.sinks.stores.postgres import hepsw_layout, schema
from hepsw.sinks.stores.postgres.homer7 import Homer7
from hepsw.sinks.stores.postgres.homer7_row import JSONB
from hepsw.sinks.stores.profile import PROFILES as PROFILES_OF_SINKS
from hepsw.sinks.stores.store import Store
from hepsw.view import View

LISTEN = '[[listen]]\nurl = "udp://127.0.0.1:9060"\n'
URLS = {
    "postgres": "postgres://hepsw@127.0.0.1/homer",
    "sqlite": "sqlite://hep.db",
    "pcap": "pcap://calls-%Y%m%d.pcap",
    "jsonl": "jsonl://packets.jsonl",
}


class Here:
    """A machine that knows no name; what else it has is this one's."""

    def addresses(self, _):
        return []

    def is_own(self, address):
        return address.is_loopback


def judged(folder, text, machine=None):
    """Load a configuration with these blocks."""
    (folder / "hepsw.toml").write_text(LISTEN + text)
    return load(folder / "hepsw.toml", machine, running=True)


def store(folder, text, machine=None):
    """Return what the store `s` means."""
    loaded = judged(folder, text, machine)
    assert loaded.configuration is not None, render(loaded.problems.sorted(), loaded.texts)
    return loaded.configuration.stores["s"]


def findings(folder, text, machine=None):
    """Return what is found: code, text, hint."""
    return [
        (problem.code, problem.text, problem.hint)
        for problem in judged(folder, text, machine).problems.sorted()
    ]


# --- what keys mean ------------------------------------------------------------------------------


def test_defaults(tmp_path):
    """A url alone: everything is kept, in days and in hepsw's own tables."""
    found = store(tmp_path, f'[stores.s]\nurl = "{URLS["postgres"]}"')
    assert (found.scheme, found.layout, found.partition) == ("postgres", "hepsw", 86400.0)
    assert (found.keep, found.rotate, found.spool, found.columns) == (Keep(), None, None, ())
    assert found.letters == tmp_path / "state/deadletters/s.jsonl"


def test_a_database(tmp_path):
    """Layout, partition and spool; the url is read where there is a machine, and never shown."""
    text = f"""
[stores.s]
url = "{URLS["postgres"]}?sslmode=require"
layout = "homer7"
partition = "90s"
spool = {{ path = "spool/s", max = "1MiB" }}
"""
    found = store(tmp_path, text, Here())
    assert found.url == Concealed(f"{URLS['postgres']}?sslmode=require".encode())
    assert (found.layout, found.partition) == ("homer7", 90.0)
    assert (found.spool.path, found.spool.max) == (str(tmp_path / "spool/s"), 1 << 20)
    assert "127.0.0.1" not in repr(found)
    assert store(tmp_path, text).url is None


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('"14d"', Keep(seconds=14 * 86400.0)),
        ('"90m"', Keep(seconds=5400.0)),
        ('"20GiB"', Keep(octets=20 << 30)),
        (
            '{ call = "14d", default = "12h" }',
            Keep(profiles=(("call", 14 * 86400.0), ("default", 43200.0))),
        ),
    ],
)
def test_keep(tmp_path, written, kept):
    """A duration, a size, or durations by profile."""
    found = store(tmp_path, f'[stores.s]\nurl = "sqlite://x.db"\nkeep = {written}')
    assert found.keep == kept


def test_the_largest_batch(tmp_path):
    """As many rows as wait in memory, for a minute: within it the queue is never too short."""
    text = '[stores.s]\nurl = "sqlite://x.db"\nbatch = { rows = 8192, every = "1m" }'
    batch = store(tmp_path, text).batch
    assert (batch.rows, batch.every) == (Store.QUEUE_PACKETS, 60.0)
    assert MOST_ROWS == Store.QUEUE_PACKETS


def test_files_follow_each_other(tmp_path):
    """A pcap file is begun anew with each part of the time in its name, and by size."""
    text = '[stores.s]\nurl = "pcap://%Y/calls-%H.pcap.gz"\nrotate = "64MiB"\nkeep = "7d"'
    found = store(tmp_path, text, Here())
    assert (found.scheme, found.file) == ("pcap", tmp_path / "%Y/calls-%H.pcap.gz")
    assert (found.rotate, found.keep) == (64 << 20, Keep(seconds=7 * 86400.0))


def test_columns(tmp_path):
    """Columns are templates, in the order in which they were written."""
    text = '[stores.s]\nurl = "jsonl://x"\ncolumns = { zone = "z-{vlan}", Agent = "{node_name}" }'
    found = store(tmp_path, text)
    assert [(name, template.source) for name, template in found.columns] == [
        ("zone", "z-{vlan}"),
        ("Agent", "{node_name}"),
    ]


def test_columns_may_read_the_payload(tmp_path):
    """A store comes after the tables: what these promise not to read, its columns may."""
    text = """
[stores.s]
url = "sqlite://x.db"
columns = { agent = "{sip.user_agent|lower}" }
[tables.main]
parse = "never"
[[rules.main]]
name = "all"
store = "s"
"""
    assert len(store(tmp_path, text).columns) == 1


def test_state_starts_at_its_file(tmp_path):
    """`state_dir` is relative to the file that it stands in."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/switch.toml").write_text('[switch]\nstate_dir = "kept"\n')
    found = store(tmp_path, '[stores.s]\nurl = "sqlite://x.db"')
    assert found.letters == tmp_path / "rules/kept/deadletters/s.jsonl"


@pytest.mark.parametrize("made", [{"env": "HEPSW_TEST_PG"}, {"file": "pg.url"}])
def test_a_url_from_a_secret(tmp_path, monkeypatch, made):
    """The url of a database stands in the environment, or in a file."""
    url = "postgresql://u:hunter2@h1:5432,h2/db?sslmode=verify-full"
    monkeypatch.setenv("HEPSW_TEST_PG", url)
    (tmp_path / "pg.url").write_text(f"{url}\n")
    (tmp_path / "pg.url").chmod(0o600)
    written = ", ".join(f"{key} = {json.dumps(value)}" for key, value in made.items())
    found = store(tmp_path, f"[stores.s]\nurl = {{ {written} }}", Here())
    assert (found.scheme, found.url) == ("postgres", Concealed(url.encode()))


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("sqlite://hunter2.db", 'not a url such as "postgres://user@host/database"'),
        ("hunter2", 'not a url such as "postgres://user@host/database"'),
        ("postgres://u:hunter2@/db", "no host in the url of a database"),
        ("postgres://u:hunter2@h:70000/db", "no port from 1 to 65535 in the url of a database"),
        ("postgres://u:hun#ter2@h/db", "`#` in the url of a database: in a password it is"),
        ("postgres://u:p@h/db#hunter2", "`#` in the url of a database: in a password it is"),
        ("postgres://u:hun ter2@h/db", "a blank or a control character in the url of a database"),
        ("postgres://[hunter2/db", "no host in the url of a database"),
        ("postgres://u:hunter2/3@h/db", "no host in the url of a database"),
        (b"postgres://u:hunter2\xff@h/db", "it is not UTF-8"),
    ],
)
def test_a_secret_that_is_no_url(tmp_path, monkeypatch, secret, why):
    """It is refused, and nothing of it is shown."""
    octets = secret if isinstance(secret, bytes) else secret.encode()
    monkeypatch.setitem(os.environb, b"HEPSW_TEST_PG", octets)
    loaded = judged(tmp_path, '[stores.s]\nurl = { env = "HEPSW_TEST_PG" }', Here())
    (problem,) = loaded.problems.sorted()
    assert problem.code == "HEP106"
    assert problem.text.startswith(f"the secret is no url of a database: {why}")
    shown = render([problem], loaded.texts)
    assert "hunter2" not in shown
    assert "ter2" not in shown


def test_a_password_in_the_file(tmp_path):
    """A password that is written out is a warning, in the url's query as well."""
    for url in ("postgres://u:s3@h/db", "postgres://u@h/db?password=s3"):
        found = findings(tmp_path, f'[stores.s]\nurl = "{url}"')
        assert [code for code, *_ in found] == ["HEP405"]
    for url in ("postgres://u@h/db", "postgres:///db?host=/run/postgresql"):
        assert findings(tmp_path, f'[stores.s]\nurl = "{url}"') == []


# --- what does not go together -------------------------------------------------------------------

WRITTEN = {
    "layout": 'layout = "hepsw"',
    "partition": 'partition = "1d"',
    "rotate": 'rotate = "1MiB"',
    "columns": 'columns = { a = "{vlan}" }',
    "a duration for each profile": 'keep = { call = "1d" }',
}


@pytest.mark.parametrize("key", USED_BY)
@pytest.mark.parametrize("scheme", URLS)
def test_keys_and_schemes(tmp_path, key, scheme):
    """A key that a store has no use for is refused, even with its default; the others pass."""
    text = f'[stores.s]\nurl = "{URLS[scheme]}"\n{WRITTEN[key]}'
    found = findings(tmp_path, text)
    if scheme in USED_BY[key]:
        assert found == []
        return
    ((code, said, hint),) = found
    assert code == "HEP106"
    assert said.endswith(f"does not go with `{scheme}://`")
    assert all(f"{user}://" in hint for user in USED_BY[key])


def test_keys_that_go_with_every_store(tmp_path):
    """Spool, batch, and how much is kept."""
    for url in URLS.values():
        text = f'[stores.s]\nurl = "{url}"\nkeep = "1GiB"\nspool.path = "x"\nbatch.every = "2s"'
        assert findings(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "code", "said", "hint"),
    [
        (
            'url = "sqlite://hep-%Y.db"',
            "HEP106",
            "`sqlite://` keeps all in one file: its name has no parts of the time",
            "take the % out; `keep` removes what is old",
        ),
        (
            'url = "sqlite://x"\nkeep = { cal = "1d" }',
            "HEP104",
            "unknown profile `cal`",
            "did you mean `call`?",
        ),
        (
            'url = "sqlite://x"\nkeep = { zzzzzz = "1d" }',
            "HEP104",
            "unknown profile `zzzzzz`",
            f"profiles: {' '.join(PROFILES)}",
        ),
        ('url = "sqlite://x"\nkeep = "0s"', "HEP106", "keeps nothing: '0s'", None),
        ('url = "sqlite://x"\nkeep = "0B"', "HEP106", "keeps nothing: '0B'", None),
        (
            'url = "pcap://x"\nrotate = "1KiB"',
            "HEP106",
            "a file has at least 64KiB before another is begun: '1KiB'",
            None,
        ),
        (
            f'url = "{URLS["postgres"]}"\npartition = "59s"',
            "HEP106",
            "`partition` must be at least 1m",
            None,
        ),
        (
            'url = "sqlite://x"\nbatch.rows = 8193',
            "HEP106",
            "`rows` must be at most 8192",
            "so many packets wait in memory for a store: a larger batch is never met",
        ),
        ('url = "sqlite://x"\nbatch.rows = 0', "HEP106", "`rows` must be more than 0", None),
        (
            'url = "sqlite://x"\nbatch.every = "61s"',
            "HEP106",
            "`every` must be at most 1m",
            "what waits for others is in memory alone: a crash loses it",
        ),
        ('url = "sqlite://x"\nbatch.every = "0s"', "HEP106", "`every` must be more than 0", None),
        (
            'url = "sqlite://x"\ncolumns = { "a b" = "x" }',
            "HEP106",
            "`a b` cannot name a column",
            "letters, digits and _, at most 63 of them, no digit first",
        ),
        (
            'url = "sqlite://x"\ncolumns = { Src_IP = "x" }',
            "HEP102",
            "`Src_IP` is a column already",
            "give it another name",
        ),
        (
            'url = "sqlite://x"\ncolumns = { a = "x", A = "y" }',
            "HEP102",
            "`A` and `a` are one column to a database",
            None,
        ),
        (
            'url = "sqlite://x"\ncolumns = { a = "{auth_key}" }',
            "HEP403",
            "`auth_key` is a secret and is never printed",
            None,
        ),
        (
            'url = "sqlite://x"\ncolumns = { a = "{sip.metod}" }',
            "HEP110",
            "template: unknown field `sip.metod`",
            "did you mean `sip.method`?",
        ),
    ],
)
def test_mistakes(tmp_path, text, code, said, hint):
    """Each is one error, with its cure."""
    assert findings(tmp_path, f"[stores.s]\n{text}") == [(code, said, hint)]


def test_too_many_columns(tmp_path):
    """There are at most 64."""
    for number, found in ((64, []), (65, [("HEP106", "more than 64 columns", None)])):
        written = ", ".join(f'c{at} = "x"' for at in range(number))
        text = f'[stores.s]\nurl = "sqlite://x"\ncolumns = {{ {written} }}'
        assert findings(tmp_path, text) == found


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".", "..", "", "a\\u0000b", "-x", ".x", "x" * 101, "a b", "a\\nb"]
)
def test_names_stay_in_their_folder(tmp_path, name):
    """A store's name becomes that of a file: what could lead elsewhere is refused."""
    ((code, _, hint),) = findings(tmp_path, f'[stores."{name}"]\nurl = "sqlite://x"')
    assert code == "HEP106"
    assert hint.startswith("letters, digits and _ . -")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite://x", "sqlite://y/../x"),
        ("pcap://a-%Y.pcap", "pcap://./a-%Y.pcap"),
        ("jsonl://x", "sqlite://x"),
    ],
)
def test_one_file_of_two(tmp_path, one, other):
    """Two stores never write to one file, nor to files of one template."""
    text = f'[stores.a]\nurl = "{one}"\n[stores.b]\nurl = "{other}"'
    ((code, said, hint),) = findings(tmp_path, text)
    assert (code, hint) == ("HEP102", "`a` is the other")
    assert said.startswith("two stores write to ")


def test_two_stores_in_one_database(tmp_path):
    """A database may have many writers."""
    text = "".join(f'[stores.{name}]\nurl = "{URLS["postgres"]}"\n' for name in "ab")
    assert findings(tmp_path, text) == []


# --- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[stores.s]\nurl = "sqlite://taken/x.db"', ("stores", "s", "url")),
        ('[stores.s]\nurl = "pcap://taken/%Y/x.pcap"', ("stores", "s", "url")),
        (
            '[switch]\nstate_dir = "kept"\n[stores.s]\nurl = "sqlite://x.db"',
            ("switch", "state_dir"),
        ),
    ],
)
def test_a_folder_that_is_none(tmp_path, text, place):
    """A store whose folder cannot be made starts all the same: that is a warning."""
    (tmp_path / "taken").write_text("")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/deadletters").write_text("")
    loaded = judged(tmp_path, text, Here())
    (problem,) = loaded.problems.sorted()
    assert (problem.code, problem.span) == ("HEP220", loaded.sources.where(place)[1])
    assert loaded.configuration is not None
    assert findings(tmp_path, text) == []


def test_state_in_a_file(tmp_path):
    """Where state can have no folder, stores cannot run, and what keeps no state can."""
    (tmp_path / "state").write_text("")
    ((code, said, _),) = findings(tmp_path, '[stores.s]\nurl = "sqlite://x.db"', Here())
    assert (code, said) == ("HEP106", "cannot keep state in state: state is no folder")
    assert findings(tmp_path, '[destinations]\na = "udp://192.0.2.1"', Here()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ours(tmp_path):
    """A folder without the right to write in it is a warning, of a spool as well."""
    (tmp_path / "closed").mkdir(mode=0o500)
    text = '[stores.s]\nurl = "sqlite://closed/x.db"\nspool.path = "closed/spool"'
    found = findings(tmp_path, text, Here())
    assert [code for code, *_ in found] == ["HEP220", "HEP220"]


# --- a reload ------------------------------------------------------------------------------------


def test_what_is_written_again_is_the_same(tmp_path, monkeypatch):
    """A reload compares stores by what they mean: templates and secrets among it."""
    monkeypatch.setenv("HEPSW_TEST_PG", URLS["postgres"])
    text = """
[stores.s]
url = { env = "HEPSW_TEST_PG" }
keep = { call = "1d" }
spool = { path = "x" }
columns = { a = "{map.m|lower}-{vlan}" }
[sets]
others = ["a"]
[maps.m]
key = "vlan"
entries = { 5 = "five" }
[[rules.main]]
name = "r"
match.node_name = "@others"
store = "s"
"""
    first = store(tmp_path, text, Here())
    assert store(tmp_path, text, Here()) == first
    changes = [
        ("{vlan}", "{tos}"),
        ("five", "V"),
        ("1d", "2d"),
        ('"x"', '"y"'),
        ("a = ", "b = "),
    ]
    for before, after in changes:
        assert store(tmp_path, text.replace(before, after), Here()) != first
    monkeypatch.setenv("HEPSW_TEST_PG", f"{URLS['postgres']}2")
    assert store(tmp_path, text, Here()) != first


def test_every_setting_is_compared(tmp_path):
    """Only templates are not: what they mean is compared in their place."""
    found = store(tmp_path, '[stores.s]\nurl = "sqlite://x"')
    left_out = {field.name for field in dataclasses.fields(found) if not field.compare}
    assert left_out == {"columns"}


# --- one vocabulary ------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [{*rows.COLUMNS, *rows.COMPUTED}, {*hepsw_layout.columns_of(())}])
def test_columns_of_stores_are_taken(names):
    """Whatever stores make of a packet has a name that no further column may have."""
    assert {name for name in names if not columns.is_taken(name, "hepsw")} == set()
    assert all(columns.is_column_name(name) for name in names)


@pytest.mark.parametrize("name", ["id", *Homer7.columns])
def test_columns_of_homer_are_taken(tmp_path, name):
    """Every column of HOMER's tables; an error at the name, in any case, with its cure."""
    assert any(re.search(rf"\b{name} [a-z]", made) for made in schema.homer7_statements())
    for written in (name, name.upper()):
        text = f'[stores.s]\nurl = "{URLS["postgres"]}"\nlayout = "homer7"\n'
        loaded = judged(tmp_path, f'{text}columns = {{ {written} = "x" }}')
        (problem,) = loaded.problems.sorted()
        said = ("HEP102", f"`{written}` is a column already", "give it another name")
        assert (problem.code, problem.text, problem.hint) == said
        place = loaded.sources.where(("stores", "s", "columns", written), key=True)
        assert (problem.file, problem.span) == place


@pytest.mark.parametrize(
    ("proto_type", "payload"),
    [
        (1, b"INVITE sip:a@b SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n"),
        (54, b'{"cic": 1, "opc": 2, "dpc": 3, "msg_name": "IAM"}'),
        (100, b'{"event": "a", "method": "b"}'),
    ],
)
def test_keys_of_homer_are_taken(tmp_path, peer, proto_type, payload):
    """What homer-app looks for in `data_header` is not written over; other names are free."""
    text = f'[stores.s]\nurl = "{URLS["postgres"]}"\nlayout = "homer7"\ncolumns = {{ zone = "x" }}'
    layout = Homer7(store(tmp_path, text))
    view = View(decode(build(proto_type=proto_type, payload=payload).data), peer, 0)
    row = layout.row(view, 0, "", set())
    header = json.loads(row[layout.columns.index("data_header")].removeprefix(JSONB))
    assert header.pop("zone") == "x"
    assert {name for name in header if not columns.is_taken(name, "homer7")} == set()


def test_a_name_is_taken_where_it_is(tmp_path):
    """`user_agent` is a key of HOMER, and no column anywhere else."""
    free = '[stores.s]\nurl = "sqlite://x"\ncolumns = { user_agent = "{sip.user_agent}" }'
    assert findings(tmp_path, free) == []
    taken = free.replace("sqlite://x", URLS["postgres"]) + '\nlayout = "homer7"'
    assert [code for code, *_ in findings(tmp_path, taken)] == ["HEP102"]


def test_profiles_have_one_list():
    """The configuration knows the profiles that stores tell packets by."""
    assert PROFILES_OF_SINKS is PROFILES
