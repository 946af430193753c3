"""`hepsw store`: what stores hold, what they need, and what they refused.

Works beside a daemon that writes to the same stores, and asks it nothing.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from hepsw.cli import exits
from hepsw.cli.loading import loaded_or_exit, print_text, store_or_exit, with_secret
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.concealed import Concealed
from hepsw.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from hepsw.config.configuration import StoreSettings

UNREACHABLE = frozenset({"connect", "login", "timeout"})
"""What a database says of itself when nobody gets in; anything else is told by the disk."""

NOWHERE = Concealed(b"postgres://nowhere.invalid/")
"""In place of the url of a database, where none is needed."""


class Action(Enum):
    """What is done."""

    INIT = "init"
    STATUS = "status"
    SQL = "sql"
    DEADLETTERS = "deadletters"


def command(
    action: Annotated[
        Action,
        typer.Argument(
            help="init creates what is missing, status looks, sql prints the statements of init, "
            "deadletters lists what was refused.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(help="A store [status: all].", show_default=False)
    ] = None,
    config: ConfigOption = None,
    retry: Annotated[
        bool,
        typer.Option("--retry", help="deadletters: try to store them, and remove what was taken."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="status and deadletters: for programs.")
    ] = False,
) -> None:
    """Look after a store: create it, look at it, and see to what it refused.

    Exit status: 0 done, 1 a dead letter was refused again, 2 there is no such store, 69 the
    database is not to be reached, 74 reading or writing failed, 78 the configuration is invalid.
    """
    if retry and action is not Action.DEADLETTERS:
        _wrong(f"--retry goes with deadletters, not with {action.value}")
    if as_json and (retry or action not in {Action.STATUS, Action.DEADLETTERS}):
        _wrong("--json goes with status and deadletters, without --retry")
    file = config_file(config)
    if action is Action.STATUS:
        _status(file, name, as_json=as_json)
        return
    store = store_or_exit(file, name, "store", secret=action is Action.INIT or retry)
    try:
        _do(action, store, retry=retry, as_json=as_json)
    except StoreError as error:
        sys.stdout.flush()
        sys.stderr.write(f"hepsw store: {store.name}: {error}\n")
        raise typer.Exit(status_of(error)) from None


def status_of(error: StoreError) -> int:
    """Return the exit status for what keeps a store from being used."""
    return exits.UNAVAILABLE if error.what in UNREACHABLE else exits.IO


def _do(action: Action, store: StoreSettings, *, retry: bool, as_json: bool) -> None:
    if action is Action.DEADLETTERS:
        from hepsw.cli import store_letters  # noqa: PLC0415 - only this action needs it

        if retry:
            if not store_letters.retry(store):
                raise typer.Exit(exits.FINDINGS)
            return
        print_text(store_letters.listed(store, as_json=as_json))
        return
    from hepsw.sinks.stores.admins import admin_of  # noqa: PLC0415 - likewise

    if action is Action.SQL:
        # Nobody is asked, so the secret that says whom was not read.
        statements = admin_of(replace(store, url=store.url or NOWHERE)).sql()
        print_text("".join(f"{each.rstrip().removesuffix(';')};\n\n" for each in statements))
        if not statements:
            sys.stderr.write(f"hepsw store: {store.name}: {store.scheme}:// takes no statements\n")
    else:
        done = admin_of(store).init()
        print_text("".join(f"{line}\n" for line in done) or "everything is there\n")


def _status(file: Path, name: str | None, *, as_json: bool) -> None:
    from hepsw.cli import store_status  # noqa: PLC0415 - other actions do without

    if name is None:
        loaded, configuration = loaded_or_exit(file)
        stores = [with_secret(loaded, store) for store in configuration.stores.values()]
    else:
        stores = [store_or_exit(file, name, "store", secret=True)]
    looked = [store_status.look(store) for store in stores]
    print_text(store_status.as_json(looked) if as_json else store_status.as_text(looked))
    sys.stdout.flush()
    failed = [each.error for each in looked if each.error is not None]
    if failed:
        raise typer.Exit(max(map(status_of, failed)))


def _wrong(what: str) -> None:
    sys.stderr.write(f"hepsw store: {what}\n")
    raise typer.Exit(exits.USAGE)
