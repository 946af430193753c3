"""Databases, asked for a login: whether what `hepsw check` accepts will be able to store.

Only that command asks. To a start and a reload a database that is away is nothing unusual, and what
waits for it there are packets, not people.
"""

from __future__ import annotations

import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.concealed import Concealed
    from hepsw.config.configuration import Configuration
    from hepsw.config.problems import Report

SECONDS: Final = 3.0
"""How long all of them together have to answer."""
GRACE: Final = 0.5
"""Seconds more, so that they say themselves that it took too long."""


def ask_databases(configuration: Configuration, report: Report) -> None:
    """Ask the database of each store, all at once, and warn of those that let nobody in."""
    urls = {
        name: store.url for name, store in configuration.stores.items() if store.url is not None
    }
    if not urls:
        return
    answers = _answers(urls)
    for name, url in urls.items():
        why = answers.get(name, f"no answer in {SECONDS:g} s")
        if why is not None:
            report.warning(
                "HEP219",
                f"the database does not let hepsw in: {_without_password(why, url)}",
                ("stores", name, "url"),
                "rows wait until it does",
            )


def _answers(urls: Mapping[str, Concealed]) -> dict[str, str | None]:
    """Return what is wrong with each database, None if nothing is; none of those that say nothing.

    Each has a thread that nobody waits for in the end: a name server that does not answer holds one
    up for longer than a person should wait.
    """
    from hepsw.sinks.stores.postgres.login import try_login  # noqa: PLC0415 - few have a database

    told: SimpleQueue[tuple[str, str | None]] = SimpleQueue()

    def ask(name: str, url: str) -> None:
        told.put((name, try_login(url, SECONDS)))

    for name, url in urls.items():
        Thread(target=ask, args=(name, url.reveal().decode()), daemon=True).start()
    answers: dict[str, str | None] = {}
    end = time.monotonic() + SECONDS + GRACE
    with suppress(Empty):
        while len(answers) < len(urls):
            name, why = told.get(timeout=max(0.0, end - time.monotonic()))
            answers[name] = why
    return answers


def _without_password(text: str, url: Concealed) -> str:
    """Return what a database said, in case it repeats what it was told."""
    login = urlsplit(url.reveal().decode()).netloc.rpartition("@")[0]
    password = login.partition(":")[2]
    for secret in {password, unquote(password)} - {""}:
        text = text.replace(secret, "***")
    return text
