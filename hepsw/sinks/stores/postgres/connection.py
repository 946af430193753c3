"""One connection to PostgreSQL, as writers and readers of hepsw want it.

Everything has a deadline: to connect, each statement, and on the server the session itself, so that
neither side waits for ever for the other. What the operator's server would do by its own settings
(time zone, style of dates) is set for the session, since partitions are named and read by it.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.guard import is_guarded
from hepsw.sinks.stores.postgres.messages import damaged
from hepsw.sinks.stores.postgres.trouble import is_of_the_protocol, secrets_of, translated

if TYPE_CHECKING:
    from collections.abc import Mapping

Connection = Any
"""Of asyncpg, which is published without types."""

CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 10.0
"""For a statement that is no COPY."""
LOCKED_SECONDS: Final = 8
"""For a lock that somebody else has: less than for a statement, so that the server says why."""
STATEMENT_SECONDS: Final = 60
"""After which the server itself ends a statement whose client is gone."""
DEAD_SECONDS: Final = 10
"""For how long the far side may leave what we sent unacknowledged."""
STATEMENTS_KEPT: Final = 16
OLDEST: Final = 11
"""The first version whose partitioned tables have indexes and a partition without bounds."""
ENCODINGS: Final = frozenset({"UTF8", "SQL_ASCII"})
"""Of databases: those that hold every text, the second because it does not look at it."""

SESSION: Final[Mapping[str, str]] = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCKED_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
    # A session whose client vanished must not hold the key of its batch for hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "client_connection_check_interval": "5s",
}
"""Settings of the session, those that the server knows."""

_OF_TLS: Final = ("root certificate file", "`sslmode` parameter")
"""How sentences about TLS begin: they quote nothing of a url but names of files."""
_SET: Final = (
    "SELECT set_config(name, wanted, false) "
    "FROM unnest($1::text[], $2::text[]) AS asked (name, wanted) JOIN pg_settings USING (name)"
)


async def connect(url: str, name: str, seconds: float = CONNECT_SECONDS) -> Connection:
    """Return a connection of asyncpg, in the `OwnLoop` that runs this.

    Args:
        url: with its password.
        name: what the server calls the session.
        seconds: how long it may take.

    Raises:
        StoreError: what is in the way, without the password.
    """
    import asyncpg  # noqa: PLC0415 - a start without such a store does not pay for it

    secrets = secrets_of(url)
    connection = None
    try:
        connection = await asyncpg.connect(
            url,
            timeout=seconds,
            command_timeout=COMMAND_SECONDS,
            statement_cache_size=STATEMENTS_KEPT,
            server_settings={"application_name": name},
        )
        _check_guarded(connection)
        _set_socket(connection)
        _check_version(connection)
        await connection.fetch(_SET, list(SESSION), list(SESSION.values()))
        await _set_codecs(connection)
        await _check_encoding(connection)
    except StoreError:
        _end(connection)
        raise
    except (OSError, asyncpg.PostgresError) as error:
        _end(connection)
        raise translated(error, secrets) from error
    except asyncpg.TargetServerAttributeNotMatched:
        raise StoreError("no server is what `target_session_attrs` asks for", "connect") from None
    except (ValueError, asyncpg.InterfaceError) as error:
        _end(connection)
        if connection is not None or is_of_the_protocol(error):
            # The url was good for an answer, so it is the answer that is not.
            if isinstance(error, asyncpg.InterfaceError):
                raise translated(error, secrets) from error
            raise damaged(type(error).__name__) from error
        raise StoreError(f"the url cannot be used ({_of_url(error)})", "login") from None
    except Exception as error:
        _end(connection)
        # asyncpg trusts what it is told: octets of something else end in errors of any kind.
        text = f"what answers is no PostgreSQL ({type(error).__name__})"
        raise StoreError(text, "connect") from error
    return connection


def _of_url(error: Exception) -> str:
    """Return what is wrong with a url: of one that cannot be read only the kind of error.

    The sentence may quote the password out of it; those about TLS do not.
    """
    told = str(error).splitlines()[0] if str(error) else ""
    return told if told.startswith(_OF_TLS) else type(error).__name__


def _check_guarded(connection: Connection) -> None:
    if not is_guarded(connection):
        text = "this version of asyncpg connects another way: what arrives cannot be checked"
        raise StoreError(text, "connect")


def _check_version(connection: Connection) -> None:
    version = connection.get_server_version().major
    if version < OLDEST:
        text = f"PostgreSQL {version} is too old: {OLDEST} or later is needed"
        raise StoreError(text, "old")


async def _check_encoding(connection: Connection) -> None:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding not in ENCODINGS:
        text = f"the database has the encoding {encoding}, which lacks characters: UTF8 is needed"
        raise StoreError(text, "encoding")


def _end(connection: Connection) -> None:
    if connection is not None:
        connection.terminate()


async def _set_codecs(connection: Connection) -> None:
    """Have jsonb and inet pass as octets, times as microseconds: rows are made so."""
    for name in ("jsonb", "inet"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_as_it_is, decoder=bytes, format="binary"
        )
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=_as_it_is,
        decoder=_microseconds,
        format="tuple",
    )


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - whatever the codec is for
    return value


def _microseconds(value: tuple[int]) -> int:
    return value[0]


def _set_socket(connection: Connection) -> None:
    """Have the kernel notice a far side that is gone without a word."""
    transport = getattr(connection, "_transport", None)
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None or found.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", 5),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", DEAD_SECONDS * 1000),
        ):
            number = getattr(socket, option, None)
            if number is not None:
                found.setsockopt(socket.IPPROTO_TCP, number, value)
