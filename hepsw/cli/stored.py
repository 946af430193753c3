"""What `calls`, `flow` and `export` share: the store that is asked, and its errors."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from hepsw.cli import exits
from hepsw.cli.loading import loaded_or_exit, with_secret
from hepsw.cli.paths import config_file
from hepsw.cli.store import status_of
from hepsw.config.spelling import did_you_mean
from hepsw.errors import ConfigError, StoreError
from hepsw.net.machine import ThisMachine
from hepsw.recall.opening import READABLE, open_archive
from hepsw.recall.shown import meant, printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hepsw.config.configuration import Configuration, StoreSettings
    from hepsw.config.load import Loaded
    from hepsw.recall.archive import Archive
    from hepsw.recall.legs import Gathered

MOST_NAMED: Final = 3
"""Ids that are named in a remark."""

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="NAME",
        help="The store to read [the only one that can be read].",
        show_default=False,
    ),
]


class Stored:
    """A command's view of the store that it was told to read."""

    def __init__(
        self, command: str, config: Path | None, store: str | None, *, looks: bool = False
    ) -> None:
        """Load the configuration and choose the store; leave with what is wrong.

        Args:
            command: the name of the command.
            config: the configuration, where one is given.
            store: the store, where one is given.
            looks: files that the configuration names are needed too.
        """
        self.command = command
        file = config_file(config)
        self.loaded: Loaded
        self.configuration: Configuration
        self.loaded, self.configuration = loaded_or_exit(file)
        self.settings = self._chosen(store)
        if looks and self._reads_files():
            self.loaded, self.configuration = loaded_or_exit(file, ThisMachine())
        self.settings = with_secret(self.loaded, self.settings)

    def _reads_files(self) -> bool:
        """Tell whether conditions may need what stands in files: sets, and geo databases."""
        sets = self.loaded.sources.data.get("sets", {})
        return "geo" in self.loaded.sources.data or any(
            isinstance(written, dict) for written in sets.values()
        )

    @contextmanager
    def archive(self) -> Iterator[Archive]:
        """Open the store, and let it go; leave with what is wrong with it."""
        try:
            archive = open_archive(self.settings)
            try:
                yield archive
                if archive.damaged:
                    self.say(f"{archive.damaged} damaged rows of the store left out")
            finally:
                archive.close()
        except ConfigError as error:
            self.refuse(str(error), exits.USAGE)
        except StoreError as error:
            self.refuse(f"store `{self.settings.name}`: {printable(str(error))}", status_of(error))

    def gathered(self, wanted: str) -> Gathered:
        """Return all packets of a call; leave if there are none."""
        from hepsw.recall.legs import gather  # noqa: PLC0415 - `calls` has no use for it

        with self.archive() as archive:
            for octets in meant(wanted):
                found = gather(archive, octets)
                if found.views:
                    break
        if not found.views:
            name = printable(wanted[:200].encode("utf-8", "backslashreplace").decode())
            self.refuse(
                f"store `{self.settings.name}` has no packet of a call `{name}`; "
                "`hepsw calls` lists those it has",
                exits.FINDINGS,
            )
        if found.has_more:
            self.say(f"more packets have this id; these are {len(found.views):,} that came first")
        if found.left_out:
            ids = "1 more id is" if found.left_out == 1 else f"{found.left_out} more ids are"
            self.say(f"{ids} named by these packets, and not followed")
        if found.too_common:
            names = ", ".join(f"`{shown(id_)}`" for id_ in found.too_common[:MOST_NAMED])
            self.say(f"on too many packets to be one call's: {names}")
        return found

    def say(self, text: str) -> None:
        """Write a line to standard error."""
        sys.stderr.write(f"hepsw {self.command}: {text}\n")

    def refuse(self, text: str, status: int) -> NoReturn:
        """Leave with a reason."""
        self.say(text)
        raise typer.Exit(status)

    def _chosen(self, wanted: str | None) -> StoreSettings:
        stores = self.configuration.stores
        if wanted is not None:
            if wanted not in stores:
                meant = did_you_mean(wanted, stores, foreign={})
                hint = f"did you mean `{meant}`?" if meant else f"there are {_listed(stores)}"
                self.refuse(f"unknown store `{wanted}`; {hint}", exits.USAGE)
            return stores[wanted]
        readable = [store for store in stores.values() if store.scheme in READABLE]
        if len(readable) > 1:
            names = _listed([store.name for store in readable])
            self.refuse(f"several stores can be read: {names}; choose by --store", exits.USAGE)
        if not readable:
            kinds = " or ".join(READABLE.values())
            there = f"; there are {_listed(stores)}" if stores else ""
            self.refuse(f"the configuration has no {kinds} store{there}", exits.USAGE)
        return readable[0]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
