"""What PostgreSQL and the way to it say, as `StoreError`: a label, and a sentence without secrets.

Foreign exceptions are translated here and nowhere else. `is_of_the_row` tells what a row is to
blame for: all else is the state of the database, and the whole batch is tried again.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_plus, urlsplit

from hepsw.concealed import SHOWN
from hepsw.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BY_STATE: Final = {
    "25006": "read-only",
    "26000": "pooling",
    "42P05": "pooling",
    "42501": "permission",
    "42P01": "missing",
    "3F000": "missing",
    "42703": "missing",
    "53100": "full",
    "53200": "memory",
    "53300": "connect",
    "55P03": "locked",
    "57014": "timeout",
}
_BY_CLASS: Final = {
    "08": "connect",
    "57": "connect",
    "28": "login",
    "3D": "login",
    "40": "conflict",
    "53": "full",
    "58": "io",
}
_PASSWORDS: Final = frozenset({"password", "sslpassword"})
"""What of a query is one."""
CHECK_VIOLATION: Final = "23514"
_INDEX_ROW_TOO_LONG: Final = "54000"
_RAISED: Final = "P0001"
_CALL_FAILED: Final = re.compile(
    r"(?:\[Errno ([0-9]+)\] )?Connect call failed \('([^']+)', ([0-9]+)[^)]*\)"
)
"""How asyncio says that nobody answers at an address."""


def state_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error of the server; empty for all others."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else ""


def is_of_the_row(error: BaseException) -> bool:
    """Return whether the error would come again with this row, and not with another.

    Values that cannot be what their column asks for, constraints, what a trigger raised, a text
    that no index holds; and values that cannot be written. What asyncpg could not read is no row's
    fault.
    """
    state = state_of(error)
    if state:
        if is_without_partition(error):
            return False
        return state[:2] in {"22", "23"} or state in {_INDEX_ROW_TOO_LONG, _RAISED}
    return isinstance(error, (ValueError, TypeError, OverflowError)) and not is_unreadable(error)


def is_without_partition(error: BaseException) -> bool:
    """Return whether a row found no partition: the default one is gone."""
    # A constraint has a name; that no partition takes a row has none.
    return state_of(error) == CHECK_VIOLATION and not getattr(error, "constraint_name", None)


def is_missing(error: BaseException) -> bool:
    """Return whether a table, a column or the default partition is not there."""
    return _BY_STATE.get(state_of(error)) == "missing" or is_without_partition(error)


def is_unreadable(error: BaseException) -> bool:
    """Return whether asyncpg failed at what it read: well-formed messages that make no sense.

    It trusts the server, so that may be any error of Python. Errors that were raised in code of
    ours are bugs of ours, wherever that was called from.
    """
    import asyncpg  # noqa: PLC0415 - as below

    if isinstance(error, (StoreError, *foreign())):
        return False
    return isinstance(error, asyncpg.InternalClientError) or _raised_in(error) == "asyncpg"


def is_of_the_protocol(error: BaseException) -> bool:
    """Return whether an error was raised where asyncpg reads messages: somebody had answered."""
    return _raised_in(error, depth=2) == "asyncpg.protocol"


def _raised_in(error: BaseException, depth: int = 1) -> str:
    """Return the module that an error comes out of, so many names of it.

    Of what asyncpg, or we, called in the library of Python it is the caller.
    """
    found = ""
    trace = error.__traceback__
    while trace is not None:
        names = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")
        if names[0] not in sys.stdlib_module_names:
            found = ".".join(names[:depth])
        trace = trace.tb_next
    return found


def reason_of(error: BaseException) -> str:
    """Return a slug for why a row was refused."""
    state = state_of(error)
    if state in {"22021", "22P05"}:
        return "not-text"
    if state.startswith("23"):
        return "constraint"
    if state in {"22001", _INDEX_ROW_TOO_LONG}:
        return "too-big"
    return "raised" if state == _RAISED else "data"


def translated(error: BaseException, secrets: Iterable[str] = ()) -> StoreError:
    """Return an error of asyncpg, of the server or of the network as one of ours."""
    import asyncpg  # noqa: PLC0415 - a start without such a store does not pay for it

    if isinstance(error, StoreError):
        return error
    state = state_of(error)
    if state:
        what = _BY_STATE.get(state) or _BY_CLASS.get(state[:2], "refused")
        return StoreError(without(f"{state}: {error}", secrets), what)
    if isinstance(error, TimeoutError):
        return StoreError("no answer in time", "timeout")
    if isinstance(error, OSError):
        return StoreError(without(_unconnected(error), secrets), "connect")
    if isinstance(error, asyncpg.InterfaceError):
        if isinstance(error.__context__, foreign()):
            # That no transaction can be ended on a connection that is gone: not what went wrong.
            return translated(error.__context__, secrets)
        return StoreError(without(str(error), secrets), "connect")
    return StoreError(without(f"{type(error).__name__}: {error}", secrets), "refused")


def _unconnected(error: OSError) -> str:
    """Return what the network said, `127.0.0.1:5432: Connection refused`.

    asyncio names the address alone, and the number of the error only where there are several.
    """
    text = (error.strerror or str(error)).removeprefix("Multiple exceptions: ")

    def told(found: re.Match[str]) -> str:
        number, host, port = found.groups()
        end = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"{end}: {os.strerror(int(number or error.errno or 0))}"

    return _CALL_FAILED.sub(told, text)


def secrets_of(url: str) -> list[str]:
    """Return what of a url is never shown, as it may be written: the whole, and each password."""
    found = [url]
    try:
        parts = urlsplit(url)
        passwords = [parts.password or ""]
    except ValueError:
        return found
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name.lower() in _PASSWORDS:
            passwords.append(value)
    for password in filter(None, passwords):
        found += [password, unquote(password), unquote_plus(password)]
    return found


def without(sentence: str, secrets: Iterable[str]) -> str:
    """Return a sentence with every secret in it concealed."""
    for secret in secrets:
        if secret:
            sentence = sentence.replace(secret, SHOWN)
    return " ".join(sentence.split())


def foreign() -> tuple[type[BaseException], ...]:
    """Return what asyncpg, the server and the network raise."""
    import asyncpg  # noqa: PLC0415 - as above

    return (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
