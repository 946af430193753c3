"""`hepsw schema`: what editors complete and explain configuration files by."""

from __future__ import annotations

import json
import sys

from hepsw.config.schema import schema


def command() -> None:
    """Print the JSON schema of configuration files, for editors.

    Exit status: 0.
    """
    # ASCII, so that any terminal and any redirection takes it.
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
