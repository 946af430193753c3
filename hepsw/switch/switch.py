"""The walk of a packet through the tables, and its one fate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from hepsw.accounting import Reason
from hepsw.config.configuration import Flow
from hepsw.switch import counting
from hepsw.switch.edits import edited
from hepsw.switch.effects import Effects, Line
from hepsw.switch.gates import Gates
from hepsw.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.accounting import RuleAccount, SwitchAccount
    from hepsw.compiler import Program, Tree
    from hepsw.compiler.tree import Branch
    from hepsw.fields import Field
    from hepsw.hep import Packet
    from hepsw.view import Peer

log = logging.getLogger("hepsw.switch")

LINE: Final = 1024
"""Octets of a rule's log line; a payload may be fifty times as long."""


class Witness(Protocol):
    """Who wants to know what a walk does: the tests of a configuration, and `explain`."""

    def entered(self, table: str, view: View) -> None:
        """Take note of a table that the packet enters."""
        ...

    def matched(self, path: str, view: View) -> None:
        """Take note of a rule that matched, with the packet as it stood before."""
        ...

    def named(self, output: str) -> None:
        """Take note of an output that a rule or a miss named itself, not by a trace."""
        ...

    def traced(self, trace: str) -> None:
        """Take note of a trace that took the packet."""
        ...

    def ended(self, view: View, branch: Branch | None, reason: str | None) -> None:
        """Take note of the end of the walk: the rule that decided, and why it dropped."""
        ...


class _Walk(NamedTuple):
    """What one packet collects on its way."""

    now: float
    number: int
    taken: dict[str, View]
    """Outputs with the packet as it stood when the first rule named them."""
    lines: list[Line]


class _End(NamedTuple):
    """How a walk, or a part of it, ended."""

    view: View
    branch: Branch | None
    """The rule that decided, or calls another table; None where none did."""
    reason: str | None
    """Why it dropped the packet."""


class Switch:
    """Judges packets by the program in service.

    `replace` takes effect between two calls of `receive`: a packet sees the old tables or the new,
    never a mix.
    """

    def __init__(self, program: Program, account: SwitchAccount) -> None:
        self.account = account
        self.witness: Witness | None = None
        """Told of every step, if there is one."""
        self._gates = Gates()
        self._number = 0
        self.replace(program)

    def replace(self, program: Program) -> None:
        """Put another program into service; rules keep accounts and state by `table/name`."""
        self.program = program
        self._gates.replace(program)
        self._accounts: dict[str, RuleAccount] = {
            branch.path: self.account.rule(branch.path)
            for tree in program.trees.values()
            for branch in tree.branches
        }

    def forget(self) -> None:
        """Let rules begin anew: no call is held, nothing is a copy, every bucket is full."""
        self._gates = Gates()
        self._gates.replace(self.program)

    def measure(self) -> None:
        """Write what is remembered now into the account."""
        self._gates.measure(self.account)

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
            self._give_fate(View(packet, peer, received_us), entries[peer.listener], now, effects)
        return effects

    def judge(self, view: View, tree: Tree | None, now: float, effects: Effects) -> None:
        """Give one packet its fate.

        Args:
            view: the packet.
            tree: the table that it enters; None: it goes to every output.
            now: as for `receive`.
            effects: what is to be done for it is added here.
        """
        self.account.accepted += 1
        self._give_fate(view, tree, now, effects)

    def _give_fate(self, view: View, tree: Tree | None, now: float, effects: Effects) -> None:
        if tree is None:
            self._pass_through(view, effects)
        else:
            self._walk(view, tree, now, effects)

    def _pass_through(self, view: View, effects: Effects) -> None:
        """Send a packet that no rule judges to every output there is; without any it ended."""
        outputs = self.program.pass_through
        for name in outputs:
            effects.outputs.setdefault(name, []).append(view)
            if self.witness is not None:
                self.witness.named(name)
        self.account.fan_out += len(outputs)
        if outputs:
            self.account.routed += 1
        else:
            self.account.ended += 1

    def _walk(self, view: View, tree: Tree, now: float, effects: Effects) -> None:
        """Take one packet through the tables, then give it its fate and outputs at once."""
        self._number += 1
        walk = _Walk(now, self._number, {}, [])
        try:
            last = self._decide(view, tree, walk)
        except Exception:
            # A bug of ours, in one packet: it is dropped by name, and the others go on.
            self.account.dropped[Reason.INTERNAL] += 1
            log.exception("a packet from %s failed in the tables", view.peer.listener)
            return
        effects.lines.extend(walk.lines)
        # A batch of inflated payloads, and of what was read in them, would be a thousand times
        # what came in.
        view.forget()
        for name, as_it_stood in walk.taken.items():
            as_it_stood.forget()
            effects.outputs.setdefault(name, []).append(as_it_stood)
        account = self.account
        account.fan_out += len(walk.taken)
        if walk.taken:
            account.routed += 1
        elif last.reason is not None:
            account.dropped[last.reason] += 1
        elif last.branch is None:
            account.missed += 1
        else:
            account.ended += 1

    def _decide(self, view: View, tree: Tree, walk: _Walk) -> _End:
        """Walk from table to table until a rule decides, or the last table is left undecided."""
        trees = self.program.trees
        callers: list[tuple[Tree, int]] = []
        """Where to go on when a called table comes back."""
        start = 0
        while True:
            if start == 0 and (tree.is_scoped or self.witness is not None):
                self._enter(tree, view, walk)
            end = self._table(view, tree, start, walk)
            view, branch, reason = end
            if branch is None:
                if callers:
                    tree, start = callers.pop()
                    continue
                self._miss(tree, view, walk)
            elif reason is None and branch.flow is Flow.CALL:
                callers.append((tree, branch.position + 1))
                tree, start = trees[branch.target], 0
                continue
            elif reason is None and branch.flow in _GOES_ON:
                # Who goes on elsewhere does not come back, not even to who called.
                callers.clear()
                if branch.flow is Flow.RESUME:
                    view = view.as_sip()
                tree, start = trees[branch.target], 0
                continue
            if self.witness is not None:
                self.witness.ended(view, branch, reason)
            return end

    def _enter(self, tree: Tree, view: View, walk: _Walk) -> None:
        if tree.is_scoped:
            self._gates.enter(view, walk.now)
        if self.witness is not None:
            self.witness.entered(tree.name, view)

    def _miss(self, tree: Tree, view: View, walk: _Walk) -> None:
        for name in tree.miss:
            self._take(name, view, walk)
        for field in tree.miss_maps:
            for name in names_of(field, view):
                self._take(name, view, walk)

    def _take(self, name: str, view: View, walk: _Walk) -> None:
        """Give a packet to an output, unless it has it: the first rule that names it wins."""
        walk.taken.setdefault(name, view)
        if self.witness is not None:
            self.witness.named(name)

    def _table(self, view: View, tree: Tree, start: int, walk: _Walk) -> _End:
        """Carry out the matching rules of one table, up to one that does not simply continue."""
        gates = self._gates
        while True:
            for branch in tree.walk(view, start):
                if branch.is_gated:
                    verdict = gates.judge(branch, view, walk.now, walk.number)
                    if verdict is False:
                        continue
                    if verdict is not True:
                        self._count(branch, view).dropped[verdict] += 1
                        return _End(view, branch, verdict)
                after = self._carry_out(branch, view, walk)
                if branch.flow is not Flow.CONTINUE:
                    reason = branch.target if branch.flow is Flow.DROP else None
                    return _End(after, branch, reason)
                if after is not view:
                    # A later rule sees what this one changed: ask the tree anew, from the next rule
                    # on.
                    view, start = after, branch.position + 1
                    break
            else:
                return _End(view, None, None)

    def _count(self, branch: Branch, view: View) -> RuleAccount:
        """Count a packet that matched; return the rule's account."""
        account = self._accounts[branch.path]
        account.packets += 1
        account.octets += len(view.packet.data)
        account.last_us = view.received_us
        if self.witness is not None:
            self.witness.matched(branch.path, view)
        return account

    def _carry_out(self, branch: Branch, view: View, walk: _Walk) -> View:
        account = self._count(branch, view)
        if branch.edits:
            view = edited(view, branch.edits, account.edits_refused)
        if branch.log is not None:
            text = branch.log.text.render(view)[:LINE].decode("utf-8", "backslashreplace")
            walk.lines.append(Line(branch.log.level, branch.path, text))
        if branch.has_more:
            counting.count(branch.rule.counts, view, self.account)
            account.no_numbers += counting.observe(branch.rule.observes, view, self.account)
        for name in branch.outputs:
            # As `_take`, without a call for each packet.
            walk.taken.setdefault(name, view)
            if self.witness is not None:
                self.witness.named(name)
        if branch.has_more:
            for field in branch.rule.output_maps:
                for name in names_of(field, view):
                    self._take(name, view, walk)
            self._trace(branch, view, walk)
        return view

    def _trace(self, branch: Branch, view: View, walk: _Walk) -> None:
        traces = [*branch.rule.traces]
        for field in branch.rule.trace_maps:
            traces += names_of(field, view)
        for trace in traces:
            outputs = self.program.traces[trace]
            for name in outputs:
                walk.taken.setdefault(name, view)
            if outputs and self.witness is not None:
                self.witness.traced(trace)


_GOES_ON: Final = frozenset({Flow.GOTO, Flow.RESUME})


def names_of(field: Field, view: View) -> list[str]:
    """Return the names that a map gives for a packet; the configuration knows all of them."""
    reading = field.read(view)
    values = reading if isinstance(reading, tuple) else () if reading is None else (reading,)
    return [value.decode() for value in values if isinstance(value, bytes)]
