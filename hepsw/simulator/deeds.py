"""What a rule did to one packet, in words: `node_name "a" → "A"`, `relay own`, `continue`.

`hepsw.config.rule_words` says what a rule would do to any packet; here it has met one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.accounting import Reason
from hepsw.compiler.explain import reading_words
from hepsw.config.configuration import Flow, Scope
from hepsw.config.units import duration_text, rate_text
from hepsw.config.words import HIDDEN, text_words
from hepsw.fields.payload import call as call_of
from hepsw.switch.sampling import is_kept
from hepsw.switch.switch import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hepsw.compiler import Program, Tree
    from hepsw.compiler.tree import Branch
    from hepsw.config.configuration import Configuration, Edit, Rule
    from hepsw.fields import Field
    from hepsw.simulator.walk import Walked
    from hepsw.view import View

_FLOWS: Final = {
    Flow.STOP: "stop",
    Flow.CONTINUE: "continue",
    Flow.GOTO: "goto {target}",
    Flow.CALL: "call {target}",
    Flow.RESUME: "resume {target}",
    Flow.DROP: "drop {target}",
}


class Deeds:
    """Writes what the rules of one walk did, in their order."""

    def __init__(self, configuration: Configuration, program: Program, walked: Walked) -> None:
        self._stores = configuration.stores.keys()
        self._ttl = duration_text(program.dialog_ttl)
        self._traces = program.traces
        self._lines = iter(walked.lines)
        self._taken: dict[str, str] = {}
        """By output, the rule that named it first."""

    def of(self, branch: Branch, before: View, after: View, verdict: str | None) -> Iterator[str]:
        """Yield what one rule did, its flow last.

        Args:
            branch: the rule.
            before: the packet as the rule met it.
            after: as it left it.
            verdict: why its `dedupe` or `limit` dropped the packet, if one did.
        """
        rule = branch.rule
        yield from self._gates(rule, before, verdict)
        if verdict is not None:
            yield f"drop {verdict}"
            return
        for edit in rule.edits:
            yield _edit(edit, before, after)
        if rule.log is not None:
            line = next(self._lines)
            assert line.rule == rule.path  # noqa: S101 - lines come in the order of the rules
            yield f"log {line.level} {text_words(line.text)}"
        yield from (f"count {count.name}" for count in rule.counts)
        yield from (f"observe {observe.name}" for observe in rule.observes)
        yield from self._outputs(rule, after)
        yield from self._traced(rule, after)
        yield _FLOWS[branch.flow].format(target=branch.target)

    def _gates(self, rule: Rule, view: View, verdict: str | None) -> Iterator[str]:
        if rule.scope is not None:
            yield self._scope(rule.scope, view)
        if rule.sample is not None:
            yield f"sample {_share(rule)}: kept"
        if rule.dedupe is not None:
            copy = "a copy" if verdict == Reason.DUPLICATE else "no copy"
            yield f"dedupe within {duration_text(rule.dedupe.window_s)}: {copy}"
        if rule.limit is not None and verdict != Reason.DUPLICATE:
            yield f"limit {rate_text(rule.limit.per_s)}: {'over' if verdict else 'within'} it"

    def _scope(self, scope: Scope, view: View) -> str:
        sip = view.sip
        if scope is Scope.DIALOG:
            is_held = bool(call_of(view))
            what = "call"
        else:
            is_held = sip is not None and bool(sip.call_id) and sip.cseq is not None
            what = "transaction"
        if not is_held:
            return f"scope {scope.value}: the packet names no {what}"
        return f"sticks to the {what} ({self._ttl})"

    def _outputs(self, rule: Rule, view: View) -> Iterator[str]:
        yield from self._named([*rule.outputs, *_mapped(rule.output_maps, view)], rule.path)

    def _named(self, names: Sequence[str], by: str) -> Iterator[str]:
        """Yield outputs, those that have the packet already one by one."""
        for word, chosen in (
            ("store", [name for name in names if name in self._stores]),
            ("relay", [name for name in names if name not in self._stores]),
        ):
            fresh = [name for name in dict.fromkeys(chosen) if name not in self._taken]
            again = [name for name in dict.fromkeys(chosen) if name in self._taken]
            if fresh:
                yield f"{word} {', '.join(fresh)}"
            for name in again:
                yield f"{word} {name}: has it from {self._taken[name]}"
            self._taken.update(dict.fromkeys(fresh, by))

    def miss(self, tree: Tree, view: View) -> str:
        """Return what a table does with a packet that no rule decided."""
        names = [*tree.miss, *_mapped(tree.miss_maps, view)]
        return " · ".join(self._named(names, f"{tree.name}: miss")) or "drop"

    def _traced(self, rule: Rule, view: View) -> Iterator[str]:
        for trace in dict.fromkeys([*rule.traces, *_mapped(rule.trace_maps, view)]):
            outputs = self._traces[trace]
            to = f" to {', '.join(outputs)}" if outputs else ": switched off"
            yield f"trace {trace}{to}"
            for name in outputs:
                self._taken.setdefault(name, rule.path)


def is_drawn(rule: Rule, view: View) -> bool:
    """Tell whether a packet is in the share that a rule takes; without `sample` every one is."""
    return rule.sample is None or is_kept(rule.sample, rule.path, view)


def gate_words(rule: Rule, view: View) -> tuple[str, str]:
    """Write what kept a rule from matching whose condition holds, and what the packet has there."""
    if rule.sample is not None and not is_drawn(rule, view):
        by = rule.sample.by
        reading = by.read(view)
        drawn = "the packet" if reading is None else f"{by.name} {reading_words(by, reading)}"
        return f"sample {_share(rule)}", f"{drawn} is not in the share"
    assert rule.limit is not None  # noqa: S101 - nothing else keeps such a rule from matching
    return f"limit {rate_text(rule.limit.per_s)}", "over it: on to the next rule"


def _share(rule: Rule) -> str:
    assert rule.sample is not None  # noqa: S101 - asked by the caller
    return f"{100 * rule.sample.keep:.10g}% by {rule.sample.by.name}"


def _mapped(fields: Iterable[Field], view: View) -> list[str]:
    return [name for field in fields for name in names_of(field, view)]


def _edit(edit: Edit, before: View, after: View) -> str:
    field = edit.field
    old, new = field.read(before), field.read(after)
    if field.name == "auth_key":
        return f"set {field.name} = {HIDDEN}" if edit.value is not None else f"unset {field.name}"
    if edit.value is None:
        return f"unset {field.name}, was {reading_words(field, old)}"
    if old == new:
        return f"{field.name} stays {reading_words(field, old)}"
    return f"{field.name} {reading_words(field, old)} → {reading_words(field, new)}"
