"""`hepsw graph`: which way packets can go through the tables of a configuration."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from hepsw.cli.loading import loaded_or_exit, print_text
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.compiler import drawing
from hepsw.compiler.picture import picture


class Format(Enum):
    """How it is drawn."""

    TREE = "tree"
    MERMAID = "mermaid"


def command(
    config: ConfigOption = None,
    output: Annotated[
        Format, typer.Option("--format", help="tree for the terminal, mermaid for a flowchart.")
    ] = Format.TREE,
) -> None:
    """Draw tables, rules and outputs, and where payloads are first read.

    Exit status: 0 drawn, 78 the configuration is invalid.
    """
    _, configuration = loaded_or_exit(config_file(config))
    draw = drawing.mermaid if output is Format.MERMAID else drawing.tree
    print_text(draw(configuration, picture(configuration)) + "\n")
