"""TLS listeners, with real certificates and real handshakes."""

import asyncio
import gc
import ssl
import tracemalloc
from contextlib import suppress

import pytest
from certificates import certificates
from listening import FRAME, client, connected, left, listener, sealed, tls
from loopback import HOST

import hepsw.net.tcp
import hepsw.net.tls
from hepsw.concealed import Concealed
from hepsw.config.conditions import Within
from hepsw.config.networks import networks
from hepsw.hep import build
from hepsw.net.sayings import AGAIN, MOST, Sayings
from hepsw.net.tls import Session, SessionError, Terms, names_of


@pytest.fixture
def made(tmp_path):
    """Certificates."""
    return certificates(tmp_path)


async def refused(url, context):
    """Connect and see that nothing that is sent arrives: TLS 1.3 tells a client late."""
    try:
        reader, out = await sealed(url, context)
    except OSError:
        return
    out.write(FRAME)
    with suppress(OSError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    await left(out)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_frames_come_through_tls(running, made, version):
    """In order, however they are cut into writes; the peer has no name without a certificate."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    frames = [build(capture_id=n, payload=b"x" * (n * 37 % 3000)).data for n in range(400)]
    _, out = await sealed(wanted.url, client(made.ca, most=version))
    octets = b"".join(frames)
    for at in range(0, len(octets), 7919):
        out.write(octets[at : at + 7919])
        await out.drain()
    await running.until(lambda: len(running.taken) == len(frames))
    assert [packet.data for packet, _ in running.taken] == frames
    assert {(peer.transport, peer.name) for _, peer in running.taken} == {("tls", None)}
    running.listeners.measure()
    assert running.ledger.listener("in").connections == 1
    await left(out)
    await running.until(lambda: not running.listeners._connections._open)
    assert not running.ledger.listener("in").broken


async def test_the_client_is_known_by_its_certificate(running, made):
    """By its first name of a host; several that are let in are told apart."""
    other = made.authority.issue("edge2", name="edge2")
    wanted = listener(
        "tls", tls=tls(made.server, client_ca=made.ca, names=["edge1.example", "edge2"])
    )
    await running.serve(wanted)
    for pair in (made.client, other):
        _, out = await sealed(wanted.url, client(made.ca, pair))
        out.write(FRAME)
        before = len(running.taken)
        await running.until(lambda: len(running.taken) > before)  # noqa: B023 - waited for here
        await left(out)
    assert [peer.name for _, peer in running.taken] == ["edge1.example", "edge2"]


async def test_who_brings_no_good_certificate_is_refused(running, made, caplog):
    """None, expired, of another authority: nothing is taken, each is counted, one is told."""
    wanted = listener("tls", tls=tls(made.server, client_ca=made.ca))
    await running.serve(wanted)
    for pair in (None, made.expired_client, made.other_client):
        await refused(wanted.url, client(made.ca, pair))
    account = running.ledger.listener("in")
    await running.until(lambda: account.broken.total() == 3)
    assert account.broken == {"tls-handshake": 3}
    assert not running.taken
    assert caplog.text.count("tls-handshake") == 1


@pytest.mark.parametrize(
    ("issued", "is_in"),
    [
        ({"dns": ["a.example", "edge1.example"]}, True),
        ({"name": "edge1.example"}, True),
        ({"uris": ["spiffe://site/edge1"]}, True),
        ({"name": "edge1"}, False),
        ({"name": "edge1.example.net"}, False),
        ({"name": "xedge1.example"}, False),
        ({"dns": ["*.example"]}, False),
        ({}, False),
    ],
)
async def test_only_names_of_the_list_are_let_in(running, made, issued, is_in):
    """A name of a host, a URI or the common name, compared as a whole."""
    pair = made.authority.issue("agent", **issued)
    names = ["edge1.example", "spiffe://site/edge1"]
    wanted = listener("tls", tls=tls(made.server, client_ca=made.ca, names=names))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    if is_in:
        _, out = await sealed(wanted.url, client(made.ca, pair))
        out.write(FRAME)
        await running.until(lambda: running.taken)
        await left(out)
        assert not account.broken
    else:
        await refused(wanted.url, client(made.ca, pair))
        await running.until(lambda: account.broken)
        assert account.broken == {"tls-name": 1}
        assert not running.taken


async def test_a_name_that_is_no_text_is_refused(running, made, monkeypatch):
    """Python cannot read each certificate that an authority may have signed."""

    def unreadable(_):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr(hepsw.net.tls, "names_of", unreadable)
    wanted = listener("tls", tls=tls(made.server, client_ca=made.ca))
    await running.serve(wanted)
    await refused(wanted.url, client(made.ca, made.client))
    await running.until(lambda: running.ledger.listener("in").broken)
    assert running.ledger.listener("in").broken == {"tls-handshake": 1}


async def test_old_versions_and_other_talk_are_refused(running, made):
    """TLS 1.1, HEP in clear text, HTTP, noise."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    old = client(made.ca, most=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    await refused(wanted.url, old)
    for octets in (FRAME, b"GET / HTTP/1.0\r\n\r\n", bytes(range(256))):
        reader, out = await connected(wanted.url)
        out.write(octets)
        with suppress(OSError):
            await asyncio.wait_for(reader.read(), 5)
        await left(out)
    await running.until(lambda: account.broken.total() == 4)
    assert account.broken == {"tls-handshake": 4}
    assert not running.taken


async def test_a_handshake_has_its_time(running, made, monkeypatch):
    """Silent from the beginning or half-way: closed and counted; a finished one may be silent."""
    monkeypatch.setattr(hepsw.net.tcp, "SWEEP", 0.02)
    monkeypatch.setattr(hepsw.net.tcp, "HANDSHAKE", 0.3)
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    _, good = await sealed(wanted.url, client(made.ca))
    silent, silent_out = await connected(wanted.url)
    half, half_out = await connected(wanted.url)
    half_out.write(hello(made)[:50])
    assert await asyncio.wait_for(silent.read(), 5) == b""
    assert await asyncio.wait_for(half.read(), 5) == b""
    assert account.broken == {"tls-timeout": 2}
    assert not running.listeners._connections._shaking
    good.write(FRAME)
    await running.until(lambda: running.taken)
    await left(good, silent_out, half_out)


def hello(made):
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = client(made.ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        talk.do_handshake()
    return outgoing.read()


async def test_handshakes_at_once_are_bounded(running, made, monkeypatch):
    """Where there are too many the oldest goes; who comes meanwhile is not kept out."""
    monkeypatch.setattr(hepsw.net.tcp, "HANDSHAKES", 8)
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted, listener("tcp"))
    account = running.ledger.listener("in")
    said = hello(made)
    slow = []
    for _ in range(20):
        slow.append(await connected(wanted.url))
        slow[-1][1].write(said)
    await running.until(lambda: account.broken["handshakes"] == 12)
    assert len(running.listeners._connections._shaking) == 8
    _, good = await sealed(wanted.url, client(made.ca))
    good.write(FRAME)
    await running.until(lambda: running.taken)
    assert account.broken == {"handshakes": 13}
    await left(good, *(out for _, out in slow))
    # Those that leave within theirs are counted as well, and keep no place.
    await running.until(lambda: account.broken.total() == 20)
    assert account.broken == {"handshakes": 13, "tls-handshake": 7}
    assert not running.listeners._connections._shaking


@pytest.mark.parametrize("turn", [0.0, 10.0])
async def test_many_come_at_once(running, made, monkeypatch, turn):
    """As after a restart: each has its turn, one by one or all together, and nobody is lost."""
    monkeypatch.setattr(hepsw.net.tcp, "TURN", turn)
    wanted = listener("tls", tls=tls(made.server, client_ca=made.ca))
    await running.serve(wanted)
    context = client(made.ca, made.client)
    agents = await asyncio.gather(*(sealed(wanted.url, context) for _ in range(60)))
    for _, out in agents:
        out.write(FRAME * 3)
    await running.until(lambda: len(running.taken) == 180)
    assert {peer.name for _, peer in running.taken} == {"edge1.example"}
    account = running.ledger.listener("in")
    assert not account.broken
    assert not running.listeners._connections._shaking
    await left(*(out for _, out in agents))


async def test_silent_connections_cost_nobody_anything(running, made, monkeypatch):
    """300 that say nothing: a good sender loses nothing, and each is worth a few KiB."""
    monkeypatch.setattr(hepsw.net.tcp, "HANDSHAKES", 16)
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    _, good = await sealed(wanted.url, client(made.ca))
    silent = []
    for count in range(300):
        _, out = await connected(wanted.url)
        silent.append(out)
        if count % 10 == 0:
            good.write(FRAME * 10)
    _, another = await sealed(wanted.url, client(made.ca))
    another.write(FRAME)
    await running.until(lambda: len(running.taken) == 301)
    account = running.ledger.listener("in")
    assert account.connected == 302
    assert not account.broken
    await left(good, another, *silent)


async def test_a_silent_connection_is_small(running, made):
    """Before its first octet it holds nothing of OpenSSL's."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    async with asyncio.timeout(10):
        outs = [(await connected(wanted.url))[1] for _ in range(10)]
        await running.until(lambda: account.connected == 10)
    (live,) = running.listeners._live.values()
    assert all(not connection._session.is_begun for connection in live._connections)
    await left(*outs)


@pytest.mark.parametrize("cut", [0, 1, 10, len(FRAME) - 1])
async def test_an_end_within_a_packet_is_counted(running, made, cut):
    """Said or not: what was whole is kept."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    for is_said in (True, False):
        _, out = await sealed(wanted.url, client(made.ca))
        out.write(FRAME + FRAME[:cut])
        await out.drain()
        before = len(running.taken)
        await running.until(lambda: len(running.taken) > before or account.accepted > before)  # noqa: B023 - waited for here
        if is_said:
            await left(out)
        else:
            out.transport.abort()
    await running.until(lambda: not running.listeners._connections._open)
    assert account.broken == ({"stream-partial": 2} if cut else {})
    assert len(running.taken) == 2


async def test_a_record_that_is_cut_is_counted(running, made):
    """Of a packet whose record never was whole nothing is seen, but that something was there."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    for size in (1, 4, 5, 6, 20, -1):
        talk, incoming, outgoing = shaken_client(made)
        reader, out = await connected(wanted.url)
        await shake(talk, incoming, outgoing, reader, out)
        talk.write(FRAME)
        out.write(outgoing.read())
        talk.write(FRAME)
        out.write(outgoing.read()[:size])
        await left(out)
    await running.until(lambda: not running.listeners._connections._open)
    assert account.broken == {"stream-partial": 6}
    assert len(running.taken) == 6


def shaken_client(made):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = client(made.ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    return talk, incoming, outgoing


async def shake(talk, incoming, outgoing, reader, out):
    """Do a handshake by hand."""
    while True:
        try:
            talk.do_handshake()
        except ssl.SSLWantReadError:
            out.write(outgoing.read())
            incoming.write(await reader.read(65536))
        else:
            break
    out.write(outgoing.read())


async def test_a_record_that_was_changed_breaks_the_connection(running, made):
    """Nothing of it is taken."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    account = running.ledger.listener("in")
    talk, incoming, outgoing = shaken_client(made)
    reader, out = await connected(wanted.url)
    await shake(talk, incoming, outgoing, reader, out)
    talk.write(FRAME)
    record = bytearray(outgoing.read())
    record[-1] ^= 1
    out.write(record)
    await running.until(lambda: account.broken)
    assert account.broken == {"tls-error": 1}
    assert not running.taken
    await left(out)


async def test_a_stream_that_is_no_hep_is_closed(running, made):
    """As over TCP."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    _, out = await sealed(wanted.url, client(made.ca))
    out.write(FRAME + b"GET / HTTP/1.0\r\n\r\n")
    account = running.ledger.listener("in")
    await running.until(lambda: account.broken)
    assert account.broken == {"stream-desync": 1}
    assert len(running.taken) == 1
    await left(out)


async def test_a_renewed_certificate_is_shown_to_new_connections(running, made):
    """Those that are open stay; a reload that finds a bad one changes nothing."""
    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    _, old = await sealed(wanted.url, client(made.ca))
    made.other_authority.issue("server", name="localhost", dns=["localhost"], ips=[HOST])
    await running.serve(listener("tls", url=wanted.url, tls=tls(made.server, digest="2")))
    await refused(wanted.url, client(made.ca))
    _, new = await sealed(wanted.url, client(made.other_ca))
    made.server.key.write_bytes(made.client.key.read_bytes())
    with pytest.raises(OSError, match="is not the key of"):
        running.listeners.bind([listener("tls", url=wanted.url, tls=tls(made.server, digest="3"))])
    _, newest = await sealed(wanted.url, client(made.other_ca))
    for out in (old, new, newest):
        out.write(FRAME)
    await running.until(lambda: len(running.taken) == 3)
    assert running.ledger.listener("in").broken == {"tls-handshake": 1}
    assert len(running.listeners._terms) == 1
    await left(old, new, newest)


async def test_others_are_closed_before_the_handshake(running, made):
    """`from` is asked first, the key of each packet behind TLS."""
    everyone = networks(Within(bytes(4), b"\xff" * 4))
    nobody = networks(Within(bytes(4), bytes(4)))
    wanted = listener("tls", tls=tls(made.server), from_=nobody)
    await running.serve(wanted)
    account = running.ledger.listener("in")
    await refused(wanted.url, client(made.ca))
    assert account.broken == {"not-allowed": 1}
    keys = (Concealed(b"secret"),)
    await running.serve(
        listener("tls", url=wanted.url, tls=wanted.tls, from_=everyone, auth_keys=keys)
    )
    _, out = await sealed(wanted.url, client(made.ca))
    out.write(FRAME + build(proto_type=1, capture_id=7, payload=b"x", auth_key=b"secret").data)
    await running.until(lambda: running.taken)
    assert account.rejected == {"auth-key": 1}
    assert running.taken[0][0].data == FRAME
    await left(out)


async def test_it_is_its_own_for_tls(running, made):
    """What is sent there comes back."""
    from ipaddress import ip_address

    wanted = listener("tls", tls=tls(made.server))
    await running.serve(wanted)
    assert running.listeners.is_own("tcp", ip_address(HOST), wanted.url.port)
    assert not running.listeners.is_own("udp", ip_address(HOST), wanted.url.port)


# --- without sockets ---


def test_a_session_is_nothing_before_the_first_octet(made):
    """A thousand of them take less than half a MiB."""
    from hepsw.config.certificates import server_context

    settings = tls(made.server)
    terms = Terms(settings, server_context(settings))
    gc.collect()
    tracemalloc.start()
    try:
        sessions = [Session(terms) for _ in range(1000)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 512 * 1024
    assert not any(session.is_begun for session in sessions)
    assert sessions[0].answer() == sessions[0].farewell() == b""


def test_noise_is_an_error_that_is_told(made):
    """By a reason and in words."""
    from hepsw.config.certificates import server_context

    settings = tls(made.server)
    session = Session(Terms(settings, server_context(settings)))
    with pytest.raises(SessionError, match="wrong version number") as raised:
        session.receive(b"HEP3" + bytes(60), shaking=True)
    assert raised.value.reason == "tls-handshake"


def test_the_end_of_a_record_is_followed():
    """However the octets are cut."""
    record = b"\x17\x03\x03\0\x04abcd"
    for sizes in ((1, 1, 1), (4, 5), (5, 4), (3, 6), (9,), (2, 7)):
        session = Session(None)
        octets = record * 3
        at = 0
        for turn in range(30):
            size = sizes[turn % len(sizes)]
            session._follow(octets[at : at + size])
            at += size
            assert session.is_cut is (at % 9 != 0 and at < 27)


def test_names_of_a_certificate():
    """Hosts first, then the common name, then URIs."""
    told = {
        "subject": ((("countryName", "AT"),), (("commonName", "edge"),)),
        "subjectAltName": (("URI", "spiffe://x"), ("DNS", "b"), ("DNS", "a"), ("IP Address", "::")),
    }
    assert names_of(told) == ["b", "a", "edge", "spiffe://x"]
    assert names_of({}) == []


def test_the_same_is_said_once_a_minute():
    """And never more than a page of it."""
    sayings = Sayings()
    assert sayings.is_news("a", "idle", 100.0)
    assert not sayings.is_news("a", "idle", 101.0)
    assert sayings.is_news("a", "tls-name", 101.0)
    assert sayings.is_news("b", "idle", 101.0)
    assert sayings.is_news("a", "idle", 100.0 + AGAIN)
    told = [sayings.is_news(str(number), "idle", 161.0) for number in range(2 * MOST)]
    assert sum(told) == MOST - 1
