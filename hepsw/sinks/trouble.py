"""What the trouble of a link is called: in the counters, in its state, and once in the log."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from hepsw.errors import DeliveryError
from hepsw.sinks.resolve import OwnListenerError

if TYPE_CHECKING:
    from hepsw.accounting import SinkAccount
    from hepsw.config.units import Url

log = logging.getLogger("hepsw.sinks")


class RefusedError(DeliveryError):
    """Nobody listens on the UDP port; it is counted where each refusal is heard."""


class TlsError(DeliveryError):
    """One side refused the other's certificate, or what it said was no TLS."""


class Trouble:
    """The state of one link, for a reader."""

    def __init__(self, account: SinkAccount, name: str, url: Url) -> None:
        self._account = account
        self._name = name
        self._url = url
        self.state = "connecting"
        """`connecting`, `up`, `refused`, or `down: ` and why."""

    def is_over(self) -> None:
        """The link stands."""
        if self.state == "refused":
            log.info("%s: refused no more by %s", self._name, self._url)
        elif self.state != "up" and self._url.scheme in {"tcp", "tls"}:
            log.info("%s: connected to %s", self._name, self._url)
        self.state = "up"

    def tell(self, error: Exception) -> None:
        """Count what took the link down, and log it unless the state says so already.

        Args:
            error: what was raised. Anything but a `DeliveryError` or an `OSError` is a bug in
                hepsw: counted `internal` and logged with its traceback.
        """
        if isinstance(error, RefusedError):
            self._become("refused", "nobody listens; sending on")
            return
        label = "broken" if self.state == "up" else "unreachable"
        bug = None
        if isinstance(error, OSError):
            # asyncio writes words of its own where the system has some.
            why = os.strerror(error.errno) if error.errno else str(error)
        elif isinstance(error, DeliveryError):
            why = str(error)
            if isinstance(error, OwnListenerError):
                label = "own-listener"
            elif isinstance(error, TlsError):
                label = "tls"
        else:
            bug, label, why = error, "internal", f"a bug in hepsw: {error!r}"
        self._account.errors[label] += 1
        self._become(f"down: {why}", f"{why}; trying again", bug)

    def _become(self, state: str, text: str, bug: Exception | None = None) -> None:
        if self.state != state:
            self.state = state
            level = logging.WARNING if bug is None else logging.ERROR
            log.log(level, "%s: %s: %s", self._name, self._url, text, exc_info=bug)
