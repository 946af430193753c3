"""All tables of one configuration, compiled: what a reload swaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hepsw.compiler.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.config.configuration import Configuration, Rule


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """The tables, and where the packets of each listener enter."""

    trees: Mapping[str, Tree]
    entries: Mapping[str, Tree | None]
    """By listener; None where every packet simply goes to `pass_through`."""
    pass_through: tuple[str, ...]
    traces: Mapping[str, tuple[str, ...]]
    """By name of a trace, where it leads; nowhere for one that is switched off."""
    gated: tuple[Rule, ...]
    """The rules that remember something."""
    dialog_ttl: float
    """Seconds for which a call is remembered after its last packet."""


def compile_program(configuration: Configuration) -> Program:
    """Compile every table; nothing of an earlier program is touched."""
    trees = {name: Tree(table) for name, table in configuration.tables.items()}
    return Program(
        trees=trees,
        entries={
            listener.name: None if listener.entry is None else trees[listener.entry]
            for listener in configuration.listeners
        },
        pass_through=configuration.pass_through,
        traces={
            name: tuple(trace.to) if trace.enabled else ()
            for name, trace in configuration.traces.items()
        },
        gated=tuple(
            branch.rule for tree in trees.values() for branch in tree.branches if branch.is_gated
        ),
        dialog_ttl=configuration.switch.dialog_ttl,
    )
