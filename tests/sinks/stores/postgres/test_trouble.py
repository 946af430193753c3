"""What is said where a database is not to be reached."""

import asyncio
import socket

import pytest

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.connection import connect


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]")])
def test_nobody_listens(host, shown):
    """It is told where nobody answers, and why: not how asyncio calls that."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taken:
        try:
            taken.bind((host.strip("[]"), 0))
        except OSError:
            pytest.skip("no such address family here")
        port = taken.getsockname()[1]  # bound, but nobody listens
        with pytest.raises(StoreError) as caught:
            asyncio.run(connect(f"postgres://x@{host}:{port}/x", "test"))
    assert str(caught.value) == f"{shown}:{port}: Connection refused"
    assert caught.value.what == "connect"
