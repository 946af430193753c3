"""`pcap://file`: packets as captures that Wireshark, tshark and sngrep open.

What a record is, `datagram` says. Capture files hold nothing else that a packet says; for that
there are JSON lines and databases.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from hepsw.sinks.stores.files.datagram import (
    LATEST_US,
    RECORD,
    file_header,
    make_record,
    time_of,
)
from hepsw.sinks.stores.files.rotation import Format
from hepsw.sinks.stores.files.writer import FileWriter

if TYPE_CHECKING:
    from hepsw.sinks.stores.writer import Written
    from hepsw.view import View

WALKED: Final = 100_000
"""Records of a file of an earlier life that are gone through: it is done in a tenth of a second."""


class PcapWriter(FileWriter):
    """A `Writer` of captures."""

    kind = "pcap"

    def _format(self) -> Format:
        return Format(file_header(), resume)

    def _record(self, view: View, written: Written) -> bytes:
        if time_of(view) > LATEST_US:
            written.altered["time"] += 1
        return make_record(view)


def resume(fd: int, size: int) -> bytes | None:
    """Say whether a capture can be added to: its header is ours, and it ends with a whole record.

    A file that is too long to be gone through is left alone, as one that was torn is.
    """
    header = file_header()
    if os.pread(fd, len(header), 0) != header:
        return None
    offset = len(header)
    for _ in range(WALKED):
        if offset == size:
            return b""
        record = os.pread(fd, RECORD.size, offset)
        if len(record) < RECORD.size:
            return None
        kept = RECORD.unpack(record)[2]
        offset += RECORD.size + kept
        if offset > size:
            return None
    return None
