"""One table, compiled: which of its rules match a view, in the order in which they were written.

`walk` is the only door. Today it tries the rules one by one; what finds candidates faster goes
behind it and must meet the same rules in the same order (`tests/oracle.py` reads the table from top
to bottom).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hepsw.compiler.predicates import predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepsw.config.configuration import Edit, Flow, Rule, RuleLog, Table
    from hepsw.view import View


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One rule, ready to be tested and carried out."""

    position: int
    """From 0, in file order."""
    path: str
    """`table/name`."""
    holds: Callable[[View], bool]
    edits: tuple[Edit, ...]
    log: RuleLog | None
    outputs: tuple[str, ...]
    flow: Flow
    target: str


class Tree:
    """A compiled table."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.miss = table.miss
        """Outputs of what no rule decides; none means it is dropped."""
        self._branches = tuple(_branch(position, rule) for position, rule in enumerate(table.rules))

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All rules, in order."""
        return self._branches

    def walk(self, view: View, start: int = 0) -> Iterator[Branch]:
        """Yield the rules that match, in order.

        Args:
            view: the packet; who edits it asks anew with the new view and the next position.
            start: the first position to look at.
        """
        for branch in self._branches[start:] if start else self._branches:
            if branch.holds(view):
                yield branch


def _branch(position: int, rule: Rule) -> Branch:
    return Branch(
        position=position,
        path=rule.path,
        holds=predicate(rule.condition),
        edits=rule.edits,
        log=rule.log,
        outputs=rule.outputs,
        flow=rule.flow,
        target=rule.target,
    )
