"""A picture of a configuration as text: a tree for the terminal, a flowchart for mermaid.

Only text is made here; what leads where is found out by `picture.py`, and conditions and actions
are put into words by `config/words.py` and `config/rule_words.py`.

Source: https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hepsw.compiler.picture import always_matches, can_miss
from hepsw.config.configuration import TO_TABLES, Flow
from hepsw.config.rule_words import flow_words, map_words, output_words, rule_words
from hepsw.config.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepsw.compiler.picture import Entry, Picture
    from hepsw.config.configuration import (
        Configuration,
        DestinationSettings,
        Listener,
        Rule,
        Table,
    )
    from hepsw.config.models import Trace

DEEPEST: Final = 6
"""Tables inside each other; a table further in is drawn by itself."""

FIRST_READ: Final = "the payload is first read here"
EVERYTHING: Final = "no rules: every packet goes to every destination and store"
MISSED: Final = "dropped, counted missed"


# --- the tree ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """Lines, and what hangs below them."""

    lines: list[str]
    below: list[_Node] = field(default_factory=list)

    def draw(self, first: str = "", rest: str = "") -> Iterator[str]:
        """Yield lines, the first and the others each behind their stretch of branches."""
        trunk = "│ " if self.below else "  "
        for at, line in enumerate(self.lines):
            yield _visible(first + line if at == 0 else rest + trunk + line)
        for node in self.below:
            last = node is self.below[-1]
            yield from node.draw(
                rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")
            )


def tree(configuration: Configuration, picture: Picture) -> str:
    """Draw the paths from the listeners, the outputs, and the tables that nothing leads to."""
    return _Tree(configuration, picture).text()


class _Tree:
    """Draws each table once, where a path comes to it first."""

    def __init__(self, configuration: Configuration, picture: Picture) -> None:
        self.configuration = configuration
        self.picture = picture
        self._drawn: set[str] = set()
        self._later: list[str] = []
        """Tables that are drawn by themselves, below."""

    def text(self) -> str:
        roots = [self._entry(entry) for entry in self.picture.entries]
        while self._later:
            roots.append(self._table(self._later.pop(0), 0))
        outputs = _Node(["outputs"], [_Node([line]) for line in _outputs(self.configuration)])
        if outputs.below:
            roots.append(outputs)
        if self.picture.unreachable:
            tables = [_Node([line]) for line in self._unreachable()]
            roots.append(_Node(["never entered"], tables))
        return "\n\n".join("\n".join(root.draw()) for root in roots)

    def _entry(self, entry: Entry) -> _Node:
        first, *others = [f"listener {_listener(listener)}" for listener in entry.listeners]
        below = _Node([EVERYTHING]) if entry.table is None else self._reach(entry.table, 0)
        # The lines of the other listeners stand at the same depth as the first.
        return _Roots([first, *others], [below])

    def _reach(self, name: str, depth: int, caller: str = "") -> _Node:
        """Draw a table, or say where it is drawn."""
        if name in self._later:
            return _Node([f"table {name} (below)"])
        if name in self._drawn:
            return _Node([f"table {name} (above)"])
        if depth >= DEEPEST:
            self._later.append(name)
            return _Node([f"table {name} (below)"])
        return self._table(name, depth, caller)

    def _table(self, name: str, depth: int, caller: str = "") -> _Node:
        self._drawn.add(name)
        table = self.configuration.tables[name]
        node = _Node([_title(table)])
        node.below = [self._rule(rule, depth) for rule in table.rules]
        if can_miss(table):
            back = f"back behind {caller}" if caller else ""
            node.below.append(_Node([f"miss: {back or _miss(self.configuration, table)}"]))
        return node

    def _rule(self, rule: Rule, depth: int) -> _Node:
        node = _Node([f"{rule.name}: {words(rule.condition)}"])
        if rule.path in self.picture.first_reads:
            node.lines.append(f"◆ {FIRST_READ}")
        node.lines += rule_words(rule, self.configuration.stores)
        node.lines.append(flow_words(rule))
        if rule.flow in TO_TABLES:
            caller = rule.path if rule.flow is Flow.CALL else ""
            node.below.append(self._reach(rule.target, depth + 1, caller))
        return node

    def _unreachable(self) -> Iterator[str]:
        for name in self.picture.unreachable:
            rules = self.configuration.tables[name].rules
            yield f"table {name}: {', '.join(rule.name for rule in rules) or 'no rules'}"


class _Roots(_Node):
    """Several roots of one tree."""

    def draw(self, first: str = "", rest: str = "") -> Iterator[str]:
        yield from map(_visible, self.lines)
        yield from _Node([], self.below).draw(first, rest)


def _visible(line: str) -> str:
    """Return a line without what a terminal would obey: names may hold any character."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def _title(table: Table) -> str:
    return f"table {table.name}{'' if table.reads_payload else ' (never reads a payload)'}"


def _listener(listener: Listener) -> str:
    url = str(listener.url)
    return url if listener.name == url else f"{listener.name}: {url}"


def _miss(configuration: Configuration, table: Table) -> str:
    written = (*output_words(table.miss, configuration.stores), *map_words(table.miss_maps))
    return "; ".join(written) or MISSED


def _outputs(configuration: Configuration) -> Iterator[str]:
    for name, store in configuration.stores.items():
        yield f"store {name}: {store.shown}"
    for name, destination in configuration.destinations.items():
        yield f"destination {name}: {_destination(destination)}"
    for name, trace in configuration.traces.items():
        yield f"trace {name}{_off(trace)}: {', '.join(trace.to)}"


def _destination(destination: DestinationSettings) -> str:
    urls = ", ".join(map(str, destination.urls))
    return f"{destination.policy} of {urls}" if len(destination.urls) > 1 else urls


def _off(trace: Trace) -> str:
    return "" if trace.enabled else " (off)"


# --- mermaid -------------------------------------------------------------------------------------


def mermaid(configuration: Configuration, picture: Picture) -> str:
    """Write the same as a flowchart that mermaid renders."""
    return "\n".join(_Flowchart(configuration, picture).lines())


class _Flowchart:
    """Nodes have numbers, since names may be words of mermaid's own."""

    def __init__(self, configuration: Configuration, picture: Picture) -> None:
        self.configuration = configuration
        self.picture = picture
        self._tables = {name: f"t{at}" for at, name in enumerate(configuration.tables)}
        self._outputs = {name: f"o{at}" for at, name in enumerate(configuration.pass_through)}

    def lines(self) -> Iterator[str]:
        yield "flowchart LR"
        listeners = [
            (entry.table, listener)
            for entry in self.picture.entries
            for listener in entry.listeners
        ]
        for at, (_, listener) in enumerate(listeners):
            yield f"  l{at}([{_label('listener', _listener(listener))}])"
        for name, table in self.configuration.tables.items():
            yield from self._subgraph(name, table)
        for name, node in self._outputs.items():
            shape = "[({})]" if name in self.configuration.stores else "[/{}/]"
            kind = "store" if name in self.configuration.stores else "destination"
            yield f"  {node}{shape.format(_label(f'{kind} {name}'))}"
        for at, (entry_table, _) in enumerate(listeners):
            if entry_table is not None:
                yield f"  l{at} --> {self._first(entry_table)}"
            else:
                yield from (f"  l{at} --> {node}" for node in self._outputs.values())
        for table in self.configuration.tables.values():
            yield from self._edges(table)
        reading = [
            f"{self._tables[table.name]}r{at}"
            for table in self.configuration.tables.values()
            for at, rule in enumerate(table.rules)
            if rule.path in self.picture.first_reads
        ]
        if reading:
            yield "  classDef reads stroke-width:3px"
            yield f"  class {','.join(reading)} reads"

    def _subgraph(self, name: str, table: Table) -> Iterator[str]:
        own = self._tables[name]
        lost = " (never entered)" if name in self.picture.unreachable else ""
        yield f"  subgraph {own}[{_label(_title(table) + lost)}]"
        for at, rule in enumerate(table.rules):
            lines = [rule.name, words(rule.condition)]
            if rule.path in self.picture.first_reads:
                lines.append(f"◆ {FIRST_READ}")
            lines += rule_words(rule, self.configuration.stores)
            lines.append(flow_words(rule))
            yield f"    {own}r{at}[{_label(*lines)}]"
        if can_miss(table) or not table.rules:
            maps = "; ".join(map_words(table.miss_maps))
            yield f"    {own}m([{_label('miss', maps or ('' if table.miss else MISSED))}])"
        yield "  end"

    def _first(self, table: str) -> str:
        own = self._tables[table]
        return f"{own}r0" if self.configuration.tables[table].rules else f"{own}m"

    def _edges(self, table: Table) -> Iterator[str]:
        own = self._tables[table.name]
        for at, rule in enumerate(table.rules):
            here = f"{own}r{at}"
            last = at + 1 == len(table.rules)
            behind = f"{own}m" if last else f"{own}r{at + 1}"
            if rule.flow in TO_TABLES:
                yield f"  {here} ==>|{rule.flow.value}| {self._first(rule.target)}"
            if not rule.flow.decides:
                if not last or can_miss(table):
                    yield f"  {here} --> {behind}"
            elif not always_matches(rule):
                yield f"  {here} -->|else| {behind}"
            for output in rule.outputs:
                yield f"  {here} -.-> {self._outputs[output]}"
            for name in rule.traces:
                trace = self.configuration.traces[name]
                for output in trace.to:
                    label = _label(f"trace {name}{_off(trace)}")
                    yield f"  {here} -.->|{label}| {self._outputs[output]}"
        if can_miss(table):
            yield from (f"  {own}m -.-> {self._outputs[output]}" for output in table.miss)


def _label(*lines: str) -> str:
    """Write lines as one label in quotes.

    Whatever could be read as quotes, markup, an entity, a comment or a directive is written by its
    number; so is the colon, because mermaid cuts lines that look like `style …:…#…;`.
    """
    written = (
        re.sub(r"[^\w .,/=()|…→↓⇄⇒✕■◆-]", lambda found: f"#{ord(found[0])};", _visible(line))
        for line in lines
        if line
    )
    return f'"{"<br/>".join(written)}"'
