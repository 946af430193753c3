"""`jsonl://file`: packets as JSON, one object a line, for scripts and for other programs.

The keys are the columns of `rows`, those that have a value; what the operator's `columns` add; the
payload, inflated; and the frame, octet for octet, so that `hepsw send` replays what was stored.
Octets, and texts that are not UTF-8, are `{"base64": "…"}`.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from hepsw.sinks.stores.files.rotation import Format
from hepsw.sinks.stores.files.writer import FileWriter
from hepsw.sinks.stores.rows import columns_with, make_row

if TYPE_CHECKING:
    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.writer import Written
    from hepsw.view import View

Text = str | dict[str, str]
"""A text, or octets in base64."""

_OF_TABLES: Final = frozenset({"payload_at", "payload_octets", "inflated", "frame"})
"""Columns by which a table has the payload; here it is there itself, and the frame comes last."""


class JsonLinesWriter(FileWriter):
    """A `Writer` of JSON lines."""

    kind = "jsonl"

    def __init__(self, settings: StoreSettings) -> None:
        """Nothing is opened yet."""
        super().__init__(settings)
        self._columns = tuple(columns_with(name for name, _ in settings.columns))
        self._further = [template for _, template in settings.columns]

    def _format(self) -> Format:
        return Format(b"", resume)

    def _record(self, view: View, written: Written) -> bytes:  # noqa: ARG002 - JSON takes it all
        import orjson  # noqa: PLC0415 - a start without such a store does not pay for it

        row = dict(zip(self._columns, make_row(view, self._further), strict=True))
        line: dict[str, object] = {
            name: text_of(value) if isinstance(value, bytes) else value
            for name, value in row.items()
            if value is not None and name not in _OF_TABLES
        }
        payload = _payload_of(view, row["inflated"])
        if payload is not None:
            line["payload"] = text_of(payload)
        line["frame"] = _base64(view.packet.data)
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def resume(fd: int, size: int) -> bytes | None:
    """Return what comes before the next line: a newline where the last one was torn."""
    return b"" if os.pread(fd, 1, size - 1) == b"\n" else b"\n"


def text_of(octets: bytes) -> Text:
    """Return octets as text, in base64 where they are none."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return _base64(octets)


def _base64(octets: bytes) -> dict[str, str]:
    return {"base64": b64encode(octets).decode()}


def _payload_of(view: View, inflated: object) -> bytes | None:
    """Return the payload; one that inflates to more than any had been, as it travelled."""
    if isinstance(inflated, bytes):
        return inflated
    span = view.packet.payload_span
    return None if span is None else view.packet.data[span[0] : span[1]]
