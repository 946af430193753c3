"""The log on standard error: text for a terminal, JSON lines for a collector.

Written by a thread of its own behind a bounded queue, because a terminal that was stopped, or a
full pipe, must not stop the packets. What does not fit is counted and told with the next line; so
is what would repeat itself without end.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson

if TYPE_CHECKING:
    from hepsw.config.models import Log

    Lines = queue.Queue[logging.LogRecord | None]
    """What waits to be written; None ends it."""

WAITING: Final = 4096
"""Lines that may wait to be written."""
A_SECOND: Final = 10
"""Warnings of one kind that are written in a second; what rules log is the operator's affair."""
RULES: Final = "hepsw.rules"
"""The logger of what rules write: packets speak there, and packets lie."""
LAST_WRITE: Final = 2.0
"""Seconds that a stuck reader of standard error holds up the end."""


def heard(level: str) -> frozenset[str]:
    """Return the levels of which lines are written where `[log]` asks for one and those above."""
    levels = ("debug", "info", "warning", "error")
    return frozenset(levels[levels.index(level) :])


class _Text(logging.Formatter):
    """`14:02:11 warning copy: nobody listens at udp://…`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = self.formatTime(record, "%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()} "
        told = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        lines = "\n" if getattr(record, "lines", False) else ""
        return f"{clock} {level}{_printable(record.getMessage(), lines)}{told}"


class _Json(logging.Formatter):
    """One object a line: time, level, logger, text."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage().encode("utf-8", "replace").decode(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def _printable(text: str, kept: str) -> str:
    """Return a line as it may go to a terminal: packets can hold anything, escape sequences too."""
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


class _Handler(QueueHandler):
    """Never waits: a line that finds the queue full is counted instead."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self._lines = lines
        self._lost = 0
        self._second = 0
        self._kinds: dict[tuple[str, int, object], tuple[int, logging.LogRecord]] = {}
        """How often each kind was logged in this second, and the last of it."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The writer runs in this process: nothing needs to be made fit for a pipe.
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        if int(record.created) != self._second:
            self._end_second(int(record.created))
        if record.levelno >= logging.WARNING and record.name != RULES:
            kind = (record.name, record.levelno, record.msg)
            seen = self._kinds.get(kind, (0, record))[0] + 1
            self._kinds[kind] = (seen, record)
            if seen > A_SECOND:
                return
        self._put(record)

    def _end_second(self, second: int) -> None:
        for seen, last in self._kinds.values():
            if seen > A_SECOND:
                text = f"{seen - A_SECOND} more like it: {last.getMessage()}"
                self._put(_line(text, last.name, last.levelno))
        self._kinds.clear()
        self._second = second

    def _put(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            if self._lost:
                self.queue.put_nowait(self._lost_line())
                self._lost = 0
            self.queue.put_nowait(record)
            return
        self._lost += 1

    def finish(self) -> None:
        """Tell what was held back or lost, waiting for room."""
        self._end_second(0)
        if self._lost:
            self._lines.put(self._lost_line())

    def _lost_line(self) -> logging.LogRecord:
        return _line(f"{self._lost} log lines were lost: nobody reads them")


class _Writer(QueueListener):
    """The thread that writes."""

    def __init__(
        self, lines: queue.Queue[logging.LogRecord | None], output: logging.Handler
    ) -> None:
        super().__init__(lines, output)
        self._lines = lines

    def enqueue_sentinel(self) -> None:
        # Waits for room: what stands before it in a full queue is to be written too.
        self._lines.put(None)


def _line(text: str, name: str = "hepsw", level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, text, None, None)


class LogWriter:
    """The log while the daemon runs."""

    def __init__(self, settings: Log, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        lines: Lines = queue.Queue(WAITING)
        self._output = logging.StreamHandler(self._stream)
        self._listener = _Writer(lines, self._output)
        self._handler = _Handler(lines)
        # What asyncio complains about belongs in the same place, and under the same limits.
        self._loggers = (logging.getLogger("hepsw"), logging.getLogger("asyncio"))
        for logger in self._loggers:
            logger.addHandler(self._handler)
            logger.propagate = False
        self.settle(settings)
        self._listener.start()

    def settle(self, settings: Log) -> None:
        """Take new settings."""
        as_text = settings.format == "text" or (settings.format == "auto" and self._stream.isatty())
        self._output.setFormatter(_Text() if as_text else _Json())
        self._loggers[0].setLevel(settings.level.upper())

    def close(self) -> bool:
        """Write what waits, and stop; return whether all was written in time."""
        for logger in self._loggers:
            logger.removeHandler(self._handler)

        def last_words() -> None:
            self._handler.finish()
            self._listener.stop()

        return finished(last_words, LAST_WRITE)


def finished(write: Any, seconds: float) -> bool:  # noqa: ANN401 - any function without arguments
    """Do something that may wait for a reader for ever; return whether it was done in time."""

    def run() -> None:
        # A reader that went away, or a queue that is still full: neither is worth a traceback.
        with suppress(OSError, ValueError, queue.Full):
            write()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
