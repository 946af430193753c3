"""What the writers of files have in common: a record of each packet, filed by its time.

`PcapWriter` and `JsonLinesWriter` say how a packet is written. A batch is in all its files or in
none; see `rotation` for what committed means. There is no ledger in a capture file, so a batch
whose write was whole when hepsw was killed, but not noted in the spool, is written once more by the
next life: nothing is lost, and a packet may be there twice.
"""

from __future__ import annotations

import errno
import logging
from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Final

from hepsw.errors import CannotLeaveError, StoreError
from hepsw.sinks.stores.files.retention import Retention
from hepsw.sinks.stores.files.rotation import Files
from hepsw.sinks.stores.files.template import FileTemplate
from hepsw.sinks.stores.writer import Refused, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.files.rotation import Format
    from hepsw.sinks.stores.files.template import Name
    from hepsw.sinks.stores.writer import Batch
    from hepsw.view import View

log = logging.getLogger("hepsw.sinks")

HELD_OCTETS: Final = 4 << 20
"""Octets of records in memory at a time, however large the batch is: what was inflated may be many
times its frame."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FileWriter(ABC):
    """A `Writer` of files."""

    kind: str
    """Of the files, and the name of the one table there is."""

    def __init__(self, settings: StoreSettings) -> None:
        """Nothing is opened yet."""
        self._name = settings.name
        self._template = FileTemplate(settings.file)
        self._files = Files(self._template, settings.rotate, self._format())
        self._retention = Retention(self._template, settings.keep, self._files)

    @abstractmethod
    def _format(self) -> Format:
        """Return what the files have in common."""

    @abstractmethod
    def _record(self, view: View, written: Written) -> bytes:
        """Return a packet as it is in the file; note in `written` what was altered.

        Raises:
            CannotLeaveError: the file cannot have it.
        """

    def open(self) -> None:
        """Make the folder; the files are made when there is something for them."""
        try:
            self._files.open()
        except OSError as error:
            raise self._told(error) from error

    def known(self, spool: bytes) -> Sequence[tuple[int, int]]:  # noqa: ARG002 - there is no ledger
        """Return nothing: files do not say which batches are in them."""
        return ()

    def tables(self, batch: Batch) -> Counter[str]:
        """Return the packets of a batch, all for the one table."""
        return Counter({self.kind: len(batch.views)})

    def write(self, batch: Batch, give_up: Callable[[Sequence[Refused]], None]) -> Written:
        """Write a batch: all of it, but for what is refused, or nothing."""
        written = Written()
        refused: list[Refused] = []
        self._files.begin()
        try:
            for name, records in self._made(batch, written, refused):
                self._files.append(name, records)
            give_up(refused)
        except OSError as error:
            told = self._told(error)
            self._undo()
            raise told from error
        except BaseException:
            self._undo()
            raise
        self._files.commit()
        written.refused = refused
        written.tables[self.kind] = len(batch.views) - len(refused)
        return written

    def tidy(self, now_us: int) -> bool:
        """Remove some of the files that are too old or too much; return whether there are more."""
        return self._retention.step(now_us)

    def close(self) -> None:
        """Let all files go."""
        self._files.close()

    def _made(
        self, batch: Batch, written: Written, refused: list[Refused]
    ) -> Iterator[tuple[Name, list[bytes]]]:
        """Yield the records of a batch, by file, no more at a time than `HELD_OCTETS`."""
        records: dict[Name, list[bytes]] = {}
        held = 0
        for at, view in enumerate(batch.views):
            try:
                record = self._record(view, written)
            except CannotLeaveError as error:
                refused.append(Refused(at, self.kind, error.reason, str(error)))
                continue
            except Exception as bug:
                log.exception("%s: no record could be made of a packet", self._name)
                refused.append(Refused(at, self.kind, "internal-error", repr(bug)))
                continue
            name, misplaced = self._template.place(view)
            if misplaced is not None:
                written.misplaced[misplaced] += 1
            records.setdefault(name, []).append(record)
            held += len(record)
            if held >= HELD_OCTETS:
                yield from records.items()
                records.clear()
                held = 0
        yield from records.items()

    def _undo(self) -> None:
        try:
            self._files.undo()
        except OSError as error:
            # `open` goes on with it: nothing is written before it is done.
            log.warning("%s: %s: could not be cut back yet: %s", self._name, self._files.at, error)

    def _told(self, error: OSError) -> StoreError:
        what = "full" if error.errno in _FULL else "file"
        return StoreError(f"{self._files.at}: {error.strerror}", what)
