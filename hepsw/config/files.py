"""Reading the operator's files: bounded, and never waiting for a pipe that nobody writes to."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES: Final = 4 << 20
"""A file of 20,000 rules is half of that; what is larger is no configuration."""


def read_file(file: Path) -> bytes:
    """Return what a regular file holds.

    Raises:
        OSError: it cannot be read, is no regular file, or holds more than `MAX_FILE_BYTES`.
    """
    # Without O_NONBLOCK the open itself would wait at a FIFO.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor has no path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        octets = stream.read(MAX_FILE_BYTES + 1)
    if len(octets) > MAX_FILE_BYTES:
        raise OSError(0, f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return octets


def fingerprint(file: Path) -> str:
    """Return what tells a file's content from another; nothing for one that cannot be read.

    The SHA-256 of what it holds, or of a large one (a geo database) its size and times: reading
    those again and again would cost more than a reload.
    """
    try:
        told = file.stat()
        if told.st_size > MAX_FILE_BYTES:
            return f"{told.st_size} octets, {told.st_mtime_ns} ns, inode {told.st_ino}"
        return hashlib.sha256(read_file(file)).hexdigest()
    except (OSError, ValueError):
        return ""
