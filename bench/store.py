"""Rows into a store: hepsw from socket to commit, beside whatever writes rows that are made before.

hepsw is offered as many packets as the other took rows when it was alone, so that it is always
busy; what it has no room for is shed, and what counts is the rows in the store over the time from
the first packet to the last commit. Then the other side writes once more beside the same generator,
whose packets go nowhere, and beside the same questions to the store: these have a part of the core
that a server needs, and hepsw is held to what the server can do on what they leave.
`into_sqlite` and `into_postgres` know the stores.
"""

import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from programs import BenchError, Program, free_ports, show, started
from relay import LONG_LOAD, Bench, Load, repeated, summary
from works import Place, Work, with_ports

if TYPE_CHECKING:
    from hepsw.view import View

ROWS: Final = 100_000
"""Written by the other side."""
BATCH_ROWS: Final = 2000
"""As in the configurations of the works."""
LOOK_S: Final = 0.04
"""Between two looks at how many rows there are."""
QUIET_S: Final = 1.0
"""A store that has not grown for so long is all there will be."""
PATIENCE_S: Final = 60.0
COMPARED: Final = 1000
"""Rows, from the first on, that are compared with what was sent."""


class Rows(NamedTuple):
    """What a store has in the end."""

    number: int
    last: float
    """When the last of them was committed, by our clock."""


class Target(Protocol):
    """A new and empty store."""

    url: str
    """For hepsw."""

    def other_side(self, traffic: Path) -> Sequence[str]:
        """Return what writes `ROWS` rows made of a file of packets, and prints the seconds."""
        ...

    def mark(self) -> int:
        """Return a number that grows as rows come; cheap, and 0 while there are none."""
        ...

    def rows(self, seen: float) -> Rows:
        """Count them.

        Args:
            seen: when `mark` was seen to grow last.
        """
        ...

    def first(self, count: int) -> Iterable[bytes]:
        """Return what the first rows keep of their packets, in order."""
        ...


class Medium(Protocol):
    """What rows are written into."""

    work: Work
    title: str
    other: str
    """Who writes rows that are made before."""
    least: float
    """Of its rate, what hepsw is to reach."""
    needs: str
    """What has to be here; empty where it is."""

    def running(self, bench: Bench) -> AbstractContextManager[None]:
        """Have it run, for all rounds."""
        ...

    def fresh(self, folder: Path) -> AbstractContextManager[Target]:
        """Make a new target, which is gone when the block ends."""
        ...

    def kept(self, frame: bytes) -> bytes:
        """Return what a row keeps of a packet."""
        ...


@dataclass(frozen=True, slots=True)
class StoreRun:
    """One round of both."""

    work: str
    rows_per_s: float
    alone_per_s: float
    """Of the other side, with nothing beside it; hepsw is offered as much."""
    ready_made_per_s: float
    """Of the other side beside the same load."""
    offered_per_s: float
    rows: int
    sent: int
    cpu_us_per_row: float
    """Of the whole process, what it shed included."""
    rss_idle_mib: float
    rss_mib: float
    rss_long_mib: float | None
    """After three times the load, where that was tried."""

    @property
    def ratio(self) -> float:
        """The rate of rows over that of the other side beside the same load."""
        return self.rows_per_s / self.ready_made_per_s


def rounds(bench: Bench, medium: Medium, count: int) -> tuple[list[StoreRun], list[str]]:
    """Measure `count` times; return the runs and what failed."""
    runs = []
    try:
        with medium.running(bench):
            for at in range(count):
                show(f"{medium.title}, round {at + 1} of {count}")
                with medium.fresh(bench.directory) as target:
                    alone = ready_made(bench, medium, target, None)
                with medium.fresh(bench.directory) as target:
                    beside = ready_made(bench, medium, target, alone)
                with medium.fresh(bench.directory) as target:
                    run = measure(bench, medium, target, alone, beside, long=at == count - 1)
                runs.append(run)
    except BenchError as error:
        return runs, [f"{medium.work.name}: {error}"]
    finally:
        show("")
    return runs, []


def ready_made(bench: Bench, medium: Medium, target: Target, beside: float | None) -> float:
    """Return the rows per second of the other side.

    Args:
        bench: where.
        medium: what it writes into.
        target: a new one.
        beside: packets per second of a generator that runs meanwhile; None: there is none.
    """
    log = bench.directory / "ready-made.log"
    command = target.other_side(bench.traffic(medium.work))
    with started(command, bench.cores.relay, log) as program:
        status = (
            program.process.wait()
            if beside is None
            else beside_load(bench, medium, target, program, beside)
        )
        if status:
            raise BenchError(f"{medium.other} failed, {program.why_ended()}")
    return ROWS / float(log.read_text())


def beside_load(bench: Bench, medium: Medium, target: Target, program: Program, rate: float) -> int:
    """Wait for the end of the other side beside a load as hepsw has it; return its status."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as nowhere:
        nowhere.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{nowhere.getsockname()[1]}"
        count = round(rate * PATIENCE_S)  # more than there is time for
        generator = bench.sender(medium.work, url, f"{rate:.0f}", count)
        while not target.mark() and program.process.poll() is None:
            time.sleep(LOOK_S)
        with subprocess.Popen(generator, stdout=subprocess.DEVNULL) as sending:
            while (status := program.process.poll()) is None:
                time.sleep(LOOK_S)
                target.mark()
            sending.kill()
    return status


def measure(
    bench: Bench, medium: Medium, target: Target, alone: float, beside: float, *, long: bool
) -> StoreRun:
    """Offer hepsw so many packets a second; return how it went.

    Args:
        bench: where.
        medium: what it writes into.
        target: a new one.
        alone: how many, which is what the other side took alone.
        beside: what it took beside a load.
        long: whether to go on afterwards to three times the load, and read memory again.
    """
    work = medium.work
    folder = bench.directory / work.name
    folder.mkdir(exist_ok=True)
    (port,) = free_ports(1)
    place = Place(folder / "hepsw.toml", port, ())
    place.config.write_text(with_ports(work.config(), port, ()).replace("URL", target.url))

    def load(program: Program, number: int) -> tuple[Load, Watched]:
        url, count = f"udp://127.0.0.1:{port}", round(alone * bench.seconds)
        generator = bench.sender(work, url, f"{alone:.0f}", count, number)
        with subprocess.Popen(generator, stdout=subprocess.PIPE, text=True) as sending:
            found = watch(target.mark, sending)
        if program.process.poll() is not None:
            raise BenchError(f"ended under load, {program.why_ended()}")
        return found

    with started(work.command(place), bench.cores.relay, folder / "log") as program:
        program.wait_until_bound("udp", port)
        rss_idle, cpu_before = program.rss_mib(), program.cpu_us()
        first_load, watched = load(program, 0)
        cpu, rss = program.cpu_us() - cpu_before, program.rss_mib()
        rows = target.rows(watched.grown)
        check(medium, target)
        rss_long = None
        if long:
            for number in range(1, LONG_LOAD):
                load(program, number)
            rss_long = program.rss_mib()
            rows_in_the_end = target.rows(0).number
        if status := program.stop():
            raise BenchError(f"ended with {status}, {program.why_ended()}")
    if target.rows(0).number != (rows_in_the_end if long else rows.number):
        raise BenchError("rows came though nothing was sent")
    return StoreRun(
        work=work.name,
        rows_per_s=rows.number / (rows.last - watched.began),
        alone_per_s=alone,
        ready_made_per_s=beside,
        offered_per_s=first_load.rate,
        rows=rows.number,
        sent=first_load.sent,
        cpu_us_per_row=cpu / rows.number,
        rss_idle_mib=rss_idle,
        rss_mib=rss,
        rss_long_mib=rss_long,
    )


class Watched(NamedTuple):
    """What was seen while a load went on."""

    began: float
    """When the first packet was sent."""
    grown: float
    """When the store grew last."""


def watch(mark: Callable[[], int], sending: "subprocess.Popen[str]") -> tuple[Load, Watched]:
    """Wait until a load is sent and the store has taken what it will.

    Asking for the mark is cheap, and done by other processes on another core.
    """
    assert sending.stdout
    deadline = time.monotonic() + PATIENCE_S
    before = seen = mark()
    grown = time.time()
    sent, ended = None, 0.0
    while sent is None or time.time() < max(grown, ended) + QUIET_S:
        if sent is None and select.select([sending.stdout], [], [], LOOK_S)[0]:
            sent, ended = summary(sending.stdout.readline()), time.time()
        elif sent is not None:
            time.sleep(LOOK_S)
        if (found := mark()) != seen:
            seen, grown = found, time.time()
        if time.monotonic() > deadline:
            raise BenchError(f"rows still come after {PATIENCE_S:.0f} s")
    if seen == before:
        raise BenchError("no row came")
    return sent, Watched(ended - sent.seconds, grown)


def check(medium: Medium, target: Target) -> None:
    """Compare the first rows with what was sent first; some of that may have been shed."""
    sent = (medium.kept(frame) for frame in repeated(medium.work.frames(), 0))
    for number, kept in enumerate(target.first(COMPARED), 1):
        if kept not in islice(sent, 10 * ROWS):  # goes on from where the one before was found
            raise BenchError(f"row {number} is not a packet that was sent, or not in its place")


def views(file: Path) -> "list[View]":
    """Return the packets of a file as a listener gives them; for the other side."""
    from hepsw import framefile  # noqa: PLC0415 - only the other side needs it
    from hepsw.hep import decode  # noqa: PLC0415 - as above
    from hepsw.view import Peer, View  # noqa: PLC0415 - as above

    peer = Peer(bytes([127, 0, 0, 1]), 40000, "udp", bytes([127, 0, 0, 1]), 9060, "in")
    now_us = time.time_ns() // 1000
    return [View(decode(frame), peer, now_us) for frame in framefile.read(file.read_bytes()).frames]
