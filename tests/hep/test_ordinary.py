"""`Packet.is_ordinary`: the quick look that every packet gets, held to the slow one."""

from __future__ import annotations

import pytest
from hep.vectors import DATAGRAMS, named
from hypothesis import given
from hypothesis import strategies as st

from hepsw.errors import DecodeError
from hepsw.hep import Chunk, build, decode, encode
from hepsw.hep.packet_warnings import warnings_of

USUAL = [
    Chunk(0, 1, b"\2"),
    Chunk(0, 2, b"\x11"),
    Chunk(0, 3, bytes([10, 0, 0, 1])),
    Chunk(0, 4, bytes([10, 0, 0, 2])),
    Chunk(0, 7, b"\x13\xc4"),
    Chunk(0, 8, b"\x13\xc5"),
    Chunk(0, 9, b"\x65\0\0\0"),
    Chunk(0, 10, b"\0\0\0\1"),
    Chunk(0, 11, b"\1"),
    Chunk(0, 12, b"\0\0\7\xd1"),
    Chunk(0, 14, b"myHep"),
    Chunk(0, 17, b"a84b4c76e66710"),
    Chunk(0, 19, b"pbx7"),
    Chunk(0, 15, b"OPTIONS sip:probe@198.51.100.20 SIP/2.0\r\n\r\n"),
]
"""As nearly every agent writes a frame."""

odd = st.one_of(
    st.sampled_from([b"", b"\0", b"\2", b"\x0a", b"\0\0", b"\xff\xff", b"\0" * 4, b"\xff" * 4]),
    st.sampled_from([b"\x00\x0f\x42\x3f", b"\x00\x0f\x42\x40", b"\0" * 16, b"\1" * 16, b"text\0"]),
    st.binary(max_size=17),
)
"""Bodies at the edge of what is usual."""


@st.composite
def nearly_usual(draw):
    """A usual frame with a few things changed: bodies, order, chunks more or less."""
    chunks = list(USUAL)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(chunks) - 1))
        match draw(st.sampled_from(["body", "swap", "drop", "again", "more"])):
            case "body":
                chunks[at] = Chunk(0, chunks[at].type_id, draw(odd))
            case "swap":
                other = draw(st.integers(0, len(chunks) - 1))
                chunks[at], chunks[other] = chunks[other], chunks[at]
            case "drop" if len(chunks) > 1:
                del chunks[at]
            case "again":
                chunks.insert(draw(st.integers(0, len(chunks))), chunks[at])
            case _:
                more = Chunk(
                    draw(st.sampled_from([0, 0, 1])),
                    draw(st.sampled_from([0, 5, 6, 16, 18, 32, 41, 99])),
                    draw(odd),
                )
                chunks.insert(draw(st.integers(0, len(chunks))), more)
    return chunks


@given(nearly_usual())
def test_what_is_ordinary_has_no_warnings(chunks):
    """The quick look never overlooks what the slow one finds."""
    packet = decode(encode(chunks))
    if packet.is_ordinary():
        assert warnings_of(packet) == ()


@pytest.mark.parametrize("vector", DATAGRAMS, ids=named)
def test_what_is_ordinary_among_the_vectors(vector):
    """So with the frames of real agents."""
    try:
        packet = decode(vector.data)
    except DecodeError:
        return
    assert not (packet.is_ordinary() and warnings_of(packet))


def test_what_is_usual_is_ordinary():
    """The quick look is of use: what agents send as a rule passes it, whatever its order."""
    assert decode(encode(USUAL)).is_ordinary()
    assert decode(encode(USUAL[-1:] + USUAL[:-1])).is_ordinary()
    v6 = build(
        src_ip="2001:db8::1",
        dst_ip="2001:db8::2",
        src_port=5060,
        dst_port=5060,
        ip_protocol=17,
        time=1_700_000_000_000_000,
        proto_type=1,
        capture_id=7,
        payload=b"x",
    )
    assert v6.is_ordinary()
    assert not decode(encode([*USUAL, Chunk(0, 14, b"x\0")])).is_ordinary()
