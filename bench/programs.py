"""The programs of a measurement: built, started on a core, watched through /proc, stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE / "build"
C_FLAGS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra")

START_S: Final = 60.0  # a program that has not bound its port by then never will
SETTLE_S: Final = 0.3  # after the port is bound
STOP_S: Final = 10.0
LISTENING: Final = "0A"  # the state of a TCP socket that accepts, as /proc/net/tcp spells it
EXCERPT_LINES: Final = 15


class BenchError(Exception):
    """A program under test or one of ours did not do its part; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where programs run; both None when there is nothing to choose from."""

    relay: int | None
    rest: int | None


@dataclass(slots=True)
class Program:
    """A program that was started, with whatever it started itself."""

    process: subprocess.Popen[str]
    log: Path | None
    """What it has printed; None where that is read from its standard output."""
    kill: bool
    """Whether it is to be killed rather than asked to end."""
    pids: list[int] = field(default_factory=list)
    """Its processes, once it is ready."""

    def why_ended(self) -> str:
        """Return its exit status and the last that it printed."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log else []
        tail = "\n".join(lines[-EXCERPT_LINES:])
        return f"exit status {self.process.poll()}:\n{tail}"

    def cpu_us(self) -> float:
        """Return user and system time so far, all processes and threads, in microseconds."""
        return sum(map(_cpu_us, self.pids))

    def rss_mib(self) -> float:
        """Return resident memory; what several processes share is counted once."""
        if len(self.pids) == 1:
            return _kib(Path(f"/proc/{self.pids[0]}/status"), "VmRSS:") / 1024
        return sum(_kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in self.pids) / 1024

    def wait_until_bound(self, scheme: str, port: int) -> None:
        """Wait until a port is open, and a moment more.

        Raises:
            BenchError: that takes too long, or the program ended instead.
        """
        deadline = time.monotonic() + START_S
        while not _sockets(scheme, port):
            if self.process.poll() is not None:
                raise BenchError(f"did not start, {self.why_ended()}")
            if time.monotonic() > deadline:
                raise BenchError(f"has not bound {scheme} port {port} in {START_S:.0f} s")
            time.sleep(0.02)
        time.sleep(SETTLE_S)
        self.pids = _group(self.process.pid)

    def stop(self) -> int:
        """Ask it to end, insist if it does not, and return its exit status."""
        if self.process.poll() is None:
            self._signal(signal.SIGKILL if self.kill else signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()
        elif self.kill:
            with suppress(ProcessLookupError):  # its first process may have left others behind
                self._signal(signal.SIGKILL)
        return self.process.returncode

    def _signal(self, number: signal.Signals) -> None:
        """Reach all of its processes: it is a group of its own."""
        os.killpg(self.process.pid, number)


@contextmanager
def started(
    command: Sequence[str],
    core: int | None = None,
    log: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    kill: bool = False,
) -> Iterator[Program]:
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
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if log else None,
                text=True,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        finally:
            if ours is not None:
                os.sched_setaffinity(0, ours)
        program = Program(process, log, kill)
        stack.callback(program.stop)
        yield program


def build() -> bool:
    """Compile the C programs; False if nobody here can."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        return False
    BUILD.mkdir(exist_ok=True)
    for name in ("relay", "sink"):
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


def free_ports(count: int, scheme: str = "udp") -> list[int]:
    """Return ports nobody holds now; all are held at once, so that they differ."""
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def drops(ports: Sequence[int]) -> int:
    """Return how many datagrams found the receive buffer of one of these ports full."""
    return sum(int(words[-1]) for port in ports for words in _sockets("udp", port))


def machine_ticks() -> tuple[int, int]:
    """Return the ticks stolen from this machine, and all its ticks, since boot."""
    with Path("/proc/stat").open() as file:
        ticks = [int(word) for word in file.readline().split()[1:]]
    return ticks[7], sum(ticks[:8])  # guest time, in the last two, is part of the first two


def show(text: str) -> None:
    """Say on a terminal what is going on, on one line that the next call replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _sockets(scheme: str, port: int) -> list[list[str]]:
    """Return the lines of the kernel's socket table for a port that is open for packets."""
    lines = Path(f"/proc/net/{scheme}").read_text().splitlines()[1:]
    return [
        words
        for words in map(str.split, lines)
        if int(words[1].split(":")[1], 16) == port and (scheme == "udp" or words[3] == LISTENING)
    ]


def _group(leader: int) -> list[int]:
    """Return the processes of a group."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(stat[2]) == leader:
            found.append(int(path.name))
    return sorted(found)


def _cpu_us(pid: int) -> float:
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


def _kib(path: Path, label: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(label):
            return int(line.split()[1])
    raise BenchError(f"{path} has no {label}")
