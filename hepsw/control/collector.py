"""Python's garbage collector, kept from what a configuration is made of.

A full collection looks at every object that there is, and everything waits for it: half a second
while 10,000 rules are read, again and again as their number grows. What a configuration is made
from and compiled to has no cycles, so nobody needs the collector to free it.

The price: what else is there when all is left alone, and becomes a cycle later, stays. Of asyncio's
transports that is two kilobytes for each connection that is open at a reload, once it is closed.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER: Final = 1 << 30
"""So many collections of the middle generation until a full one."""


def settle() -> None:
    """Collect once, then leave alone for good whatever is there."""
    gc.collect()
    gc.freeze()


@contextmanager
def no_full_collections() -> Iterator[None]:
    """Put off full collections, and leave alone for good whatever is there at the end.

    Young objects are still looked at: a flood of packets may leave cycles behind.
    """
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(young, middle, old)
