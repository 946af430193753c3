"""Tests of the configuration: what is given, and what is expected, as values.

`[[rules.t.test]]` and `[[tests]]` are read here and run by `hepsw.simulator`. What a test gives are
the fields of a packet; what follows from others (sizes, maps, verdicts) cannot be given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hepsw.config import models
from hepsw.config.conditions import Equal
from hepsw.config.configuration import Case, Expect, Given
from hepsw.config.names import UnknownFieldError, flattened
from hepsw.config.spelling import did_you_mean
from hepsw.config.units import duration
from hepsw.config.validate import salvaged
from hepsw.config.values import value_test
from hepsw.fields import HEADER, Field, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path as FilePath

    from hepsw.config.conditions import Condition
    from hepsw.config.match import MatchReader
    from hepsw.config.names import Names
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path
    from hepsw.fields import Reading, Value

DERIVED: Final = {
    "ip": "give `src_ip` or `dst_ip`",
    "port": "give `src_port` or `dst_port`",
    "size": "it is counted",
    "payload_size": "give `payload`",
    "call": "give `sip.call_id` or `correlation_id`",
    "sip.verdict": "give a `payload`, or the packet as `{ hex }`",
    "sip.message": "give a `payload`, or the packet as `{ hex }`",
}
"""Fields that follow from others, with what to give instead."""

CONTEXT: Final = ("peer_", "local_", "listener", "geo.")
"""Beginnings of fields that are not in the packet: they may stand beside a whole frame."""

PACKETS: Final = 10_000
"""Packets that one test may give, each as often as its `times` says: a reload waits for them."""


class CaseReader:
    """Reads the tests of one configuration; what is wrong is reported, and that test left out."""

    def __init__(
        self,
        names: Names,
        matches: MatchReader,
        report: Report,
        *,
        rules: Mapping[str, Collection[str]],
        destinations: Collection[str],
        stores: Collection[str],
        traces: Collection[str],
    ) -> None:
        self.names = names
        self.matches = matches
        self.report = report
        self.rules = rules
        """Names of the rules by table."""
        self.outputs = {"relay": destinations, "store": stores, "trace": traces}

    def path_tests(self, written: object) -> list[Case]:
        """Read `[[tests]]`."""
        if not isinstance(written, list):
            self.report.key_error("HEP105", "`tests` wants `[[tests]]`, two brackets", ("tests",))
            return []
        found = []
        for at, block in enumerate(written):
            test = salvaged(models.PathTest, block, ("tests", at), self.report)
            if test is not None:
                found.append(self._case(test, ("tests", at), None, None))
        return [case for case in found if case is not None]

    def rule_test(self, written: models.RuleTest, table: str, rule: str, path: Path) -> Case | None:
        """Read one `[[rules.t.test]]`."""
        return self._case(written, path, table, f"{table}/{rule}")

    def _case(
        self, written: models.RuleTest, path: Path, table: str | None, rule: str | None
    ) -> Case | None:
        given = expect = None
        if not self.report.is_unread((*path, "given")):
            given = self._given(written.given, (*path, "given"))
        if not self.report.is_unread((*path, "expect")):
            expect = self.expect(written.expect, (*path, "expect"), table)
        if given is None or expect is None:
            return None
        number = f"test {path[-1] + 1}" if isinstance(path[-1], int) else "test"
        name = written.name or (f"{rule}: {number}" if rule else number)
        return Case(name, path, table, rule, given, expect)

    # --- given ---

    def _given(self, written: Any, path: Path) -> tuple[Given, ...] | None:
        if not isinstance(written, list):
            packets = [self.packet(written, path)]
        elif len(written) > PACKETS:
            packets = []
        else:
            packets = [self.packet(block, (*path, at)) for at, block in enumerate(written)]
        given = tuple(packet for packet in packets if packet is not None)
        if not packets or sum(packet.times for packet in given) > PACKETS:
            self.report.error("HEP116", f"a test gives 1 to {PACKETS} packets", path)
            return None
        for at in range(1, len(given)):
            if given[at].at_s < given[at - 1].at_s:
                self.report.error(
                    "HEP116", "`at` counts from the first packet and never falls", (*path, at, "at")
                )
                return None
        return given if len(given) == len(packets) else None

    def packet(self, written: Any, path: Path) -> Given | None:
        """Read one packet that is given."""
        if not isinstance(written, dict):
            self.report.error("HEP116", "a packet is given as a table of its fields", path)
            return None
        frame = capture = None
        at_s, times = 0.0, 1
        readings: list[tuple[Field, Reading]] = []
        sound = True
        whole = "hex" in written or "pcap" in written
        for name, value, place in flattened(written, path):
            try:
                match name:
                    case "hex":
                        frame = _octets(value)
                    case "pcap":
                        number = written.get("frame", 1)
                        capture = (self._file(value, place), _counted("frame", number))
                    case "frame":
                        _check_frame(written)
                    case "at":
                        at_s = duration("0s" if value == 0 else value)
                    case "times":
                        times = _counted(name, value)
                    case _:
                        field = self._field(name, whole=whole)
                        readings.append((field, self._reading(field, value)))
            except UnknownFieldError as error:
                self.report.key_error(error.code, str(error), place, error.hint)
                sound = False
            except ValueError as error:
                self.report.error("HEP116", str(error), place)
                sound = False
        if frame is not None and capture is not None:
            self.report.error("HEP116", "a packet is given by `hex` or by `pcap`", path)
            sound = False
        return Given(tuple(readings), frame, capture, at_s, times) if sound else None

    def _file(self, written: object, path: Path) -> FilePath:
        if not isinstance(written, str) or not written or "\0" in written:
            raise ValueError("`pcap` is the name of a file")
        return self.report.sources.folder(path) / written

    def _field(self, name: str, *, whole: bool) -> Field:
        field = self.names.field(name)
        if name in DERIVED or name.startswith("map."):
            instead = DERIVED.get(name, "give the field that the map looks up")
            text = f"`{name}` follows from other fields and cannot be given"
            raise UnknownFieldError(text, "HEP116", instead)
        if whole and not name.startswith(CONTEXT):
            text = f"`{name}` is in the frame that is given already"
            raise UnknownFieldError(text, "HEP116", "beside a frame: peer, listener, geo")
        return field

    def _reading(self, field: Field, written: Any) -> Reading:
        if field.name.startswith(HEADER) and isinstance(written, list):
            if not written:
                raise ValueError(f"`{field.name}` without a value: leave it out")
            return tuple(self._value(field, one) for one in written)
        return self._value(field, written)

    @staticmethod
    def _value(field: Field, written: Any) -> Value:
        if isinstance(written, dict) and set(written) == {"hex"}:
            if field.kind not in {Kind.TEXT, Kind.OCTETS}:
                raise ValueError(f"`{field.name}` is not given by its octets")
            return _octets(written["hex"])
        if isinstance(written, (list, dict)):
            raise ValueError(f"a packet has one value of `{field.name}`: write that")
        test = value_test(field, written, literal=True)
        assert isinstance(test, Equal)  # noqa: S101 - what is literal is one value
        (value,) = test.values
        return value

    # --- expect ---

    def expect(self, written: Mapping[str, Any], path: Path, table: str | None) -> Expect | None:
        """Read what is expected.

        Args:
            written: the keys with their values.
            path: where they stand.
            table: of rules that are named without one.
        """
        if not written:
            self.report.error("HEP116", "a test that expects nothing shows nothing", path)
            return None
        found: dict[str, Any] = {}
        sound = True
        for key, value in written.items():
            place = (*path, key)
            try:
                found[key] = self._expected(key, value, place, table)
            except KeyError:
                known = list(Expect.__dataclass_fields__)
                meant = did_you_mean(key, known, foreign={})
                hint = f"did you mean `{meant}`?" if meant else f"expect: {' '.join(known)}"
                self.report.key_error("HEP104", f"unknown key `{key}`", place, hint)
                sound = False
            except ValueError as error:
                self.report.error("HEP116", str(error), place)
                sound = False
        return Expect(**found) if sound else None

    def _expected(self, key: str, value: Any, path: Path, table: str | None) -> Any:
        match key:
            case "rule":
                return self._rule(value, path, table)
            case "path":
                if not isinstance(value, list):
                    raise ValueError("`path` is a list of rules, each `table/name`")
                return tuple(self._rule(rule, (*path, at), table) for at, rule in enumerate(value))
            case "relay" | "store" | "trace":
                return self._names(key, value, path)
            case "drop" | "log":
                if not isinstance(value, str):
                    raise ValueError(f"`{key}` is a text")
                return value
            case "missed":
                if not isinstance(value, bool):
                    raise ValueError("`missed` is true or false")
                return value
            case "after":
                return self._after(value, path)
            case _:
                raise KeyError(key)

    def _rule(self, written: Any, path: Path, table: str | None) -> str:
        if not isinstance(written, str):
            raise ValueError("a rule is named `table/name`")
        rule = written if "/" in written or table is None else f"{table}/{written}"
        in_table, _, name = rule.partition("/")
        if name not in self.rules.get(in_table, ()):
            known = [f"{t}/{rule}" for t, rules in self.rules.items() for rule in rules]
            self.report.unknown("HEP217", "rule", rule, path, known)
        return rule

    def _names(self, key: str, written: Any, path: Path) -> frozenset[str]:
        names = written if isinstance(written, list) else [written]
        code, what = {
            "relay": ("HEP201", "destination"),
            "store": ("HEP207", "store"),
            "trace": ("HEP211", "trace"),
        }[key]
        for at, name in enumerate(names):
            if not isinstance(name, str):
                raise ValueError(f"`{key}` is a list of names")
            if name not in self.outputs[key]:
                place = (*path, at) if isinstance(written, list) else path
                self.report.unknown(code, what, name, place, self.outputs[key])
        return frozenset(names)

    def _after(self, written: Any, path: Path) -> Condition:
        if not isinstance(written, dict) or not written:
            raise ValueError("`after` is a match block")
        return self.matches.read(written, path)


def _octets(written: object) -> bytes:
    if isinstance(written, str):
        try:
            return bytes.fromhex(written)
        except ValueError:
            pass
    raise ValueError("not octets in hexadecimal")


def _check_frame(written: Mapping[str, Any]) -> None:
    if "pcap" not in written:
        raise ValueError("`frame` counts the frames of a `pcap`")


def _counted(key: str, written: object) -> int:
    if isinstance(written, bool) or not isinstance(written, int) or written < 1:
        raise ValueError(f"`{key}` is a number from 1")
    return written


def names_of(rules: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return the names of the rules of each table as written, those switched off included."""
    return {
        table: [
            block["name"]
            for block in blocks
            if isinstance(block, dict) and isinstance(block.get("name"), str)
        ]
        for table, blocks in rules.items()
        if isinstance(blocks, list)
    }
