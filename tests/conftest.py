"""What all tests share: how thoroughly properties are tried, and packets to try them on."""

import os
from pathlib import Path

import pytest
from databases import SERVERS, Postgres, binaries
from hypothesis import HealthCheck, settings
from stale import stale

import hepsw
from hepsw.hep import COMPILED, build
from hepsw.view import Peer

settings.register_profile(
    "default", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# For the other build, where one has been through all of it.
settings.register_profile(
    "again", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "proof", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure():
    """Refuse to test what was compiled before the last edit."""
    if COMPILED and (wrong := stale(Path(hepsw.__file__).parent)):
        told = "\n".join(wrong[:10])
        raise pytest.UsageError(
            f"the compiled modules are not what is written:\n{told}\n"
            "`make build` compiles them, HEPSW_PURE=1 tests the plain text"
        )


def pytest_report_header():
    """Say which build is tested."""
    build = "compiled" if COMPILED else "plain Python"
    return f"hepsw: {build} build in {Path(hepsw.__file__).parent}"


@pytest.fixture
def peer():
    """An agent at 192.0.2.1, heard on the listener `in`."""
    return Peer(
        ip=bytes([192, 0, 2, 1]),
        port=40000,
        transport="udp",
        local_ip=bytes([127, 0, 0, 1]),
        local_port=9060,
        listener="in",
    )


@pytest.fixture
def sip():
    """An OPTIONS as Kamailio reports it in HEP 3."""
    return build(
        src_ip="192.0.2.10",
        dst_ip="198.51.100.20",
        src_port=5060,
        dst_port=5062,
        ip_protocol=17,
        time=1_700_000_000_123_456,
        proto_type=1,
        capture_id=2001,
        node_name="pbx7",
        correlation_id="a84b4c76e66710@pbx.example",
        payload=b"OPTIONS sip:probe@198.51.100.20 SIP/2.0\r\nCall-ID: a84b@pbx.example\r\n\r\n",
    )


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL that all tests share which do not stop it."""
    with Postgres() as server:
        yield server


@pytest.fixture
def database(postgres):
    """A database of the test's own."""
    made = postgres.create()
    yield made
    made.drop()


@pytest.fixture(scope="session", params=SERVERS)
def any_postgres(request):
    """One PostgreSQL after the other, those of `databases.SERVERS`."""
    if request.param == SERVERS[0]:
        yield request.getfixturevalue("postgres")
        return
    if binaries(request.param) is None:
        pytest.skip(f"no PostgreSQL of {request.param} here")
    with Postgres(request.param) as server:
        yield server


@pytest.fixture
def any_database(any_postgres):
    """A database of the test's own, on one server after the other."""
    made = any_postgres.create()
    yield made
    made.drop()
