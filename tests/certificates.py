"""Certificates for tests, made anew for each: an authority, a server, clients, and bad ones.

Keys are of an elliptic curve: one is made in a tenth of a millisecond.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates; `ca` is the file with its own."""

    def __init__(self, folder, name="ca"):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _name(f"hepsw test {name}")
        self._cert = (
            _builder(own, own, self._key, -DAY, 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, file, *, name=None, dns=(), ips=(), uris=(), begins=-DAY, ends=30 * DAY):
        """Return a pair `file.pem` and `file.key`, overwritten where they are there.

        Args:
            file: what the files are called.
            name: its common name; None for an empty subject.
            dns: alternative names, as the next two.
            ips: addresses.
            uris: as `spiffe://…`.
            begins: from now; as `ends`.
            ends: when it expires.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [
            *(x509.DNSName(entry) for entry in dns),
            *(x509.IPAddress(ipaddress.ip_address(entry)) for entry in ips),
            *(x509.UniformResourceIdentifier(entry) for entry in uris),
        ]
        builder = _builder(_name(name), self._cert.subject, key, begins, ends)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
            critical=False,
        ).add_extension(_usage(signs=False), critical=True)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(names), critical=name is None
            )
        cert = builder.sign(self._key, hashes.SHA256())
        pair = Pair(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        pair.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        pair.key.chmod(0o600)
        return pair


@dataclass(frozen=True, slots=True)
class Certificates:
    """What most tests need."""

    authority: Authority
    other_authority: Authority
    """Nobody is told to trust it."""
    ca: Path
    other_ca: Path
    server: Pair
    """Of `localhost`, 127.0.0.1 and ::1."""
    elsewhere: Pair
    """A server's, of another name: `elsewhere.example`."""
    expired: Pair
    """The server's, but of last month."""
    other_server: Pair
    """The server's, by the other authority."""
    client: Pair
    """Of the agent `edge1.example`."""
    expired_client: Pair
    other_client: Pair
    """The agent's, by the other authority."""


def certificates(folder):
    """Return certificates as files in a folder."""
    ours, theirs = Authority(folder), Authority(folder, "other-ca")
    server = {"name": "localhost", "dns": ["localhost"], "ips": ["127.0.0.1", "::1"]}
    client = {"name": "edge1", "dns": ["edge1.example"]}
    past = {"begins": -60 * DAY, "ends": -30 * DAY}
    return Certificates(
        authority=ours,
        other_authority=theirs,
        ca=ours.ca,
        other_ca=theirs.ca,
        server=ours.issue("server", **server),
        elsewhere=ours.issue("elsewhere", name="elsewhere", dns=["elsewhere.example"]),
        expired=ours.issue("expired", **server, **past),
        other_server=theirs.issue("other-server", **server),
        client=ours.issue("client", **client),
        expired_client=ours.issue("expired-client", **client, **past),
        other_client=theirs.issue("other-client", **client),
    )


def _name(text):
    return x509.Name([] if text is None else [x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject, issuer, key, begins, ends):
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs):
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
