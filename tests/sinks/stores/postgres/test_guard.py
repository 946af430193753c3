"""Octets that are no messages of PostgreSQL: at the port, behind TLS, in the middle of a session.

asyncpg loops for ever at some of them, in compiled code that lets no thread run. So what they are
sent to runs in a process of its own, which is ended when it does not come back.
"""

import contextlib
import os
import random
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pgstores
import pytest
import warm
from certificates import Authority
from faultproxy import FaultProxy
from hypothesis import given
from hypothesis import strategies as st
from loopback import HOST

from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.connection import connect
from hepsw.sinks.stores.postgres.messages import LETTERS, MOST, Messages

PATIENCE = 60
TESTS = Path(__file__).parents[3]
NUL = bytes(50)
WELCOME = b"R\0\0\0\x08\0\0\0\0"
FAULT = "not PostgreSQL, or damaged"


def head(letter, length):
    """Return how a message begins."""
    return struct.pack("!cI", letter, length)


DAMAGED = {
    "nul": NUL,
    "nul-after-a-message": WELCOME + NUL,
    "length-0": head(b"R", 0) + bytes(50),
    "length-1": head(b"R", 1) + bytes(50),
    "length-2": head(b"R", 2) + bytes(50),
    "length-3": head(b"R", 3) + bytes(50),
    "length-most": head(b"R", (1 << 31) - 1) + bytes(50),
    "length-negative": head(b"R", (1 << 32) - 1) + bytes(50),
    "length-over": head(b"D", MOST + 1) + bytes(50),
    "letter": head(b"!", 8) + bytes(4),
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


# What asks, in a process of its own: prints `what: sentence`.

OPEN = """
import sys, pgstores
from hepsw.errors import StoreError
try:
    with pgstores.writer(None, url=sys.argv[1]):
        print("open")
except StoreError as error:
    print(f"{error.what}: {error}")
"""
CHECK = """
import sys
from hepsw.sinks.stores.postgres.login import try_login
print("connect:", try_login(sys.argv[1], 5.0))
"""
RECALL = """
import sys, pgstores
from hepsw.errors import StoreError
from hepsw.recall.postgres import PostgresArchive
try:
    PostgresArchive(pgstores.settings(None, url=sys.argv[1]))
except StoreError as error:
    print(f"{error.what}: {error}")
"""
STATUS = """
import sys, pgstores
from hepsw.errors import StoreError
from hepsw.sinks.stores.postgres.admin import PostgresAdmin
try:
    print("connect:", *PostgresAdmin(pgstores.settings(None, url=sys.argv[1])).status().notes)
except StoreError as error:
    print(f"{error.what}: {error}")
"""
SESSION = """
import sys, pgstores
from hepsw.errors import StoreError
with pgstores.writer(None, url=sys.argv[1]) as store:
    pgstores.write(store, pgstores.calls(3))
    print("written", flush=True)
    sys.stdin.readline()
    try:
        pgstores.write(store, pgstores.calls(3))
    except StoreError as error:
        print(f"{error.what}: {error}", flush=True)
    sys.stdin.readline()
    store.close()
    store.open()
    pgstores.write(store, pgstores.calls(3))
    print("written", flush=True)
"""


def run(program, url):
    """Return what a program prints; it is ended when it takes too long."""
    ran = warm.run(program, url, patience=PATIENCE)
    assert (ran.status, ran.err) == (0, "")
    return ran.out


def environment():
    """Return that of a program which finds what these tests import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@contextlib.contextmanager
def answering(*answers, tls=None, ends=False):
    """Give the port of what answers each connection so: what is asked is read before each answer.

    Args:
        answers: the octets.
        tls: a context, to be used behind the first answer.
        ends: whether the connection ends then.
    """

    def serve():
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with accepted, contextlib.suppress(OSError):
                    accepted.settimeout(PATIENCE)
                    answer(accepted)

    def answer(talking):
        for at, octets in enumerate(answers):
            talking.recv(4096)
            talking.sendall(octets)
            if tls is not None and at == 0:
                talking = tls.wrap_socket(talking, server_side=True)
        with talking:
            while not ends and talking.recv(4096):
                pass

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def url_of(port, mode="disable"):
    """Return the url of a port."""
    return f"postgres://u@{HOST}:{port}/x?sslmode={mode}"


@pytest.fixture
def tls(tmp_path):
    """Give what a server speaks TLS by."""
    made = Authority(tmp_path).issue("server", ips=[HOST])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    return context


# At connect


@pytest.mark.parametrize("octets", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_message_ends_the_attempt(octets):
    """At once and with a sentence, whatever the octets are."""
    with answering(octets) as port:
        told = run(OPEN, url_of(port))
    assert told.startswith(f"connect: {FAULT}: ")


@pytest.mark.parametrize(
    "program", [OPEN, CHECK, RECALL, STATUS], ids=["w", "check", "recall", "s"]
)
def test_all_who_connect_are_guarded(program):
    """Writers, `check`, who recalls, and who asks for the state of tables."""
    with answering(NUL) as port:
        told = run(program, url_of(port))
    assert told.startswith(f"connect: {FAULT}: ")


@pytest.mark.parametrize(
    ("mode", "answers"),
    [("prefer", (b"N", NUL)), ("prefer", (NUL,)), ("require", (NUL,)), ("prefer", (b"N" + NUL,))],
)
def test_the_question_for_tls_may_be_answered_so(mode, answers):
    """With the octets at once, or after it was answered."""
    with answering(*answers) as port:
        told = run(OPEN, url_of(port, mode))
    assert told.startswith(f"connect: {FAULT}: ")


@pytest.mark.parametrize("name", ["nul", "nul-after-a-message", "length-0", "length-most"])
def test_behind_tls_it_is_no_other(tls, name):
    """What is meant is looked at, not what travels."""
    with answering(b"S", DAMAGED[name], tls=tls) as port:
        told = run(OPEN, url_of(port, "require"))
    assert told.startswith(f"connect: {FAULT}: ")


@pytest.mark.parametrize("name", ["nul", "length-0"])
def test_a_socket_of_a_file_is_no_other(tmp_path, name):
    """It is a way to a database as well."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen()

        def serve():
            accepted, _ = listener.accept()
            with accepted, contextlib.suppress(OSError):
                accepted.recv(4096)
                accepted.sendall(DAMAGED[name])
                accepted.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        told = run(OPEN, f"postgres://u@/x?host={tmp_path}")
        thread.join(PATIENCE)
    assert told.startswith(f"connect: {FAULT}: ")


def test_octets_at_random_end_the_attempt():
    """Behind a letter that begins a message, or not: with some sentence, and soon."""
    chance = random.Random(4)
    for _ in range(10):
        octets = b"".join(
            head(bytes([chance.choice(sorted(LETTERS))]), 4 + size) + chance.randbytes(size)
            for size in chance.choices((0, 1, 4, 8, 30), k=5)
        )
        with answering(octets + NUL) as port:
            assert run(OPEN, url_of(port)).startswith("connect: ")


@pytest.mark.parametrize("octets", [b"R", b"R\0\0", b"R\0\0\0\x08\0", WELCOME + b"K\0\0\0\x0c\0"])
def test_a_message_that_is_cut_ends_the_attempt(octets):
    """What has come may have been one: the connection ended, and nothing is said of damage."""
    with answering(octets, ends=True) as port:
        told = run(OPEN, url_of(port))
    assert told.startswith("connect: ")
    assert FAULT not in told


# In the middle of a session


@pytest.fixture(params=["plain", "tls"])
def session(request, database):
    """Give the proxy before a server, and a process that has written through it.

    With TLS the proxy stands behind what speaks it: octets it says are encrypted with all others.
    """
    with contextlib.ExitStack() as opened:
        proxy = opened.enter_context(FaultProxy(database.server.port))
        port, mode = proxy.port, "disable"
        if request.param == "tls":
            port = opened.enter_context(speaking_tls(request.getfixturevalue("tls"), port))
            mode = "require"
        url = f"postgres://postgres@{HOST}:{port}/{database.name}?sslmode={mode}"
        process = opened.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", SESSION, url],
                cwd=TESTS,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        # Whatever becomes of it: who waits for its words hears of its end.
        clock = threading.Timer(PATIENCE, process.kill)
        opened.callback(clock.cancel)
        opened.callback(process.kill)
        clock.start()
        assert process.stdout.readline() == "written\n"
        yield proxy, process


@contextlib.contextmanager
def speaking_tls(context, far_port):
    """Give the port of what speaks TLS as a server does, and passes all on without."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                threading.Thread(target=relay, args=(accepted,), daemon=True).start()

    def relay(accepted):
        with accepted, contextlib.suppress(OSError):
            accepted.recv(8)
            accepted.sendall(b"S")
            with (
                context.wrap_socket(accepted, server_side=True) as near,
                socket.create_connection((HOST, far_port)) as far,
            ):
                other = {near: far, far: near}
                while True:
                    for ready in select.select(list(other), [], [])[0]:
                        # As much as one record of TLS has, so that none waits unseen.
                        octets = ready.recv(1 << 15)
                        if not octets:
                            return
                        other[ready].sendall(octets)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def go_on(process):
    """Have a process do its next step."""
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("is_asked", [False, True], ids=["idle", "asked"])
@pytest.mark.parametrize("name", ["nul", "length-0", "length-3", "length-most", "letter"])
def test_a_session_ends_at_what_is_no_message(session, database, name, is_asked):
    """Whether something was asked or not; the batch fails, and another connection takes it."""
    proxy, process = session
    if is_asked:
        proxy.faults.stall = True
        go_on(process)
        proxy.say(DAMAGED[name])
    else:
        proxy.say(DAMAGED[name])
        go_on(process)
    assert process.stdout.readline().startswith(f"connect: {FAULT}: ")
    proxy.faults.stall = False
    go_on(process)
    assert process.stdout.readline() == "written\n"
    assert process.wait(PATIENCE) == 0
    assert pgstores.all_rows(database) == 6


def test_a_session_that_ends_within_a_message_is_lost(session):
    """As any that ends: nothing is said of damage."""
    proxy, process = session
    proxy.faults.stall = True
    go_on(process)
    proxy.say(head(b"D", 100) + bytes(10))
    proxy.cut("close")
    told = process.stdout.readline()
    assert told.startswith("connect: ")
    assert FAULT not in told


# The walk alone


@given(
    st.lists(st.tuples(st.sampled_from(sorted(LETTERS)), st.binary(max_size=20)), max_size=8),
    st.sampled_from([b"", *DAMAGED.values()]),
    st.data(),
)
def test_however_they_are_cut_the_same_is_refused(messages, end, data):
    """Messages pass in any pieces; what is none is refused with its last piece of five octets."""
    good = b"".join(head(bytes([letter]), 4 + len(body)) + body for letter, body in messages)
    whole = good + end
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12).map(sorted))
    walk = Messages()
    assert all(
        _is_taken(walk, good[a:b]) for a, b in pairwise([0, *_below(cuts, len(good)), len(good)])
    )
    walk = Messages()
    taken = [_is_taken(walk, whole[a:b]) for a, b in pairwise([0, *cuts, len(whole)])]
    assert all(taken) == (not end)


def _below(cuts, most):
    return [cut for cut in cuts if cut <= most]


def _is_taken(walk, piece):
    try:
        walk.look(piece)
    except StoreError:
        return False
    return True


@pytest.mark.parametrize("length", [4, MOST])
def test_the_bounds_of_a_length_are_within(length):
    """The least and the most that a message may have."""
    Messages().look(head(b"D", length))


# A later asyncpg


async def test_a_connection_that_came_another_way_is_refused(database):
    """What passes by the guard is not used: here a loop without one."""
    with pytest.raises(StoreError, match="cannot be checked") as caught:
        await connect(database.url, "unguarded")
    assert caught.value.what == "connect"
