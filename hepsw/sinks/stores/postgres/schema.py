"""Tables and indexes of both layouts, as statements.

Each statement may be run again: it creates what is missing and alters nothing else. Names are those
of HOMER where HOMER has them. Partitions are made by `partitions`, of which the one without bounds
is made here: it is part of what a table needs to take every row.

A comment on the ledger tells the version, so that a later hepsw knows what it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION: Final = 1
"""Of all tables here."""
LEDGER: Final = "hepsw_ledger"
PACKETS: Final = "hepsw_packets"
OTHER: Final = "_other"
"""Ends the name of the partition of rows whose time is too far from now, where hepsw made it."""

HOMER7_PARENTS: Final[Mapping[str, Sequence[str]]] = {
    "hep_proto_1_call": ("call",),
    "hep_proto_1_registration": ("registration",),
    "hep_proto_1_default": ("default",),
    "hep_proto_5_default": ("rtcp",),
    "hep_proto_35_default": ("report",),
    "hep_proto_53_default": ("dns",),
    "hep_proto_54_default": ("isup",),
    "hep_proto_100_default": ("log",),
}
"""HOMER's tables; heplify-server writes into that of DNS, and nobody creates it."""

_LEDGER_COLUMNS: Final = (
    "key bytea PRIMARY KEY, store text NOT NULL, spool bytea, "
    "first bigint NOT NULL, last bigint NOT NULL, rows bigint NOT NULL, "
    "refused jsonb, at timestamptz NOT NULL DEFAULT now()"
)
_HOMER7_COLUMNS: Final = (
    "id bigserial NOT NULL, sid varchar NOT NULL, "
    "create_date timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL, "
    "protocol_header jsonb NOT NULL, data_header jsonb NOT NULL, raw varchar NOT NULL"
)

_COMMON: Final = {
    "create_date": "create_date",
    "sid": "sid",
    "srcIp": "(protocol_header->>'srcIp')",
    "dstIp": "(protocol_header->>'dstIp')",
    "correlation_id": "(protocol_header->>'correlation_id')",
}
_SIP: Final = (
    *("ruri_domain", "ruri_user", "from_user", "to_user"),
    *("pid_user", "auth_user", "callid", "method"),
)
_ISUP: Final = (
    *("called_number", "calling_number", "opc", "dpc"),
    *("cic", "msg_name", "callid"),
)

_PACKETS_BY: Final = (
    *("at", "call", "correlation_id", "src_ip", "dst_ip"),
    *("sip_ruri_user", "sip_from_user", "sip_to_user"),
)


def quoted(name: str) -> str:
    """Return a name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def indexes_of(parent: str) -> dict[str, str]:
    """Return the indexes of a table and of each of its partitions: what is indexed, by name."""
    if parent == PACKETS:
        return {name: quoted(name) for name in _PACKETS_BY}
    if parent.startswith("hep_proto_1_"):
        return {**_COMMON, **{name: f"(data_header->>'{name}')" for name in _SIP}}
    if parent.startswith("hep_proto_54_"):
        common = {name: _COMMON[name] for name in ("create_date", "sid", "correlation_id")}
        return {**common, **{name: f"(data_header->>'{name}')" for name in _ISUP}}
    return dict(_COMMON)


def index_statements(relation: str, parent: str) -> list[str]:
    """Return what creates the indexes of a parent, or of one partition of it."""
    return [
        f"CREATE INDEX IF NOT EXISTS {quoted(f'{relation}_{name}')} "
        f"ON {quoted(relation)} ({expression})"
        for name, expression in indexes_of(parent).items()
    ]


def homer7_statements() -> list[str]:
    """Return what creates the layout `homer7`."""
    statements = ledger_statements()
    for parent in HOMER7_PARENTS:
        statements += [
            _partitioned(parent, _HOMER7_COLUMNS, "create_date"),
            _without_bounds(parent),
            *index_statements(parent, parent),
        ]
    return statements


def hepsw_statements(columns: Mapping[str, str], further: Sequence[str]) -> list[str]:
    """Return what creates the layout `hepsw`.

    Args:
        columns: with their types.
        further: those of the operator's own, which a table that is there already may lack.
    """
    listed = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
    return [
        *ledger_statements(),
        _partitioned(PACKETS, f"id bigserial NOT NULL, {listed}", "at"),
        _without_bounds(PACKETS),
        *(
            f"ALTER TABLE {PACKETS} ADD COLUMN IF NOT EXISTS {quoted(name)} {columns[name]}"
            for name in further
        ),
        *index_statements(PACKETS, PACKETS),
    ]


def ledger_statements() -> list[str]:
    """Return what creates the ledger: a row for each batch, written in its transaction."""
    return [
        f"CREATE TABLE IF NOT EXISTS {LEDGER} ({_LEDGER_COLUMNS})",
        f"CREATE INDEX IF NOT EXISTS {LEDGER}_spool ON {LEDGER} (spool, first)",
        f"CREATE INDEX IF NOT EXISTS {LEDGER}_at ON {LEDGER} (at)",
        f"COMMENT ON TABLE {LEDGER} IS 'hepsw schema {VERSION}'",
    ]


def _partitioned(table: str, columns: str, by: str) -> str:
    return f"CREATE TABLE IF NOT EXISTS {table} ({columns}) PARTITION BY RANGE ({by})"


def _without_bounds(parent: str) -> str:
    """Return what makes the partition without bounds, unless there is one of whatever name."""
    return (
        f"DO $$ BEGIN IF (SELECT partdefid = 0 FROM pg_partitioned_table "  # noqa: S608 - names of our own
        f"WHERE partrelid = '{parent}'::regclass) THEN "
        f"CREATE TABLE {parent}{OTHER} PARTITION OF {parent} DEFAULT; END IF; END $$"
    )
