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
    for words, path, at_key in _written(data):
        found.append(words)
        if running:
            tell = report.key_error if at_key else report.error
            tell("HEP108", f"{words} is not yet supported", path, HINT)
    return tuple(dict.fromkeys(found))


def _written(data: Mapping[str, Any]) -> Iterator[tuple[str, Path, bool]]:
    stores = data.get("stores")
    for key, block in (stores if isinstance(stores, dict) else {}).items():
        yield from _of_block(models.Store, block, ("stores", key))
    for name in ("switch", "control", "http"):
        if name in data:
            yield from _of_block(models.SETTINGS[name], data[name], (name,))


def _of_block(
    model: type[models.Block], block: object, path: Path
) -> Iterator[tuple[str, Path, bool]]:
    written = block if isinstance(block, dict) else {"url": block}
    # `listen` alone would be taken for another key.
    before = f"{path[0]}." if len(path) == 1 else ""
    for key in written:
        if key in models.NOT_RUN[model]:
            yield f"`{before}{key}`", (*path, key), True
    yield from _of_urls(model, written.get("url"), path, is_key=isinstance(block, dict))


def _of_urls(
    model: type[models.Block], written: object, path: Path, *, is_key: bool
) -> Iterator[tuple[str, Path, bool]]:
    if model not in models.SCHEMES_NOT_RUN:
        return
    place = (*path, "url") if is_key else path
    if isinstance(written, dict):
        yield "a url from a secret", place, False
        return
    urls = written if isinstance(written, list) else [written]
    for at, url in enumerate(urls):
        scheme, separator, _ = url.partition("://") if isinstance(url, str) else ("", "", "")
        if not separator or not scheme.isalpha():
            continue  # no url at all: reported as such
        if scheme in models.SCHEMES_NOT_RUN[model]:
            yield f"`{scheme}://`", (*place, at) if isinstance(written, list) else place, False
        elif model is models.Store and "%" in str(url):
            yield "a file name with parts of the time", place, False
