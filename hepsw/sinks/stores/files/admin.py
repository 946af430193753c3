"""What `hepsw store` asks of a store of files."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hepsw.errors import StoreError
from hepsw.sinks.stores.admin import Status, TableStatus
from hepsw.sinks.stores.files.datagram import RECORD, file_header
from hepsw.sinks.stores.files.folders import find_files, make_folder
from hepsw.sinks.stores.files.template import FileTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hepsw.config.configuration import StoreSettings

_LOOKED_AT: Final = {"pcap": 4096, "jsonl": 1 << 20}
"""Octets of a file that are read for its first packet: no line is longer."""
_GZIP: Final = 31


class FilesAdmin:
    """An `Admin` of files."""

    def __init__(self, settings: StoreSettings) -> None:
        """Nothing is looked at yet."""
        self._kind = settings.scheme
        self._template = FileTemplate(settings.file)

    def sql(self) -> Sequence[str]:
        """Return nothing: files take no statements."""
        return ()

    def init(self) -> Sequence[str]:
        """Make the folder."""
        folder = self._template.folder
        if folder.is_dir():
            return ()
        try:
            make_folder(folder)
        except OSError as error:
            raise _told(error) from error
        return (f"folder {folder}",)

    def status(self) -> Status:
        """List the files.

        The oldest packet is the first one of a file; the newest came when it was last written to.
        """
        try:
            found = sorted(
                (file for file in find_files(self._template) if file is not None),
                key=lambda file: (file.modified_us, file.name),
            )
            tables = [
                TableStatus(
                    "/".join(file.name), None, file.octets, self._first(file.path), file.modified_us
                )
                for file in found
            ]
        except OSError as error:
            raise _told(error) from error
        is_there = self._template.folder.is_dir()
        notes = [] if is_there else [f"the folder {self._template.folder} is not there yet"]
        return Status("", self._kind if is_there else "", tables, notes)

    def _first(self, path: Path) -> int | None:
        """Return the time of the first packet in a file; None where it does not tell."""
        with suppress(FileNotFoundError), path.open("rb") as file:
            most = _LOOKED_AT[self._kind]
            octets = file.read(most)
            if path.suffix == ".gz":
                with suppress(zlib.error):
                    octets = zlib.decompressobj(_GZIP).decompress(octets, most)
            return _pcap_time(octets) if self._kind == "pcap" else _json_time(octets)
        return None


def _pcap_time(octets: bytes) -> int | None:
    header = file_header()
    if not octets.startswith(header) or len(octets) < len(header) + RECORD.size:
        return None
    seconds, microseconds, *_ = RECORD.unpack_from(octets, len(header))
    return int(seconds * 1_000_000 + microseconds)


def _json_time(octets: bytes) -> int | None:
    line, newline, _ = octets.partition(b"\n")
    if not newline:
        return None
    try:
        known = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(known, dict):
        return None
    time_us = known.get("time_us", known.get("received_us"))
    return time_us if type(time_us) is int else None


def _told(error: OSError) -> StoreError:
    return StoreError(f"{error.filename}: {error.strerror}", "file")
