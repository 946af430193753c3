"""The walk of a packet through the tables, and its one fate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.config.configuration import Flow
from hepsw.switch.edits import edited
from hepsw.switch.effects import Effects, Line
from hepsw.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.accounting import RuleAccount, SwitchAccount
    from hepsw.compiler import Program, Tree
    from hepsw.compiler.tree import Branch
    from hepsw.hep import Packet
    from hepsw.view import Peer

log = logging.getLogger("hepsw.switch")

LINE: Final = 1024
"""Octets of a rule's log line; a payload may be fifty times as long."""


class Switch:
    """Judges packets by the program in service.

    `replace` takes effect between two calls of `receive`: a packet sees the old tables or the new,
    never a mix.
    """

    def __init__(self, program: Program, account: SwitchAccount) -> None:
        self.account = account
        self.replace(program)

    def replace(self, program: Program) -> None:
        """Put another program into service; rules keep their accounts by `table/name`."""
        self.program = program
        self._accounts: dict[str, RuleAccount] = {
            branch.path: self.account.rule(branch.path)
            for tree in program.trees.values()
            for branch in tree.branches
        }

    def receive(self, batch: Sequence[tuple[Packet, Peer]], now: float) -> Effects:
        """Judge a batch.

        Args:
            batch: packets with who sent them, in the order in which they came.
            now: seconds since the epoch, the time at which all of them were received.

        Returns:
            What is to be done; every packet has been given its fate and counted.
        """
        effects = Effects()
        received_us = int(now * 1_000_000)
        entries = self.program.entries
        self.account.accepted += len(batch)
        for packet, peer in batch:
            view = View(packet, peer, received_us)
            tree = entries[peer.listener]
            if tree is None:
                self._pass_through(view, effects)
            else:
                self._walk(view, tree, effects)
        return effects

    def _pass_through(self, view: View, effects: Effects) -> None:
        """Send a packet that no rule judges to every output there is; without any it ended."""
        outputs = self.program.pass_through
        for name in outputs:
            effects.outputs.setdefault(name, []).append(view)
        self.account.fan_out += len(outputs)
        if outputs:
            self.account.routed += 1
        else:
            self.account.ended += 1

    def _walk(self, view: View, tree: Tree, effects: Effects) -> None:
        """Take one packet through the tables, then give it its fate and outputs at once."""
        taken: dict[str, View] = {}
        lines: list[Line] = []
        try:
            last = self._decide(view, tree, taken, lines)
        except Exception:
            # A bug of ours, in one packet: it is dropped by name, and the others go on.
            self.account.dropped[Reason.INTERNAL] += 1
            log.exception("a packet from %s failed in the tables", view.peer.listener)
            return
        effects.lines.extend(lines)
        # A batch of inflated payloads would be a thousand times what came in.
        view.packet.forget_payload()
        for name, as_it_stood in taken.items():
            as_it_stood.packet.forget_payload()
            effects.outputs.setdefault(name, []).append(as_it_stood)
        account = self.account
        account.fan_out += len(taken)
        if taken:
            account.routed += 1
        elif last is None:
            account.missed += 1
        elif last.flow is Flow.DROP:
            account.dropped[last.target] += 1
        else:
            account.ended += 1

    def _decide(
        self, view: View, tree: Tree, taken: dict[str, View], lines: list[Line]
    ) -> Branch | None:
        """Walk from table to table; return the rule that decided, None where none did."""
        while True:
            view, branch = self._table(view, tree, taken, lines)
            if branch is None:
                for name in tree.miss:
                    taken.setdefault(name, view)
                return None
            if branch.flow is not Flow.GOTO:
                return branch
            tree = self.program.trees[branch.target]

    def _table(
        self, view: View, tree: Tree, taken: dict[str, View], lines: list[Line]
    ) -> tuple[View, Branch | None]:
        """Carry out the matching rules of one table; return the view and the rule that decided."""
        start = 0
        while True:
            for branch in tree.walk(view, start):
                after = self._carry_out(branch, view, taken, lines)
                if branch.flow is not Flow.CONTINUE:
                    return after, branch
                if after is not view:
                    # A later rule sees what this one changed: ask the tree anew, from the next rule
                    # on.
                    view, start = after, branch.position + 1
                    break
            else:
                return view, None

    def _carry_out(
        self, branch: Branch, view: View, taken: dict[str, View], lines: list[Line]
    ) -> View:
        account = self._accounts[branch.path]
        account.packets += 1
        account.octets += len(view.packet.data)
        account.last_us = view.received_us
        if branch.edits:
            view = edited(view, branch.edits, account.edits_refused)
        if branch.log is not None:
            text = branch.log.text.render(view)[:LINE].decode("utf-8", "backslashreplace")
            lines.append(Line(branch.log.level, branch.path, text))
        for name in branch.outputs:
            # Once on its way through: the first rule that names an output wins.
            taken.setdefault(name, view)
        return view
