"""A Python that has imported already what its programs need, and forks for each of them.

What a test starts spends nearly all its time on importing. Where the start is not what is tested, a
program runs in a fork of one process that has done that: a process of its own as any other, with
its folder, its environment, its arguments and its exit status. Only what is read at the start
(`PYTHON...`, `HEPSW_PURE`) is what it was when the first of them ran.

    ran = run("print('hi')", "argument", folder=tmp_path)

Run as a program, this is that process: a request is a line of JSON, an answer is another one and
behind it what the program has written.
"""

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

IMPORTED = (
    *("hepsw.cli", "hepsw.config.load", "hepsw.config.diagnostics", "hepsw.prove"),
    *("hepsw.recall.opening", "hepsw.recall.sqlite", "hepsw.recall.postgres"),
    *("hepsw.sinks.stores.writers", "hepsw.sinks.stores.postgres.writer"),
    *("rich.console", "rich.table", "rich.progress", "pgstores"),
)
PATIENCE = 60
"""Seconds that a program may take."""


class Ran(NamedTuple):
    """What came of a program."""

    status: int
    out: str
    err: str


def run(text, *arguments, folder=None, patience=PATIENCE):
    """Run a program in a fork; return what came of it.

    Args:
        text: of the program.
        arguments: `sys.argv[1:]`.
        folder: where it runs.
        patience: seconds until it is ended, and the test with it.
    """
    request = {
        "text": text,
        "arguments": [os.fspath(each) for each in arguments],
        "folder": os.fspath(folder or Path.cwd()),
        "environment": dict(os.environ),
    }
    if not _running:
        _running.append(_Process())
    try:
        return _running[0].run(request, patience)
    except BaseException:
        _running.pop().end()
        raise


class _Process:
    """The process that forks."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.end)

    def run(self, request, patience):
        """Have a program run."""
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answers = self._process.stdout
        if not select.select([answers], [], [], patience)[0]:
            raise TimeoutError(f"no end after {patience} s: {request['text'][:200]}")
        answer = json.loads(answers.readline())
        out, err = answers.read(answer["out"]), answers.read(answer["err"])
        return Ran(answer["status"], out.decode(), err.decode())

    def end(self):
        """End it, and what it runs."""
        atexit.unregister(self.end)
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


_running = []
"""The one process, once there is need of it."""


def _serve():
    """Answer requests; return only in a fork, with the one that it is to fulfil."""
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()
    answers = os.fdopen(os.dup(1), "wb")
    for line in sys.stdin.buffer:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if not pid:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                nothing = os.open(os.devnull, os.O_RDONLY)
                os.dup2(nothing, 0)
                answers.close()
                return json.loads(line)
            _, status = os.waitpid(pid, 0)
            written = [_content(file) for file in (out, err)]
        answer = {
            "status": os.waitstatus_to_exitcode(status),
            "out": len(written[0]),
            "err": len(written[1]),
        }
        answers.write(json.dumps(answer).encode() + b"\n" + b"".join(written))
        answers.flush()
    sys.exit()


def _content(file):
    file.seek(0)
    return file.read()


if __name__ == "__main__":
    _asked = _serve()
    os.environ.clear()
    os.environ.update(_asked["environment"])
    time.tzset()
    os.chdir(_asked["folder"])
    sys.argv = ["hepsw", *_asked["arguments"]]
    exec(compile(_asked["text"], "<program>", "exec"), {"__name__": "__main__"})  # noqa: S102 - the tests' own
