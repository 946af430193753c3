"""Every text that is not TOML must be explained at the place where it can be mended."""

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.config.spans import Place, Scanner, Span
from hepsw.config.toml import TomlSyntax, locate_toml_error, read_toml

QUOTES_NEEDED = "not a TOML value: `{}` (text needs quotes)"
NO_BREAKS = "TOML 1.0 does not allow line breaks between the keys of an inline table"
NO_COMMA = "TOML 1.0 does not allow a comma after the last key of an inline table"
NO_EQUALS = "expected `=` after the key"
NO_VALUE = "a value is missing"
NO_KEY = "a key is missing"
OWN_LINE = "each key and each header needs a line of its own"


@pytest.mark.parametrize(
    ("text", "message", "span"),
    [
        # given twice
        ("a = 1\nb = 2\na = 3\n", "`a` is given twice, first on line 1", Span(3, 1, 1)),
        ("[a]\n[b]\n[a]\n", "`a` is given twice, first on line 1", Span(3, 2, 1)),
        ("a = 1\n[[a]]", "`a` is given twice, first on line 1", Span(2, 3, 1)),
        ("[[a]]\n[a]", "`a` is given twice, first on line 1", Span(2, 2, 1)),
        ("a = { b = 1, b = 2 }", "`a.b` is given twice, first on line 1", Span(1, 14, 1)),
        ("a = {b = 1}\na.c = 2", "`a` is given twice, first on line 1", Span(2, 1, 1)),
        ("[a.b]\n[a]\nb.c = 1", "`a.b` is given twice, first on line 1", Span(3, 1, 1)),
        ('"x y" = 1\n"x y" = 2', '`"x y"` is given twice, first on line 1', Span(2, 1, 5)),
        (
            '[[r.t]]\nname = "a"\n[[r.t]]\nname = "b"\nname = "c"\n[z]\n',
            "`r.t.name` is given twice, first on line 4",
            Span(5, 1, 4),
        ),
        # never closed
        ("a = [1, [2, 3]", "`[` is never closed", Span(1, 5, 1)),
        ("a = [\n  1,\n  2\n\nb = 3\n", "`[` is never closed", Span(1, 5, 1)),
        ("a = [\n  1\n[[rules.x]]\n", "`[` is never closed", Span(1, 5, 1)),
        ("a = [1,\n", "`[` is never closed", Span(1, 5, 1)),
        ("a = {b = 1", "`{` is never closed", Span(1, 5, 1)),
        ("a = {", "`{` is never closed", Span(1, 5, 1)),
        ('a = "x\nb = 1', "this string is not closed on its line", Span(1, 5, 2)),
        ('a = "x\r\nb = 1', "this string is not closed on its line", Span(1, 5, 2)),
        ("a = ['x", "this string is not closed on its line", Span(1, 6, 2)),
        ('"a = 1', "this string is not closed on its line", Span(1, 1, 6)),
        ('a = """x\ny = 1\n', "this string is not closed", Span(1, 5, 4)),
        ("a = '''x\ny = 1\n", "this string is not closed", Span(1, 5, 4)),
        ("[a\nb = 1", "the header does not end with `]`", Span(1, 3, 1)),
        ("[[a]\nb = 1", "the header does not end with `]]`", Span(1, 4, 1)),
        # values
        ("a = fork", QUOTES_NEEDED.format("fork"), Span(1, 5, 4)),
        ("a = 10.0.0.1 # lab", QUOTES_NEEDED.format("10.0.0.1"), Span(1, 5, 8)),
        ("a = 5060-5090", QUOTES_NEEDED.format("5060-5090"), Span(1, 5, 9)),
        ("a = [500ms]", QUOTES_NEEDED.format("500ms"), Span(1, 6, 5)),
        ("a = 16MiB", QUOTES_NEEDED.format("16MiB"), Span(1, 5, 5)),
        ("a = {b = udp://x}", QUOTES_NEEDED.format("udp://x"), Span(1, 10, 7)),
        ("a =\nb = 1", NO_VALUE, Span(1, 4, 1)),
        ("a =", NO_VALUE, Span(1, 4, 1)),
        ("a = 2026-02-30", "no such date or time", Span(1, 5, 10)),
        ('a = "x", "y" # two', "several values need brackets around them: `[…, …]`", Span(1, 8, 5)),
        ('a = "x" "y"', OWN_LINE, Span(1, 9, 3)),
        ("[a] b = 1", OWN_LINE, Span(1, 5, 5)),
        ('a = [\n"x"\n"y"\n]', "expected `,` or `]`", Span(3, 1, 1)),
        ("a = {b = 1 c = 2}", "expected `,` or `}`", Span(1, 12, 1)),
        ("a = " + "1" * 5000, "a number with too many digits", Span(1, 5, 5000)),
        # inside strings
        (
            r'a = "\d+"',
            r"unknown escape `\d`: double the backslash, or use single quotes",
            Span(1, 6, 2),
        ),
        (r'a = "\u12"', "not the number of a character", Span(1, 6, 4)),
        (r'a = "\ud800"', "not the number of a character", Span(1, 6, 6)),
        ('a = "\x01"', "U+0001 is not allowed here", Span(1, 6, 1)),
        ("# \x01", "U+0001 is not allowed here", Span(1, 3, 1)),
        # keys
        ("a: 1", "a key and its value are parted by `=`, not by `:`", Span(1, 2, 1)),
        ("a b = 1", NO_EQUALS, Span(1, 3, 1)),
        ("a\n", NO_EQUALS, Span(1, 2, 1)),
        ("a", NO_EQUALS, Span(1, 2, 1)),
        ("= 1", NO_KEY, Span(1, 1, 1)),
        ("[]", NO_KEY, Span(1, 2, 1)),
        ("a.\nb = 1", NO_KEY, Span(1, 3, 1)),
        ("größe.x = 1", "`ö` cannot stand in a key without quotes", Span(1, 3, 1)),
        ("ü = 1", "`ü` cannot stand in a key without quotes", Span(1, 1, 1)),
        ("\u00a0a = 1", "U+00A0 cannot stand in a key without quotes", Span(1, 1, 1)),
        ("\ufeffa = 1", "a byte order mark; save the file as UTF-8 without one", Span(1, 1, 1)),
        # what TOML 1.1 allows
        ("a = {\n  b = 1\n}", NO_BREAKS, Span(1, 5, 1)),
        ("a = { b = 1, # c\n  d = 1 }", NO_BREAKS, Span(1, 5, 9)),
        ("a = { b = 1, }", NO_COMMA, Span(1, 12, 1)),
        # nesting
        ("a = " + "[" * 10**5, "nested deeper than 64 levels", Span(1, 69, 1)),
        ("a." * 10**5, "nested deeper than 64 levels", Span(1, 129, 1)),
    ],
)
def test_explained(text, message, span):
    """Message and span say what to change, not where the parser gave up."""
    with pytest.raises(TomlSyntax) as raised:
        read_toml(text)[0]
    assert (raised.value.message, raised.value.span) == (message, span)


def test_the_exception_says_where():
    """Printed alone, the error shows its line and column."""
    with pytest.raises(TomlSyntax, match=r"^2:5: not a TOML value: `x` \(text needs quotes\)$"):
        read_toml("a = 1\nb = x\n")[0]


def test_places_come_with_the_data():
    """One call gives what tomllib reads and where it stands."""
    data, places = read_toml("[a]\nb = 'x'\n")
    assert data == read_toml("[a]\nb = 'x'\n")[0] == {"a": {"b": "x"}}
    assert places["a", "b"] == Place(Span(2, 1, 1), Span(2, 5, 3))


def test_an_unknown_message_is_passed_on():
    """A message that a later tomllib adds is shown as it is, at its place."""
    error = tomllib.TOMLDecodeError("Something new (at line 2, column 3)")
    assert locate_toml_error(error, "a = 1\nb = 2\n") == ("something new", Span(2, 3, 1))


fragments = st.sampled_from(
    [*"ab.=[]{}\"'\\,#-: \n\t1é\x00", "\r\n", '"""', "a=1\n", "a.b=1\n", "[a]\n", "[[a]]\n"]
)


@given(st.lists(fragments).map("".join))
def test_any_text_is_parsed_or_explained(text):
    """Whatever the text, the outcome is that of tomllib, or an error inside the text."""
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(TomlSyntax) as raised:
            read_toml(text)[0]
        span = raised.value.span
        lines = text.split("\n")
        assert span.line <= len(lines)
        assert span.column <= len(lines[span.line - 1]) + 1
    else:
        assert read_toml(text)[0] == expected


statements = st.sampled_from(
    [
        *("[a]", "[a.b]", "[[a]]", "[[a.b]]", "a=1", "a.b=1", "a.b.c=1", "b=1", "b.c=1"),
        *("a={}", "b={c=1}", "a=[]", "b=[{}]", "a={b=1,b=2}", "a={b.c=1,b=2}", "a={b={},b.c=2}"),
    ]
)


@given(st.lists(statements, max_size=6).map("\n".join))
def test_every_repetition_is_found(text):
    """Where tomllib says that a key cannot be given, the earlier mention is named."""
    try:
        read_toml(text)[0]
    except TomlSyntax as error:
        first = re.search(r"is given twice, first on line (\d+)$", error.message)
        assert first, error.message  # noqa: PT017 - where it points, when it does - some texts are fine
        assert int(first[1]) <= error.span.line  # noqa: PT017 - where it points, when it does
    else:
        assert Scanner(text).conflict is None
