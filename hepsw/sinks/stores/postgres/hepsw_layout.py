"""Rows of the layout `hepsw`: one partitioned table, typed columns, every octet kept once.

The columns are those of every store of packets (`stores.rows`), in PostgreSQL's own types: `inet`,
`timestamptz`, `bigint`, `text`. A text that PostgreSQL does not take is cleaned; verbatim it stays
in the frame, which is `frame_head`, then `compressed` or else `payload`, then `frame_tail`.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from hepsw.sinks.stores.postgres import schema
from hepsw.sinks.stores.postgres.layout import moment
from hepsw.sinks.stores.postgres.texts import fitting, text
from hepsw.sinks.stores.profile import PROFILES
from hepsw.sinks.stores.rows import COLUMNS, columns_with, make_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.postgres.layout import Row
    from hepsw.view import View

ADDRESSES: Final = frozenset({"src_ip", "dst_ip", "peer_ip", "local_ip"})
INDEXED: Final = frozenset({"call", "correlation_id"} | {n for n in COLUMNS if n.endswith("_user")})
"""Columns whose texts must fit into an index."""

_ELSEWHERE: Final = frozenset(
    {
        "received_us",  # `received`
        "time_us",  # `at`; where it is missing, only the frame tells
        "payload_at",  # these four become `frame_head` to `frame_tail`
        "payload_octets",
        "inflated",
        "frame",
    }
)
"""Columns of `stores.rows` that are others here."""

_TYPES: Final = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea"}


RESERVED: Final = frozenset(
    {*COLUMNS, "id", "at", "received", "payload", "compressed", "frame_head", "frame_tail"}
)
"""What the operator's own columns cannot be called."""


def columns_of(names: Sequence[str]) -> dict[str, str]:
    """Return every column that COPY fills, with its type, in the order of a row.

    Args:
        names: columns of the operator's own.
    """
    return {
        "at": "timestamptz NOT NULL",
        "received": "timestamptz NOT NULL",
        **{
            name: _type(name, sqlite_type)
            for name, sqlite_type in columns_with(names).items()
            if name not in _ELSEWHERE
        },
        "payload": "bytea",
        "compressed": "bytea",
        "frame_head": "bytea NOT NULL",
        "frame_tail": "bytea NOT NULL",
    }


class HepswLayout:
    """The layout `hepsw`."""

    name = "hepsw"
    time_column = "at"
    parents: Mapping[str, Sequence[str]] = {schema.PACKETS: tuple(PROFILES)}

    def __init__(self, settings: StoreSettings) -> None:
        names = [name for name, _ in settings.columns]
        if taken := sorted(RESERVED.intersection(names)):
            raise ValueError(f"columns that the table has itself: {', '.join(taken)}")
        self._further = [template for _, template in settings.columns]
        self._types = columns_of(names)
        self.columns = tuple(self._types)
        made = list(columns_with(names))
        self._at = {name: made.index(name) for name in _ELSEWHERE}
        self._kept = [
            (position, _conversion(name, self._types[name]))
            for position, name in enumerate(made)
            if name not in _ELSEWHERE
        ]
        self._names = names

    def statements(self) -> Sequence[str]:
        """See `Layout`."""
        return schema.hepsw_statements(self._types, self._names)

    def parent_of(self, profile: str) -> str:  # noqa: ARG002 - all are in one
        """See `Layout`."""
        return schema.PACKETS

    def at_us(self, view: View) -> int:
        """Return the capture time; the time of arrival of a packet without one."""
        time_us = view.packet.time_us
        return view.received_us if time_us is None else time_us

    def row(self, view: View, at_us: int, profile: str, odd: set[str]) -> Row:  # noqa: ARG002 - make_row knows it
        """See `Layout`."""
        made = make_row(view, self._further)
        at = self._at
        frame = cast("bytes", made[at["frame"]])
        start = cast("int | None", made[at["payload_at"]])
        payload: bytes | None = None
        compressed: bytes | None = None
        head, tail = frame, b""
        if start is not None:
            start -= 1
            end = start + cast("int", made[at["payload_octets"]])
            head, payload, tail = frame[:start], frame[start:end], frame[end:]
            inflated = cast("bytes | None", made[at["inflated"]])
            if inflated is not None:
                payload, compressed = inflated, payload
        return (
            moment(at_us),
            moment(view.received_us),
            *[
                made[position] if convert is None else convert(made[position], odd)
                for position, convert in self._kept
            ],
            payload,
            compressed,
            head,
            tail,
        )


def _type(name: str, sqlite_type: str) -> str:
    if name in ADDRESSES:
        return "inet"
    kind, blank, constraint = sqlite_type.partition(" ")
    return _TYPES[kind] + blank + constraint


def _conversion(name: str, pg_type: str) -> Any:  # noqa: ANN401 - a function of each value's type
    """Return what makes a value of a column out of one of `make_row`; None: it is one."""
    if pg_type == "inet":
        return _inet_or_null
    if not pg_type.startswith("text"):
        return None
    return _key if name in INDEXED else _cleaned


def _cleaned(value: str | bytes | None, odd: set[str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return text(value, odd)
    return text(value.encode(), odd) if "\0" in value else value


def _key(value: str | bytes | None, odd: set[str]) -> str | None:
    written = _cleaned(value, odd)
    return None if written is None else fitting(written, odd)


def storable_key(octets: bytes) -> str:
    """Return what an indexed column has for a text of packets, to look it up."""
    try:
        value: str | bytes = octets.decode()
    except UnicodeDecodeError:
        value = octets
    return _key(value, set()) or ""


def _inet_or_null(value: str | None, odd: set[str]) -> bytes | None:  # noqa: ARG001 - as the others
    return None if value is None else _inet(value)


@lru_cache(maxsize=16384)
def _inet(written: str) -> bytes:
    """Return an address as `inet` travels: family, bits, no CIDR, octets.

    The families are PostgreSQL's own numbers, the same on every system.
    """
    packed = ipaddress.ip_address(written).packed
    family = 2 if len(packed) == 4 else 3
    return bytes((family, 8 * len(packed), 0, len(packed))) + packed
