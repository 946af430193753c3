"""What a configuration needs of the machine it runs on: secrets and files of other programs.

Judged only where there is a machine (`hepsw check` without `--offline`, a start, a reload). What a
secret holds is returned concealed, and nothing of it is printed.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Final

from hepsw.concealed import Concealed
from hepsw.config.files import fingerprint, read_file
from hepsw.config.sources import printed

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    from hepsw.config.models import Secret
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path

NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
FOR_ALL: Final = 0o004


class Environment:
    """Judges secrets and files; offline only what the text itself shows."""

    def __init__(self, report: Report, *, offline: bool) -> None:
        self.report = report
        self.offline = offline

    def secret(self, secret: Secret | None, path: Path) -> Concealed | None:
        """Judge a secret and return it; None where it cannot be read, and offline."""
        if secret is None:
            return None
        octets: bytes | None = None
        if secret.literal is not None:
            octets = secret.literal.encode(errors="surrogatepass")
            if not octets:
                self.report.error("HEP215", "the secret is empty", path)
            else:
                self.report.warning(
                    "HEP405",
                    "a secret stands in the configuration",
                    path,
                    'write { env = "X" } or { file = "…" }',
                )
        elif self.offline:
            return None
        elif secret.env is not None:
            octets = os.environb.get(os.fsencode(secret.env), b"")
            if not octets:
                # What is no name may be the secret itself, written in the wrong place.
                named = f" {secret.env}" if NAME.fullmatch(secret.env) else ""
                self.report.error(
                    "HEP215", f"the environment variable{named} is not set, or empty", path
                )
        elif secret.file is not None:
            octets = self._read("HEP215", secret.file, path)
            if octets is not None:
                octets = octets.rstrip(b"\r\n")
                if not octets:
                    self.report.error("HEP215", f"the secret in {secret.file} is empty", path)
            self._others_may_read(secret.file, path)
        return None if self.offline or not octets else Concealed(octets)

    def file(self, name: str | None, path: Path, *, is_key: bool = False) -> FilePath | None:
        """Judge a file that must be there, and return it made absolute."""
        if name is None:
            return None
        if not self.offline and self._read("HEP216", name, path) is not None and is_key:
            self._others_may_read(name, path)
        return (self.report.sources.folder(path) / name).absolute()

    def digest(self, *files: FilePath | None) -> str:
        """Return what tells these files' contents from others; nothing offline.

        A certificate is renewed under its old name: by this a reload sees it.
        """
        if self.offline:
            return ""
        told = "\n".join("" if file is None else fingerprint(file) for file in files)
        return hashlib.sha256(told.encode()).hexdigest()

    def folder(
        self, name: str, path: Path, verb: str = "spool to", *, tell: bool = True
    ) -> FilePath | None:
        """Return the folder of a name, made absolute; None, and a report, where it can be none."""
        try:
            folder = (self.report.sources.folder(path) / name).resolve()
            if self.offline:
                return folder
            there = _nearest(folder)
            if there.is_dir():
                return folder
            why = f"{there.name} is no folder"
        except (OSError, RuntimeError, ValueError) as error:  # a circle of links; a NUL
            why = str(error)
        if tell:
            self.report.error("HEP106", f"cannot {verb} {name}: {why}", path)
        return None

    def can_write(self, folder: FilePath, path: Path) -> None:
        """Warn of an absolute folder that is not to be written to, nor to be made.

        Not an error: who checks may be somebody else than who runs, and rights come and go.
        """
        if self.offline:
            return
        try:
            there = _nearest(folder)
            why = "no folder" if not there.is_dir() else "not to be written to"
            if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
                return
        except OSError as error:
            there, why = folder, error.strerror or str(error)
        self.report.warning(
            "HEP220",
            f"{printed(there)} is {why}",
            path,
            "whoever runs hepsw must be able to write there; it tries again until it can",
        )

    def _read(self, code: str, name: str, path: Path) -> bytes | None:
        try:
            return read_file(self.report.sources.folder(path) / name)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            why = error.strerror if isinstance(error, OSError) else error
            self.report.error(code, f"cannot read {name}: {why}", path)
            return None

    def _others_may_read(self, name: str, path: Path) -> None:
        try:
            mode = (self.report.sources.folder(path) / name).stat().st_mode
        except OSError:
            return
        if mode & FOR_ALL:
            self.report.warning(
                "HEP406", f"everyone on this machine may read {name}", path, f"chmod o= {name}"
            )


def _nearest(folder: FilePath) -> FilePath:
    """Return a folder, or the nearest above it that is there: the rest is made at the start."""
    return next(at for at in (folder, *folder.parents) if at.exists())
