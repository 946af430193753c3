"""The highest rate at which a work loses next to nothing."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from programs import BenchError, drops, free_ports, show
from relay import BUSY, WARM_UP_S, Bench, Running, expected
from works import Work

LOST: Final = 0.001  # a work keeps up with a rate while it loses less than this share
LOWEST: Final = 5_000  # packets/s
CLOSE: Final = 1.05  # two rates nearer to each other than this need no further probe
PROBE_S: Final = 1.0
LAST_PROBE_S: Final = 3.0  # a receive buffer hides some thousand packets too many from a short one
LATE: Final = 0.97  # a generator that reaches less than this share of a rate is at its limit
TRIES: Final = 2  # of a probe that something else on the machine spoiled
STARTING_RATE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Probe:
    """One rate, tried."""

    rate: int
    seconds: float
    rate_sent: float
    loss: float
    busy: float
    """The share of the time that the work was on its core."""
    dropped_by_sink: int

    @property
    def is_spoiled(self) -> bool:
        """Whether packets were lost because something else had the core."""
        return not self.holds and not self.dropped_by_sink and self.busy < BUSY

    @property
    def is_late(self) -> bool:
        """Whether the generator could not send so fast."""
        return self.rate_sent < LATE * self.rate

    @property
    def holds(self) -> bool:
        """Whether the work kept up."""
        return self.loss < LOST


@dataclass(slots=True)
class Knee:
    """What was found for one work."""

    work: str
    rate: float | None = None
    """Packets per second, held for a short and a long probe; None if the lowest was too many."""
    loss: float = math.nan
    """The higher of the two losses."""
    is_limit_of_bench: bool = False
    """Whether the generator or the sink could do no more: the work might."""
    probes: list[Probe] = field(default_factory=list)


def knees(bench: Bench, works: list[Work]) -> Iterator[Knee | str]:
    """Look for the knee of each work; yield what failed as text."""
    most = generator_limit(bench, works[0])
    for work in works:
        try:
            with bench.running(work) as running:
                running.load(STARTING_RATE, WARM_UP_S)
                running.sink.count()
                yield find(running, most)
        except BenchError as error:
            yield f"{work.name}: {error}"
    show("")


def generator_limit(bench: Bench, work: Work) -> int:
    """Return the packets per second that generator and sink manage with no relay between them."""
    show("how fast can the generator be?")
    (port,) = free_ports(1)
    with bench.sink("udp", [port]) as sink:
        rate = bench.send(work, f"udp://127.0.0.1:{port}", "max", 500_000).rate
        sink.count()
    return int(rate)


def find(running: Running, most: int) -> Knee:
    """Close in on the knee, then try it once more and for longer.

    Between two bounds it goes on in equal ratios: there the same number of probes tells a rate of
    10,000 as well as one of 300,000.
    """
    knee = Knee(running.work.name, is_limit_of_bench=True)
    low, high = float(LOWEST), float(most)
    held: Probe | None = None
    while high / low > CLOSE:
        one = probe(running, knee, int(math.sqrt(low * high)), PROBE_S)
        if one.holds and not one.is_late:
            low, held = one.rate, one
        else:
            high = min(one.rate, one.rate_sent)
            knee.is_limit_of_bench = one.is_late or one.dropped_by_sink > 0
    rate = low
    while rate >= LOWEST:
        again = probe(running, knee, int(rate), LAST_PROBE_S)
        if again.holds and held is not None:
            knee.rate, knee.loss = again.rate_sent, max(again.loss, held.loss)
            return knee
        if again.holds:
            held = again
        else:
            rate /= CLOSE
            knee.is_limit_of_bench = again.dropped_by_sink > 0
    return knee


def probe(running: Running, knee: Knee, rate: int, seconds: float) -> Probe:
    """Try a rate, and once more where that says nothing about the work."""
    for _ in range(TRIES):
        one = probe_once(running, rate, seconds)
        knee.probes.append(one)
        if not one.is_spoiled:
            break
    return one


def probe_once(running: Running, rate: int, seconds: float) -> Probe:
    show(f"{rate} packets/s: does {running.work.name} keep up?")
    dropped, before = drops(running.sink.ports), running.sink.count()
    cpu_before = running.program.cpu_us()
    load = running.load(rate, seconds)
    arrived = running.sink.count() - before
    return Probe(
        rate=rate,
        seconds=seconds,
        rate_sent=load.rate,
        loss=1 - arrived / expected(running.work, load.sent),
        busy=(running.program.cpu_us() - cpu_before) / 1e6 / load.seconds,
        dropped_by_sink=drops(running.sink.ports) - dropped,
    )
