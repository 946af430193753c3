"""What a configuration means: every name resolved, every value read, nothing left to look up.

`load.py` makes a `Configuration` of the models, the compiler makes tables of it, the daemon
sockets. All of it compares by value, so a reload can tell what changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hepsw.config.conditions import Condition
    from hepsw.config.models import Batch, Destination, Log, Reload
    from hepsw.config.template import Template
    from hepsw.config.units import Url
    from hepsw.fields import Field, Value


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket that HEP arrives on."""

    name: str
    url: Url
    entry: str | None
    """The table that packets enter; None where there are no rules at all."""
    versions: frozenset[int]
    gzip_frames: bool
    receive_buffer: int
    """Octets asked of the kernel."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """A store with its file name made absolute."""

    file: Path
    batch: Batch


class Flow(Enum):
    """What comes after a rule that matched."""

    STOP = "stop"
    CONTINUE = "continue"
    GOTO = "goto"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Edit:
    """One chunk that a rule writes or removes."""

    field: Field
    value: Value | Template | None
    """None removes every occurrence."""


@dataclass(frozen=True, slots=True)
class RuleLog:
    """A line that a rule writes."""

    level: str
    text: Template


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, in the order in which things happen."""

    table: str
    name: str
    condition: Condition
    edits: tuple[Edit, ...]
    log: RuleLog | None
    outputs: tuple[str, ...]
    """Stores first, then destinations."""
    flow: Flow
    target: str = ""
    """The table of a goto; the reason of a drop."""

    @property
    def path(self) -> str:
        """What counters call it: `table/name`."""
        return f"{self.table}/{self.name}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rules in file order, and what becomes of a packet that none of them decides."""

    name: str
    rules: tuple[Rule, ...]
    miss: tuple[str, ...]
    """Outputs; none means that the packet is dropped, counted `missed`."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a daemon needs to run."""

    listeners: tuple[Listener, ...]
    destinations: Mapping[str, Destination]
    stores: Mapping[str, StoreSettings]
    tables: Mapping[str, Table]
    reload: Reload
    log: Log
    files: Mapping[Path, str]
    """Every file that was read, with the SHA-256 of what it held."""

    @property
    def summary(self) -> str:
        """What this configuration does, in a few words."""
        rules = sum(len(table.rules) for table in self.tables.values())
        if any(listener.entry is not None for listener in self.listeners):
            does = f"{_count(rules, 'rule')} in {_count(len(self.tables), 'table')}"
        else:
            does = "no rules: every packet goes to every destination and store"
        outputs = len(self.destinations) + len(self.stores)
        return f"{_count(len(self.listeners), 'listener')}, {does}, {_count(outputs, 'output')}"

    @property
    def pass_through(self) -> tuple[str, ...]:
        """Where every packet goes when there are no rules at all."""
        return (*self.stores, *self.destinations)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
