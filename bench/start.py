"""Start: from exec to a bound UDP port with the shipped configuration, and `hepsw --help`.

    python bench/start.py [--starts 15] [--json FILE]
    PYTHONPATH=. python bench/start.py                  # from the checkout

wall ms        from the start of the process: median (lowest..highest)
CPU ms         user and system time of the process up to then, median: others disturb it less
python         an interpreter that does nothing: what no program in Python can be faster than
help           `hepsw --help`, to its end
run            `hepsw run`, until its UDP port is bound; hepsw.toml and rules/ of the checkout
run, 10 tests  the same with ten tests more: the simulator has to be loaded

The works take turns, so that all of them meet the same weather; one start of each, which fills
caches and writes byte code, is not counted. Linux is needed: the port is looked for in /proc.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOOK_S: Final = 0.002  # between two looks at the socket table
START_S: Final = 15.0  # what has not bound its port by then never will
SETTLE_S: Final = 0.3  # after the port is bound: signals are heard a little later
STOP_S: Final = 10.0
TESTS: Final = """
[[tests]]
name   = "number {number}"
given  = {{ proto_type = "SIP", sip.method = "OPTIONS" }}
expect = {{ missed = false }}
"""

Reading = tuple[float, float]
"""Wall and CPU time in milliseconds."""


class BenchError(Exception):
    """A program under test did not do its part; the message is for the user."""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody holds now, for UDP; all are held at once, so that they differ."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for _ in range(count)
        ]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def is_bound(port: int) -> bool:
    """Tell whether somebody has a UDP port on IPv4."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(wanted) for line in lines)


def cpu_ms(pid: int) -> float:
    """Return user and system time of a process so far, all its threads."""
    # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e6


def to_its_end(*command: str) -> Reading:
    """Return what a command takes."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchError(f"{' '.join(command)}: exit status {process.returncode}")
    return 1000 * wall, 1000 * (used.ru_utime + used.ru_stime)


def to_bound(file: Path, port: int) -> Reading:
    """Return what `hepsw run` takes until it has bound its UDP port."""
    log = file.with_suffix(".log")
    with log.open("w") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "hepsw", "run", "-c", str(file)], stdout=output, stderr=output
        )
    try:
        while not is_bound(port):
            if process.poll() is not None or time.perf_counter() - began > START_S:
                raise BenchError(f"hepsw did not start:\n{log.read_text()[-2000:]}")
            time.sleep(LOOK_S)
        reading = 1000 * (time.perf_counter() - began), cpu_ms(process.pid)
        time.sleep(SETTLE_S)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)
    finally:
        process.kill()
        process.wait()
    return reading


def shipped(folder: Path, more: str = "") -> tuple[Path, int]:
    """Put the shipped configuration into a folder, on ports that are free; return file and port."""
    shutil.copytree(ROOT / "rules", folder / "rules")
    text = (ROOT / "hepsw.toml").read_text()
    here, there = free_ports(2)
    for port, free in (("9060", here), ("9070", there)):
        if f":{port}" not in text:
            raise BenchError(f"hepsw.toml has no port {port}")
        text = text.replace(f":{port}", f":{free}")
    file = folder / "hepsw.toml"
    file.write_text(text + more)
    return file, here


def measure(works: dict[str, Callable[[], Reading]], starts: int) -> dict[str, list[Reading]]:
    """Return the readings of each work."""
    readings: dict[str, list[Reading]] = {name: [] for name in works}
    for turn in range(starts + 1):
        for name, work in works.items():
            reading = work()
            if turn:
                readings[name].append(reading)
    return readings


def line(name: str, readings: Sequence[Reading]) -> str:
    walls = [wall for wall, _ in readings]
    spread = f"{statistics.median(walls):.0f} ({min(walls):.0f}..{max(walls):.0f})"
    return f"{name:<14}{spread:>18}{statistics.median(cpu for _, cpu in readings):>8.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all readings there")
    chosen = parser.parse_args()
    if chosen.starts < 1:
        parser.error("--starts must be at least 1")
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        plain = shipped(folders[0])
        tested = shipped(folders[1], "".join(TESTS.format(number=n) for n in range(10)))
        try:
            readings = measure(
                {
                    "python": lambda: to_its_end("-c", "pass"),
                    "help": lambda: to_its_end("-m", "hepsw", "--help"),
                    "run": lambda: to_bound(*plain),
                    "run, 10 tests": lambda: to_bound(*tested),
                },
                chosen.starts,
            )
        except BenchError as error:
            sys.exit(f"start.py: {error}")
    print(f"{'':<14}{'wall ms':>18}{'CPU ms':>8}")
    for name, of_work in readings.items():
        print(line(name, of_work))
    if chosen.json:
        chosen.json.write_text(
            json.dumps(
                {
                    name: [{"wall_ms": wall, "cpu_ms": cpu} for wall, cpu in of_work]
                    for name, of_work in readings.items()
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
