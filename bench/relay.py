"""UDP relay: CPU per packet of hepsw beside a bare C loop, in alternating runs on loopback.

The generator sends at a fixed rate whatever happens, the relay under test has a core of its own,
and a sink counts what came through. README.md says how to read the table.

    python bench/relay.py [--rate 60000] [--seconds 2] [--rounds 5] [--only c] [--json FILE]

hepsw is started as `python -m hepsw run` by this Python: the checkout or installation it finds
first is the one measured.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import traffic

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE / "build"
C_FLAGS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra")

START_S: Final = 15.0  # a relay that has not bound its port by then never will
SETTLE_S: Final = 0.3  # after the port is bound
QUIET_S: Final = 0.3  # a sink that has counted nothing for so long has all it will get
DRAIN_S: Final = 30.0  # ... and after this long we stop waiting for it
STOP_S: Final = 10.0
WARM_UP_S: Final = 0.2  # load before the first reading: caches fill, lazy work gets done

KEEPS_UP: Final = 0.001  # a relay keeps up with a rate while it loses less than this share
STOLEN: Final = 0.01  # stolen CPU time worth a warning
SLOWEST: Final = 500  # packets/s; nobody asks for the knee below it

CONFIG: Final = """\
[[listen]]
url = "udp://127.0.0.1:{port_in}"
[destinations]
sink = "udp://127.0.0.1:{port_out}"
[reload]
watch = false
[[rules.main]]
name = "media"
match.proto_type = ["RTCP", "LOG"]
relay = "sink"
[[rules.main]]
name = "signalling"
match.proto_type = "SIP"
match.port = "5060-5090"
relay = "sink"
"""


class BenchError(Exception):
    """A program under test or one of ours did not do its part; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where programs run; both None when there is nothing to choose from."""

    relay: int | None
    rest: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """One relay under one load."""

    work: str
    rate: int
    """Asked for, in packets per second."""
    rate_sent: float
    """What the generator reached."""
    sent: int
    relayed: int
    """Counted by the sink."""
    cpu_us: float
    """User and system time of the whole relay process between the two readings."""
    rss_mib: float
    dropped_by_sink: int
    """Full receive buffer of the sink: the bench's own fault."""
    stolen: float
    """Share of the machine's CPU time that its hypervisor gave to others meanwhile."""
    exit_status: int

    @property
    def loss(self) -> float:
        """The share of the packets sent that the sink never saw."""
        return 1 - self.relayed / self.sent

    @property
    def cpu_us_per_packet(self) -> float:
        """CPU time over packets relayed: what was lost on the way pays for nothing."""
        return self.cpu_us / self.relayed if self.relayed else float("nan")


@dataclass(slots=True)
class Bench:
    """What all runs have in common."""

    directory: Path
    traffic_path: Path
    seconds: float
    cores: Cores
    runs: list[Run] = field(default_factory=list)

    def command(self, work: str, port_in: int, port_out: int) -> list[str]:
        """Return how to start a relay between two ports."""
        if work == "c":
            return [str(BUILD / "relay"), str(port_in), str(port_out)]
        path = self.directory / "hepsw.toml"
        path.write_text(CONFIG.format(port_in=port_in, port_out=port_out))
        return [sys.executable, "-m", "hepsw", "run", "-c", str(path)]

    def measure(self, work: str, rate: int) -> Run:
        """Start sink and relay, warm up, load, wait for silence, stop, and say what it took."""
        port_in, port_out = free_ports(2)
        log = self.directory / f"{work}.log"
        with ExitStack() as stack:
            sink = stack.enter_context(started([str(BUILD / "sink"), str(port_out)], None))
            assert sink.stdout
            if sink.stdout.readline() != "ready\n":
                raise BenchError("the sink did not start")
            relay = stack.enter_context(
                started(self.command(work, port_in, port_out), self.cores.relay, log)
            )
            wait_until_bound(relay, port_in, log)
            self.load(port_in, rate, WARM_UP_S)
            relayed_before = quiet_count(sink)
            cpu_before, machine_before = cpu_us(relay.pid), machine_ticks()
            sent, rate_sent = self.load(port_in, rate, self.seconds)
            relayed = quiet_count(sink) - relayed_before
            if relay.poll() is not None:
                raise BenchError(f"{work} ended under load, {why_ended(relay, log)}")
            cpu = cpu_us(relay.pid) - cpu_before
            stolen, ticks = (b - a for a, b in zip(machine_before, machine_ticks(), strict=True))
            rss = rss_mib(relay.pid)
            dropped = drops(port_out)
            exit_status = stop(relay)
        run = Run(
            work=work,
            rate=rate,
            rate_sent=rate_sent,
            sent=sent,
            relayed=relayed,
            cpu_us=cpu,
            rss_mib=rss,
            dropped_by_sink=dropped,
            stolen=stolen / ticks,
            exit_status=exit_status,
        )
        self.runs.append(run)
        return run

    def load(self, port: int, rate: int, seconds: float) -> tuple[int, float]:
        """Send for `seconds`; return packets sent and the rate that came of it."""
        count = max(1, round(rate * seconds))
        command = [str(BUILD / "load"), str(self.traffic_path), str(port), str(rate), str(count)]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=10 * seconds + 10, check=False
        )
        if result.returncode:
            raise BenchError(f"the generator failed: {result.stderr.strip()}")
        counts = labelled(result.stdout)
        return int(counts["sent"]), counts["rate"]

    def rounds(self, works: Sequence[str], rate: int, count: int) -> list[Run]:
        """Alternate the works `count` times, so that all of them meet the same weather."""
        runs = []
        for i in range(count):
            for work in works:
                show(f"{rate} packets/s, round {i + 1} of {count}: {work}")
                runs.append(self.measure(work, rate))
        show("")
        return runs

    def knee(self, work: str, rate: int) -> int | None:
        """Halve `rate` until `work` keeps up; None if it never does."""
        while (rate := rate // 2) >= SLOWEST:
            show(f"{rate} packets/s: does {work} keep up?")
            if self.measure(work, rate).loss < KEEPS_UP:
                return rate
        return None


def labelled(line: str) -> dict[str, float]:
    """Read `name number name number ...`, as the C programs print it."""
    words = line.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def show(text: str) -> None:
    """Say on a terminal what is going on, on one line that the next call replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def build() -> bool:
    """Compile the C programs; False if nobody here can."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        return False
    BUILD.mkdir(exist_ok=True)
    for name in ("relay", "load", "sink"):
        source, program = HERE / "c" / f"{name}.c", BUILD / name
        subprocess.run([compiler, *C_FLAGS, "-o", str(program), str(source)], check=True)
    return True


def choose_cores() -> Cores:
    """Take two cores and leave the second one to ourselves, generator and sink."""
    try:
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            return Cores(None, None)
        os.sched_setaffinity(0, {allowed[1]})
    except (AttributeError, OSError):
        return Cores(None, None)
    return Cores(allowed[0], allowed[1])


@contextmanager
def started(
    command: Sequence[str], core: int | None, log: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program on `core` (None: where we are); it is gone when the block ends.

    What it prints goes to `log`, or into a pipe if there is none.
    """
    # Affinity is inherited: with ours changed for the fork, every thread has it from birth.
    ours = os.sched_getaffinity(0) if core is not None else None
    with ExitStack() as stack:
        output = stack.enter_context(log.open("w")) if log else subprocess.PIPE
        if core is not None:
            os.sched_setaffinity(0, {core})
        try:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT if log else None, text=True
            )
        finally:
            if ours is not None:
                os.sched_setaffinity(0, ours)
        stack.callback(stop, process)
        yield process


def stop(process: subprocess.Popen[str]) -> int:
    """Ask a program to end, insist if it does not, and return its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def why_ended(process: subprocess.Popen[str], log: Path) -> str:
    tail = "\n".join(log.read_text().splitlines()[-15:])
    return f"exit status {process.poll()}:\n{tail}"


def free_ports(count: int) -> list[int]:
    """Return UDP ports nobody holds now; all are held at once, so that they differ."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for _ in range(count)
        ]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def udp_lines(port: int) -> list[list[str]]:
    """Return the lines of the kernel's UDP socket table whose local port is `port`."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return [words for words in map(str.split, lines) if int(words[1].split(":")[1], 16) == port]


def drops(port: int) -> int:
    """Return how many datagrams found the receive buffer of `port` full."""
    return sum(int(words[-1]) for words in udp_lines(port))


def wait_until_bound(process: subprocess.Popen[str], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not udp_lines(port):
        if process.poll() is not None:
            raise BenchError(f"{process.args} did not start, {why_ended(process, log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"{process.args} has not bound UDP port {port} in {START_S:.0f} s")
        time.sleep(0.02)
    time.sleep(SETTLE_S)


def quiet_count(sink: subprocess.Popen[str]) -> int:
    """Return how many packets the sink has once it gets no more."""
    assert sink.stdout
    deadline = time.monotonic() + DRAIN_S
    seen, since = -1, time.monotonic()
    while True:
        sink.send_signal(signal.SIGUSR1)
        count = int(labelled(sink.stdout.readline())["packets"])
        now = time.monotonic()
        if count != seen:
            seen, since = count, now
        if now - since >= QUIET_S or now > deadline:
            return count
        time.sleep(0.05)


def cpu_us(pid: int) -> float:
    """Return user and system time of a process so far, all its threads, in microseconds.

    The process's CPU-time clock counts the same as utime + stime in /proc/PID/stat, in nanoseconds
    where that file has ticks of 10 ms: a tick is several per cent of what the C loop uses in a run.
    """
    clock = ~pid << 3 | 2  # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it
    try:
        return time.clock_gettime_ns(clock) / 1000
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def machine_ticks() -> tuple[int, int]:
    """Return the ticks stolen from this machine, and all its ticks, since boot."""
    with Path("/proc/stat").open() as file:
        ticks = [int(word) for word in file.readline().split()[1:]]
    return ticks[7], sum(ticks[:8])  # guest time, in the last two, is part of the first two


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise BenchError(f"process {pid} has no VmRSS")


def median_loss(runs: Sequence[Run], work: str) -> float:
    return statistics.median(run.loss for run in runs if run.work == work)


def ratios(runs: Sequence[Run], work: str) -> list[float]:
    """Return CPU per packet of `work` over that of the C loop, round by round."""
    mine, theirs = ([run for run in runs if run.work == name] for name in (work, "c"))
    return [
        a.cpu_us_per_packet / b.cpu_us_per_packet for a, b in zip(mine, theirs, strict=bool(theirs))
    ]


def table(runs: Sequence[Run]) -> str:
    """Return one line a work; medians over the rounds, and the extremes of the CPU time."""
    lines = ["work     offered/s   loss %   CPU us/packet (min..max)    x C loop   RSS MiB   exit"]
    for work in dict.fromkeys(run.work for run in runs):
        mine = [run for run in runs if run.work == work]
        cpu = [run.cpu_us_per_packet for run in mine]
        ratio = ratios(runs, work)
        spread = f"{statistics.median(cpu):.2f} ({min(cpu):.2f}..{max(cpu):.2f})"
        lines.append(
            f"{work:<8} {statistics.median(run.rate_sent for run in mine):>9.0f}"
            f" {100 * statistics.median(run.loss for run in mine):>8.2f}"
            f"   {spread:<26}"
            f" {f'{statistics.median(ratio):.2f}' if ratio else '-':>9}"
            f" {max(run.rss_mib for run in mine):>9.1f}"
            f"   {','.join(str(status) for status in sorted({run.exit_status for run in mine}))}"
        )
    return "\n".join(lines)


def warnings(runs: Sequence[Run], cores: Cores) -> Iterator[str]:
    """Yield what makes the figures worth less than they look."""
    if cores.relay is None:
        yield "nothing is pinned: relay, generator and sink share whatever cores there are"
    if late := [run for run in runs if run.rate_sent < 0.99 * run.rate]:
        yield f"the generator was more than 1 % too slow in {len(late)} of {len(runs)} runs"
    if (stolen := statistics.median(run.stolen for run in runs)) > STOLEN:
        yield f"the hypervisor took {100 * stolen:.1f} % of the CPU time: expect spread and loss"
    if dropped := sum(run.dropped_by_sink for run in runs):
        yield f"the sink itself dropped {dropped} packets: loss and CPU per packet are too high"
    if void := [run for run in runs if not run.relayed]:
        yield f"nothing came through in {len(void)} runs: {sorted({run.work for run in void})}"


def report(bench: Bench, options: argparse.Namespace) -> None:
    """Measure what `options` ask for and print it."""
    works = [options.only] if options.only else ["c", "hepsw"]
    if "hepsw" in works:
        bench.measure("hepsw", SLOWEST)  # a hepsw that does not start is noticed before the rounds
        bench.runs.clear()
    reported = runs = bench.rounds(works, options.rate, options.rounds)
    print(table(runs))
    rate: int | None = options.rate
    while rate and "hepsw" in works and median_loss(runs, "hepsw") >= KEEPS_UP:
        # One lucky probe is no proof: should the rounds lose packets after all, halve again.
        rate = bench.knee("hepsw", rate)
        if rate is None:
            print(f"\nhepsw loses packets at every rate down to {SLOWEST} packets/s")
        else:
            runs = bench.rounds(works, rate, options.rounds)
            reported += runs
            print(f"\nthe rate halved, {rate} packets/s\n\n{table(runs)}")
    for text in warnings(reported, bench.cores):
        print(f"warning: {text}")


def write_json(path: Path, bench: Bench, options: argparse.Namespace, mean_bytes: int) -> None:
    """Write every run, the probes for the knee among them, and where they were made."""
    document = {
        "command": sys.argv,
        "machine": {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
        },
        "packet_mean_bytes": mean_bytes,
        "seconds": options.seconds,
        "cores": asdict(bench.cores),
        "runs": [
            asdict(run) | {"loss": run.loss, "cpu_us_per_packet": run.cpu_us_per_packet}
            for run in bench.runs
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU per packet of the UDP relay.")
    parser.add_argument("--rate", type=int, default=60_000, help="packets per second offered")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each relay")
    parser.add_argument("--only", choices=("c", "hepsw"), help="measure one of the two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run here")
    options = parser.parse_args()
    if options.rate < 1 or options.seconds <= 0 or options.rounds < 1:
        parser.error("--rate, --seconds and --rounds must be above zero")
    return options


def main() -> int:
    options = parse()
    if not build():
        print("skipped: no C compiler (cc), so neither C loop, generator nor sink", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory(prefix="hepsw-bench-") as name:
        directory = Path(name)
        path = directory / "traffic.bin"
        mean_bytes = traffic.write(path)
        bench = Bench(directory, path, options.seconds, choose_cores())
        print(
            f"UDP relay, {mean_bytes} octets a packet, {options.rounds} rounds of"
            f" {options.seconds:g} s at {options.rate} packets/s\n"
        )
        try:
            report(bench, options)
        except BenchError as error:
            show("")
            print(f"relay.py: {error}", file=sys.stderr)
            return 1
        finally:
            if options.json:
                write_json(options.json, bench, options, mean_bytes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
