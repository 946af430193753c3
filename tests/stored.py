"""The verdict on what is in the table of a database, against what was sent.

Numbered packets are known by their Call-ID. A row is right if what it keeps of the packet is, octet
for octet, what follows from its number, and its time that of the packet.
"""

from collections import Counter
from dataclasses import dataclass

import numbered

HOMER7 = "homer7"
HEPSW = "hepsw"
TABLES = {HOMER7: "hep_proto_1_default", HEPSW: "hepsw_packets"}
"""Where numbered packets are, by layout: their method is MESSAGE."""
TIMES = {HOMER7: "create_date", HEPSW: "at"}
"""The column with the time, by layout."""
CALLS = {HOMER7: "sid", HEPSW: "call"}
"""The column with the Call-ID, by layout."""

_ROWS = {
    HOMER7: """
        SELECT sid, (extract(epoch FROM create_date) * 1000000)::bigint,
            convert_to(raw, 'UTF8'),
            (protocol_header->>'captureId')::bigint,
            (protocol_header->>'timeSeconds')::bigint * 1000000
                + (protocol_header->>'timeUseconds')::bigint
        FROM hep_proto_1_default""",
    HEPSW: """
        SELECT call, (extract(epoch FROM at) * 1000000)::bigint,
            frame_head || coalesce(compressed, payload, '') || frame_tail
        FROM hepsw_packets""",
}


@dataclass(frozen=True)
class Stored:
    """What became of the packets that were sent."""

    sent: int
    rows: int
    missing: frozenset
    """Packets, as source and number, of which there is no row."""
    duplicates: int
    """Rows of packets that have one already."""
    spurious: int
    """Rows of packets that nobody sent."""
    corrupt: int
    """Rows that are not those of their number."""

    @property
    def is_all_once(self):
        """Whether every packet that was sent is there, once and unaltered, and nothing else is."""
        return not (self.missing or self.duplicates or self.spurious or self.corrupt)

    def __str__(self):
        return (
            f"{self.sent} sent, {len(self.missing)} missing, {self.duplicates} duplicates, "
            f"{self.spurious} spurious, {self.corrupt} corrupt"
        )


def stored(sent, database, layout):
    """Return the verdict on the rows of a database.

    Args:
        sent: how many packets each source sent.
        database: a `Database`.
        layout: `homer7` or `hepsw`.
    """
    came = Counter()
    corrupt = spurious = 0
    rows = database.query(_ROWS[layout])
    for call, *columns in rows:
        found = numbered.identified(call)
        if found is None or found[1] >= sent.get(found[0], 0):
            spurious += 1
            continue
        came[found] += 1
        corrupt += not _IS_RIGHT[layout](found, *columns)
    return Stored(
        sent=sum(sent.values()),
        rows=len(rows),
        missing=frozenset(
            (source, at)
            for source, count in sent.items()
            for at in range(count)
            if (source, at) not in came
        ),
        duplicates=came.total() - len(came),
        spurious=spurious,
        corrupt=corrupt,
    )


def _is_right_homer7(found, at_us, payload, capture_id, header_us):
    """Whether the parts that HOMER keeps are those of a number."""
    whole = numbered.payload_of(*found, len(payload))
    return (payload, capture_id, header_us) == (whole, found[0], at_us)


def _is_right_hepsw(found, at_us, frame):
    """Whether the frame is that of its number, octet for octet."""
    return numbered.number_of(frame) == (*found, at_us)


_IS_RIGHT = {HOMER7: _is_right_homer7, HEPSW: _is_right_hepsw}
