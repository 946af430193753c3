"""Why a packet goes where it goes: the rules that it met, what its fate depends on, what is near.

The engine walks first; what it met is then told again, rule by rule. Nothing here decides: which
rules matched is the switch's word, and each clause is tried by the code that the tables run. Should
the two not fit together, that is a bug of ours and says so (`_Teller`).

A fate depends on fields that alone keep every rule as it was met: those of the rules that matched,
and of each one that did not, the fields of one clause that failed. Packets that are alike in them
go the same way, as far as rules remember nothing of other packets.

What would change the fate is tried: the packet with one field changed goes through the engine, and
only what comes out differently is told.

A table may have ten thousand rules. Each of their clauses is looked at once, and words are only
made for those that are told; the number of packets tried is bounded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby, islice, zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

from hepsw.compiler.explain import (
    Clause,
    Fields,
    Flip,
    clauses,
    deciding,
    failing,
    fields_of,
    flips,
    judged,
    there,
)
from hepsw.config.configuration import Flow, Scope
from hepsw.config.words import words
from hepsw.simulator.changes import Original
from hepsw.simulator.deeds import Deeds, gate_words, is_drawn
from hepsw.simulator.origins import Origins
from hepsw.simulator.walk import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hepsw.compiler import Program, Tree
    from hepsw.compiler.tree import Branch
    from hepsw.config.conditions import Condition
    from hepsw.config.configuration import Configuration, Given, Rule
    from hepsw.fields import Field, Reading
    from hepsw.simulator.walk import Walked
    from hepsw.view import View

LONG: Final = 50
"""In a table with more rules, those that failed are folded."""
NEAR: Final = 10
"""So many near misses of a long table are told one by one: those with the most clauses met."""
SHORT_RUN: Final = 3
"""Fewer rules than this are not folded."""
RUNS: Final = 200
"""Packets with a change that are tried, at most."""
FEWEST_RUNS: Final = 20
TESTS: Final = 100_000
"""Rules that all those packets together meet: where no index helps, fewer of them are tried."""
OCTETS: Final = "every octet"
"""In place of a field: a sample was drawn of the packet as a whole."""

_TO_TABLES: Final = frozenset({Flow.GOTO, Flow.CALL, Flow.RESUME})
_HELD: Final = {None: "", Scope.DIALOG: "call", Scope.TRANSACTION: "transaction"}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a packet."""

    kind: str
    """`routed`, `dropped`, `ended` or `missed`."""
    relay: frozenset[str]
    store: frozenset[str]
    """Destinations and stores, those of traces included."""
    trace: frozenset[str]
    drop: str | None
    """Why the walk ended, also where an output had the packet before."""
    missed: bool
    """No rule decided; also where an output has the packet."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule that a packet came to."""

    number: int
    """From 1, as it stands in its table."""
    rule: str
    """`table/name`."""
    matched: bool
    why: str
    """The condition that was met, or the clause that was not."""
    found: str
    """Of a rule that failed: what the packet has there."""
    did: tuple[str, ...]
    """Of a rule that matched: what it did, its flow last."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A run of rules that failed."""

    first: int
    last: int
    number: int
    fields: tuple[str, ...]
    """What they failed by, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A table that a packet entered, or came back to."""

    table: str
    back: bool
    """It was left by `call` before."""
    rules: tuple[Tried | Folded, ...]
    miss: str | None
    """What the table does with a packet that no rule decided; None: some rule did, or called it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One change of the packet that was tried, and came out differently."""

    field: Field
    reading: Reading
    """None: without the field."""
    fate: Fate


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is told of one packet."""

    visits: tuple[Visit, ...]
    """Empty where no rule is asked and everything goes everywhere."""
    fate: Fate
    path: tuple[str, ...]
    """`table/name` of the rules that matched, in order."""
    depends: tuple[str, ...]
    """Packets alike in these go the same way."""
    differs: tuple[Difference, ...]
    """The nearest first; each field with each fate once."""
    walked: Walked
    """What the engine says."""


class Explainer:
    """Explains packets by one program."""

    def __init__(self, configuration: Configuration, program: Program) -> None:
        self.configuration = configuration
        self.program = program
        self._simulator = Simulator(configuration, program)
        self._clauses: dict[str, tuple[Clause, ...]] = {}
        self.branches = {
            branch.path: (tree, branch)
            for tree in program.trees.values()
            for branch in tree.branches
        }

    def explain(self, given: Given, table: str | None = None) -> Explanation:
        """Explain one packet; rules remember nothing of others.

        Args:
            given: the packet.
            table: where it enters; None: at the entry of its listener.

        Raises:
            GivenError: what is given makes no packet.
        """
        original = Original(given, self.configuration)
        walked = self._judge(original.view, table)
        fate = self._fate(walked)
        teller = _Teller(self, walked, original.view)
        teller.tell()
        if table is None and len(set(self.program.entries.values())) > 1:
            teller.depends.must.setdefault("listener")
        return Explanation(
            visits=tuple(visit.told() for visit in teller.visits),
            fate=fate,
            path=tuple(walked.path),
            depends=teller.depends.fewest(),
            differs=tuple(self._differences(original, table, fate, teller)),
            walked=walked,
        )

    def clauses_of(self, branch: Branch) -> tuple[Clause, ...]:
        """Return the clauses of a rule's condition."""
        found = self._clauses.get(branch.path)
        if found is None:
            found = clauses(branch.rule.condition, branch.whole())
            self._clauses[branch.path] = found
        return found

    def _judge(self, view: View, table: str | None) -> Walked:
        if self.program.gated:
            self._simulator.forget()
        walked = self._simulator.judge(view, table)
        assert walked.fate != "dropped None", "the switch failed"  # noqa: S101 - a bug of ours
        return walked

    def _fate(self, walked: Walked) -> Fate:
        outputs = walked.outputs.keys()
        return Fate(
            kind=walked.fate.partition(" ")[0],
            relay=frozenset(outputs & self.configuration.destinations.keys()),
            store=frozenset(outputs & self.configuration.stores.keys()),
            trace=frozenset(walked.traces),
            drop=walked.drop,
            missed=walked.missed,
        )

    def _differences(
        self, original: Original, table: str | None, fate: Fate, teller: _Teller
    ) -> Iterator[Difference]:
        runs = min(RUNS, max(FEWEST_RUNS, TESTS // max(1, teller.tests)))
        tried: set[tuple[str, Reading]] = set()
        told: set[tuple[str, Fate]] = set()
        for field, reading in teller.changes():
            if len(tried) >= runs:
                return
            if (field.name, reading) in tried:
                continue
            tried.add((field.name, reading))
            view = original.changed(field, reading)
            if view is None:
                continue
            other = self._fate(self._judge(view, table))
            if other != fate and (field.name, other) not in told:
                told.add((field.name, other))
                yield Difference(field, reading, other)


# --- what a fate depends on ----------------------------------------------------------------------


class _Depends:
    """Collects the fields that keep rules as they were met."""

    def __init__(self) -> None:
        self.must: dict[str, None] = {}
        """Names of fields that nothing else can stand for, in order."""
        self._choices: Counter[frozenset[frozenset[str]]] = Counter()
        """For rules that failed: the sets of fields of which one has to stay as it is."""

    def choice(self, sets: Iterable[frozenset[str]]) -> None:
        """Take note of a rule that failed by several clauses."""
        self._choices[frozenset(sets)] += 1

    def fewest(self) -> tuple[str, ...]:
        """Return few fields that suffice: first those of most rules, and of those the fewest."""
        found = dict(self.must)
        open_ = dict(self._choices)
        while True:
            open_ = {
                sets: rules
                for sets, rules in open_.items()
                if not any(fields <= found.keys() for fields in sets)
            }
            if not open_:
                return tuple(found)
            settled: Counter[frozenset[str]] = Counter()
            for sets, rules in open_.items():
                for fields in sets:
                    settled[fields] += rules
            best = min(
                settled,
                key=lambda fields: (
                    len(fields - found.keys()) / settled[fields],
                    len(fields),
                    sorted(fields),
                ),
            )
            found.update(dict.fromkeys(sorted(best)))


# --- the walk, told again ------------------------------------------------------------------------


class _Failed(NamedTuple):
    """A rule that did not match."""

    branch: Branch
    failed: Sequence[Condition]
    """The clauses at fault; none where the condition holds and a gate kept it from matching."""
    met: int
    """So many clauses did hold."""
    view: View

    @property
    def is_near(self) -> bool:
        """One clause of several failed."""
        return len(self.failed) == 1 and self.met > 0


class _Visit:
    """A table under way."""

    def __init__(self, tree: Tree, *, back: bool, start: int) -> None:
        self.tree = tree
        self.back = back
        self.next = start
        """The first position that was not told yet."""
        self.rules: list[_Failed | Tried] = []
        self.miss: str | None = None

    def told(self) -> Visit:
        """Put it into words."""
        near = self._near()
        told: list[Tried | Folded] = []
        for plain, run in groupby(self.rules, key=lambda rule: self._is_plain(rule, near)):
            rules = list(run)
            if plain and len(rules) >= SHORT_RUN:
                told.append(_folded([rule for rule in rules if isinstance(rule, _Failed)]))
            else:
                told += [rule if isinstance(rule, Tried) else _failed(rule) for rule in rules]
        return Visit(self.tree.name, self.back, tuple(told), self.miss)

    def _near(self) -> set[int]:
        """Return the positions of the failed rules that are told all the same."""
        failed = [rule for rule in self.rules if isinstance(rule, _Failed)]
        near = [
            (-rule.met, rule.branch.position) for rule in failed if not rule.failed or rule.is_near
        ]
        return {position for _, position in sorted(near)[:NEAR]}

    def _is_plain(self, rule: _Failed | Tried, near: set[int]) -> bool:
        if isinstance(rule, Tried) or len(self.tree) <= LONG:
            return False
        return rule.branch.position not in near


def _failed(rule: _Failed) -> Tried:
    its_rule = rule.branch.rule
    if rule.failed:
        clause = rule.failed[0]
        why, found = words(clause), there(fields_of(clause).values(), rule.view)
        if rule.branch.scoped:
            found += f"; its {_HELD[its_rule.scope]} is not held"
    else:
        why, found = gate_words(its_rule, rule.view)
    return Tried(
        rule.branch.position + 1, its_rule.path, matched=False, why=why, found=found, did=()
    )


def _folded(rules: Sequence[_Failed]) -> Folded:
    fields = Counter(
        name for rule in rules for clause in rule.failed[:1] for name in fields_of(clause)
    )
    return Folded(
        rules[0].branch.position + 1,
        rules[-1].branch.position + 1,
        len(rules),
        tuple(name for name, _ in fields.most_common()),
    )


class _Teller:
    """Goes along a walk that the engine has done."""

    def __init__(self, explainer: Explainer, walked: Walked, view: View) -> None:
        self.visits: list[_Visit] = []
        self.depends = _Depends()
        self.tests = 0
        """Rules that the engine looked at, one time each."""
        self._explainer = explainer
        self._walked = walked
        self._view = view
        self._origins = Origins(view.packet.version)
        self._deeds = Deeds(explainer.configuration, explainer.program, walked)
        self._failed: list[_Failed] = []
        self._matched: list[tuple[Branch, View]] = []

    def tell(self) -> None:
        """Tell all of it.

        Raises:
            AssertionError: this is not how the engine went, a bug of ours.
        """
        walked, trees = self._walked, self._explainer.program.trees
        if not walked.tables:
            return
        tables = iter(walked.tables)
        callers: list[_Visit] = []
        visit = self._visit(trees[next(tables)], self._view)
        last = walked.last
        assert last is not None  # noqa: S101 - every walk ends
        afters = [*walked.befores[1:], last]
        for at, (path, view) in enumerate(zip(walked.path, walked.befores, strict=True), 1):
            tree, branch = self._explainer.branches[path]
            while visit.tree is not tree:
                visit = self._come_back(visit, callers, view)
            self._fail_up_to(branch.position, visit, view)
            verdict = self._verdict(branch) if at == len(walked.path) else None
            visit.rules.append(self._match(branch, view, afters[at - 1], verdict))
            visit.next = branch.position + 1
            if verdict is None and branch.flow in _TO_TABLES:
                if branch.flow is Flow.CALL:
                    callers.append(visit)
                else:
                    callers.clear()
                visit = self._visit(trees[next(tables)], view)
        if walked.missed:
            while callers:
                visit = self._come_back(visit, callers, last)
            self._fail_up_to(len(visit.tree), visit, last)
            self._miss(visit, last)
        assert next(tables, None) is None, "a table is left over"  # noqa: S101 - see above

    def _verdict(self, branch: Branch) -> str | None:
        """Return why `dedupe` or `limit` of the last rule dropped the packet, if one did."""
        drop = self._walked.drop
        by_itself = branch.flow is Flow.DROP and drop == branch.target
        return None if by_itself else drop

    def _visit(self, tree: Tree, view: View, *, back: bool = False, start: int = 0) -> _Visit:
        self.tests += sum(1 for _ in tree.candidates(view, start))
        visit = _Visit(tree, back=back, start=start)
        self.visits.append(visit)
        return visit

    def _come_back(self, visit: _Visit, callers: list[_Visit], view: View) -> _Visit:
        self._fail_up_to(len(visit.tree), visit, view)
        assert callers, "the walk goes on where nobody called"  # noqa: S101 - see `tell`
        caller = callers.pop()
        return self._visit(caller.tree, view, back=True, start=caller.next)

    def _fail_up_to(self, end: int, visit: _Visit, view: View) -> None:
        """Tell of the rules in front of a position that they did not match."""
        assert visit.next <= end, f"{visit.tree.name} is walked out of order"  # noqa: S101 - see `tell`
        for branch in visit.tree.branches[visit.next : end]:
            self._fail(visit, branch, view)
        visit.next = end

    # --- one rule ---

    def _fail(self, visit: _Visit, branch: Branch, view: View) -> None:
        rule = branch.rule
        asked = self._explainer.clauses_of(branch)
        failed = failing(asked, view)
        found = _Failed(branch, failed, len(asked) - len(failed), view)
        visit.rules.append(found)
        self._failed.append(found)
        if failed:
            self.depends.choice(
                self._origins.of(deciding(clause, view).values()) for clause in failed
            )
            return
        passed_on = rule.limit is not None and rule.limit.over_next
        assert passed_on or not is_drawn(rule, view), f"{rule.path} holds, and did not match"  # noqa: S101 - see `tell`
        self._settle(judged(rule.condition, view).fields)
        self._settle_gates(rule, view)

    def _match(self, branch: Branch, view: View, after: View, verdict: str | None) -> Tried:
        rule = branch.rule
        came = judged(rule.condition, view)
        held = not came.holds
        assert not held or branch.scoped, f"{rule.path} matched without cause"  # noqa: S101 - see `tell`
        self._matched.append((branch, view))
        self._settle(came.fields)
        if held:
            self.depends.must.update(dict.fromkeys(("call", "sip.cseq")))
        self._settle_gates(rule, view)
        if verdict is None:
            self._origins.edit(rule.edits)
            maps = (*rule.output_maps, *rule.trace_maps)
            self._settle({field.name: field for field in maps})
        return Tried(
            branch.position + 1,
            rule.path,
            matched=True,
            why=f"its {_HELD[rule.scope]} is held" if held else words(rule.condition),
            found="",
            did=tuple(self._deeds.of(branch, view, after, verdict)),
        )

    def _miss(self, visit: _Visit, view: View) -> None:
        self._settle({field.name: field for field in visit.tree.miss_maps})
        visit.miss = self._deeds.miss(visit.tree, view)

    def _settle(self, fields: Fields) -> None:
        for field in fields.values():
            self.depends.must.update(dict.fromkeys(sorted(self._origins.of([field]))))

    def _settle_gates(self, rule: Rule, view: View) -> None:
        if rule.sample is not None:
            self._settle({rule.sample.by.name: rule.sample.by})
            if rule.sample.by.read(view) is None:
                self.depends.must.setdefault(OCTETS)
        if rule.limit is not None and rule.limit.per is not None:
            self._settle({rule.limit.per.name: rule.limit.per})

    # --- what to try ---

    def changes(self) -> Iterator[Flip]:
        """Yield changes that may turn the fate over, the nearest first, no field before others."""
        near = [rule for rule in self._failed if rule.is_near]
        near.sort(key=lambda rule: rule.met, reverse=True)
        far = (rule for rule in self._failed if len(rule.failed) == 1 and not rule.met)
        yield from self._of_failed(near[:RUNS])
        for branch, view in reversed(self._matched):
            for clause in self._explainer.clauses_of(branch):
                yield from flips(clause.condition, view)
        yield from self._of_failed(islice(far, RUNS))

    @staticmethod
    def _of_failed(rules: Iterable[_Failed]) -> Iterator[Flip]:
        by_field: dict[str, list[Flip]] = {}
        for rule in rules:
            for flip in flips(rule.failed[0], rule.view):
                by_field.setdefault(flip.field.name, []).append(flip)
        for row in zip_longest(*by_field.values()):
            yield from (flip for flip in row if flip is not None)
