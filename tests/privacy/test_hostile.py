"""Messages that somebody broke on purpose: nothing is raised, and nothing leaks."""

import pytest
from hep.vectors import ALL
from hypothesis import given
from hypothesis import strategies as st
from payload.torture import CASES
from privacy.test_canaries import frames, leaks, messages, profiles

from hepsw.concealed import Concealed
from hepsw.errors import DecodeError
from hepsw.hep import build, decode
from hepsw.payload import SipMessage
from hepsw.privacy import Anonymiser, PrivacyProfile

PROFILES = [
    PrivacyProfile(users=users, v4=v4, v6=v6, sdp=sdp, other=other, key=Concealed(b"k"))
    for users in ("hash", "mask", "drop", "keep")
    for v4, v6 in ((24, 48), (32, 128))
    for sdp in ("keep", "drop")
    for other in ("drop", "keep")
]
DELIMITERS = [bytes([octet]) for octet in b'<>"@;:,?=& \t\r\n\\%[]()/\0\xff']


@st.composite
def broken(draw, of):
    """Return octets of which a few were replaced, removed, or written twice."""
    octets = draw(of)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(octets) - 1))
        until = at + draw(st.integers(0, 3))
        octets = octets[:at] + draw(st.sampled_from([b"", *DELIMITERS])) + octets[until:]
    return octets


@given(profiles, broken(messages()))
def test_broken_messages_do_not_leak(profile, message):
    """Whatever a misreading takes for a host, a user never leaves as one."""
    left = Anonymiser(profile).rewritten(build(proto_type=1, payload=message))
    if left is not None:
        assert leaks(left.data) == set()


@given(profiles, broken(frames()))
def test_broken_frames_do_not_leak(profile, frame):
    """What is a frame at all leaves without canaries, but for the numbers it was made into."""
    try:
        packet = decode(frame)
    except DecodeError:
        return
    left = Anonymiser(profile).rewritten(packet)
    if left is not None:
        assert {needle for needle in leaks(left.data) if len(needle) > 8} == set()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_torture(case):
    """A message of the torture tests leaves well formed, or not at all."""
    before = SipMessage(case.data)
    for profile in PROFILES:
        left = Anonymiser(profile).rewritten(build(proto_type=1, payload=case.data))
        if left is None or left.payload == case.data:
            continue
        after = SipMessage(left.payload)
        assert after.verdict in {"ok", "semantic"}
        if before.verdict == "ok":
            assert after.verdict == "ok"


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
def test_vectors(vector):
    """What agents send leaves with its addresses cut, or not at all."""
    try:
        packet = decode(vector.data)
    except DecodeError:
        return
    for profile in PROFILES:
        left = Anonymiser(profile).rewritten(packet)
        if left is None:
            continue
        assert left.version == packet.version
        for address in (left.src_address, left.dst_address):
            if profile.v4 == 24 and address is not None:
                assert address.endswith(bytes(1) if len(address) == 4 else bytes(10))
