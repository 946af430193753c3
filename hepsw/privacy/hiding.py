"""What stands in the place of users, addresses, hosts and identifiers.

The readers of payloads take a message apart and ask here what may stand for each piece. The same
piece gets the same answer under the same key, so calls hold together on the far side; what is no
plain piece of its kind gets an answer that says nothing.
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from hepsw.privacy.profile import PrivacyProfile

NOBODY: Final = b"anonymous"
NOWHERE: Final = b"anonymous.invalid"
"""RFC 3323 section 4.1.1.3."""

SHOWN: Final = 6
"""Characters that `mask` lets be seen: the country and perhaps the area of a number."""

_WITHOUT_KEY: Final = secrets.token_bytes(32)
"""Of a profile that needs none: its tokens mean something as long as the process lives."""
_KEY_OCTETS: Final = 64
_DIGEST_OCTETS: Final = 8
_SEPARATORS: Final = b"-.() "
_NUMBER: Final = re.compile(rb"\+?[0-9()*#. -]+")
_LABEL: Final = re.compile(rb"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LAST_LABEL: Final = re.compile(rb"[A-Za-z]{2,}|[Xx][Nn]--[A-Za-z0-9-]+")
_ADDRESS_IN_NAME: Final = re.compile(
    # 203-0-113-77, 203_0.113-77, 203x0x113x77, and 911-765432, which is a number of a telephone
    rb"[0-9]+([-_.x][0-9]+){3}|[0-9]([-_]?[0-9]){6}"
    # 2001-db8-0-1, cb-00-71-4d, f.e.d.c and 2001-db8--1, cb00714d
    rb"|(?<![0-9a-z])[0-9a-f]{1,4}([-_.][0-9a-f]{1,4}){3}(?![0-9a-z])"
    rb"|(?<![0-9a-z])[0-9a-f]{1,4}(--|__)[0-9a-f]|[0-9a-f]{8}",
    re.IGNORECASE,
)
_OCTET: Final = rb"(25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])"
_ADDRESS_IN_USER: Final = re.compile(rb"(?<![0-9])%b([._-]%b){3}(?![0-9])|:.*:" % (_OCTET, _OCTET))
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
"""RFC 8215; where in the rest the IPv4 address stands is up to whoever uses it."""
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_ISATAP: Final = frozenset({b"\0\0\x5e\xfe", b"\2\0\x5e\xfe"})
"""RFC 5214 section 6.1: before an IPv4 address at the end, in networks of any prefix."""
_MOST: Final = 253


class Hiding:
    """Answers for one profile."""

    def __init__(self, profile: PrivacyProfile) -> None:
        self._users = profile.users
        self._v4 = profile.v4
        self._v6 = profile.v6
        key = _WITHOUT_KEY if profile.key is None else profile.key.reveal()
        self._key = key if len(key) <= _KEY_OCTETS else blake2b(key).digest()
        self.hides_users = profile.users != "keep"
        self.hides_addresses = profile.v4 < 32 or profile.v6 < 128
        self.hides_anything = self.hides_users or self.hides_addresses

    # --- users -----------------------------------------------------------------------------------

    def user(self, user: bytes) -> bytes:
        """Return what stands for a user: of a URI, of a digest, of a session description."""
        if self._users == "drop" or (self._users != "keep" and not user):
            return NOBODY
        # Elsewhere an address is cut; here it would be shown, or its beginning.
        is_shown = self._users != "hash" and self.hides_addresses
        if is_shown and _ADDRESS_IN_USER.search(unquote_to_bytes(user)):
            return NOBODY
        if self._users == "keep":
            return user
        # Parameters of a user and the ways to write a number differ from phone to phone.
        plain = unquote_to_bytes(user).partition(b";")[0].partition(b":")[0]
        if _NUMBER.fullmatch(plain):
            plain = plain.translate(None, _SEPARATORS)
        if self._users == "hash":
            return self._token(b"user", plain)
        return _masked(plain) or NOBODY

    # --- identifiers -----------------------------------------------------------------------------

    def call(self, call_id: bytes) -> bytes:
        """Return what stands for a Call-ID: phones write addresses and names into theirs.

        A correlation id is the same thing in another place, and gets the same answer.
        """
        return self.identifier(b"call", call_id)

    def tag(self, tag: bytes) -> bytes:
        """Return what stands for a tag or a branch."""
        return self.identifier(b"tag", tag)

    def name(self, name: bytes) -> bytes:
        """Return what stands for the name of an agent or a group."""
        return self.identifier(b"name", name)

    def identifier(self, kind: bytes, text: bytes) -> bytes:
        """Return what stands for an identifier of a kind."""
        return self._token(kind, text) if self.hides_anything and text else text

    def number(self, kind: bytes, text: bytes) -> bytes:
        """Return what stands for an identifier that is a number."""
        if not self.hides_anything:
            return text
        return b"%d" % (int(self._token(kind, text), 16) % 1_000_000_000)

    def _token(self, kind: bytes, text: bytes) -> bytes:
        made = blake2b(text, key=self._key, person=kind, digest_size=_DIGEST_OCTETS)
        return made.hexdigest().encode()

    # --- addresses and hosts ---------------------------------------------------------------------

    def packed(self, address: bytes) -> bytes:
        """Return what leaves of an address, 4 or 16 octets."""
        if len(address) == 4:
            return _cut(address, self._v4)
        v6 = IPv6Address(address)
        bits = self._v6
        # An IPv4 address inside is one all the same.
        if self._v4 < 32:
            if (
                v6.ipv4_mapped is not None
                or v6 in _NAT64
                or v6 in _TRANSLATED
                or (v6 in _COMPATIBLE and int(v6) > 1)
            ):
                return _cut(address[:12] + _cut(address[12:], self._v4), max(bits, 96))
            if v6.sixtofour is not None:
                address = address[:2] + _cut(address[2:6], self._v4) + bytes(10)
            elif v6.teredo is not None:
                bits = min(bits, 32)
            elif v6 in _LOCAL_NAT64:
                bits = min(bits, 48)
            elif address[8:12] in _ISATAP:
                address = address[:12] + _cut(address[12:], self._v4)
        return _cut(address, bits)

    def address(self, address: IPv4Address | IPv6Address) -> bytes:
        """Return what leaves of an address, as text."""
        return str(ip_address(self.packed(address.packed))).encode()

    def host(self, host: bytes) -> bytes:
        """Return what leaves of a host: an address with its bits cut, or a name.

        A name that has an address or a telephone number written into it, or that is none that DNS
        would know (a user may stand in the wrong place), is not passed on.
        """
        if not self.hides_anything:
            return host
        is_bracketed = host[:1] == b"[" and host[-1:] == b"]"
        address = address_of(host[1:-1] if is_bracketed else host)
        if address is not None:
            text = self.address(address)
            # The shortest address is too short for some readers of SIP, ours among them.
            if is_bracketed:
                return b"[::0]" if text == b"::" else b"[%b]" % text
            return text
        return host if _is_name(host) else NOWHERE


def address_of(text: bytes) -> IPv4Address | IPv6Address | None:
    """Read an address; a zone is left out."""
    try:
        return ip_address(text.partition(b"%")[0].decode("ascii"))
    except ValueError:  # UnicodeDecodeError is one
        return None


def _is_name(host: bytes) -> bool:
    labels = host.split(b".")
    if len(labels) < 2 or len(host) > _MOST or not _LAST_LABEL.fullmatch(labels[-1]):
        return False
    if _ADDRESS_IN_NAME.search(host):
        return False
    was_number = False
    for label in labels:
        if not _LABEL.fullmatch(label):
            return False
        is_number = label.isdigit()
        if is_number and was_number:
            return False  # 10.1.2.3.dyn.example, 4.3.2.1.e164.arpa
        was_number = is_number
    return True


def _cut(address: bytes, bits: int) -> bytes:
    shift = len(address) * 8 - bits
    return (int.from_bytes(address) >> shift << shift).to_bytes(len(address))


def _masked(text: bytes) -> bytes:
    """Return the beginning of a user: six characters, half of it at most, never the last four."""
    shown = max(0, min(SHOWN, len(text) // 2, len(text) - 4))
    return re.sub(rb"[^A-Za-z0-9+_-]", b"x", text[:shown]) + b"x" * (len(text) - shown)
