"""The state file: up to which record everything is done with.

Two slots are written in turn, so that a write that was cut short leaves the other one. A file whose
fdatasync failed is never asked again: what it says may or may not be on disk, so a new one takes
its place.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hepsw.sinks.spool import format as wire

if TYPE_CHECKING:
    from hepsw.sinks.spool.files import Files


class StateFile:
    """The state of one folder."""

    def __init__(self, path: str, fingerprint: int, files: Files) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._files = files
        self._fd = -1
        self._slot = wire.Slot(0, 0)
        self._is_suspect = True
        """There is no file yet, or it cannot be relied on."""

    def open(self) -> int | None:
        """Return the last number that is done with, None where nothing says so."""
        self.close()
        try:
            self._fd = self._files.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return None
        octets = self._files.pread(self._fd, wire.STATE, 0)
        slot = wire.decode_state(self._fingerprint, octets)
        self._is_suspect = len(octets) < wire.STATE
        self._slot = slot or wire.Slot(0, 0)
        return slot and slot.ack_seq

    def write(self, ack_seq: int, *, durable: bool, folder: int) -> None:
        """Write the other slot.

        Args:
            ack_seq: the last number that is done with.
            durable: whether it must be on disk on return.
            folder: a descriptor of the folder, for the name of a new file.
        """
        slot = wire.Slot(self._slot.generation + 1, ack_seq)
        octets = wire.encode_slot(self._fingerprint, slot)
        if self._is_suspect:
            self._replace(octets, folder)
        else:
            at = slot.generation % 2 * wire.SLOT
            self._files.write_all(self._fd, octets, at)
            if durable:
                self._sync()
        self._slot = slot

    def _replace(self, octets: bytes, folder: int) -> None:
        """Put a new file with one slot in the place of the old one."""
        self.close()
        new = f"{self._path}.new"
        whole = octets * 2
        self._fd = self._files.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self._files.write_all(self._fd, whole, 0)
        self._sync()
        self._files.rename(new, self._path)
        self._files.fsync_folder(folder)
        self._is_suspect = False

    def _sync(self) -> None:
        try:
            self._files.fdatasync(self._fd)
        except OSError:
            self._is_suspect = True
            raise

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            self._files.close(self._fd)
        self._fd = -1
        self._is_suspect = True
