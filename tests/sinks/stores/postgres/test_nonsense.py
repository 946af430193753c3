"""Well-formed messages without sense: whatever asyncpg makes of them, it is the far side's fault.

What asks runs in a process of its own: nobody knows what compiled code does with any octets.
"""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import asyncpg
import pgstores
import pgwords
import pytest
from loopback import HOST

from hepsw.accounting import Reason, SinkAccount
from hepsw.config.models import Batch
from hepsw.errors import StoreError
from hepsw.sinks.budget import Budget
from hepsw.sinks.stores.postgres import answers, trouble
from hepsw.sinks.stores.postgres.connection import connect
from hepsw.sinks.stores.postgres.loop import OwnLoop
from hepsw.sinks.stores.postgres.writer import PostgresWriter
from hepsw.sinks.stores.store import Around, Store

PATIENCE = 60
TESTS = Path(__file__).parents[3]
FAULT = "not PostgreSQL, or damaged: "

PROGRAMS = {
    "write": """
    with pgstores.writer(None, url=url) as store:
        pgstores.write(store, pgstores.calls(3))
        store.known(b"x" * 16)
        store.tidy(0)
""",
    "recall": """
    archive = PostgresArchive(pgstores.settings(None, url=url))
    try:
        archive.count(0, 1 << 60)
        list(archive.scan(0, 1 << 60))
        archive.of_calls([b"call-1"], 5)
        archive.number_of(b"call-1", 5)
    finally:
        archive.close()
""",
    "status": """
    PostgresAdmin(pgstores.settings(None, url=url)).status()
""",
    "init": """
    PostgresAdmin(pgstores.settings(None, url=url)).init()
""",
}
"""What asks, in a process of its own, one url after another; it prints a line for each."""
FRAME = """
import sys, pgstores
from hepsw.errors import StoreError
from hepsw.recall.postgres import PostgresArchive
from hepsw.sinks.stores.postgres.admin import PostgresAdmin
def ask(url):
{}
for url in sys.argv[1:]:
    try:
        ask(url)
        print("done", flush=True)
    except StoreError as error:
        print(f"{{error.what}}: {{error}}", flush=True)
"""
CHANGES = {
    "names": (b"T", pgwords.names),
    "types": (b"T", pgwords.untyped),
    "description-cut": (b"T", pgwords.cut),
    "description-at-random": (b"T", pgwords.at_random(2)),
    "parameters-at-random": (b"t", pgwords.at_random(3)),
    "nulls": (b"D", pgwords.emptied),
    "fewer-columns": (b"D", pgwords.shorter),
    "row-cut": (b"D", pgwords.cut),
    "row-at-random": (b"D", pgwords.at_random(1)),
    "tag-at-random": (b"C", pgwords.at_random(4)),
    "copy-at-random": (b"G", pgwords.at_random(9)),
}
AT_LOGIN = {
    "login-at-random": (b"R", pgwords.at_random(8)),
    "settings-at-random": (b"S", pgwords.at_random(7)),
    "settings-cut": (b"S", pgwords.cut),
    "key-cut": (b"K", pgwords.cut),
    "ready-cut": (b"Z", pgwords.cut),
    "ready-at-random": (b"Z", pgwords.at_random(6)),
}
STATEMENTS = (0, 6, 9, 12, 15, 18, 21, 24)
"""So many are answered as they should be."""


def asked(program, database, changes, statements):
    """Return what a program says of each change that begins behind so many statements."""
    with contextlib.ExitStack() as opened:
        ports = {
            (name, after): opened.enter_context(
                pgwords.altered(database.server.port, pgwords.only(letter, change, after))
            )
            for name, (letter, change) in changes.items()
            for after in statements
        }
        urls = [
            f"postgres://postgres@{HOST}:{port}/{database.name}?sslmode=disable"
            for port in ports.values()
        ]
        done = subprocess.run(
            [sys.executable, "-c", FRAME.format(PROGRAMS[program]), *urls],
            cwd=TESTS,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.stderr == ""
    return dict(zip(ports, done.stdout.splitlines(), strict=True))


@pytest.fixture
def written(database):
    """Give a database that holds three packets."""
    with pgstores.writer(database) as store:
        pgstores.write(store, pgstores.calls(3))
    return database


@pytest.mark.parametrize("program", PROGRAMS)
def test_nonsense_is_no_bug(written, program):
    """Who writes, reads or asks has a sentence about the server, or what it asked for."""
    told = asked(program, written, CHANGES, STATEMENTS)
    assert all(line == "done" or ": " in line for line in told.values())
    found = [line for line in told.values() if FAULT in line]
    assert len(found) >= len(told) // 8, told


def test_nonsense_at_login_is_no_bug(written):
    """Before anything is asked."""
    told = asked("status", written, AT_LOGIN, (0,))
    assert all(line == "done" or ": " in line for line in told.values())
    assert "done" not in {told["login-at-random", 0], told["settings-cut", 0]}


async def test_a_store_tries_again(written, caplog):
    """It is down with the reason, says so once, and stores all when the server makes sense."""
    caplog.set_level(logging.INFO)
    damage = {"is": True}

    def begin():
        damaging = pgwords.only(*CHANGES["row-cut"], after=9)()
        return lambda letter, body: damaging(letter, body) if damage["is"] else body

    with pgwords.altered(written.server.port, begin) as port:
        url = f"postgres://postgres@{HOST}:{port}/{written.name}?sslmode=disable"
        settings = replace(
            pgstores.settings(None, url=url), batch=Batch.model_validate({"every": "10ms"})
        )
        account = SinkAccount()
        around = Around(Budget(1 << 30), lambda _: None)
        store = Store("kept", settings, account, lambda: PostgresWriter(settings), around)
        store.start()
        store.enqueue(pgstores.calls(3))
        await until(lambda: account.errors["connect"] > 2)
        state = f"down: {FAULT}AssertionError"
        assert account.state == state
        assert [record.message for record in caplog.records] == [f"kept: {state}; trying again"]
        damage["is"] = False
        await until(lambda: account.delivered == 3)
        assert account.state == "up"
        assert set(account.errors) == {"connect"}
        await store.close(Reason.SHUTDOWN)
    assert "a bug" not in caplog.text
    assert pgstores.all_rows(written) == 6


async def until(condition):
    """Wait for something that another thread does."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((["calls"], name) for name in ("types", "row-cut", "description-cut")),
        (["flow", "call-1"], "types"),
        (["export", "call-1", "-o", "out.pcap"], "row-cut"),
        (["store", "init", "kept"], "row-cut"),
    ],
)
def test_a_command_says_it_in_a_line(written, tmp_path, command, name):
    """Exit status 69, one line on standard error, and no traceback."""
    (tmp_path / "hepsw.toml").write_text(
        '[[listen]]\nurl = "udp://127.0.0.1:9060"\n[stores.kept]\nlayout = "homer7"\n'
        'url = { env = "PG" }\n'
    )
    damage = pgwords.only(*CHANGES[name], after=7)
    with pgwords.altered(written.server.port, damage) as port:
        url = f"postgres://postgres:hunter2@{HOST}:{port}/{written.name}?sslmode=disable"
        ran = subprocess.run(
            [sys.executable, "-m", "hepsw", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(TESTS.parent), "PG": url},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ran.returncode == 69, ran
    assert ran.stderr.count("\n") == 1
    assert FAULT in ran.stderr
    assert "hunter2" not in ran.stderr + ran.stdout


# What is a bug of ours stays one


@pytest.mark.parametrize("error", [KeyError("ours"), ValueError("ours"), AssertionError("ours")])
def test_a_bug_of_ours_is_told_as_one(database, error):
    """Also where asyncpg called the code that has it."""

    async def source():
        yield b""
        raise error

    async def copy(connection):
        await connection.execute("CREATE TABLE t (a int)")
        await connection.copy_to_table("t", source=source())

    async def plain(_):
        raise error

    for work in (copy, plain):
        loop = OwnLoop()
        try:
            with pytest.raises(type(error), match="ours"):
                loop.run(with_connection(database.url, work))
        finally:
            loop.close()


async def with_connection(url, work):
    """Do something with a connection."""
    connection = await connect(url, "test")
    try:
        await work(connection)
    finally:
        connection.terminate()


def test_what_cannot_be_read_is_no_fault_of_a_row():
    """Else a damaged answer would send good packets to the dead letters."""
    error = asyncpg.ProtocolError("nonsense")
    assert trouble.is_unreadable(error)
    assert not trouble.is_of_the_row(error)
    assert trouble.is_of_the_row(ValueError("ours"))


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ([{"a": 1}], {"b": int}, "an answer without `b`"),
        ([{"a": 1}, {"a": None}], {"a": int}, "an answer where `a` is NULL"),
        ([{"a": True}], {"a": int}, "an answer where `a` is bool"),
        ([{"a": "x"}], {"a": int | None}, "an answer where `a` is str"),
    ],
)
def test_answers(rows, columns, said):
    """What is another answer than was asked for is told by its column."""
    with pytest.raises(StoreError, match=said) as caught:
        answers.rows(rows, **columns)
    assert caught.value.what == "connect"
