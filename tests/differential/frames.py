"""Datagrams without end, the same ones for the same block, whichever build reads them.

A block is `GROUPS` groups of datagrams that arrive together. Each datagram is taken from a pool:
calls that the rules of `documents` know, the benchmarks' traffic, the vectors, packets of any
chunks. Two in five are then spoiled as the wire or a hostile sender would: octets flipped, cut,
lengths that lie, chunks of vendors, chunks repeated, several frames in one datagram, next to
nothing. A pool serves `BLOCKS_A_POOL` blocks; then there is another one.

Nothing here asks hypothesis: it takes longer to draw a packet than a switch to judge it.
"""

from __future__ import annotations

import random as randomness
from functools import cache
from typing import Final, NamedTuple

from calls import AGENTS, START, any_traffic
from hep.vectors import ALL
from tables import any_packet

from bench.traffic import packets as busy_traffic
from hepsw.hep import GENERIC, Chunk, ChunkType, encode
from hepsw.view import Peer

FRAMES: Final = 1_000
"""Datagrams of a block."""
BLOCKS_A_POOL: Final = 50
PAUSES: Final = (0.0, 0.0, 0.02, 0.2, 0.7, 1.5, 6.0, 14.0)
"""Seconds between two groups, within and beyond the windows of `documents`."""
SOME_PEER: Final = Peer(bytes([10, 0, 0, 1]), 5060, "udp", bytes([127, 0, 0, 1]), 9060, "in")
LONGEST: Final = 65_507
SHAPES: Final = [b"\x02", b"\x0a", b"\x17", b"\x07"]
MAGICS: Final = [b"HEP3", b"HEP3", b"EEP3", b"EEP1"]


class Group(NamedTuple):
    """Datagrams that are read together."""

    datagrams: list[bytes]
    peers: list[Peer]
    """Who sent each."""
    now: float
    cuts: list[int]
    """Lengths of the slices in which the same octets arrive on a stream, the last one open."""
    order: int
    """In which order the fields are read: what is read first must not matter."""


def block(number: int) -> list[Group]:
    """Return the groups of a block."""
    random = randomness.Random(f"block {number}")
    pool = _pool(number // BLOCKS_A_POOL)
    groups = []
    now, left = START, FRAMES
    while left:
        size = min(left, random.choice((1, 1, 2, 3, 8)))
        left -= size
        # Uneven, so that no packet stands on the very edge of a window, where rounding decides.
        now += random.choice(PAUSES) + random.random() * 0.003
        sent = [random.choice(pool) for _ in range(size)]
        groups.append(
            Group(
                [
                    spoiled(random, datagram, pool) if random.random() < 0.4 else datagram
                    for datagram, _ in sent
                ],
                [peer for _, peer in sent],
                now,
                [random.choice((1, 3, 5, 6, 7, 100, 700, 2_000)) for _ in range(3)],
                random.randrange(16),
            )
        )
    return groups


@cache
def _vectors() -> list[bytes]:
    return [vector.data for vector in ALL if len(vector.data) <= LONGEST]


@cache
def _pool(number: int) -> list[tuple[bytes, Peer]]:
    """Return what blocks choose from, each with its sender."""
    random = randomness.Random(f"pool {number}")
    peers = [agent[0] for agent in AGENTS]
    pool = []
    while len(pool) < 900:
        pool += [(sent.packet.data, sent.peer) for sent in any_traffic(random)]
    pool += [(data, random.choice(peers)) for data in busy_traffic(300, number)]
    pool += [(any_packet(random).data, SOME_PEER) for _ in range(150)]
    pool += [(any_chunks(random), random.choice(peers)) for _ in range(300)]
    # Few vectors are long; one of 64 KiB in every group would leave time for nothing else.
    short = [data for data in _vectors() if len(data) < 3_000]
    long = [data for data in _vectors() if len(data) >= 3_000]
    some = [random.choice(short) for _ in range(300)] + random.sample(long, min(2, len(long)))
    return pool + [(data, random.choice(peers)) for data in some]


def any_chunks(random: randomness.Random) -> bytes:
    """Return a frame of any known chunks, most of the right shape, and of unknown ones."""
    chunks = []
    for _ in range(random.randrange(12)):
        if random.random() < 0.25:
            type_id = random.choice((0x0000, 0x0003, 0x000B, 0x000F, 0x002A, 0x0065, 0xFFFF))
            vendor_id = random.choice((0, 0, 1, 2, 3, 65535))
            chunks.append(Chunk(vendor_id, type_id, random.randbytes(random.randrange(6))))
            continue
        spec = random.choice(GENERIC)
        if spec.type_id == 0x0001:
            body = random.choice(SHAPES)
        elif spec.type in {ChunkType.INET4, ChunkType.INET6} or spec.type.size is not None:
            body = random.randbytes(spec.type.size or 4)
        else:
            body = random.randbytes(random.randrange(9))
        chunks.append(Chunk(0, spec.type_id, body))
    return encode(chunks, random.choice(MAGICS))


# --- what may happen to a datagram ---------------------------------------------------------------


def spoiled(random: randomness.Random, data: bytes, pool: list[tuple[bytes, Peer]]) -> bytes:
    """Return the datagram after one or two mishaps."""
    for _ in range(random.choice((1, 1, 2))):
        data = random.choice(MISHAPS)(random, data, pool)
    return data[:LONGEST]


def flipped(random, data, _pool):
    """Return other octets here and there, more often among the chunks in front."""
    octets = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4)) if data else 0):
        most = random.choice((len(octets), min(100, len(octets))))
        octets[random.randrange(most)] = random.choice(
            (0, 1, 10, 13, 58, 255, random.getrandbits(8))
        )
    return bytes(octets)


def cut(random, data, _pool):
    """Return a beginning."""
    return data[: random.randrange(len(data) + 1)]


def cut_honestly(random, data, _pool):
    """Return a beginning whose total length says so: chunks are cut, not the frame."""
    kept = data[: random.randrange(len(data) + 1)]
    return kept if len(kept) < 6 else with_total(kept)


def with_another_total(random, data, _pool):
    """Return it with a total length that lies."""
    lie = random.choice((0, 5, 6, 7, len(data) - 1, len(data) + 1, 65_535, random.getrandbits(16)))
    return data[:4] + (lie & 0xFFFF).to_bytes(2) + data[6:]


def with_another_chunk_length(random, data, _pool):
    """Return it with the length of one chunk off."""
    starts = chunk_starts(data)
    if not starts:
        return data
    at = random.choice(starts) + 4
    length = int.from_bytes(data[at : at + 2])
    lie = random.choice((0, 5, 6, length - 1, length + 1, 65_535)) & 0xFFFF
    return data[:at] + lie.to_bytes(2) + data[at + 2 :]


def with_vendor_chunk(random, data, _pool):
    """Return it with a chunk of some vendor at its end."""
    body = random.randbytes(random.randrange(9))
    ids = random.choice((1, 2, 3, 7, 9, 65_535)), random.choice((1, 11, 15, 0x31, 0x65, 0xFFFF))
    return extended(data, b"".join(number.to_bytes(2) for number in (*ids, 6 + len(body))) + body)


def with_repeat(random, data, _pool):
    """Return it with one of its chunks once more, now and then with other octets."""
    starts = chunk_starts(data)
    if not starts:
        return data
    at = random.choice(starts)
    chunk = bytearray(data[at : at + int.from_bytes(data[at + 4 : at + 6])])
    if len(chunk) > 6 and random.random() < 0.5:
        chunk[6 + random.randrange(len(chunk) - 6)] ^= 1 << random.randrange(8)
    return extended(data, bytes(chunk))


def several(random, data, pool):
    """Return it with other frames behind it, or something that is none."""
    return data + b"".join(
        random.choice(pool)[0] if random.random() < 0.9 else random.randbytes(7)
        for _ in range(random.choice((1, 1, 2, 5)))
    )


def tiny(random, data, _pool):
    """Return next to nothing."""
    return random.choice(
        (b"", b"H", b"HEP3", b"HEP3\0", b"HEP3\0\6", b"\1", b"\2\34\2\21", data[:6])
    )


def noise(random, data, _pool):
    """Return any octets behind a header that is right."""
    return with_total(b"HEP3\0\0" + random.randbytes(random.randrange(40)) + data[6:40])


MISHAPS: Final = [
    *[flipped] * 4,
    *[cut, cut_honestly, with_another_total, with_another_chunk_length, with_vendor_chunk],
    *[with_repeat, several, tiny, noise],
]


def with_total(data):
    """Return the frame with its total length put right."""
    return data[:4] + min(len(data), 65_535).to_bytes(2) + data[6:]


def extended(data, chunk):
    """Return a frame with one more chunk."""
    return with_total(data + chunk) if 6 <= len(data) <= 65_000 else data


def chunk_starts(data):
    """Return where the chunks of a frame begin, as far as their lengths can be believed."""
    starts, at = [], 6
    while at + 6 <= len(data):
        starts.append(at)
        length = int.from_bytes(data[at + 4 : at + 6])
        if length < 6:
            break
        at += length
    return starts
