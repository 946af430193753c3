"""What all tests share: how thoroughly properties are tried, and packets to try them on."""

import os

import pytest
from hypothesis import HealthCheck, settings

from hepsw.hep import build
from hepsw.view import Peer

settings.register_profile(
    "default", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "proof", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


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
