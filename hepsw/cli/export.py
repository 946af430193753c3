"""`hepsw export`: a call as a capture file."""

from __future__ import annotations

import gzip
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from hepsw.cli import exits
from hepsw.cli.paths import ConfigOption  # noqa: TC001 - typer reads the annotations
from hepsw.cli.progress import watched
from hepsw.cli.stored import Stored, StoreOption
from hepsw.recall.pcap import write_capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepsw.recall.pcap import Exported
    from hepsw.view import View

STANDARD_OUTPUT: Final = Path("-")


def command(
    call: Annotated[str, typer.Argument(metavar="CALL", help="A Call-ID, or a correlation id.")],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to write; `-` is standard output, `.gz` at its end compresses.",
            show_default=False,
        ),
    ],
    config: ConfigOption = None,
    store: StoreOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> None:
    """Write all packets of a call, those of all its legs, as a pcap file.

    Exit status: 0 written, 1 no such call, 2 the file is there already, or a store that there is
    none of, 69 the database is not to be reached, 74 the store cannot be read or the file not
    written, 78 the configuration is invalid.
    """
    stored = Stored("export", config, store)
    is_file = output != STANDARD_OUTPUT
    if is_file and not force and output.is_file():
        stored.refuse(f"{output} is there already; --force writes over it", exits.USAGE)
    views = stored.gathered(call).views
    try:
        told = _to_file(output, views, force=force) if is_file else _to_output(views)
    except FileExistsError:
        stored.refuse(f"{output} is there already; --force writes over it", exits.USAGE)
    except OSError as error:
        stored.refuse(f"cannot write {output}: {error.strerror}", exits.IO)
    left_out = sum(told.left_out.values())
    if left_out:
        reasons = ", ".join(f"{reason} {number}" for reason, number in told.left_out.items())
        stored.say(f"{left_out} packets that no datagram can hold left out: {reasons}")
    if is_file:
        stored.say(f"{told.written} packet{'s' if told.written != 1 else ''} in {output}")


def _to_output(views: Sequence[View]) -> Exported:
    told = _write(sys.stdout.buffer, views)
    sys.stdout.buffer.flush()
    return told


def _to_file(output: Path, views: Sequence[View], *, force: bool) -> Exported:
    """Write beside the file, and give it its name when it is whole."""
    if output.exists() and not output.is_file():
        # A pipe or a device is written to; another file in its place would be its end.
        with output.open("wb") as stream:
            return _packed(stream, views, output)
    if force and output.is_symlink():
        output = output.resolve()
    half = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with half.open("xb") as stream:
            told = _packed(stream, views, output)
        if force:
            half.replace(output)
        else:
            _name(half, output)
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)
    return told


def _name(half: Path, output: Path) -> None:
    """Give a file its name, unless somebody else has made one of that name meanwhile."""
    try:
        output.hardlink_to(half)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has links. A look and a renaming leave little time between.
        if os.path.lexists(output):
            raise FileExistsError from None
        half.rename(output)


def _packed(stream: BinaryIO, views: Sequence[View], output: Path) -> Exported:
    if output.suffix != ".gz":
        return _write(stream, views)
    # Without the name and time of the half: the same call gives the same octets.
    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
        return _write(io.BufferedWriter(packed), views)


def _write(stream: BinaryIO | io.BufferedWriter, views: Sequence[View]) -> Exported:
    told = write_capture(stream, watched(views, "packets written", len(views)))
    stream.flush()
    return told
