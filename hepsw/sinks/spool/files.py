"""The system calls of a spool, in one object, so that a test can make any of them fail."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_NOT_THERE: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV})
"""What a file system says that cannot do what it is asked for."""
_PRIVATE: Final = os.O_CLOEXEC | os.O_NOFOLLOW
"""A symbolic link in the place of a file would have us write elsewhere."""


class Files:
    """Blocking work on files; every call may raise `OSError`.

    Paths are plain text and not `Path`, because this is called for every group of frames.
    """

    def open(self, path: str, flags: int) -> int:
        """Open a file, made 0600 where it is made."""
        return os.open(path, flags | _PRIVATE, 0o600)

    def close(self, fd: int) -> None:
        """Close a descriptor; what failed late was to be made durable before."""
        with suppress(OSError):
            os.close(fd)

    def pread(self, fd: int, octets: int, offset: int) -> bytes:
        """Read at most so many octets."""
        return os.pread(fd, octets, offset)

    def pwrite(self, fd: int, octets: bytes | memoryview, offset: int) -> int:
        """Write, and return how many octets were: a full disk takes some before it fails."""
        return os.pwrite(fd, octets, offset)

    def write(self, fd: int, octets: bytes, offset: int) -> tuple[int, OSError | None]:
        """Write all, or as much as goes; return how much, and what stopped it."""
        rest = memoryview(octets)
        done = 0
        try:
            while done < len(octets):
                wrote = self.pwrite(fd, rest[done:], offset + done)
                if wrote <= 0:
                    return done, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                done += wrote
        except OSError as error:
            return done, error
        return done, None

    def write_all(self, fd: int, octets: bytes, offset: int) -> None:
        """Write all or raise."""
        _, error = self.write(fd, octets, offset)
        if error is not None:
            raise error

    def fdatasync(self, fd: int) -> None:
        """Make what was written durable."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def fsync_folder(self, fd: int) -> None:
        """Make names durable; some file systems have no such thing."""
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise

    def ftruncate(self, fd: int, octets: int) -> None:
        """Cut off what is behind."""
        os.ftruncate(fd, octets)

    def allocate(self, fd: int, octets: int) -> None:
        """Reserve room, so that a full disk shows before a record begins, where that can be."""
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(fd, 0, octets)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise

    def lock(self, fd: int) -> None:
        """Lock a file for this description of it alone, or raise `BlockingIOError`."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def make_folder(self, path: str) -> None:
        """Make a folder, for its owner alone, and those above it."""
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - plain text
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)  # noqa: PTH102 - plain text

    def lstat(self, path: str) -> os.stat_result:
        """Return what stands under a name, without following it."""
        return os.lstat(path)

    def is_deleted(self, fd: int) -> bool:
        """Tell whether an open file has no name any more."""
        return os.fstat(fd).st_nlink == 0

    def chmod(self, fd: int, mode: int) -> None:
        """Say for whom an open folder is."""
        os.fchmod(fd, mode)

    def names(self, path: str) -> Iterable[str]:
        """Return the names in a folder."""
        return os.listdir(path)  # noqa: PTH208 - plain text

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108 - plain text

    def rename(self, path: str, other: str) -> None:
        """Give a file another name."""
        os.rename(path, other)  # noqa: PTH104 - plain text


REAL: Final = Files()
