"""Diagnostics are read by people in a hurry: each mistake once, with carets where it is."""

import unicodedata

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.config.diagnostics import (
    LINE_WIDTH,
    Diagnostic,
    Problems,
    Severity,
    render,
    to_json,
)
from hepsw.config.spans import Span
from hepsw.config.spelling import FOREIGN, did_you_mean

FILE = "rules/20-route.toml"


def found(text="wrong", span=None, hint=None, *, code="HEP104", severity=Severity.ERROR, file=FILE):
    return Diagnostic(code, severity, text, file, span, hint)


def shown(line, span, hint=None):
    """Return the two lines that show the source and the carets."""
    return render([found(span=span, hint=hint)], {FILE: line}).split("\n")[3:5]


def test_the_usual_shape():
    """Code, text, place, the line, and the hint behind the carets."""
    text = 'unknown key `mtach` in rule "fork" of table "route"'
    source = "\n" * 13 + 'mtach.proto_type = "SIP"\n'
    diagnostic = found(text, Span(14, 1, 5), "did you mean `match`?")
    assert (
        render([diagnostic], {FILE: source})
        == """\
error[HEP104]: unknown key `mtach` in rule "fork" of table "route"
  --> rules/20-route.toml:14:1
   |
14 | mtach.proto_type = "SIP"
   | ^^^^^ did you mean `match`?"""
    )


def test_a_long_hint_has_its_own_line():
    """What would not fit behind the carets follows as help; blocks are parted by an empty line."""
    hint = "this rule never gets a packet, because `fork` above it takes all of them"
    diagnostics = [
        found("unreachable", Span(2, 8, 3), hint, code="HEP301", severity=Severity.WARNING),
        found("unknown key", Span(1, 1, 1)),
    ]
    assert (
        render(diagnostics, {FILE: 'a = 1\r\nname = "x"\r\n'})
        == """\
warning[HEP301]: unreachable
 --> rules/20-route.toml:2:8
  |
2 | name = "x"
  |        ^^^
  = help: this rule never gets a packet, because `fork` above it takes all of them

error[HEP104]: unknown key
 --> rules/20-route.toml:1:1
  |
1 | a = 1
  | ^"""
    )


def test_without_a_place():
    """A mistake of the whole file names the file alone; its hint is a line of its own."""
    diagnostic = found("no rule in table `main`", hint="add one", file="hepsw.toml")
    assert (
        render([diagnostic], {"hepsw.toml": "a = 1"})
        == """\
error[HEP104]: no rule in table `main`
 --> hepsw.toml
  = help: add one"""
    )


@pytest.mark.parametrize("sources", [{}, {FILE: "one line"}])
def test_without_the_source(sources):
    """A line that is not at hand is named, not shown."""
    assert (
        render([found(span=Span(12, 3, 1))], sources)
        == "error[HEP104]: wrong\n  --> rules/20-route.toml:12:3"
    )


def test_nothing_to_show():
    """No diagnostics, no text."""
    assert render([], {}) == ""


@pytest.mark.parametrize(
    ("line", "span", "source", "carets"),
    [
        ("\tx = 1", Span(1, 2, 1), "1 |     x = 1", "  |     ^"),
        ("ab\tx = 1", Span(1, 4, 1), "1 | ab  x = 1", "  |     ^"),
        ('"日本" = 1', Span(1, 1, 4), '1 | "日本" = 1', "  | ^^^^^^"),
        ('"日本" = 1', Span(1, 6, 1), '1 | "日本" = 1', "  |        ^"),
        ('"e\u0301" = 1', Span(1, 6, 1), '1 | "e\u0301" = 1', "  |     ^"),
        ("a\x1b[2Jb\u202e = 1", Span(1, 6, 1), "1 | a·[2Jb· = 1", "  |      ^"),
        ("a =", Span(1, 4, 1), "1 | a =", "  |    ^"),
        ("", Span(1, 1, 1), "1 |", "  | ^"),
    ],
    ids=["tab", "tab stop", "wide key", "after wide", "combining", "control", "line end", "empty"],
)
def test_carets_stand_under_what_they_mean(line, span, source, carets):
    """Tabs, wide, combining and control characters keep the carets where they belong."""
    assert shown(line, span) == [source, carets]


@pytest.mark.parametrize(
    ("column", "before", "after"), [(1, "", "…"), (250, "…", "…"), (500, "…", "")]
)
def test_long_lines_are_cut(column, before, after):
    """Of a very long line the part around the caret is shown."""
    line = "".join(str(number % 10) for number in range(1, 501))
    source, carets = (text.removeprefix("1 | ").removeprefix("  | ") for text in shown(
        line, Span(1, column, 1)
    ))  # fmt: skip
    assert source.startswith(before)
    assert source.endswith(after)
    assert source.strip("…") in line
    assert len(source) <= LINE_WIDTH
    assert source[len(carets) - 1] == str(column % 10)


def columns(text):
    """Count the columns that a text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) == "Mn" for char in text)


@given(
    st.lists(st.sampled_from(["x", "日", "e\u0301", "\t", "\x07"]), max_size=400),
    st.integers(0, 400),
    st.integers(1, 400),
)
def test_carets_stay_in_view(before, gap, length):
    """Whatever stands before it, the caret is under its character, and lines stay short."""
    line = f"{''.join(before)}${' ' * gap}{'y' * length}"
    source, carets = shown(line, Span(1, line.index("$") + 1, 1))
    upto = source[: source.index("$")]
    assert carets.count("^") == 1
    assert columns(upto) == carets.index("^")
    assert columns(source) <= LINE_WIDTH + len("1 | ")
    _, carets = shown(line, Span(1, line.index("$") + 1, gap + length + 1))
    assert 1 <= carets.count("^") <= LINE_WIDTH


def test_messages_are_one_line_each():
    """What a message quotes from the file cannot break out of its line."""
    diagnostic = found("a\n\x1b[2J", hint="b\r", file="c\n.toml")
    assert render([diagnostic], {}) == "error[HEP104]: a··[2J\n --> c·.toml\n  = help: b·"


def test_colors():
    """Colour is on request, and changes nothing but the colour."""
    diagnostic = found(span=Span(1, 1, 1), hint="try b")
    painted = render([diagnostic], {FILE: "a = 1"}, color=True).split("\n")
    assert painted == [
        "\x1b[1;31merror[HEP104]\x1b[0m\x1b[1m: wrong\x1b[0m",
        " \x1b[1;34m-->\x1b[0m rules/20-route.toml:1:1",
        "\x1b[1;34m  |\x1b[0m",
        "\x1b[1;34m1 |\x1b[0m a = 1",
        "\x1b[1;34m  |\x1b[0m \x1b[1;31m^ try b\x1b[0m",
    ]


def test_json():
    """Machines get flat objects in the given order, with null for what is missing."""
    diagnostics = [found(span=Span(3, 1, 5), hint="match"), found(severity=Severity.WARNING)]
    assert orjson.loads(to_json(diagnostics)) == [
        {
            "code": "HEP104",
            "severity": "error",
            "text": "wrong",
            "file": FILE,
            "line": 3,
            "column": 1,
            "length": 5,
            "hint": "match",
        },
        {
            "code": "HEP104",
            "severity": "warning",
            "text": "wrong",
            "file": FILE,
            "line": None,
            "column": None,
            "length": None,
            "hint": None,
        },
    ]


def texts(problems):
    return [diagnostic.text for diagnostic in problems.sorted()]


def test_problems_are_sorted_by_place():
    """Files by name, then lines and columns as numbers; the whole file comes first."""
    problems = Problems()
    problems.warning("HEP301", "5", "b.toml", Span(1, 1, 1))
    problems.error("HEP104", "4", "a.toml", Span(10, 2, 1))
    problems.error("HEP104", "3", "a.toml", Span(10, 1, 1))
    problems.error("HEP104", "2", "a.toml", Span(9, 20, 1))
    problems.error("HEP101", "1", "a.toml")
    assert texts(problems) == ["1", "2", "3", "4", "5"]
    assert [diagnostic.text for diagnostic in problems.errors] == ["1", "2", "3", "4"]


def test_warnings_do_not_stop_the_configuration():
    """Only an error keeps the configuration from running."""
    problems = Problems()
    problems.warning("HEP301", "unused", FILE)
    assert not problems.has_errors
    problems.error("HEP104", "wrong", FILE)
    assert problems.has_errors


def test_the_consequences_of_an_error_are_dropped():
    """What lies inside a reported error is not reported again; what reaches beyond it is."""
    problems = Problems()
    problems.error("HEP104", "outer", FILE, Span(3, 5, 10))
    problems.error("HEP105", "same", FILE, Span(3, 5, 10))
    problems.warning("HEP401", "inside", FILE, Span(3, 8, 2))
    problems.error("HEP105", "beyond", FILE, Span(3, 8, 9))
    problems.error("HEP105", "next line", FILE, Span(4, 8, 2))
    problems.error("HEP105", "other file", "z.toml", Span(3, 8, 2))
    assert texts(problems) == ["outer", "beyond", "next line", "other file"]


def test_a_warning_hides_only_itself():
    """The same code at the same place is one mistake; inside a warning there may be others."""
    problems = Problems()
    problems.warning("HEP301", "outer", FILE, Span(3, 5, 10))
    problems.warning("HEP301", "again", FILE, Span(3, 5, 10))
    problems.warning("HEP302", "another", FILE, Span(3, 5, 10))
    problems.error("HEP104", "inside", FILE, Span(3, 8, 2))
    assert texts(problems) == ["outer", "another", "inside"]


def test_mistakes_without_a_place_differ_by_text():
    """Two missing files are two mistakes, the same one twice is one."""
    problems = Problems()
    for text in ("no a.pem", "no b.pem", "no a.pem"):
        problems.error("HEP201", text, FILE)
    assert texts(problems) == ["no a.pem", "no b.pem"]


RULE_KEYS = ["match", "scope", "sample", "set", "unset", "log", "relay", "store", "resume", "drop"]
FIELDS = ["src_ip", "src_port", "proto_type", "capture_id", "sip.method"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("mtach", "match"),
        ("Relay", "relay"),
        ("resume_sip", "resume"),
        ("hep_resume_sip", "resume"),
        ("hep_relay", "relay"),
        ("forward", "relay"),
        ("sip_capture", "store"),
        ("hep_del", "unset"),
        ("xlog", "log"),
        ("type", "proto_type"),
        ("DBAddr", "stores"),
        ("host", "url"),
        ("src_prot", "src_port"),
        ("zzz", None),
    ],
)
def test_did_you_mean(word, meant):
    """A typo, a word of another program, or a name that belongs elsewhere."""
    assert did_you_mean(word, RULE_KEYS, FIELDS) == meant


def test_a_typo_beats_a_foreign_word():
    """A foreign word counts only where no legal name is close."""
    assert did_you_mean("discard", ["discards"]) == "discards"
    assert did_you_mean("discard", ["match"]) == "drop"


def test_a_word_is_never_its_own_correction():
    """A name that is legal elsewhere, in the wrong place, is not suggested again."""
    assert did_you_mean("src_ip", RULE_KEYS, ["src_ip"]) is None


def test_foreign_words_are_looked_up_in_lower_case():
    """An entry with a capital letter could never be found."""
    assert [word for word in FOREIGN if word != word.lower()] == []
