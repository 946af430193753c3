"""The walk of a packet through the tables, and its one fate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from hepsw.accounting import Reason
from hepsw.compiler.tree import Found
from hepsw.config.configuration import Flow
from hepsw.switch import counting
from hepsw.switch.effects import Effects, Line
from hepsw.switch.gates import Gates
from hepsw.switch.guard import Guard
from hepsw.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepsw.accounting import SwitchAccount
    from hepsw.compiler.program import Program
    from hepsw.compiler.tree import Branch, Tree
    from hepsw.fields import Field
    from hepsw.hep.packet import Packet
    from hepsw.rule_account import RuleAccount
    from hepsw.view import Peer

log = logging.getLogger("hepsw.switch")

LEVELS: Final = frozenset({"debug", "info", "warning", "error"})
"""Of lines that rules write."""
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


class Switch:
    """Judges packets by the program in service.

    `replace` takes effect between two calls of `receive`: a packet sees the old tables or the new,
    never a mix.

    What one packet collects on its way (`_taken`, `_lines`, `_found`) is kept here and emptied
    behind it, because making it anew would cost as much as a rule. Fates are counted in numbers of
    its own while a batch is judged, and written into the account at its end.
    """

    def __init__(self, program: Program, account: SwitchAccount) -> None:
        self.account = account
        self.witness: Witness | None = None
        """Told of every step, if there is one."""
        self.heard: frozenset[str] = LEVELS
        """Levels of which somebody reads the lines; those of rules at others are not even made."""
        self._gates = Gates()
        self._guard: Guard | None = None
        self._again: Callable[[list[Packet], float], list[tuple[int, float]] | None] | None = None
        """The guard's first stage."""
        self._number = 0
        """Of the packet: one that meets a rule twice on its way is no copy of itself."""
        self._now = 0.0
        self._taken_by: str | None = None
        self._taken_view: View | None = None
        """The first output that was named, with the packet as it stood then."""
        self._taken: dict[str, View] = {}
        """The others likewise; most packets have none, and filling a dictionary takes its time."""
        self._lines: list[Line] = []
        self._found = Found()
        self._branch: Branch | None = None
        """The rule that decided, or calls another table; None where none did."""
        self._reason: str | None = None
        """Why it dropped the packet."""
        self._accepted = self._routed = self._ended = self._missed = self._fan_out = 0
        self._last_tree: Tree | None = None
        self._last_accounts: list[RuleAccount] = []
        """Those of the tree that a packet was in last, by position."""
        self.replace(program)

    def replace(self, program: Program) -> None:
        """Put another program into service; rules keep accounts and state by `table/name`."""
        self.program = program
        self._gates.replace(program)
        self._accounts: dict[str, list[RuleAccount]] = {
            tree.name: [self.account.rule(branch.path) for branch in tree.branches]
            for tree in program.trees.values()
        }
        self._last_tree = None

    def forget(self) -> None:
        """Let rules begin anew: no call is held, nothing is a copy, every bucket is full."""
        self._gates = Gates()
        self._gates.replace(self.program)

    def guard_loops(self, *, wanted: bool) -> None:
        """Drop from now on what comes back again and again, or no longer.

        Off at first: only packets that come from outside can be in a loop, and a simulation may
        well give the same one twenty times. What the guard remembers stays while it is on.
        """
        if not wanted:
            self._guard = self._again = None
        elif self._guard is None:
            self._guard = Guard()
            self._again = self._guard.again

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
        return self.receive_lists([packet for packet, _ in batch], [peer for _, peer in batch], now)

    def receive_lists(self, packets: list[Packet], peers: list[Peer], now: float) -> Effects:
        """Do what `receive` does; two lists, because a pair for each packet is one object more."""
        effects = Effects()
        received_us = int(now * 1_000_000)
        outputs = effects.outputs
        entries = self.program.entries
        self._now = now
        self._accepted += len(packets)
        looping = None
        if self._again is not None:
            again = self._again(packets, now)
            if again is not None and self._guard is not None:
                looping = self._guard.judged(packets, again, now)
        last = tree = None
        for at in range(len(packets)):
            peer = peers[at]
            if looping is not None and at in looping:
                self._drop_looping(peer, effects)
                continue
            if peer is not last:  # most often it is the same agent again
                tree = entries[peer.listener]
                last = peer
            view = View.__new__(View)
            view.begin(packets[at], peer, received_us)
            if tree is None:
                self._pass_through(view, outputs)
            else:
                self._walk(view, tree, outputs)
        self._settle(effects)
        return effects

    def judge(self, view: View, tree: Tree | None, now: float, effects: Effects) -> None:
        """Give one packet its fate.

        Args:
            view: the packet.
            tree: the table that it enters; None: it goes to every output.
            now: as for `receive`.
            effects: what is to be done for it is added here.
        """
        self._now = now
        self._accepted += 1
        if tree is None:
            self._pass_through(view, effects.outputs)
        else:
            self._walk(view, tree, effects.outputs)
        self._settle(effects)

    def _settle(self, effects: Effects) -> None:
        """Write what was counted into the account, and the lines into the effects."""
        account = self.account
        account.accepted += self._accepted
        account.routed += self._routed
        account.ended += self._ended
        account.missed += self._missed
        account.fan_out += self._fan_out
        self._accepted = self._routed = self._ended = self._missed = self._fan_out = 0
        if self._lines:
            effects.lines.extend(self._lines)
            self._lines.clear()

    def _drop_looping(self, peer: Peer, effects: Effects) -> None:
        """Drop a packet that the guard does not let in."""
        self.account.dropped[Reason.LOOP] += 1
        if self._guard is not None and self._guard.tells(self._now):
            effects.loop = peer

    def _pass_through(self, view: View, outputs: dict[str, list[View]]) -> None:
        """Send a packet that no rule judges to every output there is; without any it ended."""
        names = self.program.pass_through
        for name in names:
            self._give(name, view, outputs)
            if self.witness is not None:
                self.witness.named(name)
        if names:
            self._routed += 1
        else:
            self._ended += 1

    def _give(self, name: str, view: View, outputs: dict[str, list[View]]) -> None:
        """Append a packet to what an output gets of this batch."""
        views = outputs.get(name)
        if views is None:
            views = outputs[name] = []
        views.append(view)
        self._fan_out += 1

    def _walk(self, view: View, tree: Tree, outputs: dict[str, list[View]]) -> None:
        """Take one packet through the tables, then give it its fate and outputs at once."""
        self._number += 1
        taken = self._taken
        said = len(self._lines)
        try:
            self._decide(view, tree)
        except Exception:
            # A bug of ours, in one packet: it is dropped by name, and the others go on.
            self._taken_by = self._taken_view = None
            taken.clear()
            del self._lines[said:]
            self._found.forget()
            self.account.dropped[Reason.INTERNAL] += 1
            log.exception("a packet from %s failed in the tables", view.peer.listener)
        else:
            self._end(view, outputs)

    def _end(self, view: View, outputs: dict[str, list[View]]) -> None:
        """Give a packet that is through the tables its fate."""
        taken = self._taken
        # A batch of inflated payloads, and of what was read in them, would be a thousand times
        # what came in.
        view.forget()
        if self._taken_by is not None:
            self._routed += 1
            first = self._taken_view
            assert first is not None  # noqa: S101 - set together
            if first is not view:
                first.forget()
            self._give(self._taken_by, first, outputs)
            self._taken_by = self._taken_view = None
            if taken:
                for name, as_it_stood in taken.items():
                    as_it_stood.forget()
                    self._give(name, as_it_stood, outputs)
                taken.clear()
        elif self._reason is not None:
            self.account.dropped[self._reason] += 1
        elif self._branch is None:
            self._missed += 1
        else:
            self._ended += 1

    def _decide(self, view: View, tree: Tree) -> None:
        """Walk from table to table until a rule decides, or the last table is left undecided."""
        callers: list[tuple[Tree, int]] | None = None
        """Where to go on when a called table comes back; made when one is called."""
        start = 0
        while True:
            if start == 0 and (tree.is_scoped or self.witness is not None):
                self._enter(tree, view)
            view = self._table(view, tree, start)
            branch = self._branch
            if branch is None:
                if callers:
                    tree, start = callers.pop()
                    continue
                self._miss(tree, view)
            elif branch.goes_on and self._reason is None:
                if branch.flow is Flow.CALL:
                    if callers is None:
                        callers = []
                    callers.append((tree, branch.position + 1))
                else:
                    # Who goes on elsewhere does not come back, not even to who called.
                    callers = None
                    if branch.flow is Flow.RESUME:
                        view = view.as_sip()
                tree, start = self.program.trees[branch.target], 0
                continue
            if self._found.tree is not None:
                self._found.forget()
            if self.witness is not None:
                self.witness.ended(view, branch, self._reason)
            break

    def _enter(self, tree: Tree, view: View) -> None:
        if tree.is_scoped:
            self._gates.enter(view, self._now)
        if self.witness is not None:
            self.witness.entered(tree.name, view)

    def _miss(self, tree: Tree, view: View) -> None:
        self._take_all(tree.miss, view)
        for field in tree.miss_maps:
            self._take_all(names_of(field, view), view)

    def _take_all(self, names: Sequence[str], view: View) -> None:
        """Give a packet to the outputs that a rule or a miss names."""
        for name in names:
            self._take(name, view)
            if self.witness is not None:
                self.witness.named(name)

    def _take(self, name: str, view: View) -> None:
        """Give a packet to an output, unless it has it: the first rule that names it wins."""
        if self._taken_by is None:
            self._taken_by = name
            self._taken_view = view
        elif name != self._taken_by and name not in self._taken:
            self._taken[name] = view

    def _table(self, view: View, tree: Tree, start: int) -> View:
        """Carry out the matching rules of one table, up to one that does not simply continue.

        Sets `_branch` and `_reason`; returns the packet as it stands then.
        """
        self._reason = None
        if tree is not self._last_tree:
            self._last_tree = tree
            self._last_accounts = self._accounts[tree.name]
        found = self._found
        while True:
            # After an edit this is another view, and the tree looks it up afresh.
            branch = tree.first(view, start, found)
            self._branch = branch
            if branch is None:
                return view
            start = branch.position + 1
            if branch.is_gated:
                verdict = self._gates.judge(branch, view, self._now, self._number)
                if verdict is False:
                    continue
                if verdict is not True:
                    account = self._count(branch, view)
                    account.dropped[verdict] += 1
                    self._reason = verdict
                    return view
            if branch.is_quiet:
                self._count(branch, view)
                self._take_all(branch.outputs, view)
            else:
                view = self._carry_out(branch, view)
            if not branch.continues:
                if branch.drops:
                    self._reason = branch.target
                return view

    def _count(self, branch: Branch, view: View) -> RuleAccount:
        """Count a packet that matched; return the rule's account."""
        account = self._last_accounts[branch.position]
        account.packets += 1
        account.octets += len(view.packet.data)
        account.last_us = view.received_us
        if self.witness is not None:
            self.witness.matched(branch.path, view)
        return account

    def _carry_out(self, branch: Branch, view: View) -> View:
        """Do what a rule says in its fixed order; return the packet as it stands then."""
        account = self._count(branch, view)
        if branch.edits is not None:
            view = branch.edits.carried_out(view, account.edits_refused)
        if branch.log is not None and branch.log.level in self.heard:
            text = branch.log.text.render(view)[:LINE].decode("utf-8", "backslashreplace")
            self._lines.append(Line(branch.log.level, branch.path, text))
        if branch.has_more:
            counting.count(branch.rule.counts, view, self.account)
            account.no_numbers += counting.observe(branch.rule.observes, view, self.account)
        self._take_all(branch.outputs, view)
        if branch.has_more:
            for field in branch.rule.output_maps:
                self._take_all(names_of(field, view), view)
            self._trace(branch, view)
        return view

    def _trace(self, branch: Branch, view: View) -> None:
        traces = [*branch.rule.traces]
        for field in branch.rule.trace_maps:
            traces += names_of(field, view)
        for trace in traces:
            outputs = self.program.traces[trace]
            for name in outputs:
                self._take(name, view)
            if outputs and self.witness is not None:
                self.witness.traced(trace)


def names_of(field: Field, view: View) -> list[str]:
    """Return the names that a map gives for a packet; the configuration knows all of them."""
    reading = field.read(view)
    values = reading if isinstance(reading, tuple) else () if reading is None else (reading,)
    return [value.decode() for value in values if isinstance(value, bytes)]
