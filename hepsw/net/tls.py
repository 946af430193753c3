"""TLS of one connection, between what a socket reads and what the splitter is given.

No sockets and no clocks here: octets go in, plain octets come out, and what is to be written is
fetched. Python's own `asyncio` TLS keeps a quarter of a mebibyte for each connection from its first
moment on; a `Session` is next to nothing until the peer has said something, and then what OpenSSL
needs.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepsw.config.configuration import ListenerTls

ROOM: Final = 3 << 15
"""Octets of a plain read: more than what one read of a socket holds, and a record before it."""
SAID: Final = 200
"""Characters of a certificate's names in the log: it can have thousands."""
RECORD: Final = 5
"""Octets of the header of a TLS record; the last two are the length of what follows."""


class SessionError(Exception):
    """The peer is not let in, or what it sends is not TLS."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Terms:
    """What a listener offers new connections, and whom it lets in."""

    def __init__(self, settings: ListenerTls, context: ssl.SSLContext) -> None:
        self.settings = settings
        self.context = context
        self.buffer = bytearray(ROOM)
        """What is decrypted into; one for all sessions, because each read is used up at once."""


class Session:
    """The server's end of one connection."""

    __slots__ = ("_head", "_incoming", "_left", "_object", "_outgoing", "_terms", "is_over", "name")

    def __init__(self, terms: Terms) -> None:
        self._terms: Terms = terms
        self._object: ssl.SSLObject | None = None
        """Made with the first octets: who connects and is silent must not cost anything."""
        self._incoming: Any = None
        self._outgoing: Any = None
        self._head = b""
        """Of a record whose header is not whole yet."""
        self._left = 0
        """Octets that are missing of a record that has begun."""
        self.name: str | None = None
        """Who the client's certificate says it is, once the handshake is done."""
        self.is_over = False
        """Whether the peer has said that nothing more will come."""

    @property
    def is_begun(self) -> bool:
        """Whether the peer has said anything yet."""
        return self._incoming is not None

    @property
    def is_cut(self) -> bool:
        """Whether the octets so far end inside a record."""
        return bool(self._head or self._left)

    def receive(self, octets: bytes, *, shaking: bool) -> bytes | None:
        """Return what came in plain; None while the handshake is not done.

        Args:
            octets: as the socket gave them.
            shaking: the handshake was not done before.

        Raises:
            SessionError: there is no going on; what is to be written tells the peer.
        """
        if self._object is None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._object = self._terms.context.wrap_bio(
                self._incoming, self._outgoing, server_side=True
            )
        self._incoming.write(octets)
        self._follow(octets)
        if shaking and not self._shake(self._object):
            return None
        buffer = self._terms.buffer
        room = memoryview(buffer)
        whole = b""
        at = 0
        try:
            while not self.is_over:
                read = self._object.read(ROOM, room[at:])
                if not read:
                    self.is_over = True
                at += int(read)
                if at == ROOM:
                    whole += bytes(buffer)
                    at = 0
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_over = True
        except ssl.SSLError as error:
            raise SessionError("tls-error", _words(error)) from error
        return whole + bytes(room[:at])

    def answer(self) -> bytes:
        """Return what is to be written, and is then forgotten."""
        found: bytes = self._outgoing.read() if self._outgoing is not None else b""
        return found

    def farewell(self) -> bytes:
        """Return what tells the peer that nothing more is read."""
        if self._object is None:
            return b""
        with suppress(ssl.SSLError):
            self._object.unwrap()
        return self.answer()

    def _shake(self, made: ssl.SSLObject) -> bool:
        """Go on with the handshake; tell whether it is done."""
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise SessionError("tls-handshake", _words(error)) from error
        except ValueError as error:
            # Python itself refuses some names that a client asks for.
            raise SessionError("tls-handshake", str(error)) from error
        settings = self._terms.settings
        if settings.client_ca is not None:
            shown = _shown(made)
            if settings.names and settings.names.isdisjoint(shown):
                raise SessionError("tls-name", ", ".join(shown)[:SAID] or "no name")
            self.name = shown[0] if shown else None
        return True

    def _follow(self, octets: bytes) -> None:
        """Note whether octets end inside a record: what is cut short there nobody else can see."""
        at = self._left
        if self._head:
            octets = self._head + octets
            self._head = b""
        size = len(octets)
        while at + RECORD <= size:
            at += RECORD + (octets[at + 3] << 8 | octets[at + 4])
        if at < size:
            self._head = octets[at:]
            at = size
        self._left = at - size


def _shown(made: ssl.SSLObject) -> list[str]:
    """Return the names in the peer's certificate.

    Raises:
        SessionError: its authority signed something that Python cannot read.
    """
    try:
        return names_of(made.getpeercert() or {})
    except (ValueError, ssl.SSLError) as error:
        text = "a name in its certificate is no text"
        raise SessionError("tls-handshake", text) from error


def names_of(certificate: Mapping[str, Any]) -> list[str]:
    """Return the names in a certificate: of hosts, its common name, its URIs.

    Args:
        certificate: as `SSLObject.getpeercert` returns it.
    """
    alternative = certificate.get("subjectAltName", ())
    common = [
        value
        for part in certificate.get("subject", ())
        for kind, value in part
        if kind == "commonName"
    ]
    return [
        *(value for kind, value in alternative if kind == "DNS"),
        *common,
        *(value for kind, value in alternative if kind == "URI"),
    ]


def _words(error: ssl.SSLError) -> str:
    """Return what OpenSSL says, as an operator reads it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or str(error)).replace("_", " ").lower()
