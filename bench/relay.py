"""One run of one work: a relay on a core of its own under a steady load, and what that took.

The generator sends at a fixed rate whatever happens, the relay under test is pinned, and a sink
counts what came through and keeps the first of it for comparison. README.md tells the method.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count as count_from
from itertools import islice
from pathlib import Path
from typing import Final

from programs import (
    BUILD,
    BenchError,
    Cores,
    Program,
    drops,
    free_ports,
    machine_ticks,
    show,
    started,
)
from works import Place, Work, later, with_ports

QUIET_S: Final = 0.3  # a sink that has counted nothing for so long has all it will get
DRAIN_S: Final = 30.0  # ... and after this long we stop waiting for it
WARM_UP_S: Final = 0.2  # load before the first reading: caches fill, lazy work gets done
BUSY: Final = 0.9  # a work that loses packets and is on its core for less time was kept from it
LONG_LOAD: Final = 3  # memory is read again after so many times the load

SUMMARY: Final = re.compile(r"sent ([\d,]+) packets?.* in ([\d.]+) s$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator did."""

    sent: int
    seconds: float

    @property
    def rate(self) -> float:
        """Packets per second."""
        return self.sent / self.seconds


@dataclass(frozen=True, slots=True)
class Run:
    """One work under one load."""

    work: str
    rate: int
    """Asked for, in packets per second."""
    rate_sent: float
    """What the generator reached."""
    sent: int
    expected: int
    """Packets that were to reach the sink: more than were sent where there are copies."""
    arrived: int
    """Counted by the sink."""
    cpu_us: float
    """User and system time of all that the relay is, between the two readings."""
    rss_idle_mib: float
    rss_mib: float
    """After the load."""
    rss_long_mib: float | None
    """After three times the load, where that was tried."""
    dropped_by_sink: int
    """Full receive buffer of the sink: the bench's own fault."""
    stolen: float
    """Share of the machine's CPU time that its hypervisor gave to others meanwhile."""
    exit_status: int

    @property
    def loss(self) -> float:
        """The share of what was to arrive that the sink never saw."""
        return 1 - self.arrived / self.expected

    @property
    def busy(self) -> float:
        """The share of the time of the load that the work was on a core."""
        return self.cpu_us / 1e6 / (self.sent / self.rate_sent)

    @property
    def cpu_us_per_packet(self) -> float:
        """CPU time over packets taken in and delivered: what was lost pays for nothing."""
        return self.cpu_us / (self.sent * (1 - self.loss)) if self.arrived else float("nan")


class Sink:
    """The receiver: as many ports as a work has outputs."""

    def __init__(self, program: Program, ports: Sequence[int], first: Path) -> None:
        self._program = program
        self._first = first
        self.ports = ports

    def count(self) -> int:
        """Return how many packets it has once it gets no more."""
        output = self._program.process.stdout
        assert output
        deadline = time.monotonic() + DRAIN_S
        seen, since = -1, time.monotonic()
        while True:
            self._program.process.send_signal(signal.SIGUSR1)
            line = output.readline()
            if not line:
                raise BenchError("the sink ended")
            count = int(line.split()[1])
            now = time.monotonic()
            if count != seen:
                seen, since = count, now
            if now - since >= QUIET_S or now > deadline:
                return count
            time.sleep(0.05)

    def first(self) -> list[bytes]:
        """End it; return what each port received first, back to back."""
        if self._program.stop():
            raise BenchError("the sink failed")
        return [
            self._first.with_name(f"{self._first.name}.{at}").read_bytes()
            for at in range(len(self.ports))
        ]


class Running:
    """A work that is running, between a generator and a sink."""

    def __init__(self, bench: "Bench", work: Work, program: Program, port: int, sink: Sink) -> None:
        self._bench = bench
        self._port = port
        self._loads = 0
        self.work = work
        self.program = program
        self.sink = sink

    def load(self, rate: int, seconds: float) -> Load:
        """Send for `seconds`."""
        url = f"{self.work.scheme}://127.0.0.1:{self._port}"
        count = max(1, round(rate * seconds))
        load = self._bench.send(self.work, url, str(rate), count, self._loads)
        self._loads += 1
        if self.program.process.poll() is not None:
            raise BenchError(f"ended under load, {self.program.why_ended()}")
        return load


@dataclass(slots=True)
class Bench:
    """What all runs have in common."""

    directory: Path
    seconds: float
    cores: Cores

    def sender(self, work: Work, url: str, rate: str, count: int, number: int = 0) -> list[str]:
        """Return how the generator is started: `hepsw send` with the work's traffic.

        Args:
            work: whose traffic.
            url: where to.
            rate: packets per second, or max.
            count: how many.
            number: of the load: no packet of one may be in another, or a work that looks for
                loops would think that it comes back.
        """
        return [
            *(sys.executable, "-m", "hepsw", "send", str(self.traffic(work, number)), "--to", url),
            *("--rate", rate, "--count", str(count)),
        ]

    def send(self, work: Work, url: str, rate: str, count: int, number: int = 0) -> Load:
        """Run the generator."""
        result = subprocess.run(
            self.sender(work, url, rate, count, number),
            capture_output=True,
            text=True,
            timeout=10 * self.seconds + 30,
            check=False,
        )
        if result.returncode:
            raise BenchError(f"the generator failed: {result.stderr.strip()}")
        return summary(result.stdout)

    @contextmanager
    def running(self, work: Work) -> Iterator[Running]:
        """Start a sink and a work."""
        outputs = len(work.arrives(work.frames()[0]))
        port_in, *ports_out = free_ports(1 + outputs, work.scheme)
        place = Place(self.directory / f"{work.name}.conf", port_in, ports_out)
        place.config.write_text(with_ports(work.config(), port_in, ports_out))
        log = self.directory / f"{work.name}.log"
        with (
            self.sink(work.scheme, ports_out) as sink,
            started(
                work.command(place),
                self.cores.relay,
                log,
                environment=work.environment,
                kill=work.kill,
            ) as program,
        ):
            program.wait_until_bound(work.scheme, port_in)
            yield Running(self, work, program, port_in, sink)

    @contextmanager
    def sink(self, scheme: str, ports: Sequence[int]) -> Iterator[Sink]:
        """Start a sink."""
        first = self.directory / "first"
        with started([str(BUILD / "sink"), scheme, str(first), *map(str, ports)]) as program:
            assert program.process.stdout
            if program.process.stdout.readline() != "ready\n":
                raise BenchError("the sink did not start")
            yield Sink(program, ports, first)

    def measure(self, work: Work, rate: int, *, long: bool = False) -> Run:
        """Start sink and relay, warm up, load, wait for silence, stop, and say what it took.

        Args:
            work: what is measured.
            rate: packets per second.
            long: whether to go on afterwards to three times the load, and read memory again.
        """
        with self.running(work) as running:
            program, sink = running.program, running.sink
            rss_idle = program.rss_mib()
            warm_up = running.load(rate, WARM_UP_S)
            before = sink.count()
            cpu_before, machine_before = program.cpu_us(), machine_ticks()
            load = running.load(rate, self.seconds)
            arrived = sink.count() - before
            cpu = program.cpu_us() - cpu_before
            stolen, ticks = (b - a for a, b in zip(machine_before, machine_ticks(), strict=True))
            rss = program.rss_mib()
            dropped = drops(sink.ports)
            rss_long = None
            if long:
                running.load(rate, self.seconds * (LONG_LOAD - 1))
                sink.count()
                rss_long = program.rss_mib()
            exit_status = program.stop()
            compare(work, sink.first(), (warm_up.sent, load.sent))
        return Run(
            work=work.name,
            rate=rate,
            rate_sent=load.rate,
            sent=load.sent,
            expected=expected(work, load.sent),
            arrived=arrived,
            cpu_us=cpu,
            rss_idle_mib=rss_idle,
            rss_mib=rss,
            rss_long_mib=rss_long,
            dropped_by_sink=dropped,
            stolen=stolen / ticks,
            exit_status=exit_status,
        )

    def rounds(self, works: Sequence[Work], rate: int, count: int) -> tuple[list[Run], list[str]]:
        """Alternate the works `count` times, so that all of them meet the same weather.

        Returns:
            The runs, and what failed: such a work has no further runs.
        """
        runs: list[Run] = []
        failed: dict[str, str] = {}
        for at in range(count):
            for work in works:
                if work.name in failed:
                    continue
                show(f"{rate} packets/s, round {at + 1} of {count}: {work.name}")
                try:
                    runs.append(self.measure(work, rate, long=work.is_hepsw and at == count - 1))
                except BenchError as error:
                    failed[work.name] = f"{work.name}: {error}"
        show("")
        return runs, list(failed.values())

    def traffic(self, work: Work, number: int = 0) -> Path:
        """Return the file of a work's traffic in one load, written when it is first asked for."""
        path = self.directory / f"{work.name}.{number}.hep"
        if not path.exists():
            path.write_bytes(b"".join(sent(work.frames(), number)))
        return path


def summary(printed: str) -> Load:
    """Read what the generator says in the end."""
    found = SUMMARY.match(printed)
    if not found:
        raise BenchError(f"the generator said {printed!r}")
    return Load(int(found[1].replace(",", "")), float(found[2]))


def expected(work: Work, sent: int) -> int:
    """Return how many packets the sink gets if none is lost."""
    copies = [sum(one is not None for one in work.arrives(frame)) for frame in work.frames()]
    rounds, rest = divmod(sent, len(copies))
    return rounds * sum(copies) + sum(copies[:rest])


def compare(work: Work, first: Sequence[bytes], loads: Sequence[int]) -> None:
    """Compare what the sink got first with what it was to get, octet by octet.

    Args:
        work: what was running.
        first: what each port received first.
        loads: how many packets were sent, load by load: each began with the traffic's first.

    Raises:
        BenchError: a packet is not right, or not in its place; some may be missing.
    """
    for output, received in enumerate(first):
        wanted = (
            copy
            for number, count in enumerate(loads)
            for frame in islice(repeated(work.frames(), number), count)
            if (copy := work.arrives(frame)[output]) is not None
        )
        number = 0
        for number, frame in enumerate(whole(received), 1):
            if frame not in wanted:  # goes on from where the one before was found
                raise BenchError(f"packet {number} at output {output} is not right: {frame.hex()}")
        if not number:
            raise BenchError(f"nothing came out at output {output}")


def sent(frames: Sequence[bytes], number: int, again: int = 0) -> Iterator[bytes]:
    """Yield the traffic of a load as the generator sends it when it does so again."""
    for frame in frames:
        yield later(frame, number, again)


def repeated(frames: Sequence[bytes], number: int) -> Iterator[bytes]:
    """Yield all that the generator sends in a load: it moves the time on with each repetition."""
    for again in count_from():
        yield from sent(frames, number, again)


def whole(received: bytes) -> Iterator[bytes]:
    """Yield the packets of a stream that are whole."""
    at = 0
    while at + 6 <= len(received):
        end = at + int.from_bytes(received[at + 4 : at + 6])
        if end > len(received):
            return
        yield received[at:end]
        at = end
