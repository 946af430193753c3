"""TLS on the way out: a verified far side, and acknowledgements that still tell of frames.

The records are made in memory (`ssl.MemoryBIO`) and written by ourselves, so it is known at which
octet of the connection each batch of frames has left: what the kernel counts is ciphertext. A
record holds whole frames, 16 KiB of them, and they are delivered together.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hepsw.net.batches import unacknowledged
from hepsw.sinks.channel import READ, ClosedError
from hepsw.sinks.queue import whole
from hepsw.sinks.trouble import TlsError

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from hepsw.config.configuration import TlsSettings

RECORD: Final = 16 << 10
"""Octets that one record carries at most."""
PENDING: Final = 64 << 10
"""Octets of ciphertext for which the kernel has no room, before no more is made."""
JUDGED: Final = 1.0
"""Seconds that the far side has for a word on our certificate.

In TLS 1.3 it judges that after our part of the handshake is over. What had left in between would
be acknowledged, and lost with every try. Servers send session tickets when they are content, and
these end the wait; one that sends none costs this much at each connection."""


class Contexts:
    """The context of one link, made anew when one of its files has changed.

    A certificate that was renewed is shown by the next connection, without a reload.
    """

    def __init__(self, settings: TlsSettings | None, given: ssl.SSLContext | None) -> None:
        self._ca = settings.ca if settings else None
        self._cert = settings.cert if settings else None
        self._key = settings.key if settings else None
        self._made = given
        self._stamp: object = None
        self._is_given = given is not None

    async def context(self) -> ssl.SSLContext:
        """Return the context to connect with; files are read in a thread.

        Raises:
            TlsError: they cannot be used.
        """
        if self._is_given and self._made is not None:
            return self._made
        return await asyncio.to_thread(self._fresh)

    def _fresh(self) -> ssl.SSLContext:
        try:
            stamp = [
                (found.st_mtime_ns, found.st_size, found.st_ino)
                for found in (file.stat() for file in (self._ca, self._cert, self._key) if file)
            ]
            if self._made is None or stamp != self._stamp:
                self._made, self._stamp = client_context(self._ca, self._cert, self._key), stamp
        except ssl.SSLError as error:
            raise TlsError(f"certificate files: {_reason(error)}") from error
        except OSError as error:
            raise TlsError(f"{error.filename or self._ca}: {error.strerror}") from error
        return self._made


def client_context(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return a context that verifies certificate and name of the far side, TLS 1.2 or later.

    Raises:
        OSError: a file cannot be read, or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca)
    if cert is not None:
        # With a word that is wrong, for otherwise OpenSSL asks for one at the terminal.
        context.load_cert_chain(cert, key, password="")
    return context


class TlsChannel:
    """Frames in records; made by `opened` alone, so there is none before the far side is verified.

    See `Channel` for what it does.
    """

    by_frame = False

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self.sock = sock
        self.sent = 0
        self._descriptor = sock.fileno()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._rest = memoryview(b"")
        """Ciphertext taken from `_outgoing` and not by the kernel."""

    @property
    def pending(self) -> int:
        """See `Channel`."""
        return len(self._rest) + self._outgoing.pending

    @property
    def end(self) -> int:
        """See `Channel`."""
        return self.sent + self.pending

    def write(self, frames: list[bytes], start: int, skip: int) -> int:  # noqa: ARG002 - see below
        """Encrypt whole frames for one record, or one frame that needs several.

        None is ever cut, so `skip` is 0.
        """
        if self.pending > PENDING and not self.flush() and self.pending > PENDING:
            raise BlockingIOError
        stop, _ = whole(frames, start, RECORD)
        octets = memoryview(b"".join(frames[start : max(stop, start + 1)]))
        done = 0
        try:
            while done < len(octets):
                done += self._tls.write(octets[done:])
        except ssl.SSLError as error:
            raise told(error) from error
        return done

    def flush(self) -> bool:
        """See `Channel`."""
        while True:
            if not self._rest:
                if not self._outgoing.pending:
                    return True
                self._rest = memoryview(self._outgoing.read())
            try:
                octets = self.sock.send(self._rest)
            except BlockingIOError:
                return False
            self.sent += octets
            self._rest = self._rest[octets:]

    def acknowledged(self) -> int:
        """See `Channel`."""
        return self.sent - unacknowledged(self._descriptor)

    def hear(self) -> None:
        """Read what the far side says: nobody wants its data, but tickets and its end matter."""
        try:
            octets = self.sock.recv(READ)
        except BlockingIOError:
            return
        self.understand(octets)
        self.flush()

    def understand(self, octets: bytes) -> None:
        """Take ciphertext of the far side's.

        Raises:
            ClosedError: it ends the connection.
            TlsError: it is no TLS, or an alert.
        """
        if not octets:
            raise ClosedError
        self._incoming.write(octets)
        try:
            while self._tls.read(READ):
                pass
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError as error:
            raise told(error) from error
        raise ClosedError

    def say_the_end(self) -> None:
        """Send close_notify; the connection stays half open for what is acknowledged late."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self.flush()

    async def shake_hands(self, patience: float) -> None:
        """Do our part of the handshake, and hear what the far side thinks of it.

        Args:
            patience: longest time to wait for a word after the handshake.

        Raises:
            TlsError: one of the two refused the other.
            ClosedError: the far side did, without a word.
            OSError: the connection broke.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send_all(loop)
                octets = await loop.sock_recv(self.sock, READ)
                # `sock_recv` does not suspend while there is something to read.
                await asyncio.sleep(0)
                if not octets:
                    raise TlsError("closed by the far side during the TLS handshake") from None
                self._incoming.write(octets)
            except (ssl.SSLError, ssl.CertificateError) as error:
                with suppress(OSError):  # the far side is told why
                    self.sock.send(self._outgoing.read())
                raise told(error) from error
        await self._send_all(loop)
        if self._tls.version() == "TLSv1.3":
            try:
                async with asyncio.timeout(min(JUDGED, patience)):
                    octets = await loop.sock_recv(self.sock, READ)
            except TimeoutError:
                return
            self.understand(octets)

    async def _send_all(self, loop: asyncio.AbstractEventLoop) -> None:
        octets = self._outgoing.read()
        await loop.sock_sendall(self.sock, octets)
        self.sent += len(octets)


async def opened(
    sock: socket.socket, context: ssl.SSLContext, name: str, patience: float
) -> TlsChannel:
    """Return an encrypted channel over a connected socket, whose far side is verified.

    Args:
        sock: connected, not blocking.
        context: verifies.
        name: the host name or address that the far side must prove.
        patience: longest time to wait for the far side's word after the handshake.

    Raises:
        TlsError: one of the two refused the other.
        ClosedError: the far side did, without a word.
        OSError: the connection broke.
    """
    try:
        channel = TlsChannel(sock, context, name.partition("%")[0])
    except ValueError as error:
        raise TlsError(f"no name for a certificate: {name!r}") from error
    await channel.shake_hands(patience)
    return channel


def told(error: ssl.SSLError) -> TlsError:
    """Return what OpenSSL says in words for the operator."""
    return TlsError(_reason(error))


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    reason = error.reason or error.strerror or str(error)
    if alert := re.fullmatch(r"(?:SSL|TLS)V[0-9]+_ALERT_(\w+)", reason):
        return f"the far side says: {alert[1].lower().replace('_', ' ')}"
    return f"TLS: {reason.lower().replace('_', ' ')}"
