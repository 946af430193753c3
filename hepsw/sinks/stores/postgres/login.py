"""Whether a database lets us in: what `hepsw check` asks of every url."""

from __future__ import annotations

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.connection import connect
from hepsw.sinks.stores.postgres.loop import OwnLoop
from hepsw.sinks.stores.postgres.trouble import foreign, secrets_of, translated


def try_login(url: str, seconds: float) -> str | None:
    """Log in and leave again.

    Args:
        url: with its password.
        seconds: how long it may take.

    Returns:
        What is wrong, without the password; None if nothing is.
    """
    loop = OwnLoop()
    try:
        loop.run(_log_in(url, seconds))
    except StoreError as error:
        return str(error)
    except foreign() as error:
        return str(translated(error, secrets_of(url)))
    finally:
        loop.close()
    return None


async def _log_in(url: str, seconds: float) -> None:
    connection = await connect(url, "hepsw check", seconds)
    connection.terminate()
