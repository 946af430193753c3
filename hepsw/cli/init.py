"""`hepsw init`: a whole configuration for a known job, to begin with.

The templates lie in `hepsw/templates/`, and are written byte for byte. Nothing that is there is
ever overwritten: an operator's file is worth more than ours.
"""

from __future__ import annotations

import os
import sys
import tomllib
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from hepsw.cli import exits
from hepsw.config.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

TEMPLATES: Final = {
    "opensips": "an OpenSIPS HEPswitch: SIP read and forked to two collectors, the rest to a third",
    "collector": "everything into HOMER's tables on Postgres, without pings and scanners",
    "tenants": "collectors and a limit for each tenant, by capture id; failover",
    "privacy": "keep all, share a tenth of the calls with a vendor, anonymised",
    "quality": "RTCP and voice quality, evidence of bad calls, logs within a limit",
    "tunnel": "from the edge to the core: geo chunks, TLS, waiting on disk",
}
"""Every template, with what it is for."""

MAIN: Final = "hepsw.toml"
"""What a template is called where it is written."""

NEXT: Final = """\
Put your addresses in, then
  hepsw check   every problem, each at its place
  hepsw graph   which way packets go
  hepsw run     the switch, in the foreground
For an editor that completes and explains:
  hepsw schema > hepsw.schema.json
"""


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Which template; without it they are listed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write hepsw.toml and the set files it names into this folder, never over anything.

    Exit status: 0 written or listed, 2 no such template, 74 a file is there already, or could not
    be written.
    """
    if name is None:
        sys.stdout.write(listed())
        return
    if name not in TEMPLATES:
        meant = did_you_mean(name, TEMPLATES, foreign={})
        hint = f"; did you mean `{meant}`?" if meant else ""
        sys.stderr.write(f"hepsw init: no template `{name}`{hint}\n{listed()}")
        raise typer.Exit(exits.USAGE)
    _write(template(name))
    sys.stdout.write(NEXT)


def listed() -> str:
    """Return the templates, one a line."""
    width = max(map(len, TEMPLATES))
    return "".join(f"{name:<{width}}  {line}\n" for name, line in TEMPLATES.items())


def template(name: str) -> dict[str, bytes]:
    """Return the files of a template: `hepsw.toml` and the set files that it names."""
    folder: Traversable = resources.files("hepsw") / "templates"
    main = (folder / f"{name}.toml").read_bytes()
    sets = tomllib.loads(main.decode("utf-8")).get("sets", {})
    named = [written["file"] for written in sets.values() if isinstance(written, dict)]
    return {MAIN: main, **{file: (folder / file).read_bytes() for file in named}}


def _write(files: Mapping[str, bytes]) -> None:
    """Write all files or none."""
    # A symbolic link that leads nowhere is there too.
    there = [name for name in files if os.path.lexists(name)]
    if there:
        is_are = "is" if len(there) == 1 else "are"
        _fail(f"{', '.join(there)} {is_are} here already; nothing was written")
    done: list[Path] = []
    for name, octets in files.items():
        path = Path(name)
        try:
            # O_EXCL: what came between the look and now is not overwritten either.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            done.append(path)
            with open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor has no path
                stream.write(octets)
        except OSError as error:
            for written in done:
                with suppress(OSError):
                    written.unlink()
            _fail(f"cannot write {name}: {error.strerror}; nothing was written")
    for path in done:
        sys.stdout.write(f"wrote {path}\n")


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"hepsw init: {message}\n")
    raise typer.Exit(exits.IO)
