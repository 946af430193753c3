"""`PostgresArchive`: packets read back from PostgreSQL, from both layouts.

Pages are fetched by time and id, each by a statement of its own: no transaction stays open over a
long scan, so nobody waits for a reader, and memory stays flat. What comes out of the database is
checked as if it came from a socket. A row that cannot be a packet is left out and counted.

Of the layout `hepsw` a packet is the frame that came. HOMER's tables do not have everything: a
packet made of their rows is HEP3, has neither authentication key nor rare chunks, came from the
peer 0.0.0.0 on a listener without a name, and was received when it was captured. A capture agent
whose name is a number is told by number.
"""

from __future__ import annotations

import heapq
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from hepsw.errors import EditError, PacketError, StoreError
from hepsw.fields import CATALOGUE
from hepsw.hep import build, decode
from hepsw.sinks.stores.postgres import answers, schema
from hepsw.sinks.stores.postgres.connection import connect
from hepsw.sinks.stores.postgres.hepsw_layout import storable_key
from hepsw.sinks.stores.postgres.layout import PG_EPOCH_US, layout_of, moment
from hepsw.sinks.stores.postgres.loop import OwnLoop
from hepsw.sinks.stores.postgres.messages import damaged
from hepsw.sinks.stores.postgres.trouble import foreign, secrets_of, translated
from hepsw.view import SIP, Peer, View

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence

    from hepsw.config.configuration import StoreSettings
    from hepsw.sinks.stores.postgres.connection import Connection

T = TypeVar("T")
Stamped = tuple[int, int, View]
"""Time, number in its table, packet: in this order they are sorted."""

PAGE: Final = 256
"""Rows of one table that are in memory at a time."""
MOST_US: Final = 253_402_300_800_000_000
"""The year 10000: later than any packet."""
UINT32: Final = 1 << 32
SECOND_US: Final = 1_000_000

_HEPSW: Final = (
    *("received", "resumed", "peer_ip", "peer_port", "peer_transport", "peer_name"),
    *("local_ip", "local_port", "listener"),
    "frame_head || coalesce(compressed, payload, '') || frame_tail AS frame",
)
_HOMER7: Final = ("sid", "protocol_header", "data_header", "raw")
_UNKNOWN: Final = Peer(bytes(4), 0, "udp", bytes(4), 0, "")
"""Who brought what HOMER's tables have: they do not tell."""


class DamagedError(PacketError):
    """A row that cannot be a packet."""


class PostgresArchive:
    """An `Archive` of one database.

    Args:
        settings: of the store.

    Raises:
        StoreError: it cannot be reached, or has no such tables.
    """

    def __init__(self, settings: StoreSettings) -> None:
        if settings.url is None:
            raise ValueError(f"store `{settings.name}` has no url")
        self.damaged = 0
        """Rows left out because they cannot be packets."""
        self._url = settings.url.reveal().decode()
        self._layout = layout_of(settings)
        is_homer7 = self._layout.name == "homer7"
        columns = _HOMER7 if is_homer7 else _HEPSW
        self._columns = ", ".join(columns)
        self._names = [column.rpartition(" ")[2] for column in columns]
        self._view = _homer7_view if is_homer7 else _hepsw_view
        calls = (
            ("sid", "protocol_header->>'correlation_id'")
            if is_homer7
            else ("call", "correlation_id")
        )
        self._is_of_call = " OR ".join(f"{name} = ANY ($1::text[])" for name in calls)
        self._is_exact = not is_homer7
        self._loop = OwnLoop()
        self._connection: Connection | None = None
        self._tables: list[str] = []
        try:
            self._run(self._open(settings.name))
        except BaseException:
            self.close()
            raise

    def count(self, since_us: int, until_us: int) -> int:
        """See `Archive`; the planner's estimate."""
        return sum(self._run(self._estimate(table, since_us, until_us)) for table in self._tables)

    def scan(self, since_us: int, until_us: int) -> Iterator[View]:
        """See `Archive`."""
        tables = [self._pages(table, since_us, until_us) for table in self._tables]
        for _, _, view in heapq.merge(*tables, key=_order):
            yield view

    def of_calls(self, calls: Collection[bytes], most: int) -> list[View]:
        """See `Archive`."""
        wanted = {call for call in calls if call}
        if not wanted:
            return []
        keys = [storable_key(call) for call in wanted]
        found: list[Stamped] = []
        for table in self._tables:
            found += self._views(table, self._run(self._by_call(table, keys, most)))
        found.sort(key=_order)
        views = [view for _, _, view in found if not self._is_exact or _is_of(view, wanted)]
        return views[:most]

    def number_of(self, call: bytes, most: int) -> int:
        """See `Archive`."""
        keys = [storable_key(call)]
        counted = (self._run(self._counted(table, keys, most)) for table in self._tables)
        return min(most, sum(counted))

    def close(self) -> None:
        """See `Archive`."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
            self._loop.close()

    # Questions

    async def _open(self, name: str) -> None:
        self._connection = await connect(self._url, f"hepsw recall {name}")
        # Of a limit the planner may take it that reading everything soon meets enough.
        await self._connection.execute("SET enable_seqscan = off")
        for table in self._layout.parents:
            if await self._connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
                self._tables.append(table)
        if not self._tables:
            raise StoreError(f"no tables of the layout {self._layout.name} there", "missing")

    async def _estimate(self, table: str, since_us: int, until_us: int) -> int:
        column = schema.quoted(self._layout.time_column)
        since, until = (
            f"(timestamptz 'epoch' + interval '{_within(at)} microseconds')"
            for at in (since_us, until_us)
        )
        plan = await self._asked().fetchval(
            f"EXPLAIN (FORMAT JSON) SELECT FROM {table} "
            f"WHERE {column} >= {since} AND {column} < {until}"
        )
        try:
            return int(orjson.loads(plan)[0]["Plan"]["Plan Rows"])
        except (ValueError, TypeError, LookupError):
            raise damaged("no plan of a query") from None

    def _pages(self, table: str, since_us: int, until_us: int) -> Iterator[Stamped]:
        """Yield the packets of one table in order of time."""
        # Ids begin at 1.
        after: tuple[int, int] = (_within(since_us), 0)
        while True:
            rows = self._run(self._page(table, after, until_us))
            yield from self._views(table, rows)
            if len(rows) < PAGE:
                return
            last = rows[-1]["at_us"] + PG_EPOCH_US, rows[-1]["id"]
            if last <= after:  # it would never end
                raise damaged("rows that are not in order")
            after = last

    async def _page(self, table: str, after: tuple[int, int], until_us: int) -> Sequence[Any]:
        column = schema.quoted(self._layout.time_column)
        # The first condition is for the partitions: a comparison of two columns chooses none.
        rows = await self._asked().fetch(
            f"SELECT {column} AS at_us, id, {self._columns} FROM {table} "  # noqa: S608 - names of our own
            f"WHERE {column} >= $1 AND {column} < $2 AND ({column} > $1 OR id > $3) "
            f"ORDER BY {column}, id LIMIT {PAGE}",
            moment(after[0]),
            moment(_within(until_us)),
            after[1],
        )
        return self._rows(rows)

    async def _by_call(self, table: str, keys: list[str], most: int) -> Sequence[Any]:
        column = schema.quoted(self._layout.time_column)
        rows = await self._asked().fetch(
            f"SELECT {column} AS at_us, id, {self._columns} FROM {table} "  # noqa: S608 - as above
            f"WHERE {self._is_of_call} LIMIT $2",
            keys,
            most,
        )
        return self._rows(rows)

    async def _counted(self, table: str, keys: list[str], most: int) -> int:
        number = await self._asked().fetchval(
            f"SELECT count(*) FROM "  # noqa: S608 - as above
            f"(SELECT FROM {table} WHERE {self._is_of_call} LIMIT $2) AS found",
            keys,
            most,
        )
        return answers.value(number, int)

    def _rows(self, answer: Sequence[Any]) -> Sequence[Any]:
        """Return rows that have all columns; what is in most of them is looked at one by one."""
        columns = dict.fromkeys(self._names, object)
        return answers.rows(answer, **{**columns, "at_us": int, "id": int})

    def _views(self, table: str, rows: Sequence[Any]) -> Iterator[Stamped]:
        for row in rows:
            try:
                at_us = row["at_us"] + PG_EPOCH_US
                yield at_us, row["id"], self._view(table, row, at_us)
            except PacketError:
                self.damaged += 1

    # Running

    def _asked(self) -> Connection:
        if self._connection is None:
            raise StoreError("not connected", "connect")
        return self._connection

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run(work)
        except foreign() as error:
            raise translated(error, secrets_of(self._url)) from error


def _order(stamped: Stamped) -> tuple[int, int]:
    return stamped[:2]


def _is_of(view: View, calls: Collection[bytes]) -> bool:
    return any(read(view) in calls for read in _CALL_READERS)


_CALL_READERS: Final = (CATALOGUE["call"].read, CATALOGUE["correlation_id"].read)


def _within(time_us: int) -> int:
    """Return a time that PostgreSQL can compare with."""
    return min(max(time_us, 0), MOST_US)


# The layout hepsw


def _hepsw_view(_table: str, row: Mapping[str, Any], _at_us: int) -> View:
    """Return the packet of a row.

    Raises:
        PacketError: the row cannot be one.
    """
    peer = _peer(
        (
            _packed(row["peer_ip"]),
            _within_bits(row["peer_port"], 16),
            _text(row["peer_transport"]),
            _packed(row["local_ip"]),
            _within_bits(row["local_port"], 16),
            _text(row["listener"]),
            None if row["peer_name"] is None else _text(row["peer_name"]),
        )
    )
    packet = decode(_octets(row["frame"]))
    received_us = _time_us(row["received"])
    return View(packet, peer, received_us, resumed=bool(row["resumed"]))


@lru_cache(maxsize=1024)
def _peer(told: tuple[bytes, int, str, bytes, int, str, str | None]) -> Peer:
    return Peer(*told)


def _packed(inet: object) -> bytes:
    """Return the octets of an `inet` as it travels: a whole address, no network."""
    if not isinstance(inet, bytes) or len(inet) not in {8, 20} or inet[1] != 8 * (len(inet) - 4):
        raise DamagedError("damaged", "not an address")
    return inet[4:]


def _within_bits(number: object, bits: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << bits:
        raise DamagedError("damaged", f"not a number of {bits} bits: {number!r}")
    return number


def _time_us(since_pg: object) -> int:
    if not isinstance(since_pg, int):
        raise DamagedError("damaged", f"not a time: {since_pg!r}")
    return since_pg + PG_EPOCH_US


def _octets(written: object) -> bytes:
    if not isinstance(written, bytes):
        raise DamagedError("damaged", f"not octets: {written!r}")
    return written


def _text(written: object) -> str:
    if not isinstance(written, str):
        raise DamagedError("damaged", f"not a text: {written!r}")
    return written


# HOMER's tables


def _homer7_view(table: str, row: Mapping[str, Any], at_us: int) -> View:
    """Return the packet of a row, as far as HOMER's tables keep it.

    Raises:
        PacketError: the row cannot be one.
    """
    header = _json(row["protocol_header"])
    payload = _text(row["raw"]).encode()
    proto_type = _within_bits(header.get("payloadType", SIP), 8)
    is_sip = table.startswith("hep_proto_1_")
    correlation_id = header.get("correlation_id")
    if is_sip and correlation_id == row["sid"]:
        correlation_id = None  # made of the Call-ID
    node, number = _agent(header)
    # Some agents add more than a second in microseconds, to the last second there is.
    seconds = min(at_us // SECOND_US, UINT32 - 1)
    values: dict[str, Any] = {
        "src_ip": _text(header.get("srcIp")),
        "dst_ip": _text(header.get("dstIp")),
        "src_port": _within_bits(header.get("srcPort", 0), 16),
        "dst_port": _within_bits(header.get("dstPort", 0), 16),
        "ip_protocol": _within_bits(header.get("protocol", 17), 8),
        "seconds": seconds,
        "microseconds": at_us - seconds * SECOND_US,
        "proto_type": proto_type,
        "capture_id": number,
        "node_name": node,
        "correlation_id": None if not correlation_id else _text(correlation_id),
    }
    try:
        try:
            packet = build(**values, payload=payload)
        except EditError as error:
            if error.reason != "too-big":
                raise
            # It came compressed.
            packet = build(**values, compressed_payload=zlib.compress(payload))
    except (ValueError, TypeError) as error:
        raise DamagedError("damaged", str(error)) from None
    return View(packet, _UNKNOWN, at_us, resumed=is_sip and proto_type != SIP)


def _agent(header: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """Return name and number of the capture agent."""
    written = header.get("captureId")
    if isinstance(written, int):  # as an older heplify-server wrote it
        written = str(written)
    if not isinstance(written, str) or not written:
        return None, None
    if "captureIdNum" in header:
        return written, _within_bits(header["captureIdNum"], 32)
    if written.isascii() and written.isdigit() and len(written) <= 10 and int(written) < UINT32:
        return None, int(written)
    return written, None


def _json(octets: object) -> dict[str, Any]:
    """Return an object out of a jsonb as it travels, its version in front."""
    try:
        found = orjson.loads(_octets(octets)[1:])
    except orjson.JSONDecodeError as error:
        raise DamagedError("damaged", str(error)) from None
    if not isinstance(found, dict):
        raise DamagedError("damaged", "not an object")
    return found
