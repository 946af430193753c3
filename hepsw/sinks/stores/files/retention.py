"""Removing old files: what `keep` asks of a store of files.

Only files that the template can make are looked at, in the folders that it can make; nothing else
is ever removed, nor what is being written, by whomever. A folder goes with its last file.

How old a file is says its time of modification: that is when its newest packet arrived, however
it is compressed, and packets are filed within a day of their arrival.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from hepsw.errors import StoreError
from hepsw.sinks.stores.files.folders import find_files
from hepsw.sinks.stores.files.rotation import lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.config.configuration import Keep
    from hepsw.sinks.stores.files.folders import FoundFile
    from hepsw.sinks.stores.files.rotation import Files
    from hepsw.sinks.stores.files.template import FileTemplate

EVERY_US: Final = 60_000_000
"""Time between two looks at the folders."""
ENTRIES: Final = 512
"""Files looked at or removed in one step."""


class Retention:
    """The files of one store, as they go."""

    def __init__(self, template: FileTemplate, keep: Keep, files: Files) -> None:
        """Nothing is looked at yet.

        Args:
            template: the names.
            keep: how long, and how much.
            files: those that the store writes itself.
        """
        self._template = template
        self._files = files
        self._seconds = keep.seconds
        self._octets = keep.octets
        self._looked_us: int | None = None
        self._work: Iterator[None] | None = None

    def step(self, now_us: int) -> bool:
        """Do one short step; return whether there is more to do now.

        Raises:
            StoreError: something old could not be removed; what else is old was.
        """
        if self._seconds is None and self._octets is None:
            return False
        if self._work is None:
            # Away from the last look, in whichever direction the clock went.
            if self._looked_us is not None and abs(now_us - self._looked_us) < EVERY_US:
                return False
            self._looked_us = now_us
            self._work = self._sweep(now_us)
        try:
            done = sum(1 for _ in islice(self._work, ENTRIES))
        except OSError as error:
            self._work = None
            raise StoreError(f"{error.filename}: {error.strerror}", "keep") from error
        except BaseException:
            self._work = None
            raise
        if done < ENTRIES:
            self._work = None
        return self._work is not None

    def _sweep(self, now_us: int) -> Iterator[None]:
        """Look at all files, then remove what is too old or too much, oldest first."""
        found: list[FoundFile] = []
        for file in find_files(self._template):
            if file is not None:
                found.append(file)
            yield
        found.sort(key=lambda file: file.modified_us)
        total = sum(file.octets for file in found)
        trouble: OSError | None = None
        for file in found:
            if not self._is_due(file, total, now_us):
                break  # those behind it are younger
            try:
                if self._remove(file):
                    total -= file.octets
            except OSError as error:
                trouble = error
            yield
        if trouble is not None:
            raise trouble

    def _is_due(self, file: FoundFile, total: int, now_us: int) -> bool:
        if self._octets is not None and total > self._octets:
            return True
        return self._seconds is not None and file.modified_us < now_us - self._seconds * 1_000_000

    def _remove(self, file: FoundFile) -> bool:
        """Remove a file unless somebody writes to it; return whether it is gone."""
        try:
            fd = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            known = os.fstat(fd)
            # It may have been replaced, or written to, since it was looked at.
            is_same = (known.st_dev, known.st_ino) == file.inode
            if not is_same or known.st_mtime_ns // 1000 != file.modified_us:
                return False
            # The lock tells of others; of ourselves it would not where there are no locks.
            if file.inode in self._files.inodes or not lock(fd):
                return False
            file.path.unlink(missing_ok=True)
        finally:
            os.close(fd)
        self._remove_folders(file)
        return True

    def _remove_folders(self, file: FoundFile) -> None:
        """Remove the folders of a file that are empty now, those of the template alone."""
        folder = file.path
        for _ in range(self._template.depth):
            folder = folder.parent
            with suppress(OSError):
                folder.rmdir()
