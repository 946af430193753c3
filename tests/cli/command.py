"""`hepsw` as a user runs it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Ran(NamedTuple):
    """What came of a command."""

    status: int
    out: str
    err: str


def hepsw(*arguments, folder):
    """Run a command in a folder."""
    return python("-m", "hepsw", *arguments, folder=folder)


def python(*arguments, folder):
    """Run Python in a folder, with this hepsw to import."""
    ran = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())
