"""One owner for one folder: a locked file that names the process."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from hepsw.sinks.spool.trouble import SpoolError

if TYPE_CHECKING:
    from hepsw.sinks.spool.files import Files


def lock(path: str, files: Files) -> int:
    """Lock the file and write our process into it; return its descriptor, which holds the lock.

    Raises:
        SpoolError: another has it.
        OSError: it cannot be opened.
    """
    fd = files.open(path, os.O_RDWR | os.O_CREAT)
    try:
        files.lock(fd)
    except BlockingIOError:
        owner = b""
        with suppress(OSError):
            owner = files.pread(fd, 16, 0).split(b"\n")[0]
        files.close(fd)
        who = f"process {int(owner)}" if owner.isdigit() else "another process"
        raise SpoolError(f"{path.removesuffix('/lock')} is locked by {who}") from None
    except OSError:
        files.close(fd)
        raise
    # For the message above alone: a full disk must not keep the folder shut.
    with suppress(OSError):
        files.pwrite(fd, f"{os.getpid()}\n".encode().ljust(16), 0)
    return fd
