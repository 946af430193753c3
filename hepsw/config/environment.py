"""What a configuration needs of the machine it runs on: secrets and files of other programs.

Judged only where there is a machine (`hepsw check` without `--offline`, a start, a reload). A
secret is read to see that it is there; nothing of it is kept or printed.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from hepsw.config.files import read_file

if TYPE_CHECKING:
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

    def secret(self, secret: Secret | None, path: Path) -> None:
        """Judge a secret."""
        if secret is None:
            return
        if secret.literal is not None:
            if not secret.literal:
                self.report.error("HEP215", "the secret is empty", path)
            else:
                self.report.warning(
                    "HEP405",
                    "a secret stands in the configuration",
                    path,
                    'write { env = "X" } or { file = "…" }',
                )
        elif self.offline:
            return
        elif secret.env is not None:
            if not os.environ.get(secret.env):
                # What is no name may be the secret itself, written in the wrong place.
                named = f" {secret.env}" if NAME.fullmatch(secret.env) else ""
                self.report.error(
                    "HEP215", f"the environment variable{named} is not set, or empty", path
                )
        elif secret.file is not None:
            octets = self._read("HEP215", secret.file, path)
            if octets is not None and not octets.rstrip(b"\r\n"):
                self.report.error("HEP215", f"the secret in {secret.file} is empty", path)
            self._others_may_read(secret.file, path)

    def file(self, name: str | None, path: Path, *, is_key: bool = False) -> None:
        """Judge a file that must be there."""
        if name is None or self.offline:
            return
        if self._read("HEP216", name, path) is not None and is_key:
            self._others_may_read(name, path)

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
