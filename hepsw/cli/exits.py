"""Exit statuses, those of sysexits.h where it has one."""

from typing import Final

OK: Final = 0
FINDINGS: Final = 1
"""Findings with `--strict`."""
USAGE: Final = 2
UNAVAILABLE: Final = 69
"""What was asked does not answer, or lets nobody in."""
IO: Final = 74
CONFIG: Final = 78
"""The configuration is invalid."""
