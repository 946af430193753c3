"""Stored packets out of a SQLite file, as the views they were.

The commands that read calls back use it, beside a daemon that writes. It reads some rows at a time
and holds no transaction between two of them, so the writer's log never has to wait for it.

What the file holds is checked: a row that is not what hepsw writes is left out and counted. The
views are made of the frames; the columns only find them.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from hepsw.errors import DecodeError
from hepsw.hep import MAX_TOTAL_LENGTH, decode
from hepsw.sinks.stores.sqlite.reader import open_reader
from hepsw.sinks.stores.sqlite.trouble import told
from hepsw.view import Peer, View

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

CHUNK: Final = 500
"""Rows that are read at a time."""
COUNTED: Final = 200_000
"""Rows that are counted; of more, the number is told by their ids."""
PEERS: Final = 4096
"""Peers that are remembered: there are few, and many packets of each."""
LAST: Final = (1 << 63) - 1
"""The largest number that SQLite holds, and so the largest id and the last time."""

_COLUMNS: Final = (
    "at_us, id, received_us, resumed, peer_ip, peer_port, peer_transport, local_ip, local_port, "
    f"listener, peer_name, iif(length(frame) <= {MAX_TOTAL_LENGTH}, frame, NULL)"
)
# All names are our own; every value is bound.
_PAGE: Final = (
    # Two ranges of one index: agents whose clock stands still have many packets of one time.
    f"SELECT {_COLUMNS} FROM packets WHERE at_us = ?1 AND id > ?2 UNION ALL "  # noqa: S608 - as above
    f"SELECT {_COLUMNS} FROM packets WHERE at_us > ?1 AND at_us < ?3 ORDER BY at_us, id LIMIT ?4"
)
_ROW: Final = f"SELECT {_COLUMNS} FROM packets WHERE id = ?"  # noqa: S608 - as above
_ENDS: Final = (
    "SELECT (SELECT id FROM packets WHERE at_us >= ?1 AND at_us < ?2 ORDER BY at_us LIMIT 1), "
    "(SELECT id FROM packets WHERE at_us >= ?1 AND at_us < ?2 ORDER BY at_us DESC LIMIT 1)"
)
_OF_CALL: Final = (
    "SELECT at_us, id FROM packets WHERE call = ?1 UNION ALL "
    "SELECT at_us, id FROM packets WHERE correlation_id = ?1 AND correlation_id IS NOT call "
    "LIMIT ?2"
)
_NUMBER: Final = f"SELECT count(*) FROM ({_OF_CALL})"  # noqa: S608 - as above


class SqliteArchive:
    """An `Archive` of one file."""

    def __init__(self, file: Path) -> None:
        with told():
            self._connection = open_reader(file)
        self.damaged = 0
        """Rows that were left out, because hepsw did not write them so."""

    def count(self, since_us: int, until_us: int) -> int:
        """Return about how many packets there are of a time."""
        span = _clamped(since_us), _clamped(until_us)
        with told():
            ((counted,),) = self._connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM packets WHERE at_us >= ? AND at_us < ? "
                "LIMIT ?)",
                (*span, COUNTED),
            )
            if counted < COUNTED:
                return cast("int", counted)
            ((first, last),) = self._connection.execute(_ENDS, span)
        return cast("int", max(COUNTED, last - first + 1))

    def scan(self, since_us: int, until_us: int) -> Iterator[View]:
        """Yield the packets of a time, oldest first."""
        # Before the first one: no row has so low a time and this number.
        at_us, number = _clamped(since_us - 1), LAST
        until_us = _clamped(until_us)
        while at_us < until_us:
            with told():
                page = self._connection.execute(_PAGE, (at_us, number, until_us, CHUNK)).fetchall()
            for row in page:
                if (view := self._view(row)) is not None:
                    yield view
            if len(page) < CHUNK:
                return
            at_us, number, *_ = page[-1]

    def of_calls(self, calls: Collection[bytes], most: int) -> list[View]:
        """Return packets of calls, oldest first."""
        found: set[tuple[int, int]] = set()
        rows = []
        with told():
            for call in calls:
                # Of each those that came first: an index of ids is in the order of arrival.
                found.update(self._connection.execute(_OF_CALL, (_stored(call), most)))
            for _, number in sorted(found)[:most]:
                rows += self._connection.execute(_ROW, (number,)).fetchall()
        return [view for row in rows if (view := self._view(row)) is not None]

    def number_of(self, call: bytes, most: int) -> int:
        """Return how many packets an id has, and no more than `most`."""
        with told():
            ((number,),) = self._connection.execute(_NUMBER, (_stored(call), most))
        return cast("int", number)

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def _view(self, row: Sequence[object]) -> View | None:
        """Return what a row was made of, None for a row that was not made by hepsw."""
        _, _, received_us, resumed, *peer, frame = row
        try:
            if not isinstance(frame, bytes) or not isinstance(received_us, int):
                raise TypeError("not a packet")  # noqa: TRY301 - one place counts all of them
            packet = decode(frame)
            if packet.data != frame:
                raise ValueError("more than one frame")  # noqa: TRY301 - as above
            view = View(packet, _peer(tuple(peer)), received_us, resumed=resumed == 1)
        except (DecodeError, TypeError, ValueError):
            self.damaged += 1
            return None
        return view


def _clamped(time_us: int) -> int:
    return max(-LAST, min(time_us, LAST))


@lru_cache(maxsize=PEERS)
def _peer(columns: tuple[object, ...]) -> Peer:
    """Return the peer that columns tell of.

    Raises:
        TypeError: a column holds another kind of value.
        ValueError: not an address, or not UTF-8.
    """
    ip, port, transport, local_ip, local_port, listener, name = columns
    if not isinstance(port, int) or not isinstance(local_port, int):
        raise TypeError("not a port")
    return Peer(
        ip=ipaddress.ip_address(_text(ip)).packed,
        port=port,
        transport=_text(transport),
        local_ip=ipaddress.ip_address(_text(local_ip)).packed,
        local_port=local_port,
        listener=_text(listener),
        name=None if name is None else _text(name),
    )


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError("not a text")
    return value.decode()


def _stored(call: bytes) -> str | bytes:
    """Return what the columns hold of a text: octets where it is not UTF-8."""
    try:
        return call.decode()
    except UnicodeDecodeError:
        return call
