"""The measurement of hepsw: every work beside its limit or its peer, in alternating runs.

    python bench/measure.py [--only NAME ...] [--rate R] [--seconds S] [--rounds N] [--json FILE]

README.md tells the method and how to read the tables. hepsw is started as `python -m hepsw` by this
Python: the checkout or installation that it finds first is the one measured.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import knee
import store
import table
from into_postgres import Postgres
from into_sqlite import Sqlite
from programs import build, choose_cores
from relay import Bench, Run
from works import KNEES, TARGETS, WORKS, mixed

KNEE = "knee"
MEDIA: Final[dict[str, store.Medium]] = {
    medium.work.name: medium for medium in (Sqlite(), Postgres())
}


@dataclass
class Results:
    """What was measured, as far as it went."""

    runs: list[Run] = field(default_factory=list)
    stored: list[store.StoreRun] = field(default_factory=list)
    knees: list[knee.Knee] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def measure(bench: Bench, options: argparse.Namespace, results: Results) -> None:
    """Measure what `options` ask for, and print each table as soon as it is there."""
    wanted = options.only or [*WORKS, *MEDIA, KNEE]
    missing = {name: work.needs for name, work in WORKS.items() if not work.is_here}
    missing |= {name: medium.needs for name, medium in MEDIA.items() if medium.needs}
    for name in (name for name in missing if name in wanted):
        print(f"without {name}: {missing[name]} is not installed\n")
    works = [work for name, work in WORKS.items() if name in wanted and name not in missing]
    if works:
        results.runs, failures = bench.rounds(works, options.rate, options.rounds)
        results.failures += failures
        say(table.works(results.runs))
        say(table.targets(results.runs))
    for name, medium in MEDIA.items():
        if name in wanted and name not in missing:
            stored, failures = store.rounds(bench, medium, options.rounds)
            results.stored += stored
            results.failures += failures
            if stored:
                say(table.store(stored, medium))
    if results.runs or results.stored:
        say(table.memory(results.runs, results.stored))
    if KNEE in wanted:
        names = [name for name in KNEES if not works or WORKS[name] in works]
        for found in knee.knees(bench, [WORKS[name] for name in names if WORKS[name].is_here]):
            if isinstance(found, str):
                results.failures.append(found)
            else:
                results.knees.append(found)
        say(table.knees(results.knees))
    for text in table.warnings(results.runs, bench.cores):
        print(f"warning: {text}")


def say(text: str) -> None:
    if text:
        print(f"{text}\n", flush=True)


def as_json(
    results: Results, bench: Bench, options: argparse.Namespace, version: str
) -> dict[str, Any]:
    """Return every run and every probe, and where they were made."""
    return {
        "command": sys.argv,
        "hepsw": version,
        "machine": {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
        },
        "rate": options.rate,
        "seconds": options.seconds,
        "cores": asdict(bench.cores),
        "runs": [
            asdict(run)
            | {"loss": run.loss, "busy": run.busy, "cpu_us_per_packet": run.cpu_us_per_packet}
            for run in results.runs
        ],
        "targets": [
            asdict(target) | {"ratio": statistics.median(found)}
            for target in TARGETS
            if (found := table.ratios(table.by_work(results.runs), target))
        ],
        "stores": [asdict(run) | {"ratio": run.ratio} for run in results.stored],
        "knees": [asdict(one) for one in results.knees],
        "failures": results.failures,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="hepsw beside its limits and its peers.")
    names = [*WORKS, *MEDIA, KNEE]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rate", type=int, default=60_000, help="packets per second offered")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each work")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run here")
    options = parser.parse_args()
    if options.rate < 1 or options.seconds <= 0 or options.rounds < 1:
        parser.error("--rate, --seconds and --rounds must be above zero")
    return options


def hepsw_version() -> str:
    """Return what `hepsw --version` says: the version, and which build is live."""
    command = (sys.executable, "-m", "hepsw", "--version")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    options = parse()
    if not build():
        print("skipped: no C compiler (cc), so neither C loop nor sink", file=sys.stderr)
        return 0
    began = time.monotonic()
    version = hepsw_version()
    with tempfile.TemporaryDirectory(prefix="hepsw-bench-") as name:
        bench = Bench(Path(name), options.seconds, choose_cores())
        octets = statistics.mean(map(len, mixed()))
        print(
            f"{version}; {octets:.0f} octets a packet, {options.rounds} rounds of"
            f" {options.seconds:g} s at {options.rate} packets/s\n",
            flush=True,
        )
        results = Results()
        try:
            measure(bench, options, results)
        finally:
            if options.json:
                document = as_json(results, bench, options, version)
                options.json.write_text(json.dumps(document, indent=2) + "\n")
    for failure in results.failures:
        print(f"FAILED: {failure}")
    print(f"{time.monotonic() - began:.0f} s")
    return bool(results.failures)


if __name__ == "__main__":
    sys.exit(main())
