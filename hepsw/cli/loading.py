"""Loading the configuration for commands that show something of it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hepsw.cli import exits
from hepsw.config.diagnostics import Severity, render
from hepsw.config.environment import Environment
from hepsw.config.load import load
from hepsw.config.models import Store
from hepsw.config.problems import Report
from hepsw.config.spelling import did_you_mean
from hepsw.config.stores import database_url

if TYPE_CHECKING:
    from hepsw.config.configuration import Configuration, StoreSettings
    from hepsw.config.load import Loaded
    from hepsw.config.loops import Machine


def loaded_or_exit(file: Path, machine: Machine | None = None) -> tuple[Loaded, Configuration]:
    """Return a valid configuration, judged by its text alone, or with a look at this machine.

    Raises:
        typer.Exit: with 78; what is wrong is on standard error, as `hepsw check` shows it.
    """
    loaded = load(file, machine)
    if loaded.configuration is None:
        raise _refused(loaded)
    return loaded, loaded.configuration


def _refused(loaded: Loaded) -> typer.Exit:
    found = loaded.problems.sorted()
    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stderr.write(render(found, loaded.texts, color=color) + "\n\n")
    errors = sum(problem.severity is Severity.ERROR for problem in found)
    sys.stderr.write(f"{errors} error{'s' if errors != 1 else ''}\n")
    return typer.Exit(exits.CONFIG)


def store_or_exit(
    file: Path, name: str | None, command: str, *, secret: bool = True
) -> StoreSettings:
    """Return a store of a valid configuration.

    Nothing else of what the configuration needs of this machine is looked at: who looks after a
    store need not be able to read the keys of a listener.

    Args:
        file: the configuration.
        name: of the store; None: the only one that there is.
        command: which asks, for what is wrong.
        secret: read the url of a database, where it stands in a secret.

    Raises:
        typer.Exit: with 78 as above, with 2 where there is no such store; that is said.
    """
    loaded, configuration = loaded_or_exit(file)
    stores = configuration.stores
    if name is None and len(stores) == 1:
        (name,) = stores
    store = None if name is None else stores.get(name)
    if store is None:
        if name is None:
            said = "which store?" if stores else "there are no stores"
        else:
            said = f"unknown store `{name}`"
        meant = did_you_mean(name or "", stores, foreign={})
        known = f"there are {', '.join(stores)}" if stores else ""
        hint = f"did you mean `{meant}`?" if meant else known
        between = " " if said.endswith("?") else "; "
        sys.stderr.write(f"hepsw {command}: {said}{between if hint else ''}{hint}\n")
        raise typer.Exit(exits.USAGE)
    return with_secret(loaded, store) if secret else store


def with_secret(loaded: Loaded, store: StoreSettings) -> StoreSettings:
    """Return a store with the url of its database, which the text alone does not always tell.

    Raises:
        typer.Exit: with 78, and what is wrong with the secret.
    """
    if store.scheme != "postgres":
        return store
    url = Store.model_validate(loaded.sources.data["stores"][store.name]).url
    environment = Environment(Report(loaded.sources), offline=False)
    read = database_url(url, environment, ("stores", store.name, "url"))
    if read is None:
        raise _refused(loaded)
    return replace(store, url=read)


def print_text(text: str) -> None:
    """Write to standard output what may hold any character, whatever the terminal can show.

    Raises:
        BrokenPipeError: whoever reads has enough.
        typer.Exit: with 74, it cannot be written; that is said.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # main() gives a TextIOWrapper
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stderr.write(f"hepsw: cannot write to standard output: {error.strerror}\n")
        # What is left in the buffer would be tried once more on the way out.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise typer.Exit(exits.IO) from None
