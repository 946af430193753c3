"""What is judged and tested by this release, but not yet carried out.

`hepsw check` says so below its findings; a start and a reload refuse it by name, so that no key is
silently without effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hepsw.config import models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hepsw.config.problems import Report
    from hepsw.config.spans import Path

HINT: Final = "it is judged and tested, but cannot run in this release"


def refuse_what_does_not_run(
    data: Mapping[str, Any], report: Report, *, running: bool
) -> tuple[str, ...]:
    """Return what is written and not carried out, in a few words each.

    Args:
        data: the merged files, found to be sound or reported.
        report: gets an error for each, if `running`.
        running: the configuration is about to run.
    """
    found = []
    for words, path in _written(data):
        found.append(words)
        if running:
            report.key_error("HEP108", f"{words} is not yet supported", path, HINT)
    return tuple(dict.fromkeys(found))


def _written(data: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for name, model in models.SETTINGS.items():
        block = data.get(name)
        for key in block if isinstance(block, dict) else ():
            if key in models.NOT_RUN.get(model, ()):
                # `listen` alone would be taken for another key.
                yield f"`{name}.{key}`", (name, key)
