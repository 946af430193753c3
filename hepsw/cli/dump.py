"""`hepsw dump`: the configuration as one text, secrets hidden."""

from __future__ import annotations

from typing import Annotated

import typer

from hepsw.cli.loading import loaded_or_exit, print_text
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.config.dump import dump


def command(
    config: ConfigOption = None,
    effective: Annotated[
        bool, typer.Option("--effective", help="Write the defaults of what is not written too.")
    ] = False,
) -> None:
    """Print the merged configuration as one TOML text, secrets hidden.

    Exit status: 0 printed, 78 the configuration is invalid.
    """
    loaded, _ = loaded_or_exit(config_file(config))
    print_text(dump(loaded.sources, defaults=effective))
