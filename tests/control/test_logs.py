"""The log: what repeats itself is counted, what finds no room too."""

import io
import json
import logging
import threading

from hepsw.config.models import Log
from hepsw.control.logs import A_SECOND, RULES, WAITING, LogWriter


def written(stream):
    return [json.loads(line)["text"] for line in stream.getvalue().splitlines()]


def test_a_warning_that_repeats_itself_is_counted():
    """Ten a second are written, then how many more there were; rules may log what they like."""
    stream = io.StringIO()
    writer = LogWriter(Log(format="json"), stream)
    for number in range(A_SECOND * 5):
        logging.getLogger("hepsw.net").warning("trouble %d", number)
        logging.getLogger(RULES).warning("seen %d", number)
    logger = logging.getLogger("hepsw.net")
    later = logger.makeRecord("hepsw.net", logging.INFO, "", 0, "later", (), None)
    later.created += 2
    logger.handle(later)
    assert writer.close()
    texts = written(stream)
    assert sum(text.startswith("seen") for text in texts) == A_SECOND * 5
    told = sum(text.startswith("trouble") for text in texts)
    more = sum(int(text.split(" ")[0]) for text in texts if "more like it: trouble" in text)
    assert told + more == A_SECOND * 5
    assert more > 0


def test_a_stuck_reader_loses_lines_and_nothing_else():
    """Logging never waits; what found no room is counted when there is room again."""
    free = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text):
            free.wait(10)
            return super().write(text)

    stream = Stuck()
    writer = LogWriter(Log(format="json"), stream)
    logger = logging.getLogger(RULES)
    for number in range(WAITING + 100):
        logger.warning("line %d", number)
    free.set()
    while len(written(stream)) < WAITING:
        pass
    logger.warning("after")
    assert writer.close()
    texts = written(stream)
    lost = next(text for text in texts if "were lost" in text)
    kept = sum(text.startswith("line") for text in texts)
    assert kept + int(lost.split(" ")[0]) == WAITING + 100
    assert texts[-1] == "after"


def test_the_end_does_not_wait_for_a_stuck_reader(monkeypatch):
    """Closing says that not all was written."""
    monkeypatch.setattr("hepsw.control.logs.LAST_WRITE", 0.05)
    free = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text):
            free.wait(10)
            return super().write(text)

    writer = LogWriter(Log(format="json"), Stuck())
    logging.getLogger(RULES).warning("x")
    assert not writer.close()
    free.set()
