"""Listeners whose account is asserted."""

import pytest
from listening import Running


@pytest.fixture
async def running():
    """Listeners that are stopped, and whose account is asserted, when the test ends."""
    made = Running()
    yield made
    await made.listeners.stop()
    account = made.ledger.listener("in")
    assert account.unaccounted == 0
    assert account.accepted == len(made.taken)
