"""Rows into SQLite: hepsw from socket to commit, beside `executemany` of rows made before.

hepsw is offered as many packets as `executemany` took rows in the same round, so that it is always
busy; what it has no room for is shed, and what counts is the rows in the file over the time from
the first packet to the last commit.

    python bench/store.py FILE COUNT DATABASE

is the other side, in a process of its own: the packets of FILE as rows, over and over until there
are COUNT, into a new DATABASE in batches like hepsw's. It prints the seconds that took.
"""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from programs import BenchError, free_ports, show, started
from relay import Bench, repeated, summary
from works import Place, Work, conf, hepsw, sip, with_ports

ROWS: Final = 100_000
"""Written by `executemany`."""
BATCH_ROWS: Final = 2000
"""As in conf/store.toml."""
LOOK_S: Final = 0.02
"""Between two looks at how many rows there are."""
QUIET_S: Final = 1.0
"""A file that has not grown for so long is all there will be."""
PATIENCE_S: Final = 60.0

WORK: Final = Work(
    "sqlite", "SIP rows into SQLite", hepsw, conf("store.toml"), sip, arrives=lambda _frame: ()
)


@dataclass(frozen=True, slots=True)
class StoreRun:
    """One round of both."""

    rows_per_s: float
    ready_made_per_s: float
    offered_per_s: float
    rows: int
    sent: int
    cpu_us_per_row: float
    """Of the whole process, what it shed included."""
    rss_idle_mib: float
    rss_mib: float

    @property
    def ratio(self) -> float:
        """The rate of rows over that of `executemany`."""
        return self.rows_per_s / self.ready_made_per_s


def rounds(bench: Bench, count: int) -> tuple[list[StoreRun], list[str]]:
    """Measure `count` times; return the runs and what failed."""
    runs = []
    for at in range(count):
        show(f"rows into SQLite, round {at + 1} of {count}")
        try:
            runs.append(measure(bench, ready_made(bench)))
        except BenchError as error:
            show("")
            return runs, [f"{WORK.name}: {error}"]
    show("")
    return runs, []


def ready_made(bench: Bench) -> float:
    """Return the rows per second of `executemany`."""
    database = bench.directory / "ready-made.db"
    log = bench.directory / "ready-made.log"
    command = [sys.executable, __file__, str(bench.traffic(WORK)), str(ROWS), str(database)]
    with started(command, bench.cores.relay, log) as program:
        if program.process.wait():
            raise BenchError(f"executemany failed, {program.why_ended()}")
    remove(database)
    return ROWS / float(log.read_text())


def measure(bench: Bench, ready_made_per_s: float) -> StoreRun:
    """Offer hepsw so many packets a second; return how it went."""
    folder = bench.directory / "store"
    folder.mkdir(exist_ok=True)
    database = folder / "packets.db"
    (port,) = free_ports(1)
    place = Place(folder / "store.toml", port, ())
    place.config.write_text(with_ports(WORK.config(), port, ()))
    with started(WORK.command(place), bench.cores.relay, folder / "log") as program:
        program.wait_until_bound("udp", port)
        rss_idle, cpu_before = program.rss_mib(), program.cpu_us()
        generator = bench.sender(
            WORK,
            f"udp://127.0.0.1:{port}",
            f"{ready_made_per_s:.0f}",
            round(ready_made_per_s * bench.seconds),
        )
        with subprocess.Popen(generator, stdout=subprocess.PIPE, text=True) as sending:
            rows, first, last = watch(database, sending)
            load = summary(sending.communicate()[0])
        cpu, rss = program.cpu_us() - cpu_before, program.rss_mib()
        if status := program.stop():
            raise BenchError(f"ended with {status}, {program.why_ended()}")
    check(database, rows)
    remove(database)
    return StoreRun(
        rows_per_s=rows / (last - first),
        ready_made_per_s=ready_made_per_s,
        offered_per_s=load.rate,
        rows=rows,
        sent=load.sent,
        cpu_us_per_row=cpu / rows,
        rss_idle_mib=rss_idle,
        rss_mib=rss,
    )


def watch(database: Path, sending: "subprocess.Popen[str]") -> tuple[int, float, float]:
    """Return how many rows there are in the end, when the first packet came, and when the last row.

    Asking is one step in an index, done by another process on another core.
    """
    deadline = time.monotonic() + PATIENCE_S
    rows, first, last = 0, 0.0, time.time()
    source = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True, timeout=1.0)) as connection:
        while sending.poll() is None or time.time() < last + QUIET_S:
            time.sleep(LOOK_S)
            (seen,) = connection.execute("SELECT max(id) FROM packets").fetchone()
            if seen and seen != rows:
                rows, last = seen, time.time()
            if time.monotonic() > deadline:
                raise BenchError(f"rows still come after {PATIENCE_S:.0f} s")
        if not rows:
            raise BenchError("no row came")
        (first_us,) = connection.execute("SELECT min(received_us) FROM packets").fetchone()
        first = first_us / 1e6
    return rows, first, last


def check(database: Path, rows: int) -> None:
    """Compare the packets in the file with those that were sent."""
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM packets").fetchone()
        if count != rows:
            raise BenchError(f"{count} rows in the end, {rows} before it was stopped")
        sent = repeated(sip(), 0)
        wrong = next(
            (
                number
                for number, (frame,) in enumerate(
                    connection.execute("SELECT frame FROM packets ORDER BY id LIMIT 1000"), 1
                )
                if frame not in islice(sent, 10 * ROWS)
            ),
            None,
        )
        if wrong:
            raise BenchError(f"row {wrong} is not a packet that was sent, or not in its place")


def remove(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()


def write(file: Path, count: int, database: Path) -> float:
    """Write rows that are made before; return the seconds of the writing."""
    from hepsw import framefile  # noqa: PLC0415 - only this side needs it
    from hepsw.hep import decode  # noqa: PLC0415 - as above
    from hepsw.sinks.rows import COLUMNS, make_row  # noqa: PLC0415 - as above
    from hepsw.sinks.sqlite_file import SCHEMA  # noqa: PLC0415 - as above
    from hepsw.view import Peer, View  # noqa: PLC0415 - as above

    peer = Peer(bytes([127, 0, 0, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")
    now_us = time.time_ns() // 1000
    made = [
        make_row(View(decode(frame), peer, now_us))
        for frame in framefile.read(file.read_bytes()).frames
    ]
    rows = list(islice(cycle(made), count))
    insert = f"INSERT INTO packets ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own names
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        began = time.perf_counter()
        for start in range(0, count, BATCH_ROWS):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows[start : start + BATCH_ROWS])
            connection.execute("COMMIT")
        return time.perf_counter() - began


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
