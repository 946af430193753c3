"""Whom a listener hears, and which packets it lets in."""

import asyncio
import socket
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening import FRAME, OLD, connected, listener
from loopback import HOST

import hepsw.net.tcp
from hepsw.concealed import Concealed
from hepsw.config.conditions import Equal, OneOf, Within
from hepsw.config.networks import Networks, networks
from hepsw.hep import ChunkKey, build, decode, decode_datagram, edit
from hepsw.net.admission import without_key

KEY = b"correct-horse"
OTHER = b"another-horse"
KEYS = (Concealed(KEY), Concealed(OTHER))
ELSEWHERE = networks(Within(bytes([192, 0, 2, 0]), bytes([192, 0, 2, 255])))
HERE = networks(Within(bytes([127, 0, 0, 0]), bytes([127, 255, 255, 255])))


def keyed(*keys, **fields):
    """A frame that carries keys, in order."""
    plain = build(proto_type=1, capture_id=7, payload=b"x", **fields)
    chunks = b"".join(b"\0\0\0\x0e" + (6 + len(key)).to_bytes(2, "big") + key for key in keys)
    # In front of the others but one: the key has no place of its own.
    first = 6 + int.from_bytes(plain.data[10:12], "big")
    body = plain.data[6:first] + chunks + plain.data[first:]
    return b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body


PLAIN = keyed()


@pytest.fixture
def agent():
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as made:
        yield made


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_the_key_is_asked_for_and_not_passed_on(running, agent, scheme):
    """Only packets with the whole key get in, whatever the version, and leave without it."""
    wanted = listener(scheme, auth_keys=KEYS)
    await running.serve(wanted)
    wrong = [
        keyed(),
        keyed(b""),
        keyed(KEY[:-1]),
        keyed(KEY + b"s"),
        keyed(KEY + b"\0"),
        keyed(b"\0" + KEY),
        keyed(KEY.upper()),
        keyed(KEY + OTHER),
        keyed(b"\0"),
        keyed(KEY, b"wrong"),  # of two the last one counts, as everywhere
        keyed(b"x" * 5000),
    ]
    right = [keyed(KEY), keyed(OTHER), keyed(KEY, KEY), keyed(b"wrong", OTHER)]
    account = running.ledger.listener("in")
    if scheme == "udp":
        wrong.append(OLD)  # HEP 1 cannot carry one
        for frame in (*wrong, *right):
            agent.sendto(frame, (HOST, wanted.url.port))
    else:
        _, out = await connected(wanted.url)
        out.write(b"".join((*wrong, *right)))
        await out.drain()
        out.close()
    await running.until(lambda: account.seen == len(wrong) + len(right))
    assert account.rejected == {"auth-key": len(wrong)}
    assert [packet.data for packet, _ in running.taken] == [PLAIN] * 4
    assert not account.broken


async def test_without_keys_the_chunk_is_left_alone(running, agent):
    """A listener that asks for none passes on what it is given, octet for octet."""
    wanted = listener("udp")
    await running.serve(wanted)
    agent.sendto(keyed(KEY, KEY), (HOST, wanted.url.port))
    await running.until(lambda: running.taken)
    assert running.taken[0][0].data == keyed(KEY, KEY)


async def test_several_packets_in_a_datagram_each_carry_their_key(running, agent):
    """And what is noted of the datagram is counted as ever."""
    wanted = listener("udp", auth_keys=KEYS[:1])
    await running.serve(wanted)
    agent.sendto(keyed(KEY) + keyed() + keyed(KEY), (HOST, wanted.url.port))
    await running.until(lambda: len(running.taken) == 2)
    account = running.ledger.listener("in")
    assert account.rejected == {"auth-key": 1}
    assert account.warnings["multi-frame"] == 1


async def test_a_key_that_is_changed_counts_from_the_next_packet_on(running, agent):
    """Under the same socket and to the same sender."""
    wanted = listener("udp", auth_keys=KEYS[:1])
    await running.serve(wanted)
    account = running.ledger.listener("in")
    agent.sendto(keyed(KEY), (HOST, wanted.url.port))
    await running.until(lambda: running.taken)
    await running.serve(listener("udp", url=wanted.url, auth_keys=KEYS[1:]))
    agent.sendto(keyed(KEY), (HOST, wanted.url.port))
    agent.sendto(keyed(OTHER), (HOST, wanted.url.port))
    await running.until(lambda: account.seen == 3)
    assert account.rejected == {"auth-key": 1}


async def test_versions_are_asked_for_before_the_key(running, agent):
    """The reason is the one that the operator can do something about."""
    wanted = listener("udp", auth_keys=KEYS, versions=frozenset({3}))
    await running.serve(wanted)
    agent.sendto(OLD, (HOST, wanted.url.port))
    account = running.ledger.listener("in")
    await running.until(lambda: account.seen)
    assert account.rejected == {"hep-version": 1}


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_packets_beyond_max_packet_are_rejected(running, agent, scheme):
    """Each by itself: the connection stays, and so do its neighbours."""
    small = build(proto_type=1, payload=b"x" * 100).data
    big = build(proto_type=1, payload=b"x" * 101).data
    wanted = listener(scheme, max_packet=len(small))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    if scheme == "udp":
        for frame in (small, big, small):
            agent.sendto(frame, (HOST, wanted.url.port))
    else:
        _, out = await connected(wanted.url)
        out.write(small + big + small)
    await running.until(lambda: account.seen == 3)
    assert account.rejected == {"too-big": 1}
    assert len(running.taken) == 2
    if scheme == "tcp":
        out.write(small)
        await running.until(lambda: len(running.taken) == 3)
        out.close()


async def test_datagrams_of_others_are_not_looked_at(running, agent):
    """They are rejected one by one, whatever they hold; a reload that lets them in does so."""
    wanted = listener("udp", from_=ELSEWHERE)
    await running.serve(wanted)
    account = running.ledger.listener("in")
    for octets in (FRAME, FRAME + FRAME, b"no HEP at all", b""):
        agent.sendto(octets, (HOST, wanted.url.port))
    await running.until(lambda: account.seen == 4)
    assert account.rejected == {"not-allowed": 4}
    assert account.octets == 3 * len(FRAME) + 13
    await running.serve(listener("udp", url=wanted.url, from_=HERE))
    agent.sendto(FRAME, (HOST, wanted.url.port))
    await running.until(lambda: running.taken)
    await running.serve(listener("udp", url=wanted.url, from_=ELSEWHERE))
    agent.sendto(FRAME, (HOST, wanted.url.port))
    await running.until(lambda: account.seen == 6)
    assert account.rejected == {"not-allowed": 5}
    assert not running.met[1:]


async def test_connections_of_others_are_closed(running, caplog):
    """At once, counted each, told once; a reload that leaves a peer out closes what it has."""
    wanted = listener("tcp", from_=ELSEWHERE)
    await running.serve(wanted)
    account = running.ledger.listener("in")
    for _ in range(5):
        reader, out = await connected(wanted.url)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        out.close()
    await running.until(lambda: account.broken == {"not-allowed": 5})
    assert account.connected == 0
    assert caplog.text.count("not-allowed") == 1
    await running.serve(listener("tcp", url=wanted.url, from_=HERE))
    reader, out = await connected(wanted.url)
    out.write(FRAME)
    await running.until(lambda: running.taken)
    await running.serve(listener("tcp", url=wanted.url, from_=ELSEWHERE))
    await running.until(lambda: account.broken == {"not-allowed": 6})
    out.close()


async def test_ipv4_within_ipv6_is_ipv4(running):
    """A socket of IPv6 tells of IPv4 senders in its own way; networks mean them all the same."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    wanted = listener("tcp", from_=HERE)
    url = type(wanted.url)("tcp", "::", wanted.url.port)
    try:
        await running.serve(listener("tcp", url=url, from_=HERE))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    _, out = await connected(wanted.url)
    out.write(FRAME)
    await running.until(lambda: running.taken)
    out.close()


async def test_silence_ends_a_connection(running, monkeypatch, caplog):
    """After `idle`, counted; who speaks now and then stays."""
    monkeypatch.setattr(hepsw.net.tcp, "SWEEP", 0.02)
    wanted = listener("tcp", idle=0.4)
    await running.serve(wanted)
    account = running.ledger.listener("in")
    silent, silent_out = await connected(wanted.url)
    _, out = await connected(wanted.url)
    for _ in range(10):
        out.write(FRAME)
        await asyncio.sleep(0.1)
    assert account.broken == {"idle": 1}
    assert await asyncio.wait_for(silent.read(), 5) == b""
    assert len(running.taken) == 10
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    out.close()
    silent_out.close()


# --- what the key leaves behind ---


def test_a_key_under_a_vendors_id_goes_as_well():
    """Kazoo puts every generic chunk under its own id, the key among them."""
    chunks = [(0x000F, b"x"), (0x000E, KEY), (0x000B, b"\1")]
    body = b"".join(
        b"\0\1" + number.to_bytes(2, "big") + (6 + len(octets)).to_bytes(2, "big") + octets
        for number, octets in chunks
    )
    packet = decode(b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body)
    assert packet.auth_key == KEY
    left = without_key(packet)
    assert left.auth_key is None
    assert KEY not in left.data
    assert left.payload == b"x"


def test_a_vendors_chunk_of_the_same_number_stays():
    """It is no key."""
    packet = edit(decode(keyed(KEY)), {ChunkKey(3, 0x000E): KEY}, 0)
    left = without_key(packet)
    assert left.chunk(ChunkKey(3, 0x000E)) == KEY
    assert left.auth_key is None


def test_a_key_that_was_the_only_generic_chunk_goes():
    """What is left reads otherwise than before, but nothing of the key travels on."""
    body = b"\0\1\0\x0f\0\7x" + b"\0\0\0\x0e" + (6 + len(KEY)).to_bytes(2, "big") + KEY
    packet = decode(b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body)
    assert packet.auth_key == KEY
    assert without_key(packet).data == b"HEP3\0\x0d\0\1\0\x0f\0\7x"


@given(st.lists(st.sampled_from([KEY, b"", b"other", b"\0" * 9]), min_size=1, max_size=4))
def test_every_copy_goes_and_nothing_else(keys):
    """The rest of the frame is as it came."""
    (packet,) = decode_datagram(keyed(*keys))
    assert without_key(packet).data == PLAIN


ADDRESSES = st.binary(min_size=1, max_size=1).map(lambda last: bytes([10, 0, 0]) + last)
RANGES = st.tuples(ADDRESSES, ADDRESSES).map(lambda both: Within(min(both), max(both)))


@given(st.lists(RANGES, max_size=5), st.frozensets(ADDRESSES, max_size=3), ADDRESSES)
def test_networks_are_what_they_are_made_of(ranges, ones, address):
    """Overlapping, touching, single or none: an address is in them if it is in one."""
    found = networks(OneOf((Equal(ones), *ranges)))
    plainly = address in ones or any(one.first <= address <= one.last for one in ranges)
    assert (address in found) is plainly
    assert bytes(16) not in found


def test_networks_of_both_families():
    """IPv4 written as IPv6 is IPv4; nothing of one family is in a network of the other."""
    mapped = bytes(10) + b"\xff\xff"
    found = networks(
        OneOf((Within(mapped + bytes(4), mapped + b"\0\0\0\xff"), Equal(frozenset({bytes(16)}))))
    )
    assert b"\0\0\0\7" in found
    assert bytes(16) in found
    assert bytes(15) + b"\1" not in found
    assert b"\0\0\1\0" not in found
    assert b"\1" not in Networks(())
