"""All tables of one configuration, compiled: what a reload swaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hepsw.compiler.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.config.configuration import Configuration


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """The tables, and where the packets of each listener enter."""

    trees: Mapping[str, Tree]
    entries: Mapping[str, Tree | None]
    """By listener; None where every packet simply goes to `pass_through`."""
    pass_through: tuple[str, ...]


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
    )
