from __future__ import annotations

import pytest
from payload.torture import CASES, RFC_4475, RFC_5118

from hepsw.payload import SipMessage


def test_every_case_is_there():
    """49 cases of RFC 4475 and 12 files of RFC 5118 have a message of ours."""
    assert len({case.name for case in RFC_4475}) == len(RFC_4475) == 49
    assert len({case.name for case in RFC_5118}) == len(RFC_5118) == 12


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case):
    """Each message gets its class, and its fields are read in spite of it."""
    message = SipMessage(case.data)
    assert message.verdict == case.verdict
    read = {name: getattr(SipMessage(case.data), name) for name in case.fields}
    assert read == case.fields


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_line_ends(case):
    """A message with bare line feeds has the verdict and the fields of the one with CRLF."""
    head, empty, body = case.data.partition(b"\r\n\r\n")
    bare = SipMessage((head + empty).replace(b"\r\n", b"\n") + body)
    assert bare.verdict == case.verdict
    assert {name: getattr(bare, name) for name in case.fields} == case.fields
    assert bare.headers == SipMessage(case.data).headers
