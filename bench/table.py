"""What was measured, as tables: figures, and each target with whether it was met."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from knee import Knee
from programs import Cores
from relay import BUSY, Run
from store import Medium, StoreRun
from works import TARGETS, WORKS, Target

IDLE_MIB = 80.0
FLAT_MIB = 2.0  # an allocator keeps more or less of what it had
LOST = 0.001  # a loss worth a warning
STOLEN = 0.01  # stolen CPU time worth a warning


def verdict(value: float, *, most: float | None = None, least: float | None = None) -> str:
    """Return a target and whether a value meets it."""
    if most is not None:
        return f"<= {most:<6g} {'met' if value <= most else 'MISSED'}"
    if least is not None:
        return f">= {least:<6g} {'met' if value >= least else 'MISSED'}"
    return "-"


def spread(values: Sequence[float]) -> str:
    """Return median and extremes."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


AnyRun = TypeVar("AnyRun", Run, StoreRun)


def by_work(runs: Sequence[AnyRun]) -> dict[str, list[AnyRun]]:
    found: dict[str, list[AnyRun]] = {}
    for run in runs:
        found.setdefault(run.work, []).append(run)
    return found


def ratios(runs: Mapping[str, Sequence[Run]], target: Target) -> list[float]:
    """Return CPU per packet of one work over that of another, round by round."""
    mine, theirs = runs.get(target.work, ()), runs.get(target.than, ())
    # One that failed on the way has fewer rounds.
    return [a.cpu_us_per_packet / b.cpu_us_per_packet for a, b in zip(mine, theirs, strict=False)]


def works(runs: Sequence[Run]) -> str:
    """Return one line a work; medians over the rounds, and the extremes of the CPU time."""
    lines = [f"{'work':<12} {'':<38} offered/s  loss %  CPU us/packet (min..max)  exit"]
    for name, mine in by_work(runs).items():
        statuses = sorted({run.exit_status for run in mine})
        lines.append(
            f"{name:<12} {WORKS[name].what:<38}"
            f" {statistics.median(run.rate_sent for run in mine):>9.0f}"
            f" {100 * statistics.median(run.loss for run in mine):>7.2f}"
            f"  {spread([run.cpu_us_per_packet for run in mine]):<24}"
            f"  {'-' if WORKS[name].kill else ','.join(map(str, statuses))}"
        )
    return "\n".join(lines)


def targets(runs: Sequence[Run]) -> str:
    """Return how the works stand to each other."""
    found = by_work(runs)
    lines = [
        f"{f'{target.work} / {target.than}':<20} {spread(values):<22}"
        f" {verdict(statistics.median(values), most=target.most)}"
        for target in TARGETS
        if (values := ratios(found, target))
    ]
    title = f"{'CPU per packet':<20} {'ratio (min..max)':<22} target"
    return "\n".join([title, *lines]) if lines else ""


def memory(runs: Sequence[Run], stored: Sequence[StoreRun]) -> str:
    """Return resident memory of hepsw: the highest of all rounds, and the growth under load."""
    lines = [
        f"{'resident MiB':<20} {'idle':>6} {'target':<16} after load  after 3x  target: growth"
    ]
    for name, mine in by_work(runs).items():
        most = IDLE_MIB if WORKS[name].idles else None
        idle = max(run.rss_idle_mib for run in mine)
        target = verdict(idle, most=most) if WORKS[name].is_hepsw else "-"
        lines.append(f"{name:<20} {idle:>6.1f} {target:<16} {growth(mine)}")
    for name, rows in by_work(stored).items():
        idle = max(run.rss_idle_mib for run in rows)
        lines.append(f"{name:<20} {idle:>6.1f} {verdict(idle, most=IDLE_MIB):<16} {growth(rows)}")
    return "\n".join(lines)


def growth(runs: Sequence[Run] | Sequence[StoreRun]) -> str:
    """Return what is resident after the load, after three times the load, and the difference."""
    line = f"{max(run.rss_mib for run in runs):>10.1f}"
    for run in runs:
        if run.rss_long_mib is not None:
            more = run.rss_long_mib - run.rss_mib
            line += f" {run.rss_long_mib:>9.1f}  {more:.1f} {verdict(more, most=FLAT_MIB)}"
    return line


def store(runs: Sequence[StoreRun], medium: Medium) -> str:
    """Return how fast rows go into a store."""
    alone, beside, hepsw, offered = (
        statistics.median(values)
        for values in zip(
            *(
                (run.alone_per_s, run.ready_made_per_s, run.rows_per_s, run.offered_per_s)
                for run in runs
            ),
            strict=True,
        )
    )
    ratio = [run.ratio for run in runs]
    met = verdict(statistics.median(ratio), least=medium.least)
    us = spread([run.cpu_us_per_row for run in runs])
    lines = (
        f"{medium.title:<20} {'rows/s':>7}",
        f"{medium.other:<20} {beside:>7.0f}  beside the same load; {alone:.0f} alone",
        f"{'hepsw':<20} {hepsw:>7.0f}  CPU us/row {us}, offered {offered:.0f}/s",
        f"{'ratio (min..max)':<20} {spread(ratio):<22} {met}",
    )
    return "\n".join(lines)


def knees(found: Sequence[Knee]) -> str:
    """Return the highest rates."""
    lines = [f"{'knee: loss < 0.1 %':<20} packets/s  loss %"]
    for knee in found:
        if knee.rate is None:
            lines.append(f"{knee.work:<20} none down to {min(one.rate for one in knee.probes)}")
            continue
        line = f"{knee.work:<20} {knee.rate:>9.0f} {100 * knee.loss:>7.3f}"
        if knee.is_limit_of_bench:
            line += "  at least: generator and sink can do no more"
        elif spoiled := sum(one.is_spoiled for one in knee.probes):
            line += f"  {spoiled} of {len(knee.probes)} probes spoiled: something else had its core"
        lines.append(line)
    return "\n".join(lines)


def warnings(runs: Sequence[Run], cores: Cores) -> Iterator[str]:
    """Yield what makes the figures worth less than they look."""
    if cores.relay is None:
        yield "nothing is pinned: relay, generator and sink share whatever cores there are"
    if late := [run for run in runs if run.rate_sent < 0.99 * run.rate]:
        yield f"the generator was more than 1 % too slow in {len(late)} of {len(runs)} runs"
    if runs and (stolen := statistics.median(run.stolen for run in runs)) > STOLEN:
        yield f"the hypervisor took {100 * stolen:.1f} % of the CPU time: expect spread and loss"
    if dropped := sum(run.dropped_by_sink for run in runs):
        yield f"the sink itself dropped {dropped} packets: loss and CPU per packet are too high"
    for name, mine in by_work(runs).items():
        lossy = [run for run in mine if run.loss >= LOST]
        if kept := [run for run in lossy if run.busy < BUSY]:
            yield f"{name} lost packets in {len(kept)} runs while something else had its core"
        elif 2 * len(lossy) > len(mine):
            yield f"{name} does not keep up: its figure is that of a work that is always busy"
