"""Write `hepsw-codes.7` from the table of codes.

Run it from the checkout after a change of the table: `python -m man.make_codes`. A test compares
the page with what `page` returns, so the two cannot drift apart.
"""
# ruff: noqa: INP001 - a script beside the page that it writes

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hepsw import __version__
from hepsw.config.codes import CODES, FAMILIES, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).with_name("hepsw-codes.7")
DATE: Final = "2026-11-23"

INTRODUCTION: Final = r"""
Every problem that
.B hepsw check
prints carries a code, and so do those that keep
.B hepsw run
from starting and a reload from being accepted.
The code is stable: the text behind it may be reworded in a later release, the code stays.
.PP
An error keeps a configuration from running.
A warning does not, and
.B hepsw check \-\-strict
exits with 1 for it.
.PP
Each example is a whole configuration that gives just this code.
Where more than one file is needed, a comment names each.
The lines under the cure are those that change; with them nothing is found any more.
.PP
.BI "hepsw check \-\-explain " CODE
prints one of these entries.
"""

ESCAPES: Final = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "^": r"\(ha", "~": r"\(ti", "`": r"\(ga"}
"""What roff would otherwise print as something else, or take for a request."""


def page() -> str:
    """Return the page."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield r".\" Made by make_codes.py from hepsw/config/codes.py: change it there."
    yield f'.TH HEPSW-CODES 7 "{DATE}" "hepsw {__version__}" "hepsw manual"'
    yield ".SH NAME"
    yield r"hepsw-codes \- the problems that hepsw finds in a configuration"
    yield ".SH DESCRIPTION"
    yield INTRODUCTION.strip()
    for digit, family in FAMILIES.items():
        yield f".SH {digit}XX: {family.upper()}"
        for code in CODES.values():
            if code.code[3] == digit:
                yield from _entry(code)
    yield ".SH SEE ALSO"
    yield ".BR hepsw (1),"
    yield ".BR hepsw.toml (5),"
    yield r".BR hepsw\-fields (7)"


def _entry(code: Code) -> Iterator[str]:
    yield f'.SS "{code.code}: {roff(code.title)}"'
    yield f"{code.severity.value.capitalize()}."
    yield from map(_sentence, code.cause)
    yield from _example(code.listing)
    yield ".PP"
    yield from map(_sentence, code.cure)
    if code.mended:
        yield from _example(code.mended)


def _example(text: str) -> Iterator[str]:
    yield ".PP"
    yield ".RS 4"
    yield ".EX"
    for line in text.splitlines():
        yield _start(roff(line))
    yield ".EE"
    yield ".RE"


def _sentence(text: str) -> str:
    parts = re.split(r"`([^`]+)`", text)
    return _start(
        "".join(rf"\fB{roff(part)}\fR" if at % 2 else _prose(part) for at, part in enumerate(parts))
    )


def _start(line: str) -> str:
    """Return a line that cannot be taken for a request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line


def _prose(text: str) -> str:
    """Return prose, with the names of manual pages in bold."""
    return re.sub(r"(hepsw[a-z.\\-]*)(\(\d\))", r"\\fB\1\\fR\2", text.replace("-", r"\-"))


def roff(text: str) -> str:
    """Return a text so that roff prints just that."""
    return "".join(
        ESCAPES.get(char, char) if char.isascii() else rf"\[u{ord(char):04X}]" for char in text
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
