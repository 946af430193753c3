"""Geo fields: from a database in MaxMind's format to what rules see."""

import builtins
import random
import tempfile
from functools import cache
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from hepsw.accounting import Ledger
from hepsw.compiler import compile_program
from hepsw.config.geo import Database
from hepsw.config.load import load
from hepsw.hep import build
from hepsw.net.machine import ThisMachine
from hepsw.switch import Switch

PLACES = {
    "10.0.0.0/8": {"country": {"iso_code": "ES"}, "city": {"names": {"en": "Madrid", "de": "x"}}},
    "10.1.0.0/16": {"country": {"iso_code": "FR"}},
    "2001:db8::/32": {"country": {"iso_code": "DE"}, "city": {"names": {"de": "Köln"}}},
}
NETWORKS = {
    "10.0.0.0/8": {"autonomous_system_number": 64500},
    "10.1.0.0/16": {"autonomous_system_number": "not a number"},
}


@cache
def octets_of(kind, version=6):
    """Return a database of the places or networks above."""
    entries = {"city": PLACES, "asn": NETWORKS}[kind]
    writer = MMDBWriter(version, kind, ipv4_compatible=version == 6)
    for network, record in entries.items():
        if version == 6 or ":" not in network:
            writer.insert_network(IPSet([network]), record)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.mmdb"
        writer.to_db_file(str(file))
        return file.read_bytes()


BASE = """
[[listen]]
name = "in"
url = "udp://127.0.0.1:9060"
[destinations]
a = "udp://192.0.2.1"
"""
BOTH = '[geo]\ncity = "city.mmdb"\nasn = "asn.mmdb"\n'
SPAIN = '[[rules.main]]\nname = "r"\nmatch.geo.src.country = "ES"\nrelay = "a"\n'


@pytest.fixture
def loaded(tmp_path):
    """Load a configuration beside both databases, or beside others."""
    for kind in ("city", "asn"):
        (tmp_path / f"{kind}.mmdb").write_bytes(octets_of(kind))

    def make(text, *, offline=False):
        (tmp_path / "hepsw.toml").write_text(BASE + text)
        return load(tmp_path / "hepsw.toml", None if offline else ThisMachine())

    make.folder = tmp_path
    return make


def codes(loaded):
    """Return what was found, by code, with its text."""
    return [(problem.code, problem.text) for problem in loaded.problems.sorted()]


@pytest.fixture
def switched(loaded, peer):
    """Return a function that sends one packet through rules."""

    def send(rules, packet):
        found = loaded(BOTH + rules)
        assert codes(found) == []
        account = Ledger().switch
        switch = Switch(compile_program(found.configuration), account)
        return switch.receive([(packet, peer)], 0.0), account

    return send


def test_both_ends_are_looked_up(switched):
    """Country, city and network; the narrower network counts, and what is not there is missing."""
    rule = """
    [[rules.main]]
    name = "r"
    log = "{geo.src.country}/{geo.src.city}/{geo.src.asn} {geo.dst.country}/{geo.dst.asn|default:-}"
    relay = "a"
    """

    def line(source, target):
        effects, _ = switched(rule, build(src_ip=source, dst_ip=target))
        return effects.lines[0].text

    assert line("10.9.0.1", "10.1.0.1") == "ES/Madrid/64500 FR/-"
    assert line("2001:db8::1", "2001:db9::1") == "DE// /-"
    effects, _ = switched(rule, build())
    assert effects.lines[0].text == "// /-"


def test_rules_match_by_place(switched):
    """Nested as TOML has it, or quoted; numbers of networks have ranges, maps take places."""
    rules = """
    [maps.doors]
    key = "geo.dst.country"
    entries = { FR = "a" }
    [[rules.main]]
    name = "country"
    match.geo.src.country = ["ES", "PT"]
    continue = true
    [[rules.main]]
    name = "network"
    match."geo.src.asn" = "64496-64511"
    count.networks = { asn = "{geo.src.asn}" }
    continue = true
    [[rules.main]]
    name = "nowhere"
    match.geo.dst.country.exists = false
    drop = "nowhere"
    [[rules.main]]
    name = "to"
    relay = { map = "doors" }
    """
    effects, account = switched(rules, build(src_ip="10.2.0.1", dst_ip="10.1.0.1"))
    met = [path for path, rule in account.rules.items() if rule.packets]
    assert met == ["main/country", "main/network", "main/to"]
    assert account.counters == {"networks": {(("asn", "64500"),): 1}}
    assert list(effects.outputs) == ["a"]
    _, account = switched(rules, build(src_ip="10.1.0.1", dst_ip="192.0.2.1"))
    assert account.dropped == {"nowhere": 1}


def test_an_edit_moves_a_packet(switched):
    """What is looked up is the address as it stands."""
    rules = """
    [[rules.main]]
    name = "edits"
    set.src_ip = "10.1.0.1"
    continue = true
    [[rules.main]]
    name = "r"
    match.geo.src.country = "FR"
    relay = "a"
    """
    effects, _ = switched(rules, build(src_ip="10.0.0.1", dst_ip="10.0.0.1"))
    assert list(effects.outputs) == ["a"]


def test_a_table_that_reads_no_payload_may_ask(switched):
    """A place is no payload."""
    effects, _ = switched(
        SPAIN + '[tables.main]\nparse = "never"\n', build(src_ip="10.0.0.1", dst_ip="10.0.0.1")
    )
    assert list(effects.outputs) == ["a"]


def test_each_field_wants_its_database(loaded):
    """Places are in `city`, networks in `asn`; what is not named is an error where it is asked."""
    asn = SPAIN.replace('country = "ES"', "asn = 1")
    for text, missing in ((SPAIN, "city"), ('[geo]\ncity = "city.mmdb"\n' + asn, "asn")):
        (found,) = loaded(text).problems.sorted()
        assert found.code == "HEP213"
        assert f"`{missing}`" in found.hint


@pytest.mark.parametrize(
    "octets",
    [None, b"", b"not a database", octets_of("city")[:-200], octets_of("city")[:100]],
    ids=["missing", "empty", "text", "cut", "cut early"],
)
def test_a_database_that_cannot_be_read(loaded, octets):
    """Where it is named, in one line; offline it is not looked at."""
    file = loaded.folder / "city.mmdb"
    file.unlink()
    if octets is not None:
        file.write_bytes(octets)
    ((code, text),) = codes(loaded(BOTH + SPAIN))
    assert code == "HEP213"
    assert text.startswith("cannot read city.mmdb: ")
    assert "\n" not in text
    assert codes(loaded(BOTH + SPAIN, offline=True)) == []


def test_damage_is_no_bug(tmp_path):
    """Whatever octet is wrong: the file is refused, or an address has no place."""
    whole = octets_of("city")
    file = tmp_path / "x.mmdb"
    chance = random.Random(1)
    refused = 0
    for _ in range(400):
        octets = bytearray(whole)
        for _ in range(chance.choice([1, 2, 5])):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        file.write_bytes(octets)
        try:
            database = Database(file)
        except ValueError:
            refused += 1
            continue
        for address in (bytes([10, 1, 0, 1]), bytes(16), bytes([32, 1, 13, 184, *range(12)])):
            for look_up in (database.country, database.city, database.asn):
                assert isinstance(look_up(address), (bytes, int, type(None)))
    assert 50 < refused < 350


def test_a_database_of_ipv4_alone(tmp_path):
    """IPv6 addresses have no place there."""
    file = tmp_path / "x.mmdb"
    file.write_bytes(octets_of("city", 4))
    database = Database(file)
    assert database.country(bytes([10, 0, 0, 1])) == b"ES"
    assert database.country(bytes([32, 1, 13, 184, *range(12)])) is None


def test_the_file_may_be_written_over(tmp_path):
    """It was read into memory: what is in service does not change, nor fail."""
    file = tmp_path / "x.mmdb"
    file.write_bytes(octets_of("city"))
    database = Database(file)
    file.write_bytes(b"")
    assert database.country(bytes([10, 0, 0, 1])) == b"ES"


def test_it_belongs_to_the_configuration(loaded):
    """A new database is noticed as a change of the file is."""
    before = loaded(BOTH + SPAIN).files
    city = loaded.folder / "city.mmdb"
    assert city in before
    city.write_bytes(octets_of("asn"))
    assert loaded(BOTH + SPAIN).files[city] != before[city]


def test_without_the_extra(loaded, monkeypatch):
    """Only a configuration that names a database is refused, and told what to install."""
    real = builtins.__import__

    def without(name, *rest):
        if name == "maxminddb":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    ((code, text),) = codes(loaded('[geo]\ncity = "city.mmdb"\n' + SPAIN))
    assert code == "HEP213"
    assert text == "cannot read city.mmdb: hepsw is installed without its extra `geo`"
    assert codes(loaded("")) == []
