"""What tests of a store share: where it keeps its packets, and shorter times."""

import pytest


@pytest.fixture
def file(tmp_path):
    """Where a store keeps its packets."""
    return tmp_path / "kept.db"


@pytest.fixture
def disk(tmp_path):
    """Where its spool is."""
    return tmp_path / "spool"


@pytest.fixture
def quick(monkeypatch):
    """Everything happens sooner."""
    monkeypatch.setattr("hepsw.sinks.stores.store.GRACE", 0.05)
    monkeypatch.setattr("hepsw.sinks.backoff.BackOff.next", lambda _: 0.01)
    monkeypatch.setattr("hepsw.sinks.stores.attempts.FIRST", 0.01)
    monkeypatch.setattr("hepsw.sinks.spool.worker.Worker.RETRY_SECONDS", 0.03)
