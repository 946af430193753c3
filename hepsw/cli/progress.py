"""A bar on the terminal for what takes longer than two seconds; nothing for what does not.

It is drawn on standard error, and only where that is a terminal: what a command prints stays whole.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.progress import Progress

Item = TypeVar("Item")

SECONDS: Final = 2.0
"""What is done within them needs no bar."""
EVERY: Final = 256
"""Items between two looks at the clock."""


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far something is.

    Args:
        what: is done, as `storing`.
        total: steps that there are, or about; None where nobody knows.

    Yields:
        What is called with the number of further steps that are done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    begun = time.monotonic()
    done = 0
    bar: Progress | None = None

    def step(steps: int) -> None:
        nonlocal bar, done
        done += steps
        if bar is None and time.monotonic() - begun >= SECONDS:
            bar = _bar()
            bar.start()
            bar.add_task(what, total=total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done, total=total and max(total, done))

    try:
        yield step
    finally:
        if bar is not None:
            bar.stop()


def watched(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items, and show how far that is.

    Args:
        items: whatever takes long to go through.
        what: as of `progress`.
        total: likewise.
    """
    with progress(what, total) as step:
        for number, item in enumerate(items, 1):
            yield item
            if number % EVERY == 0:
                step(EVERY)


def _bar() -> Progress:
    from rich.console import Console  # noqa: PLC0415 - what is quick does not pay for it
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
