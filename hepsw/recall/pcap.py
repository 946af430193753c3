"""A call as a capture file: what `hepsw export` writes.

The records are those of the pcap stores, made by the same code.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from hepsw.errors import CannotLeaveError
from hepsw.sinks.stores.files.datagram import file_header, make_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepsw.view import View


@dataclass(slots=True)
class Exported:
    """What became of the packets."""

    written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """What no datagram can hold, by reason: `too-big`, `inflate-failed`."""


def write_capture(stream: BinaryIO, views: Iterable[View]) -> Exported:
    """Write packets as one capture file, in the order in which they come.

    Args:
        stream: takes octets; not closed.
        views: read one after the other, so there may be any number of them.
    """
    told = Exported()
    stream.write(file_header())
    for view in views:
        try:
            record = make_record(view)
        except CannotLeaveError as error:
            told.left_out[error.reason] += 1
        else:
            stream.write(record)
            told.written += 1
    return told
