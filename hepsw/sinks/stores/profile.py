"""The profile of a packet: what `keep` has durations for, and HOMER has tables for.

Its names stand where the configuration can see them as well (`hepsw.fields.profiles`).

Source: HOMER's `hep_proto_{type}_{profile}`; its profiles of SIP go by the method of CSeq.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hepsw.fields.profiles import PROFILES

if TYPE_CHECKING:
    from hepsw.view import View

__all__ = ["PROFILES", "profile_of"]

_CALL: Final = frozenset(
    {b"INVITE", b"ACK", b"BYE", b"CANCEL", b"UPDATE", b"PRACK", b"REFER", b"INFO", b"NOTIFY"}
)
_BY_TYPE: Final = {5: "rtcp", 53: "dns", 54: "isup", 100: "log"}


def profile_of(view: View) -> str:
    """Return the profile of a packet; a reply has that of its request."""
    sip = view.sip
    if sip is None:
        return _BY_TYPE.get(view.packet.proto_type or 0, "report")
    method = sip.method
    if method in _CALL:
        return "call"
    return "registration" if method == b"REGISTER" else "default"
