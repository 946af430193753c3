"""What the daemon asks of every destination and store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.accounting import Reason, SinkAccount
    from hepsw.view import View


class Held(NamedTuple):
    """Packets that a sink holds."""

    in_memory: int = 0
    in_spool: int = 0
    in_flight: int = 0


class Sink(Protocol):
    """A destination or a store.

    `enqueue` is called on the packet path: it takes a batch, never waits and never raises.
    Everything that can take time happens in a task or a thread of the sink's own, which `start`
    begins without waiting for the far side: a sink whose far side is away is a sink that starts.
    """

    account: SinkAccount

    def start(self) -> None:
        """Begin to deliver, inside a running loop; the far side may be away."""
        ...

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch: each packet is counted `enqueued`, or `shed` with its reason."""
        ...

    @property
    def held(self) -> Held:
        """What was taken and is neither delivered nor dropped, at this moment."""
        ...

    async def drain(self, seconds: float) -> None:
        """Return when all that was taken is delivered, or after `seconds`."""
        ...

    async def close(self, reason: Reason) -> None:
        """Stop; what is still held is counted `dropped` with the reason."""
        ...
