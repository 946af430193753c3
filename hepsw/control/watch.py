"""Noticing that the configuration has changed: folders are watched, contents decide.

An editor that renames, a ConfigMap that swaps a symbolic link, a file that is touched and not
changed: all wake the watcher, and only other octets count. Changes are given time to settle,
because saving is rarely one step.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hepsw.config.files import fingerprint
from hepsw.config.sources import rule_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SETTLE: Final = 0.3
"""Seconds without a change before the files are read."""
LOOK: Final = 1.0
"""Seconds after which the files are looked at though nobody reported a change."""

Stamp = tuple[int, int, int] | None


class Watch:
    """Watches the files of one configuration."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[Path, str] = {}
        self._stamps: dict[Path, Stamp] = {}
        self._stop = asyncio.Event()

    def settle(self, files: Mapping[Path, str]) -> None:
        """Take the files as they were last read, accepted or not, with their SHA-256."""
        self._seen = dict(files)
        self._stop.set()

    async def changed(self) -> None:
        """Return when any of the files holds something else, and has held it for a while."""
        from watchfiles import awatch  # noqa: PLC0415 - `reload.watch = false` never pays for it

        while True:
            self._stop = asyncio.Event()
            self._stamps = {}
            # Each round looks once by itself, because a change may come before the folders are
            # watched, and some file systems tell nobody.
            async for _ in awatch(
                *self._folders(),
                recursive=False,
                stop_event=self._stop,
                debounce=200,
                step=50,
                rust_timeout=int(LOOK * 1000),
                yield_on_timeout=True,
            ):
                if self._moved() and await self._differs():
                    return

    async def _differs(self) -> bool:
        """Tell whether the files differ from those seen, waiting until they stand still."""
        now = await asyncio.to_thread(self._hashes)
        if now == self._seen:
            return False
        while True:
            await asyncio.sleep(SETTLE)
            later = await asyncio.to_thread(self._hashes)
            if later == now:
                return now != self._seen
            now = later

    def _moved(self) -> bool:
        """Tell whether any file looks different since the last call: its time, size or inode."""
        stamps = {file: _stamp(file) for file in self._files()}
        moved = stamps != self._stamps
        self._stamps = stamps
        return moved

    def _folders(self) -> set[Path]:
        folders = {file.parent for file in self._files()} | {self._path.parent}
        rules = self._path.parent / "rules"
        # Certificates may be in a folder that lets nobody list it: they are looked at all the same.
        return {
            folder for folder in folders | {rules} if folder.is_dir() and os.access(folder, os.R_OK)
        }

    def _files(self) -> set[Path]:
        files = {self._path, *self._seen}
        with suppress(OSError):
            files.update(rule_files(self._path.parent / "rules"))
        return files

    def _hashes(self) -> dict[Path, str]:
        files = self._files()
        return {file: found for file in files if (found := fingerprint(file)) or file in self._seen}


def _stamp(file: Path) -> Stamp:
    try:
        told = file.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
