"""Where the configuration is when nobody says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

SYSTEM: Final = Path("/etc/hepsw/hepsw.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="The configuration [hepsw.toml here, then /etc/hepsw/hepsw.toml].",
        show_default=False,
    ),
]


def config_file(given: Path | None) -> Path:
    """Return the configuration to read: what was given, `hepsw.toml` here, or the system's."""
    if given is not None:
        return given
    here = Path("hepsw.toml")
    return SYSTEM if not here.exists() and SYSTEM.exists() else here
