"""All packets of a call, those of its other legs among them.

A back-to-back user agent answers one call and makes another; what joins them is a correlation id
that agents or rules have written on the packets. So whoever asks for one Call-ID gets every leg
that it leads to, and every leg that those lead to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hepsw.fields.payload import call

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepsw.recall.archive import Archive
    from hepsw.view import View

MOST_LEGS: Final = 32
"""Ids that are followed: a correlation id that all calls share must not fetch the whole store."""
MOST_PACKETS: Final = 20_000
"""Packets of one call. An id of more is not followed: it is no call's, or no ladder could show
it."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a store holds of a call."""

    views: Sequence[View]
    left_out: int
    """Ids that these packets also name, and that were not followed."""
    too_common: Sequence[bytes]
    """Those among them that have too many packets."""
    has_more: bool
    """Whether the id that was asked for has more packets itself; these came first."""


def ids_of(view: View) -> Iterator[bytes]:
    """Yield what a packet is found by: its Call-ID and its correlation id."""
    of_call = call(view)
    if of_call:
        yield of_call
    correlation_id = (view.packet.correlation_id or b"").rstrip(b"\0")
    if correlation_id and correlation_id != of_call:
        yield correlation_id


def gather(
    archive: Archive, wanted: bytes, most: int = MOST_LEGS, most_packets: int = MOST_PACKETS
) -> Gathered:
    """Return the packets of a call and of the legs that belong to it; none if it is not known.

    Args:
        archive: where to look.
        wanted: a Call-ID or a correlation id.
        most: ids that are followed.
        most_packets: packets that are returned.

    Raises:
        StoreError: the store cannot be read.
    """
    views = archive.of_calls((wanted,), most_packets + 1)
    if len(views) > most_packets:
        return Gathered(views[:most_packets], 0, (), has_more=True)
    room = most_packets - len(views)
    asked: dict[bytes, None] = {wanted: None}
    too_common: list[bytes] = []
    while True:
        named = dict.fromkeys(id_ for view in views for id_ in ids_of(view))
        further = [id_ for id_ in named if id_ not in asked]
        found: list[bytes] = []
        for id_ in [id_ for id_ in further if id_ not in too_common]:
            if len(asked) + len(found) + len(too_common) == most:
                break
            number = archive.number_of(id_, room + 1)
            if number > room:
                too_common.append(id_)
            else:
                room -= number
                found.append(id_)
        if not found:
            return Gathered(views, len(further), tuple(too_common), has_more=False)
        asked.update(dict.fromkeys(found))
        views = archive.of_calls(tuple(asked), most_packets)
