"""What a destination's trouble is called: in its counters, in its state, and once in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hepsw.errors import DeliveryError
from hepsw.sinks.resolve import OwnListenerError

if TYPE_CHECKING:
    from hepsw.accounting import SinkAccount
    from hepsw.config.units import Url

log = logging.getLogger("hepsw.sinks")


def tell_down(account: SinkAccount, name: str, url: Url, error: Exception, label: str) -> None:
    """Count what took a destination down, and log it unless its state says so already.

    Args:
        account: the destination's.
        name: of the destination.
        url: of the destination.
        error: what was raised. Anything but a `DeliveryError` or an `OSError` is a bug in hepsw:
            counted `internal` and logged with its traceback.
        label: what it is counted as where `error` says nothing better.
    """
    bug = None
    if isinstance(error, OSError):
        why = error.strerror or str(error)
    elif isinstance(error, DeliveryError):
        why = str(error)
        if isinstance(error, OwnListenerError):
            label = "own-listener"
    else:
        bug, label, why = error, "internal", f"a bug in hepsw: {error!r}"
    account.errors[label] += 1
    state = f"down: {why}"
    if account.state != state:
        account.state = state
        level = logging.WARNING if bug is None else logging.ERROR
        log.log(level, "%s: %s: %s; trying again", name, url, why, exc_info=bug)
