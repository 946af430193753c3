"""Urls of databases: judged before anybody connects, and nothing of them repeated.

A url holds a password, and may come out of a secret. What is wrong with one is told in words alone.
What stands behind `?` is the business of PostgreSQL's client (`sslmode`, `host` for a socket …).

Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

DATABASE_SCHEMES: Final = ("postgres", "postgresql")

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._%-]+)(?::([0-9]{1,5}))?")
"""One of several; a folder of a socket has `%2F` for `/`."""
_PASSWORDS: Final = frozenset({"password", "sslpassword"})


def check_database_url(written: str) -> None:
    """Judge the url of a database.

    Raises:
        ValueError: with what is wrong, and nothing of the url itself.
    """
    scheme, separator, rest = written.partition("://")
    if not separator or scheme not in DATABASE_SCHEMES:
        raise ValueError('not a url such as "postgres://user@host/database"')
    if not written.isprintable() or " " in written:
        raise ValueError("a blank or a control character in the url of a database")
    try:
        parts = urlsplit(written)
    except ValueError:
        raise ValueError("no host in the url of a database") from None
    if parts.fragment or "#" in rest:
        raise ValueError("`#` in the url of a database: in a password it is written %23")
    hosts = parts.netloc.rpartition("@")[2]
    for host in hosts.split(",") if hosts else ():
        found = _HOST.fullmatch(host)
        if found is None:
            raise ValueError("no host in the url of a database")
        if found[2] is not None and not 0 < int(found[2]) < 65536:
            raise ValueError("no port from 1 to 65535 in the url of a database")
    if not hosts and not any(name == "host" and value for name, value in _query(parts.query)):
        raise ValueError("no host in the url of a database")


def has_password(written: str) -> bool:
    """Tell whether a password stands in a url, which was found to be sound."""
    parts = urlsplit(written)
    login = parts.netloc.rpartition("@")[0]
    return bool(login.partition(":")[2]) or any(
        name.lower() in _PASSWORDS for name, _ in _query(parts.query)
    )


def _query(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)
