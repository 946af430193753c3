"""Ladders as text, Mermaid and SVG: golden drawings, widths, and nothing that does harm."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from recall.kept import golden
from recall.stories import STORIES

from hepsw.recall.as_json import as_json
from hepsw.recall.ladder import ladder
from hepsw.recall.mermaid import mermaid
from hepsw.recall.shown import cells, cut, printable, shown, width
from hepsw.recall.svg import svg
from hepsw.recall.text import text

EVERY = pytest.mark.parametrize("name", STORIES)


@EVERY
def test_text(name):
    """The text is the golden one."""
    golden(f"{name}.txt", text(ladder(STORIES[name]()), 120))


@EVERY
def test_mermaid(name):
    """The Mermaid source is the golden one."""
    golden(f"{name}.mmd", mermaid(ladder(STORIES[name]())))


@pytest.mark.parametrize("name", ["demo", "two-nodes", "hostile"])
def test_svg(name):
    """The picture is the golden one."""
    golden(f"{name}.svg", svg(ladder(STORIES[name]())))


def test_readme():
    """The ladder that the README shows is what comes out of such packets."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown_ = re.search(r"```console\n\$ hepsw flow [^\n]*\n(.*?)```", readme, re.DOTALL)[1]
    assert shown_ == text(ladder(STORIES["evening"]()), 100)


@EVERY
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_page(name, columns):
    """Whatever packets say, each line of the text fits and can be printed."""
    for line in text(ladder(STORIES[name]()), columns).splitlines():
        assert width(line) <= columns
        assert line.isprintable()
        assert line == line.rstrip()


@EVERY
def test_ascii(name):
    """With ASCII asked for there is nothing else, and arrows are still arrows."""
    drawn = text(ladder(STORIES[name]()), 80, ascii_only=True)
    assert drawn.isascii()
    assert ">" in drawn


@EVERY
def test_svg_is_xml(name):
    """The picture can be parsed, and holds text and lines alone."""
    root = ET.fromstring(svg(ladder(STORIES[name]())))  # noqa: S314 - our own
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "style", "path", "text", "circle"}


@EVERY
def test_mermaid_statements(name):
    """Each line of the Mermaid source is one statement of ours, whatever its text."""
    first, *lines = mermaid(ladder(STORIES[name]())).splitlines()
    assert first == "sequenceDiagram"
    statement = re.compile(
        r"    (participant p\d+ as |p\d+(->>|-->>|-x|-\))p\d+: |Note over p\d+(,p\d+)?: )(.*)"
    )
    for line in lines:
        words = statement.fullmatch(line)[4]
        left = re.sub(r"#\d+;", "", words)
        assert not set(left) & set(";#%<>&\"'`{}\\"), line


@EVERY
def test_json_numbers_what_it_names(name):
    """In JSON, ends, legs and nodes of a message are numbers of those listed."""
    drawn = as_json(ladder(STORIES[name]()))
    for message in drawn["messages"]:
        assert message["from"] < len(drawn["participants"])
        assert message["to"] < len(drawn["participants"])
        assert message["leg"] < len(drawn["legs"])
        assert all(seen["node"] < len(drawn["nodes"]) for seen in message["seen"])


@pytest.mark.parametrize(
    ("octets", "text_"),
    [
        (None, ""),
        (b"", ""),
        (b"a b", "a b"),
        (b"\x1b[31m", r"\x1b[31m"),
        (b"a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        (b"\xff", r"\xff"),
        ("\u202eabc".encode(), r"\u202eabc"),
        ("ñ你".encode(), "ñ你"),
        (b"x" * 300, "x" * 199 + "…"),
        ("你".encode() * 300, "你" * 99 + "…"),
    ],
)
def test_shown(octets, text_):
    """What cannot be printed is written out, and what is long is cut."""
    assert shown(octets) == text_


def test_marks_upon_marks():
    """Marks piled upon a letter are written out beyond a few."""
    assert printable("e" + "\u0301" * 6) == "e" + "\u0301" * 4 + r"\u0301\u0301"


def test_columns():
    """Wide characters take two columns, marks none; a cut never passes the width."""
    assert width("a你e\u0301") == 4
    assert cut("你你你", 4) == "你…"
    assert cut("abc", 0) == ""
    assert cells("a你e\u0301") == ["a", "你", "", "e\u0301"]
