"""File names: made from times, and nothing else is recognised."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sinks.stores.files.storing import DAY, NOON, view

from hepsw.sinks.stores.files.template import FileTemplate

TEMPLATES = [
    "/x/calls.pcap",
    "/x/calls-%Y%m%d-%H.pcap.gz",
    "/x/%Y/%m/%d/%H%M%S.jsonl",
    "/x/%y%j.%U.jsonl.gz",
    "/x/week %W/calls",
    "/x/%%Y/100%%-%Y%m%d.log.1",
    "/x/%Y/%Y%m%d.pcap",
    "/x/calls.%H",
]


def template(path):
    return FileTemplate(Path(path))


@pytest.mark.parametrize("path", TEMPLATES)
@given(seconds=st.integers(0, 4_102_444_800), number=st.integers(0, 1000))
def test_names(path, seconds, number):
    """A name is what strftime makes of the UTC time, and is recognised, numbered or not."""
    made = template(path)
    name = made.name(seconds * 1_000_000 + 999_999)
    assert str(made.folder.joinpath(*name)) == datetime.fromtimestamp(seconds, UTC).strftime(path)
    *folders, file = name
    numbered = made.numbered(file, number)
    assert made.makes((*folders, numbered))
    assert made.number_of(numbered, file) == number
    assert not made.makes((*folders, "x" + numbered))
    for depth in range(1, len(name)):
        assert made.makes_folder(name[:depth])


@pytest.mark.parametrize(
    ("path", "numbered"),
    [
        ("/x/calls.pcap", "calls-2.pcap"),
        ("/x/calls.pcap.gz", "calls-2.pcap.gz"),
        ("/x/calls.jsonl.gz", "calls-2.jsonl.gz"),
        ("/x/all.calls.log", "all.calls-2.log"),
        ("/x/calls", "calls-2"),
        ("/x/calls.%H", "calls.12-2"),
        ("/x/%H.%M.pcap", "12.00-2.pcap"),
    ],
)
def test_number(path, numbered):
    """The number of a file that follows stands before its extension."""
    made = template(path)
    assert made.numbered(made.name(NOON * 1_000_000)[-1], 2) == numbered


LOOKALIKES = [
    "calls-20260101-12.pcap",
    "calls-20260101-12.pcap.gz.bak",
    "calls-20260101-12.pcap.gz\n",
    "calls-20260101-24.pcap.gz",
    "calls-20260231-12.pcap.gz",
    "calls-20250229-12.pcap.gz",
    "calls-20261301-12.pcap.gz",
    "calls-19691231-12.pcap.gz",
    "calls-00000101-12.pcap.gz",
    "calls-20260101-12-0.pcap.gz",
    "calls-20260101-12-01.pcap.gz",
    "calls-20260101-12-1-1.pcap.gz",
    "calls-20260101-12--1.pcap.gz",
    "calls-20260101-12-.pcap.gz",
    "calls-%Y%m%d-%H.pcap.gz",
    "Calls-20260101-12.pcap.gz",
    "calls-20260101-12xpcap.gz",
    "calls-\u0662\u0660\u0662\u06660101-12.pcap.gz",
    "calls-20260101-1.pcap.gz",
]


@pytest.mark.parametrize("name", LOOKALIKES)
def test_lookalikes(name):
    """What no time makes is not recognised, however alike it is."""
    made = template("/x/calls-%Y%m%d-%H.pcap.gz")
    assert made.makes(("calls-20260101-12.pcap.gz",))
    assert made.makes(("calls-20240229-12-17.pcap.gz",))
    assert not made.makes((name,))
    assert not made.makes(("y", name))


def test_parts_agree():
    """A part of the time that stands twice has one value."""
    made = template("/x/%Y/%m/%Y%m%d-%j.pcap")
    assert made.makes(("2026", "02", "20260201-032.pcap"))
    assert not made.makes(("2025", "02", "20260201-032.pcap"))
    assert not made.makes(("2026", "01", "20260201-032.pcap"))
    assert not made.makes(("2026", "02", "20260201-033.pcap"))
    assert not made.makes_folder(("2026", "13"))


def test_zone(monkeypatch):
    """Names are in UTC, wherever the switch stands."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        assert template("/x/%Y%m%d-%H").name(NOON * 1_000_000) == ("20260101-12",)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("at", "arrived", "name", "misplaced"),
    [
        (NOON, NOON + 60, "20260101-12", None),
        (NOON, NOON + DAY, "20260101-12", None),
        (NOON, NOON - DAY, "20260101-12", None),
        (NOON, NOON + DAY + 1, "20260102-12", "late"),
        (NOON, NOON - DAY - 1, "20251231-11", "early"),
        (0, NOON, "20260101-12", "late"),
        (0xFFFFFFFF, NOON, "20260101-12", "early"),
        (None, NOON, "20260101-12", None),
    ],
)
def test_place(at, arrived, name, misplaced):
    """A packet is filed by its capture time, or its arrival where the two are a day apart."""
    place = template("/x/%Y%m%d-%H").place(view(at=at, arrived=arrived))
    assert place == ((name,), misplaced)


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 3600)), max_size=200))
def test_hostile_times(times):
    """Whatever times packets claim, they are in the hourly files of two days and of now."""
    made = template("/x/%Y%m%d-%H.pcap")
    names = {made.place(view(at=at, arrived=NOON + later)).name for at, later in times}
    assert len(names) <= 50
    assert all(re.fullmatch(r"202(51231|60101|60102)-\d\d\.pcap", name) for (name,) in names)


def test_no_date():
    """A time that no calendar has is filed under the last second that one has."""
    assert template("/x/%Y").name(10**19) == ("9999",)


@pytest.mark.parametrize(
    "path", ["calls.pcap", "/", "/x/../calls", "/x/%q", "/x/calls%", "/%Y/../x"]
)
def test_refused(path):
    """What is no template of a file is no template."""
    with pytest.raises(ValueError, match=r"absolute path|part of the time"):
        template(path)
