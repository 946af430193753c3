"""Counting work instead of timing it: the same number on a busy machine as on an idle one."""

import sys


def steps(work):
    """Return how many lines of Python were run by `work()`."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
