"""Why a spool cannot be used now, in words for its state and the log."""

from __future__ import annotations

import errno
from typing import Final

from hepsw.errors import DeliveryError

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpoolError(DeliveryError):
    """A folder that must not be used, or not now."""


class FullError(SpoolError):
    """All of `max` is taken, and the oldest records are to be kept."""


class TooBigError(SpoolError):
    """A record that does not fit into `max`, nor ever will."""


def explained(error: Exception) -> str:
    """Return a sentence for what went wrong."""
    if isinstance(error, SpoolError):
        return str(error)
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return "disk full"
        what = error.strerror or str(error)
        return f"{error.filename}: {what}" if error.filename else what
    return f"a bug in hepsw: {error!r}"
