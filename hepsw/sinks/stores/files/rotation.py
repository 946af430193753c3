"""The files that a store writes: which one is next, and how a batch is in all of them or in none.

`FileWriter` says what goes under which name. A name is that of a template; a file that is full is
followed by one with a number. What an earlier life left is never damaged: it is added to only where
that is known to be safe, and else followed by a number too.

Committed means here: handed to the kernel by write(2), the whole batch. That lasts when hepsw is
killed; only when the machine itself fails can up to a rotation's worth be lost, as a file is synced
when it is left. A batch that fails is undone: every file is cut back to where it stood.

A file is locked (flock) while it is open. So the store of a reload's old configuration, a second
hepsw and `tidy` keep off it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import zlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.sinks.stores.files.folders import enter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hepsw.sinks.stores.files.template import FileTemplate, Name

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not blocking: a FIFO of that name would wait for a reader for ever."""
_MODE: Final = 0o640
_GZIP: Final = 31
"""zlib's window, with a header of gzip."""


class Format(NamedTuple):
    """What the files of a kind have in common."""

    header: bytes
    """Opens each file."""
    resume: Callable[[int, int], bytes | None]
    """Given the descriptor and the size of a file that an earlier life left: what has to be written
    before the next record, or None: it is not added to."""


@dataclass(slots=True)
class OpenFile:
    """A file that is being written."""

    name: Name
    number: int
    path: Path
    fd: int
    inode: tuple[int, int]
    size: int
    opening: bytes
    """What has to be written before the next record."""
    is_new: bool
    """Made by the batch that is being written."""
    is_checked: bool = True
    """Whether this batch has looked if it is still there."""


class _Mark(NamedTuple):
    """Where a file stood before the batch."""

    path: Path
    inode: tuple[int, int]
    size: int
    opening: bytes
    is_new: bool


class _Left(NamedTuple):
    """A file that was closed, as it was then."""

    inode: tuple[int, int]
    size: int


class Files:
    """All files of one store; belongs to one thread."""

    OPEN: Final = 8
    """Files that are open at a time."""
    REMEMBERED: Final = 1024
    """Files that were closed, and are added to once more if nobody else did."""

    def __init__(self, template: FileTemplate, rotate: int | None, kind: Format) -> None:
        """Nothing is opened yet.

        Args:
            template: the names; what ends in `.gz` is compressed.
            rotate: octets after which a file is full.
            kind: what is written.
        """
        self._template = template
        self._rotate = rotate
        self._format = kind
        self._is_compressed = template.suffix.endswith(".gz")
        self._open: OrderedDict[Name, OpenFile] = OrderedDict()
        """Least recently used first."""
        self._left: OrderedDict[Path, _Left] = OrderedDict()
        self._marks: dict[tuple[int, int], _Mark] = {}
        self.at: Path = template.folder
        """What was last touched, for messages."""

    @property
    def inodes(self) -> set[tuple[int, int]]:
        """The files that are open."""
        return {file.inode for file in self._open.values()}

    def open(self) -> None:
        """Make the folder, and undo what could not be undone before."""
        self.at = self._template.folder
        os.close(enter(self._template.folder, ()))
        self.undo()

    # A batch

    def begin(self) -> None:
        """Begin a batch: what is open may have been moved away since the last one."""
        for file in self._open.values():
            file.is_checked = False

    def append(self, name: Name, records: Sequence[bytes]) -> None:
        """Write records behind one another, in one file or, where it gets full, in several."""
        file = self._current(name)
        for piece in self._pieces(records):
            octets = self._encoded(file, piece)
            if self._rotate is not None and file.size and file.size + len(octets) > self._rotate:
                file = self._next(file)
                octets = self._encoded(file, piece)
            self._put(file, octets)

    def commit(self) -> None:
        """End a batch: it is in the files."""
        self._marks.clear()
        for file in self._open.values():
            file.is_new = False

    def undo(self) -> None:
        """Cut every file of the batch back to where it stood.

        Raises:
            OSError: not all could be; calling it again goes on.
        """
        for inode, mark in list(self._marks.items()):
            self.at = mark.path
            file = next((file for file in self._open.values() if file.inode == inode), None)
            if file is not None:
                os.ftruncate(file.fd, mark.size)
                file.size, file.opening = mark.size, mark.opening
                if mark.is_new:
                    self._remove(file.path, inode)
                    self._drop(file)
            else:
                self._undo_closed(mark)
            del self._marks[inode]

    def _undo_closed(self, mark: _Mark) -> None:
        self._left.pop(mark.path, None)
        try:
            fd = os.open(mark.path, _FLAGS)
        except FileNotFoundError:
            return  # and so is what was written
        try:
            known = os.fstat(fd)
            if (known.st_dev, known.st_ino) == mark.inode and known.st_size > mark.size:
                os.ftruncate(fd, mark.size)
            if mark.is_new:
                self._remove(mark.path, mark.inode)
            elif mark.size:
                self._left[mark.path] = _Left(mark.inode, mark.size)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Sync and close all files; never raises."""
        for file in list(self._open.values()):
            with suppress(OSError):
                self._leave(file)
            with suppress(OSError):
                self._drop(file)

    # Writing

    def _pieces(self, records: Sequence[bytes]) -> Iterator[bytes]:
        """Yield records joined, no more than a file may have, but for a record that alone is."""
        if self._rotate is None:
            yield b"".join(records)
            return
        room = self._rotate - len(self._format.header)
        start = octets = 0
        for at, record in enumerate(records):
            if octets and octets + len(record) > room:
                yield b"".join(records[start:at])
                start, octets = at, 0
            octets += len(record)
        yield b"".join(records[start:])

    def _encoded(self, file: OpenFile, octets: bytes) -> bytes:
        """Return octets as the file has them: compressed, a gzip member of their own.

        So a file is whole after each batch, and after a kill only its last member can be torn.
        """
        octets = file.opening + octets
        return zlib.compress(octets, wbits=_GZIP) if self._is_compressed else octets

    def _put(self, file: OpenFile, octets: bytes) -> None:
        self.at = file.path
        if file.inode not in self._marks:
            self._marks[file.inode] = _Mark(
                file.path, file.inode, file.size, file.opening, file.is_new
            )
        rest = memoryview(octets)
        while rest:
            done = os.write(file.fd, rest)
            file.size += done
            rest = rest[done:]
        file.opening = b""

    # Which file

    def _current(self, name: Name) -> OpenFile:
        """Return the file of a name, open and where it belongs."""
        file = self._open.get(name)
        if file is not None:
            self._open.move_to_end(name)
            self.at = file.path
            if file.is_checked or _is_there(file):
                file.is_checked = True
                return file
            self._drop(file)  # deleted, moved away or touched: begin anew
        return self._begin(name, 0, resume=True)

    def _next(self, file: OpenFile) -> OpenFile:
        """Return the file that follows one which is full."""
        self._leave(file)
        return self._begin(file.name, file.number + 1, resume=False)

    def _begin(self, name: Name, number: int, *, resume: bool) -> OpenFile:
        while len(self._open) >= self.OPEN:
            self._leave(next(iter(self._open.values())))
        *folders, first = name
        self.at = self._template.folder.joinpath(*folders)
        folder = enter(self._template.folder, tuple(folders))
        try:
            # What begins by making a file has to list the folder only where there is one.
            file = self._made(name, number, folder)
            while file is None:
                number = self._last(first, folder)
                file = self._resumed(name, number, folder) if resume else None
                resume = False
                number += 1
                file = file or self._made(name, number, folder)
        finally:
            os.close(folder)
        self._open[name] = file
        return file

    def _last(self, first: str, folder: int) -> int:
        """Return the highest number that a file of a name has; 0 where there is none."""
        numbers = (self._template.number_of(entry, first) for entry in os.listdir(folder))
        return max((number for number in numbers if number is not None), default=0)

    def _path(self, name: Name, number: int) -> Path:
        *folders, first = name
        return self._template.folder.joinpath(*folders, self._template.numbered(first, number))

    def _made(self, name: Name, number: int, folder: int) -> OpenFile | None:
        """Return a new file; None where there is one already."""
        self.at = path = self._path(name, number)
        try:
            fd = os.open(path.name, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE, dir_fd=folder)
        except FileExistsError:
            return None
        return self._locked(name, number, path, fd, is_new=True)

    def _resumed(self, name: Name, number: int, folder: int) -> OpenFile | None:
        """Return a file that was there, if it can be added to."""
        self.at = path = self._path(name, number)
        try:
            fd = os.open(path.name, _FLAGS, dir_fd=folder)
        except OSError:
            return None  # a link, a folder, somebody else's
        return self._locked(name, number, path, fd, is_new=False)

    def _locked(
        self, name: Name, number: int, path: Path, fd: int, *, is_new: bool
    ) -> OpenFile | None:
        """Return an open file as ours; None, and it is closed, where it cannot be."""
        try:
            known = os.fstat(fd)
            opening = self._opening(path, fd, known) if lock(fd) else None
        except BaseException:
            os.close(fd)
            raise
        if opening is None:
            os.close(fd)
            return None
        inode = known.st_dev, known.st_ino
        return OpenFile(name, number, path, fd, inode, known.st_size, opening, is_new)

    def _opening(self, path: Path, fd: int, known: os.stat_result) -> bytes | None:
        """Return what has to be written before the next record; None: nothing is to be."""
        # Another name of the same octets is somebody's copy.
        if not stat.S_ISREG(known.st_mode) or known.st_nlink != 1:
            return None
        size = known.st_size
        if not size:
            return self._format.header
        if self._rotate is not None and size >= self._rotate:
            return None
        if self._left.pop(path, None) == _Left((known.st_dev, known.st_ino), size):
            return b""
        return None if self._is_compressed else self._format.resume(fd, size)

    def _leave(self, file: OpenFile) -> None:
        """Sync and close a file."""
        self.at = file.path
        os.fsync(file.fd)
        self._drop(file)
        self._left[file.path] = _Left(file.inode, file.size)
        self._left.move_to_end(file.path)
        while len(self._left) > self.REMEMBERED:
            self._left.popitem(last=False)

    def _drop(self, file: OpenFile) -> None:
        if self._open.get(file.name) is file:
            del self._open[file.name]
            os.close(file.fd)

    def _remove(self, path: Path, inode: tuple[int, int]) -> None:
        """Remove a file that a batch made, if it is still that."""
        with suppress(FileNotFoundError):
            known = os.lstat(path)
            if (known.st_dev, known.st_ino) == inode and not known.st_size:
                path.unlink()


def lock(fd: int) -> bool:
    """Lock a file until it is closed; return whether nobody else has.

    Where there are no locks, as on some network file systems, nobody has.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
    return True


def _is_there(file: OpenFile) -> bool:
    """Return whether a file is still what its name leads to, and nobody else wrote to it."""
    try:
        known = os.lstat(file.path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (known.st_dev, known.st_ino) == file.inode and known.st_size == file.size
