"""One url of a destination: what a destination asks of it, and what it is told by it.

A destination with several urls has a link for each and a policy that chooses between them
(`pool`); nothing a link does depends on the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hepsw.accounting import SinkAccount
    from hepsw.config.units import Url
    from hepsw.sinks.queue import FrameQueue


class Link(Protocol):
    """A way to one far side, made again and again when it breaks.

    `take` is called on the packet path: it never waits and never raises. What it cannot give to
    the kernel waits in `queue`, in order; nothing is dropped here but what the far side's transport
    can never carry.
    """

    url: Url
    queue: FrameQueue
    """What waits for this link."""
    is_up: bool
    """Whether it stands: what is taken now can leave now."""

    @property
    def in_flight(self) -> int:
        """Frames given to the kernel, wholly or in part, that are not delivered yet."""
        ...

    @property
    def is_writing(self) -> bool:
        """Whether frames are in flight or wait in the queue."""
        ...

    @property
    def begun(self) -> int:
        """Frames that the far side may have, all or in part, the first that `take_back` returns.

        Who gives them to another link sends them once more.
        """
        ...

    def start(self) -> None:
        """Begin to look up and to connect, inside a running loop."""
        ...

    def take(self, frames: list[bytes], *, make_room: bool) -> int:
        """Take frames, in order.

        Args:
            frames: not empty.
            make_room: where the queue is full, its oldest frames go.

        Returns:
            How many were taken, from the first on: for the others there is no room.
        """
        ...

    def take_back(self) -> list[bytes]:
        """Give up everything that is not delivered, oldest first: in flight, then waiting.

        A frame of which the kernel has a part is among them, so a connection that stands is
        broken by it, without a word to the owner.
        """
        ...

    async def close(self) -> None:
        """End; what is not delivered stays for `take_back`."""
        ...


class LinkOwner(Protocol):
    """What a link tells, always on the loop."""

    name: str
    """Of the destination."""
    account: SinkAccount
    """Where a link counts `errors` and `resent` by itself; all else is the owner's."""

    def delivered(self, frames: list[bytes], start: int, stop: int) -> None:
        """`frames[start:stop]` are delivered, in the sense of the link's delivery class."""
        ...

    def undeliverable(self, frame: bytes) -> None:
        """Hear of a frame that is more than the transport carries."""
        ...

    def came_up(self, link: Link) -> None:
        """`is_up` has become true."""
        ...

    def went_down(self, link: Link, error: Exception) -> None:
        """Hear of a break, or that it could not be made; it tries again by itself.

        What was in flight waits at the head of the queue already.
        """
        ...

    def emptied(self, link: Link) -> None:
        """Nothing waits any more, and nothing is in flight."""
        ...
