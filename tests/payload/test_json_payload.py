from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.payload import JsonPayload, parse_path
from hepsw.payload.json_payload import MAX_LOSSY, MAX_SIZE

PAYLOAD = json.dumps(
    {
        "event": "hangup",
        "call": {"legs": [{"mos": 4.2}, {"mos": 3}], "ok": True, "bad": False, "none": None},
        "0": "zero",
        "": "empty",
        "name": "Rosá",
    }
).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event", b"hangup"),
        ("call.legs.0.mos", 4.2),
        ("call.legs.1.mos", 3),
        ("call.ok", b"true"),
        ("call.bad", b"false"),
        ("0", b"zero"),
        ("", b"empty"),
        ("name", "Rosá".encode()),
        ("call.none", None),
        ("call", None),
        ("call.legs", None),
        ("call.legs.2.mos", None),
        ("call.legs.-1.mos", None),
        ("call.legs.\u0661.mos", None),
        ("call.legs." + "9" * 5000, None),
        ("event.0", None),
        ("absent.absent", None),
    ],
)
def test_value(path, value):
    """Texts, numbers and booleans are found by keys and indexes; all else is missing."""
    read = JsonPayload(PAYLOAD)
    assert read.value(path) == read.value(parse_path(path)) == value


@pytest.mark.parametrize(
    "payload",
    [PAYLOAD + b"\0\0\r\n", b"\xef\xbb\xbf" + PAYLOAD, b'{"x":1}\n' + PAYLOAD, PAYLOAD + b"{]}"],
)
def test_wrapping(payload):
    """NULs behind, a byte order mark, and other objects beside it do not hide an object."""
    assert JsonPayload(payload).value("event") == b"hangup"


def test_not_utf_8():
    """Octets that are not UTF-8 are replaced, the rest is read; beyond a bound it is not tried."""
    assert JsonPayload(b'{"a":"\xe1","b":7}').value("b") == 7
    assert JsonPayload(b'{"a":"' + b"\xe1" * MAX_LOSSY + b'","b":7}').value("b") is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"SIP/2.0 200 OK",
        b"[" * 5000,
        b'{"a":' * 5000,
        b'{"a":1e999}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":1',
        b'{"a":1}' + b" " * MAX_SIZE + b"x",
    ],
)
def test_not_json(payload):
    """What is no JSON, or is beyond the bounds, has no values."""
    assert JsonPayload(payload).value("a") is None


def test_large_numbers():
    """Numbers beyond 64 bits lose digits rather than being lost."""
    assert JsonPayload(b'{"a":18446744073709551615}').value("a") == 2**64 - 1
    assert JsonPayload(b'{"a":1000000000000000000000}').value("a") == 1e21


trees = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)


@given(trees, st.lists(st.sampled_from(["a", "b", "0", "1"]), max_size=4))
def test_agrees_with_a_plain_walk(tree, steps):
    """The value is what walking the parsed tree by hand finds."""
    here = tree
    for step in steps:
        try:
            here = here[int(step)] if isinstance(here, list) else here[step]
        except (KeyError, IndexError, TypeError, ValueError):
            here = None
    if isinstance(here, bool):
        here = str(here).lower()
    if isinstance(here, str):
        here = here.encode()
    expected = here if isinstance(here, bytes | int) else None
    assert JsonPayload(json.dumps(tree).encode()).value(tuple(steps)) == expected
