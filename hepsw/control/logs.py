"""The log on standard error: text for a terminal, JSON lines for a collector.

Written by a thread of its own behind a bounded queue, because a terminal that was stopped, or a
full pipe, must not stop the packets. What does not fit is counted and told with the next line.
"""

from __future__ import annotations

import logging
import queue
import sys
from logging.handlers import QueueHandler, QueueListener
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson

if TYPE_CHECKING:
    from hepsw.config.models import Log

WAITING: Final = 4096
"""Lines that may wait to be written."""


class _Text(logging.Formatter):
    """`14:02:11 warning copy: nobody listens at udp://…`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = self.formatTime(record, "%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()} "
        told = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{clock} {level}{_printable(record.getMessage())}{told}"


class _Json(logging.Formatter):
    """One object a line: time, level, logger, text."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)
        return text.decode()


def _printable(text: str) -> str:
    """Return a line as it may go to a terminal: packets can hold anything, escape sequences too."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


class _Handler(QueueHandler):
    """Never waits: a line that finds the queue full is counted instead."""

    def __init__(self, lines: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(lines)
        self._lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The writer runs in this process: nothing needs to be made fit for a pipe.
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self._lost:
                lost = f"{self._lost} log lines were lost: standard error is too slow"
                self.queue.put_nowait(
                    logging.LogRecord("hepsw", logging.WARNING, "", 0, lost, None, None)
                )
                self._lost = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self._lost += 1


class LogWriter:
    """The log while the daemon runs."""

    def __init__(self, settings: Log, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        lines: queue.Queue[logging.LogRecord] = queue.Queue(WAITING)
        self._output = logging.StreamHandler(self._stream)
        self._listener = QueueListener(lines, self._output)
        self._root = logging.getLogger("hepsw")
        self._handler = _Handler(lines)
        self._root.addHandler(self._handler)
        self._root.propagate = False
        self.settle(settings)
        self._listener.start()

    def settle(self, settings: Log) -> None:
        """Take new settings."""
        as_text = settings.format == "text" or (settings.format == "auto" and self._stream.isatty())
        self._output.setFormatter(_Text() if as_text else _Json())
        self._root.setLevel(settings.level.upper())

    def close(self) -> None:
        """Write what waits, and stop."""
        self._listener.stop()
        self._root.removeHandler(self._handler)
