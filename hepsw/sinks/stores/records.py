"""Records of a store's spool: which of them were one batch once, and are to be tried as that again.

At the end of a store the batch under way may be committed, though nobody heard of it. It goes to
the spool with its key; tried again with that, as a whole, it is recognised. Of a batch that is not
whole any more, because the spool gave up a part of it, nothing can be known: it is stored, perhaps
once more, rather than lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepsw.sinks.stores.envelope import Mark, encode, mark_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepsw.sinks.stores.writer import Batch
    from hepsw.view import View

Records = list[tuple[int, bytes]]
"""Numbers in the spool, and envelopes."""


def envelopes_of(views: Sequence[View], unsure: Batch | None) -> list[bytes]:
    """Return the envelopes of packets.

    Args:
        views: the packets.
        unsure: the batch that the first of them are, if it may be committed already.
    """
    count = len(unsure.views) if unsure is not None else 0
    marked = [
        encode(view, Mark(unsure.key, at, count) if unsure is not None else None)
        for at, view in enumerate(views[:count])
    ]
    return [*marked, *map(encode, views[count:])]


def missing(records: Records) -> int:
    """Return how many records are to be read on, so that the batch of the last one is whole."""
    mark = mark_of(records[-1][1])
    return 0 if mark is None else mark.packets - 1 - mark.at


def parts_of(records: Records) -> Iterator[tuple[Records, bytes | None]]:
    """Yield the records in parts: batches that are whole, with their keys, and what is between."""
    plain: Records = []
    at = 0
    while at < len(records):
        mark = mark_of(records[at][1])
        if mark is not None and _is_whole(records, at, mark):
            if plain:
                yield plain, None
                plain = []
            yield records[at : at + mark.packets], mark.key
            at += mark.packets
        else:
            plain.append(records[at])
            at += 1
    if plain:
        yield plain, None


def _is_whole(records: Records, start: int, first: Mark) -> bool:
    """Return whether all of a batch is there, from a position on."""
    if first.at or start + first.packets > len(records):
        return False
    marks = [mark_of(envelope) for _, envelope in records[start : start + first.packets]]
    return marks == [(first.key, at, first.packets) for at in range(first.packets)]
