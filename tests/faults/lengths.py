"""How long a fault goes on: a little in CI, in full for `make proof`."""

import pytest


def lengths(name, ci, proof):
    """Run a test with both, the second one marked."""
    full = pytest.param(proof, id=f"{proof}", marks=pytest.mark.proof)
    return pytest.mark.parametrize(name, [pytest.param(ci, id=f"ci-{ci}"), full])
