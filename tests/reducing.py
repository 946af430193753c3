"""The smallest case that still fails, found by leaving things out one after the other.

Documents are made from seeds, so hypothesis has nothing to shrink; this does it for them. Greedy:
whatever can go goes, until nothing can.
"""

from __future__ import annotations

import json


def reduced(document, traffic, fails):
    """Return a document and its packets with all left out that the failure does not need.

    Args:
        document: as TOML reads it.
        traffic: what is sent through it, in order.
        fails: tells of a document and packets whether they fail; it may raise where a document
            cannot be loaded, and then what was left out stays.
    """

    def still_fails(document, traffic):
        try:
            return fails(document, traffic)
        except Exception:  # noqa: BLE001 - whatever a document without its half runs into
            return False

    smaller = True
    while smaller:
        smaller = False
        for at in reversed(range(len(traffic))):
            rest = traffic[:at] + traffic[at + 1 :]
            if still_fails(document, rest):
                traffic, smaller = rest, True
        depth = 1  # whole tables before rules, rules before their keys: few tries go a long way
        while paths := list(places(document, depth)):
            for path in reversed(paths):
                rest = without(document, path)
                if still_fails(rest, traffic):
                    document, smaller = rest, True
            depth += 1
    return document, traffic


def places(written, depth):
    """Yield the path of everything that stands so deep in a document."""
    if not isinstance(written, (dict, list)):
        return
    for key in list(written) if isinstance(written, dict) else range(len(written)):
        if depth == 1:
            yield (key,)
        else:
            yield from ((key, *path) for path in places(written[key], depth - 1))


def without(document, path):
    """Return a copy of a document with one thing less."""
    rest = json.loads(json.dumps(document))  # unlike a deep copy, this shares nothing within itself
    inner = rest
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return rest
