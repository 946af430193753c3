"""The folders of a store's files: made, entered and looked through, without following a link.

The fixed folder is the operator's word, whatever it leads through. Those beneath it are named by
packets' times: were one of them a symbolic link, whoever made it would choose where packets go.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hepsw.sinks.stores.files.template import FileTemplate, Name

_MODE: Final = 0o750
"""Calls are in the files: not for everybody on the machine."""


class FoundFile(NamedTuple):
    """A file that the template can make."""

    name: Name
    path: Path
    octets: int
    modified_us: int
    """When a packet was last written to it, microseconds since the epoch."""
    inode: tuple[int, int]


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    for folder in (*reversed(path.parents), path):
        # First a look: where only the last one is missing, the others need not be writable.
        if not folder.is_dir():
            folder.mkdir(_MODE, exist_ok=True)


def enter(fixed: Path, folders: Name) -> int:
    """Return the descriptor of a folder beneath the fixed one, made where it is missing.

    Raises:
        StoreError: one of them is a symbolic link, or no folder.
        OSError: it cannot be had now.
    """
    make_folder(fixed)
    here = os.open(fixed, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth, folder in enumerate(folders, 1):
            inner = _enter_one(here, folder, fixed.joinpath(*folders[:depth]))
            os.close(here)
            here = inner
    except BaseException:
        os.close(here)
        raise
    return here


def _enter_one(above: int, folder: str, path: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with suppress(FileExistsError):
        os.mkdir(folder, _MODE, dir_fd=above)
    try:
        return os.open(folder, flags, dir_fd=above)
    except NotADirectoryError:  # what Linux says of a link, asked for a folder
        what = "a symbolic link" if path.is_symlink() else "no folder"
        raise StoreError(f"{path} is {what}", "file") from None


def find_files(template: FileTemplate) -> Iterator[FoundFile | None]:
    """Yield every file that is there and that the template can make, numbered ones included.

    Links are no files, wherever they lead. None is yielded for what is something else, so that a
    caller who has little time can stop between any two entries.
    """
    yield from _found_in(template, template.folder, ())


def _found_in(template: FileTemplate, folder: Path, above: Name) -> Iterator[FoundFile | None]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            name = (*above, entry.name)
            found = None
            if len(above) < template.depth:
                if template.makes_folder(name) and entry.is_dir(follow_symlinks=False):
                    yield from _found_in(template, folder / entry.name, name)
            elif template.makes(name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    known = entry.stat(follow_symlinks=False)
                    found = FoundFile(
                        name,
                        folder / entry.name,
                        known.st_size,
                        known.st_mtime_ns // 1000,
                        (known.st_dev, known.st_ino),
                    )
            yield found
