"""Programs of others that a test starts."""

import os
import shutil

import pytest


def program(name):
    """Return where a peer is installed; without it the test is skipped, or fails if it must run."""
    # Debian keeps daemons where an ordinary user's PATH does not look.
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
    if found is None:
        reason = f"{name} is not installed"
        if os.environ.get("HEPSW_PEERS") == "required":
            pytest.fail(f"{reason}, and HEPSW_PEERS=required", pytrace=False)
        pytest.skip(reason)
    return found
