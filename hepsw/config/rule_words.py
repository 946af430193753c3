"""What a rule does, written back for people: one line for each thing, in the order they happen.

The condition of a rule is written by `words.py`; here is the rest of it: scope, sample, dedupe,
limit, edits, log, counters, outputs, flow. A chunk that is a secret is set without being shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.config.configuration import Flow
from hepsw.config.template import Template
from hepsw.config.units import duration_text, rate_text
from hepsw.config.words import HIDDEN, octets_words, text_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from hepsw.config.configuration import Dedupe, Edit, Limit, Rule
    from hepsw.fields import Field

FLOW_WORDS: Final = {
    Flow.STOP: "■ stop",
    Flow.CONTINUE: "↓ continue",
    Flow.GOTO: "→ goto {target}",
    Flow.CALL: "⇄ call {target}, then back",
    Flow.RESUME: "⇒ resume {target}: the payload read as SIP",
    Flow.DROP: "✕ drop: {target}",
}


def flow_words(rule: Rule) -> str:
    """Write what comes after a rule that matched."""
    return FLOW_WORDS[rule.flow].format(target=rule.target)


def rule_words(rule: Rule, stores: Collection[str]) -> Iterator[str]:
    """Write what a rule does beside matching and its flow.

    Args:
        rule: the rule.
        stores: names of stores; any other output is a destination.
    """
    if rule.scope is not None:
        yield f"scope {rule.scope.value}"
    if rule.sample is not None:
        yield f"sample {100 * rule.sample.keep:.10g}% by {rule.sample.by.name}"
    if rule.dedupe is not None:
        yield _dedupe(rule.dedupe)
    if rule.limit is not None:
        yield _limit(rule.limit)
    for edit in rule.edits:
        yield _edit(edit)
    if rule.log is not None:
        yield f"log {rule.log.level}: {_template(rule.log.text)}"
    for count in rule.counts:
        yield f"count {count.name}{_labels(count.labels)}"
    for observe in rule.observes:
        yield f"observe {observe.name} = {_template(observe.value)}{_labels(observe.labels)}"
    yield from output_words(rule.outputs, stores)
    yield from map_words(rule.output_maps)
    if rule.traces:
        yield f"trace {', '.join(rule.traces)}"
    if rule.trace_maps:
        yield f"trace as {_names(rule.trace_maps)} says"


def output_words(outputs: Sequence[str], stores: Collection[str]) -> Iterator[str]:
    """Write where packets go: `store x`, `relay a, b`."""
    kept = [name for name in outputs if name in stores]
    sent = [name for name in outputs if name not in stores]
    if kept:
        yield f"store {', '.join(kept)}"
    if sent:
        yield f"relay {', '.join(sent)}"


def map_words(maps: Sequence[Field]) -> Iterator[str]:
    """Write where packets go whose outputs a map names."""
    if maps:
        yield f"relay or store as {_names(maps)} says"


def _names(fields: Iterable[Field]) -> str:
    return ", ".join(field.name for field in fields)


def _template(template: Template) -> str:
    return text_words(template.source)


def _labels(labels: Iterable[tuple[str, Template]]) -> str:
    written = ", ".join(f"{name} = {_template(value)}" for name, value in labels)
    return f" by {written}" if written else ""


def _dedupe(dedupe: Dedupe) -> str:
    return f"drop copies within {duration_text(dedupe.window_s)}: same {_names(dedupe.key)}"


def _limit(limit: Limit) -> str:
    per = f" for each {limit.per.name}" if limit.per is not None else ""
    over = "the next rule" if limit.over_next else "dropped"
    return f"limit {rate_text(limit.per_s)}, burst {limit.burst:.10g}{per}, over it: {over}"


def _edit(edit: Edit) -> str:
    name = edit.field.name
    if edit.value is None:
        return f"unset {name}"
    if name == "auth_key":
        return f"set {name} = {HIDDEN}"
    if isinstance(edit.value, Template):
        return f"set {name} = {_template(edit.value)}"
    if isinstance(edit.value, bytes):
        printed = edit.field.render(edit.value)
        return f"set {name} = {octets_words(printed)}"
    return f"set {name} = {edit.field.render(edit.value).decode()}"
