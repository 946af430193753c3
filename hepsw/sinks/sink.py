"""What the daemon asks of every destination and store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    folder: Path | None
    """Of its spool."""

    def start(self) -> None:
        """Begin to deliver, inside a running loop; the far side may be away."""
        ...

    def open_spool(self) -> None:
        """Open the spool, if there is one, now that nobody else in this process has it."""
        ...

    def enqueue(self, views: Sequence[View]) -> None:
        """Take a batch: each packet is counted `enqueued`, or `shed` with its reason."""
        ...

    @property
    def state(self) -> str:
        """What it is doing, for a reader of the account."""
        ...

    @property
    def held(self) -> Held:
        """What was taken and is neither delivered nor dropped, at this moment."""
        ...

    @property
    def waiting(self) -> int:
        """Octets that wait in memory and count against the budget of all sinks."""
        ...

    @property
    def is_moving(self) -> bool:
        """Whether what waits can be expected to leave."""
        ...

    async def drain(self, seconds: float, *, hurry: bool = False) -> None:
        """Return when all that was taken is delivered, or after `seconds`.

        In a hurry, also as soon as what is left can go to the spool.
        """
        ...

    async def close(self, reason: Reason) -> None:
        """Stop; what is still held goes to the spool, or is counted `dropped` with the reason."""
        ...
