"""Certificates and keys from files, as `ssl` takes them, and what is wrong with them.

`hepsw check` tries them as listeners and destinations will: what it finds sound can be used.
Passphrases are never asked for, because nobody sits in front of a daemon.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from hepsw.config.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hepsw.config.configuration import ListenerTls, TlsSettings
    from hepsw.config.problems import Report
    from hepsw.config.spans import Path as Place

CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""
SOON: Final = timedelta(days=14)
"""Before a certificate expires it is warned of for so long."""
STEPS: Final = 4
"""Turns of a handshake in memory; TLS 1.3 needs two."""


class CertificateError(Exception):
    """A certificate or a key that cannot be used."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key
        """`cert`, `key`, `ca` or `client_ca`."""


def server_context(tls: ListenerTls) -> ssl.SSLContext:
    """Return what a listener serves TLS with.

    Raises:
        CertificateError: the files do not hold what they should.
        OSError: one of them cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    # Agents connect once and stay: a ticket would only be written to a peer that never reads.
    context.num_tickets = 0
    _load_pair(context, tls.cert, tls.key)
    if tls.client_ca is not None:
        _load_authority(context, tls.client_ca, "client_ca")
        # Who names an authority that another one signed means that one, and not its siblings.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_authority(context: ssl.SSLContext, ca: Path, key: str) -> None:
    if CERTIFICATE not in read_file(ca):
        raise CertificateError(key, f"there is no PEM certificate in {ca.name}")
    try:
        context.load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise CertificateError(key, f"{ca.name}: {_words(error)}") from error


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    if CERTIFICATE not in read_file(cert):
        raise CertificateError("cert", f"there is no PEM certificate in {cert.name}")
    written = read_file(key)
    if b" PRIVATE KEY-----" not in written:
        raise CertificateError("key", f"there is no PEM key in {key.name}")
    if b"ENCRYPTED" in written:
        raise CertificateError("key", f"the key in {key.name} is encrypted: nobody can be asked")
    try:
        # The empty passphrase keeps OpenSSL from asking at a terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            raise CertificateError("key", f"{key.name} is not the key of {cert.name}") from error
        raise CertificateError("cert", f"{cert.name} and {key.name}: {_words(error)}") from error


def _words(error: ssl.SSLError) -> str:
    """Return what OpenSSL says, as far as it says anything."""
    return (error.reason or "OpenSSL cannot read it").replace("_", " ").lower()


def expires(cert: Path, key: Path) -> datetime | None:
    """Return when a certificate that can be served expires; the beginning of time if it has.

    There is no reading it from the file without a further library. But who trusts just this
    certificate, and is shown it, is told: so one end of a handshake in memory does.

    Returns:
        None if it could not be found out.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server.load_cert_chain(cert, key, password="")
        client.load_verify_locations(cafile=cert)
        asks = client.wrap_bio(to_client, to_server)
        shows = server.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(STEPS):
            with suppress(ssl.SSLWantReadError):
                asks.do_handshake()
                break
            with suppress(ssl.SSLWantReadError):
                shows.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return datetime.min.replace(tzinfo=UTC) if error.verify_code == EXPIRED else None
    except (OSError, ValueError):
        return None
    told = (asks.getpeercert() or {}).get("notAfter")
    if not isinstance(told, str):
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(told), UTC)


def check_served(tls: ListenerTls, place: Place, report: Report) -> None:
    """Report what keeps a listener from being served, and a certificate that is soon too old.

    Args:
        tls: its files are there.
        place: of the `tls` table.
        report: told of it.
    """
    if _is_sound(lambda: server_context(tls), place, report):
        _check_age(tls.cert, tls.key, place, report)


def check_shown(tls: TlsSettings, place: Place, report: Report) -> None:
    """Report what keeps a destination from being connected to, as `check_served` does.

    Args:
        tls: its files are there.
        place: of the `tls` table.
        report: told of it.
    """

    def try_them() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if tls.ca is not None:
            _load_authority(context, tls.ca, "ca")
        if tls.cert is not None and tls.key is not None:
            _load_pair(context, tls.cert, tls.key)

    if _is_sound(try_them, place, report) and tls.cert is not None and tls.key is not None:
        _check_age(tls.cert, tls.key, place, report)


def _is_sound(try_them: Callable[[], object], place: Place, report: Report) -> bool:
    try:
        try_them()
    except CertificateError as error:
        report.error("HEP218", str(error), (*place, error.key))
    except OSError as error:
        report.error("HEP218", f"OpenSSL cannot use them: {error.strerror or error}", place)
    else:
        return True
    return False


def _check_age(cert: Path, key: Path, place: Place, report: Report) -> None:
    end = expires(cert, key)
    if end is None:
        return
    now = datetime.now(UTC)
    if end <= now:
        report.warning("HEP407", f"the certificate in {cert.name} is expired", (*place, "cert"))
    elif end - now <= SOON:
        text = f"the certificate in {cert.name} expires on {end:%Y-%m-%d}"
        report.warning("HEP407", text, (*place, "cert"))
