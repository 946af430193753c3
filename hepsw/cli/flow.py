"""`hepsw flow`: a call as a ladder."""

from __future__ import annotations

import shutil
from enum import Enum
from typing import Annotated, Final

import orjson
import typer

from hepsw.cli import exits
from hepsw.cli.loading import print_text
from hepsw.cli.paths import ConfigOption  # noqa: TC001 - typer reads the annotations
from hepsw.cli.progress import watched
from hepsw.cli.stored import Stored, StoreOption
from hepsw.recall.as_json import as_json
from hepsw.recall.ladder import ladder
from hepsw.recall.mermaid import mermaid
from hepsw.recall.svg import svg
from hepsw.recall.text import text

WIDTH: Final = 120
"""Columns where no terminal says how many it has."""


class Drawing(Enum):
    """How it is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"
    JSON = "json"


def command(
    call: Annotated[str, typer.Argument(metavar="CALL", help="A Call-ID, or a correlation id.")],
    *,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_text: Annotated[
        bool, typer.Option("--text", help="For terminals and tickets; what is drawn anyway.")
    ] = False,
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="A Mermaid sequence diagram.")
    ] = False,
    as_svg: Annotated[bool, typer.Option("--svg", help="A picture.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    width: Annotated[
        int | None,
        typer.Option(
            metavar="COLUMNS",
            min=40,
            max=10_000,
            help=f"Of the text [the terminal's, or {WIDTH}].",
            show_default=False,
        ),
    ] = None,
    ascii_only: Annotated[
        bool, typer.Option("--ascii", help="Draw the text with ASCII alone.")
    ] = False,
) -> None:
    """Draw a call: who took part, each message once, in order, those of all its legs.

    Exit status: 0 drawn, 1 no such call, 2 a store or options that do not go, 69 the database is
    not to be reached, 74 the store cannot be read, 78 the configuration is invalid.
    """
    chosen = [
        drawing
        for drawing, wanted in zip(Drawing, (as_text, as_mermaid, as_svg, json), strict=True)
        if wanted
    ]
    stored = Stored("flow", config, store)
    if len(chosen) > 1:
        options = " and ".join(f"--{drawing.value}" for drawing in chosen)
        stored.refuse(f"choose one of {options}", exits.USAGE)
    views = stored.gathered(call).views
    drawn = ladder(watched(views, "packets read", len(views)))
    match chosen[0] if chosen else Drawing.TEXT:
        case Drawing.MERMAID:
            print_text(mermaid(drawn))
        case Drawing.SVG:
            print_text(svg(drawn))
        case Drawing.JSON:
            print_text(orjson.dumps(as_json(drawn), option=orjson.OPT_INDENT_2).decode() + "\n")
        case Drawing.TEXT:
            columns = width or shutil.get_terminal_size((WIDTH, 24)).columns
            print_text(text(drawn, columns, ascii_only=ascii_only))
