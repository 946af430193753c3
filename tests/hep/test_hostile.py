from __future__ import annotations

import pytest
from hep.probing import survive
from hep.vectors import ALL, USABLE, named
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hepsw.hep.decoding import MAGICS

SMALL = [vector for vector in ALL if len(vector.data) < 5000]


def length_fields(data):
    """Yield the offsets of the total and of every chunk length of a frame, as far as it goes."""
    yield 4
    offset = 6
    while offset + 6 <= len(data):
        yield offset + 4
        length = data[offset + 4] << 8 | data[offset + 5]
        if length < 6:
            return
        offset += length


@pytest.mark.parametrize("vector", ALL, ids=named)
def test_every_length(vector):
    """Any value in any length field gives a packet or a malformed one, nothing else."""
    data = vector.data
    if data[:4] not in MAGICS:
        # HEP1 and HEP2: the header length is the only one.
        for value in range(256):
            survive(data[:1] + bytes((value,)) + data[2:])
        return
    # Two thousand chunks are one case, not two thousand.
    for place in list(length_fields(data))[:40]:
        limit = len(data) - (place - 4 if place > 4 else 0)
        for value in {0, 1, 5, 6, 7, limit - 1, limit, limit + 1, 65535}:
            if 0 <= value <= 65535:
                survive(data[:place] + value.to_bytes(2, "big") + data[place + 2 :])


@given(st.binary(max_size=300))
@example(b"")
def test_random_octets(data):
    """Any octets at all give a packet or a malformed one."""
    survive(data)


@given(st.sampled_from([b"HEP3", b"EEP3", b"EEP1"]), st.binary(max_size=200), st.integers(-2, 2))
def test_random_frame(magic, data, slip):
    """So do random octets behind a header that says about their length."""
    survive(magic + max(0, 6 + len(data) + slip).to_bytes(2, "big") + data)


chunk_octets = st.builds(
    lambda vendor_id, type_id, body: (
        vendor_id.to_bytes(2, "big")
        + type_id.to_bytes(2, "big")
        + (6 + len(body)).to_bytes(2, "big")
        + body
    ),
    st.sampled_from([0, 0, 0, 1, 9]),
    st.integers(0, 0x2B),
    st.binary(max_size=17),
)


@given(st.lists(chunk_octets, max_size=12))
def test_random_chunks(chunks):
    """Well-framed chunks of any numbers and sizes are a packet."""
    body = b"".join(chunks)
    packet = survive(b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body)
    assert packet is not None


@given(
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1, 2, 10, 23, 30]),
    st.binary(max_size=80),
    st.integers(0, 40),
)
def test_random_legacy(version, family, data, nuls):
    """Random octets behind the version and family of HEP1 and HEP2 do no harm either."""
    survive(bytes((version, 16, family)) + data + bytes(nuls))


@settings(max_examples=400)
@given(
    st.sampled_from(SMALL),
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 7)), max_size=8),
    st.integers(0, 5000),
    st.integers(0, 5000),
)
def test_mutated(vector, other, flips, cut, splice):
    """Flipped bits, cuts and splices of real frames give packets or malformed ones."""
    data = bytearray(vector.data)
    for place, bit in flips:
        if data:
            data[place % len(data)] ^= 1 << bit
    survive(bytes(data))
    survive(bytes(data[:cut]))
    survive(bytes(data[: cut % (len(data) + 1)]) + other.data[splice:])
    survive(bytes(data) + other.data)


@pytest.mark.parametrize("vector", [v for v in USABLE if len(v.data) < 600], ids=named)
def test_every_cut(vector):
    """A HEP3 frame cut anywhere is malformed; HEP1 and HEP2 cannot tell."""
    total = len(survive(vector.data).data)
    for end in range(len(vector.data)):
        packet = survive(vector.data[:end])
        assert packet is None or packet.version != 3 or end >= total
