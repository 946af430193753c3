"""An explanation as text for a terminal, and as values for programs.

The text needs no colour: what matched has ✓ in front, what did not ✗.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hepsw.compiler.explain import reading_words
from hepsw.config.words import text_words
from hepsw.simulator.explain import Folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hepsw.config.configuration import Configuration
    from hepsw.fields import Field, Reading
    from hepsw.simulator.explain import Difference, Explanation, Fate, Tried, Visit

WIDTH: Final = 100
"""Columns of a line, where it can be broken."""
NAME: Final = 24
WHY: Final = 40
"""Columns for the name of a rule and for its condition; what is longer stands out."""
DIFFERS: Final = 5
"""So many changes are told."""
NOTHING: Final = "nothing of the packet"

_SEPARATOR: Final = " · "


def text(explanation: Explanation, configuration: Configuration) -> str:
    """Write an explanation as lines of text."""
    lines = list(_visits(explanation.visits))
    if not lines:
        lines.append("there are no rules: every packet goes to every destination and store")
    lines.append(_line("fate", fate_words(explanation.fate, configuration)))
    depends = list(_filled(explanation.depends or (NOTHING,), WIDTH - 10))
    differs = [_difference(one, configuration) for one in _chosen(explanation.differs)]
    for word, said in (("depends", depends), ("differs", differs)):
        lines += [_line("" if at else word, line) for at, line in enumerate(said)]
    return "".join(f"{line}\n" for line in lines)


def fate_words(fate: Fate, configuration: Configuration) -> str:
    """Write what became of a packet in a few words."""
    parts = [
        f"{word} {', '.join(name for name in known if name in names)}"
        for word, names, known in (
            ("store", fate.store, configuration.stores),
            ("relay", fate.relay, configuration.destinations),
            ("trace", fate.trace, configuration.traces),
        )
        if names
    ]
    if fate.drop is not None:
        parts.append(f"{'then ' if parts else ''}drop {text_words(fate.drop)}")
    elif fate.missed:
        parts.append("then missed" if parts else "missed: no rule decides")
    elif not parts:
        parts.append("ended: rules matched, none had an output")
    return "; ".join(parts)


def as_json(explanation: Explanation, configuration: Configuration) -> dict[str, Any]:
    """Return an explanation as plain values; their shape is in hepsw(1) and stays."""
    return {
        "fate": _fate(explanation.fate, configuration),
        "path": list(explanation.path),
        "tables": [
            {
                "table": visit.table,
                "back": visit.back,
                "rules": [_rule(rule) for rule in visit.rules],
                "miss": visit.miss,
            }
            for visit in explanation.visits
        ],
        "depends": list(explanation.depends),
        "differs": [
            {
                "field": difference.field.name,
                "value": None
                if difference.reading is None
                else reading_words(difference.field, difference.reading),
                "fate": _fate(difference.fate, configuration),
            }
            for difference in explanation.differs
        ],
    }


def _fate(fate: Fate, configuration: Configuration) -> dict[str, Any]:
    return {
        "kind": fate.kind,
        "text": fate_words(fate, configuration),
        "relay": sorted(fate.relay),
        "store": sorted(fate.store),
        "trace": sorted(fate.trace),
        "drop": fate.drop,
        "missed": fate.missed,
    }


def _rule(rule: Tried | Folded) -> dict[str, Any]:
    if isinstance(rule, Folded):
        return {
            "folded": rule.number,
            "first": rule.first,
            "last": rule.last,
            "fields": list(rule.fields),
        }
    return {
        "rule": rule.rule,
        "number": rule.number,
        "matched": rule.matched,
        "why": rule.why,
        "found": rule.found,
        "did": list(rule.did),
    }


# --- lines of text -------------------------------------------------------------------------------


def _visits(visits: Sequence[Visit]) -> Iterator[str]:
    tried = [rule for visit in visits for rule in visit.rules if not isinstance(rule, Folded)]
    titles = [_title(visit) for visit in visits]
    title = max(map(len, titles), default=0)
    number = max((len(str(rule.number)) for rule in tried), default=1)
    name = _widest((_name(rule) for rule in tried), NAME)
    why = _widest((rule.why for rule in tried), WHY)
    for visit, words in zip(visits, titles, strict=True):
        head = words.ljust(title)
        for rule in visit.rules:
            if isinstance(rule, Folded):
                yield f"{head} {'…':>{number}} {_folded(rule)}"
            else:
                lead = f"{head} {rule.number:>{number}} {_name(rule):<{name}} "
                yield from _tried(rule, lead, title + number + name + 3, why)
            head = " " * title
        if visit.miss is not None or not visit.rules:
            yield f"{head} {'':>{number}} {'(no rule)':<{name}}   {visit.miss or ''}".rstrip()


def _title(visit: Visit) -> str:
    return f"{visit.table} again" if visit.back else visit.table


def _name(rule: Tried) -> str:
    return rule.rule.partition("/")[2]


def _widest(words: Iterable[str], most: int) -> int:
    return max((len(word) for word in words if len(word) <= most), default=0)


def _tried(rule: Tried, lead: str, indent: int, why: int) -> Iterator[str]:
    line = f"{lead}{'✓' if rule.matched else '✗'} {rule.why:<{why}}"
    parts = rule.did if rule.matched else (rule.found,)
    beside = f"{line}  {_SEPARATOR.join(parts)}"
    if len(beside) <= WIDTH or (len(parts) == 1 and len(line) <= WIDTH // 2):
        yield beside.rstrip()
        return
    yield line.rstrip()
    yield from (f"{'':{indent + 4}}{part}" for part in _filled(parts, WIDTH - indent - 4))


def _filled(parts: Sequence[str], width: int) -> Iterator[str]:
    """Join parts to lines that are not wider than that, where none of them is alone."""
    line = ""
    for part in parts:
        longer = f"{line}{_SEPARATOR}{part}" if line else part
        if line and len(longer) > width:
            yield line
            longer = part
        line = longer
    yield line


def _folded(rule: Folded) -> str:
    return f"{rule.number:,} rules, {rule.first} to {rule.last}: {', '.join(rule.fields[:4])}"


def _line(word: str, rest: str) -> str:
    return f"{word:<9} {rest}"


def _difference(difference: Difference, configuration: Configuration) -> str:
    change = _change(difference.field, difference.reading)
    return f"{change} → {fate_words(difference.fate, configuration)}"


def _change(field: Field, reading: Reading) -> str:
    if reading is None:
        return f"{field.name} missing"
    return f"{field.name} = {reading_words(field, reading)}"


def _chosen(differs: Sequence[Difference]) -> list[Difference]:
    """Return a few: each fate once, then more of them, in the order in which they came."""
    first: dict[Fate, Difference] = {}
    for difference in differs:
        first.setdefault(difference.fate, difference)
    chosen = list(first.values())[:DIFFERS]
    chosen += [one for one in differs if one not in chosen][: DIFFERS - len(chosen)]
    return [one for one in differs if one in chosen]
