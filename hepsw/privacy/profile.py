"""What an operator wants to leave: a privacy profile, every word of it read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hepsw.concealed import Concealed

Users = Literal["hash", "mask", "drop", "keep"]


@dataclass(frozen=True, slots=True)
class PrivacyProfile:
    """`[privacy.x]`, with its secret read."""

    users: Users = "hash"
    """What becomes of who speaks: a token, all but the beginning masked, nothing, or as it is."""
    v4: int = 32
    """Bits of an IPv4 address that leave."""
    v6: int = 128
    """Bits of an IPv6 address that leave."""
    drop_headers: frozenset[str] = frozenset()
    """Names of SIP headers that do not leave, in small letters."""
    sdp: Literal["drop", "keep"] = "drop"
    key: Concealed | None = None
    """Of the keyed hash; None where no secret was read."""
    other: Literal["drop", "keep"] = "drop"
    """What becomes of what the profile cannot read."""
