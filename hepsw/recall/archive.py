"""What the commands that read calls back ask of a store.

Packets come back as the `View`s they were when they were stored, so everything that a rule can ask
of a packet can be asked of a stored one, by the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hepsw.view import View


class Archive(Protocol):
    """The reading end of a store; each method may raise `StoreError`.

    A reader never keeps a writer waiting.
    """

    damaged: int
    """Rows left out so far, because they cannot be packets."""

    def count(self, since_us: int, until_us: int) -> int:
        """Return about how many packets `scan` will yield, for a progress bar; cheap."""
        ...

    def scan(self, since_us: int, until_us: int) -> Iterator[View]:
        """Yield the packets of a time, oldest first; memory stays flat.

        Args:
            since_us: capture time, microseconds since the epoch; within.
            until_us: likewise; not within.
        """
        ...

    def of_calls(self, calls: Collection[bytes], most: int) -> list[View]:
        """Return the packets whose `call` or `correlation_id` is one of these, oldest first.

        By index, whatever the store holds.

        Args:
            calls: what is looked for.
            most: packets that are returned at most; of more, about those that came first.
        """
        ...

    def number_of(self, call: bytes, most: int) -> int:
        """Return about how many packets `of_calls` has of one id, and no more than `most`.

        Cheap: the packets are not fetched.
        """
        ...

    def close(self) -> None:
        """Let the store go."""
        ...
