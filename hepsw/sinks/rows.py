"""What a packet is in a table: the columns, and one view as one row of them.

The columns are made from the field catalogue, so a field that is added there is stored as well.
`sqlite_file` writes the rows; nothing here opens a file.

Numbers and times are INTEGER. Addresses are TEXT as templates print them. Texts are TEXT where they
are UTF-8 and the octets themselves (BLOB) where they are not, without the NULs at their end, which
is how rules compare them. Whatever a column leaves out is still in `frame`, octet for octet.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from hepsw.fields import CATALOGUE, Field, Kind
from hepsw.hep.chunks import MAX_TOTAL_LENGTH
from hepsw.hep.inflate import inflate

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepsw.hep import Packet
    from hepsw.view import View

SqlValue = int | str | bytes | None
Row = tuple[SqlValue, ...]

INFLATED_OCTETS: Final = MAX_TOTAL_LENGTH
"""Octets of a payload that `inflated` takes. What is more never was the payload of a HEP packet; a
thousand octets of a frame make a MiB of it."""

LEFT_OUT: Final = frozenset(
    {
        "auth_key",  # a secret: who may read the table need not see it in a column
        "payload",  # these two are computed from `frame`, so that no octet is stored twice
        "compressed_payload",
        "peer_name",  # files that are there have no such column
        "ip",  # either end: src_ip and dst_ip say it
        "port",
        "size",  # length(frame)
        "payload_size",  # length(payload)
    }
)
"""Fields of the catalogue that are no column of their own."""

_FIELDS: Final = tuple(
    field for field in CATALOGUE.values() if field.name not in LEFT_OUT and not field.parses
)

_TYPES: Final = {
    Kind.NUMBER: "INTEGER",
    Kind.TIME: "INTEGER",
    Kind.MAC: "TEXT",
    Kind.IP: "TEXT",
    Kind.TEXT: "TEXT",
    Kind.OCTETS: "BLOB",
}


def _column(field: Field) -> tuple[str, str]:
    """Return the name and the type of a field's column."""
    name = "time_us" if field.kind is Kind.TIME else field.name
    return name, "TEXT" if _is_wide(field) else _TYPES[field.kind]


def _is_wide(field: Field) -> bool:
    """Return whether the field's numbers are more than SQL's signed 64 bits hold."""
    return field.bits > 63


COLUMNS: Final[dict[str, str]] = {
    "received_us": "INTEGER NOT NULL",
    **dict(map(_column, _FIELDS)),
    "payload_at": "INTEGER",
    "payload_octets": "INTEGER",
    "inflated": "BLOB",
    "frame": "BLOB NOT NULL",
}
"""Every column that is written, with its type, in the order of `make_row`.

`payload_at` counts from 1, as SQL's substr does, and is where the payload starts in `frame`;
`inflated` is filled only where it is compressed there. It is empty where the payload does not
inflate, and NULL where it inflates to more than `INFLATED_OCTETS`: `payload` is then as it
travelled, still compressed. The frame comes last: what stands behind a long value is slow to read.
"""

COMPUTED: Final[dict[str, str]] = {
    "at_us": "INTEGER NOT NULL AS (coalesce(time_us, received_us))",
    "payload": "BLOB AS (coalesce(inflated, substr(frame, payload_at, payload_octets)))",
    "compressed_payload": (
        "BLOB AS (CASE WHEN inflated IS NOT NULL "
        "THEN substr(frame, payload_at, payload_octets) END)"
    ),
}
"""Columns that cost no octet in the file.

`at_us` is when it happened: the capture time, or the time of arrival of a packet that states none.
"""


def make_row(view: View) -> Row:
    """Return the values of `COLUMNS` for one packet.

    Inflates a compressed payload, so it is no work for the packet path.
    """
    values: list[SqlValue] = [read(view) for read in _READERS]  # type: ignore[misc] # columns are single-valued
    for position, convert in _CONVERSIONS:
        value = values[position]
        if value is not None:
            values[position] = convert(value)
    packet = view.packet
    span = packet.payload_span
    start, end = (None, None) if span is None else span
    return (
        view.received_us,
        *values,
        None if start is None else start + 1,
        None if start is None or end is None else end - start,
        _inflated(packet),
        packet.data,
    )


def frame_of(row: Row) -> bytes:
    """Return the frame that a row was made of."""
    return cast("bytes", row[-1])


def octets_of(row: Row) -> int:
    """Return about how many octets a row of `make_row` takes in memory.

    The frame and, since its texts are parts of it, the frame once more; and what was inflated.
    """
    inflated = cast("bytes | None", row[-2])
    return 2 * len(frame_of(row)) + len(inflated or b"")


def _inflated(packet: Packet) -> bytes | None:
    """Return what `Packet.payload` is, where that is not in the frame as it stands; or None.

    Not asked of `payload` itself, which remembers its answer in a packet that other threads read.
    """
    if packet.body_size(0x0010) is None or packet.body_size(0x000F) is not None:
        return None
    known = packet.inflated or inflate(packet.body(0x0010) or b"", INFLATED_OCTETS)
    if known.warning == "inflate-limit" or len(known.payload) > INFLATED_OCTETS:
        return None
    return known.payload


@lru_cache(maxsize=16384)
def _ip_text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _text(octets: bytes) -> str | bytes:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets


def _conversion(field: Field) -> Callable[..., SqlValue] | None:
    """Return what makes a column's value of a field's, None where they are the same."""
    if _is_wide(field):
        return lambda value: field.render(value).decode()
    match field.kind:
        case Kind.IP:
            return _ip_text
        case Kind.TEXT:
            return _text
        case _:
            return None


_READERS: Final = tuple(field.read for field in _FIELDS)
_CONVERSIONS: Final = tuple(
    (position, convert)
    for position, field in enumerate(_FIELDS)
    if (convert := _conversion(field)) is not None
)
