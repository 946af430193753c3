"""Names of columns: which ones an operator's own may have, because no store has them already.

The configuration judges names by it, and what stores make of a packet (`hepsw.sinks.stores`) stays
within it; a test holds the two together. Every field of the catalogue is taken, whether some store
has a column of it or not, so that a store may gain one and no configuration breaks.

Source: https://www.sqlite.org/lang_createtable.html#rowid and
https://www.postgresql.org/docs/current/ddl-system-columns.html
"""

from __future__ import annotations

import re
from typing import Final

from hepsw.fields import CATALOGUE

MOST: Final = 64
"""Columns of an operator's own that a store may have."""

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]{0,62}")

_OF_ROWS: Final = (
    "at",
    "at_us",
    "compressed",
    "frame",
    "frame_head",
    "frame_tail",
    "id",
    "inflated",
    "payload_at",
    "payload_octets",
    "profile",
    "received",
    "received_us",
    "resumed",
    "time_us",
)
"""What a row has beside the fields."""
_OF_DATABASES: Final = (
    "_rowid_",
    "cmax",
    "cmin",
    "ctid",
    "oid",
    "rowid",
    "tableoid",
    "xmax",
    "xmin",
)
"""What every table of SQLite or PostgreSQL has, though nobody asked for it."""

TAKEN: Final = frozenset(
    {*(name.replace(".", "_") for name in CATALOGUE), *_OF_ROWS, *_OF_DATABASES}
)
"""Names that a column of an operator's own may not have, in lower case."""

TAKEN_IN_HOMER7: Final = frozenset(
    {
        "called_number",
        "calling_number",
        "callid",
        "cic",
        "create_date",
        "cseq",
        "data_header",
        "dpc",
        "event",
        "from_tag",
        "from_user",
        "id",
        "method",
        "msg_name",
        "node",
        "opc",
        "proto",
        "protocol_header",
        "raw",
        "ruri_domain",
        "ruri_user",
        "sid",
        "to_tag",
        "to_user",
        "user_agent",
    }
)
"""Likewise in the tables of HOMER 7, where such a column is a key of `data_header`: the keys that
are there already, and the columns, since a search for `sid` can only mean the one of the table."""


def is_column_name(name: str) -> bool:
    """Tell whether every medium takes a name as that of a column; in it stands no SQL either."""
    return _NAME.fullmatch(name) is not None


def is_taken(name: str, layout: str) -> bool:
    """Tell whether a store of a layout has such a column already; to SQL, `Call` is `call`."""
    return name.lower() in (TAKEN_IN_HOMER7 if layout == "homer7" else TAKEN)
