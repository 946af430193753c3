"""`hepsw send`: demo traffic, or frames from files, to a listener.

Frames are decoded only to say what was sent: those of a file leave byte for byte, good or bad. When
they leave again, their capture times are a microsecond later each time: no agent sends a frame
twice, and a switch may take the ninth of its kind for one that goes in a loop.
Whatever is due leaves in as few system calls as the kernel allows (`net.batches`), and between two
times of sending this sleeps: at any rate it leaves the processor to who receives.
"""

from __future__ import annotations

import errno
import math
import select
import signal
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from itertools import count as count_from
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, NoReturn, Self

import typer

from hepsw import demo
from hepsw.cli import exits
from hepsw.config import units
from hepsw.errors import DecodeError, DeliveryError, HepswError
from hepsw.hep import PROTO_TYPE_NAMES, decode
from hepsw.hep.decoding import frame_ends
from hepsw.net.batches import send_datagrams, write_frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    from rich.progress import Progress

    from hepsw.config.units import Url

DEMO_RATE: Final = 20.0
"""Packets per second, slow enough to be watched."""
FILE_RATE: Final = 1000.0

_TIMEOUT_S: Final = 10.0
"""How long the far side may take to accept a connection, or octets."""
_FAREWELL_S: Final = 0.5
"""How long the far side may take to close a connection after us."""
_TICK_S: Final = 0.001
"""The shortest sleep: above 1000 packets/s several leave at a time."""
_NAP_S: Final = 0.1
"""The longest sleep: SIGINT ends the work within it."""
_BURST: Final = 256
"""Packets between two looks at the clock, when they are due at once."""
_PIECE: Final = 1024
"""Frames that are made ready at a time."""
_TIME_CHUNK: Final = 0x000A
"""Microseconds, beside the seconds."""
_MICROSECONDS: Final = Struct("!I").pack
_HEADER_SIZE: Final = 6
"""Octets of the header of a frame, and of a chunk."""
_PATIENCE_S: Final = 2.0
"""From then on people want to see progress."""


def command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="pcap, pcapng, JSON lines with a key hex, lines of hex digits, or frames back to "
            "back; - is standard input. Demo calls if there is none.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="URL", help="Where to: udp://HOST:PORT or tcp://HOST:PORT.")
    ] = "udp://127.0.0.1:9060",
    count: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Packets to send, from the start again if that is more than there are, a "
            "microsecond later each time [one call, or each packet once].",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help="Packets per second, or max [20 for the demo, 1000 for files].",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Send demo traffic, or packets from files, to a listener.

    Without FILE: telephone calls with SIP, RTCP and a log line. Frames from files leave as they
    are, the first time.

    Exit status: 0 all sent, 2 usage, 74 a file could not be read, or not everything could be sent.
    """
    if count is not None and count < 1:
        _fail(f"--count: not a number of packets: {count}", exits.USAGE)
    try:
        url = _url(to)
        per_second = (FILE_RATE if files else DEMO_RATE) if rate is None else _rate(rate)
    except ValueError as error:
        _fail(str(error), exits.USAGE)
    try:
        rounds: Iterator[_Frames]
        if files:
            found = _read(files)
            total = count or len(found.octets)
            rounds = iter([found]) if total <= len(found.octets) else _again(found)
        else:
            rounds, total = _demo(), count or len(demo.call(1, 0))
        wire = _connect(url)
    except HepswError as error:
        _fail(str(error), exits.IO)
    sent = _Sent()
    problems: list[str] = []
    try:
        with _interruptible() as interruption, _Bar(total) as bar:
            _send(rounds, total, per_second, wire, sent, interruption=interruption, bar=bar)
        sent.stop()
        wire.close()
    except DeliveryError as error:
        problems.append(str(error))
    except KeyboardInterrupt:
        pass  # the second one: the far side takes nothing, and nobody wants to wait for it
    sys.stdout.write(f"sent {sent}, to {url} in {sent.stop():.3f} s\n")
    sys.stdout.flush()  # before what is wrong with it
    for problem in (*problems, *wire.complaints()):
        _complain(problem)
    if problems or wire.complaints():
        raise typer.Exit(exits.IO)


def _complain(message: str) -> None:
    sys.stderr.write(f"hepsw send: {message}\n")


def _fail(message: str, status: int) -> NoReturn:
    _complain(message)
    raise typer.Exit(status)


# What is asked for


class _Frames(NamedTuple):
    """Frames in the order in which they leave."""

    octets: list[bytes]
    """Of each frame, which is what goes into one datagram."""
    kinds: list[int]
    """The protocol type of each, -1 for what has none."""


def _url(written: str) -> Url:
    try:
        url = units.url(written)
    except ValueError as error:
        raise ValueError(f"--to: {error}") from None
    if url.scheme not in {"udp", "tcp"}:
        raise ValueError(f"--to: neither udp nor tcp: {written!r}")
    return url


def _rate(written: str) -> float:
    """Return packets per second, infinity for "max"."""
    if written == "max":
        return math.inf
    try:
        rate = float(written)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ValueError(f"--rate: neither packets per second nor max: {written!r}")
    return rate


def _demo() -> Iterator[_Frames]:
    """Yield the packets of one call after the other, each ended just now: no time is to come."""
    for number in count_from(1):
        start_us = time.time_ns() // 1000 - int(demo.DURATION_S * 1_000_000)
        packets = [packet for _offset_s, packet in demo.call(number, start_us)]
        yield _Frames(
            [packet.data for packet in packets], [packet.proto_type or 0 for packet in packets]
        )


def _again(found: _Frames) -> Iterator[_Frames]:
    """Return the frames, and then again and again, a microsecond later each time.

    What has no microseconds in a chunk of its own stays as it is: HEP1 and HEP2 among it.
    """
    return chain([found], _later(found, [_around_time(octets) for octets in found.octets]))


def _later(found: _Frames, parts: list[tuple[bytes, int, bytes]]) -> Iterator[_Frames]:
    total = len(parts)
    times = -(-_BURST // total)  # no batch is to end before it is full
    for number in count_from(1, times):
        # In pieces: a file of a million frames is not to hold up the sending between two rounds.
        for start in range(0, total, _PIECE):
            stop = start + _PIECE
            yield _Frames(
                [
                    head + _MICROSECONDS((time_us + late) % 1_000_000) + tail
                    if time_us >= 0
                    else head
                    for late in range(number, number + times)
                    for head, time_us, tail in parts[start:stop]
                ],
                found.kinds[start:stop] * times,
            )


def _around_time(octets: bytes) -> tuple[bytes, int, bytes]:
    """Return what is before the microseconds of a frame, them, and what is behind them.

    Without any they are -1, and the frame is before them.
    """
    try:
        packet = decode(octets)
    except DecodeError:
        return octets, -1, b""
    parts = octets, -1, b""
    end = _HEADER_SIZE
    for chunk in packet.chunks():
        start, end = end + _HEADER_SIZE, end + _HEADER_SIZE + len(chunk.body)
        if (chunk.vendor_id, chunk.type_id) == (0, _TIME_CHUNK) and len(chunk.body) == 4:
            parts = octets[:start], int.from_bytes(chunk.body), octets[end:]
    return parts


def _read(files: list[Path]) -> _Frames:
    """Return the frames of all files; what they hold besides is said on standard error.

    Raises:
        HepswError: a file cannot be read, is broken, or holds no HEP.
    """
    from hepsw import framefile  # noqa: PLC0415 - the demo does without

    frames: list[bytes] = []
    for file in files:
        is_stdin = file == Path("-")
        name = "standard input" if is_stdin else str(file)
        try:
            capture = framefile.read(sys.stdin.buffer.read() if is_stdin else file.read_bytes())
        except OSError as error:
            raise HepswError(f"{name}: {error.strerror or error}") from error
        except DecodeError as error:
            raise HepswError(f"{name}: {error}") from error
        skipped = ", ".join(
            f"{number:,} {framefile.SKIPS[reason]}" for reason, number in capture.skipped.items()
        )
        if not capture.frames:
            raise HepswError(f"{name}: no HEP in it{skipped and f' (passed over: {skipped})'}")
        if skipped:
            _complain(f"{name}: passed over: {skipped}")
        frames += capture.frames
    return _Frames(frames, [_kind(octets) for octets in frames])


def _kind(octets: bytes) -> int:
    try:
        kind = decode(octets).proto_type
    except DecodeError:
        return -1
    return -1 if kind is None else kind


# The work


class _Sent:
    """What has been sent, and for how long."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._stopped: float | None = None
        self._octets = 0
        self._kinds: Counter[int] = Counter()

    def add(self, frames: _Frames, start: int, stop: int) -> None:
        """Count frames that have left."""
        self._octets += sum(map(len, frames.octets[start:stop]))
        self._kinds.update(frames.kinds[start:stop])

    def stop(self) -> float:
        """Return how many seconds it took until this was called first."""
        if self._stopped is None:
            self._stopped = time.monotonic()
        return self._stopped - self.started

    def __str__(self) -> str:
        kinds = ", ".join(
            f"{number:,} {PROTO_TYPE_NAMES.get(kind, f'type {kind}' if kind >= 0 else 'other')}"
            for kind, number in sorted(self._kinds.items(), key=lambda item: (item[0] < 0, item[0]))
        )
        octets = f"{self._octets:,} octet{_s(self._octets)}"
        return f"{_packets(self._kinds.total())}{kinds and f' ({kinds})'}, {octets}"


def _packets(number: int) -> str:
    return f"{number:,} packet{_s(number)}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"


class _Interruption:
    """Whether SIGINT has come."""

    came = False


@contextmanager
def _interruptible() -> Iterator[_Interruption]:
    """Let SIGINT end the work between two packets, never within one; the second one does not wait.

    A frame of which TCP got only a part would break the stream for the receiver.
    """
    interruption = _Interruption()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interruption.came = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)


def _send(
    rounds: Iterator[_Frames],
    total: int,
    per_second: float,
    wire: _Wire,
    sent: _Sent,
    *,
    interruption: _Interruption,
    bar: _Bar,
) -> None:
    """Send frames, each when its time has come.

    Times are counted from the start: what one packet is late, the next ones make good.

    Raises:
        DeliveryError: the far side takes no more.
    """
    done = at = 0
    frames = next(rounds)
    while done < total and not interruption.came:
        elapsed_s = time.monotonic() - sent.started
        due = total if per_second == math.inf else min(total, int(elapsed_s * per_second) + 1)
        if due > done:
            stop = min(at + min(due - done, _BURST), len(frames.octets))
            left = wire.send(frames.octets, at, stop)
            sent.add(frames, at, at + left)
            passed = left or 1  # one that cannot travel here is passed over
            at += passed
            done += passed
            if at == len(frames.octets) and done < total:
                frames, at = next(rounds), 0
        bar.show(done)
        wait_s = sent.started + done / per_second - time.monotonic()
        if done < total and wait_s > 0:
            time.sleep(min(max(wait_s, _TICK_S), _NAP_S))


class _Bar:
    """A progress bar on standard error, for people who wait."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._next = time.monotonic() + _PATIENCE_S if sys.stderr.isatty() else math.inf
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: int) -> None:
        """Show how many packets are done, if it is time to."""
        now = time.monotonic()
        if now < self._next or done >= self._total:
            return
        self._next = now + _NAP_S
        if self._progress is None:
            from rich.console import Console  # noqa: PLC0415 - most runs are over before
            from rich.progress import Progress  # noqa: PLC0415 - only a bar pays for it

            console = Console(stderr=True)
            self._progress = Progress(console=console, transient=True)
            self._progress.add_task("sending", total=self._total)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done)


# The wire


def _connect(url: Url) -> _Wire:
    """Return a wire to a url.

    Raises:
        DeliveryError: there is no such host, or nobody accepts the connection.
    """
    kind = socket.SOCK_DGRAM if url.scheme == "udp" else socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(url.host, url.port, type=kind)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a name"
        raise DeliveryError(f"no address for {url.host}: {reason}") from error
    if url.scheme == "udp":
        # No answer tells which of several addresses listens; most listeners of HEP do on IPv4.
        found.sort(key=lambda row: row[0] != socket.AF_INET)
    problem = ""
    for family, _kind, protocol, _name, address in found:
        connected = socket.socket(family, kind, protocol)
        connected.settimeout(_TIMEOUT_S)
        try:
            connected.connect(address)
        except OSError as error:
            connected.close()
            problem = error.strerror or str(error)
            continue
        connected.settimeout(0)  # from now on a full socket is waited for with patience
        return _Udp(url, connected) if url.scheme == "udp" else _Tcp(url, connected)
    raise DeliveryError(f"nobody answers at {url}: {problem.lower()}")


class _Wire(ABC):
    """A connected socket."""

    def __init__(self, url: Url, connected: socket.socket) -> None:
        self._url = url
        self._socket = connected

    @abstractmethod
    def send(self, frames: list[bytes], start: int, stop: int) -> int:
        """Send some of `frames[start:stop]`, from the first on and each whole.

        Returns:
            How many have left; 0, having counted it, if the first one cannot travel here.

        Raises:
            DeliveryError: the far side takes no more.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the socket, once it is known what became of the last frame.

        Raises:
            DeliveryError: the far side did not want it.
        """

    @abstractmethod
    def complaints(self) -> list[str]:
        """Return what has to be said at the end."""

    def _wait(self) -> None:
        """Wait for room.

        Raises:
            DeliveryError: there is none for too long.
        """
        if not select.select((), (self._socket,), (), _TIMEOUT_S)[1]:
            raise DeliveryError(f"{self._url} has taken nothing for {_TIMEOUT_S:.0f} s")

    def _failure(self, error: OSError) -> DeliveryError:
        return DeliveryError(f"{self._url}: {(error.strerror or str(error)).lower()}")


class _Udp(_Wire):
    """One frame a datagram."""

    def __init__(self, url: Url, connected: socket.socket) -> None:
        super().__init__(url, connected)
        self._too_big = 0
        self._is_unreachable = False

    def send(self, frames: list[bytes], start: int, stop: int) -> int:
        was_refused = False
        while True:
            try:
                return send_datagrams(self._socket.fileno(), frames, start, stop)
            except BlockingIOError:
                self._wait()
            except ConnectionRefusedError:
                # That was the answer to an earlier datagram; this one has not left yet.
                self._is_unreachable = True
                if was_refused:
                    return 1  # no better than the one before
                was_refused = True
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise self._failure(error) from error
                self._too_big += 1
                return 0

    def close(self) -> None:
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED:
            self._is_unreachable = True
        self._socket.close()

    def complaints(self) -> list[str]:
        found = []
        if self._too_big:
            found.append(f"{_packets(self._too_big)} not sent: too big for a datagram")
        if self._is_unreachable:
            found.append(f"nobody answers at {self._url}: port unreachable")
        return found


class _Tcp(_Wire):
    """Frames back to back, told apart by their total length alone."""

    def __init__(self, url: Url, connected: socket.socket) -> None:
        super().__init__(url, connected)
        self._legacy = 0
        self._unframed = 0
        self._looked_at: list[bytes] = []
        self._ends: list[int] = []
        """For each of these frames, where the first one from it on is that TCP cannot carry."""

    def send(self, frames: list[bytes], start: int, stop: int) -> int:
        if frames is not self._looked_at:
            self._looked_at, self._ends = frames, _ends_of_runs(frames)
        stop = min(stop, self._ends[start])
        if stop == start:
            if _is_legacy(frames[start]):
                self._legacy += 1
            else:
                self._unframed += 1
            return 0
        at, skip = start, 0
        while True:
            try:
                taken = skip + write_frames(self._socket.fileno(), frames, at, stop, skip)
            except BlockingIOError:
                self._wait()
                continue
            except OSError as error:
                raise self._failure(error) from error
            while at < stop and taken >= len(frames[at]):
                taken -= len(frames[at])
                at += 1
            skip = taken
            if not skip:
                return at - start
            stop = at + 1  # a frame that was begun is ended, and SIGINT waits for no other

    def close(self) -> None:
        with self._socket:
            self._socket.settimeout(_FAREWELL_S)
            try:
                self._socket.shutdown(socket.SHUT_WR)
                self._socket.recv(1)  # receivers never speak: this is their end of it, or a reset
            except TimeoutError:
                pass  # a receiver that keeps its half open
            except OSError as error:
                raise self._failure(error) from error

    def complaints(self) -> list[str]:
        found = []
        if self._legacy:
            found.append(
                f"{_packets(self._legacy)} not sent: HEP1 and HEP2 carry no length, so TCP cannot "
                "carry them; use udp"
            )
        if self._unframed:
            found.append(
                f"{_packets(self._unframed)} not sent: not HEP3 of the length it claims, which "
                "would break the stream"
            )
        return found


def _is_legacy(frame: bytes) -> bool:
    """Return whether a frame is of HEP1 or HEP2."""
    return frame[:1] in {b"\x01", b"\x02"}


def _ends_of_runs(frames: list[bytes]) -> list[int]:
    """Return for each frame where the first one from it on is that a stream cannot carry."""
    ends = list(range(len(frames)))
    end = len(frames)
    for at in reversed(ends):
        if _is_legacy(frames[at]) or not frame_ends(frames[at]):
            end = at
        ends[at] = end
    return ends
