"""The name of a spool, by which a database knows what it has of it: 16 random octets in its folder.

The numbers of records mean something only together with it. Called by the thread of a store, while
the store has the folder.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "identity"
"""Of the file; a spool leaves alone what is no segment."""
OCTETS: Final = 16

log = logging.getLogger("hepsw.sinks")


def identity_of(folder: Path, *, is_new: bool) -> bytes:
    """Return the identity of a spool, and make it where it is missing.

    Args:
        folder: of the spool.
        is_new: its numbers begin anew; a name that was there stood for other packets.

    Returns:
        A name for this life alone where the folder takes none: after a kill, some of what is in the
        spool may then be stored once more.
    """
    file = folder / NAME
    try:
        if not is_new and (known := _read(file)) is not None:
            return known
        made = os.urandom(OCTETS)
        other = folder / f"{NAME}.new"
        fd = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(made)
            stream.flush()
            os.fsync(stream.fileno())
        other.replace(file)
    except OSError as error:
        log.warning("%s: %s; the spool has no lasting name", file, error.strerror)
        return os.urandom(OCTETS)
    return made


def _read(file: Path) -> bytes | None:
    """Return what the file holds; None where that is no identity."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as stream:
        octets = stream.read(OCTETS + 1)
    if len(octets) == OCTETS:
        return octets
    log.warning("%s: not the name of a spool, which is given a new one", file)
    return None
