"""Any packets at all: no drawing fails, and every packet is on it once."""

import xml.etree.ElementTree as ET
from random import Random

import orjson
import pytest
from calls import any_traffic

from hepsw.recall.as_json import as_json
from hepsw.recall.calls import Calls
from hepsw.recall.ladder import ladder
from hepsw.recall.listing import table
from hepsw.recall.mermaid import mermaid
from hepsw.recall.shown import width
from hepsw.recall.svg import svg
from hepsw.recall.text import text
from hepsw.view import View


@pytest.mark.parametrize("seed", range(15))
def test_any_traffic(seed):
    """Random histories, broken packets and copies among them, can be drawn and listed."""
    random = Random(seed)
    for _ in range(10):
        sent = any_traffic(random, most=40)
        views = [View(packet, peer, int(now * 1_000_000)) for packet, peer, now in sent]
        drawn = ladder(views)
        seen = sum(len(message.seen) for message in drawn.messages)
        assert seen + drawn.repeated == len(views)
        assert all(
            len({sighting.node for sighting in message.seen}) == len(message.seen)
            for message in drawn.messages
        )
        times = [message.time_us for message in drawn.messages]
        assert times == sorted(times)
        for columns in (40, 120):
            lines = text(drawn, columns).splitlines()
            assert all(width(line) <= columns and line.isprintable() for line in lines)
        ET.fromstring(svg(drawn))  # noqa: S314 - our own
        assert mermaid(drawn).startswith("sequenceDiagram\n")
        orjson.dumps(as_json(drawn))
        calls = Calls()
        for view in views:
            calls.add(view, matches=True)
        listed = calls.listed()
        assert sum(call.packets for call in listed) + calls.nameless == len(views)
        assert all(line.isprintable() for line in table(listed).splitlines())


@pytest.mark.parametrize("seed", range(10))
def test_any_order(seed):
    """In whatever order a store gives packets back, the ladder is the same."""
    random = Random(seed)
    sent = any_traffic(random, most=30)
    views = [View(packet, peer, int(now * 1_000_000)) for packet, peer, now in sent]
    first = as_json(ladder(views))
    again = as_json(ladder(sorted(views, key=lambda view: view.received_us)))
    assert again == first
