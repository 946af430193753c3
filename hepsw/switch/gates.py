"""Whether a rule whose conditions were met matches: scope, sample, dedupe and limit, in this order.

What they remember lives here, by rule, and outlives a reload as long as the rule's settings stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.config.configuration import Scope
from hepsw.fields.payload import call as call_of
from hepsw.switch.buckets import Buckets
from hepsw.switch.calls import Calls
from hepsw.switch.copies import Copies
from hepsw.switch.sampling import is_kept

if TYPE_CHECKING:
    from hepsw.accounting import SwitchAccount
    from hepsw.compiler import Program
    from hepsw.compiler.tree import Branch
    from hepsw.config.configuration import Rule
    from hepsw.switch.calls import Hold
    from hepsw.view import View

WHOLE_CALL: Final = -1

Verdict = bool | Reason
"""True: the rule matches. False: it does not. A reason: it matches, and drops the packet."""


class Gates:
    """All that rules remember."""

    def __init__(self) -> None:
        self.calls = Calls(0.0)
        self._copies: dict[str, Copies] = {}
        self._buckets: dict[str, Buckets] = {}

    def replace(self, program: Program) -> None:
        """Take the rules of a program; those whose settings are the same keep what they know."""
        self.calls.ttl_s = program.dialog_ttl
        rules = program.gated
        self._copies = {
            rule.path: self._copies_of(rule) for rule in rules if rule.dedupe is not None
        }
        self._buckets = {
            rule.path: self._buckets_of(rule) for rule in rules if rule.limit is not None
        }

    def _copies_of(self, rule: Rule) -> Copies:
        assert rule.dedupe is not None  # noqa: S101 - asked by the caller
        known = self._copies.get(rule.path)
        if known is not None and _same_dedupe(known, rule):
            # The fields of the same names: what they look up (maps, databases) may be new.
            known.settings = rule.dedupe
            return known
        return Copies(rule.dedupe)

    def _buckets_of(self, rule: Rule) -> Buckets:
        assert rule.limit is not None  # noqa: S101 - asked by the caller
        known = self._buckets.get(rule.path)
        if known is not None and _same_limit(known, rule):
            known.settings = rule.limit  # as above
            return known
        return Buckets(rule.limit)

    def enter(self, view: View, now: float) -> None:
        """Note that a packet enters a table where calls are remembered."""
        call = call_of(view)
        if call:
            self.calls.touch(call, now)

    def judge(self, branch: Branch, view: View, now: float, number: int) -> Verdict:
        """Tell whether a rule matches.

        Args:
            branch: the rule; its conditions hold, unless it has a scope.
            view: the packet as it stands.
            now: when it came, in seconds since the epoch.
            number: of the packet.
        """
        rule = branch.rule
        hold = self._hold(rule, view)
        if (
            branch.scoped
            and not branch.holds(view)
            and (hold is None or not self.calls.is_held(*hold, now))
        ):
            return False
        if rule.sample is not None and not is_kept(rule.sample, branch.path, view):
            return False
        if hold is not None:
            self.calls.hold(*hold, now)
        if rule.dedupe is not None and self._copies[branch.path].is_copy(view, now, number):
            return Reason.DUPLICATE
        if rule.limit is not None and not self._buckets[branch.path].passes(view, now):
            return not rule.limit.over_next and Reason.OVER_LIMIT
        return True

    @staticmethod
    def _hold(rule: Rule, view: View) -> tuple[bytes, Hold] | None:
        """Return the call of a packet and what the rule holds of it; None where it has none."""
        if rule.scope is None:
            return None
        if rule.scope is Scope.DIALOG:
            call = call_of(view)
            return (call, (rule.path, WHOLE_CALL)) if call else None
        sip = view.sip
        if sip is None or not sip.call_id or sip.cseq is None:
            return None
        return sip.call_id, (rule.path, sip.cseq)

    def measure(self, account: SwitchAccount) -> None:
        """Write what is held, and what was forgotten, into the account."""
        account.calls = len(self.calls)
        account.forgotten["calls"] = self.calls.forgotten
        account.forgotten["copies"] = sum(known.forgotten for known in self._copies.values())
        account.forgotten["buckets"] = sum(known.forgotten for known in self._buckets.values())


def _same_dedupe(known: Copies, rule: Rule) -> bool:
    new = rule.dedupe
    return (
        new is not None
        and new.window_s == known.settings.window_s
        and [field.name for field in new.key] == [field.name for field in known.settings.key]
    )


def _same_limit(known: Buckets, rule: Rule) -> bool:
    new, old = rule.limit, known.settings
    return (
        new is not None
        and (new.per_s, new.burst) == (old.per_s, old.burst)
        and (new.per and new.per.name) == (old.per and old.per.name)
    )
