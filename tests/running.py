"""A running switch, as an operator has it: a process, its files, its signals, its last account."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 10.0
"""Seconds until something that should have happened is missed."""
STARTS = 60.0
"""The same for a start, which is nearly all work, and others work beside."""
STEP = 0.01
"""Seconds between two looks at something that cannot be waited for."""


class Hepsw:
    """`hepsw run` on a configuration of the test's own."""

    def __init__(self, folder, configuration, *, wrapper=()):
        self.file = folder / "hepsw.toml"
        self.file.write_text(configuration)
        self._out, self._err = folder / "hepsw.out", folder / "hepsw.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "hepsw", "run", "-c", self.file],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self._counters = None

    # --- what it says ---

    @property
    def errors(self):
        """Standard error so far."""
        return self._err.read_text()

    def log(self):
        """The log so far, as objects; tables and a half-written last line are left out."""
        lines = self.errors.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line[-1] == "\n"]

    def texts(self):
        """The texts of the log so far."""
        return [line["text"] for line in self.log()]

    def told(self, rule):
        """Return what a rule, `table/name`, has logged; whole once the switch was stopped."""
        return [
            line["text"].removeprefix(f"{rule}: ")
            for line in self.log()
            if line["logger"] == "hepsw.rules" and line["text"].startswith(f"{rule}: ")
        ]

    def wait_text(self, part, times=1, patience=PATIENCE):
        """Return the text of a log line, when it has come so many times."""
        return wait_until(
            lambda: [text for text in self.texts() if part in text][times - 1 : times],
            lambda: f"no {part!r} in {self.errors}",
            alive=self.process,
            patience=patience,
        )[0]

    def wait_ready(self):
        """Return when it is ready to receive."""
        self.wait_text("ready", patience=STARTS)

    # --- what it is told ---

    def signal(self, number):
        """Send a signal."""
        self.process.send_signal(number)

    def reload(self):
        """Ask for a reload by SIGHUP, and return the line that says how it went."""
        before = len(self._verdicts())
        self.signal(signal.SIGHUP)
        return wait_until(
            lambda: self._verdicts()[before : before + 1], lambda: self.errors, alive=self.process
        )[0]

    def _verdicts(self):
        return [
            text
            for text in self.texts()
            if text.startswith("reload refused") or "in service after" in text
        ]

    def counters(self):
        """Ask for the counters by SIGUSR1 and return them, unaccounted asserted."""
        before = len(self._answers())
        self.signal(signal.SIGUSR1)
        line = wait_until(
            lambda: self._answers()[before : before + 1], lambda: self.errors, alive=self.process
        )[0]
        counters = json.loads(line)
        assert counters["unaccounted"] == 0, counters["differences"]
        return counters

    def _answers(self):
        """Return the reports on standard output so far; one that is half written is left out."""
        lines = self._out.read_text().splitlines(keepends=True)
        return [line for line in lines if line[-1] == "\n"]

    def wait_counters(self, holds, patience=PATIENCE):
        """Return the counters as soon as `holds(counters)`."""
        found = []

        def ask():
            found.append(self.counters())
            return holds(found[-1])

        wait_until(
            ask, lambda: json.dumps(found[-1], indent=1), alive=self.process, patience=patience
        )
        return found[-1]

    def stop(self):
        """Stop it, see that every packet is accounted for, and return the counters."""
        if self._counters is None:
            self.signal(signal.SIGTERM)
            try:
                status = self.process.wait(PATIENCE + 5)
            finally:
                self.process.kill()
                self.process.wait()
            assert status == 0, self.errors
            self._counters = json.loads(self._out.read_text().splitlines()[-1])
        assert self._counters["unaccounted"] == 0, self._counters["differences"]
        return self._counters


def wait_until(look, why, *, alive=None, patience=PATIENCE):
    """Return what `look` returns as soon as that is true; fail with `why()` after `patience`."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert alive is None or alive.poll() is None, why()
        assert time.monotonic() < deadline, why()
        time.sleep(STEP)
    return found
