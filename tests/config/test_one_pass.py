"""Every mistake of a configuration is told in one pass: none hides another or makes one up."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepsw.config.load import load

LISTEN = '[[listen]]\nurl = "udp://127.0.0.1:9060"\n'

RULE = '[[rules.main]]\nname = "r"\n'

SOUND = {
    "[stores.s]": {"url": '"postgres://u@h/db"'},
    "[destinations.d]": {"url": '"tls://192.0.2.1"'},
    "[[listen]]": {"url": '"tls://127.0.0.1"', "tls": '{ cert = "c.pem", key = "k.pem" }'},
    "[privacy.p]": {"users": '"mask"'},
    "[tables.main]": {"doc": '"x"'},
    "[[rules.main]]": {"name": '"r"', "store": '"kept"'},
    "[[tests]]": {"given": "{ src_port = 1 }", "expect": "{ missed = false }"},
    "[switch]": {},
}
"""Blocks without a mistake, by their heads."""

MISTAKES = {
    "[stores.s]": {
        "url": ('"postgres://"', '"postgres://u@h:70000/db"', '{ evn = "X" }'),
        "layout": ('"homer"', "7"),
        "partition": ('"1s"', '"soon"'),
        "keep": ('"0s"', '{ cal = "1d" }', '{ call = "soon", other = "1d" }'),
        "rotate": ('"1MiB"', '"1KiB"'),
        "batch": ("{ rows = 0 }", "{ row = 1 }", '{ rows = 9000, every = "2m" }'),
        "spool": ("{ max = 5 }", '{ paht = "x" }', '{ path = "x", max = "0B", foo = 1 }'),
        "columns": ('{ "a b" = "x" }', '{ a = "{sip.metod}", b = 5, c = "x", C = "x" }'),
        "nonsense": ("1",),
    },
    "[destinations.d]": {
        "url": ('"tls://"', '["tls://192.0.2.1", 5]', '["tls://192.0.2.1:0"]'),
        "policy": ('"hsah"',),
        "key": ('"sip.cal_id"', "5"),
        "hep": ("1", "7"),  # over TLS
        "tls": ('{ cert = "x" }', '{ cert = "x", cert_key = "y" }', "{ ca = 5 }"),
        "bind": ('"nowhere"', '"224.0.0.1"'),
        "privacy": ('"q"', "5"),
        "set": ("{ vlan = 70000 }", '{ vlan = 1, tos = "{x}" }'),
        "unset": ('"vlna"', "5"),
        "queue": ("{ packets = 0 }", '{ packets = 1, bytes = "1", foo = 2 }'),
        "spool": ("{}", '{ path = "x", sync = "soon" }'),
        "oversize": ('"d"', '"e"'),
        "nonsense": ("1",),
        "timeuot": ('"5s"',),
    },
    "[[listen]]": {
        "url": ('"tls://"', "5", None),
        "name": ('""', "5"),
        "entry": ('"mian"', "5"),
        "from": ('"10.0.0.300"', '"@nobody"', "5"),
        "auth_key": ("5", '{ evn = "X" }'),
        "versions": ("[4]", "[]"),
        "tls": (
            '{ cert = "c.pem" }',
            '{ cert = "c.pem", key = "k.pem", names = "x" }',
            '{ cert = "c.pem", key = 5 }',
        ),
        "max_packet": ("1",),
        "receive_buffer": ('"1B"',),
        "nonsense": ("1",),
    },
    "[privacy.p]": {
        "users": ('"hsah"', '"hash"'),
        "ips": ("{ v4 = 33, v6 = 129 }", "{ v5 = 1 }"),
        "headers": ("{}", "{ drop = 5, x = 1 }"),
        "sdp": ('"x"',),
        "nonsense": ("1",),
    },
    "[tables.main]": {
        "parse": ('"nevr"',),
        "miss": ('"dorp"', '{ relay = "nobody", store = "nothing" }', '{ relay = "x", foo = 1 }'),
        "nonsense": ("1",),
    },
    "[[rules.main]]": {
        "name": ('"a b"', None),
        "match": ('{ src_ip = "10.0.0.300" }', '{ "sip.metod" = "BYE" }'),
        "sample": ('"5"', '{ by = "nothing" }', '{ keep = "1", by = "nothing", x = 1 }'),
        "limit": ('{ rate = "200", per = "nothing", over = "x" }', '{ per = "nothing" }'),
        "log": ('"{nothing}"', '{ level = "loud" }', '{ level = "loud", text = "{nothing}" }'),
        "set": ("{ vlan = 70000 }",),
        "relay": ('"nobody"', "5"),
        "trace": ('"nobody"',),
        "count": ('{ c = { l = "{nothing}" }, D = { l = "x" } }',),
        "drop": ('""',),
        "test": (
            '[{ given = { size = 1 } }, { expect = { rule = "q" } }]',
            '[{ given = { size = 1 }, expect = { rule = "q" }, foo = 1 }]',
            "5",
        ),
        "nonsense": ("1",),
    },
    "[[tests]]": {
        "name": ("5",),
        "given": ("{ size = 1 }",),
        "expect": ("5", '{ rule = "q" }', None),
        "nonsense": ("1",),
    },
    "[switch]": {
        "state_dir": ('""', "5"),
        "dialog_ttl": ('"0s"',),
        "memory": ('"1KiB"', "5"),
        "loop_guard": ("1",),
        "nonsense": ("1",),
    },
}
"""What may be wrong in a block, key by key; None: the key is missing. No two of different keys are
one mistake."""


def written(head, wrong):
    """Return a whole configuration of which one block has these values."""
    keys = {**SOUND[head], **wrong}
    block = "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None)
    rest = "" if head == "[[listen]]" else LISTEN
    kept = '[stores.kept]\nurl = "sqlite://kept.db"\n'
    rule = "" if head == "[[rules.main]]" else '[[rules.main]]\nname = "all"\nstore = "kept"\n'
    return f"{rest}{kept}{head}\n{block}{rule}"


def errors(folder, text):
    """Return what is wrong: code and text, without the places, which move; warnings left out.

    Some warnings are for configurations without errors alone.
    """
    (folder / "hepsw.toml").write_text(text)
    loaded = load(folder / "hepsw.toml")
    return sorted(
        (problem.code, problem.text)
        for problem in loaded.problems.sorted()
        if problem.severity.value == "error"
    )


def choices(head):
    """Return a strategy: for some keys of a block something wrong."""
    keys = MISTAKES[head]
    return st.fixed_dictionaries(
        {}, optional={key: st.sampled_from(values) for key, values in keys.items()}
    )


@pytest.mark.parametrize("head", SOUND)
def test_sound_blocks_are(tmp_path, head):
    """The blocks that the others are made of have no mistake."""
    assert errors(tmp_path, written(head, {})) == []


@pytest.mark.parametrize(
    ("head", "key", "value"),
    [
        (head, key, value)
        for head, keys in MISTAKES.items()
        for key, values in keys.items()
        for value in values
    ],
)
def test_each_is_a_mistake(tmp_path, head, key, value):
    """What is planted is found."""
    assert errors(tmp_path, written(head, {key: value})) != []


@pytest.mark.parametrize("head", SOUND)
def test_mistakes_together_are_what_they_are_alone(tmp_path, head):
    """However many keys of a block are wrong, each is told as if it stood alone."""
    alone = {
        (key, value): errors(tmp_path, written(head, {key: value}))
        for key, values in MISTAKES[head].items()
        for value in values
    }

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(choices(head))
    def together(wrong):
        expected = sorted(each for chosen in wrong.items() for each in alone[chosen])
        assert errors(tmp_path, written(head, wrong)) == expected

    together()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            '[stores.s]\nurl = "pcap://a-%Q"\nlayout = "hepsw"\nkeep = { call = "1d" }',
            [
                "`%Q` is no part of the time: %Y %m %d %H %M %S",
                "`layout` does not go with `pcap://`",
                "a duration for each profile does not go with `pcap://`",
            ],
        ),
        ('[stores.s]\nurl = "mysql://h/db"\nlayout = "homer7"\nrotate = "1MiB"', ["cannot store"]),
        ('[stores.s]\nlayout = "homer7"\nrotate = "1MiB"', ["`url` is missing in `stores.s`"]),
        ('[stores.s]\nfoo = 1\nlayout = "hepsw"', ["`url` is missing", "unknown key `foo`"]),
        ('[stores.s]\nulr = "pcap://x"\nlayout = "hepsw"', ["unknown key `ulr`"]),
        ('[stores.s]\naddress = "pcap://x"', ["unknown key `address`"]),
        ("[stores.s]\nspool = { foo = 1 }", ["`path` is missing", "`url` is missing", "`foo`"]),
        ('[stores.s]\nspool = { paht = "x" }', ["`url` is missing", "unknown key `paht`"]),
        (
            '[stores.s]\nurl = "postgres://h/x"\nlayout = "homer"\ncolumns = { src_ip = "x" }',
            ["'homer' is not one of homer7, hepsw"],
        ),
        ("[destinations]\nd = { url = [], hep = 1, tls = {} }", ["`url` is empty"]),
        ('[destinations.d]\nbind = "192.0.2.1"\ntls = {}', ["`url` is missing"]),
        ('[privacy.p]\nkye = { env = "X" }', ["unknown key `kye`"]),
        ('[privacy.p]\nusers = "hsah"', ["'hsah' is not one of"]),
        ("[maps.m]\nfoo = 1", ["`key` and `entries` are missing in `maps.m`", "unknown key `foo`"]),
        ('[maps.m]\nkey = "vlan"\nentry = { 1 = "a" }', ["unknown key `entry`"]),
        ('[[tests]]\nname = "x"', ["`given` and `expect` are missing in `tests`"]),
        (
            '[geo]\ncity = 5\n[[rules.main]]\nname = "r"\nmatch.geo.src.country = "DE"',
            ["`city` wants a text"],
        ),
        (
            f'[maps.m]\nkey = "vlan"\nentries = {{ 1 = 5.5 }}\n{RULE}match.map.m = {{ ge = 5 }}',
            ["a map gives texts"],
        ),
        (
            f'[chunks.c]\nvendor = 5\nid = 70000\ntype = "uint8"\n{RULE}match.c = 5\nset.c = 5',
            ["`id` must be at most 65535"],
        ),
        (
            '[[rules.main]]\nname = "r"\nfoo = 1\n[[rules.main]]\nname = "r"\nbar = 1',
            ["unknown key `bar`", "unknown key `foo`", "two rules of table `main` are called `r`"],
        ),
    ],
)
def test_what_hides_and_what_follows(tmp_path, text, found):
    """A mistake that hangs on another is told where it is one in any case, and else it is not."""
    told = [text for _, text in errors(tmp_path, LISTEN + text)]
    assert len(told) == len(found), told
    assert all(any(each in one for one in told) for each in found), told


def test_a_thousand_mistakes_are_told_soon(tmp_path):
    """Of a block with many mistakes not each costs a reading of the whole."""
    entries = "".join(f'"{number}" = {{}}\n' for number in range(2000))
    told = errors(tmp_path, f'{LISTEN}[maps.m]\nkey = "vlan"\n[maps.m.entries]\n{entries}')
    assert len(told) == 2000
