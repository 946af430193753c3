"""An event loop for a thread that has none: asyncpg speaks only to such.

`asyncio.Runner` would do, were it not for its end: it waits for look-ups of names that hang.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.guard import GuardedLoop
from hepsw.sinks.stores.postgres.messages import damaged
from hepsw.sinks.stores.postgres.trouble import is_unreadable

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

END_SECONDS: Final = 1.0


class OwnLoop:
    """Runs coroutines, one at a time, and can be closed without waiting long."""

    def __init__(self) -> None:
        self._loop = GuardedLoop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine does.

        Raises:
            StoreError: what came over the connection is nothing that a server says, or makes no
                sense.
            Exception: what else the coroutine raises.
        """
        try:
            return self._loop.run_until_complete(work)
        except Exception as error:
            fault = self._loop.fault
            if fault is None and is_unreadable(error):
                # Its words may quote what was read.
                fault = damaged(type(error).__name__)
            if fault is None:
                raise
            # What asyncpg says of it is that the connection ended, or nothing.
            raise StoreError(str(fault), fault.what) from error

    def close(self) -> None:
        """Cancel what is left of all that was run."""
        with suppress(Exception):
            self._loop.run_until_complete(self._ended())
        self._loop.close()

    async def _ended(self) -> None:
        # A turn for what was terminated just now to close its socket.
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=END_SECONDS)
