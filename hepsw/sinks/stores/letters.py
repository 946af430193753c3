"""Dead letters: packets that a store refused, in a file that people and `hepsw store` can read.

The store's thread adds what the medium does not take, before the rest of the batch is committed;
the command `deadletters` reads the file, tries again and removes what was taken. One JSON object a
line. Who writes holds a lock on the file, so the two can meet; the file may be damaged or foreign,
so it is checked line by line.

A batch whose commit was not heard of is written once more, and may add a letter twice: it has the
same key, and reading leaves the second one out.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import logging
import os
import re
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from hepsw.errors import DecodeError, StoreError
from hepsw.sinks.stores.envelope import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from hepsw.sinks.stores.writer import Refused
    from hepsw.view import View

LARGEST: Final = 64 << 20
"""Octets of the file; what is more is dropped, and counted."""
LONGEST: Final = 1 << 20
"""Octets of a line that is ours."""
WHY: Final = 1000
"""Characters of what the medium said."""
PATIENCE: Final = 5.0
"""Seconds that the lock of another process is waited for."""
LOOK_AGAIN: Final = 0.01

_KEY: Final = re.compile(r"[0-9a-f]{32}-[0-9]{1,10}")

log = logging.getLogger("hepsw.sinks")


class Letter(NamedTuple):
    """One packet that was refused."""

    key: str
    """The batch in hexadecimal and the position in it: `0123…cdef-17`."""
    when: datetime
    table: str
    """Where it was to go."""
    reason: str
    """A slug."""
    why: str
    """What the medium said."""
    envelope: bytes
    """The packet, as `envelope.encode` wrote it."""

    @property
    def view(self) -> View:
        """The packet, to be stored after all."""
        return decode(self.envelope)


class FullError(StoreError):
    """The file has all the octets that it may have."""


def add(
    path: Path, key: bytes, refused: Sequence[Refused], views: Sequence[View], now: float
) -> None:
    """Append letters and make them last.

    Args:
        path: of the file, made with its folder where missing, for its owner alone.
        key: of the batch.
        refused: what the medium did not take.
        views: all packets of the batch.
        now: seconds since the epoch.

    Raises:
        FullError: they do not fit; none was written.
        StoreError: another process has the file locked; none was written, it may be tried again.
        OSError: none was written.
    """
    when = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    lines = [
        orjson.dumps(
            {
                "key": f"{key.hex()}-{each.at}",
                "when": when,
                "table": _printable(each.table),
                "reason": _printable(each.reason),
                "why": _printable(each.why)[:WHY],
                "packet": base64.b64encode(encode(views[each.at])).decode(),
            }
        )
        for each in refused
    ]
    text = b"\n".join([*lines, b""])
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path, os.O_RDWR | os.O_CREAT) as fd:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            text = b"\n" + text  # whoever wrote the last line was killed in the middle of it
        if size + len(text) > LARGEST:
            raise FullError(f"{path} is full, it has {size:,} octets", "letters")
        try:
            _write(fd, text, size)
            os.fsync(fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(fd, size)
            raise


def read(path: Path, damaged: Callable[[int, str], object] | None = None) -> list[Letter]:
    """Return the letters of a file, each once, in the order in which they were written.

    Args:
        path: of the file; there are no letters where there is none.
        damaged: called with the number of each line that is not a letter, and what is wrong with
            it; without it that is logged.

    Raises:
        StoreError: the file cannot be read.
    """
    found: dict[str, Letter] = {}
    try:
        with path.open("rb") as file:
            for number, line in _lines(file.readline):
                letter = _letter(line)
                if isinstance(letter, Letter):
                    found.setdefault(letter.key, letter)
                elif damaged is not None:
                    damaged(number, letter)
                else:
                    log.warning("%s:%d: %s", path, number, letter)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", "letters") from error
    return list(found.values())


def remove(path: Path, keys: Collection[str]) -> int:
    """Take letters out of the file, and return how many; lines that are not letters stay.

    The file is replaced by another: a crash leaves the one or the other.

    Raises:
        StoreError: the file cannot be read or written; it was not changed.
    """
    wanted = frozenset(keys)
    removed: set[str] = set()
    other = path.with_name(f"{path.name}.new")
    try:
        with _locked(path, os.O_RDWR) as fd:
            fresh = os.open(other, _WRITE | os.O_TRUNC, 0o600)
            with os.fdopen(fresh, "wb") as file, os.fdopen(os.dup(fd), "rb") as old:
                owner = os.fstat(fd)
                if owner.st_uid != os.geteuid():  # root's hands must not take it from the daemon
                    os.fchown(fresh, owner.st_uid, owner.st_gid)
                old.seek(0)
                for _, line in _lines(old.readline):
                    letter = _letter(line)
                    if isinstance(letter, Letter) and letter.key in wanted:
                        removed.add(letter.key)
                    else:
                        file.write(line)
                file.flush()
                os.fsync(file.fileno())
            other.replace(path)
            _sync_folder(path.parent)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", "letters") from error
    return len(removed)


_PRIVATE: Final = os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE: Final = os.O_WRONLY | os.O_CREAT | _PRIVATE


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    """Open the file and lock it: the one that has the name once the lock is held."""
    end = time.monotonic() + PATIENCE
    while True:
        fd = os.open(path, flags | _PRIVATE, 0o600)
        try:
            if _is_ours(fd, path):
                yield fd
                return
        finally:
            os.close(fd)
        if time.monotonic() > end:
            raise StoreError(f"{path} is locked by another process", "letters")
        time.sleep(LOOK_AGAIN)


def _is_ours(fd: int, path: Path) -> bool:
    """Lock an open file; return whether that worked and the file still has its name."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _write(fd: int, octets: bytes, at: int) -> None:
    rest = memoryview(octets)
    while rest:
        wrote = os.pwrite(fd, rest, at)
        rest = rest[wrote:]
        at += wrote


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lines(readline: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers; of one that is too long to be ours, its parts."""
    number = 0
    ended = True
    while line := readline(LONGEST):
        number += ended
        ended = line.endswith(b"\n")
        yield number, line


def _letter(line: bytes) -> Letter | str:
    """Return the letter of a line, or what is wrong with it."""
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"not JSON: {error}"
    if not isinstance(told, dict):
        return "not a JSON object"
    names = ("key", "when", "table", "reason", "why", "packet")
    for name in names:
        if not isinstance(told.get(name), str):
            return f"no text `{name}`"
    key, when, table, reason, why, packet = (told[name] for name in names)
    if not _KEY.fullmatch(key):
        return "not a key of a batch and a position"
    try:
        written = datetime.fromisoformat(when).astimezone(UTC)
    except (ValueError, OverflowError):
        return "not a time"
    try:
        envelope = base64.b64decode(packet, validate=True)
        decode(envelope)
    except (binascii.Error, ValueError):
        return "the packet is not base64"
    except DecodeError as error:
        return f"the packet is damaged: {error}"
    return Letter(key, written, table, reason, why, envelope)


def _printable(text: str) -> str:
    """Return text that JSON can hold: a message may quote half a character."""
    return text.encode(errors="replace").decode()
