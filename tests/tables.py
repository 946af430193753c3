"""Configurations made in a test, and hypothesis strategies for tables and packets.

Three or four values a field, so that rules overlap and packets hit them.
"""

import tempfile
from functools import cache
from pathlib import Path
from unittest.mock import patch

import tomli_w
from hypothesis import strategies as st

from hepsw.compiler import compile_program, grow
from hepsw.config.load import load
from hepsw.fields import CATALOGUE
from hepsw.hep import build, decode, encode_v1, encode_v2

LISTEN = {"listen": [{"name": "in", "url": "udp://127.0.0.1:9060"}]}


def configured(folder: Path, document: dict):
    """Load a document from a file and return the configuration; mistakes fail the test."""
    file = folder / "hepsw.toml"
    file.write_text(tomli_w.dumps({**LISTEN, **document}))
    loaded = load(file)
    errors = [(found.text, found.span) for found in loaded.problems.errors]
    assert not errors, f"{errors}\n{file.read_text()}"
    return loaded.configuration


def compiled(folder: Path, document: dict):
    """Return the program of a document."""
    return compile_program(configured(folder, document))


@cache
def folder():
    """One folder for all documents of a run, removed with the last of them."""
    return tempfile.TemporaryDirectory()


def program(document: dict):
    """Return the program of a document, where no test needs its folder."""
    return compiled(Path(folder().name), document)


def splitting_everything():
    """Make look-ups cost nearly nothing, so that a table of a test becomes a deep tree."""
    return patch.multiple(grow, INDEX_COST=0.1, SMALL=1, COPIED=3, OWN_NODE=2)


ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "2001:db8::1", "2001:db8:1::1"]
NETWORKS = [
    "10.0.0.0/24",
    "10.0.0.0/8",
    "10.0.0.2/32",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "0.0.0.0/0",
]
PORTS = [0, 5060, 5061, 65535]
RANGES = ["5060-5061", "5061-", "0-5060", "5060-5060"]
TYPES = [0, 1, 5, 100]
TYPE_WORDS = ["SIP", "rtcp", "Log", 34]
IDS = [0, 7, 2001, 4294967295]
NAMES = ["pbx", "pbx7", "sbc", "", "*72", "ñ"]
PAYLOADS = [b"INVITE sip:a?b", b"OPTIONS sip:+34600", b"", b"\xff\x00*72", b'{"a":1}']

NUMBER_FIELDS = {
    "src_port": PORTS,
    "dst_port": PORTS,
    "port": PORTS,
    "capture_id": IDS,
    "vlan": [0, 5, 4095],
    "ip_family": [2, 10],
    "ip_protocol": [6, 17, 22],
    "hep_version": [1, 2, 3],
    "payload_size": [0, 7, 14, 18],
    "peer_port": [40000, 5060],
}
ADDRESS_FIELDS = ["src_ip", "dst_ip", "ip", "peer_ip"]
TEXT_FIELDS = ["node_name", "correlation_id"]


def listed(strategy):
    """A value, or a list of some."""
    return strategy | st.lists(strategy, min_size=1, max_size=3)


def operators(plain, more, literal=None):
    """A table of operators: `plain` stands after `not` and `in`, `literal` after `eq`."""
    return (
        st.fixed_dictionaries({"not": listed(plain)})
        | st.fixed_dictionaries({"in": st.lists(plain, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"eq": plain if literal is None else literal})
        | st.fixed_dictionaries({"exists": st.booleans()})
        | st.fixed_dictionaries({"not": more})
        | st.fixed_dictionaries(
            {}, optional={"not": plain, "in": st.lists(plain, min_size=1)}
        ).filter(bool)
        | more
    )


def leaves_room(bounds, most):
    """Whether a number can be within the bounds: where none can, that is a mistake."""
    low = max([0, bounds.get("ge", 0), bounds.get("gt", -1) + 1])
    high = min([most, bounds.get("le", most), bounds.get("lt", most + 1) - 1])
    return bool(bounds) and low <= high


def numbers(name):
    """What may be written for a number."""
    values = st.sampled_from(NUMBER_FIELDS[name])
    plain = values
    if name.endswith("port"):
        plain = values | st.sampled_from(RANGES)
    more = st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("ge", "gt", "le", "lt"), values)
    ).filter(lambda bounds: leaves_room(bounds, CATALOGUE[name].largest))
    return listed(plain) | operators(values, more)


@cache  # building a strategy costs more than drawing from it
def texts():
    """What may be written for a text."""
    plain = st.sampled_from(NAMES)
    piece = st.sampled_from(["p", "pbx", "7", "", "ñ"])
    more = st.fixed_dictionaries(
        {},
        optional={
            "prefix": piece,
            "suffix": piece,
            "contains": piece,
            "glob": st.sampled_from(["p*", "?bx", "*7", "[ps]b*", "[!p]*", "*"]),
            "re": st.sampled_from(["^p", "x7?$", "b[cx]", "(?i)PBX", ""]),
            "hex": st.sampled_from(["706278", ""]),
        },
    ).filter(bool)
    return listed(plain) | operators(plain, more) | st.lists(more | plain, min_size=1, max_size=2)


@cache
def conditions():
    """One entry of a match block, as a pair."""
    addresses = st.sampled_from(ADDRESSES) | st.sampled_from(NETWORKS)
    payload = st.fixed_dictionaries(
        {},
        optional={
            "prefix": st.sampled_from(["INVITE", "OPT", {"hex": "ff00"}]),
            "contains": st.sampled_from(["sip:", "*72"]),
            "re": st.sampled_from(["sip:[a-z]", r"\x00", r"\*72$"]),
        },
    ).filter(bool)
    kinds = [st.tuples(st.just(name), numbers(name)) for name in NUMBER_FIELDS]
    kinds += [
        st.tuples(
            st.just(name),
            listed(addresses | st.just("@some"))
            | operators(addresses, st.nothing(), st.sampled_from(ADDRESSES)),
        )
        for name in ADDRESS_FIELDS
    ]
    kinds += [st.tuples(st.just(name), texts()) for name in TEXT_FIELDS]
    kinds += [
        st.tuples(
            st.just("peer_transport"), operators(st.sampled_from(["udp", "tcp"]), st.nothing())
        ),
        st.tuples(st.just("listener"), st.just("in") | st.just({"not": "in"})),
    ]
    kinds += [
        st.tuples(st.just("proto_type"), listed(st.sampled_from(TYPES + TYPE_WORDS))),
        st.tuples(st.just("payload"), payload),
        st.tuples(st.just("0x0003:0x0065"), st.just({"hex": "0102"}) | st.just({"exists": True})),
    ]
    return st.one_of(kinds)


@cache
def matches():
    """A match block."""
    flat = st.lists(conditions(), max_size=2).map(dict)
    return st.recursive(
        flat,
        lambda inner: st.one_of(
            st.builds(lambda a, b: {**a, "not": b}, flat, inner.filter(bool)),
            st.builds(lambda a, b: {**a, "any": b}, flat, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda a, b: {**a, "all": b}, flat, st.lists(inner, min_size=1, max_size=2)),
            st.builds(lambda a: {**a, "is": "known"}, flat),
        ),
        max_leaves=4,
    )


EDITS = st.sampled_from(
    [
        {},
        {"set": {"capture_id": 7}},
        {"set": {"node_name": "pbx7"}},
        {"set": {"src_port": 5061}},
        {"set": {"src_ip": "2001:db8::1"}},
        {"set": {"dst_ip": "10.0.0.2", "vlan": 5}},
        {"unset": ["node_name"]},
        {"unset": "correlation_id", "set": {"proto_type": "RTCP"}},
        {"set": {"0x0003:0x0065": {"hex": "0102"}}},
    ]
)


@st.composite
def tables(draw, name="main", targets=()):
    """The rules of one table, which may go on in the tables named."""
    rules = []
    for number in range(draw(st.integers(1, 5))):
        rule = {"name": f"r{number}", "match": draw(matches()), **draw(EDITS)}
        rule |= {"relay": draw(st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True))}
        flow = draw(st.sampled_from(["stop", "continue", "continue", "drop", "goto", "off"]))
        if flow == "continue":
            rule["continue"] = True
        elif flow == "drop":
            rule["drop"] = "unwanted"
        elif flow == "goto" and targets:
            rule["goto"] = draw(st.sampled_from(list(targets)))
        elif flow == "off":
            rule["enabled"] = False
        rules.append(rule)
    return rules


@st.composite
def packets(draw):
    """A packet of any version, with any of its chunks missing."""
    version = draw(st.sampled_from([1, 2, 3, 3, 3, 3]))
    source, target = draw(st.sampled_from(ADDRESSES)), draw(st.sampled_from(ADDRESSES))
    ports = {"src_port": draw(st.sampled_from(PORTS)), "dst_port": draw(st.sampled_from(PORTS))}
    payload = draw(st.sampled_from(PAYLOADS))
    if version < 3:
        family = [address for address in ADDRESSES if (":" in address) is (":" in source)]
        values = {
            "src_ip": source,
            "dst_ip": draw(st.sampled_from(family)),
            **ports,
            "ip_protocol": 17,
            "payload": payload,
        }
        if version == 1:
            return decode(encode_v1(**values))
        return decode(
            encode_v2(
                **values, time=1_700_000_000_000_000, capture_id=draw(st.sampled_from([0, 7]))
            )
        )
    values = {
        "src_ip": source,
        "dst_ip": target,
        **ports,
        "ip_protocol": draw(st.sampled_from([6, 17])),
        "proto_type": draw(st.sampled_from(TYPES)),
        "capture_id": draw(st.sampled_from(IDS)),
        "node_name": draw(st.sampled_from(NAMES)),
        "correlation_id": draw(st.sampled_from(NAMES)),
        "vlan": draw(st.sampled_from([0, 5])),
        "payload": payload,
        "time": 1_700_000_000_000_000,
    }
    missing = draw(st.sets(st.sampled_from(sorted(values)), max_size=4))
    return build(**{name: value for name, value in values.items() if name not in missing})


# --- tables large enough to become a tree ---------------------------------------------------------

NEAR = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "32.1.13.184", "255.255.255.255"]
NEAR += ["0.0.0.0"]  # noqa: S104 - the lowest address, and nobody binds it
NEAR_V6 = ["2001:db8::1", "2001:db8:1::1", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
"""32.1.13.184 begins like 2001:db8::, so that families which are confused show."""
NESTED = [
    *("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/15", "10.0.0.0/16", "10.0.0.0/24", "10.0.0.2/31"),
    *("10.0.0.2/32", "10.0.1.0/24", "32.0.0.0/8", "32.1.13.184/32", "255.255.255.255/32"),
    *("::/0", "2001:db8::/32", "2001:db8::/47", "2001:db8:1::/48", "2001:db8::1/128", "ff00::/8"),
]
SPREAD = [0, 1, 80, 1023, 5059, 5060, 5061, 5062, 5080, 65534, 65535]
RANGED = ["0-", "0-80", "1024-", "5060-5061", "5060-5080", "5061-5062", "5062-65534", "65535-"]
CALLED = ["pbx", "pbx7", "pbx70", "sbc", "sb", "", "*72", "ñ", "p"]

PLAIN = {
    **dict.fromkeys(("src_port", "dst_port", "port"), SPREAD + RANGED),
    **dict.fromkeys(("src_ip", "dst_ip", "ip"), NEAR + NEAR_V6 + NESTED + ["@some"]),
    "peer_ip": ["10.0.0.1", "10.0.0.0/24", "10.9.0.0/16", "2001:db8::/32"],
    "capture_id": list(range(12)),
    "vlan": [0, 5, 4095],
    "proto_type": ["SIP", "rtcp", 34, 100],
    "node_name": CALLED,
    "correlation_id": CALLED,
    "0x0003:0x0065": [{"hex": "0102"}],
}
"""By field, what may stand alone or in a list."""

BOUNDS = [
    {"ge": 1024},
    {"ge": 5060, "lt": 5062},
    {"gt": 5060, "in": [5060, 5061, 5062]},
    {"le": 80, "not": 1},
    {"not": [5060, 0]},
    {"exists": False},
    {"exists": True, "ge": 5},
]
PIECES = [
    {"prefix": "p"},
    {"prefix": "pbx"},
    {"prefix": ""},
    {"prefix": {"hex": "c3"}},
    {"prefix": {"hex": "ff"}},
    {"prefix": "pb", "suffix": "7"},
    {"prefix": "p", "in": ["pbx7", "sbc"]},
    {"suffix": "7"},
    {"re": "^p"},
    {"not": "pbx"},
    [{"prefix": "pbx"}, "sbc", "*72"],
    [{"suffix": "7"}, "sbc"],
]
SPECIAL = {
    **dict.fromkeys(("src_port", "port", "capture_id", "vlan"), BOUNDS),
    **dict.fromkeys(("node_name", "correlation_id"), PIECES),
    **{name: [{"not": "10.0.0.0/8"}, {"exists": False}] for name in ("src_ip", "ip")},
}


@cache
def plain_blocks():
    """Match blocks that a tree can be split by, mostly: one to three fields."""
    plain = [(name, value) for name, values in PLAIN.items() for value in values]
    special = [(name, value) for name, values in SPECIAL.items() for value in values]
    several = [
        (name, [values[at], values[(at * 3 + 1) % len(values)], values[(at * 5 + 2) % len(values)]])
        for name, values in PLAIN.items()
        for at in range(len(values))
    ]
    entry = st.sampled_from(plain + several + special)  # one draw each: tables have many
    return st.lists(entry, min_size=1, max_size=3).map(dict)


@cache
def crowded_blocks():
    """Those, and with them what a tree is not split by."""
    plain = plain_blocks()
    return st.one_of(
        *[plain] * 5,
        st.builds(lambda a, b: {**a, "any": b}, plain, st.lists(plain, min_size=1, max_size=3)),
        st.builds(lambda a, b: {"all": [a, b]}, plain, plain),
        st.builds(lambda a, b: {**a, "not": b}, plain, plain),
        plain.map(lambda a: {**a, "is": "known"}),
        st.just({}),
    )


@st.composite
def crowded_tables(draw, targets=(), most=40):
    """The rules of a table that is worth a tree."""
    blocks = draw(st.lists(crowded_blocks(), min_size=20, max_size=most))
    flows = [{}, *[{"continue": True}] * 3, {"drop": "unwanted"}]
    flows += [{"goto": target} for target in targets]
    ends = draw(st.lists(st.tuples(st.sampled_from(flows), EDITS), min_size=1, max_size=6))
    return [
        {"name": f"r{at}", "match": block, "relay": ["a"][at % 2 :]}
        | ends[at % len(ends)][0]
        | ends[at % len(ends)][1]
        for at, block in enumerate(blocks)
    ]


def any_packet(random):
    """Make a packet that such tables may match; fast, so that a table meets many."""
    family = NEAR if random.random() < 0.6 else NEAR_V6
    values = {
        "src_ip": random.choice(family),
        "dst_ip": random.choice(family),
        "src_port": random.choice(SPREAD),
        "dst_port": random.choice(SPREAD),
        "ip_protocol": 17,
        "proto_type": random.choice([1, 5, 34, 100]),
        "capture_id": random.randrange(13),
        "node_name": random.choice([*CALLED, b"\xff", b"pbx7\0\0"]),
        "correlation_id": random.choice(CALLED),
        "vlan": random.choice([0, 5]),
        "payload": b"x",
        "time": 1_700_000_000_000_000,
    }
    for name in random.sample(sorted(values), random.choice([0, 0, 1, 3])):
        del values[name]
    return build(**values)
