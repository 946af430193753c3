"""Whom a link over TLS believes, and that nothing leaves before."""

import asyncio
import shutil
import socket
import ssl
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from certificates import certificates
from linking import Server, frame, linked, numbers, serving, until
from loopback import HOST

from hepsw.sinks import stream, tls
from hepsw.sinks.tls import client_context

both = pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
FRAMES = [frame(number) for number in range(10)]


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


def wanting(**more):
    return SimpleNamespace(**{"ca": None, "cert": None, "key": None, "name": None, **more})


async def refused(server, url, tls, told, tries=2):
    """See that a link is refused, keeps what it has, and that the server reads no frame.

    Returns:
        What the server heard instead of them.
    """
    heard = []
    async with linked(url, tls=tls, timeout=2.0) as owner:
        owner.take(FRAMES)
        for _ in range(tries):
            far = await server.accept(shake_hands=False)
            with suppress(ConnectionError):
                while True:
                    try:
                        if not await far.read():
                            break
                    except ssl.SSLError as error:
                        heard.append(error.reason)
            assert far.octets == b""
            await until(lambda: owner.account.state.startswith("down"))
        assert told in owner.account.state
        assert owner.account.errors["tls"] >= tries - 1
        assert owner.account.errors.total() == owner.account.errors["tls"]
        assert len(owner.link.queue) == 10
        assert owner.account.delivered == owner.account.resent == 0
        assert "up" not in owner.told
    return heard


async def accepted(server, url, tls):
    """See that a link delivers."""
    async with linked(url, tls=tls) as owner:
        owner.take(FRAMES)
        far = await server.accept()
        await far.read_until(lambda octets: len(octets) == 1000)
        assert numbers(far.octets)[0] == list(range(10))
        await until(lambda: owner.account.delivered == 10)
        assert owner.account.errors == {}
        return owner.link._channel._tls.version()


@both
@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("elsewhere", "certificate verify failed: IP address mismatch"),
        ("expired", "certificate verify failed: certificate has expired"),
        ("other_server", "certificate verify failed: unable to get local issuer"),
    ],
)
async def test_bad_certificate(certs, pair, told, newest):
    """Another's, an old one, by nobody whom we know: no octet of a frame leaves, all wait."""
    with Server(serving(getattr(certs, pair), newest=newest)) as server:
        heard = await refused(server, server.url, wanting(ca=certs.ca), told)
        assert heard  # an alert says why


async def test_certificate_that_signs_itself(certs):
    """Known to nobody, it is refused; believed by itself, it is as good as any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = certs.ca.parent
    own = certs.authority.__class__(folder, "own")
    pair = own.issue("self", ips=[HOST])
    pair.cert.write_bytes(pair.cert.read_bytes() + own.ca.read_bytes())
    context.load_cert_chain(pair.cert, pair.key)
    with Server(context) as server:
        told = "certificate verify failed: self-signed certificate"
        await refused(server, server.url, wanting(), told)
        await accepted(server, server.url, wanting(ca=own.ca))


async def test_system_trust(certs, monkeypatch):
    """Without `ca` it is the system's authorities who are believed, and no others."""
    with Server(serving(certs.server)) as server:
        await refused(server, server.url, wanting(), "certificate verify failed")
        monkeypatch.setenv("SSL_CERT_FILE", str(certs.ca))
        await accepted(server, server.url, wanting())


@pytest.mark.parametrize("host", [HOST, "[::1]", "localhost"])
async def test_names(certs, host):
    """The url's host must be in the certificate, an address as an address."""
    with Server(serving(certs.server), host=host.strip("[]").replace("localhost", HOST)) as server:
        await accepted(server, server.named(host), wanting(ca=certs.ca))


async def test_name_of_its_own(certs):
    """`tls.name` is what the certificate must have, and the server is asked for."""
    asked = []
    context = serving(certs.elsewhere)
    context.sni_callback = lambda _tls, name, _context: asked.append(name)
    with Server(context) as server:
        settings = wanting(ca=certs.ca, name="elsewhere.example")
        await accepted(server, server.url, settings)
        assert asked == ["elsewhere.example"]
        settings = wanting(ca=certs.ca, name="else.example")
        told = "certificate verify failed: Hostname mismatch"
        await refused(server, server.url, settings, told)
        settings = wanting(ca=certs.ca, name="")
        await refused(server, server.url, settings, "IP address mismatch")


@both
async def test_certificate_of_ours(certs, newest):
    """A server that wants one takes it; one that refuses it has not been sent a frame.

    In TLS 1.3 it refuses after our part of the handshake is over: what had left by then would have
    been acknowledged, and lost again with each try.
    """
    with Server(serving(certs.server, certs.ca, newest=newest)) as server:
        wish = wanting(ca=certs.ca, cert=certs.client.cert, key=certs.client.key)
        assert await accepted(server, server.url, wish) == newest.name.replace("_", ".")
        for pair, told in (
            (certs.other_client, "the far side says: unknown ca"),
            (certs.expired_client, "the far side says: certificate expired"),
        ):
            wish = wanting(ca=certs.ca, cert=pair.cert, key=pair.key)
            await refused(server, server.url, wish, told)
        told = "certificate required" if newest.name == "TLSv1_3" else "handshake failure"
        await refused(server, server.url, wanting(ca=certs.ca), told)


async def test_server_without_tickets(certs, monkeypatch):
    """One that says nothing after the handshake is waited for, and then believed."""
    monkeypatch.setattr(tls, "JUDGED", 0.2)
    context = serving(certs.server)
    context.num_tickets = 0
    with Server(context) as server:
        began = time.monotonic()
        await accepted(server, server.url, wanting(ca=certs.ca))
        assert 0.2 < time.monotonic() - began < 1.5


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls(certs):
    """What speaks nothing newer than TLS 1.1 is refused."""
    context = serving(certs.server)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Server(context) as server:
        await refused(server, server.url, wanting(ca=certs.ca), "protocol version")


async def test_files_that_cannot_be_used(certs, tmp_path):
    """It is told which, and tried again: they may be put right."""
    ca = tmp_path / "ca.pem"
    with Server(serving(certs.server)) as server:
        async with linked(server.url, tls=wanting(ca=ca)) as owner:
            owner.take(FRAMES)
            await until(lambda: owner.account.errors["tls"])
            assert owner.account.state == f"down: {ca}: No such file or directory"
            ca.write_text("no certificate")
            await until(lambda: owner.account.state.startswith("down: certificate files: "))
            shutil.copy(certs.ca, ca)
            far = await server.accept()
            await far.read_until(lambda octets: len(octets) == 1000)


async def test_certificate_that_is_renewed(certs, tmp_path):
    """The next connection shows what the file holds by then."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(certs.expired_client.cert, cert)
    shutil.copy(certs.expired_client.key, key)
    with Server(serving(certs.server, certs.ca)) as server:
        async with linked(server.url, tls=wanting(ca=certs.ca, cert=cert, key=key)) as owner:
            owner.take(FRAMES)
            far = await server.accept(shake_hands=False)
            with suppress(ssl.SSLError, ConnectionError):
                await far.shake_hands()
            await until(lambda: owner.account.errors["tls"])
            shutil.copy(certs.client.cert, cert)
            shutil.copy(certs.client.key, key)
            while len(far.octets) < 1000:
                far = await server.accept(shake_hands=False)
                with suppress(ssl.SSLError, ConnectionError):
                    await far.read_until(lambda octets: len(octets) == 1000)
            assert owner.account.errors["tls"] < 4


async def test_key_that_wants_a_password_asks_nobody(certs, tmp_path):
    """It is refused; a question at the terminal would hold up a thread for ever."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(certs.client.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ssl.SSLError):
        client_context(certs.ca, certs.client.cert, locked)


async def test_server_that_is_silent(certs):
    """The handshake has its part of `timeout`, and the loop goes on meanwhile."""
    with Server(serving(certs.server)) as server:
        began = time.monotonic()
        async with linked(server.url, tls=wanting(ca=certs.ca), timeout=0.3) as owner:
            await until(lambda: owner.account.errors["unreachable"])
            assert 0.25 < time.monotonic() - began < 1
            assert owner.account.state == "down: no answer"


async def test_server_that_is_none(certs):
    """What speaks something else, or ends, is told so."""
    with Server() as server:
        url = f"tls://{HOST}:{server.port}"
        async with linked(url, tls=wanting(ca=certs.ca)) as owner:
            far = await server.accept()
            far.sock.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await until(lambda: owner.account.state == "down: TLS: wrong version number")
            far = await server.accept()
            far.close()
            end = "down: closed by the far side during the TLS handshake"
            await until(lambda: owner.account.state in {end, "down: Connection reset by peer"})


async def test_garbage_within_tls(certs):
    """What is no record of the connection breaks it; what was not acknowledged is sent again."""
    with Server(serving(certs.server)) as server:
        async with linked(server.url, tls=wanting(ca=certs.ca)) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            far.sock.send(bytes(100))
            await until(lambda: owner.account.errors)
            assert owner.account.errors == {"tls": 1}
            far = await server.accept()
            owner.take(FRAMES)
            await far.read_until(lambda octets: len(octets) == 1000)


async def test_close_notify_is_a_break(certs):
    """Even where the connection below goes on."""
    with Server(serving(certs.server)) as server:
        async with linked(server.url, tls=wanting(ca=certs.ca)) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            with suppress(ssl.SSLError):
                far._tls.unwrap()
            far.sock.send(far._outgoing.read())
            await until(lambda: owner.account.errors)
            assert owner.account.errors == {"broken": 1}


async def test_ciphertext_that_waits_is_bounded(certs):
    """With a kernel that takes nothing, no more is encrypted than `PENDING` and one frame."""
    with Server(serving(certs.server), room=4096) as server:
        async with linked(server.url, tls=wanting(ca=certs.ca), packets=20000) as owner:
            far = await server.accept()
            await until(lambda: owner.link.is_up)
            for _ in range(20):
                owner.take([frame(n, 60000) for n in range(5)])
                owner.take([frame(n, 500) for n in range(500)])
            channel = owner.link._channel
            assert 0 < channel.pending < tls.PENDING + 70_000
            assert channel.end == channel.sent + channel.pending
            assert len(owner.link.queue) > 9000
            far.reset()
            await until(lambda: owner.account.errors)


async def test_with_a_server_of_another_make(certs, monkeypatch):
    """Python's own sockets, blocking and in a thread: what is written is what they read."""
    monkeypatch.setattr(stream, "LOOK", 0.005)
    got = []

    def serve(listener):
        sock, _ = listener.accept()
        with serving(certs.server).wrap_socket(sock, server_side=True) as secure:
            while octets := secure.recv(1 << 16):
                got.append(octets)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"tls://{HOST}:{listener.getsockname()[1]}"
        async with linked(url, tls=wanting(ca=certs.ca)) as owner:
            await until(lambda: owner.link.is_up)
            for first in range(0, 5000, 50):
                owner.take([frame(n, 10 + n % 700) for n in range(first, first + 50)])
                await asyncio.sleep(0)
            await until(lambda: owner.account.delivered == 5000)
        thread.join(5)
        assert numbers(b"".join(got)) == (list(range(5000)), b"")
