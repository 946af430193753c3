"""What a packet is in a table: the columns, and one view as one row of them.

The columns are made from the field catalogue, so a field that is added there is stored as well; of
what the payload says, those that calls are looked for by. Columns of the operator's own are
templates. Writers of databases write the rows; nothing here opens a file.

Numbers and times are INTEGER. Addresses are TEXT as templates print them. Texts are TEXT where they
are UTF-8 and the octets themselves (BLOB) where they are not, without the NULs at their end, which
is how rules compare them. Whatever a column leaves out is still in `frame`, octet for octet.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from hepsw.fields import CATALOGUE, Field, Kind
from hepsw.hep import decode
from hepsw.hep.chunks import MAX_TOTAL_LENGTH
from hepsw.hep.inflate import inflate
from hepsw.sinks.stores.profile import profile_of
from hepsw.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hepsw.config.template import Template
    from hepsw.hep import Packet

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
        "ip",  # either end: src_ip and dst_ip say it
        "port",
        "size",  # length(frame)
        "payload_size",  # length(payload)
    }
)
"""Fields of the catalogue that are no column of their own."""

PARSED: Final = (
    "call",
    "sip.method",
    "sip.status",
    "sip.ruri_user",
    "sip.from_user",
    "sip.to_user",
)
"""Fields of the payload that are columns: calls are found by them without reading every frame."""

_FIELDS: Final = (
    *(field for field in CATALOGUE.values() if field.name not in LEFT_OUT and not field.parses),
    *(CATALOGUE[name] for name in PARSED),
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
    name = "time_us" if field.kind is Kind.TIME else field.name.replace(".", "_")
    return name, "TEXT" if _is_wide(field) else _TYPES[field.kind]


def _is_wide(field: Field) -> bool:
    """Return whether the field's numbers are more than SQL's signed 64 bits hold."""
    return field.bits > 63


_HEAD: Final = {
    "received_us": "INTEGER NOT NULL",
    "profile": "TEXT NOT NULL",
    "resumed": "INTEGER NOT NULL",
    **dict(map(_column, _FIELDS)),
}
_TAIL: Final = {
    "payload_at": "INTEGER",
    "payload_octets": "INTEGER",
    "inflated": "BLOB",
    "frame": "BLOB NOT NULL",
}


def columns_with(names: Iterable[str]) -> dict[str, str]:
    """Return every column that `make_row` fills, with its type, in its order.

    `profile` is that of `profile_of`. `resumed` is 1 where a rule said to read the payload as SIP,
    else 0. `payload_at` counts from 1, as SQL's substr does, and is where the payload starts in
    `frame`; `inflated` is filled only where it is compressed there. It is empty where the payload
    does not inflate, and NULL where it inflates to more than `INFLATED_OCTETS`: `payload` is then
    as it travelled, still compressed. The frame comes last: what stands behind a long value is slow
    to read.

    Args:
        names: columns of the operator's own, none of them the name of one that is here anyway.
    """
    return {**_HEAD, **dict.fromkeys(names, "TEXT"), **_TAIL}


COLUMNS: Final[dict[str, str]] = columns_with(())
"""The columns that every store of packets has."""

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


def make_row(view: View, further: Sequence[Template] = ()) -> Row:
    """Return the values of `columns_with` for one packet.

    Inflates a compressed payload and reads SIP, so it is no work for the packet path. What is read
    is gone with the row: it is read off a packet of its own, since others hold the view as well,
    in threads of their own.

    Args:
        view: is left as it is.
        further: what the operator's own columns are made of; NULL where one renders empty.
    """
    packet = decode(view.packet.data)
    own = View(packet, view.peer, view.received_us, resumed=view.resumed)
    values: list[SqlValue] = [read(own) for read in _READERS]  # type: ignore[misc] # columns are single-valued
    for position, convert in _CONVERSIONS:
        value = values[position]
        if value is not None:
            values[position] = convert(value)
    for template in further:
        octets = template.render(own)
        values.append(_text(octets) if octets else None)
    span = packet.payload_span
    start, end = (None, None) if span is None else span
    return (
        view.received_us,
        profile_of(own),
        int(view.resumed),
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

    The frame and what was inflated, both twice, since the texts of the row are parts of them; and
    the operator's own columns.
    """
    carried = len(frame_of(row)) + len(cast("bytes | None", row[-2]) or b"")
    own = cast("tuple[str | bytes | None, ...]", row[len(_HEAD) : -len(_TAIL)])
    return 2 * carried + sum(len(text) for text in own if text)


def _inflated(packet: Packet) -> bytes | None:
    """Return what `Packet.payload` is, where that is not in the frame as it stands; or None."""
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
