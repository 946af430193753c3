"""The scanner must name the same paths as tomllib, at the characters they were written with."""

import json
import tomllib

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from steps import steps

from hepsw.config.spans import MAX_DEPTH, Place, Scanner, Span, scan

KEYS = ["a", "b", "key-1", "_2", "a.b", "", "ü x", 'say "x"', "it's", "tab\t", "#", "=", "[c]"]
BARE = set("abcdefghijklmnopqrstuvwxyz0123456789_-")
SCALARS = [
    *("0", "-17", "+1_000", "0xDEAD_beef", "0o17", "0b11", "3.5", "-1e6", "6.6E-3", "inf", "-nan"),
    *("true", "false", "1979-05-27", "07:32:00.5", "1979-05-27 07:32:00Z"),
    *("1979-05-27T07:32:00", "1979-05-27 00:32:00.99-07:00"),
    *('""', "''", '"a # no, comment]"', "'C:\\dir\\'", r'"q\"\\"'),
    *(r'"\u00fc \t"', "'\"'", '"日本\U0001f600"'),
    *('""""""', "''''''", '"""one "line" """', '"""two quotes"""""', "'''it''s'''''"),
    *('"""\nfirst\n  second = "x"\n[[no.header]]\n"""', "'''\n# none\n''\n'''"),
    *('"""a \\\n   b \\""" c"""', '"""\n"""'),
]  # fmt: skip
BREAKS = [" ", "\n", "\n  # comment ] , \" '\n", " # }\n\n\t"]


@st.composite
def names(draw, key):
    """Write a key bare where that is possible, else in either kind of quotes."""
    if key and BARE.issuperset(key) and draw(st.booleans()):
        return key
    if draw(st.booleans()) and not {"'", "\t"} & set(key):
        return f"'{key}'"
    return json.dumps(key, ensure_ascii=draw(st.booleans()))


@st.composite
def dotted(draw, keys):
    """Write a dotted key, with blanks around some of its dots."""
    written = [draw(names(key)) for key in keys]
    return draw(st.sampled_from([".", " . ", ".\t"])).join(written)


@st.composite
def values(draw, depth=0):
    """Write a scalar, an array over any number of lines, or an inline table."""
    form = draw(st.sampled_from(["scalar", "scalar", "array", "inline"])) if depth < 3 else "scalar"
    if form == "scalar":
        return draw(st.sampled_from(SCALARS))
    if form == "inline":
        pairs = draw(assignments(depth + 1))
        return "{" + " , ".join(pairs) + draw(st.sampled_from(["}", " }"]))
    blank = st.sampled_from(BREAKS)
    elements = draw(st.lists(values(depth + 1), max_size=3))
    written = "".join(f"{draw(blank)}{element}{draw(blank)}," for element in elements)
    if elements and draw(st.booleans()):
        written = written[:-1]
    return f"[{written}{draw(blank)}]"


@st.composite
def assignments(draw, depth=0, taken=()):
    """Write the pairs of one table; a key is either given or led through by dotted keys."""
    free = [key for key in KEYS if key not in taken]
    pairs = []
    for key in draw(st.lists(st.sampled_from(free), max_size=3, unique=True)):
        tails = draw(st.lists(st.sampled_from(KEYS), max_size=2, unique=True))
        given_keys = [[key, tail] for tail in tails] or [[key]]
        pairs += [f"{draw(dotted(keys))} = {draw(values(depth))}" for keys in given_keys]
    return pairs


@st.composite
def tables(draw, path=()):
    """Write a table below `path`, and what is below it: tables, arrays of tables, or neither."""
    below = draw(st.lists(st.sampled_from(KEYS), max_size=2 if len(path) < 3 else 0, unique=True))
    lines = draw(assignments(taken=below))
    if path and (lines or not below or draw(st.booleans())):
        lines.insert(0, f"[{draw(dotted(path))}] # header")
    for key in below:
        child = (*path, key)
        if draw(st.booleans()):
            lines += draw(tables(child))
            continue
        for _ in range(draw(st.integers(1, 2))):
            lines += [f"[[ {draw(dotted(child))} ]]", *draw(assignments(taken=["b"]))]
            if draw(st.booleans()):
                lines.append(f"[{draw(dotted((*child, 'b')))}]")
    return lines


documents = st.builds(
    lambda lines, newline: "\n".join(lines).replace("\n", newline),
    tables(),
    st.sampled_from(["\n", "\r\n"]),
)

plain_data = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.booleans() | st.integers(-9, 2**40) | st.floats() | st.text(max_size=9) | st.dates(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)


def paths_of(value, path=()):
    """Walk tomllib's result as a diagnostic would."""
    steps = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for step, below in steps:
        yield (*path, step), below
        yield from paths_of(below, (*path, step))


def cut(text, span):
    line = text.split("\n")[span.line - 1]
    return line[span.column - 1 : span.end - 1]


def check_places(text):
    found = scan(text)
    expected = dict(paths_of(tomllib.loads(text)))
    assert set(found) == set(expected)
    for path, value in expected.items():
        place = found[path]
        name = path[-1] if isinstance(path[-1], str) else path[-2]
        if place.key is not None:
            assert tomllib.loads(f"{cut(text, place.key)} = 0") == {name: 0}
        written = cut(text, place.value)
        if isinstance(value, (dict, list)) or written.startswith(("'''", '"""')):
            continue
        assert repr(tomllib.loads(f"x = {written}")["x"]) == repr(value)  # nan equals nan


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(documents)
def test_paths_and_characters_of_written_documents(text):
    """Whatever the notation, paths are those of tomllib and spans cover what was written."""
    check_places(text)
    scanner = Scanner(text)
    assert (scanner.conflict, scanner.refusal, scanner.opened) == (None, None, [])


@given(plain_data)
def test_paths_and_characters_of_random_data(data):
    """The same holds for random data as a TOML library writes it."""
    check_places(tomli_w.dumps(data))


@given(st.text(alphabet="ab.=[]{}\"'\\,# \n\r\t1é"))
def test_any_text_is_survived(text):
    """What is not TOML ends the walk without an exception."""
    scan(text)


RULES = """\
# two rules
[destinations]
lab = { url = "udp://10.0.0.9:9060", queue.packets = 10 }

[[rules.route]]
name = "first"
match.sip.method = [
  "INVITE",  # calls
  "BYE",
]

[[rules.route]]
name = '''
second'''
[rules.route.set]
"0x0003:0x0065" = "x"
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("destinations",), "destinations", "[destinations]"),
        (("destinations", "lab"), "lab", '{ url = "udp://10.0.0.9:9060", queue.packets = 10 }'),
        (("destinations", "lab", "queue"), "queue", "queue"),
        (("destinations", "lab", "queue", "packets"), "packets", "10"),
        (("rules",), "rules", "rules"),
        (("rules", "route", 0), "route", "[[rules.route]]"),
        (("rules", "route", 0, "match"), "match", "match"),
        (("rules", "route", 0, "match", "sip", "method"), "method", "["),
        (("rules", "route", 0, "match", "sip", "method", 1), None, '"BYE"'),
        (("rules", "route", 1), "route", "[[rules.route]]"),
        (("rules", "route", 1, "name"), "name", "'''"),
        (("rules", "route", 1, "set"), "set", "[rules.route.set]"),
        (("rules", "route", 1, "set", "0x0003:0x0065"), '"0x0003:0x0065"', '"x"'),
    ],
)
def test_what_a_span_covers(path, key, value):
    """A key span covers the last name; a value span the value, a header, or an implied name."""
    place = scan(RULES)[path]
    assert (place.key and cut(RULES, place.key), cut(RULES, place.value)) == (key, value)


def test_elements_of_an_array_of_tables_have_their_own_headers():
    """Each rule is found at its own header; the array at the first one."""
    places = scan(RULES)
    assert places["rules", "route"] == Place(Span(5, 9, 5), Span(5, 1, 15))
    assert places["rules", "route", 0] == Place(Span(5, 9, 5), Span(5, 1, 15))
    assert places["rules", "route", 1] == Place(Span(12, 9, 5), Span(12, 1, 15))


def test_a_header_takes_over_from_an_implied_table():
    """A table that a longer header implied moves to its own header, when there is one."""
    places = scan("[a.b]\n[a]\nx = 1\n")
    assert places["a",] == Place(Span(2, 2, 1), Span(2, 1, 3))


def test_columns_are_characters():
    """Columns count characters, not octets or cells of a terminal."""
    assert scan('"日本" = "é" # x')["日本",] == Place(Span(1, 1, 4), Span(1, 8, 3))


def test_line_ends_of_windows():
    """A carriage return belongs to the line end, not to a value that goes on behind it."""
    assert scan("a = [\r\n1]\r\nb = 2\r\n") == {
        ("a",): Place(Span(1, 1, 1), Span(1, 5, 1)),
        ("a", 0): Place(None, Span(2, 1, 1)),
        ("b",): Place(Span(3, 1, 1), Span(3, 5, 1)),
    }


@pytest.mark.parametrize(
    "text",
    [
        "a=" + "[" * 10**5,
        "a=" + "{a=" * 10**5,
        "a." * 10**5,
        "[" + "a." * 10**5,
        "a=1\n[b]\n" + "a." * MAX_DEPTH + "a=1",
        "[" + "a." * (MAX_DEPTH - 1) + "a]\nb = 1",
    ],
)
def test_depth_is_refused(text):
    """Nesting beyond the limit is refused where it begins, however much of it follows."""
    scanner = Scanner(text)
    assert scanner.refusal is not None
    assert scanner.refusal.text == f"nested deeper than {MAX_DEPTH} levels"


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '"' * 10**5, 'a="' + "\\" * 10**5, "a='''" + "'" * 10**5, "a=[#" * 10**5]
)
def test_hostile_text_takes_linear_time(text):
    """Repeated opening characters neither recurse nor backtrack."""
    Scanner(text)


def test_work_is_linear_in_the_rules():
    """Eight times the rules are eight times the steps."""
    rule = '[[rules.route]]\nname = "r{0}"\nmatch.sip.method = ["INVITE", "BYE"]\nrelay = "x"\n'
    rule += 'set.capture_id = {0}\nlog = {{ level = "info", text = "{{sip.call_id}}" }}\n'

    def work(rules):
        text = "".join(rule.format(number) for number in range(rules))
        return steps(lambda: scan(text))

    assert work(800) < 9 * work(100)
