"""The servers that other tests are given."""

import asyncpg
import pytest
from databases import PASSWORD, SECRETIVE, Postgres, query


def test_each_kind_of_server_answers(any_database):
    """A database of a server, whichever it is, is UTF-8 and empty."""
    assert any_database.value("SHOW server_encoding") == "UTF8"
    assert any_database.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_a_query_may_be_made_where_a_loop_runs(database):
    """Statements, several at once, and values."""
    database.query("CREATE TABLE a (b int); INSERT INTO a VALUES (1), (2)")
    assert database.value("SELECT sum(b) FROM a WHERE b > $1", 1) == 2


def test_what_was_committed_survives_an_immediate_stop():
    """A server that crashed comes back at its old address with what it had."""
    with Postgres() as server:
        database = server.create()
        database.query("CREATE TABLE a (b int)")
        for how in ("immediate", "fast"):
            database.query("INSERT INTO a VALUES (1)")
            server.stop(how)
            assert not server.is_running
            with pytest.raises(OSError):
                database.query("SELECT 1")
            server.start()
        assert database.value("SELECT count(*) FROM a") == 2


async def test_a_paused_server_does_not_answer_and_a_resumed_one_does():
    """Not even the sessions that there are."""
    with Postgres() as server:
        connection = await asyncpg.connect(server.url)
        server.pause()
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT 1", timeout=0.3)
        server.resume()
        connection.terminate()
        assert query(server.url, "SELECT 1")[0][0] == 1


async def test_sessions_are_ended_by_name(postgres):
    """Only those of the client that is named."""
    named = await asyncpg.connect(postgres.url, server_settings={"application_name": "one of us"})
    other = await asyncpg.connect(postgres.url)
    assert postgres.kill_backends("one of us") == 1
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await named.fetchval("SELECT 1")
    assert await other.fetchval("SELECT 1") == 1
    named.terminate()
    other.terminate()


def test_a_password_is_asked_for(database):
    """Of one role alone."""
    database.query(f"DROP ROLE IF EXISTS {SECRETIVE}")
    database.query(f"CREATE ROLE {SECRETIVE} LOGIN PASSWORD '{PASSWORD}'")
    try:
        assert query(database.url_of(SECRETIVE, PASSWORD), "SELECT 1")
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(database.url_of(SECRETIVE, "wrong"), "SELECT 1")
    finally:
        database.query(f"DROP ROLE {SECRETIVE}")
