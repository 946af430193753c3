"""One packet through the engine, with everything it met on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hepsw.accounting import SwitchAccount
from hepsw.switch import Effects, Switch

if TYPE_CHECKING:
    from hepsw.compiler import Program, Tree
    from hepsw.compiler.tree import Branch
    from hepsw.config.configuration import Configuration
    from hepsw.switch import Line
    from hepsw.view import View


@dataclass(slots=True)
class Walked:
    """What became of a packet."""

    path: list[str] = field(default_factory=list)
    """`table/name` of the rules that matched, in order."""
    befores: list[View] = field(default_factory=list)
    """The packet as each of them met it."""
    tables: list[str] = field(default_factory=list)
    """The tables that it entered, in order."""
    outputs: dict[str, View] = field(default_factory=dict)
    """The packet as each output gets it."""
    named: set[str] = field(default_factory=set)
    """Outputs that rules or a miss named themselves, without those of traces."""
    traces: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    drop: str | None = None
    """The reason of the rule that ended the walk by dropping, also where an output took it."""
    missed: bool = False
    """No rule decided; also where an output took it."""
    fate: str = ""
    """`routed`, `dropped REASON`, `ended` or `missed`."""
    last: View | None = None
    """The packet at the end."""


class Simulator:
    """The engine, with a record of what it does."""

    def __init__(self, configuration: Configuration, program: Program) -> None:
        self.configuration = configuration
        self.program = program
        self._switch = Switch(program, SwitchAccount())
        self._walked = Walked()

    def forget(self) -> None:
        """Begin with rules that remember nothing."""
        self._switch.forget()

    def judge(self, view: View, table: str | None) -> Walked:
        """Take a packet through the tables.

        Args:
            view: the packet; the time at which it comes is its own.
            table: where it enters; None: at the entry of its listener.
        """
        walked = self._walked = Walked()
        effects = Effects()
        account = self._switch.account
        before = (account.routed, account.dropped.total(), account.ended, account.missed)
        # For this packet only: a switch that knew us always would be a cycle, never freed with its
        # program when a reload has tests.
        self._switch.witness = self
        self._switch.judge(view, self._tree(view, table), view.received_us / 1_000_000, effects)
        self._switch.witness = None
        after = (account.routed, account.dropped.total(), account.ended, account.missed)
        fates = ("routed", "dropped", "ended", "missed")
        fate = next(name for name, was, now in zip(fates, before, after, strict=True) if now > was)
        walked.fate = f"dropped {walked.drop}" if fate == "dropped" else fate
        walked.outputs = {name: views[0] for name, views in effects.outputs.items()}
        walked.lines = effects.lines
        walked.last = walked.last or view
        return walked

    def _tree(self, view: View, table: str | None) -> Tree | None:
        if table is not None:
            return self.program.trees[table]
        return self.program.entries[view.peer.listener]

    # --- the witness of the switch ---

    def entered(self, table: str, _: View) -> None:
        """Take note of a table."""
        self._walked.tables.append(table)

    def matched(self, path: str, view: View) -> None:
        """Take note of a rule."""
        self._walked.path.append(path)
        self._walked.befores.append(view)

    def named(self, output: str) -> None:
        """Take note of an output."""
        self._walked.named.add(output)

    def traced(self, trace: str) -> None:
        """Take note of a trace."""
        if trace not in self._walked.traces:
            self._walked.traces.append(trace)

    def ended(self, view: View, branch: Branch | None, reason: str | None) -> None:
        """Take note of the end."""
        self._walked.last = view
        self._walked.drop = reason
        self._walked.missed = branch is None
