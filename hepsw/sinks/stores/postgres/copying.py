"""COPY of rows into one table, and which of them the table refuses.

Rows are made while they are written, so the server works on the first while the last are made, each
on a processor of its own: asyncpg would hand on half a mebibyte at once, and until then the server
would have nothing to do. A COPY that fails because of a row is undone to its savepoint. The server
says in which line it failed: what stands before is written again, the row alone for its own answer,
then what stands behind.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.binary import BEGIN, END
from hepsw.sinks.stores.postgres.trouble import is_of_the_row, reason_of, without
from hepsw.sinks.stores.writer import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence

    from hepsw.sinks.stores.postgres.connection import Connection
    from hepsw.sinks.stores.postgres.entries import Entry

PIECE_OCTETS: Final = 32 << 10
"""Octets that are handed on at once: some thirty rows."""
COPY_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 1.0
"""For what knows the deadline itself to keep to it."""
TURN_SECONDS: Final = 0.05
ROWS_A_SECOND: Final = 500
"""What a slow server is granted beyond that."""
STEP: Final = 64
"""Rows behind a bad one that are tried at once; more, the longer none is found."""

_LINE: Final = re.compile(r"^COPY .*, line (\d+)")


class Rows:
    """The rows of one table in one batch, made when they are first asked for.

    Args:
        table: where they go.
        entries: position in the batch and packet of each.
        make: returns the row of a packet.

    They are kept as octets, since what failed is written once more.
    """

    def __init__(
        self,
        table: str,
        entries: Sequence[tuple[int, Entry]],
        make: Callable[[Entry], bytes],
    ) -> None:
        self.table = table
        self.refused: list[Refused] = []
        self.altered: Counter[str] = Counter()
        self._entries = entries
        self._make = make
        self._made: list[bytes] = []
        self._positions: list[int] = []
        self._next = 0

    @property
    def count(self) -> int:
        """Rows that are written, once all are."""
        return len(self._made) - self._lost

    _lost = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self._made
        while self._next < len(self._entries):
            position, entry = self._entries[self._next]
            self._next += 1
            try:
                row = self._make(entry)
            except Exception as error:  # noqa: BLE001 - a packet that cannot be a row must not stop others
                why = f"{type(error).__name__}: {error}"
                self.refused.append(Refused(position, self.table, "internal-error", why))
                continue
            if entry.odd:
                self.altered.update(entry.odd)
            self._made.append(row)
            self._positions.append(position)
            yield row

    def all(self) -> list[bytes]:
        """Return every row."""
        for _ in self:
            pass
        return self._made

    def refuse(self, index: int, error: Exception) -> None:
        """Leave out a row for what the table says of it."""
        why = without(str(error), ())
        self.refused.append(Refused(self._positions[index], self.table, reason_of(error), why))
        self._lost += 1


async def copy(connection: Connection, rows: Rows, columns: Sequence[str], expected: int) -> None:
    """Write rows into their table, within the transaction there is.

    Args:
        connection: of asyncpg, in a transaction.
        rows: what is refused of them they know afterwards.
        columns: what the values of a row are.
        expected: how many rows there are.

    Raises:
        Exception: whatever is not the fault of a row; the transaction is to be given up.
    """

    async def attempt(some: Iterable[bytes]) -> None:
        seconds = COPY_SECONDS + expected / ROWS_A_SECOND
        work = connection.copy_to_table(
            rows.table, source=_stream(some), columns=columns, format="binary", timeout=seconds
        )
        await _watched(connection, work, seconds + GRACE_SECONDS)

    await connection.execute("SAVEPOINT hepsw_rows")
    try:
        await attempt(rows)
    except Exception as error:
        if not is_of_the_row(error):
            raise
        await connection.execute("ROLLBACK TO SAVEPOINT hepsw_rows")
        await _without_bad(connection, rows, attempt, error)
    await connection.execute("RELEASE SAVEPOINT hepsw_rows")


async def _stream(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield all that COPY reads; each row is asked for when it is needed."""
    piece = [BEGIN]
    octets = 0
    for row in rows:
        piece.append(row)
        octets += len(row)
        if octets >= PIECE_OCTETS:
            yield b"".join(piece)
            piece.clear()
            octets = 0
    piece.append(END)
    yield b"".join(piece)


async def _watched(connection: Connection, work: Coroutine[Any, Any, object], most: float) -> None:
    """Do it, unless the connection ends or it takes too long.

    asyncpg waits for room in its buffer without a deadline, and is not told when a connection ends
    whose buffer was full: the writer would wait for ever.

    Raises:
        StoreError: one of both; the connection is of no use any more.
    """
    ended = asyncio.get_running_loop().create_future()

    def end(_: Connection) -> None:
        if not ended.done():
            ended.set_result(None)

    connection.add_termination_listener(end)
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.wait({doing, ended}, timeout=most, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            # It may have heard of the end itself, and say more than we can.
            await asyncio.wait({doing}, timeout=TURN_SECONDS)
        if not doing.done():
            doing.cancel()
            await asyncio.wait({doing}, timeout=GRACE_SECONDS)
    finally:
        connection.remove_termination_listener(end)
    if doing.done() and not doing.cancelled():
        doing.result()
    elif ended.done():
        raise StoreError("the connection ended in the middle of a COPY", "connect")
    else:
        raise StoreError("no answer in time", "timeout")


async def _without_bad(
    connection: Connection,
    rows: Rows,
    attempt: Callable[[Any], Any],
    failure: Exception,
) -> None:
    """Write all rows but the bad ones; all of them at once have just failed."""
    made = rows.all()
    pieces = deque(_around(failure, 0, len(made)))
    if not pieces:
        rows.refuse(0, failure)
    while pieces:
        low, high = pieces.popleft()
        try:
            await attempt(made[low:high])
        except Exception as error:
            if not is_of_the_row(error):
                raise
            await connection.execute("ROLLBACK TO SAVEPOINT hepsw_rows")
            if high - low == 1:
                rows.refuse(low, error)
            else:
                pieces.extendleft(reversed(_around(error, low, high)))
        else:
            await connection.execute("RELEASE SAVEPOINT hepsw_rows; SAVEPOINT hepsw_rows")


def _around(error: Exception, low: int, high: int) -> list[tuple[int, int]]:
    """Cut a piece that failed: before the bad row, the row, behind it; nothing if it is one row."""
    if high - low <= 1:
        return []
    found = _LINE.match(getattr(error, "context", None) or "")
    bad = low + int(found[1]) - 1 if found else -1
    if not low <= bad < high:
        middle = (low + high) // 2
        return [(low, middle), (middle, high)]
    behind = bad + 1
    # Where many rows are bad, each failure is to cost about what it found.
    cut = min(high, behind + 2 * (bad - low) + STEP)
    pieces = [(low, bad), (bad, behind), (behind, cut), (cut, high)]
    return [(first, last) for first, last in pieces if first < last]
