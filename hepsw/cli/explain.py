"""`hepsw explain`: where one packet goes and why, told by the tables that the daemon would run."""

from __future__ import annotations

import os
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer

from hepsw.cli import exits
from hepsw.cli.given import WordError, Words
from hepsw.cli.loading import loaded_or_exit, print_text
from hepsw.cli.paths import ConfigOption, config_file
from hepsw.compiler import compile_program
from hepsw.config.configuration import Case
from hepsw.config.diagnostics import render
from hepsw.config.problems import Report
from hepsw.config.spelling import did_you_mean
from hepsw.config.writing import toml_text
from hepsw.fields import CATALOGUE, time_text
from hepsw.simulator.cases import run_cases
from hepsw.simulator.explain import Explainer
from hepsw.simulator.packets import START, GivenError, frame_of
from hepsw.simulator.telling import as_json, text

if TYPE_CHECKING:
    from collections.abc import Collection

    from hepsw.compiler import Program
    from hepsw.config.cases import CaseReader
    from hepsw.config.configuration import Configuration, Expect, Given
    from hepsw.simulator.explain import Explanation


def command(
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIELD=VALUE...",
            help="What the packet is, as a test gives it: sip.method=INVITE src_ip=192.0.2.7",
            show_default=False,
        ),
    ] = None,
    *,
    hex_: Annotated[
        str | None,
        typer.Option("--hex", metavar="HEX", help="A whole HEP frame.", show_default=False),
    ] = None,
    pcap: Annotated[
        Path | None,
        typer.Option("--pcap", metavar="FILE", help="A file of HEP frames.", show_default=False),
    ] = None,
    number: Annotated[
        int, typer.Option("-n", metavar="N", min=1, help="Which frame of the file, from 1.")
    ] = 1,
    config: ConfigOption = None,
    listener: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where it arrives [the first].", show_default=False),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="Where it enters [as its listener says].", show_default=False
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it arrives, RFC 3339.", show_default=False),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Exit with 1 unless it is so: relay=a,b, drop=lab, path=main/a,main/b ...",
            show_default=False,
        ),
    ] = None,
    as_test: Annotated[
        bool, typer.Option("--as-test", help="Print a test that holds now, to be pasted.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Explain where a packet goes: every rule it meets, what its fate depends on, what is near.

    It is judged by the compiled tables; nothing is sent, and rules remember no other packets. Exit
    status: 0 explained, 1 something expected did not come, 2 what is given is no packet, 74 the
    file cannot be read, 78 the configuration is invalid.
    """
    loaded, configuration = loaded_or_exit(config_file(config))
    if table is not None:
        _check_name("table", table, configuration.tables)
    if listener is not None:
        _check_name("listener", listener, [known.name for known in configuration.listeners])
    assert loaded.cases is not None  # noqa: S101 - a valid configuration has been read
    words = Words(loaded.cases.names)
    try:
        _take(words, hex_, pcap, number, at=at, listener=listener)
        for word in fields or ():
            words.field(word)
        for word in expect or ():
            words.expected(word)
    except WordError as error:
        _refuse(str(error), exits.USAGE)
    if not words.given:
        _refuse("give a packet: FIELD=VALUE, --hex or --pcap", exits.USAGE)
    given, expected = _read(words, loaded.cases, table)
    if given.capture is not None:
        try:
            frame_of(*given.capture)
        except GivenError as error:
            _refuse(str(error), exits.IO)
    program = compile_program(configuration)
    try:
        explanation = Explainer(configuration, program).explain(given, table)
    except GivenError as error:
        _refuse(str(error), exits.USAGE)
    if as_test:
        print_text(_as_test(words.given, explanation, configuration, table))
    elif json:
        told = as_json(explanation, configuration)
        print_text(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        print_text(text(explanation, configuration))
    if expected is not None:
        _compare(configuration, program, given, expected, table)


def _take(
    words: Words,
    hex_: str | None,
    pcap: Path | None,
    number: int,
    *,
    at: str | None,
    listener: str | None,
) -> None:
    """Take what is given by options.

    Raises:
        WordError: a time that is none.
    """
    if hex_ is not None:
        words.option("hex", "".join(hex_.split()), f"--hex {hex_}")
    if pcap is not None:
        words.option("pcap", str(pcap.absolute()), f"--pcap {pcap}")
        words.option("frame", number, f"-n {number}")
    if at is not None:
        words.option("at", _seconds(at), f"--at {at}")
    if listener is not None:
        words.option("listener", listener, f"--listener {listener}")


def _read(words: Words, cases: CaseReader, table: str | None) -> tuple[Given, Expect | None]:
    """Return what the words mean, or exit with what is wrong in them."""
    sources = words.sources
    cases.report = Report(sources)
    given = cases.packet(words.given, ("given",))
    expect = cases.expect(words.expect, ("expect",), table) if words.expect else None
    found = sources.problems.sorted()
    if given is None or found:
        color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        sys.stderr.write(render(found, sources.texts, color=color) + "\n")
        raise typer.Exit(exits.USAGE)
    return given, expect


def _seconds(at: str) -> str:
    """Return a moment as tests write it: counted from the first packet of a test."""
    try:
        moment = CATALOGUE["time"].parse(at)
    except ValueError as error:
        raise WordError(f"--at: {error}") from None
    assert isinstance(moment, int)  # noqa: S101 - that is how times are read
    seconds = moment / 1_000_000 - START
    if seconds < 0:
        raise WordError(f"--at: {at} is before {time_text(int(START * 1_000_000))}")
    return f"{seconds:.6f}s"


def _check_name(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        meant = did_you_mean(name, known, foreign={})
        hint = f"did you mean `{meant}`?" if meant else f"there are {', '.join(known)}"
        _refuse(f"unknown {what} `{name}`; {hint}", exits.USAGE)


def _refuse(message: str, status: int) -> NoReturn:
    sys.stderr.write(f"hepsw explain: {message}\n")
    raise typer.Exit(status)


def _compare(
    configuration: Configuration, program: Program, given: Given, expect: Expect, table: str | None
) -> None:
    case = Case("--expect", (), table, None, (given,), expect)
    (result,) = run_cases(configuration, program, [case])
    for failure in result.failures:
        sys.stderr.write(f"hepsw explain: --expect {failure.key}: {failure.text}\n")
    if result.failures:
        raise typer.Exit(exits.FINDINGS)


def _as_test(
    given: dict[str, Any],
    explanation: Explanation,
    configuration: Configuration,
    table: str | None,
) -> str:
    """Write a test that holds now."""
    fate, walked = explanation.fate, explanation.walked
    expect: dict[str, Any] = {"path": list(explanation.path)}
    for key, known in (("relay", configuration.destinations), ("store", configuration.stores)):
        chosen = [name for name in known if name in walked.named]
        if chosen or key == "relay":
            expect[key] = chosen
    if fate.trace:
        expect["trace"] = [name for name in configuration.traces if name in fate.trace]
    if fate.drop is not None:
        expect["drop"] = fate.drop
    elif fate.missed:
        expect["missed"] = True
    test = {"given": given, "expect": expect}
    if table is None or walked.tables[0] == table == _entry(given, configuration):
        return toml_text({"tests": [{"name": "as explained", **test}]})
    rules = [path for path in explanation.path if path.startswith(f"{table}/")]
    if not rules:
        _refuse(
            f"no rule of `{table}` matched: there is none that this test could stand under",
            exits.USAGE,
        )
    block = toml_text({"tests": [test]}).replace("[[tests]]", f"[[rules.{table}.test]]", 1)
    return f"# behind the rule `{rules[-1].partition('/')[2]}`\n{block}"


def _entry(given: dict[str, Any], configuration: Configuration) -> str | None:
    """Return the table that the packet would enter by its listener."""
    for listener in configuration.listeners:
        if given.get("listener", listener.name) == listener.name:
            return listener.entry
    return None
