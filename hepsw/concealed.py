"""A secret that was read: whoever prints what holds it shows nothing of it."""

from __future__ import annotations

import hmac
from typing import Final

SHOWN: Final = "<secret>"
"""What is printed in its place."""


class Concealed:
    """Octets of a secret, compared by value and shown to nobody who does not ask by name."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def reveal(self) -> bytes:
        """Return the octets."""
        return self._octets

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Concealed):
            return NotImplemented
        return hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash(self._octets)

    def __repr__(self) -> str:
        return SHOWN

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")
