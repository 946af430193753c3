"""One batch after another is brought to its end, whatever the medium does.

The thread of a store calls this, and nobody else calls its `Writer`. What the medium refuses for
now is tried again, the same batch with the same key, for as long as the store is in service. What
it refuses for good goes to the dead letters. A bug of ours costs the packets that it is about: the
batch is tried a few times and then split, until what cannot be stored stands alone.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

from hepsw.accounting import Reason
from hepsw.errors import StoreError
from hepsw.sinks.backoff import FIRST, BackOff
from hepsw.sinks.stores import letters
from hepsw.sinks.stores.piece import Outcome
from hepsw.sinks.stores.writer import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hepsw.sinks.stores.piece import Piece
    from hepsw.sinks.stores.writer import Batch, Writer

TRIES: Final = 3
"""How often a batch is tried again after a bug of ours, before it is split."""

UNSURE_TRIES: Final = 6
"""The same where a commit was begun: a part of a batch that is committed would be stored twice, and
a packet that our code fails on seldom comes so far."""

LONGEST: Final = 3.0
"""Seconds between two attempts at most: who comes back is to be stored to within five."""

log = logging.getLogger("hepsw.sinks")


class Service(Protocol):
    """What attempts ask of the thread that makes them."""

    def is_closing(self) -> bool:
        """Whether nothing is to be tried again."""
        ...

    def is_given_up(self) -> bool:
        """Whether the loop has counted what was under way as not stored."""
        ...

    def pause(self, seconds: float) -> bool:
        """Wait, unless the store closes or drains; return whether a drain began."""
        ...

    def linger(self, seconds: float) -> None:
        """Wait, unless the loop does not wait any more."""
        ...

    def up(self) -> None:
        """Say that the medium takes packets."""
        ...

    def down(self, what: str, why: str) -> None:
        """Say that it does not: a counter's label, and a sentence."""
        ...

    def began(self, rows: Counter[str]) -> None:
        """Say that a batch is tried for the first time."""
        ...

    def retried(self, rows: Counter[str]) -> None:
        """Say that it is tried once more."""
        ...

    def undone(self, rows: Counter[str]) -> None:
        """Say that it is not tried any more, and not done."""
        ...

    def settled(self, outcome: Outcome) -> bool:
        """Say what became of it; return False where it was given up before."""
        ...


class Attempts:
    """The writer of one store, and all that it may raise; belongs to one thread."""

    def __init__(
        self, name: str, make: Callable[[], Writer], path: Path | None, service: Service
    ) -> None:
        """Nothing is made yet.

        Args:
            name: of the store, for the log.
            make: makes the writer.
            path: of the dead letters; None: what is refused is dropped.
            service: the thread.
        """
        self._name = name
        self._make = make
        self._letters = path
        self._service = service
        self._writer: Writer | None = None
        self._logged = ""
        """The bug that was logged last."""
        self._complaint = ""
        """What was wrong with the dead letters, as it was logged last."""
        self.unsure: Batch | None = None
        """The batch of which a commit was begun and not heard of, if it is the one under way."""

    def open(self) -> bool:
        """Open the medium, for as long as that takes; return False where the store closes."""
        is_open = self._until_open() is not None
        if is_open:
            self._service.up()
        return is_open

    def known(self, spool: bytes) -> Sequence[tuple[int, int]]:
        """Return what is committed of a spool, as soon as that can be said; nothing at the end."""
        back_off = BackOff(LONGEST)
        while (writer := self._until_open()) is not None:
            try:
                ranges = writer.known(spool)
            except Exception as error:  # noqa: BLE001 - a bug must not end the store; it is logged
                self._failed(error)
                self._wait(back_off)
            else:
                self._service.up()
                return ranges
        return ()

    def tidy(self, now_us: int) -> bool:
        """Do one step of what retention asks; return whether there is more to do now.

        Raises:
            Exception: it failed; the writer is closed.
        """
        try:
            writer = self._writer or self._make()
            self._writer = writer
            writer.open()
            return writer.tidy(now_us)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Let the medium go."""
        if self._writer is not None:
            try:
                self._writer.close()
            except Exception as bug:  # noqa: BLE001 - likewise
                self._log_bug(bug)

    def write(self, piece: Piece) -> None:
        """Bring a batch to its end; where the store closes before that, nothing is settled."""
        rows = self._rows(piece.batch)
        self._service.began(rows)
        self._write(piece, rows, TRIES)

    def _write(self, piece: Piece, rows: Counter[str], tries: int) -> None:
        """Write a batch or a part of it.

        Args:
            piece: what.
            rows: what it is meant to be in the tables.
            tries: how often it is tried again after a bug of ours.
        """
        self.unsure = None
        post = _Post(self, piece.batch)
        back_off = BackOff(LONGEST)
        bugs = attempts = 0
        while True:
            writer = self._until_open(is_unsure=post.is_unsure)
            if writer is None:
                self._service.undone(rows)
                return
            if attempts:
                self._service.retried(rows)
            attempts += 1
            try:
                written = writer.write(piece.batch, post.give_up)
                refused = written.refused or (post.refused if written.was_known else ())
                # What an earlier life had refused: if it cannot be kept now, all is asked anew.
                post.add([each for each in refused if each.at not in post.lasting])
            except Exception as error:  # noqa: BLE001 - a bug must not end the store; it is logged
                self._failed(error)
                if not isinstance(error, StoreError):
                    bugs += 1
                    if bugs > (max(tries, UNSURE_TRIES) if post.is_unsure else tries):
                        bug = error
                        break
                self._wait(back_off, is_unsure=post.is_unsure)
            else:
                self._logged = ""
                outcome = _outcome(piece, refused, post.lasting)
                outcome.tables = written.tables or _less(rows, refused)
                outcome.altered, outcome.misplaced = written.altered, written.misplaced
                if not self._service.is_given_up():
                    self._service.up()
                self._settle(outcome, rows)
                return
        if len(piece.batch.views) > 1:
            for half in piece.halves():
                self._write(half, self._rows(half.batch), 0)
        else:
            self._bury(piece, rows, post, bug)

    def _bury(self, piece: Piece, rows: Counter[str], post: _Post, bug: Exception) -> None:
        """Give up a packet that our own code fails on."""
        refused = [Refused(0, next(iter(rows), ""), Reason.INTERNAL, repr(bug))]
        try:
            post.add(refused)
        except StoreError as error:  # a command has the file, and will not have it for ever
            self.complain(str(error))
        except Exception as other:  # noqa: BLE001 - as above: who broke the writer may break this
            self._log_bug(other)
        self._settle(_outcome(piece, refused, post.lasting), rows)

    def _settle(self, outcome: Outcome, rows: Counter[str]) -> None:
        if self._service.settled(outcome):
            self.unsure = None
        else:
            self._service.undone(rows)

    def _until_open(self, *, is_unsure: bool = False) -> Writer | None:
        """Return the writer, open; None where the store closes before that.

        Args:
            is_unsure: a batch was perhaps committed: to find out is worth all the time that a store
                has for closing. What goes to the spool instead could be stored twice.
        """
        back_off = BackOff(LONGEST)
        service = self._service
        while not (service.is_given_up() if is_unsure else service.is_closing()):
            try:
                if self._writer is None:
                    self._writer = self._make()
                self._writer.open()
            except Exception as error:  # noqa: BLE001 - a bug must not end the store; it is logged
                self._failed(error)
                self._wait(back_off, is_unsure=is_unsure)
            else:
                return self._writer
        return None

    def _wait(self, back_off: BackOff, *, is_unsure: bool = False) -> None:
        if is_unsure and self._service.is_closing():
            self._service.linger(FIRST)
        elif self._service.pause(back_off.next()):
            back_off.reset()

    def _failed(self, error: Exception) -> None:
        """Say what went wrong, and begin anew."""
        if isinstance(error, StoreError):
            what, why = error.what, str(error)
        else:
            what, why = "internal", f"a bug in hepsw: {error!r}"
            self._log_bug(error)
        self.close()
        if not self._service.is_given_up():
            self._service.down(what, why)

    def _log_bug(self, bug: Exception) -> None:
        """Log a traceback, unless it is the last one once more."""
        told = repr(bug)
        if told != self._logged:
            self._logged = told
            log.error("%s: a bug in hepsw, in the writer", self._name, exc_info=bug)

    def _rows(self, batch: Batch) -> Counter[str]:
        """Return what the batch is meant to be in the tables."""
        try:
            return self._writer.tables(batch) if self._writer is not None else Counter()
        except Exception as bug:  # noqa: BLE001 - likewise
            self._log_bug(bug)
            return Counter()

    def begin_commit(self, batch: Batch) -> None:
        """Raise where the loop does not wait for a commit any more.

        Said first and asked then, so that the loop, which does it the other way round, knows of
        every commit that is begun.
        """
        self.unsure = batch
        if self._service.is_given_up():
            raise StoreError("closed", "closed")

    def post(self, batch: Batch, refused: Sequence[Refused]) -> bool:
        """Write dead letters; return whether they last.

        Raises:
            StoreError: the file is locked; the batch is to be tried again.
        """
        if self._letters is None:
            self.complain(f"{refused[0].table} refused a packet, {refused[0].why}; it is dropped")
            return False
        try:
            letters.add(self._letters, batch.key, refused, batch.views, time.time())
        except letters.FullError as error:
            self.complain(f"{error}; what is refused from now on is dropped")
            return False
        except OSError as error:
            self.complain(f"dead letters are lost: {self._letters}: {error.strerror}")
            return False
        self._complaint = ""
        return True

    def complain(self, what: str) -> None:
        """Log what happens to dead letters, once."""
        if what != self._complaint:
            self._complaint = what
            log.error("%s: %s", self._name, what)


class _Post:
    """The dead letters of one batch, over all its attempts."""

    def __init__(self, attempts: Attempts, batch: Batch) -> None:
        self._attempts = attempts
        self._batch = batch
        self.refused: Sequence[Refused] = ()
        """What the last attempt had refused before its commit."""
        self.lasting: dict[int, bool] = {}
        """By position in the batch, whether its letter was written."""
        self.is_unsure = False
        """Whether a commit was begun: whatever came of it, the next attempt will know."""

    def give_up(self, refused: Sequence[Refused]) -> None:
        """Keep what a medium does not take; called just before the commit.

        Raises:
            StoreError: there is to be no commit.
        """
        self.refused = list(refused)
        self.add([each for each in refused if not self.lasting.get(each.at)])
        self._attempts.begin_commit(self._batch)
        self.is_unsure = True

    def add(self, refused: Sequence[Refused]) -> None:
        """Write letters that were not written yet.

        Raises:
            StoreError: they are to be written later.
        """
        if refused:
            lasts = self._attempts.post(self._batch, refused)
            self.lasting.update(dict.fromkeys((each.at for each in refused), lasts))


def _outcome(piece: Piece, refused: Sequence[Refused], lasting: dict[int, bool]) -> Outcome:
    """Return what became of a batch, but for what a writer alone knows."""
    views = piece.batch.views
    octets = sum(len(view.packet.data) for view in views)
    gone = {each.at for each in refused}
    outcome = Outcome(
        packets=len(views),
        octets=octets,
        seqs=piece.seqs,
        stored=len(views) - len(gone),
        stored_octets=octets - sum(len(views[at].packet.data) for at in gone),
        at=time.time(),
        refused=refused,
    )
    for at, each in {each.at: each for each in refused}.items():
        if lasting.get(at):
            outcome.dead_lettered[each.reason] += 1
        else:
            is_bug = each.reason == Reason.INTERNAL
            outcome.dropped[Reason.INTERNAL if is_bug else Reason.UNSTORABLE] += 1
    return outcome


def _less(rows: Counter[str], refused: Sequence[Refused]) -> Counter[str]:
    """Return what is left of the rows of a batch."""
    return rows - Counter(each.table for each in refused)
