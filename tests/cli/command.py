"""`hepsw` as a user runs it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import warm
from warm import Ran

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "from hepsw.cli import main; main()"


def hepsw(*arguments, folder):
    """Run a command in a folder; one that has not to import everything anew."""
    return warm.run(COMMAND, *map(str, arguments), folder=folder, patience=30)


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
