"""Letting go of something large, a piece at a time.

Python frees what nobody refers to at once and with all that hangs on it, and runs no other thread
until that is done: what 10,000 rules were read from takes 40 ms. A reload works beside the packets,
so it takes such a thing apart first.
"""

from __future__ import annotations

import gc
from typing import Any, Final

LEVELS: Final = 4
"""From a program by its trees and their lists to what these hold for each rule; from a
configuration by its tables and their rules to the rule, likewise."""


def let_go(*large: dict[Any, Any] | list[Any]) -> None:
    """Empty collections item by item; between two items another thread may run."""
    for collection in large:
        if isinstance(collection, dict):
            while collection:
                collection.popitem()
        else:
            while collection:
                collection.pop()


def dismantle(owned: list[Any]) -> None:
    """Empty a list of large objects to which nobody else refers, whatever they are made of.

    What hangs on them is held while they go, and follows piece by piece.
    """
    pieces: list[Any] = owned
    for _ in range(LEVELS):
        pieces = [
            inner
            for piece in pieces
            for inner in gc.get_referents(piece)
            if not isinstance(inner, type)
        ]
    owned.clear()
    let_go(pieces)
